"""GTZAN: 1,000 excerpts of half a minute, a hundred in each of ten genres.

Layout
------
One folder a genre, each with ``GENRE.NNNNN.wav``, numbered 00000 to 00099: 22,050 Hz, mono, 16 bits. The archive
``genres.tar.gz`` unpacks to ``genres``; re-uploads call that folder ``genres_original``, ``Data/genres_original`` or
``gtzan_genre/genres``, or leave it out. All are understood, the first that is there in this order is read. The first
release was in ``.au``, and copies in ``.flac`` exist; of one excerpt in several formats, ``.wav`` is taken, then
``.au``, then ``.flac``. ``hip-hop`` stands for ``hiphop`` in some copies.

A copy that is meant to hold some of the excerpts only, as the stand-in does, says which in ``excerpts.txt``, one name
such as ``blues.00000`` a line; the others are then no part of it. Without that file, what is not there is missing.

Conventions
-----------
There is no table of labels: names are labels. A clip is called after its file without the suffix, ``blues.00000``,
always with ``hiphop`` in one word. Lengths differ by a few hundredths of a second.

Split
-----
No split comes with the data; two are in use, and this package ships the names:

* ``faulty="drop"``: the fault-filtered one, 443 training, 197 validation and 290 test clips that share no artist.
  Test clips are 26 to 32 a genre; only 13 validation clips are pop.
* ``faulty="keep"``: all 1,000 excerpts, 478, 211 and 311, as Kim et al. used. The 930 excerpts of the first have
  the same split in both.

Random splits and ten-fold cross-validation, common in older papers, put the same artists into training and test.

Known faults
------------
Sturm (2013) catalogues repeated, wrongly labelled and distorted excerpts. The fault filter removes 70 of them.
``jazz.00054.wav`` is in its training list; the file is sound in the first release and cannot be decoded in a
widely used re-upload, where it is then left out and reported. Nothing names the artists.

Metric
------
Accuracy over clips. A probe that always says the same genre reaches 0.110 on the fault-filtered split.

Licence
-------
None stated. Of the dataset, nothing is shipped; the lists of names are (``tasks/splits``, MIT).

Sources
-------
G. Tzanetakis, P. Cook: Musical genre classification of audio signals. IEEE Transactions on Speech and Audio
Processing 10(5), 2002.
B. L. Sturm: The GTZAN dataset: its contents, its faults, their effects on evaluation, and its future use.
arXiv:1306.1461, 2013.
C. Kereliuk, B. L. Sturm, J. Larsen: Deep learning and music adversaries. IEEE Transactions on Multimedia 17(11),
2015: the fault-filtered split.
J. Kim, J. Urbano, C. C. S. Liem, A. Hanjalic: One deep music representation to rule them all? Neural Computing and
Applications 32, 2020: the split of all excerpts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, cast

import numpy as np

from tasks import DatasetError
from tasks.base import SPLITS, Clip, Count, Dataset, Remote, Split, Task
from tasks.tables import find_columns, read_header, read_rows, read_text
from tasks.targets import Classes, Kind
from tasks.trees import files_below, files_in, utf8_named

GENRES: tuple[str, ...] = (
    *("blues", "classical", "country", "disco", "hiphop"),
    *("jazz", "metal", "pop", "reggae", "rock"),
)
#: Excerpts of each genre.
PER_GENRE = 100
#: Where the ten folders may lie, in order of preference; the last is the dataset's folder itself.
HOMES = ("genres", "genres_original", "Data/genres_original", "gtzan_genre/genres", "")
#: Formats, in order of preference.
SUFFIXES = (".wav", ".au", ".flac")

#: List of the excerpts that a partial copy holds.
EXCERPTS = "excerpts.txt"
SPLIT_LIST = Path(__file__).parent / "splits" / "gtzan.csv"

_NAME = re.compile(r"(?P<genre>[a-z]+(?:[-_ ]hop)?)\.(?P<number>\d{5})(?P<suffix>\.[a-z]+)", re.IGNORECASE)


class Gtzan(Dataset):
    """GTZAN as published; see the module's text for layout, splits and faults."""

    NAME: ClassVar[str] = "gtzan"
    STANDIN: ClassVar[str | None] = "tasks.standin.gtzan"
    KIND: ClassVar[Kind | None] = "multiclass"
    LICENCE: ClassVar[str] = "none stated"
    BIBTEX: ClassVar[str] = """@article{tzanetakis2002musical,
  author = {Tzanetakis, George and Cook, Perry},
  title = {Musical genre classification of audio signals},
  journal = {IEEE Transactions on Speech and Audio Processing},
  volume = {10},
  number = {5},
  pages = {293--302},
  year = {2002}
}"""
    HOW_TO_GET: ClassVar[str] = (
        "fetch genres.tar.gz from http://opihi.cs.uvic.ca/sound/genres.tar.gz, or any copy of it, and unpack it here, "
        "so that genres/blues/blues.00000.wav is there"
    )
    REMOTES: ClassVar[Sequence[Remote]] = (
        Remote(
            name="genres.tar.gz",
            urls=("http://opihi.cs.uvic.ca/sound/genres.tar.gz",),
            checksum="sha256:24347e0223d2ba798e0a558c4c172d9d4a19c00bb7963fe055d183dadb4ef2c6",
            to=".",
            archive=True,
        ),
    )

    def check(self) -> None:
        """Look for at least one genre's folder.

        Raises
        ------
        DatasetError
            If the dataset's folder, or every genre's folder, is missing.
        """
        if not self.root.is_dir():
            raise DatasetError(f"{self.root}: no such folder; to get GTZAN, {self.HOW_TO_GET}")
        if self._home is None:
            raise DatasetError(
                f"{self.root}: none of the genre folders blues to rock is there, nor in "
                f"{', '.join(home for home in HOMES if home)}; to get GTZAN, {self.HOW_TO_GET}"
            )

    def tables(self) -> Sequence[Path]:
        """Return the path of `excerpts.txt` if it is there; otherwise the dataset has no table."""
        file = self.root / EXCERPTS
        return (file,) if file.is_file() else ()

    def audio_files(self) -> Sequence[Path]:
        """Return every file in any of the places where the genres' folders may lie, sorted."""
        found = {file for home in HOMES if home for file in files_below(self.root / home)}
        found.update(file for folder in _genre_folders(self.root) for file in files_below(folder))
        return utf8_named(sorted(found))

    def clips(self) -> Sequence[Clip]:
        """Return the excerpts by genre and number; the path is where the file lies or where it belongs.

        The split is the fault-filtered one. No duration is promised, and no artist known.

        Raises
        ------
        DatasetError
            If `excerpts.txt` is there and names something else than excerpts.
        """
        found = self._found
        home = f"{self._home}/" if self._home else ""
        suffix = Counter(Path(path).suffix for path in found.values()).most_common(1)
        missing = suffix[0][0] if suffix else SUFFIXES[0]
        clips = []
        for entry in self._entries:
            genre = entry.clip.partition(".")[0]
            path = found.get(entry.clip, f"{home}{genre}/{entry.clip}{missing}")
            clips.append(Clip(entry.clip, path, None if entry.faulty else entry.split))
        return clips

    def task(self, **options: str) -> Task:
        """Return the genre task: one column of indices into `GENRES`, int64.

        Parameters
        ----------
        **options
            ``faulty``: ``"drop"`` (default) or ``"keep"`` the 70 excerpts that the fault filter removes.

        Raises
        ------
        DatasetError
            If an option is not known, or `excerpts.txt` is there and names something else than excerpts.
        """
        faulty = options.pop("faulty", "drop")
        if options:
            raise DatasetError(f"{self.NAME}: no option {', '.join(map(repr, options))}; there is only 'faulty'")
        if faulty not in ("drop", "keep"):
            raise DatasetError(f"{self.NAME}: faulty must be 'drop' or 'keep', not {faulty!r}")
        entries = [entry for entry in self._entries if faulty == "keep" or not entry.faulty]
        clip_ids = tuple(entry.clip for entry in entries)
        genres = [GENRES.index(clip.partition(".")[0]) for clip in clip_ids]
        return Task(
            clip_ids=clip_ids,
            splits=np.array([entry.split for entry in entries], dtype=np.str_),
            targets=Classes(GENRES, np.array(genres, dtype=np.int64)),
            groups=np.array(clip_ids, dtype=np.str_),
        )

    def counts(self) -> Sequence[Count]:
        """Compare the excerpts that are there with all, and with those of both splits."""
        found = self._found
        rows = [Count("excerpts", 1_000, len(found), "distributor")]
        sizes = {
            "gtzan": ("drop", (443, 197, 290), "Kereliuk et al. 2015"),
            "gtzan-all": ("keep", (478, 211, 311), "Kim et al. 2020"),
        }
        for name, (faulty, published, source) in sizes.items():
            task = self.task(faulty=faulty)
            here = task.splits[[clip in found for clip in task.clip_ids]]
            rows += [
                Count(f"{name} {split} clips", number, int((here == split).sum()), source)
                for split, number in zip(SPLITS, published, strict=True)
            ]
        return rows

    @cached_property
    def _entries(self) -> list[_Entry]:
        """All excerpts, or those that `excerpts.txt` names."""
        entries = _read_split_list()
        chosen: set[str] = set()
        for file in self.tables():
            known = {entry.clip for entry in entries}
            for line, name in enumerate(read_text(file).splitlines(), start=1):
                if name.strip() and name.strip() not in known:
                    raise DatasetError(f"{file}:{line}: {name.strip()!r} is no excerpt of GTZAN, as blues.00000 is")
                chosen.add(name.strip())
        return [entry for entry in entries if entry.clip in chosen] if self.tables() else entries

    @cached_property
    def _home(self) -> str | None:
        """First of `HOMES` that holds a genre's folder."""
        return next((home for home in HOMES if _genre_folders(self.root / home)), None)

    @cached_property
    def _found(self) -> dict[str, str]:
        """Clip -> path of its file relative to the dataset's folder."""
        if self._home is None:
            return {}
        ranked: dict[str, tuple[int, str]] = {}
        for folder in _genre_folders(self.root / self._home):
            for file in files_in(folder):
                match = _NAME.fullmatch(file.name)
                if match is None:
                    continue
                genre, suffix = _genre(match["genre"]), match["suffix"].lower()
                if genre != _genre(folder.name) or suffix not in SUFFIXES or int(match["number"]) >= PER_GENRE:
                    continue
                entry = (SUFFIXES.index(suffix), file.relative_to(self.root).as_posix())
                clip = f"{genre}.{match['number']}"
                ranked[clip] = min(ranked.get(clip, entry), entry)
        return {clip: path for clip, (_, path) in ranked.items()}


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of the shipped list."""

    clip: str
    split: Split
    #: Whether the fault filter removes it.
    faulty: bool


def _genre(name: str) -> str:
    return re.sub(r"[-_ ]", "", name.lower())


def _genre_folders(home: Path) -> list[Path]:
    if not home.is_dir():
        return []
    return sorted(folder for folder in home.iterdir() if _genre(folder.name) in GENRES and folder.is_dir())


def _read_split_list() -> list[_Entry]:
    rows = read_rows(SPLIT_LIST, ",")
    columns = find_columns(SPLIT_LIST, read_header(SPLIT_LIST, rows), ("clip", "split", "faulty"))
    cells = ([row[column] for column in columns] for _, row in rows)
    return [_Entry(clip, cast(Split, split), faulty == "1") for clip, split, faulty in cells]
