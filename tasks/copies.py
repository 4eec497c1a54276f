"""Test clips whose audio is that of a training clip: what is scored on them was learnt by heart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tasks.base import Task

#: Copies that a sentence names.
NAMED = 3


def copies(task: Task, content: Mapping[str, str]) -> dict[str, str]:
    """Test clips of a task that are the same audio as a training clip of the same fold, and that clip.

    Parameters
    ----------
    task
        Its division.
    content
        What determines a clip's audio, such as a hash of its samples, by the clip's id; clips without it are not
        compared.

    Returns
    -------
    dict
        Id of a test clip -> id of the first training clip that is the same, in the order of the task.
    """
    found: dict[str, str] = {}
    for division in task.divisions:
        trained: dict[str, str] = {}
        for clip_id, split in zip(task.clip_ids, division, strict=True):
            if split == "train" and content.get(clip_id):
                trained.setdefault(content[clip_id], clip_id)
        for clip_id, split in zip(task.clip_ids, division, strict=True):
            if split == "test" and content.get(clip_id, "") in trained:
                found[clip_id] = trained[content[clip_id]]
    order = {clip_id: place for place, clip_id in enumerate(task.clip_ids)}
    return dict(sorted(found.items(), key=lambda pair: order[pair[0]]))


def copied(task: Task, content: Mapping[str, str]) -> Iterator[str]:
    """Says of a task, if it has them, how many of its test clips are training clips too; see `copies`."""
    found = copies(task, content)
    if found:
        some = ", ".join(f"{one} is {other}" for one, other in list(found.items())[:NAMED])
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        tested = int((task.splits == "test").sum())
        yield f"{len(found)} of {tested} test clips are, byte for byte, training clips: {some}{more}"
