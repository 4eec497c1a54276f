"""Cross-validation for tasks whose source gives no split: each clip is tested once, and no group straddles a part."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tasks import DatasetError
from tasks.base import SPLITS, Clip, Task

#: One seed for all runs: the folds are part of the task, and scores on other folds are scores of another task.
FOLD_SEED = 0


class Described(Protocol):
    """As much of a dataset as is needed to divide a task of it."""

    @property
    def root(self) -> Path | str:
        """Its folder, for complaints."""

    def clips(self) -> Sequence[Clip]:
        """Its clips, with their artists, albums and recordings."""


def divide(task: Task, dataset: Described, folds: int | None) -> Task:
    """The task as it is, or its clips divided anew into folds.

    Clips are kept together that share an artist, album, recording, group or file, directly or through others, and parts
    are made as similar in labels as that allows (scikit-learn's `StratifiedGroupKFold`): in classes; in tenths of
    the first target; or, for tags, in the rarest tag of each clip. In fold ``k`` the part ``k`` is tested, the part
    after it validates and the others train, as in HEAR's tasks with folds (Turian et al. 2022).

    Parameters
    ----------
    task
        As its dataset gives it.
    dataset
        Knows artists, albums and recordings of its clips.
    folds
        How many; ``None`` for the split that the dataset gives.

    Returns
    -------
    Task
        With folds, every clip is of the split ``"test"``, and `Task.folds` says what it is in each fold.

    Raises
    ------
    DatasetError
        If a table cannot be parsed, the source gives no split and no folds are asked for, or there are too few groups
        or labels for them.
    """
    if folds is None:
        if not np.isin(task.splits, SPLITS).all():
            raise DatasetError(
                f"{dataset.root}: the source gives no split; add a column split, or `folds: 5` to the task's entry"
            )
        return task
    of_clip = _together(task, dataset.clips())
    groups = len(np.unique(of_clip))
    if groups < folds:
        raise DatasetError(
            f"{dataset.root}: {len(task.clip_ids)} clips in {groups} groups, by artist, album, recording and group, "
            f"cannot be divided into {folds} folds"
        )
    part = _parts(task.targets.strata(folds), of_clip, folds, dataset.root)
    names = np.full((folds, len(part)), "train", dtype="<U5")
    for fold in range(folds):
        names[fold, part == fold] = "test"
        names[fold, part == (fold + 1) % folds] = "valid"
    return replace(task, splits=np.full(len(part), "test"), folds=names)


def _together(task: Task, clips: Sequence[Clip]) -> NDArray[np.int64]:
    """Number of each clip's group [clips]: clips are linked by every name they share."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    by_id = {clip.id: clip for clip in clips}
    names: dict[tuple[str, str], int] = {}
    ends: list[tuple[int, int]] = []
    for row, clip_id in enumerate(task.clip_ids):
        clip = by_id[clip_id]
        shared = {"artist": clip.artist, "album": clip.album, "recording": clip.recording, "group": task.groups[row]}
        if clip.excerpt is not None:
            shared["file"] = clip.path
        for kind, name in shared.items():
            if name:
                ends.append((row, len(by_id) + names.setdefault((kind, str(name)), len(names))))
    size = len(by_id) + len(names)
    rows, columns = np.array(ends).T
    graph = coo_array((np.ones(len(ends)), (rows, columns)), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1][: len(task.clip_ids)], dtype=np.int64)


def _parts(of_clip: NDArray[np.int64], groups: NDArray[np.int64], folds: int, root: Path | str) -> NDArray[np.int64]:
    """Part that each clip is in."""
    from sklearn.model_selection import StratifiedGroupKFold

    divider = StratifiedGroupKFold(folds, shuffle=True, random_state=FOLD_SEED)
    part = np.full(len(of_clip), -1)
    try:
        with warnings.catch_warnings():
            # A rare class is in some parts only; scores say which labels a fold could not speak of.
            warnings.simplefilter("ignore", UserWarning)
            for fold, (_, tested) in enumerate(divider.split(of_clip, of_clip, groups)):
                part[tested] = fold
    except ValueError:
        raise DatasetError(f"{root}: no label has as many clips as there are folds, {folds}") from None
    empty = [fold for fold in range(folds) if not (part == fold).any()]
    if empty:
        raise DatasetError(f"{root}: the groups are too large to be divided into {folds} folds; take fewer")
    return part
