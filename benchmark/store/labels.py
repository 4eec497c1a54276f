"""Labels and split of a task, in one file of arrays."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from tasks.base import Task
from tasks.targets import targets_from


def write_labels(path: Path, task: Task, usable: NDArray[np.bool_]) -> None:
    """Keep the labels and splits of the clips of a task that are usable [clips]."""
    arrays: dict[str, Any] = {**task.targets.take(usable).arrays()}
    if task.folds is not None:
        arrays["folds"] = task.folds[:, usable]
    np.savez_compressed(
        path,
        clip_ids=np.array(task.clip_ids, dtype=np.str_)[usable],
        splits=task.splits[usable],
        groups=task.groups[usable],
        **arrays,
    )


def read_labels(path: Path | IO[bytes]) -> Task:
    """The task that `write_labels` kept, for its usable clips."""
    with np.load(path, allow_pickle=False) as arrays:
        return Task(
            clip_ids=tuple(arrays["clip_ids"].tolist()),
            splits=arrays["splits"],
            targets=targets_from(arrays),
            groups=arrays["groups"],
            folds=arrays.get("folds"),
        )
