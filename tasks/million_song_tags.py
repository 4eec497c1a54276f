"""Tagging of the Million Song Dataset: splits and labels as papers have them, of the user's own previews.

Layout
------
The folder ``million_song``, which the corpus of several sources shares (see `tasks.million_song`): previews below
``audio``, named by the track's identifier (``Y/O/G/TRYOGXX128F42483A6.mp3``) or by 7digital's number
(``8/9/8947470.clip.mp3``); the latter need ``track_metadata.db``, or ``index_msd.tsv`` of musicnn's training code
(track and path, a TAB between them), which say whose number it is. Splits and labels are text, each as published:

=========  ===========================================================================================================
``lee``    ``train_gt_msd.tsv``, ``val_gt_msd.tsv``, ``test_gt_msd.tsv``: track, a TAB, and ``[0, 1, ...]``; names of
           the labels in ``output_labels_msd.txt``, a line ``MSD_LABELS = ['rock', ...]``, or the 50 known ones.
           Or Lee et al.'s own lists as text, a track on each line: ``filtered_list_train.txt`` (201,680 tracks to
           train on, then those to validate with), ``filtered_list_test.txt``, and ``msd_id_to_tag_vector.tsv`` as above
``cals``   ``ecals_track_split.json`` and ``annotation.json``, here or in ``ecals_annotation``
``msd50``, ``msd100``, ``msd500``
           as ``lee``'s first form with these names, ``train_gt_msd50.tsv``: none was published as text
=========  ===========================================================================================================

Conventions
-----------
Clips are the tracks of the split, whether their previews are there or not, so that a partial copy says what it lacks.
The distributed lists of Lee et al. are pickles, which run what they hold when they are read: they never are, and a
sentence says how to make text of them.

Split
-----
``lee``: 201,680 / 11,774 / 28,435 tracks whose previews are longer than 29.1 s; artists are on both sides. ``cals``:
444,865 / 34,481 / 34,631, no artist on two sides; its further tracks (``extra_track``) are not used. MULE's MSDS is
``lee``.

Known faults
------------
The CLMR thesis found 201,676 / 11,774 / 28,434 previews of ``lee``; 241,904, its total, is not their sum. The order of
labels is not the same in the two forms of ``lee``; each file is read with its own.

Metric
------
Macro ROC-AUC and average precision over the tags.

Licence
-------
Lists and tags: for research, each as its distributor states. Nothing of them is shipped with this package.

Sources
-------
T. Bertin-Mahieux, D. P. W. Ellis, B. Whitman, P. Lamere: The Million Song Dataset. ISMIR 2011.
J. Lee, J. Park, K. L. Kim, J. Nam: Sample-level deep convolutional neural networks. SMC 2017; jongpillee's
music_dataset_split (commit 07e8557) and jordipons's musicnn-training (c7aa67b).
S. Doh, J. Lee, J. Nam: msd-subsets (commit cae5bd0), for CALS. M. Won et al., tag-based-music-retrieval, for MSD50,
MSD100 and MSD500.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tasks import DatasetError
from tasks.base import Clip, Count, Remote, Split, Task
from tasks.million_song import AUDIO, METADATA, MillionSong, lines_of, rows_of
from tasks.tables import read_text
from tasks.targets import Kind, Tags

INDEX = "index_msd.tsv"
#: Lee et al.'s first list: so many tracks are trained on, the others validated with.
LEE_TRAIN = 201_680
LEE_LISTS = ("filtered_list_train.txt", "filtered_list_test.txt", "msd_id_to_tag_vector.tsv", "50tagList.txt")
CALS = ("ecals_track_split.json", "annotation.json")
CALS_HOME = "ecals_annotation"
#: Name of a split -> what its files are called, in musicnn's form.
GROUND_TRUTH: Mapping[str, str] = {"lee": "msd", "msd50": "msd50", "msd100": "msd100", "msd500": "msd500"}
SPLITS = (*GROUND_TRUTH, "cals")
SIZES: Mapping[str, tuple[int, int, int]] = {"lee": (201_680, 11_774, 28_435), "cals": (444_865, 34_481, 34_631)}

#: The 50 tags in the order of musicnn's files.
TOP_TAGS = (
    "rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s", "alternative rock", "jazz",
    "beautiful", "metal", "chillout", "male vocalists", "classic rock", "soul", "indie rock", "Mellow", "electronica",
    "80s", "folk", "90s", "chill", "instrumental", "punk", "oldies", "blues", "hard rock", "ambient", "acoustic",
    "experimental", "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country", "easy listening", "sexy",
    "catchy", "funk", "electro", "heavy metal", "Progressive rock", "60s", "rnb", "indie pop", "sad", "House", "happy",
)  # fmt: skip
_TRACK = re.compile(r"TR[A-Z]{5}[0-9A-F]{11}")
_ORDER: tuple[Split, ...] = ("train", "valid", "test")


def track_path(track: str) -> str:
    """Path of a preview by the track's identifier: ``audio/Y/O/G/TRYOGXX128F42483A6.mp3``."""
    return f"{AUDIO}/{track[2]}/{track[3]}/{track[4]}/{track}.mp3"


