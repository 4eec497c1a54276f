"""GiantSteps key: two corpora of two-minute excerpts of electronic dance music with their key.

Layout
------
Below the dataset's folder lie the two repositories as published, each with ``annotations/``, ``md5/`` and, once its
download script has run, ``audio/<id>.LOFI.mp3``:

* ``giantsteps-key-dataset`` (604 songs, tested on), with ``annotations/key/<id>.LOFI.key``;
* ``giantsteps-mtg-key-dataset`` (1 486 songs, trained on), with ``annotations/annotations.txt``,
  ``annotations/beatport_metadata.txt`` and ``annotations/key/<id>.LOFI.key``.

An unpacked archive of a repository, which has a commit in its name, and ``giantsteps_key`` and
``giantsteps_mtg_key`` are understood too. These are not the corpora that mirdata calls ``giantsteps_key`` and
``beatport_key``, which have other files and other labels.

Conventions
-----------
A file of ``annotations/key`` holds ``C minor`` in the first corpus, without a line end. In the second it has
TAB-separated fields: the key in lower case with sharps, how sure the annotator was (0, 1 or 2), and a comment. The
same is in ``annotations/giantsteps/<id>.LOFI.key`` in another syntax, and in ``annotations.txt`` with the columns
``ID``, ``MANUAL KEY`` and ``C``. Whatever of these is there is read, and two that disagree are an error.
``-``, nothing, and several keys as in ``A / B minor`` stand for songs without a single key. A file named
``id.LOFI.key`` holds a table's header and is passed over.

Labels are the 24 keys with flats, majors first (`tasks.metrics.key.KEYS`).

Split
-----
The 604 songs are the test set. Of the others, those with a single key and confidence 2 are used, 1 159. jukemir
divides them by artist into 923 for training and 236 for validation: an artist validates if the SHA-1 of the name in
lower case leaves 100 or more when divided by 116, and so do those who appear on a song beside one who does, in two
passes over ``beatport_metadata.txt``. The split is worked out from that table, not shipped.

Known faults
------------
Nine pairs of the second corpus are the same audio under two ids; one of them has a half in training (2997186) and the
other in validation (1926377). Four test songs are shorter than the 120 s of the rest (45, 59, 62 and 77 s). Keys are
very unevenly distributed: 73 test songs in F minor, one in D flat major.

Metric
------
Weighted key score, in both definitions in use, and accuracy, over whole songs. Always answering C minor, the most
frequent key in training, scores 0.158 (0.209 with fifths below counted) and is right 0.088 of the time.

Licence
-------
None stated in the repositories. Nothing of them is shipped with this package.

Sources
-------
P. Knees, A. Faraldo, P. Herrera, R. Vogl, S. Boeck, F. Hoerschlaeger, M. Le Goff: Two data sets for tempo estimation
and key detection in electronic dance music annotated from user corrections. ISMIR 2015. A. Faraldo: Tonality
estimation in electronic dance music. Thesis, Universitat Pompeu Fabra, 2018. Selection by confidence: F. Korzeniowski,
G. Widmer: Genre-agnostic key classification with convolutional neural networks. ISMIR 2018. Split: jukemir (see
`tasks.emomusic`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from tasks import DatasetError
from tasks.base import SPLITS, Clip, Count, Dataset, Remote, Split, Task
from tasks.metrics.key import KEYS
from tasks.tables import find_columns, read_header, read_rows, read_text
from tasks.targets import Classes, Kind
from tasks.trees import files_in

#: Names that the folder of each repository goes by; the first one is as published.
KEY_FOLDERS = ("giantsteps-key-dataset", "giantsteps_key")
MTG_FOLDERS = ("giantsteps-mtg-key-dataset", "giantsteps_mtg_key")
#: An annotator was sure of the key.
SURE = 2

_SHARPS = {"c#": "Db", "d#": "Eb", "f#": "Gb", "g#": "Ab", "a#": "Bb"}
_KEY_INDEX: Mapping[str, int] = {
    **{key.lower(): index for index, key in enumerate(KEYS)},
    **{
        f"{sharp} {mode}": KEYS.index(f"{flat} {mode}")
        for sharp, flat in _SHARPS.items()
        for mode in ("major", "minor")
    },
}
#: Artists divided into 116 lots, of which the last 16 validate (jukemir).
_LOTS, _TRAINING_LOTS = 116, 100


@dataclass(frozen=True, slots=True)
class _Annotation:
    """What one file says of a song: index of its single key in `KEYS` if it has one, and confidence if stated."""

    key: int | None
    confidence: int | None
    where: str


class GiantSteps(Dataset):
    """Both GiantSteps key corpora as published; see the module's text for layout, split and faults."""

    NAME: ClassVar[str] = "giantsteps"
    STANDIN: ClassVar[str | None] = "tasks.standin.giantsteps"
    KIND: ClassVar[Kind | None] = "multiclass"
    LICENCE: ClassVar[str] = "not stated"
    BIBTEX: ClassVar[str] = """@inproceedings{knees2015two,
  author = {Knees, Peter and Faraldo, {\\'A}ngel and Herrera, Perfecto and Vogl, Richard and B{\\"o}ck, Sebastian
    and H{\\"o}rschl{\\"a}ger, Florian and Le Goff, Mickael},
  title = {Two data sets for tempo estimation and key detection in electronic dance music annotated from user
    corrections},
  booktitle = {Proceedings of the 16th International Society for Music Information Retrieval Conference},
  year = {2015}
}"""
    HOW_TO_GET: ClassVar[str] = (
        "clone https://github.com/GiantSteps/giantsteps-key-dataset and "
        "https://github.com/GiantSteps/giantsteps-mtg-key-dataset into it and run audio_dl.sh in each"
    )
    REMOTES: ClassVar[Sequence[Remote]] = (
        Remote(
            name="giantsteps-key-dataset.zip",
            urls=(
                "https://github.com/GiantSteps/giantsteps-key-dataset/archive/"
                "c8cb8aad2cb53f165be51ea099d0dc75c64a844f.zip",
            ),
            checksum="sha256:7749bee0f919b0f53db2c540fa6707f322b82a5d140e453f10f9af7875ad5bb8",
            to=".",
            archive=True,
        ),
        Remote(
            name="giantsteps-mtg-key-dataset.zip",
            urls=(
                "https://github.com/GiantSteps/giantsteps-mtg-key-dataset/archive/"
                "fd7b8c584f7bd6d720d170c325a6d42c9bf75a6b.zip",
            ),
            checksum="sha256:c754c3fabbc0bf275d399028e212fa2c9c6680084bd003e3a283ae7b3ea22996",
            to=".",
            archive=True,
        ),
    )

    def check(self) -> None:
        """Look for both repositories, their annotations and a folder of audio in each.

        Raises
        ------
        DatasetError
            If one of them is missing.
        """
        if not self.root.is_dir():
            raise DatasetError(f"{self.root}: no such folder; to get GiantSteps, {self.HOW_TO_GET}")
        for names in (KEY_FOLDERS, MTG_FOLDERS):
            folder = self._folder(names)
            if not folder.is_dir():
                raise DatasetError(f"{folder}: no such folder; to get GiantSteps, {self.HOW_TO_GET}")
            annotations = folder / "annotations"
            if not any((annotations / name).exists() for name in ("key", "giantsteps", "annotations.txt")):
                raise DatasetError(f"{annotations}: holds no keys; to get GiantSteps, {self.HOW_TO_GET}")
            if not (folder / "audio").is_dir():
                raise DatasetError(f"{folder / 'audio'}: no such folder of audio; to get GiantSteps, {self.HOW_TO_GET}")
        if not self._metadata().is_file():
            raise DatasetError(f"{self._metadata()}: no such table; to get GiantSteps, {self.HOW_TO_GET}")

    def tables(self) -> Sequence[Path]:
        """Return every file with keys that is there, and the table of artists."""
        files = [file for names in (KEY_FOLDERS, MTG_FOLDERS) for file in _key_files(self._folder(names))]
        return [*files, self._metadata()]

    def audio_files(self) -> Sequence[Path]:
        """Return every file in the two audio folders, sorted, whatever its name and content."""
        folders = (self._folder(names) / "audio" for names in (KEY_FOLDERS, MTG_FOLDERS))
        return sorted(file for folder in folders for file in files_in(folder))

    def clips(self) -> Sequence[Clip]:
        """Return the songs of both corpora, the 604 first; those that are in doubt have no split.

        Raises
        ------
        DatasetError
            If an annotation cannot be read or parsed, or two of a song disagree.
        """
        return [clip for clip, _ in self._songs()]

    def task(self, **options: str) -> Task:
        """Return the key task: labels of shape [songs, 1], int64, indices into `tasks.metrics.key.KEYS`.

        Raises
        ------
        DatasetError
            If an annotation cannot be read or parsed, two of a song disagree, or an option is given.
        """
        if options:
            raise DatasetError(f"{self.NAME}: no option {', '.join(map(repr, options))}; there are none")
        used = [(clip, key) for clip, key in self._songs() if clip.split is not None]
        clip_ids = tuple(clip.id for clip, _ in used)
        return Task(
            clip_ids=clip_ids,
            splits=np.array([clip.split for clip, _ in used], dtype=np.str_),
            targets=Classes(KEYS, np.array([key for _, key in used], dtype=np.int64)),
            groups=np.array(clip_ids, dtype=np.str_),
        )

    def counts(self) -> Sequence[Count]:
        """Compare the number of songs of both corpora, and of those in each split, with what is published."""
        splits = self.task().splits
        sizes = {names: len(_read_keys(self._folder(names))) for names in (KEY_FOLDERS, MTG_FOLDERS)}
        rows = [
            Count("GiantSteps key songs", 604, sizes[KEY_FOLDERS], "distributor"),
            Count("GiantSteps MTG key songs", 1_486, sizes[MTG_FOLDERS], "distributor"),
        ]
        return rows + [
            Count(f"key {split} songs", number, int((splits == split).sum()), "jukemir")
            for split, number in zip(SPLITS, (923, 236, 604), strict=True)
        ]

    def checksums(self) -> Mapping[str, str]:
        """Return the MD5 of audio files that the published md5 files state.

        Raises
        ------
        DatasetError
            If one of them holds something else.
        """
        found: dict[str, str] = {}
        for names in (KEY_FOLDERS, MTG_FOLDERS):
            folder = self._folder(names)
            for file in sorted((folder / "md5").glob("*.md5")):
                digest = read_text(file).strip().split(" ")[0].lower()
                if not re.fullmatch("[0-9a-f]{32}", digest):
                    raise DatasetError(f"{file}:1: must hold an MD5 of 32 hexadecimal digits, not {digest[:40]!r}")
                found[f"{folder.name}/audio/{file.stem}.mp3"] = f"md5:{digest}"
        return found

    def _folder(self, names: Sequence[str]) -> Path:
        """The repository's folder; where there is none, the name that it is published under."""
        archives = sorted(path.name for path in self.root.glob(f"{names[0]}-*") if path.is_dir())
        found = [name for name in (*names, *archives) if (self.root / name).is_dir()]
        if len(found) > 1:
            raise DatasetError(f"{self.root}: {' and '.join(found)} are the same corpus; keep one of them")
        return self.root / (found[0] if found else names[0])

    def _metadata(self) -> Path:
        return self._folder(MTG_FOLDERS) / "annotations" / "beatport_metadata.txt"

    def _songs(self) -> Iterator[tuple[Clip, int]]:
        """Every song with the index of its key, -1 where it has no single one."""
        tested = self._folder(KEY_FOLDERS)
        keys = _read_keys(tested)
        for song_id, annotation in keys.items():
            if annotation.key is None:
                raise DatasetError(f"{annotation.where}: a test song must have a single key, such as C minor")
            yield Clip(song_id, _audio(tested, song_id), "test"), annotation.key
        trained = self._folder(MTG_FOLDERS)
        songs = _read_metadata(self._metadata())
        valid = _validating_artists([artists for artists, _ in songs.values()])
        for song_id, annotation in _read_keys(trained).items():
            if song_id in keys:
                raise DatasetError(f"{annotation.where}: song {song_id} is a test song too: {keys[song_id].where}")
            usable = annotation.key is not None and annotation.confidence == SURE
            if usable and song_id not in songs:
                raise DatasetError(f"{annotation.where}: song {song_id} is not in {self._metadata()}")
            artists, title = songs.get(song_id, ((), ""))
            split: Split = "valid" if valid & set(artists) else "train"
            artist = ", ".join(artists)
            clip = Clip(
                song_id,
                _audio(trained, song_id),
                split if usable else None,
                artist,
                recording=f"{artist} / {title}" if artist and title else "",
            )
            yield clip, -1 if annotation.key is None else annotation.key


