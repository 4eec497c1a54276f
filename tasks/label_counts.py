"""How many clips of each split have each label of a task."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tasks.base import Task

SPLITS = ("train", "valid", "test")
#: What stands in a split's place where every clip is tested in one of several folds.
ALL = "all"


def label_counts(task: Task) -> tuple[list[str], dict[str, int], dict[str, list[int]]] | None:
    """Labels, the most frequent first; clips of each split that has some; and how many of these have each label.

    ``None`` where labels are numbers or plays, or there are no clips.
    """
    held = task.targets.holders()
    if held is None or not held.size:
        return None
    names = [ALL] if task.folds is not None else [split for split in SPLITS if (task.splits == split).any()]
    rows: dict[str, NDArray[np.bool_]] = {
        name: np.ones(len(held), bool) if name == ALL else np.asarray(task.splits == name) for name in names
    }
    order = np.argsort(-held[np.any([*rows.values()], axis=0)].sum(axis=0), kind="stable")
    return (
        [task.label_names[label] for label in order.tolist()],
        {name: int(own.sum()) for name, own in rows.items()},
        {name: held[own].sum(axis=0)[order].tolist() for name, own in rows.items()},
    )
