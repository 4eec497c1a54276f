"""Some clips of a dataset, to see in a minute whether all works: of every split its share, and of every class some."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.base import Clip, Dataset, Task
from tasks.folds import divide

#: Clips of a split, or of what a fold tests, that are kept at least, if it has them.
LEAST = 2


def limited(task: Task, clips: int) -> Task:
    """A task on about so many of its clips, the same whenever it is asked.

    Every split, or what each fold tests, keeps its share of the clips; of its strata (classes, rarest tags) each gives
    one clip before any gives a second.

    Parameters
    ----------
    task
        Divided; see `tasks.folds.divide`.
    clips
        How many in all; every split keeps at least `LEAST`.
    """
    parts = task.splits
    if task.folds is not None:
        parts = task.tested_in.astype(np.str_)
    strata = task.targets.strata()
    place = _places(task.clip_ids)
    kept = np.zeros(len(parts), dtype=np.bool_)
    for part in np.unique(parts):
        rows = np.flatnonzero(parts == part)
        share = max(LEAST, round(clips * len(rows) / len(parts)))
        rows = rows[np.argsort(place[rows], kind="stable")]
        rank = np.zeros(len(rows), dtype=np.int64)
        for stratum in np.unique(strata[rows]):
            own = strata[rows] == stratum
            rank[own] = np.arange(own.sum())
        kept[rows[np.argsort(rank, kind="stable")[:share]]] = True
    return replace(
        task,
        clip_ids=tuple(clip_id for clip_id, keep in zip(task.clip_ids, kept, strict=True) if keep),
        splits=task.splits[kept],
        targets=task.targets.take(kept),
        groups=task.groups[kept],
        folds=None if task.folds is None else task.folds[:, kept],
    )


def limited_clips(dataset: Dataset, clips: Sequence[Clip], limit: Mapping[str, Any]) -> list[Clip]:
    """The clips that a limit leaves, in the order given.

    Parameters
    ----------
    dataset
        Whose clips they are.
    clips
        All of them.
    limit
        ``clips``, how many; for those of a task, its ``options`` and ``folds`` too.
    """
    if "options" in limit:
        task = divide(dataset.task(**limit["options"]), dataset, limit.get("folds"))
        chosen = set(limited(task, limit["clips"]).clip_ids)
    else:
        order = np.argsort(_places([clip.id for clip in clips]), kind="stable")[: limit["clips"]]
        chosen = {clips[row].id for row in order}
    return [clip for clip in clips if clip.id in chosen]


def _places(names: Sequence[str]) -> NDArray[np.uint64]:
    """Where each name stands in an order that has nothing to do with tables [names]."""
    digests = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names]
    return np.frombuffer(b"".join(digests), dtype=np.uint64) if digests else np.empty(0, np.uint64)
