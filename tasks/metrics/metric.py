"""What a metric is: a function on arrays that also knows its parts, its tasks, its range and its best constant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tasks import DatasetError
from tasks.targets import Events, Kind

Array = NDArray[np.float64]
#: As `tasks.targets` has their values: an array, of interactions a sparse one, or events themselves.
Labels = Any
#: An array, or events.
Predictions = Any
Counts = NDArray[np.float32]
#: What bootstrap replicates draw: single clips, the task's groups of clips, or users.
Unit = Literal["clip", "group", "user"]
#: labels [clips, L], predictions [clips, outputs], counts [clips, R] or None -> [K] or [R, K]
Compute = Callable[[Labels, Predictions, Counts | None], Array]


def every_clip(labels: Labels) -> NDArray[np.bool_]:
    """All clips count: shape [clips]."""
    return np.ones(labels.shape[0], dtype=bool)


def clip_count(labels: Labels) -> float:
    """All clips stand behind a score: their number."""
    return float(labels.shape[0] if hasattr(labels, "shape") else len(labels))


@dataclass(frozen=True)
class Metric:
    """A score of predictions against labels, which can be evaluated on many bootstrap replicates at once.

    Attributes
    ----------
    name, title
        Its name in a registry and its heading in a table.
    kind
        Kind of task that it applies to.
    compute
        The function; see `__call__`.
    fit_constant
        Given `compute`, training labels [clips, L] and the number of outputs, the constant prediction [outputs]
        that is best on those labels, or the events of one clip: the floor under any predictor that listens.
    by_label
        Whether it has one part a label (tag, class, target), or a single one.
    lowest, highest
        Its range.
    source
        Where its definition comes from.
    clips
        Which test clips it speaks of, given labels [clips, L]; shape [clips].
    label_names
        Labels that a task must have, in this order; any will do if empty.
    unit
        What is drawn when its interval is made: ``clip``, each by itself; ``group``, clips that belong together, as
        `tasks.base.Task.groups` says; ``user``, columns of the labels, for a mean over users. `counts` then say how
        often a replicate holds each user.
    lower_is_better
        Whether it is an error or a loss: the lower of two scores is the better one.
    margin
        Difference that is too small to matter, unless a user says otherwise.
    settled
        Test clips from which on its intervals hold the truth as often as they say; below, they are rough.
    graded
        Whether what a clip or user adds may be any part of the whole, and not all or nothing.
    chance
        Given labels of all clips but the tested ones and of those, the floor itself [K]; only where no constant
        prediction says it.
    rests_on
        How many clips a score at an end of its range speaks of, given labels [clips, L].
    """

    name: str
    title: str
    kind: Kind
    compute: Compute
    fit_constant: Callable[[Compute, Labels, int], Predictions]
    by_label: bool
    lowest: float
    highest: float
    source: str
    clips: Callable[[Labels], NDArray[np.bool_]] = every_clip
    label_names: tuple[str, ...] = ()
    unit: Unit = "group"
    lower_is_better: bool = False
    margin: float = 0.02
    graded: bool = False
    settled: int = 60
    rests_on: Callable[[Labels], float] = clip_count
    chance: Callable[[Labels, Labels], Array] | None = None

    def __call__(self, labels: Labels, predictions: Predictions, counts: Counts | None = None) -> Array:
        """Score each part.

        Parameters
        ----------
        labels : ndarray, shape [clips, L]
            0/1 a tag, one column of class indices, values of the targets, shares of the classes, or a sparse array of
            plays a user; `tasks.targets.Events` of a task of events.
        predictions : ndarray, shape [clips, outputs]
            A score a tag or user, a probability a class, or estimates of the targets; `Events` where labels are.
        counts : ndarray of float32, shape [clips, R] or [users, R], optional
            How often each bootstrap replicate holds each clip, or each user where users are the `unit`.

        Returns
        -------
        ndarray, shape [K] or [R, K]
            One value a part, in the order of `parts`; NaN where the labels do not define it. The mean over the
            defined parts (`macro`) is the score.

        Raises
        ------
        ValueError
            If the shapes do not fit together.
        """
        if self.kind == "events":
            if len(labels) != len(predictions) or labels.names != predictions.names:
                raise ValueError(f"{self.name}: labels and predictions must be events of the same sorts and clips")
            return self.compute(labels, predictions, counts)
        classes = self.kind == "multiclass"
        expected = (labels.shape[0], 1) if classes else predictions.shape
        if labels.ndim != 2 or predictions.ndim != 2 or labels.shape != expected or len(predictions) != expected[0]:
            wanted = "labels [clips, 1] and predictions [clips, classes]" if classes else "one shape [clips, labels]"
            raise ValueError(
                f"{self.name}: labels {labels.shape} and predictions {predictions.shape} must have {wanted}"
            )
        return self.compute(labels, predictions, counts)

    def parts(self, label_names: Sequence[str]) -> tuple[str, ...]:
        """Names of the parts on a task with these labels: the labels, or the metric itself if it has a single one."""
        return tuple(label_names) if self.by_label else (self.name,)

    def constant(self, labels: Labels, outputs: int) -> Predictions:
        """Constant prediction [outputs] that is best on the training labels [clips, L]; of events, those of a clip."""
        return self.fit_constant(self.compute, labels, outputs)

    def floor(self, training: Labels, labels: Labels, outputs: int) -> Array:
        """Score [K] on `labels` of the constant that is best on the training labels, given for every clip.

        `training` are labels of all clips that are not tested where the metric has a `chance`.
        """
        if self.chance is not None:
            return self.chance(training, labels)
        constant = self.constant(training, outputs)
        if isinstance(constant, Events):
            return self(labels, constant.take(np.zeros(len(labels), dtype=np.int64)))
        return self(labels, np.broadcast_to(constant, (labels.shape[0], outputs)))

    def check(self, kind: Kind, label_names: Sequence[str]) -> None:
        """Raise `DatasetError` if a task of this kind, with these labels, cannot be scored by this metric."""
        if kind != self.kind:
            raise DatasetError(f"metric {self.name!r} is for {self.kind} tasks, and this task is {kind}")
        if self.label_names and tuple(label_names) != self.label_names:
            some = ", ".join(map(repr, label_names[:3]))
            raise DatasetError(
                f"metric {self.name!r} needs the labels {self.label_names[0]!r} to {self.label_names[-1]!r} "
                f"({len(self.label_names)} of them), and this task has {len(label_names)}: {some} ..."
            )


def macro(per_part: Array) -> Array:
    """Mean over the last axis of the values that are defined; NaN where none is.

    Parts that the test set cannot score are to be left out beforehand, and named. What is then still undefined is
    a bootstrap replicate that happens to lack a rare label's positives.
    """
    defined = ~np.isnan(per_part)
    total = np.where(defined, per_part, 0.0).sum(axis=-1)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / defined.sum(axis=-1))


def mean_over_units(values: Array, counts: Counts | None) -> Array:
    """Mean over the clips, or users, that each have a value of their own; those without, NaN, are left out.

    Parameters
    ----------
    values : ndarray, shape [units] or [units, K]
        Of a single part, or of each.
    counts : ndarray, shape [units, R], or None
        As of `Metric.__call__`.

    Returns
    -------
    ndarray, shape [K] or [R, K]
        NaN for a part that no unit defines.
    """
    if values.ndim == 2:
        return np.concatenate([mean_over_units(column, counts) for column in values.T], axis=-1)
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        if counts is None:
            return np.asarray([values[defined].sum() / defined.sum()])
        weights = counts[defined].astype(np.float64)
        return np.asarray((weights.T @ values[defined] / weights.sum(axis=0))[:, None])
