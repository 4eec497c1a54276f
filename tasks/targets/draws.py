"""Orders in which training clips are drawn, so that a smaller draw lies inside every larger one of the same seed."""

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
