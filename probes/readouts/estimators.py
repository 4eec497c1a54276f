"""A protocol's estimator of scikit-learn: fitted with every setting, of which the best on validation is kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probes.decisions import decide
from probes.estimators import FittedEstimator, check_estimator, fit_estimator
from probes.kinds import Kind
from probes.objectives import objective_of
from probes.protocol import Decision, Estimator, Protocol
from probes.readouts.base import Advance, Examples, ProbeTask
from probes.readouts.judgement import Judgement, Units, finite


@dataclass(frozen=True)
class ChosenEstimator:
    """The estimator that was best on validation, and how its outputs become predictions."""

    model: FittedEstimator
    kind: Kind
    units: Units
    decision: Decision
    selection: dict[str, Any]

    def predict(self, examples: Examples) -> NDArray[np.float32]:
        """Probabilities or values [clips, outputs]."""
        outputs = self.units.out_of(self.model.outputs(examples.features))
        return decide(outputs, examples.first, self.kind, self.decision)


class EstimatorReadout:
    """An estimator of a protocol, fitted with every combination of its parameters."""

    def __init__(self, protocol: Protocol, estimator: Estimator) -> None:
        self._protocol, self._estimator = protocol, estimator

    def fit(
        self, train: Examples, valid: Examples, task: ProbeTask, seed: int, device: str, advance: Advance
    ) -> ChosenEstimator:
        """Fit with every setting and keep the best; see `probes.readouts.base.Readout`."""
        del device
        protocol, objective, name = self._protocol, objective_of(task.kind), self._estimator.kind
        check_estimator(name, {}, task.kind)
        labels = train.example_labels
        units = Units.of(labels, protocol.standardise_targets and objective.scalable)
        if objective.scalable:
            labels = units.into(objective.targets(labels, task.outputs))
        judgement = Judgement(protocol, task, valid, units)
        settings = self._estimator.settings()
        best: tuple[float, int, FittedEstimator, Decision] | None = None
        values = []
        for i, parameters in enumerate(settings):
            advance(1)
            if parameters.get("n_neighbors", 1) > len(labels):
                values.append(math.nan)
                continue
            model = fit_estimator(name, parameters, train.features, labels, task.kind, task.outputs, seed)
            outputs = units.out_of(model.outputs(valid.features))
            decision = judgement.decision(outputs)
            value = float(judgement.metric(outputs[None], decision)[0])
            values.append(value)
            if best is None or value > best[0]:
                best = (value, i, model, decision)
        if best is None:
            raise ValueError(f"{len(labels)} training examples are fewer than the neighbours of every setting")
        value, chosen, model, decision = best
        selection = {
            "by": task.metric_name,
            "value": finite(value),
            "configurations": len(settings),
            "chosen": {"estimator": name, **settings[chosen]},
            "decision": decision,
            "values": [finite(one) for one in values],
        }
        return ChosenEstimator(model, task.kind, units, decision, selection)
