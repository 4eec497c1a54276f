"""What test clips share with clips that something was trained on: artists, albums, recordings, and clips themselves."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tasks.base import Clip, Split, Task

#: What must not straddle a split.
GROUPS = ("artist", "album", "recording")
#: A split, and one that it should share nothing with.
PAIRS: tuple[tuple[Split, Split], ...] = (("test", "train"), ("test", "valid"), ("valid", "train"))


@dataclass(frozen=True)
class Leak:
    """Groups of one split of a task that are in another split too.

    Attributes
    ----------
    task
        Name of the task in the registry.
    group
        ``"artist"``, ``"album"`` or ``"recording"``.
    split, other
        The split and the one it shares groups with.
    groups, groups_shared
        Groups of `split`, and those of them that `other` has too.
    clips, clips_shared
        Clips of `split`, and those of them whose group is shared.
    clips_unknown
        Clips of `split` whose group is not known.
    """

    task: str
    group: str
    split: str
    other: str
    groups: int
    groups_shared: int
    clips: int
    clips_shared: int
    clips_unknown: int


@dataclass(frozen=True)
class Overlap:
    """Test clips of a task that a pretraining corpus holds something of.

    Attributes
    ----------
    task, corpus
        Names in the registry.
    clips
        Test clips of the task.
    same_clips, same_recordings, same_artists
        How many of them are in the corpus, are cut from a recording that is in it, or are by an artist who is in it.
    """

    task: str
    corpus: str
    clips: int
    same_clips: int
    same_recordings: int
    same_artists: int


def leaks(name: str, task: Task, clips: Sequence[Clip]) -> list[Leak]:
    """Groups that straddle the split of the task called `name`, for every kind of group that is known of any clip."""
    by_id = {clip.id: clip for clip in clips}
    members: dict[str, list[Clip]] = {}
    for clip_id, split in zip(task.clip_ids, task.splits, strict=True):
        members.setdefault(str(split), []).append(by_id[clip_id])
    found = []
    for group in GROUPS:
        if not any(getattr(clip, group) for of_split in members.values() for clip in of_split):
            continue
        names = {split: [str(getattr(clip, group)) for clip in of_split] for split, of_split in members.items()}
        for split, other in PAIRS:
            own = names.get(split, [])
            shared = (set(own) & set(names.get(other, []))) - {""}
            found.append(
                Leak(
                    task=name,
                    group=group,
                    split=split,
                    other=other,
                    groups=len(set(own) - {""}),
                    groups_shared=len(shared),
                    clips=len(own),
                    clips_shared=sum(value in shared for value in own),
                    clips_unknown=own.count(""),
                )
            )
    return found


def overlap(task: str, test: Sequence[Clip], corpus: str, pretrained: Sequence[Clip], same_dataset: bool) -> Overlap:
    """Compare the test clips of `task` with the clips of `corpus`.

    Clips are compared by name within a dataset. Recordings and artists of two datasets are compared by the letters
    and digits of their names, so one that is spelt differently is missed.
    """
    ids = {clip.id for clip in pretrained} if same_dataset else set()
    recordings = _spelt({clip.recording for clip in pretrained}, same_dataset)
    artists = _spelt({clip.artist for clip in pretrained}, same_dataset)
    return Overlap(
        task=task,
        corpus=corpus,
        clips=len(test),
        same_clips=sum(clip.id in ids for clip in test),
        same_recordings=sum(_key(clip.recording, same_dataset) in recordings for clip in test),
        same_artists=sum(_key(clip.artist, same_dataset) in artists for clip in test),
    )


def members(task: Task, clips: Mapping[str, Clip], split: Split) -> Iterator[Clip]:
    """Clips of one split of a task."""
    for clip_id, of in zip(task.clip_ids, task.splits, strict=True):
        if of == split:
            yield clips[clip_id]


def _spelt(names: Collection[str], exactly: bool) -> set[str]:
    return {_key(name, exactly) for name in names} - {""}


def _key(name: str, exactly: bool) -> str:
    if exactly:
        return name
    plain = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in plain if letter.isalnum())
