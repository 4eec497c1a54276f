"""AudioSet: some two million segments of ten seconds out of videos, with labels of any kind of sound, music among them.

Layout
------
Tables as published: ``class_labels_indices.csv`` (index, mid, display_name), and one or more of
``balanced_train_segments.csv``, ``unbalanced_train_segments.csv`` and ``eval_segments.csv``, whose lines after the
comments are a video's id, beginning and end of the segment [s], and the mids of its labels in quotes. The audio is the
user's own, for Google gives out none: cut segments anywhere below ``audio``, one file a segment, called after the
video's id, with a ``Y`` before it or not, and with ``_`` and anything behind it or not: ``YaBcDeFgHiJk.wav``,
``aBcDeFgHiJk_30000_40000.flac``.

Conventions
-----------
A clip is called after its video, of which no more than one segment is published. Labels are the columns of
``class_labels_indices.csv`` in its order, called by their display names; they are weak (somewhere in the segment), and
a label that is not given is not always absent.

Split
-----
Published are training segments, balanced and unbalanced, and evaluation segments, which share no video. There is no
validation split: here a twentieth of the training videos is held out, those whose id hashes to it, the same in every
copy. Task option ``train`` says which training segments are used: ``balanced`` (default) or ``all``.

Known faults
------------
Every copy is incomplete, and each in another way, since videos disappear: scores of different copies are those of
different test clips, which their fingerprints tell. Labels are checked by people for a part of the segments only.

Metric
------
Average precision of each label, averaged (mAP), and ROC-AUC.

Licence
-------
The tables are CC BY 4.0; the audio belongs to those who uploaded it. Nothing is shipped.

Sources
-------
J. F. Gemmeke, D. P. W. Ellis, D. Freedman, A. Jansen, W. Lawrence, R. C. Moore, M. Plakal, M. Ritter: Audio Set: an
ontology and human-labeled dataset for audio events. ICASSP 2017.
"""

from __future__ import annotations

import csv
import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from tasks import DatasetError
from tasks.base import Clip, Count, Dataset, Remote, Split, Task
from tasks.tables import find_columns, read_header, read_rows, read_text
from tasks.targets import Kind, Tags
from tasks.trees import files_below, utf8_named

CLASSES = "class_labels_indices.csv"
#: Table of segments -> its split, and the number of segments that its published header states.
SEGMENTS: dict[str, tuple[Split, int]] = {
    "balanced_train_segments.csv": ("train", 22_160),
    "unbalanced_train_segments.csv": ("train", 2_041_789),
    "eval_segments.csv": ("test", 20_371),
}
BALANCED, UNBALANCED, EVALUATION = SEGMENTS
AUDIO = "audio"
#: One of so many training videos is held out for validation.
HELD_OUT = 20

_SITE = "http://storage.googleapis.com/us_audioset/youtube_corpus/v1/csv/"
_VIDEO = re.compile(r"[A-Za-z0-9_-]{11}")


@dataclass(frozen=True, slots=True)
class _Segment:
    video: str
    table: str
    seconds: float
    labels: tuple[int, ...]

    @property
    def split(self) -> Split:
        if SEGMENTS[self.table][0] == "test":
            return "test"
        return "valid" if is_held_out(self.video) else "train"


def is_held_out(video: str) -> bool:
    """Whether a training video is one of those that validate."""
    return int.from_bytes(hashlib.sha256(video.encode()).digest()[:8], "big") % HELD_OUT == 0


