"""Run a protocol: train its probes on the training clips, choose on the validation clips, predict the test clips.

Test labels are no argument of anything here: nothing can be fitted or chosen by them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probes.decisions import CANDIDATES, best_decision, decide, link
from probes.estimators import FittedEstimator, fit_estimator
from probes.protocol import Decision, Kind, Protocol
from probes.sweep import Advance, Fitted, Judge, standardisation, train_seeds, unseen
from probes.validation import Metric, negative_losses, stacked_metric
from probes.windows import Windows, clip_means, make_examples, per_window

#: Between the seeds of a protocol's repeats: far from the seeds that people count by.
REPEAT_STRIDE = 1_000_003


@dataclass(frozen=True)
class LabelledClips:
    """Clips of a split: their windows by each encoder, and labels [clips, L] as in `tasks.base.Task`."""

    encoders: tuple[Windows, ...]
    labels: NDArray[np.generic]


@dataclass(frozen=True)
class ProbeTask:
    """What a probe must know of its task.

    Attributes
    ----------
    kind
        How labels are read.
    outputs
        Number of labels, classes or values.
    metric_name, metric
        The leading metric, by which protocols that ask for it stop and choose; higher is better.
    """

    kind: Kind
    outputs: int
    metric_name: str
    metric: Metric


@dataclass(frozen=True)
class Probed:
    """What came of a protocol.

    Attributes
    ----------
    predictions : ndarray of float32, shape [repeats, test clips, outputs]
        Probabilities or values.
    selection
        What was chosen on validation and by how much, for the score record.
    """

    predictions: NDArray[np.float32]
    selection: dict[str, Any]


def run_protocol(
    protocol: Protocol,
    train: LabelledClips,
    valid: LabelledClips,
    test: Sequence[Windows],
    task: ProbeTask,
    seed: int,
    device: str = "cpu",
    advance: Advance = unseen,
) -> Probed:
    """Train, choose and predict.

    Parameters
    ----------
    protocol
        What is done.
    train, valid
        Labelled clips.
    test
        Windows of the test clips by the same encoders; without labels.
    task
        Kind, number of outputs, leading metric.
    seed
        Of everything random.
    device
        Where to train.
    advance
        Told how many probes have been trained, of `Protocol.probes`.

    Raises
    ------
    ValueError
        If the protocol does not fit the task or the encoders.
    """
    if protocol.decision in ("vote", "best") and task.kind != "multiclass":
        raise ValueError(f"the decision {protocol.decision} needs a task of classes, and this one is {task.kind}")
    seeds = [seed + number * REPEAT_STRIDE for number in range(protocol.repeats)]
    # Trainings on the same examples go together; examples that are drawn are other ones for every seed.
    shared = [[own] for own in seeds] if protocol.examples == "random_window" else [seeds]
    found = []
    for own in shared:
        training = _Training(protocol, train, valid, test, task, own)
        found += training.estimate(advance) if protocol.estimator else training.train(device, advance)
    selection = found[0][1]
    if len(found) > 1:
        selection = {**selection, "repeats": [chosen["value"] for _, chosen in found]}
    return Probed(np.stack([predictions for predictions, _ in found]), selection)


def head_predictions(
    weight: NDArray[np.float32], bias: NDArray[np.float32], windows: Windows, kind: Kind
) -> NDArray[np.float32]:
    """Predictions [clips, L] of the linear head, [L, D] and [L], that an encoder was trained with end to end."""
    return clip_means(link(windows.rows @ weight.T + bias, kind), windows.first)


class _Training:
    """Trainings of a protocol that share their examples: targets, judgement, prediction."""

    def __init__(
        self,
        protocol: Protocol,
        train: LabelledClips,
        valid: LabelledClips,
        test: Sequence[Windows],
        task: ProbeTask,
        seeds: Sequence[int],
    ) -> None:
        self._protocol, self._task, self._seeds = protocol, task, seeds
        seed = seeds[0]
        cut = protocol.examples
        self._dim = sum(one.rows.shape[1] for one in train.encoders)
        self._features, first = make_examples(train.encoders, cut, protocol.segment_seconds, seed)
        self._labels = per_window(train.labels, first)
        self._valid, self._valid_first = make_examples(valid.encoders, cut, protocol.segment_seconds, seed + 1)
        self._valid_labels = valid.labels
        self._valid_example_labels = per_window(valid.labels, self._valid_first)
        if not protocol.validates:
            self._features = np.concatenate([self._features, self._valid])
            self._labels = np.concatenate([self._labels, self._valid_example_labels])
        # Whatever is drawn for training, a test clip is judged by all that there is of it.
        self._test, self._test_first = make_examples(
            test, "windows" if cut == "random_window" else cut, protocol.segment_seconds, seed
        )
        self._shift = np.zeros(1, dtype=np.float32)
        self._scale = np.ones(1, dtype=np.float32)
        if protocol.standardise_targets and task.kind == "regression":
            self._shift = self._labels.mean(axis=0, dtype=np.float64).astype(np.float32)
            deviation = self._labels.std(axis=0, dtype=np.float64)
            self._scale = np.where(deviation > 0, deviation, 1).astype(np.float32)

    def train(self, device: str, advance: Advance) -> list[tuple[NDArray[np.float32], dict[str, Any]]]:
        """Train the sweep with every seed; predictions for the test clips, and what was chosen."""
        protocol = self._protocol
        sweeps = train_seeds(
            self._features,
            self._targets(self._labels),
            self._valid if protocol.validates else None,
            self._judge(device) if protocol.validates else None,
            self._task.kind,
            protocol.members(self._dim),
            protocol.course,
            self._seeds,
            device,
            advance,
        )
        return [self._chosen(fitted) for fitted in sweeps]

    def _chosen(self, fitted: Sequence[Fitted]) -> tuple[NDArray[np.float32], dict[str, Any]]:
        protocol = self._protocol
        values = [probe.kept if protocol.course.keep_best else probe.last for probe in fitted]
        chosen = _highest(values) if protocol.validates else 0
        probe = fitted[chosen]
        decision = self._decision(probe)
        selection = {
            "by": self._criterion(),
            "value": _finite(values[chosen]),
            "configurations": len(fitted),
            "chosen": asdict(probe.member),
            "evaluations": len(probe.values),
            "best_evaluation": probe.best + 1,
            "steps": probe.steps,
            "decision": decision,
            "values": [_finite(value) for value in values],
        }
        return self._predict(probe, decision), selection

    def estimate(self, advance: Advance) -> list[tuple[NDArray[np.float32], dict[str, Any]]]:
        """Fit a scikit-learn estimator for each setting; predictions of the best, and what was chosen, by seed."""
        if self._protocol.standardise[0]:
            mean, factor = (part.numpy() for part in standardisation(self._features))
            self._features, self._valid, self._test = (
                (part - mean) * factor for part in (self._features, self._valid, self._test)
            )
        return [self._estimate(seed, advance) for seed in self._seeds]

    def _estimate(self, seed: int, advance: Advance) -> tuple[NDArray[np.float32], dict[str, Any]]:
        protocol, task = self._protocol, self._task
        assert protocol.estimator is not None
        labels = self._targets(self._labels) if task.kind == "regression" else self._labels
        settings = protocol.estimator_settings()
        best: tuple[float, int, FittedEstimator] | None = None
        values = []
        for i, parameters in enumerate(settings):
            advance(1)
            if parameters.get("n_neighbors", 1) > len(self._features):
                values.append(math.nan)
                continue
            model = fit_estimator(protocol.estimator, parameters, self._features, labels, task.kind, task.outputs, seed)
            decision = self._decision(model)
            value = self._metric(self._outputs(model, self._valid)[None], decision)[0]
            values.append(float(value))
            if best is None or value > best[0]:
                best = (float(value), i, model)
        if best is None:
            raise ValueError(f"{len(self._features)} training examples are fewer than the neighbours of every setting")
        value, chosen, model = best
        decision = self._decision(model)
        selection = {
            "by": task.metric_name,
            "value": _finite(value),
            "configurations": len(settings),
            "chosen": {"estimator": protocol.estimator, **settings[chosen]},
            "decision": decision,
            "values": [_finite(one) for one in values],
        }
        return self._predict(model, decision), selection

    def _targets(self, labels: NDArray[np.generic]) -> NDArray[np.float32]:
        if self._task.kind == "multiclass":
            return np.eye(self._task.outputs, dtype=np.float32)[labels[:, 0].astype(np.int64)]
        return ((labels.astype(np.float32) - self._shift) / self._scale).astype(np.float32)

    def _criterion(self) -> str | None:
        if not self._protocol.validates:
            return None
        return self._task.metric_name if self._protocol.stop_on == "metric" else "-loss"

    def _judge(self, device: str) -> Judge:
        if self._protocol.stop_on == "loss":
            targets = torch.from_numpy(self._targets(self._valid_example_labels)).to(device)
            return lambda outputs: negative_losses(outputs, targets, self._task.kind)

        def by_metric(outputs: Tensor) -> NDArray[np.float64]:
            own = self._unscaled(outputs.cpu().numpy())
            wanted = self._protocol.decision
            names = CANDIDATES if wanted == "best" else (wanted,)
            return np.asarray(np.max([self._metric(own, name) for name in names], axis=0))

        return by_metric

    def _metric(self, outputs: NDArray[np.float32], decision: Decision) -> NDArray[np.float64]:
        predictions = decide(outputs, self._valid_first, self._task.kind, decision)
        return stacked_metric(self._task.metric_name, self._task.metric, self._valid_labels, predictions)

    def _outputs(self, probe: Fitted | FittedEstimator, features: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._unscaled(probe.outputs(features))

    def _unscaled(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        rescaled = self._protocol.standardise_targets and self._task.kind == "regression"
        return outputs * self._scale + self._shift if rescaled else outputs

    def _decision(self, probe: Fitted | FittedEstimator) -> Decision:
        if self._protocol.decision != "best":
            return self._protocol.decision
        own = self._outputs(probe, self._valid)[None]
        return best_decision({name: float(self._metric(own, name)[0]) for name in CANDIDATES})

    def _predict(self, probe: Fitted | FittedEstimator, decision: Decision) -> NDArray[np.float32]:
        return decide(self._outputs(probe, self._test), self._test_first, self._task.kind, decision)


def _highest(values: Sequence[float]) -> int:
    """Index of the first highest value; those that are no number come last."""
    return int(np.argmax([-math.inf if math.isnan(value) else value for value in values]))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