@dataclass(frozen=True)
class _Labelled:
    """A split with its labels: names, tracks, the part that each is in, and tags [tracks, names] of 0 and 1."""

    names: tuple[str, ...]
    tracks: tuple[str, ...]
    parts: tuple[Split, ...]
    values: NDArray[np.int8]


class MillionSongTags(MillionSong):
    """Tags of tracks of the Million Song Dataset, by one of its splits; see the module's text.

    Parameters
    ----------
    root
        The dataset's folder.
    split
        One of `SPLITS`.
    """

    KIND: ClassVar[Kind | None] = "multilabel"
    HOW_TO_GET: ClassVar[str] = (
        "put the split's text files here (tasks/million_song_tags.py lists them, with where they are from) and "
        f"previews of your own below {AUDIO}, named by the track's identifier or 7digital's number"
    )
    STANDIN: ClassVar[str | None] = "tasks.standin.million_song_tags"
    REMOTES: ClassVar[Sequence[Remote]] = MillionSong.REMOTES[:1]
    SOURCES: ClassVar[Mapping[str, str]] = {}

    def __init__(self, root: Path, split: str = "lee") -> None:
        super().__init__(root)
        if split not in SPLITS:
            raise DatasetError(f"{self.NAME}: no split {split!r}; there are {', '.join(SPLITS)}")
        self.split = split

    def check(self) -> None:
        """Look for the split's files and for audio.

        Raises
        ------
        DatasetError
            If one of them is missing, or is there as a pickle alone.
        """
        if not self.root.is_dir():
            raise DatasetError(f"{self.root}: no such folder; to get the dataset, {self.HOW_TO_GET}")
        for table in self.tables():
            if not table.is_file():
                self._refuse_pickles()
                raise DatasetError(f"{table}: no such table, of split {self.split}; {self.HOW_TO_GET}")
        if not self.audio_files():
            raise DatasetError(f"{self.root / AUDIO}: no audio files here; to get the dataset, {self.HOW_TO_GET}")

    def tables(self) -> Sequence[Path]:
        """Return the paths of the split's files, and of what says whose previews there are."""
        known = [file for name in (METADATA, INDEX) if (file := self.root / name).is_file()]
        if self.split == "cals":
            home = self.root if (self.root / CALS[0]).is_file() else self.root / CALS_HOME
            return [*(home / name for name in CALS), *known]
        if self._has_lists():
            *needed, names = (self.root / name for name in LEE_LISTS)
            return [*needed, *([names] if names.is_file() else []), *known]
        named = GROUND_TRUTH[self.split]
        names = self.root / f"output_labels_{named}.txt"
        needed = [self.root / f"{part}_gt_{named}.tsv" for part in ("train", "val", "test")]
        return [*needed, *([names] if names.is_file() or self.split != "lee" else []), *known]

    def clips(self) -> Sequence[Clip]:
        """Return the tracks of the split, in the order of its files.

        Raises
        ------
        DatasetError
            If a file cannot be parsed; the message names file and line.
        """
        found = self._labelled
        return [
            Clip(track, self._paths.get(track) or track_path(track), part, *self._credits.get(track, ("", "", "")))
            for track, part in zip(found.tracks, found.parts, strict=True)
        ]

    def task(self, **options: str) -> Task:
        """Return the tags of the split.

        Raises
        ------
        DatasetError
            If a file cannot be parsed, or there is any option.
        """
        if options:
            raise DatasetError(f"{self.NAME}: no option {', '.join(map(repr, sorted(options)))}; tasks have none")
        found = self._labelled
        tracks = np.array(found.tracks, dtype=np.str_)
        return Task(found.tracks, np.array(found.parts, dtype=np.str_), Tags(found.names, found.values), tracks)

    def counts(self) -> Sequence[Count]:
        """Compare the sizes of the split with those published."""
        parts = self._labelled.parts
        return [
            Count(f"{part} tracks of split {self.split}", size, parts.count(part), "distributor")
            for part, size in zip(_ORDER, SIZES.get(self.split, ()), strict=False)
        ]

    def source_tables(self) -> Sequence[Path]:
        """Return none: its tags are a task's, and no source."""
        return []

    def _has_lists(self) -> bool:
        """Whether `lee` is there as Lee et al.'s lists, and not in musicnn's form."""
        return (
            self.split == "lee"
            and (self.root / LEE_LISTS[0]).is_file()
            and not (self.root / "train_gt_msd.tsv").is_file()
        )

    def _refuse_pickles(self) -> None:
        """Raise `DatasetError` if there is a pickle of what is missing."""
        for name in LEE_LISTS[:3] if self.split == "lee" else ():
            pickle, stem = self.root / Path(name).with_suffix(".cP"), Path(name).stem
            if pickle.is_file() and not (self.root / name).is_file():
                each = r"*(f'{k}\t{[int(x) for x in v]}' for k, v in p.items())" if name.endswith(".tsv") else "*p"
                raise DatasetError(
                    f"{pickle}: a pickle runs what it holds when it is read, so bench reads none; if you trust it, "
                    f'make {name} of it outside of bench: python -c "import pickle; '
                    f"p = pickle.load(open('{stem}.cP', 'rb'), encoding='latin1'); "
                    f"print({each}, sep='\\n')\" > {name}"
                )

    @cached_property
    def _labelled(self) -> _Labelled:
        if self.split == "cals":
            return self._cals()
        return self._lists() if self._has_lists() else self._ground_truth(GROUND_TRUTH[self.split])

    def _ground_truth(self, named: str) -> _Labelled:
        file = self.root / f"output_labels_{named}.txt"
        names = _names(file) if file.is_file() else TOP_TAGS
        rows = [
            (track, part, values)
            for name, part in zip(("train", "val", "test"), _ORDER, strict=True)
            for track, values in _vectors(self.root / f"{name}_gt_{named}.tsv", len(names))
        ]
        return _labelled(self.root / f"test_gt_{named}.tsv", names, rows)

    def _lists(self) -> _Labelled:
        train, test, vectors, names = (self.root / name for name in LEE_LISTS)
        tags = tuple(read_text(names).split("\n")) if names.is_file() else TOP_TAGS
        tags = tuple(tag.strip() for tag in tags if tag.strip())
        values = dict(_vectors(vectors, len(tags)))
        first = _tracks(train)
        parts: list[tuple[str, Split]] = [(track, "train") for track in first[:LEE_TRAIN]]
        parts += [(track, "valid") for track in first[LEE_TRAIN:]] + [(track, "test") for track in _tracks(test)]
        for track, part in parts:
            if track not in values:
                raise DatasetError(f"{vectors}: has no line for track {track}, which is in the {part} list")
        return _labelled(test, tags, [(track, part, values[track]) for track, part in parts])

    def _cals(self) -> _Labelled:
        split, annotation = self.tables()[:2]
        parts, tracks = _document(split), _document(annotation)
        rows: list[tuple[str, Split]] = []
        for key, part in (("train_track", "train"), ("valid_track", "valid"), ("test_track", "test")):
            listed = parts.get(key)
            if not isinstance(listed, list):
                raise DatasetError(f"{split}: must have a list {key!r}, as the published file has")
            rows += [(str(track), part) for track in listed]  # type: ignore[misc]
        tags: list[list[str]] = []
        for track, _ in rows:
            said = tracks.get(track)
            if not isinstance(said, dict) or not isinstance(said.get("tag"), list):
                raise DatasetError(
                    f"{annotation}: must say the 'tag' of track {track} as a list, for {split.name} has it"
                )
            tags.append([str(tag) for tag in said["tag"]])
        names = tuple(sorted(set(chain.from_iterable(tags))))
        column = {name: place for place, name in enumerate(names)}
        values = np.zeros((len(rows), len(names)), dtype=np.int8)
        for row, own in enumerate(tags):
            values[row, [column[tag] for tag in own]] = 1
        return _labelled(split, names, [(track, part, values[row]) for row, (track, part) in enumerate(rows)])

    @cached_property
    def _credits(self) -> Mapping[str, tuple[str, str, str]]:
        """Artist, album and song of tracks, where it is known."""
        if (self.root / METADATA).is_file():
            query = "SELECT track_id, artist_id, release, song_id FROM songs"
            return {
                track: (artist, f"{artist}/{release}", song)
                for track, artist, release, song in rows_of(self.root / METADATA, query)
            }
        if self.split != "cals":
            return {}
        said = _document(self.tables()[1])
        named = {track: str(one.get("artist_name") or "") for track, one in said.items() if isinstance(one, dict)}
        return {track: (artist, "", "") for track, artist in named.items()}

    @cached_property
    def _paths(self) -> Mapping[str, str]:
        """Where the previews are that are there, by track."""
        paths = {file.relative_to(self.root).as_posix() for file in self._audio}
        by_name = {path.rpartition("/")[2].partition(".")[0]: path for path in sorted(paths, reverse=True)}
        found = {name: path for name, path in by_name.items() if _TRACK.fullmatch(name)}
        if (self.root / METADATA).is_file():
            query = "SELECT track_id, track_7digitalid FROM songs"
            for track, number in rows_of(self.root / METADATA, query):
                if track not in found and str(number) in by_name:
                    found[track] = by_name[str(number)]
        if (self.root / INDEX).is_file():
            for _, (track, path) in lines_of(self.root / INDEX, "\t", 2):
                there = (
                    f"{AUDIO}/{path}" if f"{AUDIO}/{path}" in paths else by_name.get(Path(path).name.partition(".")[0])
                )
                if track not in found and there is not None:
                    found[track] = there
        return found


