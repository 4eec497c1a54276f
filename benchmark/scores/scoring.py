"""From predictions to scores: each metric with its interval, its floor, and the labels and clips it can speak of.

A score of a task with folds is the mean of the folds' scores: outputs of different trainings have no common scale to be
ranked on, which makes pooled ROC-AUC and average precision too low (Forman and Scholz 2010, section 3). Replicates
leave out clips of any fold, and are scored in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import UserError, unknown_name
from benchmark.scores.records import Score
from probes.intervals import Interval, Parts, bounded_interval, leave_out, open_interval
from tasks import DatasetError
from tasks.base import Task
from tasks.metrics import METRICS, Metric, macro, split_name
from tasks.metrics.metric import Labels, Predictions
from tasks.targets import Events

#: Groups of clips from which on intervals hold the truth as often as they say; see `Metric.settled` for clips.
ENOUGH_GROUPS = 12


def check_metrics(task: Task, metrics: Sequence[str]) -> None:
    """Raise `UserError` if a metric is not known, has no part of that name, or does not fit the kind of task."""
    for name in metrics:
        base, part = split_name(name)
        if base not in METRICS:
            raise unknown_name("metric", base, METRICS)
        try:
            METRICS[base].check(task.kind, task.label_names)
        except DatasetError as error:
            raise UserError(str(error)) from None
        if part and part not in METRICS[base].parts(task.label_names):
            raise unknown_name(f"part of metric {base!r}", part, METRICS[base].parts(task.label_names))


def score(
    task: Task, predictions: NDArray[np.float32] | Events, metrics: Sequence[str]
) -> tuple[dict[str, Score], list[str]]:
    """Score predictions for the test clips of a task.

    Parameters
    ----------
    task
        Labels and split.
    predictions : ndarray, shape [test clips, labels]
        In the task's order: a score a tag or user, a probability a class, or estimates of the targets; `Events` of the
        test clips for a task of events.
    metrics
        Names from `tasks.metrics.METRICS`, or of a part of one, as in ``r2.arousal``.

    Returns
    -------
    scores : dict
        A `Score` for each metric.
    unscored : list of str
        Labels that one of the metrics is not defined for on these clips, and that its mean therefore leaves out:
        tags without a positive or without a negative clip, classes neither there nor predicted, targets that do
        not vary, users who play none of them.

    Raises
    ------
    UserError
        If a metric does not fit the task, a prediction is no finite number, or not one label can be scored.
    """
    check_metrics(task, metrics)
    if not isinstance(predictions, Events) and not np.isfinite(predictions).all():
        clips = int((~np.isfinite(predictions).all(axis=1)).sum())
        raise UserError(
            f"the probe's predictions for {clips} of {len(predictions)} test clips are not finite numbers: "
            "its training diverged, or the embeddings are broken; try a lower learning rate"
        )
    parts: dict[str, _Parts] = {}
    scores = {}
    for name in metrics:
        base, part = split_name(name)
        if base not in parts:
            parts[base] = _evaluate(METRICS[base], task, predictions)
        scores[name] = _score(name, parts[base], part)
    missing = {label for found in parts.values() for label in found.unscored}
    return scores, [name for name in task.label_names if name in missing]


@dataclass(frozen=True)
class _Parts:
    """A metric's parts on the test clips of each fold: values and floors [F, K], replicates [F, J, K].

    `unheard` are users who play no test clip. `clips` are those that it speaks of, `rests_on` those that stand behind a
    score at an end of its range.
    """

    metric: Metric
    names: tuple[str, ...]
    values: NDArray[np.float64]
    replicates: NDArray[np.float64]
    left_out: Parts
    floors: NDArray[np.float64]
    unheard: tuple[str, ...]
    clips: int
    rests_on: float

    @property
    def unscored(self) -> list[str]:
        """Parts that not one fold can score, and users whom a mean over users leaves out."""
        lacking = np.flatnonzero(np.isnan(self.values).all(axis=0))
        return [*(self.names[part] for part in lacking.tolist()), *self.unheard]


def _evaluate(metric: Metric, task: Task, predictions: NDArray[np.float32] | Events) -> _Parts:
    is_test = task.splits == "test"
    labels = task.labels[is_test]
    outputs = len(task.label_names)
    fold = task.tested_in
    floors = [
        metric.floor(
            task.labels[(own != "test") if metric.chance else (own == "train")], labels[fold == number], outputs
        )
        for number, own in enumerate(task.divisions)
    ]
    drawn = left_out(metric, task.groups[is_test], labels)
    unheard = np.flatnonzero(~_heard(labels)) if metric.unit == "user" else ()
    return _Parts(
        metric=metric,
        names=metric.parts(task.label_names),
        values=in_folds(metric, labels, predictions, fold),
        replicates=np.concatenate(
            [in_folds(metric, labels, predictions, fold, counts) for counts in drawn.kept()], axis=1
        ),
        left_out=drawn,
        floors=np.stack(floors),
        unheard=tuple(task.label_names[user] for user in unheard),
        clips=int(metric.clips(labels).sum()),
        rests_on=metric.rests_on(labels),
    )


def left_out(metric: Metric, groups: NDArray[np.generic], labels: Labels) -> Parts:
    """What replicates of a metric leave out.

    The clips of a single group are taken one by one where the metric has no lowest value to be an interval's bound.

    Parameters
    ----------
    metric
        Says what its unit is.
    groups : ndarray, shape [clips]
        Of the test clips.
    labels
        Of the test clips; of users, those who play none are no unit.
    """
    if metric.unit == "user":
        return leave_out(np.arange(labels.shape[1]), _heard(labels))
    if metric.unit == "group" and (np.isfinite(metric.lowest) or len(np.unique(groups)) > 1):
        return leave_out(groups)
    return leave_out(np.arange(len(groups)))


def _heard(plays: Labels) -> NDArray[np.bool_]:
    """Which users play a clip [users]."""
    return np.asarray((plays > 0).sum(axis=0)).ravel() > 0


def in_folds(
    metric: Metric,
    labels: Labels,
    predictions: Predictions,
    fold: NDArray[np.intp],
    counts: NDArray[np.float32] | None = None,
) -> NDArray[np.float64]:
    """A metric's parts on the test clips of each fold, [F, K], or [F, R, K] for replicates; see `Metric.__call__`.

    `fold` [clips] says in which fold each clip was tested; zeros for a task with a split. `counts` are of clips, or of
    users, who are the same in every fold.
    """
    found = []
    for number in range(int(fold.max()) + 1):
        own = fold == number
        of_fold = counts if counts is None or metric.unit == "user" else counts[own]
        found.append(metric(labels[own], predictions[own], of_fold))
    return np.stack(found)


def mean_of_folds(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Macro-averaged score [R] of parts [F, R, K], or a single one of [F, K]: the mean over folds that have one."""
    return macro(np.moveaxis(macro(parts), 0, -1))


