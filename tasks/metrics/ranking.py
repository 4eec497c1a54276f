"""How well scores rank: area under the ROC curve and average precision, over clips for a tag or over tags for a clip.

Tag-wise, each tag ranks the test clips and the mean is over tags. Clip-wise, each clip ranks the tags and the mean
is over clips. A tag without a positive or without a negative clip ranks nothing: it is left out of the mean, and
named. The same goes for a clip with no tag or with every tag, so that where clips without any tag are kept (see
`tasks.magnatagatune`) clip-wise scores speak of the tagged clips only, and count them. Where it is not known whether a
clip has a tag (-1), the clip is left out of that tag's ranking, and the tag out of the clip's.

Both agree with scikit-learn's `roc_auc_score` and `average_precision_score`, but for the average precision of a
label whose clips are all positive, which scikit-learn gives as 1 and which is undefined here, as its ROC-AUC is.

Sources
-------
Area under the ROC curve by the rank statistic with ties counted half (Hanley and McNeil 1982); average precision
as the step-wise sum over distinct thresholds. Macro averages over tags are what CLMR, TUNe, jukemir and MULE report;
the CLMR thesis reports clip-wise means too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tasks.metrics.metric import Array, Compute, Counts, Labels, Metric, Predictions, mean_over_clips


def _prevalence(compute: Compute, labels: Labels, outputs: int) -> Array:
    """Frequency of each tag: as good as any other constant, for it ranks no clip above another."""
    del compute, outputs
    known = (labels >= 0).sum(axis=0)
    return np.asarray((labels == 1).sum(axis=0) / np.maximum(known, 1), dtype=np.float64)


def _best_order(compute: Compute, labels: Labels, outputs: int) -> Array:
    """One score a tag [tags], whose order is the constant order of tags that is best on average over clips.

    A clip's ROC-AUC is the share of pairs (a tag it has, one it lacks) in the right order. Summed over clips, the
    gain of ranking tag i above j is u_i - u_j, where u sums the clips that have a tag, each divided by its number of
    such pairs: so no order has a higher mean ROC-AUC than that of u. For average precision no such rule is known, and
    the order of plain frequency can be the better one. Tags that are not known count half, and the rule is a good
    guess then.
    """
    pairs = (labels == 1).sum(axis=1, dtype=np.float64) * (labels == 0).sum(axis=1)
    useful = pairs > 0
    y = np.where(labels < 0, 0.5, labels)
    orders = [(y[useful] / pairs[useful, None]).sum(axis=0), _prevalence(compute, labels, outputs)]
    scores = [float(compute(labels, np.broadcast_to(order, labels.shape), None)[0]) for order in orders]
    return np.asarray(orders[int(scores[1] > scores[0])])


def _rarer(labels: Labels) -> float:
    """Harmonic mean over tags of the number of clips that have it, or that lack it if those are fewer."""
    rarer = np.minimum((labels == 1).sum(axis=0), (labels == 0).sum(axis=0))
    return float(len(rarer[rarer > 0]) / (1 / rarer[rarer > 0]).sum()) if rarer.any() else 0.0


def _has_order(labels: Labels) -> NDArray[np.bool_]:
    return np.asarray((labels == 1).any(axis=1) & (labels == 0).any(axis=1))


def _over_clips(labels: Labels, scores: Predictions, counts: Counts | None, of_label: _OfLabel) -> Array:
    weights = np.ones((len(labels), 1), np.float32) if counts is None else counts
    values = np.empty((weights.shape[1], labels.shape[1]))
    for column in range(labels.shape[1]):
        known = np.flatnonzero(labels[:, column] >= 0)
        if not len(known):
            values[:, column] = np.nan
            continue
        # Highest score first; `last` is, for each clip, the last one that shares its score.
        order = known[np.argsort(-scores[known, column], kind="stable")]
        ordered = scores[order, column]
        ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
        last = ends[np.searchsorted(ends, np.arange(len(ordered)))]
        values[:, column] = of_label(order, labels[order, column] == 1, last, weights)
    return values[0] if counts is None else values


def _roc_auc_of_label(
    order: NDArray[np.intp], positive: NDArray[np.bool_], last: NDArray[np.intp], weights: Counts
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
    order: NDArray[np.intp], positive: NDArray[np.bool_], last: NDArray[np.intp], weights: Counts
) -> Array:
    hits = weights[order[positive]]
    found = np.cumsum(hits, axis=0, dtype=np.float64)
    total = weights[order].sum(axis=0, dtype=np.float64)
    if not len(found):
        return np.full(weights.shape[1], np.nan)
    retrieved = np.cumsum(weights[order], axis=0)[last[positive]]
    # All positives that share a score are found together.
    together = found[np.searchsorted(last[positive], last[positive], side="right") - 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(retrieved > 0, together / retrieved, 0.0)
        return np.where(found[-1] < total, (hits * precision).sum(axis=0) / found[-1], np.nan)


_OfLabel = Callable[[NDArray[np.intp], NDArray[np.bool_], NDArray[np.intp], Counts], Array]


def _tag_wise_roc_auc(labels: Labels, scores: Predictions, counts: Counts | None) -> Array:
    return _over_clips(labels, scores, counts, _roc_auc_of_label)


def _tag_wise_average_precision(labels: Labels, scores: Predictions, counts: Counts | None) -> Array:
    return _over_clips(labels, scores, counts, _average_precision_of_label)


def _ranks(scores: Predictions, method: Literal["average", "max"]) -> Array:
    """Rank of each tag within its clip, from 1 for the lowest score; shape [clips, tags]."""
    # Half a second to import, which a registry need not wait for that only looks up names of metrics.
    from scipy.stats import rankdata

    return np.asarray(rankdata(scores, method=method, axis=1), dtype=np.float64)


def _clip_wise(labels: Labels, scores: Predictions, counts: Counts | None, of_clips: _OfClips) -> Array:
    partial = (labels < 0).any(axis=1)
    values = np.empty(len(labels))
    values[~partial] = of_clips(labels[~partial], scores[~partial])
    for row in np.flatnonzero(partial):
        known = labels[row] >= 0
        values[row] = of_clips(labels[row, known][None], scores[row, known][None])[0] if known.any() else np.nan
    return mean_over_clips(values, counts)


_OfClips = Callable[[Labels, Predictions], Array]


def _areas(labels: Labels, scores: Predictions) -> Array:
    """Area under the ROC curve of each clip [clips]."""
    y = labels.astype(bool)
    positives = y.sum(axis=1, dtype=np.float64)
    negatives = y.shape[1] - positives
    ranks = _ranks(scores, "average")
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(((ranks * y).sum(axis=1) - positives * (positives + 1) / 2) / (positives * negatives))


def _precisions(labels: Labels, scores: Predictions) -> Array:
    """Average precision of each clip [clips]."""
    order = np.argsort(-scores, axis=1, kind="stable")
    y = np.take_along_axis(labels.astype(bool), order, axis=1)
    # Tags at or above each one; those that share a score are retrieved together.
    retrieved = _ranks(-np.take_along_axis(scores, order, axis=1), "max").astype(np.intp)
    found = np.take_along_axis(y.cumsum(axis=1), retrieved - 1, axis=1)
    positives = y.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = (y * found / retrieved).sum(axis=1) / positives
    return np.where(positives < y.shape[1], precision, np.nan)


def _clip_wise_roc_auc(labels: Labels, scores: Predictions, counts: Counts | None) -> Array:
    return _clip_wise(labels, scores, counts, _areas)


def _clip_wise_average_precision(labels: Labels, scores: Predictions, counts: Counts | None) -> Array:
    return _clip_wise(labels, scores, counts, _precisions)


roc_auc = Metric(
    name="roc_auc",
    title="ROC-AUC",
    kind="multilabel",
    compute=_tag_wise_roc_auc,
    fit_constant=_prevalence,
    by_label=True,
    lowest=0.0,
    highest=1.0,
    source="scikit-learn roc_auc_score, macro average over tags",
    margin=0.01,
    settled=290,
    rests_on=_rarer,
)
average_precision = Metric(
    name="average_precision",
    title="AP",
    kind="multilabel",
    compute=_tag_wise_average_precision,
    fit_constant=_prevalence,
    by_label=True,
    lowest=0.0,
    highest=1.0,
    source="scikit-learn average_precision_score, macro average over tags",
    settled=290,
    rests_on=_rarer,
)
roc_auc_clipwise = Metric(
    name="roc_auc_clipwise",
    title="clip-wise ROC-AUC",
    kind="multilabel",
    compute=_clip_wise_roc_auc,
    fit_constant=_best_order,
    by_label=False,
    lowest=0.0,
    highest=1.0,
    source="scikit-learn roc_auc_score on the transposed matrices, mean over tagged clips (CLMR thesis)",
    clips=_has_order,
    margin=0.01,
)
average_precision_clipwise = Metric(
    name="average_precision_clipwise",
    title="clip-wise AP",
    kind="multilabel",
    compute=_clip_wise_average_precision,
    fit_constant=_best_order,
    by_label=False,
    lowest=0.0,
    highest=1.0,
    source="scikit-learn average_precision_score on the transposed matrices, mean over tagged clips (CLMR thesis)",
    clips=_has_order,
)
