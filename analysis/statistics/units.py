"""Which scores make a task's unit: all of them, but those of a level that would make every task's unit another one."""

from __future__ import annotations

import numpy as np

from analysis.statistics.crossproducts import Bools, Floats, Ints

UNEVEN = 3.0
"""How much more a level may widen the standard deviation of one task than that of another."""
_FEWEST = 3


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
        Levels that make the unit: more than half of them, and three at least.
    """
    levels = int(level.max()) + 1
    kept = np.ones(levels, dtype=np.bool_)
    while kept.sum() - 1 >= max(_FEWEST, levels // 2 + 1):
        base = _log_sd(values, task, kept[level])
        ranges = np.zeros(levels)
        for i in np.flatnonzero(kept):
            others = kept.copy()
            others[i] = False
            widened = base - _log_sd(values, task, others[level])
            finite = widened[np.isfinite(widened)]
            ranges[i] = np.ptp(finite) if finite.size else 0.0
        worst = int(np.argmax(ranges))
        if ranges[worst] <= np.log(UNEVEN):
            break
        kept[worst] = False
    return kept


def _log_sd(values: Floats, task: Ints, used: Bools) -> Floats:
    """Log of each task's standard deviation over some rows, shape [tasks]; not a number where it has none."""
    result = np.full(int(task.max()) + 1, np.nan)
    for d in range(result.size):
        own = values[(task == d) & used]
        sd = float(own.std(ddof=1)) if own.size > 1 else 0.0
        result[d] = np.log(sd) if sd > 1e-12 * np.abs(own).max(initial=1e-300) else np.nan
    return result
