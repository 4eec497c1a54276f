"""The Million Song Dataset with its additions: a corpus of previews that seven tables tell something of.

Layout
------
The folder ``million_song`` holds any of the tables below, as published, and previews of the user's own in any tree
below ``audio``. A preview is named by the number that 7digital gave its track, as in the published crawl
(``audio/1/2/1234567.clip.mp3``), or by the track's own identifier (``TRAAAAW128F429D538.mp3``).

======================  ==============================================================================================
``track_metadata.db``   artist, release, song and 7digital's number of each track; needed
``msd_tempo_est.txt``   track and tempo of the Echo Nest [beats/min], separated by a TAB; from the tracks' own files
``tracks_per_year.txt`` year, track, artist and title, separated by ``<SEP>``
``train_triplets.txt``  the Echo Nest's taste profile: user, song and number of plays, separated by TABs
``lastfm_tags.db``      Last.fm's tags of tracks, weights 0 to 100
``mxm_dataset.db``      musiXmatch's bags of stemmed words
``CDR_genre.txt``       track and a genre, separated by ``<SEP>``: those of albums by a public library, not published;
                        genres from anywhere else take its place if they are in this form
======================  ==============================================================================================

Conventions
-----------
Tracks whose preview is there are the clips, in the order of ``track_metadata.db``. A song may have several tracks, each
of which gets its plays. A tag of weight 0 counts as 1, as Kim et al. have it. The terms of source ``artist`` are the
sum of the tags of the artist's clips; the study sums over all tracks, also those without a preview.

Split
-----
None is published for this use. Artists are divided by a hash of their identifier, about 8 : 1 : 1, so that none
straddles two splits and that a clip's split depends on nothing but its artist. The study divides its 46,490 tracks at
random, 41,841 to train on.

Known faults
------------
A tempo of 0, and a year of 0, mean that it is not known. Some songs of the taste profile are matched to the wrong
track: if ``sid_mismatches.txt`` is there, such pairs are left out. 7digital offers the previews no more.

Metric
------
None: it is a corpus, and no task.

Licence
-------
Metadata, tags, plays and lyrics: for research, each as its distributor states. Nothing of them is shipped with this
package.

Sources
-------
T. Bertin-Mahieux, D. P. W. Ellis, B. Whitman, P. Lamere: The Million Song Dataset. ISMIR 2011; millionsongdataset.com.
J. Kim, J. Urbano, C. C. S. Liem, A. Hanjalic 2020 (see `tasks.sources`), Table 1 and their published code.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tasks import DatasetError
from tasks.base import Clip, Count, Dataset, Remote, Split, Task
from tasks.sources.labels import Labels, Scalars, terms_of
from tasks.trees import SUFFIXES, files_below, utf8_named

METADATA = "track_metadata.db"
TEMPOS = "msd_tempo_est.txt"
YEARS = "tracks_per_year.txt"
PLAYS = "train_triplets.txt"
TAGS = "lastfm_tags.db"
LYRICS = "mxm_dataset.db"
GENRES = "CDR_genre.txt"
MISMATCHES = "sid_mismatches.txt"
AUDIO = "audio"
#: What separates fields of the dataset's own text files.
SEPARATOR = "<SEP>"

#: Source -> table.
TABLES: Mapping[str, str] = {
    "bpm": TEMPOS,
    "year": YEARS,
    "taste": PLAYS,
    "tag": TAGS,
    "lyrics": LYRICS,
    "cdr_tag": GENRES,
    "artist": TAGS,
}
#: Of a hundred artists, so many are validated with and so many tested on.
HUNDREDTHS = 10

_SITE = "http://millionsongdataset.com/sites/default/files"
_MISMATCH = re.compile(r"ERROR: <(?P<song>SO\w+) (?P<track>TR\w+)>")


def preview_path(number: int) -> str:
    """Path of a preview by 7digital's number: ``audio/1/2/1234567.clip.mp3``."""
    return f"{AUDIO}/{str(number)[0]}/{str(number)[1]}/{number}.clip.mp3"


def split_of(artist: str) -> Split:
    """The part of the division that an artist is in, by a hash of the identifier."""
    hundredth = int(hashlib.sha256(artist.encode()).hexdigest(), 16) % 100
    return "test" if hundredth < HUNDREDTHS else "valid" if hundredth < 2 * HUNDREDTHS else "train"


@dataclass(frozen=True, slots=True)
class _Track:
    """A row of `track_metadata.db` whose preview is there."""

    track_id: str
    song_id: str
    artist_id: str
    release: str
    path: str


