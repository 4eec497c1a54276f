"""EmoMusic, the 1000 Songs database: 744 excerpts of 45 s with arousal and valence.

Layout
------
Below the dataset's folder lie ``clips_45seconds/<song id>.mp3`` and, in ``annotations/`` or beside that folder, the
tables ``songs_info.csv`` and ``static_annotations.csv``. Those are what ``clips_45sec.tar.gz`` and
``annotations.tar.gz`` unpack to; the continuous annotations that come with them are not used.

Conventions
-----------
Both tables are separated by commas. Fields of ``songs_info.csv`` hold TABs inside their quotes, before or after the
text. Start and end of an excerpt are written ``minutes.seconds`` with a final zero lost: ``0.2`` is 20 s, ``0.02``
is 2 s. ``static_annotations.csv`` has one row a song with the mean of arousal and of valence over its annotators,
from 1 to 9. Song ids run from 2 to 1000 with gaps, where duplicates were taken out.

Splits
------
MediaEval 2013 divides the songs into 619 for development and 125 for evaluation. All protocols test on the latter.
They differ in what is left for training once songs are held out to select the probe with:

* ``split="jukemir"``: those of the artists whose name, in lower case and reduced to ASCII letters and single spaces,
  has a SHA-1 that leaves 8 or 9 when divided by 10: 504 training, 115 validation, 125 test songs.
* ``split="mediaeval"``: those of the artists where it leaves 9: 539, 80 and 125. Kim et al. train on all 619 with a
  classifier that needs no validation; a probe that is stopped early does, so a tenth of the artists, with an eighth
  of the songs, is the least that can be held out without dividing an artist.

Validation songs share no artist with training songs. Test songs do: 52 of the 125 have an artist in the 504.

Known faults
------------
None. Titles of different excerpts of one song do not occur. The songs come from the Free Music Archive, so a corpus
made of FMA can hold them.

Metric
------
Coefficient of determination of arousal, of valence, and their mean, over test songs. Labels are the means as
published, from 1 to 9. jukemir scales them by mean and standard deviation over the 619 development songs (arousal
4.756 and 1.386, valence 4.974 and 1.255) before its probe sees them; the metric does not change by that.

Licence
-------
Not stated by the distributor in what was read; each song has its own Creative Commons licence. Nothing is shipped.

Sources
-------
M. Soleymani, M. N. Caro, E. M. Schmidt, C.-Y. Sha, Y.-H. Yang: 1000 songs for emotional analysis of music.
CrowdMM 2013. Split: R. Castellon, C. Donahue, P. Liang: Codified audio language modeling learns useful
representations for music information retrieval. ISMIR 2021, and its released code.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from tasks import DatasetError
from tasks.base import SPLITS, Clip, Count, Dataset, Remote, Split, Task
from tasks.tables import find_columns, read_header, read_rows
from tasks.targets import Kind, Values
from tasks.trees import files_in

CLIPS = "clips_45seconds"
SONGS = "songs_info.csv"
STATIC = "static_annotations.csv"
#: Columns of the labels, in jukemir's order.
TARGETS = ("arousal", "valence")
SCALE = (1.0, 9.0)

_SONG_COLUMNS = (
    *("song_id", "file_name", "Artist", "Song title"),
    *("start of the segment (min.sec)", "end of the segment (min.sec)", "Mediaeval 2013 set"),
)
#: Remainders of an artist's hash, divided by 10, whose development songs validate.
_VALID_REMAINDERS: Mapping[str, tuple[int, ...]] = {"jukemir": (8, 9), "mediaeval": (9,)}
_SETS = ("development", "evaluation")


@dataclass(frozen=True, slots=True)
class _Song:
    """What `songs_info.csv` says of one song."""

    line: int
    file_name: str
    artist: str
    title: str
    seconds: float
    evaluation: bool


class EmoMusic(Dataset):
    """EmoMusic as published; see the module's text for layout, splits and faults."""

    NAME: ClassVar[str] = "emomusic"
    STANDIN: ClassVar[str | None] = "tasks.standin.emomusic"
    KIND: ClassVar[Kind | None] = "regression"
    LICENCE: ClassVar[str] = "not stated; each song has its own Creative Commons licence"
    BIBTEX: ClassVar[str] = """@inproceedings{soleymani2013songs,
  author = {Soleymani, Mohammad and Caro, Micheal N. and Schmidt, Erik M. and Sha, Cheng-Ya and Yang, Yi-Hsuan},
  title = {1000 songs for emotional analysis of music},
  booktitle = {Proceedings of the 2nd ACM International Workshop on Crowdsourcing for Multimedia},
  year = {2013}
}"""
    HOW_TO_GET: ClassVar[str] = (
        "fetch clips_45sec.tar.gz and annotations.tar.gz from http://cvml.unige.ch/databases/emoMusic/, "
        "and unpack the first one here and the second one into annotations/"
    )
    REMOTES: ClassVar[Sequence[Remote]] = (
        Remote(
            name="clips_45sec.tar.gz",
            urls=("http://cvml.unige.ch/databases/emoMusic/clips_45sec.tar.gz",),
            checksum="sha256:3994a5d5fefc27f9540d1a69cd7f1294c68e6cb311ce49765021e2e9c7a1057b",
            to=".",
            archive=True,
        ),
        Remote(
            name="annotations.tar.gz",
            urls=("http://cvml.unige.ch/databases/emoMusic/annotations.tar.gz",),
            checksum="sha256:e0cb0b06e1b0ce7f04b1572fc410937699b7fad9dae67ddaa745f06cda4b0b33",
            to="annotations",
            archive=True,
        ),
    )

    def check(self) -> None:
        """Look for the two tables and the folder of audio.

        Raises
        ------
        DatasetError
            If one of them is missing.
        """
        if not self.root.is_dir():
            raise DatasetError(f"{self.root}: no such folder; to get EmoMusic, {self.HOW_TO_GET}")
        for table in self.tables():
            if not table.is_file():
                raise DatasetError(f"{table}: no such table; to get EmoMusic, {self.HOW_TO_GET}")
        if not (self.root / CLIPS).is_dir():
            raise DatasetError(f"{self.root / CLIPS}: no such folder of audio; to get EmoMusic, {self.HOW_TO_GET}")

    def tables(self) -> Sequence[Path]:
        """Return the paths of the two tables, in ``annotations/`` unless they lie beside the audio folder."""
        beside = (self.root / SONGS).is_file() and not (self.root / "annotations" / SONGS).is_file()
        folder = self.root if beside else self.root / "annotations"
        return (folder / SONGS, folder / STATIC)

    def audio_files(self) -> Sequence[Path]:
        """Return every file in ``clips_45seconds``, sorted, whatever its name and content."""
        return files_in(self.root / CLIPS)

    def clips(self) -> Sequence[Clip]:
        """Return the songs in the order of `songs_info.csv`, with the split that jukemir uses.

        Raises
        ------
        DatasetError
            If the table cannot be read or parsed; the message names file and line.
        """
        return [
            Clip(
                id=song_id,
                path=f"{CLIPS}/{song.file_name}",
                split=_split(song, "jukemir"),
                artist=song.artist,
                recording=f"{song.artist} / {song.title}",
                seconds=song.seconds,
            )
            for song_id, song in self._songs().items()
        ]

    def task(self, **options: str) -> Task:
        """Return the emotion task: labels of shape [songs, 2], float64, arousal and valence from 1 to 9.

        Parameters
        ----------
        **options
            ``split``: ``"jukemir"`` (default) or ``"mediaeval"``, see the module's text. ``target``: ``"arousal"`` or
            ``"valence"``, where one of them is asked for alone: labels of shape [songs, 1].

        Raises
        ------
        DatasetError
            If a table cannot be read or parsed, the tables name different songs, or an option is not known.
        """
        name, target = options.pop("split", "jukemir"), options.pop("target", None)
        if options:
            raise DatasetError(
                f"{self.NAME}: no option {', '.join(map(repr, options))}; there are only 'split' and 'target'"
            )
        if name not in _VALID_REMAINDERS:
            raise DatasetError(f"{self.NAME}: split must be 'jukemir' or 'mediaeval', not {name!r}")
        if target not in (None, *TARGETS):
            raise DatasetError(f"{self.NAME}: target must be 'arousal' or 'valence', not {target!r}")
        asked = tuple(name for name in TARGETS if target in (None, name))
        songs = self._songs()
        targets = self._targets(songs)
        columns = [TARGETS.index(name) for name in asked]
        return Task(
            clip_ids=tuple(songs),
            splits=np.array([_split(song, name) for song in songs.values()], dtype=np.str_),
            targets=Values(
                asked, np.array([targets[song_id] for song_id in songs]).reshape(len(songs), len(TARGETS))[:, columns]
            ),
            groups=np.array(list(songs), dtype=np.str_),
        )

    def counts(self) -> Sequence[Count]:
        """Compare the number of songs, and of those in each split, with what is published."""
        songs = self._songs()
        evaluation = sum(song.evaluation for song in songs.values())
        rows = [
            Count("songs", 744, len(songs), "distributor"),
            Count("development songs", 619, len(songs) - evaluation, "MediaEval 2013"),
            Count("evaluation songs", 125, evaluation, "MediaEval 2013"),
        ]
        splits = self.task(split="jukemir").splits
        return rows + [
            Count(f"emotion {split} songs", number, int((splits == split).sum()), "jukemir")
            for split, number in zip(SPLITS, (504, 115, 125), strict=True)
        ]

    def _songs(self) -> dict[str, _Song]:
        table = self.tables()[0]
        rows = read_rows(table, ",")
        columns = find_columns(table, [name.strip() for name in read_header(table, rows)], _SONG_COLUMNS)
        songs: dict[str, _Song] = {}
        files: dict[str, int] = {}
        for line, row in rows:
            song_id, file_name, artist, title, start, end, part = (row[index].strip() for index in columns)
            where = f"{table}:{line}"
            if song_id in songs:
                raise DatasetError(f"{where}: song_id {song_id!r} is already in line {songs[song_id].line}")
            if not song_id:
                raise DatasetError(f"{where}: song_id is empty")
            if not file_name or file_name in (".", "..") or "/" in file_name or "\\" in file_name:
                raise DatasetError(f"{where}: file_name must be the name of a file in {CLIPS}, not {file_name!r}")
            if file_name in files:
                raise DatasetError(f"{where}: file_name {file_name!r} is already in line {files[file_name]}")
            if part not in _SETS:
                raise DatasetError(f"{where}: 'Mediaeval 2013 set' must be {' or '.join(_SETS)}, not {part!r}")
            seconds = _seconds(end, where) - _seconds(start, where)
            if seconds <= 0:
                raise DatasetError(f"{where}: the segment ends at {end} (min.sec), not after its start at {start}")
            files[file_name] = line
            songs[song_id] = _Song(line, file_name, artist, title, seconds, part == "evaluation")
        return songs

    def _targets(self, songs: Mapping[str, _Song]) -> dict[str, tuple[float, float]]:
        table = self.tables()[1]
        rows = read_rows(table, ",")
        header = [name.strip() for name in read_header(table, rows)]
        columns = find_columns(table, header, ("song_id", *(f"mean_{target}" for target in TARGETS)))
        targets: dict[str, tuple[float, float]] = {}
        for line, row in rows:
            song_id, *texts = (row[index].strip() for index in columns)
            if song_id in targets:
                raise DatasetError(f"{table}:{line}: song_id {song_id!r} is there twice")
            if song_id not in songs:
                raise DatasetError(f"{table}:{line}: song_id {song_id!r} is not in {SONGS}")
            arousal, valence = (
                _rating(text, name, f"{table}:{line}") for text, name in zip(texts, TARGETS, strict=True)
            )
            targets[song_id] = (arousal, valence)
        for song_id, song in songs.items():
            if song_id not in targets:
                raise DatasetError(f"{self.tables()[0]}:{song.line}: song_id {song_id!r} is not in {STATIC}")
        return targets


def _split(song: _Song, name: str) -> Split:
    if song.evaluation:
        return "test"
    kept = "".join(c for c in song.artist.lower() if c.isascii() and (c.isalpha() or c.isspace()))
    digest = hashlib.sha1(" ".join(kept.split()).encode("ascii"), usedforsecurity=False).hexdigest()
    return "valid" if int(digest, 16) % 10 in _VALID_REMAINDERS[name] else "train"


def _seconds(text: str, where: str) -> float:
    """Seconds of a time written ``minutes.seconds``, where ``0.2`` stands for ``0.20``."""
    minutes, _, rest = text.partition(".")
    rest = rest.ljust(2, "0")
    if not (minutes.isdecimal() and rest.isdecimal() and len(rest) == 2 and int(rest) < 60):
        raise DatasetError(f"{where}: start and end of the segment must look like 1.05 (min.sec), not {text!r}")
    return float(60 * int(minutes) + int(rest))


def _rating(text: str, name: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not SCALE[0] <= value <= SCALE[1]:
        raise DatasetError(f"{where}: mean_{name} must be a number from 1 to 9, not {text!r}")
    return value