def _score(name: str, parts: _Parts, part: str) -> Score:
    chosen = np.array([part in ("", other) for other in parts.names])
    scored = chosen & ~np.isnan(parts.values).all(axis=0)
    if not scored.any():
        what = f"{parts.names[int(chosen.argmax())]!r}" if part else "not one label"
        raise UserError(
            f"{name}: {what + ' cannot' if part else what + ' can'} be scored on these {parts.clips} test clips: "
            "a tag needs a clip that has it and one that has not, a target two different values, a user a played clip"
        )
    values = parts.values[:, scored]
    value = float(mean_of_folds(values))
    interval, error = _interval(parts, scored, value)
    left_out = parts.left_out
    names = [other for other, ok in zip(parts.names, scored, strict=True) if ok]
    per_fold = macro(values)
    per_label = macro(values.T)
    return Score(
        value=value,
        lower=interval.lower,
        upper=interval.upper,
        level=interval.level,
        standard_error=error,
        replicates=len(left_out.sizes),
        units=left_out.units,
        rough=_rough(parts),
        floor=float(mean_of_folds(parts.floors[:, chosen])),
        n_labels=len(names),
        n_clips=parts.clips,
        per_label=dict(zip(names, per_label.tolist(), strict=True)),
        folds=[None if np.isnan(value) else float(value) for value in per_fold] if len(per_fold) > 1 else None,
        lower_is_better=METRICS[split_name(name)[0]].lower_is_better,
    )


def _interval(parts: _Parts, scored: NDArray[np.bool_], value: float) -> tuple[Interval, float | None]:
    """Of the mean over the parts that are scored, which lies in it; and its standard error, if it can be told."""
    values, replicates = parts.values[:, scored], parts.replicates[..., scored]
    metric, left_out = parts.metric, parts.left_out
    bias = float(mean_of_folds(left_out.bias(np.moveaxis(replicates, 1, 0), values)))
    variance = float((left_out.deviations(mean_of_folds(replicates), value) ** 2).sum())
    if np.isfinite(metric.lowest) and np.isfinite(metric.highest):
        fewest = min(float(left_out.units), parts.rests_on)
        most = np.inf if metric.graded else float(len(left_out.part) * scored.sum())
        found = bounded_interval(value - bias, variance, left_out.freedom, metric.lowest, metric.highest, fewest, most)
    elif np.isnan(variance):
        raise UserError(
            f"{metric.name}: {left_out.units} test clips are too few for an interval: without any one of them, nothing "
            "is left that could be scored"
        )
    else:
        bound = metric.highest if np.isfinite(metric.highest) else metric.lowest
        found = open_interval(value - bias, variance, left_out.freedom, bound)
    error = None if np.isnan(variance) else float(np.sqrt(variance))
    return Interval(min(found.lower, value), max(found.upper, value), found.level), error


def _rough(parts: _Parts) -> str:
    """Why an interval is rough; empty if it is not."""
    metric, drawn = parts.metric, parts.left_out
    what = {"clip": "clips", "group": "groups", "user": "users"}[metric.unit]
    if metric.unit == "group" and drawn.units == len(drawn.part):
        what = "clips"
    needed = metric.settled if what == "clips" else ENOUGH_GROUPS
    if drawn.units < needed:
        return f"{drawn.units} {what}, where {needed} are needed"
    if parts.clips < metric.settled and metric.unit != "user":
        return f"{parts.clips} clips, where {metric.settled} are needed"
    return ""
