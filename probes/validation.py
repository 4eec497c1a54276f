"""How good validation outputs are, for all probes of a sweep at once: the loss, or the task's own metric.

The metrics that lead the usual tasks are computed for all members together, by sorting; any other is handed in as a
function and asked member by member. Higher is better throughout.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from probes.protocol import Kind

#: labels [n, L], predictions [n, C] -> a number, higher being better
Metric = Callable[[NDArray[np.generic], NDArray[np.float32]], float]
#: Scores sorted at once: a cache's worth.
_BLOCK = 1 << 17


def negative_losses(outputs: Tensor, targets: Tensor, kind: Kind) -> NDArray[np.float64]:
    """Minus the mean loss of outputs [members, n, C] for targets [n, C]; shape [members]."""
    if kind == "multilabel":
        losses = [F.binary_cross_entropy_with_logits(out, targets) for out in outputs]
    elif kind == "multiclass":
        classes = targets.argmax(dim=1)
        losses = [F.cross_entropy(out, classes) for out in outputs]
    else:
        losses = [F.mse_loss(out, targets) for out in outputs]
    return -torch.stack(losses).double().cpu().numpy()


def stacked_metric(
    name: str, metric: Metric, labels: NDArray[np.generic], predictions: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Metric of every member.

    Parameters
    ----------
    name
        Of the metric; ``roc_auc``, ``average_precision``, ``accuracy`` and ``r2`` are computed for all at once.
    metric
        The same metric as a function, for all other names.
    labels : ndarray, shape [n, L]
    predictions : ndarray of float32, shape [members, n, C]

    Returns
    -------
    ndarray, shape [members]
        Labels that the examples cannot score are left out of ROC-AUC and average precision.
    """
    if name in ("roc_auc", "average_precision") and labels.shape[1] == predictions.shape[2]:
        return _ranked(name, labels, predictions)
    if name == "accuracy" and labels.shape[1] == 1:
        return np.asarray((predictions.argmax(axis=2) == labels[:, 0]).mean(axis=1))
    if name == "r2":
        truth = labels.astype(np.float64)
        residual = ((truth - predictions) ** 2).sum(axis=1)
        total = ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
        return np.asarray((1 - residual / np.where(total > 0, total, np.nan)).mean(axis=1))
    return np.array([metric(labels, own) for own in predictions])


def _ranked(name: str, labels: NDArray[np.generic], predictions: NDArray[np.float32]) -> NDArray[np.float64]:
    scorable = labels.any(axis=0) & ~labels.all(axis=0)
    if not scorable.any():
        raise ValueError("not one label has both a positive and a negative validation clip")
    positive = np.ascontiguousarray(labels[:, scorable].T.astype(np.int64))
    found = np.empty((len(predictions), len(positive)))
    block = max(1, _BLOCK // positive.size)
    all_scorable = bool(scorable.all())
    for first in range(0, len(predictions), block):
        part = predictions[first : first + block]
        scores = np.ascontiguousarray((part if all_scorable else part[:, :, scorable]).transpose(0, 2, 1))
        found[first : first + block] = _by_label(name, scores, positive)
    return np.asarray(found.mean(axis=1))


def _by_label(name: str, scores: NDArray[np.float32], positive: NDArray[np.int64]) -> NDArray[np.float64]:
    """[members, L] from scores [members, L, n] and labels [L, n]."""
    # Each score as an integer of the same order, its label in the lowest bit: one sort carries both.
    bits = np.asarray(scores + np.float32(0)).view(np.int32)
    keys = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(np.int64)
    keys <<= 1
    keys |= positive
    keys.sort(axis=2)
    hits = keys & 1
    n, total = keys.shape[2], positive.sum(axis=1)
    keys >>= 1
    tied = (keys[..., 1:] == keys[..., :-1]).any(axis=2)
    if name == "roc_auc":
        ranks = hits.astype(np.float64) @ np.arange(n, dtype=np.float64)
        values = (ranks - total * (total - 1) / 2) / (total * (n - total))
    else:
        falling = hits[..., ::-1].astype(np.float64)
        values = (falling * np.cumsum(falling, axis=2)) @ (1 / np.arange(1, n + 1)) / total
    for member, label in np.argwhere(tied):
        values[member, label] = _with_ties(name, keys[member, label], hits[member, label])
    return np.asarray(values, dtype=np.float64)


def _with_ties(name: str, keys: NDArray[np.int64], hits: NDArray[np.int64]) -> float:
    """One label whose sorted scores hold equal ones: ties count half, or are retrieved together."""
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    positives = np.add.reduceat(hits, starts)
    sizes = np.diff(np.append(starts, len(keys)))
    if name == "roc_auc":
        negatives = sizes - positives
        below = np.cumsum(negatives) - negatives
        return float((positives * (below + negatives / 2)).sum() / (positives.sum() * negatives.sum()))
    found, retrieved = np.cumsum(positives[::-1]), np.cumsum(sizes[::-1])
    return float((positives[::-1] * found / retrieved).sum() / positives.sum())
