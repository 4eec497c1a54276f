"""What folders and file names say of audio files: their class, their split, and what of them belongs together.

Of ``train/rock/band/album/song.mp3`` the folder ``train`` is a split, ``rock`` a class, ``band`` an artist and
``album`` an album: a level of folders whose names are all splits' is the split, the first other level with more than
one folder is the class, and what lies between the class and the file are artist and album, or the album alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from tasks.base import Split

#: Names of folders that are splits, in small letters.
SPLIT_FOLDERS: Mapping[str, Split] = {
    **dict.fromkeys(("train", "training", "train_set", "trainset"), "train"),
    **dict.fromkeys(("valid", "val", "validation", "valid_set", "validset"), "valid"),
    **dict.fromkeys(("test", "testing", "test_set", "testset"), "test"),
}
#: Clips that a class made of file names must have on average.
FEWEST = 3


@dataclass(frozen=True, slots=True)
class Placed:
    """What is known of a file from its place and name; empty where nothing is.

    Attributes
    ----------
    path
        Below the folder, with forward slashes.
    label
        Its class.
    split
        ``None`` where no folder is one.
    artist, album
        Folders below the class's.
    """

    path: str
    label: str = ""
    split: Split | None = None
    artist: str = ""
    album: str = ""


def by_folders(paths: Sequence[str]) -> list[Placed]:
    """What the folders of files say; the classes of all are empty if there are not two folders side by side."""
    folders = [PurePosixPath(path).parts[:-1] for path in paths]
    split = _split_level(folders)
    splits: list[Split | None] = [None] * len(paths)
    if split is not None:
        splits = [SPLIT_FOLDERS[parts[split].casefold()] if len(parts) > split else None for parts in folders]
        folders = [(*parts[:split], *parts[split + 1 :]) for parts in folders]
    common = _common(folders)
    found = []
    for path, parts, own in zip(paths, folders, splits, strict=True):
        label, *below = parts[common:] or ("",)
        artist, album = ("", "") if not below else ("", f"{label}/{below[0]}")
        if len(below) > 1:
            artist, album = below[0], "/".join((label, *below[:2]))
        found.append(Placed(path, label, own, artist, album))
    if len({one.label for one in found} - {""}) < 2:
        return [replace(one, label="", artist="", album="") for one in found]
    return found


def by_names(paths: Sequence[str]) -> list[Placed]:
    """Classes by the first or last word of file names, as in ``rock.00001.wav`` or ``17 kick.wav``.

    Words that are numbers are passed over. All classes are empty if no word makes two classes or more, of `FEWEST`
    clips each on average and two at least.
    """
    words = [_words(PurePosixPath(path).stem) for path in paths]
    if all(words):
        for place in (0, -1):
            counts = Counter(own[place] for own in words)
            if 2 <= len(counts) <= len(paths) / FEWEST and min(counts.values()) > 1:
                return [Placed(path, own[place]) for path, own in zip(paths, words, strict=True)]
    return [Placed(path) for path in paths]


def _words(stem: str) -> list[str]:
    """Words of a name, without digits at their ends."""
    parts = (part.strip("0123456789") for part in re.split(r"[\s._()\[\]-]+", stem))
    return [part.casefold() for part in parts if part]


def _split_level(folders: Sequence[tuple[str, ...]]) -> int | None:
    """Level whose folders are all splits', two of them at least; ``None`` if there is none."""
    for level in range(max(map(len, folders), default=0)):
        names = {parts[level].casefold() for parts in folders if len(parts) > level}
        if names <= SPLIT_FOLDERS.keys() and len({SPLIT_FOLDERS[name] for name in names}) > 1:
            return level
    return None


def _common(folders: Sequence[tuple[str, ...]]) -> int:
    """Levels of folders that all files share."""
    level = 0
    while len({parts[: level + 1] for parts in folders}) == 1 and all(len(parts) > level for parts in folders):
        level += 1
    return level
