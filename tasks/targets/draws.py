"""Orders in which training clips, or windows of them, are drawn.

A smaller draw lies inside every larger one of the same seed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def in_turn(strata: NDArray[np.integer], shuffled: NDArray[np.int64]) -> NDArray[np.int64]:
    """Order in which strata take turns in proportion to their size [clips].

    Clip k of a stratum of n comes at the place (k + 1/2) / n; first clips of all strata come first.

    Parameters
    ----------
    strata : ndarray of int, shape [clips]
    shuffled : ndarray of int64, shape [clips]
        All rows in random order, which decides within a stratum.
    """
    place = np.empty(len(strata))
    for stratum in np.unique(strata):
        own = shuffled[strata[shuffled] == stratum]
        place[own] = (np.arange(len(own)) + 0.5) / len(own)
        place[own[0]] = -1
    return shuffled[np.argsort(place[shuffled], kind="stable")]


def of_each_set(sets: NDArray[np.integer], fraction: float, shuffled: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows are drawn if each set of n rows gives the whole part of `fraction` times n, and at least one.

    Source: draw of the label experiments in the first version of CLMR's released code (branch v1), where rows are
    windows and a set is those of equal tag vectors. Of rare sets it takes one of few, so that a small fraction draws
    many more.

    Parameters
    ----------
    sets : ndarray of int, shape [rows]
    fraction
        Above 0, up to 1.
    shuffled : ndarray of int64, shape [rows]
        All rows in random order, of which each set gives its first.
    """
    drawn = np.zeros(len(sets), dtype=bool)
    ordered = shuffled[np.argsort(sets[shuffled], kind="stable")]
    for own in np.split(ordered, np.flatnonzero(np.diff(sets[ordered])) + 1):
        # What rounding leaves of 0.29 times 100 is 29.
        drawn[own[: max(1, int(fraction * len(own) + 1e-9))]] = True
    return drawn


def every_label(held: NDArray[np.bool_], shuffled: NDArray[np.int64], times: int) -> NDArray[np.int64]:
    """Rows [chosen] with which every label has `times` clips, or all that there are of it, in the order of choice.

    Round by round each label, the rarest first, gets one more clip unless clips found for others have done that
    already (the idea of iterative stratification, Sechidis et al. 2011).

    Parameters
    ----------
    held : ndarray of bool, shape [clips, labels]
        Which clip is known to have which label.
    shuffled : ndarray of int64, shape [clips]
        All rows in random order, in which clips of a label are taken.
    times
        Rounds; those of a smaller number are the beginning.
    """
    mixed = held[shuffled]
    totals = mixed.sum(axis=0)
    places = [np.flatnonzero(column) for column in mixed.T]
    chosen: list[int] = []
    taken = np.zeros(len(mixed), dtype=bool)
    counts = np.zeros(mixed.shape[1], dtype=np.int64)
    for turn in range(1, times + 1):
        for label in np.argsort(totals, kind="stable"):
            if counts[label] < min(turn, totals[label]):
                row = int(places[label][~taken[places[label]]][0])
                chosen.append(row)
                taken[row] = True
                counts += mixed[row]
    return shuffled[np.array(chosen, dtype=np.int64)]
