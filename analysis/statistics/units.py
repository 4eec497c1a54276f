"""Which scores make a task's unit: all of them, but those of a level that would make every task's unit another one."""

from __future__ import annotations

import numpy as np

from analysis.statistics.crossproducts import Bools, Floats, Ints

MOST, LITTLE = 0.97, 0.8
"""Share of a task's sum of squares that is due to one level: more than the first on two tasks or more, and less than
the second on another, make the units of tasks that level's doing."""
FEWEST = 4
"""Levels that are left to make the unit at least: fewer show too little of what is usual."""


def unit_levels(values: Floats, task: Ints, level: Ints) -> Bools:
    """Find levels whose departures from the others set the units of tasks, and set them unevenly.

    A level that is near the others on some tasks and far off on some makes a difference between two others count little
    where it is far off. So it has no part in the unit, and what else differs does not hang on its presence.

    Parameters
    ----------
    values : ndarray, shape [rows]
        Raw scores.
    task, level : ndarray of int, shape [rows]

    Returns
    -------
    ndarray of bool, shape [levels]
        Levels that make the unit: more than half of them, and four at least.
    """
    levels = int(level.max()) + 1
    kept = np.ones(levels, dtype=np.bool_)
    while kept.sum() - 1 >= max(FEWEST, levels // 2 + 1):
        whole = _squares(values, task, kept[level])
        uneven = np.zeros(levels)
        for i in np.flatnonzero(kept):
            others = kept.copy()
            others[i] = False
            share = 1.0 - _squares(values, task, others[level]) / np.maximum(whole, 1e-300)
            if (share > MOST).sum() >= 2 and (share < LITTLE).any():
                uneven[i] = np.ptp(share)
        if not uneven.any():
            break
        kept[int(np.argmax(uneven))] = False
    return kept


def _squares(values: Floats, task: Ints, used: Bools) -> Floats:
    """Each task's sum of squares about its mean over some rows, shape [tasks]."""
    size = int(task.max()) + 1
    own, codes = values[used], task[used]
    count = np.maximum(np.bincount(codes, minlength=size), 1)
    centred = own - (np.bincount(codes, weights=own, minlength=size) / count)[codes]
    return np.asarray(np.bincount(codes, weights=centred**2, minlength=size), dtype=np.float64)
