"""How good validation outputs are, for all probes of a sweep at once: the loss, or the task's own metric.

The metrics that lead the usual tasks are computed for all members together, by sorting; any other is handed in as a
function and asked member by member. Higher is better throughout.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probes.kinds import UNKNOWN
from probes.objectives import Objective
from probes.readouts.base import Metric


def negative_losses(outputs: Tensor, targets: Tensor, objective: Objective) -> NDArray[np.float64]:
    """Minus the mean loss of outputs [members, n, C] for targets [n, C]; shape [members]."""
    losses = [objective.loss(out, targets) for out in outputs]
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
        Labels and targets that the examples cannot score are left out of ROC-AUC, average precision and R2, and so are
        clips whose tag is not known; no number for a member whose predictions are none.

    Raises
    ------
    ValueError
        If the examples can score nothing.
    """
    if name in ("roc_auc", "average_precision") and labels.shape[1] == predictions.shape[2]:
        return _ranked(name, labels, predictions)
    if name == "accuracy" and labels.shape[1] == 1:
        return np.asarray((predictions.argmax(axis=2) == labels[:, 0]).mean(axis=1))
    if name == "r2":
        return _explained(labels.astype(np.float64), predictions)
    values = np.array([metric(labels, own) for own in predictions])
    if np.isnan(values).all() and np.isfinite(predictions).all():
        raise ValueError(f"the validation clips cannot score {name}, by which the protocol chooses")
    return values


def _explained(truth: NDArray[np.float64], predictions: NDArray[np.float32]) -> NDArray[np.float64]:
    total = ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
    # What rounding leaves of a target that does not vary is far below this.
    varies = total > 1e-24 * (truth**2).sum(axis=0)
    if not varies.any():
        raise ValueError("not one target has two different values among the validation clips")
    residual = ((truth - predictions) ** 2).sum(axis=1)
    return np.asarray((1 - residual[:, varies] / total[varies]).mean(axis=1))


def _ranked(name: str, labels: NDArray[np.generic], predictions: NDArray[np.float32]) -> NDArray[np.float64]:
    scorable = (labels == 1).any(axis=0) & (labels == 0).any(axis=0)
    if not scorable.any():
        raise ValueError("not one label has both a positive and a negative validation clip")
    of_label = _area if name == "roc_auc" else _precision
    scores = np.ascontiguousarray(predictions.transpose(2, 0, 1))
    columns = np.flatnonzero(scorable)
    values = np.mean([of_label(*_known(scores[column], labels[:, column])) for column in columns], axis=0)
    # A sort puts what is no number above all positives and negatives.
    return np.where(np.isnan(scores.sum(axis=(0, 2))), np.nan, values)


def _known(scores: NDArray[np.float32], labels: NDArray[np.generic]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Scores [members, n] and labels [n] of the examples whose label is known."""
    known = np.asarray(labels != UNKNOWN)
    return (scores, labels == 1) if known.all() else (scores[:, known], labels[known] == 1)


def _area(scores: NDArray[np.float32], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Area under the ROC curve of one label [members]: the share of negatives below each positive, ties half."""
    # Numbers alone sort many times faster than with their places.
    negatives = torch.from_numpy(np.sort(np.compress(~positive, scores, axis=1), axis=1))
    positives = torch.from_numpy(np.compress(positive, scores, axis=1))
    below = torch.searchsorted(negatives, positives)
    up_to = torch.searchsorted(negatives, positives, right=True)
    return np.asarray((below + up_to).double().mean(dim=1).numpy() / (2 * negatives.shape[1]))


def _precision(scores: NDArray[np.float32], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Average precision of one label [members]: at each positive, positives among all that score no less."""
    everything = torch.from_numpy(np.sort(scores, axis=1))
    positives = torch.from_numpy(np.sort(np.compress(positive, scores, axis=1), axis=1))
    found = positives.shape[1] - torch.searchsorted(positives, positives)
    retrieved = everything.shape[1] - torch.searchsorted(everything, positives)
    return np.asarray((found / retrieved.double()).mean(dim=1).numpy())