def _labelled(file: Path, names: Sequence[str], rows: Sequence[tuple[str, Split, Any]]) -> _Labelled:
    """Rows of a split, each track in one part."""
    seen: dict[str, Split] = {}
    for track, part, _ in rows:
        if track in seen:
            raise DatasetError(f"{file}: track {track} is in {seen[track]} and in {part}; a track has one part")
        seen[track] = part
    if not rows:
        raise DatasetError(f"{file}: the split has no tracks")
    values = np.array([row for _, _, row in rows], dtype=np.int8).reshape(len(rows), len(names))
    return _Labelled(tuple(names), tuple(seen), tuple(seen.values()), values)


def _vectors(table: Path, width: int) -> Any:
    """Track and tags, 0 or 1, of each line ``TRYOGXX128F42483A6<TAB>[0, 1, ...]``."""
    for line, (track, text) in lines_of(table, "\t", 2):
        cells = text.strip().removeprefix("[").removesuffix("]").replace(",", " ").split()
        if len(cells) != width or not set(cells) <= {"0", "1"}:
            raise DatasetError(f"{table}:{line}: must have {width} numbers of 0 or 1 after the TAB, as [0, 1, ...]")
        yield track, np.array(cells, dtype=np.int8)


def _tracks(file: Path) -> list[str]:
    """Identifiers of tracks, one a line."""
    found = []
    for number, line in enumerate(read_text(file).splitlines(), 1):
        if line.strip():
            if not _TRACK.fullmatch(line.strip()):
                raise DatasetError(f"{file}:{number}: must be a track, as TRYOGXX128F42483A6, not {line[:40]!r}")
            found.append(line.strip())
    return found


def _names(file: Path) -> tuple[str, ...]:
    """Names of labels in a line ``MSD_LABELS = [...]``, which is read as text and not carried out."""
    found = re.search(r"^\s*\w*LABELS\w*\s*=\s*(\[.*\])\s*$", read_text(file), re.MULTILINE)
    try:
        names = ast.literal_eval(found[1]) if found else None
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        names = None
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise DatasetError(f"{file}: must have a line MSD_LABELS = ['rock', ...] with the names of the labels")
    return tuple(names)


def _document(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{file}: not JSON: {error}") from None
    if not isinstance(found, dict):
        raise DatasetError(f"{file}: must be an object of tracks or lists, as the published file is")
    return found
