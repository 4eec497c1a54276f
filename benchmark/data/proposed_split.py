"""A split of labelled files that keeps together what one artist, one album or one recording is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmark.data.proposed_classes import Labelled
from tasks import DatasetError
from tasks.base import SPLITS, Clip, Split, Task
from tasks.folds import divide
from tasks.learnable import some
from tasks.targets import Classes

#: Parts that files are divided into: one is tested, one validates, the others train.
PARTS = 5
#: What a class must have, files or groups of them, to be in all three splits.
FEWEST = len(SPLITS)


@dataclass(frozen=True)
class ProposedSplit:
    """Splits of files.

    Attributes
    ----------
    splits
        Of each file; ``None`` for one that is in none.
    kept
        What was kept together, in a sentence, or why it was not.
    doubts
        What the splits lack.
    """

    splits: Sequence[Split | None]
    kept: Sequence[str]
    doubts: Sequence[str]


def propose_split(files: Sequence[Labelled], folder: str) -> ProposedSplit:
    """Divide labelled files into training, validation and test, some 3 : 1 : 1, or as the folders they lie in say.

    The files of an artist are kept together. In a class of fewer than three artists, those of an album are; in one of
    fewer than three albums, nothing is but copies of the same file.

    Parameters
    ----------
    files
        With their classes; a file without one is in no split, and so are those of a class with fewer than three.
    folder
        What the message of an error begins with.

    Raises
    ------
    DatasetError
        If there are too few files, or too few groups of them, for three splits.
    """
    given = {file.split for file in files}
    if given >= set(SPLITS):
        return ProposedSplit(
            [file.split if file.label else None for file in files], ["splits are those of folders"], []
        )
    if {"train", "test"} <= given:
        return _validated(files, folder)
    labels = np.array([file.label for file in files])
    names, sizes = np.unique(labels[labels != ""], return_counts=True)
    tiny = [str(name) for name in names[sizes < FEWEST]]
    used = np.flatnonzero((labels != "") & ~np.isin(labels, tiny))
    doubts = [f"fewer than {FEWEST} files, and therefore in no split: {some(tiny)}"] if tiny else []
    chosen = [files[row] for row in used.tolist()]
    if len({file.label for file in chosen}) < 2:
        raise DatasetError(f"{folder}: fewer than two classes have {FEWEST} files, and none can be split")
    levels = {name: _level([file for file in chosen if file.label == name]) for name in {f.label for f in chosen}}
    division = _divided([_kept(file, levels[file.label]) for file in chosen], folder)
    found: list[Split | None] = [None] * len(files)
    for row, split in zip(used.tolist(), division, strict=True):
        found[row] = next(one for one in SPLITS if one == split)
    for split in SPLITS:
        own = {file.label for file, one in zip(files, found, strict=True) if one == split}
        if lacking := sorted(levels.keys() - own):
            doubts.append(f"without a {split} clip: {some(lacking)}")
    return ProposedSplit(found, list(_sentences(chosen, levels)), doubts)


def _validated(files: Sequence[Labelled], folder: str) -> ProposedSplit:
    """Splits of folders that say what trains and what is tested: a part of what trains validates."""
    rows = [row for row, file in enumerate(files) if file.split == "train"]
    own = propose_split([replace(files[row], split=None) for row in rows], folder)
    splits: list[Split | None] = ["test" if file.split == "test" and file.label else None for file in files]
    for row, split in zip(rows, own.splits, strict=True):
        splits[row] = "valid" if split == "test" else "train" if split is not None else None
    doubts = [doubt for doubt in own.doubts if not doubt.startswith("without")]
    return ProposedSplit(splits, ["splits are those of folders, and a part of train validates", *own.kept], doubts)


def _level(files: Sequence[Labelled]) -> str:
    """What the files of one class are kept together by: the first of these that parts them into three groups."""
    if any(file.artist for file in files) and len({file.artist or file.file.path for file in files}) >= FEWEST:
        return "artist"
    if any(file.album for file in files) and len({file.album or file.file.path for file in files}) >= FEWEST:
        return "album"
    return ""


def _kept(file: Labelled, level: str) -> Labelled:
    """A file that says of itself only what it is kept together by: an artist implies the albums."""
    artist = file.artist if level == "artist" else ""
    return replace(file, artist=artist, album=file.album if level and not artist else "")


@dataclass(frozen=True)
class _Files:
    """As much of a dataset as is needed to divide it."""

    root: str
    files: Sequence[Labelled]

    def clips(self) -> list[Clip]:
        return [Clip(one.file.path, one.file.path, None, one.artist, one.album) for one in self.files]


def _divided(files: Sequence[Labelled], folder: str) -> NDArray[np.str_]:
    """Split of each file: of all ways to test one part and validate another, the one with the most classes in each."""
    names = tuple(sorted({file.label for file in files}))
    task = Task(
        clip_ids=tuple(file.file.path for file in files),
        splits=np.full(len(files), "", dtype="<U5"),
        targets=Classes(names, np.array([names.index(file.label) for file in files])),
        groups=np.array([file.file.content or file.file.path for file in files]),
    )
    trouble: DatasetError | None = None
    for parts in range(PARTS, FEWEST - 1, -1):
        try:
            divided = divide(task, _Files(folder, files), parts)
        except DatasetError as error:
            trouble = trouble or error
            continue
        assert divided.folds is not None
        classes = task.labels[:, 0]
        covered = [sum(len(np.unique(classes[own == split])) for split in SPLITS) for own in divided.folds]
        return np.asarray(divided.folds[int(np.argmax(covered))])
    assert trouble is not None
    raise trouble


def _sentences(files: Sequence[Labelled], levels: dict[str, str]) -> list[str]:
    """What is kept together in which classes, and why no more is in the others."""
    by_level = {
        level: sorted(name for name, own in levels.items() if own == level) for level in ("artist", "album", "")
    }
    found = []
    if by_level["artist"]:
        known = sum(bool(file.artist) for file in files)
        of = "" if known == len(files) else f", who are known of {known:,} of {len(files):,} files"
        where = "" if len(by_level["artist"]) == len(levels) else f" of {len(by_level['artist'])} classes"
        found.append(f"artists{where} are kept together{of}")
    for level, what in (("album", "albums, not artists,"), ("", "only copies of a file")):
        own = by_level[level]
        if not own:
            continue
        members = [file for file in files if file.label in own]
        artists = {name: {file.artist for file in members if file.label == name} - {""} for name in own}
        one = [name for name in own if len(artists[name]) == 1]
        known = any(artists.values())
        where = "" if len(own) == len(levels) else f" in {len(own)} classes"
        few = f"fewer than {FEWEST} artists each" if known else "nobody says who the artists are"
        why = f"all files of {some(one)} are of one artist" if one else few
        found.append(f"{what} are kept together{where}: {why}")
    return found
