"""Fractions of the training clips, to see how many labels a representation needs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from probes.protocol import Kind


def label_subset(labels: NDArray[np.generic], kind: Kind, fraction: float, seed: int) -> NDArray[np.int64]:
    """Rows of a stratified fraction of clips; smaller fractions lie inside larger ones of the same seed.

    All clips are put into one order, of which every fraction takes the beginning. Classes take turns in proportion
    to their size, each starting with one clip. For several labels at once, the order starts with a clip for every
    label, rarest first, as far as clips found for rarer labels do not have it already (the idea of iterative
    stratification, Sechidis et al. 2011); then it is random. Values are taken in turn from ten classes of equal size.

    Parameters
    ----------
    labels : ndarray, shape [clips, L]
        As in `tasks.base.Task`.
    kind
        How labels are read.
    fraction
        Above 0, up to 1; at least one clip is taken.
    seed
        Of the order.

    Returns
    -------
    ndarray of int64, ascending
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"the fraction of labels must lie above 0 and up to 1, not {fraction:g}")
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(labels))
    if kind == "multilabel":
        order = _labels_first(labels, shuffled)
    else:
        strata = labels[:, 0] if kind == "multiclass" else _tenths(labels[:, 0])
        order = _in_turn(strata, shuffled)
    return np.sort(order[: max(1, round(fraction * len(labels)))])


def _in_turn(strata: NDArray[np.generic], shuffled: NDArray[np.int64]) -> NDArray[np.int64]:
    """Clip k of a stratum of n comes at the place (k + 1/2) / n; first clips of all strata come first."""
    place = np.empty(len(strata))
    for stratum in np.unique(strata):
        own = shuffled[strata[shuffled] == stratum]
        place[own] = (np.arange(len(own)) + 0.5) / len(own)
        place[own[0]] = -1
    return shuffled[np.argsort(place[shuffled], kind="stable")]


def _tenths(values: NDArray[np.generic]) -> NDArray[np.int64]:
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return np.asarray(ranks * 10 // max(1, len(values)))


def _labels_first(labels: NDArray[np.generic], shuffled: NDArray[np.int64]) -> NDArray[np.int64]:
    held = labels[shuffled].astype(bool)
    counts = held.sum(axis=0)
    chosen: list[int] = []
    seen = np.zeros(labels.shape[1], dtype=bool)
    for label in np.argsort(counts, kind="stable"):
        if counts[label] and not seen[label]:
            row = int(np.argmax(held[:, label]))
            chosen.append(row)
            seen |= held[row]
    rest = np.setdiff1d(np.arange(len(shuffled)), chosen)
    return np.asarray(shuffled[np.concatenate([np.array(chosen, dtype=np.int64), rest])])
