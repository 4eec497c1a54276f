"""Scikit-learn's estimators as probes: fitted to training examples, one for each label or one for all classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probes.kinds import SERVED, UNKNOWN, Kind


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
        One of those that `probes.kinds` says learn the kind of labels.
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
            known = np.full(len(column), True) if kind != "multilabel" else np.asarray(column != UNKNOWN)
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
    able = SERVED[kind].estimators if kind in SERVED else ()
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
