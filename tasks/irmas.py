"""IRMAS: excerpts of recordings in which one of eleven instruments is predominant, and longer ones with all that are.

Layout
------
``IRMAS-TrainingData`` holds a folder for each instrument, from ``cel`` to ``voi``, with excerpts of 3 s called like
``[cel][cla]0001__1.wav`` or ``008__[cel][nod][cla]0058__2.wav``: instrument, drums (``dru``, ``nod``, ``---``) if
known, genre, number of the song, number of the excerpt. ``IRMAS-TestingData-Part1`` to ``Part3``, or ``Part1`` to
``Part3``, hold, in whatever folders the archives unpack to, excerpts of 5 to 20 s as pairs of a ``.wav`` and a ``.txt``
file, which names an instrument in each line.

Conventions
-----------
The *recording* of a training excerpt is its song's number; no song is there for two instruments. That of a test excerpt
is its name without the number behind the last dash.

Split
-----
Two tasks are made of it:

* ``labels="predominant"``, Kim et al. 2020: the training part alone, one class an excerpt. Songs are on one side:
  5,698 excerpts train and 1,007 test (`tasks/splits/README.md`). The study validates nothing. Here those of the
  training songs validate whose number has a SHA-256 that 10 divides; a protocol such as ``kim`` trains on both.
* ``labels="all"``: trained on the training part, 6,705 excerpts less those that validate by the same rule, tested on
  the 2,874 excerpts of the test part, with tags. A training excerpt has the one tag of its instrument, and counts as
  without the others, though some of them may be heard in it.

Known faults
------------
None known by name. The training labels of the second task are wrong where a second instrument plays.

Metric
------
Accuracy and macro F1 of the first task; average precision and area under the ROC curve of each instrument over test
excerpts, macro-averaged, of the second.

Licence
-------
CC BY-NC-SA 3.0. Nothing but the numbers of songs is shipped with this package.

Sources
-------
J. J. Bosch, J. Janer, F. Fuhrmann, P. Herrera: A comparison of sound segregation techniques for predominant instrument
recognition in musical audio signals. ISMIR 2012. Checksums: mirdata.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from tasks import DatasetError
from tasks.base import SPLITS, Clip, Count, Dataset, Remote, Split, Task
from tasks.tables import find_columns, read_header, read_rows, read_text
from tasks.targets import Classes, Kind, Tags, Targets
from tasks.trees import files_below, files_in, utf8_named

TRAINING = "IRMAS-TrainingData"
PARTS = ("Part1", "Part2", "Part3")
#: Folders' names of the instruments, and those instruments.
INSTRUMENTS: Mapping[str, str] = {
    **{"cel": "cello", "cla": "clarinet", "flu": "flute", "gac": "acoustic guitar", "gel": "electric guitar"},
    **{"org": "organ", "pia": "piano", "sax": "saxophone", "tru": "trumpet", "vio": "violin", "voi": "voice"},
}
SONG_LIST = Path(__file__).parent / "splits" / "irmas.csv"
#: One of so many songs of the training part validates.
HELD_OUT = 10

_NAME = re.compile(r"(?:\d+__)?\[(?P<instrument>\w{3})\](?:\[[\w-]+\])+(?P<song>\d+)__\d+\.wav", re.IGNORECASE)
_MD5 = {
    "IRMAS-TrainingData.zip": "4fd9f5ed5a18d8e2687e6360b5f60afe",
    "IRMAS-TestingData-Part1.zip": "5a2e65520dcedada565dff2050bb2a56",
    "IRMAS-TestingData-Part2.zip": "afb0c8ea92f34ee653693106be95c895",
    "IRMAS-TestingData-Part3.zip": "9b3fb2d0c89cdc98037121c25bd5b556",
}


@dataclass(frozen=True, slots=True)
class _Excerpt:
    """An excerpt of either part: `labels` are indices of `INSTRUMENTS`."""

    id: str
    path: str
    recording: str
    split: Split
    training: bool
    labels: tuple[int, ...]


def validates(song: str) -> bool:
    """Whether a song of the training part is held out to select by, where it is not tested."""
    return int(hashlib.sha256(song.encode()).hexdigest(), 16) % HELD_OUT == 0


class Irmas(Dataset):
    """IRMAS as published; see the module's text for layout, tasks and faults."""

    NAME: ClassVar[str] = "irmas"
    STANDIN: ClassVar[str | None] = "tasks.standin.irmas"
    #: Of one task classes, of the other tags.
    KIND: ClassVar[Kind | None] = None
    LICENCE: ClassVar[str] = "CC BY-NC-SA 3.0"
    BIBTEX: ClassVar[str] = """@inproceedings{bosch2012comparison,
  author = {Bosch, Juan J. and Janer, Jordi and Fuhrmann, Ferdinand and Herrera, Perfecto},
  title = {A comparison of sound segregation techniques for predominant instrument recognition in musical audio
    signals},
  booktitle = {Proceedings of the 13th International Society for Music Information Retrieval Conference},
  year = {2012}
}"""
    #: Of a training excerpt.
    TYPICAL_SECONDS: ClassVar[float] = 3.0
    HOW_TO_GET: ClassVar[str] = (
        "fetch IRMAS-TrainingData.zip and IRMAS-TestingData-Part1.zip to Part3.zip from "
        "https://zenodo.org/record/1290750 and unpack the first one here and each other one into a folder of its name"
    )
    REMOTES: ClassVar[Sequence[Remote]] = tuple(
        Remote(
            name=name,
            urls=(f"https://zenodo.org/record/1290750/files/{name}?download=1",),
            checksum=f"md5:{md5}",
            to="." if name.startswith(TRAINING) else name.removesuffix(".zip"),
            archive=True,
        )
        for name, md5 in _MD5.items()
    )

    def check(self) -> None:
        """Look for the training part and a folder of an instrument in it.

        Raises
        ------
        DatasetError
            If one of them is missing.
        """
        if not self.root.is_dir():
            raise DatasetError(f"{self.root}: no such folder; to get IRMAS, {self.HOW_TO_GET}")
        if not self._folders:
            raise DatasetError(
                f"{self.root / TRAINING}: none of the folders cel to voi is there; to get IRMAS, {self.HOW_TO_GET}"
            )

    def tables(self) -> Sequence[Path]:
        """Return the text files of the test part; the training part has its labels in names."""
        return sorted(file for file in self._test_files if file.suffix.lower() == ".txt")

    def audio_files(self) -> Sequence[Path]:
        """Return every file of the instruments' folders, and those of the test part that are no text, sorted."""
        training = [file for folder in self._folders for file in files_in(folder)]
        return sorted([*training, *(file for file in self._test_files if file.suffix.lower() != ".txt")])

    def clips(self) -> Sequence[Clip]:
        """Return the excerpts of the training part by instrument and name, then those of the test part.

        The split is Kim et al.'s in the training part; all of the test part is for testing.

        Raises
        ------
        DatasetError
            If a text file names what is no instrument, or nothing, or is missing.
        """
        return [Clip(one.id, one.path, one.split, recording=one.recording) for one in (*self._training, *self._testing)]

    def task(self, **options: str) -> Task:
        """Return a task of instruments, in the order of `INSTRUMENTS`.

        Parameters
        ----------
        **options
            ``labels``: ``"predominant"`` (default), classes of the training part, or ``"all"``, tags of both parts.

        Raises
        ------
        DatasetError
            If an option is not known, the test part is wanted and missing, or a text file of it cannot be parsed.
        """
        labels = options.pop("labels", "predominant")
        if options:
            raise DatasetError(f"{self.NAME}: no option {', '.join(map(repr, options))}; there is only 'labels'")
        if labels not in ("predominant", "all"):
            raise DatasetError(f"{self.NAME}: labels must be 'predominant' or 'all', not {labels!r}")
        excerpts = list(self._training)
        splits: list[str] = [one.split for one in excerpts]
        if labels == "all":
            if not self._testing:
                raise DatasetError(
                    f"{self.root}: nothing of the test part, folders {', '.join(PARTS)}, is there; to get IRMAS, "
                    f"{self.HOW_TO_GET}"
                )
            splits = ["valid" if validates(one.recording) else "train" for one in excerpts]
            excerpts += self._testing
            splits += ["test"] * len(self._testing)
        names = tuple(INSTRUMENTS.values())
        targets: Targets
        if labels == "all":
            values = np.zeros((len(excerpts), len(names)), dtype=np.int8)
            for row, one in enumerate(excerpts):
                values[row, list(one.labels)] = 1
            targets = Tags(names, values)
        else:
            targets = Classes(names, np.array([one.labels[0] for one in excerpts], dtype=np.int64))
        return Task(
            clip_ids=tuple(one.id for one in excerpts),
            splits=np.array(splits, dtype="<U5"),
            targets=targets,
            groups=np.array([one.recording for one in excerpts], dtype=np.str_),
        )

    def unused_files(self) -> Mapping[str, str]:
        """Return files of the training part that are no excerpt of it, and why."""
        return self._unused

    def counts(self) -> Sequence[Count]:
        """Compare the numbers of excerpts and of songs with what is published."""
        splits = [one.split for one in self._training]
        learnt = sum(split != "test" for split in splits)
        return [
            Count("training excerpts", 6_705, len(splits), "distributor"),
            Count(
                "songs of the training part", 2_261, len({one.recording for one in self._training}), "Kim et al. 2020"
            ),
            Count("irmas train and valid excerpts", 5_698, learnt, "Kim et al. 2020"),
            Count("irmas test excerpts", 1_007, splits.count("test"), "Kim et al. 2020"),
            Count("irmas-test test excerpts", 2_874, len(self._testing), "distributor"),
        ]

    @cached_property
    def _folders(self) -> list[Path]:
        return [folder for name in INSTRUMENTS if (folder := self.root / TRAINING / name).is_dir()]

    @cached_property
    def _test_files(self) -> list[Path]:
        homes = [self.root / f"{before}{part}" for part in PARTS for before in ("IRMAS-TestingData-", "")]
        found = [file for home in homes for file in files_below(home) if file.suffix.lower() in (".wav", ".txt")]
        return utf8_named([file for file in found if not file.name.startswith(".")])

    @property
    def _training(self) -> list[_Excerpt]:
        return self._read_training[0]

    @property
    def _unused(self) -> Mapping[str, str]:
        return self._read_training[1]

    @cached_property
    def _read_training(self) -> tuple[list[_Excerpt], dict[str, str]]:
        """Excerpts, and why other files are none."""
        songs = read_songs()
        excerpts, unused = [], {}
        for folder in self._folders:
            for file in files_in(folder):
                path = file.relative_to(self.root).as_posix()
                match = _NAME.fullmatch(file.name)
                if match is None:
                    unused[path] = "not called like an excerpt, as [cel][cla]0001__1.wav is"
                elif match["instrument"] != folder.name:
                    unused[path] = f"name and folder disagree: {match['instrument']} and {folder.name}"
                elif match["song"] not in songs or songs[match["song"]][0] != folder.name:
                    unused[path] = f"no song of that number: {folder.name} {match['song']}"
                else:
                    song = match["song"]
                    place = list(INSTRUMENTS).index(folder.name)
                    excerpts.append(_Excerpt(f"{folder.name}/{file.stem}", path, song, songs[song][1], True, (place,)))
        return excerpts, unused

    @cached_property
    def _testing(self) -> list[_Excerpt]:
        pairs: dict[Path, dict[str, Path]] = {}
        for file in self._test_files:
            pairs.setdefault(file.with_suffix(""), {})[file.suffix.lower()] = file
        excerpts: dict[str, _Excerpt] = {}
        for stem, files in sorted(pairs.items()):
            if ".txt" not in files:
                raise DatasetError(f"{files['.wav']}: {stem.name}.txt, which names its instruments, is not beside it")
            part = next(part for part in PARTS if part in stem.relative_to(self.root).parts[0])
            name = f"{part}/{stem.name}"
            if name in excerpts:
                raise DatasetError(f"{files['.txt']}: an excerpt {name} is already there, {excerpts[name].path}")
            path = files.get(".wav", stem.with_name(f"{stem.name}.wav")).relative_to(self.root).as_posix()
            labels = _read_labels(files[".txt"])
            excerpts[name] = _Excerpt(
                name, path, f"{part}/{stem.name.rpartition('-')[0] or stem.name}", "test", False, labels
            )
        return [excerpts[name] for name in sorted(excerpts)]


def _read_labels(file: Path) -> tuple[int, ...]:
    places = {name: place for place, name in enumerate(INSTRUMENTS)}
    labels = []
    for line, text in enumerate(read_text(file).splitlines(), start=1):
        if not (name := text.strip()):
            continue
        if name not in places:
            raise DatasetError(f"{file}:{line}: {name!r} is none of the instruments {', '.join(places)}")
        labels.append(places[name])
    if not labels:
        raise DatasetError(f"{file}:1: names no instrument")
    return tuple(sorted(set(labels)))


def read_songs() -> dict[str, tuple[str, Split]]:
    """Number of a song of the training part -> its instrument, and its split by Kim et al."""
    rows = read_rows(SONG_LIST, ",")
    columns = find_columns(SONG_LIST, read_header(SONG_LIST, rows), ("song", "instrument", "split"))
    songs: dict[str, tuple[str, Split]] = {}
    for _, row in rows:
        song, instrument, split = (row[column] for column in columns)
        tested: Split = "test" if split == SPLITS[2] else "valid" if validates(song) else "train"
        songs[song] = (instrument, tested)
    return songs