class AudioSet(Dataset):
    """AudioSet as published, with cut audio of the user's own; see the module's text for layout, split and faults."""

    NAME: ClassVar[str] = "audioset"
    STANDIN: ClassVar[str | None] = "tasks.standin.audioset"
    KIND: ClassVar[Kind | None] = "multilabel"
    LICENCE: ClassVar[str] = "CC BY 4.0 (tables)"
    TYPICAL_SECONDS: ClassVar[float] = 10.0
    BIBTEX: ClassVar[str] = """@inproceedings{gemmeke2017audio,
  author = {Gemmeke, Jort F. and Ellis, Daniel P. W. and Freedman, Dylan and Jansen, Aren and Lawrence, Wade and
    Moore, R. Channing and Plakal, Manoj and Ritter, Marvin},
  title = {Audio Set: an ontology and human-labeled dataset for audio events},
  booktitle = {IEEE International Conference on Acoustics, Speech and Signal Processing},
  year = {2017}
}"""
    HOW_TO_GET: ClassVar[str] = (
        f"fetch {CLASSES} and the tables of segments from https://research.google.com/audioset/download.html, and put "
        f"the segments, cut out of audio of your own, below {AUDIO}, each called after its video's id"
    )
    REMOTES: ClassVar[Sequence[Remote]] = tuple(
        Remote(name=name, urls=(_SITE + name,), checksum="", to=name) for name in (CLASSES, *SEGMENTS)
    )

    def check(self) -> None:
        """Look for the labels, a table of segments and the folder of audio.

        Raises
        ------
        DatasetError
            If the dataset's folder, one of these tables, or the audio is missing.
        """
        if not self.root.is_dir():
            raise DatasetError(f"{self.root}: no such folder; to get AudioSet, {self.HOW_TO_GET}")
        if not (self.root / CLASSES).is_file():
            raise DatasetError(f"{self.root / CLASSES}: no such table; to get AudioSet, {self.HOW_TO_GET}")
        if not self._tables:
            raise DatasetError(
                f"{self.root}: none of {', '.join(SEGMENTS)} is there; to get AudioSet, {self.HOW_TO_GET}"
            )
        if not (self.root / AUDIO).is_dir():
            raise DatasetError(f"{self.root / AUDIO}: no such folder; to get AudioSet, {self.HOW_TO_GET}")

    def tables(self) -> Sequence[Path]:
        """Return the table of labels, and those of segments that are there."""
        return (self.root / CLASSES, *(self.root / name for name in self._tables))

    def audio_files(self) -> Sequence[Path]:
        """Return every file below the folder of audio, sorted."""
        return utf8_named(files_below(self.root / AUDIO))

    def clips(self) -> Sequence[Clip]:
        """Return the segments in the order of the tables; the path is where the file lies or where it might.

        Raises
        ------
        DatasetError
            If a table cannot be parsed; the message names file and line.
        """
        found = self._found
        return [
            Clip(
                segment.video,
                found.get(segment.video, f"{AUDIO}/{segment.video}.wav"),
                segment.split,
                recording=segment.video,
                seconds=segment.seconds,
            )
            for segment in self._segments
        ]

    def task(self, **options: str) -> Task:
        """Return the labels of the segments as tags, in the order of `class_labels_indices.csv`.

        Parameters
        ----------
        **options
            ``train``: ``"balanced"`` (default) or ``"all"`` training segments.

        Raises
        ------
        DatasetError
            If an option is not known, or a table cannot be parsed.
        """
        train = options.pop("train", "balanced")
        if options:
            raise DatasetError(f"{self.NAME}: no option {', '.join(map(repr, options))}; there is only 'train'")
        if train not in ("balanced", "all"):
            raise DatasetError(f"{self.NAME}: train must be 'balanced' or 'all', not {train!r}")
        segments = [segment for segment in self._segments if train == "all" or segment.table != UNBALANCED]
        names = list(self._classes.values())
        values = np.zeros((len(segments), len(names)), dtype=np.int8)
        for row, segment in enumerate(segments):
            values[row, list(segment.labels)] = 1
        videos = tuple(segment.video for segment in segments)
        return Task(
            clip_ids=videos,
            splits=np.array([segment.split for segment in segments], dtype=np.str_),
            targets=Tags(names, values),
            groups=np.array(videos, dtype=np.str_),
        )

    def counts(self) -> Sequence[Count]:
        """Compare segments with the published numbers, and say of how many there is audio."""
        found = self._found
        rows = [Count("labels", 527, len(self._classes), "Gemmeke et al. 2017")]
        for name, (_, published) in SEGMENTS.items():
            here = [segment for segment in self._segments if segment.table == name]
            rows.append(Count(f"{name} segments", published, len(here), "the table's header"))
            with_audio = sum(segment.video in found for segment in here)
            rows.append(Count(f"{name} segments with audio", published, with_audio, "the table's header"))
        return rows

    @cached_property
    def _tables(self) -> list[str]:
        return [name for name in SEGMENTS if (self.root / name).is_file()]

    @cached_property
    def _classes(self) -> dict[str, str]:
        """Mid -> display name, in the order of the table."""
        table = self.root / CLASSES
        rows = read_rows(table, ",")
        columns = find_columns(table, read_header(table, rows), ("mid", "display_name"))
        classes: dict[str, str] = {}
        for line, row in rows:
            mid, name = (row[column] for column in columns)
            if mid in classes or name in classes.values():
                raise DatasetError(f"{table}:{line}: {mid} {name!r} is there twice")
            classes[mid] = name
        if not classes:
            raise DatasetError(f"{table}:1: the table names no label")
        return classes

    @cached_property
    def _segments(self) -> list[_Segment]:
        places = {mid: place for place, mid in enumerate(self._classes)}
        segments: list[_Segment] = []
        seen: set[str] = set()
        for name in self._tables:
            table = self.root / name
            for line, text in enumerate(read_text(table).splitlines(), start=1):
                if text.startswith("#") or not text.strip():
                    continue
                segment = _parsed(table, line, text, places)
                if segment.video in seen:
                    raise DatasetError(f"{table}:{line}: video {segment.video} is there twice")
                seen.add(segment.video)
                segments.append(segment)
        return segments

    @cached_property
    def _found(self) -> dict[str, str]:
        """Video -> path of its file relative to the dataset's folder; of several files the first by name."""
        wanted = {segment.video for segment in self._segments}
        found: dict[str, str] = {}
        for file in self.audio_files():
            stem = file.name.partition(".")[0]
            for begin in (0, 1) if stem.startswith("Y") else (0,):
                video, rest = stem[begin : begin + 11], stem[begin + 11 :]
                if video in wanted and (not rest or rest.startswith("_")):
                    found.setdefault(video, file.relative_to(self.root).as_posix())
                    break
        return found


