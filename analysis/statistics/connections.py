"""Which levels can be compared at all: those that a chain of shared tasks joins."""

from __future__ import annotations

from collections import deque

import numpy as np

from analysis.errors import AnalysisError
from analysis.statistics.crossproducts import Bools, Ints


def seen_cells(level_code: Ints, group_code: Ints, levels: int, tasks: int) -> Bools:
    """Whether a level has a score on a task, shape [levels, tasks]."""
    seen = np.zeros((levels, tasks), dtype=np.bool_)
    seen[level_code, group_code] = True
    return seen


def need_connected(seen: Bools, levels: list[str], tasks: list[str], key: str, group: str) -> None:
    """Refuse levels that no chain of tasks joins: a difference between them is that of their tasks.

    Raises
    ------
    AnalysisError
        Naming the sets of levels with their tasks, and scores that would join them.
    """
    left = set(range(len(levels)))
    sets = []
    while left:
        own = _reach(seen, min(left))
        sets.append(sorted(own))
        left -= own
    if len(sets) == 1:
        return
    parts = [
        f"{_listed([levels[i] for i in own])} (on {_listed([t for d, t in enumerate(tasks) if seen[own, d].any()])})"
        for own in sets
    ]
    first = next(task for d, task in enumerate(tasks) if seen[sets[0], d].any())
    joins = " and ".join(f"a score of {levels[own[0]]}" for own in sets[1:])
    raise AnalysisError(
        f"nothing can be said of levels of {key} that no chain of shared {group}s joins, and here {' and '.join(parts)}"
        f" share none: {joins} on {first} would join them, or keep one set with --where"
    )


def _reach(seen: Bools, start: int) -> set[int]:
    found, waiting = {start}, [start]
    while waiting:
        tasks = seen[waiting.pop()]
        new = set(np.flatnonzero(seen[:, tasks].any(axis=1)).tolist()) - found
        found |= new
        waiting += new
    return found


def chain(seen: Bools, a: int, b: int) -> list[int]:
    """Levels between two, each of which shares a task with the next: the shortest such chain, without its ends."""
    shares = seen @ seen.T
    before = {a: a}
    queue = deque([a])
    while queue and b not in before:
        here = queue.popleft()
        for other in np.flatnonzero(shares[here]).tolist():
            if other not in before:
                before[other] = here
                queue.append(other)
    steps, here = [], before.get(b, a)
    while here != a:
        steps.append(here)
        here = before[here]
    return steps[::-1]


def _listed(names: list[str], most: int = 6) -> str:
    shown = names[:most] + ([f"{len(names) - most} more"] if len(names) > most else [])
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
