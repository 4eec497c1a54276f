"""McGill Billboard: songs drawn from the US singles charts, 1958 to 1991; a pretraining corpus.

Layout
------
``billboard-2.0-index.csv``, and audio that the user supplies: any tree of files below the dataset's folder, in WAV,
FLAC, MP3, OGG or another format, recognised by their suffix. Nothing else is read; the annotations of chords
(``McGill-Billboard/0003/salami_chords.txt``) may lie there too.

Conventions
-----------
The index is comma-separated, one row a slot of the sample: ``id``, ``chart_date``, ``target_rank``, ``actual_rank``,
``title``, ``artist``, ``peak_rank``, ``weeks_on_chart``. Of its 1,300 slots 890 are filled; a song may fill several.

A file is assigned to a song if a folder or the file's name is or begins with the four digits of a slot
(``0003/audio.flac``, ``0003.mp3``), or if its path names artist and title, as `tasks.song_names` describes. Songs are
counted once, whatever the number of their slots; a clip is called after the song's first slot. A file that names no
song, several, or one that another file already stands for is not used, and `unused_files` says why.

Split
-----
None, and no task: the audio that people could obtain differs too much. TUNe found 712 songs, the CLMR thesis 461.
The number found here stands beside them in `counts`.

Known faults
------------
The publisher counts 740 different songs: so many names are different when case and punctuation make no difference.
"Unchained Melody" is in the index twice, once by "The Righteous Brothers" and once without "The", with the same
annotations; here it is one. Eleven annotation files have title and artist the wrong way round: names are taken from
the index.

Metric
------
None.

Licence
-------
Index and annotations: CC0. The audio is under copyright and not distributed. Nothing of either is shipped.

Sources
-------
J. A. Burgoyne, J. Wild, I. Fujinaga: An expert ground truth set for audio chord recognition and music analysis.
ISMIR 2011.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, NoReturn

from tasks import DatasetError
from tasks.base import Clip, Count, Dataset, Remote
from tasks.song_names import Song, SongFinder, same_letters
from tasks.tables import find_columns, read_header, read_rows
from tasks.trees import files_below, utf8_named

INDEX = "billboard-2.0-index.csv"
#: What an audio file is called, in order of preference where a song has several.
SUFFIXES = (
    *(".flac", ".wav", ".aif", ".aiff", ".au"),
    *(".m4a", ".mp4", ".aac", ".ogg", ".oga", ".opus", ".mp3", ".wma"),
)
#: MD5 of the index as published.
INDEX_CHECKSUM = "md5:c47d304c212725998839cf9bb1a417aa"

_SLOT = re.compile(r"(\d{4})(?![^\W_])(.*)")
_BESIDE_SLOT = {"", "audio", "song", "recording", "mix", "mono", "stereo"}


class Billboard(Dataset):
    """McGill Billboard with the user's audio; see the module's text for how files are found."""

    NAME: ClassVar[str] = "billboard"
    STANDIN: ClassVar[str | None] = "tasks.standin.billboard"
    LICENCE: ClassVar[str] = "index and annotations CC0, audio not distributed"
    BIBTEX: ClassVar[str] = """@inproceedings{burgoyne2011expert,
  author = {Burgoyne, John Ashley and Wild, Jonathan and Fujinaga, Ichiro},
  title = {An expert ground truth set for audio chord recognition and music analysis},
  booktitle = {Proceedings of the 12th International Society for Music Information Retrieval Conference},
  year = {2011}
}"""
    #: Mean duration of a song by its annotation.
    TYPICAL_SECONDS: ClassVar[float] = 216.0
    HOW_TO_GET: ClassVar[str] = (
        "fetch billboard-2.0-index.csv from "
        "https://ddmal.music.mcgill.ca/research/The_McGill_Billboard_Project_(Chord_Analysis_Dataset)/ and put "
        "recordings of the songs anywhere beside it, named by slot (0003/audio.flac) or by artist and title"
    )
    REMOTES: ClassVar[Sequence[Remote]] = (
        Remote(
            name=INDEX,
            urls=("https://www.dropbox.com/s/o0olz0uwl9z9stb/billboard-2.0-index.csv?dl=1",),
            checksum=INDEX_CHECKSUM,
            to=INDEX,
        ),
    )

    def check(self) -> None:
        """Look for the index and at least one audio file.

        Raises
        ------
        DatasetError
            If the dataset's folder or the index is missing, or nothing there has the suffix of an audio file.
        """
        if not self.root.is_dir():
            raise DatasetError(f"{self.root}: no such folder; to get McGill Billboard, {self.HOW_TO_GET}")
        if not (self.root / INDEX).is_file():
            raise DatasetError(f"{self.root / INDEX}: no such table; to get McGill Billboard, {self.HOW_TO_GET}")
        if not self._files:
            raise DatasetError(f"{self.root}: no audio file in any folder; to get McGill Billboard, {self.HOW_TO_GET}")

    def tables(self) -> Sequence[Path]:
        """Return the path of the index, whether or not it exists."""
        return (self.root / INDEX,)

    def audio_files(self) -> Sequence[Path]:
        """Return every file below the dataset's folder that has the suffix of an audio file, sorted."""
        return list(self._files)

    def clips(self) -> Sequence[Clip]:
        """Return one clip for each song that a file was found for, in the order of the index, without a split.

        Raises
        ------
        DatasetError
            If the index cannot be read or parsed; the message names file and line.
        """
        used = self._assigned.used
        songs = ((slot, *used[slot]) for slot in self._slots if slot in used)
        return [
            Clip(slot, path, None, artist=song.artist, recording=f"{song.artist} / {song.title}")
            for slot, song, path in songs
        ]

    def unused_files(self) -> Mapping[str, str]:
        """Return files that no song of the index claims, or that a better one stands in for, and why."""
        return self._assigned.unused

    def task(self, **options: str) -> NoReturn:
        """Refuse.

        Raises
        ------
        DatasetError
            Always: there are no labels and no split.
        """
        del options
        raise DatasetError(f"{self.NAME}: it has no task; it is a corpus to pretrain on")

    def counts(self) -> Sequence[Count]:
        """Compare the index, and the songs that audio was found for, with what the project and two papers state."""
        songs = list(self._slots.values())
        names = {(same_letters(song.artist), same_letters(song.title)) for song in songs if song}
        found = len(self._assigned.used)
        return [
            Count("slots", 1_300, len(songs), "distributor"),
            Count("filled slots", 890, sum(song is not None for song in songs), "distributor"),
            Count("different songs", 740, len(names), "distributor"),
            Count("songs with audio", 712, found, "TUNe"),
            Count("songs with audio", 461, found, "CLMR thesis"),
        ]

    def checksums(self) -> Mapping[str, str]:
        """Return the MD5 of the index as published."""
        return {INDEX: INDEX_CHECKSUM}

    @cached_property
    def _files(self) -> list[Path]:
        return utf8_named([file for file in files_below(self.root) if file.suffix.lower() in SUFFIXES])

    @cached_property
    def _slots(self) -> dict[str, Song | None]:
        return _read_index(self.root / INDEX)

    @cached_property
    def _assigned(self) -> _Assigned:
        return _assign(self.root, self._files, self._slots)