def _parsed(table: Path, line: int, text: str, places: dict[str, int]) -> _Segment:
    try:
        fields = next(csv.reader([text], skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise DatasetError(f"{table}:{line}: {error}") from None
    if len(fields) != 4:
        raise DatasetError(
            f"{table}:{line}: {len(fields)} fields where a segment has four: video, beginning, end and labels in quotes"
        )
    video, begin, end, labels = (field.strip() for field in fields)
    if _VIDEO.fullmatch(video) is None:
        raise DatasetError(f"{table}:{line}: {video!r} is no id of a video, which has eleven characters")
    try:
        seconds = float(end) - float(begin)
    except ValueError:
        raise DatasetError(f"{table}:{line}: {begin!r} and {end!r} are no beginning and end [s]") from None
    if not (math.isfinite(seconds) and seconds > 0 <= float(begin)):
        raise DatasetError(f"{table}:{line}: the segment from {begin} to {end} s has no length")
    mids = [mid.strip() for mid in labels.split(",") if mid.strip()]
    unknown = [mid for mid in mids if mid not in places]
    if unknown or not mids:
        what = f"label {unknown[0]!r} is not in {CLASSES}" if unknown else "the segment has no label"
        raise DatasetError(f"{table}:{line}: {what}")
    return _Segment(video, table.name, seconds, tuple(sorted({places[mid] for mid in mids})))
