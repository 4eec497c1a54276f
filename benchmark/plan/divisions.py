"""What tables and files say, before anything is decoded, of the clips that two tasks share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.base import Clip


@dataclass(frozen=True)
class Members:
    """Clips of one split of a task.

    Attributes
    ----------
    dataset
        Name of the dataset's entry.
    clips
        In the order of the task's table.
    audio
        Hash of the content of each file, by its path; empty where files are not known by their content.
    """

    dataset: str
    clips: Sequence[Clip]
    audio: Mapping[str, str]


def shared_clips(tested: Members, trained: Members) -> list[str]:
    """Ids of the clips of `tested` that `trained` holds too.

    Of one dataset these are the clips of the same id; of two, those that are cut from a file of the same content, and
    not from different parts of it.
    """
    if tested.dataset == trained.dataset:
        ids = {clip.id for clip in trained.clips}
        return [clip.id for clip in tested.clips if clip.id in ids]
    known: dict[str, list[Clip]] = {}
    for clip in trained.clips:
        if clip.path in trained.audio:
            known.setdefault(trained.audio[clip.path], []).append(clip)
    return [
        clip.id
        for clip in tested.clips
        if any(_meet(clip, other) for other in known.get(tested.audio.get(clip.path, ""), ()))
    ]


def _meet(one: Clip, other: Clip) -> bool:
    """Whether two clips of the same file have a part of it in common."""
    if one.excerpt is None or other.excerpt is None:
        return True
    return max(one.excerpt[0], other.excerpt[0]) < min(one.excerpt[1], other.excerpt[1])