def _audio(folder: Path, song_id: str) -> str:
    return f"{folder.name}/audio/{song_id}.LOFI.mp3"


def _key_files(folder: Path) -> list[Path]:
    """Files of a repository that hold keys: the table, and those of single songs, by number."""
    annotations = folder / "annotations"
    table = annotations / "annotations.txt"
    files = [table] if table.is_file() else []
    for kind in ("key", "giantsteps"):
        # There is one called id.LOFI.key, which is the header of a table that was cut into files.
        songs = [file for file in (annotations / kind).glob("*.LOFI.key") if _song_id(file).isdecimal()]
        files += sorted(songs, key=lambda file: int(_song_id(file)))
    return files


def _song_id(file: Path) -> str:
    return file.name.partition(".")[0]


def _read_keys(folder: Path) -> dict[str, _Annotation]:
    """Key of every song of a repository, from all files that state it."""
    found: dict[str, _Annotation] = {}
    for file in _key_files(folder):
        for song_id, annotation in _read_table(file) if file.name == "annotations.txt" else [_read_song(file)]:
            known = found.setdefault(song_id, annotation)
            if known.key != annotation.key or (
                None not in (known.confidence, annotation.confidence) and known.confidence != annotation.confidence
            ):
                raise DatasetError(
                    f"{annotation.where}: {_said(annotation)}, but {known.where} says {_said(known)}; one is wrong"
                )
            if known.confidence is None and annotation.confidence is not None:
                found[song_id] = annotation
    if not found:
        raise DatasetError(f"{folder / 'annotations'}: holds no keys")
    return found


