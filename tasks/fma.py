"""FMA: the Free Music Archive's tracks with their genres, in two sizes.

Layout
------
``fma_metadata.zip`` and ``fma_small.zip`` or ``fma_medium.zip``, unpacked beside one another:
``fma_metadata/tracks.csv`` and ``fma_small/000/000002.mp3``, where a track lies in the folder of the first three of
its six digits. `FmaSmall` reads ``fma_small`` or else, for the clips are the same files, ``fma_medium`` or
``fma_large``; `FmaMedium` reads ``fma_medium`` or else ``fma_large``. ``fma_full`` holds whole tracks and is not used.
What the metadata tell beside genres, as sources to learn from, is in `tasks.fma_metadata`.

Conventions
-----------
``tracks.csv`` is comma-separated with three header rows: groups of columns, names of columns, and one that says
``track_id`` and nothing else. It describes all 106,574 tracks. ``(set, subset)`` is the smallest subset that a track
belongs to: the medium one is ``small`` and ``medium`` together. Clips are 30 s from the middle of a track, MP3,
mostly at 44.1 kHz in stereo; ``(track, duration)`` is that of the whole track. Every track is a recording of its own.

Split
-----
The official one, ``(set, split)``, in which no artist straddles two splits: 6,400, 800 and 800 tracks of the small
subset, 19,922, 2,505 and 2,573 of the medium one. The genre, ``(track, genre_top)``, is one of 8, a thousand tracks
each, or of 16, from 7,103 of Rock to 21 of Easy Listening.

Known faults
------------
The duration of 21 tracks is wrong in the metadata, so that their clip begins after or shortly before the track's end:
see `KNOWN_BAD`. All are in the medium subset, six in the small one. They belong to no split here: the tasks have
that many clips fewer than the official split. One of them, 133297, decodes to a few frames without any error. A few of
them hold some seconds of audio, which pretraining may use; the reason says how much.

Metric
------
Accuracy, and the mean over genres of F1, over test clips. In the medium subset, always saying Rock is right in 0.276
of the test clips. Easy Listening has 6 of them.

Licence
-------
Metadata: CC BY 4.0. Audio: as chosen by each artist. Nothing of either is shipped with this package.

Sources
-------
M. Defferrard, K. Benzi, P. Vandergheynst, X. Bresson: FMA: a dataset for music analysis. ISMIR 2017.
Wrong durations: github.com/mdeff/fma, issues 4, 8, 41 and 44.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from tasks import DatasetError
from tasks.base import SPLITS, Clip, Count, Dataset, Remote, Split, Task
from tasks.fma_metadata import NEEDED, SOURCES, TRACKS, Column, source, table_rows
from tasks.sources.labels import Labels
from tasks.tables import read_text
from tasks.targets import Classes, Kind
from tasks.trees import files_below, utf8_named

#: Length of a clip [s].
CLIP_SECONDS = 30.0

#: Track -> (duration that the metadata state, true duration) [s] where a clip could not be cut as intended.
WRONG_DURATIONS: Mapping[int, tuple[int, float]] = {
    1486: (90, 14.39),
    5574: (563, 30.46),
    65753: (242, 9.74),
    80391: (600, 67.84),
    98558: (216, 87.67),
    98559: (193, 58.80),
    98560: (341, 86.13),
    98565: (158, 65.31),
    98566: (148, 63.63),
    98567: (191, 79.39),
    98568: (249, 114.55),
    98569: (184, 77.37),
    98571: (139, 50.81),
    99134: (308, 33.25),
    105247: (123, 18.91),
    108924: (187, 105.38),
    108925: (151, 7.44),
    126981: (216, 17.45),
    127336: (275, 13.27),
    133297: (600, 113.58),
    143992: (211, 26.23),
}
_WRONG_IN_SMALL = (98565, 98567, 98569, 99134, 108925, 133297)

_SUBSETS = ("small", "medium", "large")
_SPLIT_NAMES: Mapping[str, Split] = {"training": "train", "validation": "valid", "test": "test"}
_COLUMNS = (("set", "split"), ("set", "subset"), ("track", "genre_top"), ("artist", "id"), ("album", "id"))
_DURATION = ("track", "duration")
#: Files that the archives put beside the folders of audio.
_COMPANIONS = ("README.txt", "checksums")
_CHECKSUM = re.compile(r"(?P<sha1>[0-9a-f]{40}) [ *](?P<path>\S.*)")

_METADATA = Remote(
    name="fma_metadata.zip",
    urls=("https://os.unil.cloud.switch.ch/fma/fma_metadata.zip",),
    checksum="sha1:f0df49ffe5f2a6008d7dc83c6915b31835dfe733",
    to=".",
    archive=True,
)


def track_path(track: int) -> str:
    """Path of a track below the folder of its subset: ``098/098565.mp3``."""
    return f"{track // 1000:03d}/{track:06d}.mp3"


def _known_bad(folders: Sequence[str], tracks: Sequence[int]) -> dict[str, str]:
    reasons = {}
    for track in tracks:
        stated, true = WRONG_DURATIONS[track]
        begin = stated // 2 - 15
        left = f"about {true - begin:.1f} s" if true > begin else "next to nothing"
        reasons[track] = f"cut from {begin} s on of a track of {true:.1f} s: {left} instead of 30 s"
    return {f"{folder}/{track_path(track)}": reasons[track] for folder in folders for track in tracks}


@dataclass(frozen=True, slots=True)
class _Track:
    """A row of `tracks.csv`."""

    line: int
    id: int
    split: str
    subset: str
    genre: str
    artist: str
    album: str
    seconds: float | None


class _Fma(Dataset):
    """What both sizes have in common."""

    NAME: ClassVar[str] = "fma"
    STANDIN: ClassVar[str | None] = "tasks.standin.fma"
    KIND: ClassVar[Kind | None] = "multiclass"
    LICENCE: ClassVar[str] = "metadata CC BY 4.0, audio as chosen by each artist"
    BIBTEX: ClassVar[str] = """@inproceedings{defferrard2017fma,
  author = {Defferrard, Micha{\\"e}l and Benzi, Kirell and Vandergheynst, Pierre and Bresson, Xavier},
  title = {{FMA}: a dataset for music analysis},
  booktitle = {Proceedings of the 18th International Society for Music Information Retrieval Conference},
  year = {2017}
}"""

    SOURCES: ClassVar[Mapping[str, str]] = SOURCES

    #: ``(set, subset)`` of the tracks that belong to it.
    SUBSETS: ClassVar[tuple[str, ...]]
    #: Folders that hold its clips, in order of preference.
    FOLDERS: ClassVar[tuple[str, ...]]
    #: Top genres, the classes of the task.
    GENRES: ClassVar[tuple[str, ...]]
    #: Tracks of the official split: train, valid, test.
    PUBLISHED: ClassVar[tuple[int, int, int]]

    def check(self) -> None:
        """Look for `tracks.csv` and a folder of audio.

        Raises
        ------
        DatasetError
            If the dataset's folder, the table, or every folder of audio is missing.
        """
        if not self.root.is_dir():
            raise DatasetError(f"{self.root}: no such folder; to get FMA, {self.HOW_TO_GET}")
        if not (self.root / TRACKS).is_file():
            raise DatasetError(f"{self.root / TRACKS}: no such table; to get FMA, {self.HOW_TO_GET}")
        if self._present_folder is None:
            raise DatasetError(
                f"{self.root}: no folders 000, 001, ... of audio in {' or '.join(self.FOLDERS)}; "
                f"to get FMA, {self.HOW_TO_GET}"
            )

    def tables(self) -> Sequence[Path]:
        """Return the path of `tracks.csv`, whether or not it exists."""
        return (self.root / TRACKS,)

    def audio_files(self) -> Sequence[Path]:
        """Return every file below the folder of audio that is read, sorted, whatever its name and content.

        Of a larger subset's folder, the tracks that the table gives to that subset are left out.
        """
        if self._present_folder is None:
            return []
        folder = self.root / self._folder
        others = {folder / name for name in _COMPANIONS}
        if self._folder != self.FOLDERS[0]:
            others |= {folder / track_path(row.id) for row in self._rows if row.subset not in self.SUBSETS}
        return utf8_named([file for file in files_below(folder) if file not in others])

    def clips(self) -> Sequence[Clip]:
        """Return the subset's tracks in the order of `tracks.csv`, ids as written there.

        `KNOWN_BAD` tracks have no split. The promised duration is 30 s, or the track's own if it is shorter.

        Raises
        ------
        DatasetError
            If the table cannot be read or parsed; the message names file and line.
        """
        clips = []
        for row in self._tracks:
            path = f"{self._folder}/{track_path(row.id)}"
            split = None if path in self.KNOWN_BAD else _SPLIT_NAMES[row.split]
            seconds = None if row.seconds is None else min(CLIP_SECONDS, row.seconds)
            clips.append(Clip(str(row.id), path, split, row.artist, row.album, str(row.id), seconds))
        return clips

    def task(self, **options: str) -> Task:
        """Return the genre task: one column of indices into `GENRES`, int64; `KNOWN_BAD` tracks are left out.

        Raises
        ------
        DatasetError
            If the table cannot be read or parsed, a track's genre is none of `GENRES`, or an option is given.
        """
        if options:
            raise DatasetError(f"{self.NAME}: no option {', '.join(map(repr, options))}; there is none")
        number = {genre: index for index, genre in enumerate(self.GENRES)}
        labels, clip_ids, splits = [], [], []
        for row, clip in zip(self._tracks, self.clips(), strict=True):
            if row.genre not in number:
                raise DatasetError(
                    f"{self.root / TRACKS}:{row.line}: (track, genre_top) of track {row.id} is {row.genre!r}, "
                    f"not one of {', '.join(self.GENRES)}"
                )
            if clip.split is not None:
                clip_ids.append(clip.id)
                splits.append(clip.split)
                labels.append(number[row.genre])
        return Task(
            clip_ids=tuple(clip_ids),
            splits=np.array(splits, dtype=np.str_),
            targets=Classes(self.GENRES, np.array(labels, dtype=np.int64)),
            groups=np.array(clip_ids, dtype=np.str_),
        )

    def counts(self) -> Sequence[Count]:
        """Compare the size of the table and of the official split, `KNOWN_BAD` tracks included, with the paper's."""
        size = self.SUBSETS[-1]
        splits = [_SPLIT_NAMES[row.split] for row in self._tracks]
        return [
            Count("tracks in the table", 106_574, len(self._rows), "distributor"),
            *(
                Count(f"{size} {split} tracks", published, splits.count(split), "distributor")
                for split, published in zip(SPLITS, self.PUBLISHED, strict=True)
            ),
        ]

    def sources(self) -> Mapping[str, str]:
        """Return the sources whose tables are there; see `tasks.fma_metadata`."""
        return {name: what for name, what in SOURCES.items() if (self.root / NEEDED.get(name, TRACKS)).is_file()}

    def source(self, name: str) -> Labels:
        """What a source says of the clips, in their order.

        Raises
        ------
        DatasetError
            If a table is missing or cannot be parsed; the message names file and line.
        """
        return source(name, self.root, [row.id for row in self._tracks])

    def source_tables(self) -> Sequence[Path]:
        """Return the paths of the three tables of metadata, there or not."""
        return [self.root / name for name in (TRACKS, *NEEDED.values())]

    def checksums(self) -> Mapping[str, str]:
        """Return the SHA-1 of the clips' files, from the list that the archive of audio carries; empty without it.

        Raises
        ------
        DatasetError
            If a line of the list is not a checksum and a path.
        """
        file = self.root / self._folder / "checksums"
        if not file.is_file():
            return {}
        wanted = {clip.path for clip in self.clips()}
        found = {}
        for line, text in enumerate(read_text(file).splitlines(), start=1):
            match = _CHECKSUM.fullmatch(text.strip())
            if match is None:
                raise DatasetError(f"{file}:{line}: not a SHA-1 and a path: {text[:60]!r}")
            path = f"{self._folder}/{match['path'].removeprefix('./')}"
            if path in wanted:
                found[path] = f"sha1:{match['sha1']}"
        return found

    @cached_property
    def _present_folder(self) -> str | None:
        for name in self.FOLDERS:
            folder = self.root / name
            if folder.is_dir() and any(re.fullmatch(r"\d{3}", below.name) for below in folder.iterdir()):
                return name
        return None

    @property
    def _folder(self) -> str:
        return self._present_folder or self.FOLDERS[0]

    @cached_property
    def _rows(self) -> list[_Track]:
        return _read_tracks(self.root / TRACKS)

    @cached_property
    def _tracks(self) -> list[_Track]:
        return [row for row in self._rows if row.subset in self.SUBSETS]


class FmaSmall(_Fma):
    """FMA's subset of 8,000 clips of 8 genres, as published; see the module's text."""

    HOW_TO_GET: ClassVar[str] = (
        "fetch fma_metadata.zip and fma_small.zip from https://os.unil.cloud.switch.ch/fma/ "
        "and unpack both here, side by side"
    )
    SUBSETS: ClassVar[tuple[str, ...]] = ("small",)
    FOLDERS: ClassVar[tuple[str, ...]] = ("fma_small", "fma_medium", "fma_large")
    GENRES: ClassVar[tuple[str, ...]] = (
        *("Electronic", "Experimental", "Folk", "Hip-Hop", "Instrumental", "International", "Pop", "Rock"),
    )
    PUBLISHED: ClassVar[tuple[int, int, int]] = (6_400, 800, 800)
    KNOWN_BAD: ClassVar[Mapping[str, str]] = _known_bad(FOLDERS, _WRONG_IN_SMALL)
    REMOTES: ClassVar[Sequence[Remote]] = (
        _METADATA,
        Remote(
            name="fma_small.zip",
            urls=("https://os.unil.cloud.switch.ch/fma/fma_small.zip",),
            checksum="sha1:ade154f733639d52e35e32f5593efe5be76c6d70",
            to=".",
            archive=True,
        ),
    )


class FmaMedium(_Fma):
    """FMA's subset of 25,000 clips of 16 genres, the small one's among them, as published; see the module's text."""

    HOW_TO_GET: ClassVar[str] = (
        "fetch fma_metadata.zip and fma_medium.zip from https://os.unil.cloud.switch.ch/fma/ "
        "and unpack both here, side by side"
    )
    SUBSETS: ClassVar[tuple[str, ...]] = ("small", "medium")
    FOLDERS: ClassVar[tuple[str, ...]] = ("fma_medium", "fma_large")
    GENRES: ClassVar[tuple[str, ...]] = (
        *("Blues", "Classical", "Country", "Easy Listening", "Electronic", "Experimental", "Folk", "Hip-Hop"),
        *("Instrumental", "International", "Jazz", "Old-Time / Historic", "Pop", "Rock", "Soul-RnB", "Spoken"),
    )
    PUBLISHED: ClassVar[tuple[int, int, int]] = (19_922, 2_505, 2_573)
    KNOWN_BAD: ClassVar[Mapping[str, str]] = _known_bad(FOLDERS, tuple(WRONG_DURATIONS))
    REMOTES: ClassVar[Sequence[Remote]] = (
        _METADATA,
        Remote(
            name="fma_medium.zip",
            urls=("https://os.unil.cloud.switch.ch/fma/fma_medium.zip",),
            checksum="sha1:c67b69ea232021025fca9231fc1c7c1a063ab50b",
            to=".",
            archive=True,
        ),
    )


def _read_tracks(table: Path) -> list[_Track]:
    """Read the rows of `tracks.csv`, all 260 MB of them, without ever holding the text in memory.

    Raises
    ------
    DatasetError
        If it cannot be read or parsed; the message names file and line.
    """
    tracks: dict[int, _Track] = {}
    for line, cells, columns in table_rows(table, _COLUMNS):
        track = _parse_row(table, line, cells, columns)
        if track.id in tracks:
            raise DatasetError(f"{table}:{line}: track {track.id} is already in line {tracks[track.id].line}")
        tracks[track.id] = track
    return list(tracks.values())


def _parse_row(table: Path, line: int, cells: Sequence[str], columns: Mapping[Column, int]) -> _Track:
    split, subset, genre, artist, album = (cells[columns[key]] for key in _COLUMNS)
    duration = cells[columns[_DURATION]] if _DURATION in columns else ""
    if not cells[0].isdecimal() or len(cells[0]) > 6:
        raise DatasetError(f"{table}:{line}: track_id must be a number of at most six digits, not {cells[0]!r}")
    if split not in _SPLIT_NAMES:
        raise DatasetError(f"{table}:{line}: (set, split) must be training, validation or test, not {split!r}")
    if subset not in _SUBSETS:
        raise DatasetError(f"{table}:{line}: (set, subset) must be small, medium or large, not {subset!r}")
    try:
        seconds = float(duration) if duration else None
    except ValueError:
        raise DatasetError(f"{table}:{line}: (track, duration) must be a number, not {duration!r}") from None
    return _Track(line, int(cells[0]), split, subset, genre, artist, album, seconds)
