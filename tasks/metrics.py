"""The metrics that tasks are scored by, as functions on arrays.

Conventions
-----------
`labels` and `scores` have one row a clip and one column a label. With `counts` [clips, replicates], how often
each bootstrap replicate drew each clip, a metric is evaluated on all replicates at once and gains a first axis.
A label without a positive or without a negative clip has no ROC-AUC, and one without a positive no average
precision: its value is NaN, and it is for the caller to leave the label out and say so.

Sources
-------
Area under the ROC curve by the rank statistic with ties counted half (Hanley and McNeil 1982); average precision
as the step-wise sum over distinct thresholds. Both agree with scikit-learn's `roc_auc_score` and
`average_precision_score`; macro averages over tags are what CLMR, TUNe, jukemir and MULE report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
#: labels [clips, L], scores [clips, L], counts [clips, R] or None -> [L] or [R, L]
Metric = Callable[[NDArray[np.generic], NDArray[np.floating], NDArray[np.float32] | None], Array]


def roc_auc(
    labels: NDArray[np.generic], scores: NDArray[np.floating], counts: NDArray[np.float32] | None = None
) -> Array:
    """Area under the ROC curve of every label.

    Parameters
    ----------
    labels : ndarray of 0/1, shape [clips, L]
    scores : ndarray, shape [clips, L]
        Higher means more likely.
    counts : ndarray of float32, shape [clips, R], optional
        How often each replicate holds each clip.

    Returns
    -------
    ndarray, shape [L] or [R, L]
        From 0 to 1; NaN where a label has no positive or no negative clip.
    """
    return _by_label(_roc_auc_of_label, labels, scores, counts)


def average_precision(
    labels: NDArray[np.generic], scores: NDArray[np.floating], counts: NDArray[np.float32] | None = None
) -> Array:
    """Average precision of every label: the area under the precision-recall curve, without interpolation.

    Parameters and returns as in `roc_auc`; NaN where a label has no positive clip.
    """
    return _by_label(_average_precision_of_label, labels, scores, counts)


METRICS: Mapping[str, Metric] = {"roc_auc": roc_auc, "average_precision": average_precision}


def scorable(labels: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Which columns of 0/1 `labels` [clips, L] have both a positive and a negative clip; shape [L]."""
    return np.asarray(labels.any(axis=0) & ~labels.all(axis=0))


def macro(per_label: Array) -> Array:
    """Mean over the last axis of the values that are defined; NaN where none is.

    Labels that the test set cannot score are to be left out beforehand (see `scorable`). What is then still
    undefined is a bootstrap replicate that happens to lack a rare label's positives.
    """
    defined = ~np.isnan(per_label)
    total = np.where(defined, per_label, 0.0).sum(axis=-1)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / defined.sum(axis=-1))


def _by_label(
    of_label: Callable[[NDArray[np.intp], NDArray[np.bool_], NDArray[np.intp], NDArray[np.float32]], Array],
    labels: NDArray[np.generic],
    scores: NDArray[np.floating],
    counts: NDArray[np.float32] | None,
) -> Array:
    if labels.shape != scores.shape or labels.ndim != 2:
        raise ValueError(f"labels {labels.shape} and scores {scores.shape} must have one shape [clips, labels]")
    weights = np.ones((len(labels), 1), np.float32) if counts is None else counts
    values = np.empty((weights.shape[1], labels.shape[1]))
    for column in range(labels.shape[1]):
        # Highest score first; `last` is, for each clip, the last one that shares its score.
        order = np.argsort(-scores[:, column], kind="stable")
        ordered = scores[order, column]
        ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
        last = ends[np.searchsorted(ends, np.arange(len(ordered)))]
        values[:, column] = of_label(order, labels[order, column].astype(bool), last, weights)
    return values[0] if counts is None else values


def _roc_auc_of_label(
    order: NDArray[np.intp], positive: NDArray[np.bool_], last: NDArray[np.intp], weights: NDArray[np.float32]
) -> Array:
    hits = weights[order[positive]]
    # Negatives at or above each position; float32 counts are exact up to 16 million clips.
    above = np.cumsum(weights[order] * ~positive[:, None], axis=0)
    negatives = above[-1].astype(np.float64)
    up_to_last = above[last[positive]]
    first = np.searchsorted(last, last[positive])
    before = np.where(first[:, None] > 0, above[first - 1], np.float32(0))
    outranked = negatives - 0.5 * (up_to_last.astype(np.float64) + before)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((hits * outranked).sum(axis=0) / (hits.sum(axis=0, dtype=np.float64) * negatives))


def _average_precision_of_label(
    order: NDArray[np.intp], positive: NDArray[np.bool_], last: NDArray[np.intp], weights: NDArray[np.float32]
) -> Array:
    hits = weights[order[positive]]
    found = np.cumsum(hits, axis=0, dtype=np.float64)
    retrieved = np.cumsum(weights[order], axis=0)[last[positive]]
    # All positives that share a score are found together.
    together = found[np.searchsorted(last[positive], last[positive], side="right") - 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(retrieved > 0, together / retrieved, 0.0)
        return (
            np.asarray((hits * precision).sum(axis=0) / found[-1]) if len(found) else np.full(weights.shape[1], np.nan)
        )