def _said(annotation: _Annotation) -> str:
    key = "no single key" if annotation.key is None else KEYS[annotation.key]
    return key if annotation.confidence is None else f"{key} with confidence {annotation.confidence}"


def _read_table(table: Path) -> Iterator[tuple[str, _Annotation]]:
    rows = read_rows(table, "\t")
    columns = find_columns(table, read_header(table, rows), ("ID", "MANUAL KEY", "C"))
    seen: dict[str, int] = {}
    for line, row in rows:
        song_id, key, confidence = (row[index].strip() for index in columns)
        where = f"{table}:{line}"
        if not song_id.isdecimal():
            raise DatasetError(f"{where}: ID must be a number, not {song_id!r}")
        if song_id in seen:
            raise DatasetError(f"{where}: song {song_id} is already in line {seen[song_id]}")
        seen[song_id] = line
        yield song_id, _annotation(key, confidence, where)


def _read_song(file: Path) -> tuple[str, _Annotation]:
    try:
        # Comments may be in any encoding; what matters of the file is ASCII.
        text = file.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise DatasetError(f"{file}: {error.strerror}") from None
    # The syntax of the folder giantsteps: comments, then "key", a time, and the same fields as elsewhere.
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line[:1] != "#"]
    number, line = lines[0] if lines else (1, "")
    where = f"{file}:{number}"
    fields = line.split("\t") if "\t" in line else [line]
    if file.parent.name == "giantsteps":
        fields = fields if len(fields) > 1 else line.split(" ", 2)
        if fields[0].strip() != "key" or len(fields) < 3:
            raise DatasetError(f"{where}: must look like 'key 0 C minor', not {line[:60]!r}")
        fields = fields[2:]
    return _song_id(file), _annotation(fields[0], fields[1] if len(fields) > 1 else None, where)


