"""Scikit-learn's estimators as probes: scaled and fitted on training examples, chosen on validation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probes.decisions import decide
from probes.objectives import OBJECTIVES, Kind, objective_of
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


def fit_estimator(
    name: str,
    parameters: Mapping[str, Any],
    features: NDArray[np.float32],
    labels: NDArray[np.generic],
    kind: Kind,
    classes: int,
    seed: int,
) -> FittedEstimator:
    """Fit one estimator.

    Parameters
    ----------
    name
        One of those that `probes.objectives` says learn the kind of labels.
    parameters
        Keyword arguments of scikit-learn's class.
    features, labels : ndarray, shapes [n, D] and [n, L]
        Training examples, labels as in `tasks.targets`.
    kind
        ``multilabel`` fits one estimator a label, to the examples of which it is known.
    classes
        Number of outputs.
    seed
        Where the estimator has a use for one.

    Raises
    ------
    ValueError
        If the estimator does not serve the kind of task, or lacks a parameter of that name.
    """
    _check_serves(name, kind)
    models: list[Any] = []
    try:
        for column in labels.T:
            known = np.full(len(column), True) if kind != "multilabel" else column >= 0
            own, rows = (column, features) if known.all() else (column[known], features[known])
            value = _constant(own)
            models.append(_estimator(name, parameters, kind, seed).fit(rows, own) if value is None else value)
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from None
    return FittedEstimator(models, kind, classes)


def check_estimator(name: str, parameters: Mapping[str, Any], kind: Kind) -> None:
    """Raise `ValueError` if an estimator does not serve the kind of task, or lacks a parameter of that name.

    Of parameters that are lists to choose from, the names alone are looked at.
    """
    _check_serves(name, kind)
    if parameters:
        try:
            _estimator(name, parameters, kind, 0)
        except TypeError as error:
            raise ValueError(f"{name}: {error}") from None


def _check_serves(name: str, kind: Kind) -> None:
    able = OBJECTIVES[kind].estimators if kind in OBJECTIVES else ()
    if name not in able:
        raise ValueError(f"{name} cannot be used for {kind} tasks; these can: {', '.join(able) or 'none'}")


class FittedEstimator:
    """Estimators fitted to each label, or one to all classes; a label that never varies has its value instead."""

    def __init__(self, models: list[Any], kind: Kind, classes: int) -> None:
        self._models, self._kind, self._classes = models, kind, classes

    def outputs(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores before the link function [n, C]: log-odds, margins or values."""
        if self._kind == "multiclass":
            return self._classes_of(features)
        columns = [self._column(model, features) for model in self._models]
        return np.stack(columns, axis=1).astype(np.float32)

    def _classes_of(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        model = self._models[0]
        # Classes without a training example are never predicted.
        found = np.full((len(features), self._classes), -1e9, dtype=np.float32)
        if isinstance(model, float):
            found[:, int(model)] = 0
            return found
        seen = model.classes_.astype(np.int64)
        scores = _decision(model, features)
        found[:, seen] = np.stack([-scores, scores], axis=1) / 2 if scores.ndim == 1 else scores
        return found

    def _column(self, model: Any, features: NDArray[np.float32]) -> NDArray[np.floating]:
        if isinstance(model, float):
            value = model if self._kind == "regression" else (1e2 if model else -1e2)
            return np.full(len(features), value)
        if self._kind == "regression":
            return np.asarray(model.predict(features))
        scores = _decision(model, features)
        return scores if scores.ndim == 1 else scores[:, 1] - scores[:, 0]


def _decision(model: Any, features: NDArray[np.float32]) -> NDArray[np.floating]:
    if hasattr(model, "decision_function"):
        return np.asarray(model.decision_function(features))
    # Log-probabilities; the bound stands for the zero votes of a neighbourhood.
    return np.asarray(np.log(np.clip(model.predict_proba(features), 1e-6, 1)))


def _constant(column: NDArray[np.generic]) -> float | None:
    if not len(column):
        return 0.0
    return float(column[0]) if (column == column[0]).all() else None


def _estimator(name: str, parameters: Mapping[str, Any], kind: Kind, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
    from sklearn.svm import SVC, SVR

    values = kind == "regression"
    if name == "logistic":
        return LogisticRegression(**{"max_iter": 1000, **parameters}, random_state=seed)
    if name == "ridge":
        return Ridge(**parameters) if values else RidgeClassifier(**parameters)
    if name == "knn":
        return KNeighborsRegressor(**parameters) if values else KNeighborsClassifier(**parameters)
    return SVR(**parameters) if values else SVC(**parameters, random_state=seed)