@dataclass(frozen=True, slots=True)
class _Assigned:
    """Which file stands for which song.

    Attributes
    ----------
    used
        First slot of a song -> the song, and the path of its file.
    unused
        Path -> why the file is not used.
    """

    used: dict[str, tuple[Song, str]]
    unused: dict[str, str]


def _read_index(table: Path) -> dict[str, Song | None]:
    """Slot, of four digits -> its song, or ``None`` if it is not filled."""
    rows = read_rows(table, ",")
    columns = find_columns(table, read_header(table, rows), ("id", "title", "artist"))
    slots: dict[str, Song | None] = {}
    for line, row in rows:
        number, title, artist = (row[column].strip() for column in columns)
        if not (number.isdecimal() and int(number) < 10_000):
            raise DatasetError(f"{table}:{line}: id must be a number of at most four digits, not {number!r}")
        slot = f"{int(number):04d}"
        if slot in slots:
            raise DatasetError(f"{table}:{line}: id {number} is there twice")
        if bool(title) != bool(artist):
            raise DatasetError(f"{table}:{line}: slot {number} has a title or an artist, but not both")
        slots[slot] = Song(artist, title) if title else None
    return slots


def _assign(root: Path, files: Sequence[Path], slots: Mapping[str, Song | None]) -> _Assigned:
    finder = SongFinder(song for song in slots.values() if song)
    first: dict[tuple[str, str], str] = {}
    for slot, song in slots.items():
        if song:
            first.setdefault(song.key, slot)
    candidates: dict[str, list[tuple[bool, bool, int, str]]] = defaultdict(list)
    unused: dict[str, str] = {}
    for file in files:
        path = file.relative_to(root).as_posix()
        slot, why = _slot_of(path, slots, finder)
        named = finder.find(path)
        if file.name.startswith("."):
            unused[path] = "hidden file"
        elif why:
            unused[path] = why
        elif slot and named.songs and (song := slots[slot]) and song.key not in {one.key for one in named.songs}:
            names = " and ".join(map(_name, named.songs))
            unused[path] = f"slot and name disagree: slot {slot} is {_name(song)}, the name is that of {names}"
        elif slot or len(named.songs) == 1:
            song = slots[slot] if slot else named.songs[0]
            assert song is not None
            order = (not slot, file.stat().st_size == 0, SUFFIXES.index(file.suffix.lower()), path)
            candidates[first[song.key]].append(order)
        elif named.songs:
            unused[path] = f"names several songs: {' and '.join(map(_name, named.songs))}"
        else:
            unused[path] = named.remark or "names no slot, and no artist and title of the index"
    used = {}
    for slot, found in candidates.items():
        song = slots[slot]
        assert song is not None
        (*_, best), *others = sorted(found)
        used[slot] = (song, best)
        unused.update({path: f"another file of the same song: {_name(song)}; {best} is used" for *_, path in others})
    return _Assigned(used, dict(sorted(unused.items())))


def _slot_of(path: str, slots: Mapping[str, Song | None], finder: SongFinder) -> tuple[str, str]:
    """Slot that a path states, or "", and why the statement cannot be used, or ""."""
    stated: list[str] = []
    for part in Path(path).with_suffix("").parts:
        match = _SLOT.fullmatch(part)
        if match is None or match[1] not in slots:
            continue
        slot, rest = match[1], match[2]
        song = slots[slot]
        # Four digits before a title may as well be disc and track.
        if same_letters(rest) in _BESIDE_SLOT or (song and finder.names(path, song)):
            if song is None:
                return "", f"slot is not filled in the index: {slot}"
            stated.append(slot)
    if len(set(stated)) > 1:
        return "", f"names several slots: {', '.join(dict.fromkeys(stated))}"
    return (stated[0], "") if stated else ("", "")


def _name(song: Song) -> str:
    return f"{song.title!r} by {song.artist}"