class MillionSong(Dataset):
    """The tracks of the Million Song Dataset whose previews are there; see the module's text."""

    NAME: ClassVar[str] = "million_song"
    LICENCE: ClassVar[str] = "for research; tags, plays and lyrics not for commerce; audio: the user's own"
    BIBTEX: ClassVar[str] = """@inproceedings{bertinmahieux2011million,
  title = {The Million Song Dataset},
  author = {Bertin-Mahieux, Thierry and Ellis, Daniel P. W. and Whitman, Brian and Lamere, Paul},
  booktitle = {Proceedings of the 12th International Society for Music Information Retrieval Conference},
  year = {2011},
}"""
    HOW_TO_GET: ClassVar[str] = (
        "fetch track_metadata.db and the tables of the sources that you want from http://millionsongdataset.com, and "
        f"put previews of your own below {AUDIO}, named by 7digital's number or the track's identifier"
    )
    STANDIN: ClassVar[str | None] = "tasks.standin.million_song"
    REMOTES: ClassVar[Sequence[Remote]] = (
        Remote(METADATA, (f"{_SITE}/AdditionalFiles/{METADATA}",), "md5:89705ce338a360ddcf7e527cd91f8328", METADATA),
        Remote(YEARS, (f"{_SITE}/AdditionalFiles/{YEARS}",), "md5:a5793654ba6c13eaa99ca80a2caf2a9d", YEARS),
        Remote(TAGS, (f"{_SITE}/lastfm/{TAGS}",), "md5:ed3ce4acaa8fc1935267c7cb98601804", TAGS),
        Remote(LYRICS, (f"{_SITE}/AdditionalFiles/{LYRICS}",), "md5:45bb0c46ffe8c892e19af90515db473e", LYRICS),
        Remote(f"{PLAYS}.zip", (f"{_SITE}/challenge/{PLAYS}.zip",), "md5:fadbc813c11881b3147af3c26006335f", ".", True),
    )
    SOURCES: ClassVar[Mapping[str, str]] = {
        "bpm": "tempo by the Echo Nest [beats/min]",
        "year": "year of release",
        "taste": "plays by the users of the Echo Nest's taste profile",
        "tag": "Last.fm tags and their weights",
        "lyrics": "musiXmatch's bags of words, by TF-IDF",
        "cdr_tag": "genres of albums by a library, 0 or 1",
        "artist": "sum of the Last.fm tags of the artist's clips",
    }

    def check(self) -> None:
        """Look for the table of tracks and for audio.

        Raises
        ------
        DatasetError
            If one of them is missing.
        """
        if not self.root.is_dir():
            raise DatasetError(f"{self.root}: no such folder; to get the dataset, {self.HOW_TO_GET}")
        if not (self.root / METADATA).is_file():
            raise DatasetError(f"{self.root / METADATA}: no such table; to get the dataset, {self.HOW_TO_GET}")
        if not self.audio_files():
            raise DatasetError(f"{self.root / AUDIO}: no audio files here; to get the dataset, {self.HOW_TO_GET}")

    def tables(self) -> Sequence[Path]:
        """Return the path of the table of tracks."""
        return (self.root / METADATA,)

    def source_tables(self) -> Sequence[Path]:
        """Return the paths of all tables, there or not."""
        return [self.root / name for name in dict.fromkeys((METADATA, *TABLES.values(), MISMATCHES))]

    def audio_files(self) -> Sequence[Path]:
        """Return every audio file below ``audio``, sorted."""
        return self._audio

    def clips(self) -> Sequence[Clip]:
        """Return the tracks whose previews are there, in the order of the table.

        Raises
        ------
        DatasetError
            If the table cannot be read.
        """
        return [
            Clip(track.track_id, track.path, split_of(track.artist_id), track.artist_id, track.release, track.song_id)
            for track in self._tracks
        ]

    def task(self, **options: str) -> Task:
        """Raise `DatasetError`: it is a corpus."""
        raise DatasetError(f"{self.root}: the Million Song Dataset is a corpus to pretrain on, and has no task here")

    def counts(self) -> Sequence[Count]:
        """Compare the number of tracks with that published."""
        (rows,) = next(rows_of(self.root / METADATA, "SELECT count(*) FROM songs"))
        return [Count("tracks in the table", 1_000_000, int(rows), "distributor")]

    def sources(self) -> Mapping[str, str]:
        """Return the sources whose tables are there."""
        return {name: what for name, what in self.SOURCES.items() if (self.root / TABLES[name]).is_file()}

    def source(self, name: str) -> Labels:
        """What a source says of the clips, in their order.

        Raises
        ------
        DatasetError
            If its table is missing or cannot be parsed; the message names file and line.
        """
        if name not in TABLES:
            raise DatasetError(f"{self.root}: {self.NAME} has no source {name!r}; there are {', '.join(TABLES)}")
        table = self.root / TABLES[name]
        if not table.is_file():
            raise DatasetError(f"{table}: no such table, which source {name} is read from; {self.HOW_TO_GET}")
        if name == "bpm":
            return Scalars(self._numbers(table, "\t", track=0, value=1, whole=False), "beats/min")
        if name == "year":
            return Scalars(self._numbers(table, SEPARATOR, track=1, value=0, whole=True))
        if name == "taste":
            return terms_of(len(self._tracks), self._played(table))
        if name == "cdr_tag":
            return terms_of(len(self._tracks), self._genres(table))
        if name == "lyrics":
            words = rows_of(table, "SELECT track_id, word, count FROM lyrics")
            cells = ((self._row[track], word, float(count)) for track, word, count in words if track in self._row)
            return terms_of(len(self._tracks), cells, "tfidf")
        groups = np.array([track.artist_id for track in self._tracks], dtype=np.str_) if name == "artist" else None
        return terms_of(len(self._tracks), self._tagged(table), groups=groups)

    def _numbers(self, table: Path, separator: str, track: int, value: int, whole: bool) -> Any:
        """The number that each clip has in a table; NaN where there is none, or it is 0."""
        values = np.full(len(self._tracks), np.nan)
        fields = 4 if whole else 2
        for line, cells in lines_of(table, separator, fields):
            row = self._row.get(cells[track])
            number = _number(cells[value], whole)
            if number is None:
                what = "a year, as in 1984" if whole else "a number"
                raise DatasetError(f"{table}:{line}: field {value + 1} must be {what}, not {cells[value][:40]!r}")
            if row is not None and number > 0:
                values[row] = number
        return values

    def _played(self, table: Path) -> Iterator[tuple[int, str, float]]:
        wrong = self._mismatches()
        rows: dict[str, list[int]] = {}
        for row, track in enumerate(self._tracks):
            if (track.song_id, track.track_id) not in wrong:
                rows.setdefault(track.song_id, []).append(row)
        for line, (user, song, count) in lines_of(table, "\t", 3):
            if song in rows:
                plays = _number(count, whole=True)
                if plays is None or plays < 1:
                    raise DatasetError(f"{table}:{line}: field 3 must be a number of plays, not {count[:40]!r}")
                for row in rows[song]:
                    yield row, user, plays

    def _mismatches(self) -> set[tuple[str, str]]:
        """Pairs of song and track that are known not to belong together."""
        file = self.root / MISMATCHES
        if not file.is_file():
            return set()
        text = file.read_text(encoding="utf-8", errors="replace")
        return {(match["song"], match["track"]) for match in _MISMATCH.finditer(text)}

    def _genres(self, table: Path) -> Iterator[tuple[int, str, float]]:
        seen = set()
        for _, (track, genre) in lines_of(table, SEPARATOR, 2):
            if track in self._row and (track, genre) not in seen:
                seen.add((track, genre))
                yield self._row[track], genre, 1.0

    def _tagged(self, table: Path) -> Iterator[tuple[int, str, float]]:
        # Tracks and tags are named by their row in tables of their own.
        tracks = rows_of(table, "SELECT rowid, tid FROM tids")
        rows = {number: self._row[track] for number, track in tracks if track in self._row}
        names = dict(rows_of(table, "SELECT rowid, tag FROM tags"))
        for track, tag, weight in rows_of(table, "SELECT tid, tag, val FROM tid_tag"):
            if track in rows:
                yield rows[track], names[tag], max(float(weight), 1.0)

    @cached_property
    def _audio(self) -> list[Path]:
        files = files_below(self.root / AUDIO)
        return utf8_named([file for file in files if file.suffix[1:].lower() in SUFFIXES])

    @cached_property
    def _tracks(self) -> list[_Track]:
        paths = [file.relative_to(self.root) for file in reversed(self._audio)]
        by_name = {path.name.partition(".")[0]: path.as_posix() for path in paths}
        query = "SELECT track_id, song_id, artist_id, release, track_7digitalid FROM songs ORDER BY rowid"
        found = []
        for track, song, artist, release, preview in rows_of(self.root / METADATA, query):
            path = by_name.get(str(preview)) or by_name.get(track)
            if path is not None:
                found.append(_Track(track, song, artist, f"{artist}/{release}", path))
        return found

    @cached_property
    def _row(self) -> dict[str, int]:
        return {track.track_id: row for row, track in enumerate(self._tracks)}


def rows_of(file: Path, query: str) -> Iterator[Any]:
    """Rows of a query to a database, which is only read and never locked."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as base:
            yield from base.execute(query)
    except sqlite3.Error as error:
        raise DatasetError(f"{file}: it is not the database that was published: {error}; fetch it again") from None


def lines_of(table: Path, separator: str, fields: int) -> Iterator[tuple[int, list[str]]]:
    """Number and fields of each line of a text file that may be larger than memory."""
    line = 0
    try:
        with table.open(encoding="utf-8-sig") as file:
            for line, text in enumerate(file, start=1):
                cells = text.rstrip("\n").split(separator)
                if len(cells) != fields:
                    named = "TABs" if separator == "\t" else separator
                    raise DatasetError(f"{table}:{line}: {len(cells)} fields, not {fields}, separated by {named}")
                yield line, cells
    except OSError as error:
        raise DatasetError(f"{table}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DatasetError(f"{table}: not UTF-8 text after line {line}: {error.reason}") from None


def _number(text: str, whole: bool) -> float | None:
    """A finite number, whole or not; ``None`` if it is none."""
    try:
        number = float(int(text)) if whole else float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None
