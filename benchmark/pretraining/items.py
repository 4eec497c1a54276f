"""What a training example is cut from: a clip, or a song whose clips are joined.

The first version of CLMR's code joined the clips of a song to one file, so that no clip of a song could be a negative
of another; its second version, and TUNe, took every clip by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmark.store.pcm import Pcm, PcmClip


@dataclass(frozen=True)
class Item:
    """Clips that are cut as if they were one, in the order in which they lie on the disk."""

    clips: tuple[PcmClip, ...]

    @property
    def samples(self) -> int:
        """Length of all clips together [samples]."""
        return sum(clip.samples for clip in self.clips)


def items_of(clips: Sequence[PcmClip], kind: Literal["clip", "song"], window: int) -> list[Item]:
    """Items of at least `window` samples, in the order of their first clips.

    Parameters
    ----------
    clips
        The corpus.
    kind
        ``"clip"``: every clip by itself. ``"song"``: the clips of one recording joined; a clip whose recording is
        not known stays by itself.
    window
        Length of a crop [samples].
    """
    groups: dict[tuple[str, ...], list[PcmClip]] = {}
    for clip in clips:
        known = kind == "song" and clip.recording
        name = ("recording", clip.artist, clip.album, clip.recording) if known else ("clip", clip.id)
        groups.setdefault(name, []).append(clip)
    items = [Item(tuple(group)) for group in groups.values()]
    return [item for item in items if item.samples >= window]


def divide(pcm: Pcm, splits: Sequence[str] | None) -> tuple[list[PcmClip], list[PcmClip]]:
    """Clips to train on, and clips of the validation split, if it is not among them, to watch the training by."""
    corpus = [clip for clip in pcm.clips if splits is None or clip.split in splits]
    held_out = [clip for clip in pcm.clips if splits is not None and clip.split == "valid" and "valid" not in splits]
    return corpus, held_out
