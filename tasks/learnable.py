"""Whether a division of labelled clips lets anything be learnt and scored, as labels tell before any audio is read.

What makes a score meaningless is refused: training clips that are all labelled alike, labels most of which are tested
where they were never trained on, and test clips on which no label can be scored. What takes a part of its meaning is
remarked on: single labels without a training or a test clip, and test clips that are all of one class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks import DatasetError
from tasks.base import Clip, Task
from tasks.targets import Kind

#: Names of labels that a sentence gives before it counts the others.
NAMED = 3
#: Above this share of what is tested, labels that were never trained on make a score meaningless.
MOST_UNTRAINED = 0.5
#: What a division may keep together, and a table may say of a clip.
GROUPS = ("artist", "album", "recording")
#: Kinds of labels that stand in a row of numbers a clip.
_ROWS = ("multilabel", "multiclass", "regression", "distribution")


@dataclass(frozen=True)
class Coverage:
    """Labels that a division cannot speak of.

    Attributes
    ----------
    labels
        How many classes or tags the task has.
    untested
        Classes without a test clip; tags without a test clip that has them or without one that has not.
    untrained
        Those without a training clip, or without one in a fold that tests them.
    """

    labels: int
    untested: tuple[str, ...]
    untrained: tuple[str, ...]


def coverage(task: Task) -> Coverage | None:
    """What a task's division cannot speak of; ``None`` for labels that are neither classes nor tags."""
    held = _held(task)
    if held is None:
        return None
    names = np.array(task.label_names, dtype=np.object_)
    tested = _can_be_tested(task, held).any(axis=0)
    trained = np.stack([held[rows].any(axis=0) for rows in task.divisions == "train"])
    untrained = _untrained(task, held).any(axis=0) | ~trained.any(axis=0)
    return Coverage(len(names), tuple(names[~tested]), tuple(names[untrained]))


def check_learnable(task: Task, clips: Callable[[], Sequence[Clip]], where: str) -> None:
    """Raise `DatasetError` if scores on a task would mean nothing: what is wrong with which labels, and the way out.

    Parameters
    ----------
    task
        Divided, with or without folds.
    clips
        Gives those of the dataset, and what the division keeps together; called if something is wrong.
    where
        What the message begins with.
    """
    if task.kind not in _ROWS:
        return
    _check_variety(task, where)
    held = _held(task)
    if held is not None:
        _check_trained(task, held, clips, where)
    if task.kind == "multilabel" and held is not None and not _can_be_tested(task, held).any():
        raise DatasetError(
            f"{where}: not one of {len(task.label_names)} tags has a test clip with it and one without, and none can "
            "be scored; correct the split"
        )
    if task.kind == "regression" and not any(_varies(task, fold).any() for fold in range(len(task.divisions))):
        raise DatasetError(f"{where}: not one column varies among the test clips, and none can be scored")


def remarks(task: Task) -> list[str]:
    """What takes a part of the meaning from scores on a task, a sentence each."""
    found = coverage(task)
    if found is None:
        return []
    said = uncovered(found, task.kind, task.folds is not None)
    if task.kind == "multiclass":
        tested = np.unique(task.labels[task.splits == "test"])
        if len(tested) == 1:
            said.append(f"all test clips are of {task.label_names[int(tested[0])]!r}: a constant answer scores as well")
    return said


def uncovered(found: Coverage, kind: Kind, folds: bool) -> list[str]:
    """Names the labels that a division cannot speak of, a sentence for those not tested and one for those not trained.

    Parameters
    ----------
    found
        What it cannot speak of.
    kind
        Of the labels.
    folds
        Whether the division is one into folds.
    """
    what = "classes" if kind == "multiclass" else "tags"
    lack = "a test clip" if kind == "multiclass" else "both a test clip that has it and one that has not"
    in_fold = " in a fold that tests it" if folds else ""
    return [
        f"{len(names)} of {found.labels} {what} without {lacking}: {some(names)}"
        for names, lacking in ((found.untested, lack), (found.untrained, f"a training clip{in_fold}"))
        if names
    ]


def some(names: Sequence[str]) -> str:
    """A few names, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(repr(str(name)) for name in names[:NAMED]) + more


def _held(task: Task) -> NDArray[np.bool_] | None:
    """Which clip has which class or tag [clips, labels]; ``None`` for other labels."""
    if task.kind == "multiclass":
        return np.asarray(task.labels == np.arange(len(task.label_names)))
    return np.asarray(task.labels == 1) if task.kind == "multilabel" else None


def _can_be_tested(task: Task, held: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which labels each fold can test [folds, labels]."""
    tested = task.divisions == "test"
    positive = np.stack([held[rows].any(axis=0) for rows in tested])
    if task.kind == "multiclass":
        return positive
    return np.asarray(positive & np.stack([(task.labels[rows] == 0).any(axis=0) for rows in tested]))


def _untrained(task: Task, held: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which labels each fold tests without a training clip [folds, labels]."""
    tested, trained = (
        np.stack([held[rows].any(axis=0) for rows in task.divisions == split]) for split in ("test", "train")
    )
    return np.asarray(tested & ~trained)


def _varies(task: Task, fold: int) -> NDArray[np.bool_]:
    """Which columns of values are not the same for all test clips of a fold."""
    values = task.labels[task.divisions[fold] == "test"]
    return np.asarray((values != values[:1]).any(axis=0))


def _check_variety(task: Task, where: str) -> None:
    for division in task.divisions:
        labels = task.labels[division == "train"]
        if len(labels) > 1 and (labels == labels[:1]).all():
            raise DatasetError(
                f"{where}: all {len(labels):,} training clips are labelled alike, and nothing can be learnt from that; "
                "correct the table or its split, or name another task"
            )


def _check_trained(task: Task, held: NDArray[np.bool_], clips: Callable[[], Sequence[Clip]], where: str) -> None:
    """Raise `DatasetError` if most of what is tested was never trained on."""
    untrained = _untrained(task, held)
    counts = np.stack([held[rows].sum(axis=0) for rows in task.divisions == "test"])
    if not counts.sum() or (counts * untrained).sum() <= MOST_UNTRAINED * counts.sum():
        return
    lost = np.flatnonzero(untrained.any(axis=0))
    first = int(lost[0])
    what = "class" if task.kind == "multiclass" else "tag"
    others = f", nor of {len(lost) - 1} more in others" if len(lost) > 1 else ""
    in_fold = f" in fold {int(untrained[:, first].argmax()) + 1}{others}" if task.folds is not None else ""
    if task.folds is None and len(lost) > 1:
        in_fold = f", nor of {len(lost) - 1} more that are tested"
    name = task.label_names[first]
    raise DatasetError(
        f"{where}: no training clip of {what} {name!r}{in_fold}: "
        f"{_reason(task, held[:, first], {clip.id: clip for clip in clips()})}"
    )


def _reason(task: Task, own: NDArray[np.bool_], clips: Mapping[str, Clip]) -> str:
    """Why a label has no training clip, and what to do about it."""
    if task.folds is None:
        return "correct the split, so that what is tested was trained on"
    members = [clips[task.clip_ids[row]] for row in np.flatnonzero(own) if task.clip_ids[row] in clips]
    for group in GROUPS:
        names = {str(getattr(clip, group)) for clip in members}
        if len(names) == 1 and "" not in names:
            return (
                f"all its clips are of one {group} ({names.pop()}), and folds keep those together; "
                f"drop the column `{group}` or name another class"
            )
    if len(members) == 1:
        return "it has a single clip; leave it out, or join it with another class"
    return "its clips are kept together in one part; take fewer folds, or correct artist, album, recording and group"
