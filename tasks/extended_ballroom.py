"""Extended Ballroom: 4,180 excerpts of 30 s of 13 ballroom dances.

Layout
------
Below the dataset's folder lie ``extendedballroom_v1.1.xml`` and a folder for each dance, with the tracks as
``Chacha/100701.mp3``: what the script that comes with the table downloads. Both may lie in a folder
``extendedballroom_v1.1``, as the archive has it.

Conventions
-----------
The table's root holds a node for each dance, which holds a node for each track: attributes ``id``, ``album``,
``artist``, ``title``, ``bpm`` and ``hash``, the MD5 of the audio. A track that repeats another says so by ``exact``
(the same audio), ``time`` (at another tempo), ``karaoke`` (without the voice) or ``version``, with the other's ``id``;
both nodes inside the track's node and attributes of it are understood. What repeats one another is one *recording*
here. Artists are not handed on, for folds would keep them together, and the published ones do not.

Split
-----
None is published, and tasks divide the tracks into five folds that are alike in dances. Kim et al. 2020 use
scikit-learn's `StratifiedKFold` with five folds; here repeated recordings stay in one fold besides. They take 3,390
tracks (``tracks="kim"``, see `tasks/splits/README.md`), without saying what left the others out; ``tracks="all"`` takes
every track of the table.

Known faults
------------
Tempi and names were taken from a shop's pages. Dances are very unequal: 23 tracks of West Coast Swing, 416 of Rumba in
the shorter list. The audio is fetched from that shop, which may no longer serve it.

Metric
------
Accuracy, and the mean over dances of F1, over all tracks, each tested once.

Licence
-------
Not stated; the audio belongs to its labels. Nothing but the numbers of the 3,390 tracks is shipped with this package.

Sources
-------
U. Marchand, G. Peeters: The Extended Ballroom dataset. ISMIR late-breaking session 2016; its text of 19 September 2016.
J. Kim, J. Urbano, C. C. S. Liem, A. Hanjalic: One deep music representation to rule them all? 2020.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar
from xml.parsers import expat

import numpy as np

from tasks import DatasetError
from tasks.base import Clip, Count, Dataset, Task
from tasks.tables import find_columns, read_header, read_rows
from tasks.targets import Classes, Kind
from tasks.trees import files_in

TABLE = "extendedballroom_v1.1.xml"
#: Where the table and the folders may lie.
HOMES = (".", "extendedballroom_v1.1")
GENRES = (
    *("Chacha", "Foxtrot", "Jive", "Pasodoble", "Quickstep", "Rumba", "Salsa", "Samba", "Slowwaltz", "Tango"),
    *("Viennesewaltz", "Waltz", "Wcswing"),
)
#: How a track may repeat another.
REPEATS = ("exact", "time", "karaoke", "version")
TRACK_LIST = Path(__file__).parent / "splits" / "extended_ballroom.csv"

_MD5 = re.compile(r"[0-9a-fA-F]{32}")


@dataclass
class _Track:
    """A track of the table."""

    genre: str
    id: str
    line: int
    md5: str
    repeats: list[str] = field(default_factory=list)

    @property
    def clip(self) -> str:
        return f"{self.genre}/{self.id}"


class ExtendedBallroom(Dataset):
    """Extended Ballroom as published; see the module's text for layout, folds and faults."""

    NAME: ClassVar[str] = "extended_ballroom"
    STANDIN: ClassVar[str | None] = "tasks.standin.extended_ballroom"
    KIND: ClassVar[Kind | None] = "multiclass"
    LICENCE: ClassVar[str] = "not stated; the audio belongs to its labels"
    BIBTEX: ClassVar[str] = """@inproceedings{marchand2016extended,
  author = {Marchand, Ugo and Peeters, Geoffroy},
  title = {The {Extended Ballroom} dataset},
  booktitle = {Late-breaking session of the 17th International Society for Music Information Retrieval Conference},
  year = {2016}
}"""
    HOW_TO_GET: ClassVar[str] = (
        "fetch the archive from http://anasynth.ircam.fr/home/media/ExtendedBallroom, unpack it here, and let its "
        "script getExtendedBallroomDataset.py fetch the tracks into folders Chacha to Wcswing beside the table"
    )

    def check(self) -> None:
        """Look for the table and at least one dance's folder.

        Raises
        ------
        DatasetError
            If the dataset's folder, the table, or every folder of audio is missing.
        """
        if not self.root.is_dir():
            raise DatasetError(f"{self.root}: no such folder; to get Extended Ballroom, {self.HOW_TO_GET}")
        (table,) = self.tables()
        if not table.is_file():
            raise DatasetError(f"{table}: no such table; to get Extended Ballroom, {self.HOW_TO_GET}")
        if not self._folders:
            raise DatasetError(
                f"{table.parent}: none of the folders Chacha to Wcswing is there; to get Extended Ballroom, "
                f"{self.HOW_TO_GET}"
            )

    def tables(self) -> Sequence[Path]:
        """Return the path of the table, whether or not it exists."""
        return (self.root / self._home / TABLE,)

    def audio_files(self) -> Sequence[Path]:
        """Return every file in the dances' folders, sorted, whatever its name and content."""
        return sorted(file for folder in self._folders for file in files_in(folder))

    def clips(self) -> Sequence[Clip]:
        """Return the tracks in the order of the table, without a split.

        Raises
        ------
        DatasetError
            If the table cannot be read or parsed; the message names file and line.
        """
        home = "" if self._home == "." else f"{self._home}/"
        return [
            Clip(track.clip, f"{home}{track.clip}.mp3", None, recording=self._recordings[track.clip])
            for track in self._tracks
        ]

    def locate(self, clip_id: str) -> str:
        """Line of the table that a track stands in."""
        line = next((track.line for track in self._tracks if track.clip == clip_id), None)
        return super().locate(clip_id) if line is None else f"{self.tables()[0]}:{line}: clip {clip_id}"

    def task(self, **options: str) -> Task:
        """Return the task of dances: one column of indices into `GENRES`, int64; without a split, for folds.

        Parameters
        ----------
        **options
            ``tracks``: ``"kim"`` (default) for the 3,390 tracks of Kim et al., or ``"all"``.

        Raises
        ------
        DatasetError
            If the table cannot be read or parsed, holds none of these tracks, or an option is not known.
        """
        which = options.pop("tracks", "kim")
        if options:
            raise DatasetError(f"{self.NAME}: no option {', '.join(map(repr, options))}; there is only 'tracks'")
        if which not in ("kim", "all"):
            raise DatasetError(f"{self.NAME}: tracks must be 'kim' or 'all', not {which!r}")
        listed = kim_tracks() if which == "kim" else None
        tracks = [track for track in self._tracks if listed is None or track.clip in listed]
        if not tracks:
            raise DatasetError(f"{self.tables()[0]}: holds none of the 3,390 tracks that tracks 'kim' takes")
        return Task(
            clip_ids=tuple(track.clip for track in tracks),
            splits=np.full(len(tracks), "", dtype="<U5"),
            targets=Classes(GENRES, np.array([GENRES.index(track.genre) for track in tracks], dtype=np.int64)),
            groups=np.array([self._recordings[track.clip] for track in tracks], dtype=np.str_),
        )

    def counts(self) -> Sequence[Count]:
        """Compare the number of tracks, and of those that Kim et al. use, with what is published."""
        listed = kim_tracks()
        here = {track.clip for track in self._tracks}
        return [
            Count("tracks", 4_180, len(here), "distributor"),
            Count("dances", len(GENRES), len({track.genre for track in self._tracks}), "distributor"),
            Count("extended-ballroom tracks", 3_390, len(here & listed), "Kim et al. 2020"),
        ]

    def checksums(self) -> Mapping[str, str]:
        """Return the MD5 of the tracks that the table states."""
        home = "" if self._home == "." else f"{self._home}/"
        return {f"{home}{track.clip}.mp3": f"md5:{track.md5}" for track in self._tracks if track.md5}

    @cached_property
    def _home(self) -> str:
        return next((home for home in HOMES if (self.root / home / TABLE).is_file()), HOMES[0])

    @property
    def _folders(self) -> list[Path]:
        return [folder for genre in GENRES if (folder := self.root / self._home / genre).is_dir()]

    @cached_property
    def _tracks(self) -> list[_Track]:
        return _read_table(self.tables()[0])

    @cached_property
    def _recordings(self) -> dict[str, str]:
        """Track -> what it has in common with all that repeat it, directly or through others: their lowest number."""
        of_track = {track.id: track.id for track in self._tracks}

        def lowest(track: str) -> str:
            while (other := of_track.setdefault(track, track)) != track:
                track = other
            return track

        for track in self._tracks:
            for other in track.repeats:
                first, second = sorted((lowest(track.id), lowest(other)))
                of_track[second] = first
        return {track.clip: lowest(track.id) for track in self._tracks}


