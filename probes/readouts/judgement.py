"""How good validation outputs are in the eyes of a protocol, and in which units a probe is trained on values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probes.decisions import CANDIDATES, best_decision, decide
from probes.objectives import Objective, objective_of
from probes.protocol import Decision, Protocol
from probes.readouts.base import Examples, ProbeTask
from probes.sweep import Judge
from probes.validation import negative_losses, stacked_metric


@dataclass(frozen=True)
class Units:
    """Mean and standard deviation [L] of the training examples' values; 0 and 1 where targets are not scaled."""

    shift: NDArray[np.float32]
    scale: NDArray[np.float32]

    @classmethod
    def of(cls, labels: NDArray[np.generic], wanted: bool) -> Units:
        """Those of labels [examples, L], if wanted."""
        if not wanted:
            return cls(np.zeros(1, dtype=np.float32), np.ones(1, dtype=np.float32))
        deviation = labels.std(axis=0, dtype=np.float64)
        return cls(
            labels.mean(axis=0, dtype=np.float64).astype(np.float32),
            np.where(deviation > 0, deviation, 1).astype(np.float32),
        )

    def into(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values in these units."""
        return ((values - self.shift) / self.scale).astype(np.float32)

    def out_of(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs in the labels' own units."""
        return outputs if self.scale.size == 1 and self.scale[0] == 1 else outputs * self.scale + self.shift


class Judgement:
    """Judges outputs for the validation examples of a protocol.

    Parameters
    ----------
    protocol, task
        What is wanted.
    valid
        Validation examples with labels.
    units
        Of outputs.
    """

    def __init__(self, protocol: Protocol, task: ProbeTask, valid: Examples, units: Units) -> None:
        self._protocol, self._task, self._valid, self._units = protocol, task, valid, units
        self._objective: Objective = objective_of(task.kind, protocol.loss)

    def judge(self, device: str) -> Judge:
        """What a sweep calls at each evaluation: the loss, or the leading metric, of the whole stack."""
        if self._protocol.stop_on == "loss":
            own = self._units.into(self._objective.targets(self._valid.example_labels, self._task.outputs))
            targets = torch.from_numpy(own).to(device)
            objective = self._objective.for_targets(targets)
            return lambda outputs: negative_losses(outputs, targets, objective)

        def by_metric(outputs: Tensor) -> NDArray[np.float64]:
            own = self._units.out_of(outputs.cpu().numpy())
            wanted = self._protocol.decision
            names = CANDIDATES if wanted == "best" else (wanted,)
            return np.asarray(np.max([self.metric(own, name) for name in names], axis=0))

        return by_metric

    def metric(self, outputs: NDArray[np.float32], decision: Decision) -> NDArray[np.float64]:
        """Leading metric [members] of outputs [members, examples, C] in the labels' own units."""
        predictions = decide(outputs, self._valid.first, self._task.kind, decision, self._protocol.loss)
        return stacked_metric(self._task.metric_name, self._task.metric, self._valid.labels, predictions)

    def decision(self, outputs: NDArray[np.float32]) -> Decision:
        """The protocol's decision, or the best of all for outputs [examples, C] in the labels' own units."""
        if self._protocol.decision != "best":
            return self._protocol.decision
        return best_decision({name: float(self.metric(outputs[None], name)[0]) for name in CANDIDATES})


def highest(values: Sequence[float]) -> int:
    """Index of the first highest value; those that are no number come last."""
    return int(np.argmax([-math.inf if math.isnan(value) else value for value in values]))


def finite(value: float) -> float | None:
    """A number as JSON can hold it."""
    return value if math.isfinite(value) else None
