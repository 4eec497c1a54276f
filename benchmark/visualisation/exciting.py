"""Which features of a representation are worth listening to, and which clips excite one most.

As in the listening experiment of the CLMR thesis (sections 7.3 and 7.5): windows are sorted by a feature's activation,
and one listens to the first. Here every clip stands for its most exciting window, so that ten clips are ten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.store.embeddings import Embeddings
from tasks.base import Task
from tasks.targets import Kind


@dataclass(frozen=True)
class Excited:
    """A clip that excites a feature, by its most exciting window.

    Attributes
    ----------
    clip : int
        Row of the task.
    window : int
        Row of the embeddings.
    second : float
        Where in the clip the window starts [s].
    activation : float
        Value of the feature there.
    deviation : float
        The same in standard deviations above the mean over all windows of the task; 0 for a feature that is constant.
    """

    clip: int
    window: int
    second: float
    activation: float
    deviation: float


def embedded_clips(task: Task, embeddings: Embeddings) -> list[tuple[int, int]]:
    """Rows of the task's clips that have windows, and their places among the embeddings' clips."""
    place = {clip: row for row, clip in enumerate(embeddings.clip_ids)}
    pairs = [(row, place[clip]) for row, clip in enumerate(task.clip_ids) if clip in place]
    return [(row, at) for row, at in pairs if embeddings.first[at + 1] > embeddings.first[at]]


def most_exciting(task: Task, embeddings: Embeddings, activations: NDArray[np.float64], count: int) -> list[Excited]:
    """The `count` clips of the task, of any split, with the highest activation in a window, highest first.

    Parameters
    ----------
    activations : ndarray, shape [windows]
        A feature's column of the embeddings' rows.
    """
    clips = embedded_clips(task, embeddings)
    spans = [activations[embeddings.first[at] : embeddings.first[at + 1]] for _, at in clips]
    peaks = np.array([span.max() for span in spans])
    every = np.concatenate(spans)
    mean, spread = float(every.mean()), float(every.std())
    found = []
    for i in np.argsort(-peaks, kind="stable")[:count].tolist():
        row, at = clips[i]
        window = int(embeddings.first[at]) + int(spans[i].argmax())
        value = float(peaks[i])
        deviation = (value - mean) / spread if spread > 0 else 0.0
        found.append(Excited(row, window, float(embeddings.seconds[window]), value, deviation))
    return found


def variation(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variance [dim] of each feature between clips, from clip `means` [clips, dim]."""
    return np.asarray(means.var(axis=0))


def separation(means: NDArray[np.float64], labels: NDArray[Any], kind: Kind) -> NDArray[np.float64]:
    """Share of each feature's variance between clips that labels explain.

    Of a multiclass task eta squared over the classes; else the highest squared correlation with one of the labels.

    Parameters
    ----------
    means : ndarray, shape [clips, dim]
    labels : ndarray, shape [clips, labels]
        Of these clips, as `tasks.base.Task` has them.
    kind
        How they are read.

    Returns
    -------
    ndarray, shape [dim]
        In [0, 1]; 0 for a feature that is constant.
    """
    centred = means - means.mean(axis=0)
    total = (centred**2).sum(axis=0)
    if kind == "multiclass":
        classes = labels[:, 0]
        groups = [centred[classes == k] for k in np.unique(classes)]
        explained = np.stack([len(group) * group.mean(axis=0) ** 2 for group in groups]).sum(axis=0)
    else:
        targets = labels.astype(np.float64)
        if kind == "multilabel":  # an unknown tag is as the known ones are on average, and tells nothing
            known = labels >= 0
            shares = (labels * known).sum(axis=0, dtype=np.float64) / np.maximum(known.sum(axis=0), 1)
            targets = np.where(known, targets, shares)
        targets -= targets.mean(axis=0)
        size = (targets**2).sum(axis=0)
        targets, size = targets[:, size > 0], size[size > 0]
        explained = ((targets.T @ centred) ** 2 / size[:, None]).max(axis=0, initial=0.0)
    return np.asarray(np.where(total > 0, explained / np.where(total > 0, total, 1.0), 0.0))


def choose_features(
    variations: Sequence[NDArray[np.float64]], separations: Sequence[NDArray[np.float64]], count: int
) -> list[tuple[int, str]]:
    """Features to listen to first, each with why: in turn one that labels separate best, one that varies most.

    Parameters
    ----------
    variations, separations
        Of each task, shape [dim]; a feature counts by its best task, variations relative to the task's mean.
    count
        How many features at most.
    """
    relative = [found / found.mean() if found.mean() > 0 else found for found in variations]
    varying = np.argsort(-np.stack(relative).max(axis=0), kind="stable").tolist()
    separating = np.argsort(-np.stack(separations).max(axis=0), kind="stable").tolist()
    chosen: dict[int, str] = {}
    for pair in zip(separating, varying, strict=True):
        for feature, why in zip(pair, ("labels separate it", "varies between clips"), strict=True):
            if len(chosen) < count:
                chosen.setdefault(int(feature), why)
    return list(chosen.items())