def _annotation(key: str, confidence: str | None, where: str) -> _Annotation:
    plain = " ".join(key.lower().split())
    single = bool(plain) and "/" not in plain and "-" not in plain
    if single and plain not in _KEY_INDEX:
        raise DatasetError(f"{where}: {key.strip()!r} is no key such as C minor or F# major")
    if confidence is not None and confidence.strip() not in ("0", "1", "2"):
        raise DatasetError(f"{where}: the confidence must be 0, 1 or 2, not {confidence.strip()!r}")
    return _Annotation(_KEY_INDEX[plain] if single else None, None if confidence is None else int(confidence), where)


def _read_metadata(table: Path) -> dict[str, tuple[tuple[str, ...], str]]:
    """Artists and title of every song."""
    rows = read_rows(table, "\t")
    columns = find_columns(table, read_header(table, rows), ("ID", "ARTIST", "SONG TITLE"))
    songs: dict[str, tuple[tuple[str, ...], str]] = {}
    for line, row in rows:
        song_id, artists, title = (row[index].strip() for index in columns)
        if song_id in songs:
            raise DatasetError(f"{table}:{line}: song {song_id} is there twice")
        if not artists:
            raise DatasetError(f"{table}:{line}: song {song_id} has no artist, which the split is made by")
        songs[song_id] = (tuple(artist.strip() for artist in artists.split(",")), title)
    return songs


def _validating_artists(songs: Sequence[Sequence[str]]) -> set[str]:
    """Artists whose songs validate, given the artists of every song of the table, in its order."""
    valid = {artist for artists in songs for artist in artists if _lot(artist) >= _TRAINING_LOTS}
    for _ in range(2):
        for artists in songs:
            if valid & set(artists):
                valid |= set(artists)
    return valid


def _lot(artist: str) -> int:
    return int(hashlib.sha1(artist.lower().encode(), usedforsecurity=False).hexdigest(), 16) % _LOTS