def _read_table(table: Path) -> list[_Track]:
    try:
        data = table.read_bytes()
    except OSError as error:
        raise DatasetError(f"{table}: {error.strerror}") from None
    parser = expat.ParserCreate()
    tracks: dict[str, _Track] = {}
    path: list[str] = []
    inside: list[_Track] = []

    def begin(name: str, attributes: dict[str, str]) -> None:
        path.append(name)
        line = parser.CurrentLineNumber
        where = f"{table}:{line}"
        if len(path) == 2 and name not in GENRES:
            raise DatasetError(f"{where}: {name!r} is none of the dances {', '.join(GENRES)}")
        if len(path) == 3:
            track = _Track(path[1], attributes.get("id", "").strip(), line, _digits(attributes.get("hash", "")))
            if not (track.id.isascii() and track.id.isdecimal()):
                raise DatasetError(f"{where}: id of a track must be a number, not {track.id!r}")
            if track.clip in tracks:
                raise DatasetError(f"{where}: track {track.clip} is already in line {tracks[track.clip].line}")
            track.repeats += [attributes[kind].strip() for kind in REPEATS if attributes.get(kind)]
            tracks[track.clip] = track
            inside[:] = [track]
        if len(path) == 4 and name in REPEATS:
            other = attributes.get("id", "").strip()
            if not other:
                raise DatasetError(f"{where}: {name} of track {inside[0].clip} names no id")
            inside[0].repeats.append(other)

    parser.StartElementHandler = begin
    parser.EndElementHandler = lambda _: path.pop()
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise DatasetError(f"{table}:{error.lineno}: not XML: {expat.ErrorString(error.code)}") from None
    if not tracks:
        raise DatasetError(f"{table}:1: the table names no track")
    return list(tracks.values())


def _digits(text: str) -> str:
    return text.strip().lower() if _MD5.fullmatch(text.strip()) else ""


def kim_tracks() -> set[str]:
    """Names of the 3,390 tracks that Kim et al. use, as ``Chacha/100701``."""
    rows = read_rows(TRACK_LIST, ",")
    genre, track = find_columns(TRACK_LIST, read_header(TRACK_LIST, rows), ("genre", "track"))
    return {f"{row[genre]}/{row[track]}" for _, row in rows}
