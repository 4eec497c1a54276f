"""MagnaTagATune: 25 863 clips of 29 s with 188 crowd-sourced tags.

Layout
------
Below the dataset's folder lie ``annotations_final.csv``, ``clip_info_final.csv`` and the sixteen folders ``0`` to
``9`` and ``a`` to ``f`` that the joined ``mp3.zip`` unpacks to. The MP3 files are 16 kHz mono at 32 kbit/s.

Conventions
-----------
Both tables are TAB-separated with every field in double quotes and CRLF line ends, whatever their suffix says.
``annotations_final.csv`` has one row a clip: ``clip_id``, 188 columns of 0/1, ``mp3_path``.
``clip_info_final.csv`` describes 31 382 segments, 5 519 of which have no audio and an empty ``mp3_path``.
Columns are found by their name. A *recording* is the piece that several clips were cut from: one track of an album.

Protocols
---------
The labels are the 50 most frequent tags. Spelling variants (``vocal``, ``vocals``) stay separate labels, as
published. Three incompatible evaluations are in use under the same name:

* ``untagged="keep"``: clips with none of the 50 tags stay, as clips where every label is 0:
  18 706 training, 1 825 validation and 5 329 test clips.
* ``untagged="drop"``: those clips are left out of every split: 15 247, 1 529 and 4 332.
* ``untagged="drop", split="pub"``: the lists that Lee et al. published, which lack three more training clips
  (`NOT_IN_PUB`): 15 244, 1 529 and 4 332. Validation and test clips are those of the second.

The mean tag prevalence of the test clips, which is the average precision of a constant predictor, is 0.0531 for the
first and 0.0653 for the others, so average precisions do not compare between the first and the others.

Split
-----
By folder: ``0`` to ``b`` train, ``c`` validate, ``d`` to ``f`` test. No album straddles the split, but artists do:
45 of 75 test artists, with 3 284 of the 5 329 test clips, have clips in the training folders too.

Known faults
------------
Three MP3 files of training folders are empty in every copy; they belong to no split. Tags were collected in a game:
a missing tag is weak evidence of absence, and synonyms are used inconsistently.

Metric
------
Area under the ROC curve and average precision for each tag over test clips, macro-averaged over the 50 tags.

Licence
-------
CC BY-NC-SA 3.0. Nothing of the dataset is shipped with this package.

Sources
-------
E. Law, K. West, M. Mandel, M. Bay, J. S. Downie: Evaluation of algorithms using games: the case of music tagging.
ISMIR 2009.
J. Lee, J. Park, K. L. Kim, J. Nam: Sample-level deep convolutional neural networks for music auto-tagging using raw
waveforms. SMC 2017; lists in github.com/jongpillee/music_dataset_split.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tasks import DatasetError
from tasks.base import SPLITS, Clip, Count, Dataset, Remote, Split, Task
from tasks.tables import find_columns, read_header, read_rows
from tasks.targets import Kind, Tags
from tasks.trees import files_in

ANNOTATIONS = "annotations_final.csv"
CLIP_INFO = "clip_info_final.csv"

#: Folder of audio -> split of the clips in it.
FOLDER_SPLIT: Mapping[str, Split] = {
    **dict.fromkeys("0123456789ab", SPLITS[0]),
    **dict.fromkeys("c", SPLITS[1]),
    **dict.fromkeys("def", SPLITS[2]),
}

#: The 50 labels, by falling number of clips.
TOP_TAGS: tuple[str, ...] = (
    *("guitar", "classical", "slow", "techno", "strings", "drums", "electronic", "rock", "fast", "piano"),
    *("ambient", "beat", "violin", "vocal", "synth", "female", "indian", "opera", "male", "singing"),
    *("vocals", "no vocals", "harpsichord", "loud", "quiet", "flute", "woman", "male vocal", "no vocal", "pop"),
    *("soft", "sitar", "solo", "man", "classic", "choir", "voice", "new age", "dance", "male voice"),
    *("female vocal", "beats", "harp", "cello", "no voice", "weird", "country", "metal", "female voice", "choral"),
)

#: Tagged training clips that the lists of Lee et al. lack: from an album of American Bach Soloists, folder 0.
NOT_IN_PUB = frozenset(("29", "11268", "11269"))

#: SHA-256 of the published files, as jukemir's list of assets states them.
_SHA256 = {
    ANNOTATIONS: "99b94e95825d4fa576386a5367b9c96e0ec636e9f9c240aceb492f4728f68c3c",
    CLIP_INFO: "cb6108a10d3a91f0bfd7d2fbec2382559d15f20c8d28093f14e12162a47a3e78",
    "mp3.zip.001": "f857fe185968773058cc71662c2ef5d8f2d4b7338e3c122cfd52f82dcb9760b9",
    "mp3.zip.002": "fc2e1ec441755556ed1398b1808f1b08b6034372f8bc27394510c0c58cdb52ce",
    "mp3.zip.003": "83a689824c17e82f6eb81cdbc4e4ca239a4cfc1fb41f1a5c80b861caec90450f",
}
_SITES = ("https://mirg.city.ac.uk/datasets/magnatagatune/", "http://mi.soi.city.ac.uk/datasets/magnatagatune/")

_INFO_COLUMNS = ("clip_id", "track_number", "artist", "album", "segmentStart", "segmentEnd")


@dataclass(frozen=True, slots=True)
class _Annotations:
    """What `annotations_final.csv` says of the clips that have audio."""

    clip_ids: tuple[str, ...]
    paths: tuple[str, ...]
    #: 0/1, shape [clips, 50], in the order of `TOP_TAGS`.
    labels: NDArray[np.int8]


class MagnaTagATune(Dataset):
    """MagnaTagATune as published; see the module's text for layout, protocols and faults."""

    NAME: ClassVar[str] = "magnatagatune"
    STANDIN: ClassVar[str | None] = "tasks.standin.magnatagatune"
    KIND: ClassVar[Kind | None] = "multilabel"
    LICENCE: ClassVar[str] = "CC BY-NC-SA 3.0"
    BIBTEX: ClassVar[str] = """@inproceedings{law2009evaluation,
  author = {Law, Edith and West, Kris and Mandel, Michael and Bay, Mert and Downie, J. Stephen},
  title = {Evaluation of algorithms using games: the case of music tagging},
  booktitle = {Proceedings of the 10th International Society for Music Information Retrieval Conference},
  year = {2009}
}"""
    HOW_TO_GET: ClassVar[str] = (
        "fetch annotations_final.csv, clip_info_final.csv and mp3.zip.001 to .003 from "
        "https://mirg.city.ac.uk/datasets/magnatagatune/, join the three parts into one zip "
        "and unpack it beside the two tables"
    )
    KNOWN_BAD: ClassVar[Mapping[str, str]] = dict.fromkeys(
        (
            "6/norine_braun-now_and_zen-08-gently-117-146.mp3",
            "8/jacob_heringman-josquin_des_prez_lute_settings-19-gintzler__pater_noster-204-233.mp3",
            "9/american_baroque-dances_and_suites_of_rameau_and_couperin-25-le_petit_rien_xiveme_ordre_couperin"
            "-88-117.mp3",
        ),
        "empty file in every published copy",
    )
    REMOTES: ClassVar[Sequence[Remote]] = tuple(
        Remote(
            name=name,
            urls=tuple(site + name for site in _SITES),
            checksum=f"sha256:{_SHA256[name]}",
            to=to,
            archive=bool(joined),
            joined=joined,
        )
        for name, to, joined in (
            (ANNOTATIONS, ANNOTATIONS, ""),
            (CLIP_INFO, CLIP_INFO, ""),
            ("mp3.zip.001", ".", "mp3.zip"),
            ("mp3.zip.002", ".", "mp3.zip"),
            ("mp3.zip.003", ".", "mp3.zip"),
        )
    )

    def check(self) -> None:
        """Look for the two tables and at least one folder of audio.

        Raises
        ------
        DatasetError
            If the dataset's folder, a table, or every audio folder is missing.
        """
        if not self.root.is_dir():
            raise DatasetError(f"{self.root}: no such folder; to get MagnaTagATune, {self.HOW_TO_GET}")
        for table in self.tables():
            if not table.is_file():
                raise DatasetError(f"{table}: no such table; to get MagnaTagATune, {self.HOW_TO_GET}")
        if not self._folders():
            raise DatasetError(
                f"{self.root}: none of the audio folders 0 to f is there; to get MagnaTagATune, {self.HOW_TO_GET}"
            )

    def tables(self) -> Sequence[Path]:
        """Return the paths of the two tables, whether or not they exist."""
        return (self.root / ANNOTATIONS, self.root / CLIP_INFO)

    def audio_files(self) -> Sequence[Path]:
        """Return every file in the folders 0 to f, sorted, whatever its name and content."""
        return sorted(file for folder in self._folders() for file in files_in(folder))

    def clips(self) -> Sequence[Clip]:
        """Return the clips that have audio and annotations, in the order of `annotations_final.csv`.

        The three `KNOWN_BAD` clips are among them and have no split. A clip that `clip_info_final.csv` does not
        describe has no artist, album, recording and duration.

        Raises
        ------
        DatasetError
            If a table cannot be read or parsed; the message names file and line.
        """
        annotations = self._annotations
        info = _read_clip_info(self.root / CLIP_INFO)
        unknown = _Info("", "", "", None)
        clips = []
        for clip_id, path in zip(annotations.clip_ids, annotations.paths, strict=True):
            of = info.get(clip_id, unknown)
            clips.append(Clip(clip_id, path, self._split(path), of.artist, of.album, of.recording, of.seconds))
        return clips

    def task(self, **options: str) -> Task:
        """Return the tagging task: labels of shape [clips, 50], int8, columns in the order of `TOP_TAGS`.

        Parameters
        ----------
        **options
            ``untagged``: ``"keep"`` (default) or ``"drop"`` the clips that have none of the 50 tags.
            ``split``: ``"folder"`` (default), or ``"pub"`` for the lists of Lee et al., which need ``"drop"``.

        Raises
        ------
        DatasetError
            If the annotations cannot be read or parsed, or an option is not known.
        """
        untagged, split = options.pop("untagged", "keep"), options.pop("split", "folder")
        if options:
            unknown = ", ".join(map(repr, options))
            raise DatasetError(f"{self.NAME}: no option {unknown}; there are 'untagged' and 'split'")
        if untagged not in ("keep", "drop"):
            raise DatasetError(f"{self.NAME}: untagged must be 'keep' or 'drop', not {untagged!r}")
        if split not in ("folder", "pub"):
            raise DatasetError(f"{self.NAME}: split must be 'folder' or 'pub', not {split!r}")
        if split == "pub" and untagged == "keep":
            raise DatasetError(f"{self.NAME}: split 'pub' has no untagged clips; it needs untagged 'drop'")
        annotations = self._annotations
        splits = [self._split(path) for path in annotations.paths]
        used = np.array([split is not None for split in splits], dtype=bool)
        if untagged == "drop":
            used &= annotations.labels.any(axis=1)
        if split == "pub":
            used &= [clip_id not in NOT_IN_PUB for clip_id in annotations.clip_ids]
        rows = np.flatnonzero(used)
        clip_ids = tuple(annotations.clip_ids[row] for row in rows)
        return Task(
            clip_ids=clip_ids,
            splits=np.array([splits[row] for row in rows], dtype=np.str_),
            targets=Tags(TOP_TAGS, annotations.labels[rows]),
            groups=np.array(clip_ids, dtype=np.str_),
        )

    def counts(self) -> Sequence[Count]:
        """Compare the size of the three evaluations and of the whole with what papers and the distributor state."""
        sizes = {
            "mtt": ("keep", "folder", (18_706, 1_825, 5_329), "CLMR, TUNe, jukemir"),
            "mtt-tagged": ("drop", "folder", (15_247, 1_529, 4_332), "Won et al. 2020"),
            "mtt-pub": ("drop", "pub", (15_244, 1_529, 4_332), "Lee et al. 2017"),
        }
        rows = [Count("annotated clips", 25_863, len(self._annotations.clip_ids), "distributor")]
        for name, (untagged, lists, published, source) in sizes.items():
            splits = self.task(untagged=untagged, split=lists).splits
            rows += [
                Count(f"{name} {split} clips", number, int((splits == split).sum()), source)
                for split, number in zip(SPLITS, published, strict=True)
            ]
        return rows

    def checksums(self) -> Mapping[str, str]:
        """Return the SHA-256 of the two tables as published."""
        return {table: f"sha256:{_SHA256[table]}" for table in (ANNOTATIONS, CLIP_INFO)}

    def _folders(self) -> list[Path]:
        return [self.root / name for name in FOLDER_SPLIT if (self.root / name).is_dir()]

    def _split(self, path: str) -> Split | None:
        return None if path in self.KNOWN_BAD else FOLDER_SPLIT[path[0]]

    @cached_property
    def _annotations(self) -> _Annotations:
        return _read_annotations(self.root / ANNOTATIONS)


@dataclass(frozen=True, slots=True)
class _Info:
    """What `clip_info_final.csv` says of one clip."""

    artist: str
    album: str
    recording: str
    seconds: float | None


def _check_path(table: Path, line: int, path: str) -> None:
    folder, slash, name = path.partition("/")
    if folder not in FOLDER_SPLIT or not slash or name in ("", ".", "..") or "/" in name or "\\" in name:
        raise DatasetError(f"{table}:{line}: mp3_path must be FILE in a folder 0 to f, as in 0/FILE, not {path!r}")


def _read_annotations(table: Path) -> _Annotations:
    rows = read_rows(table, "\t")
    header = read_header(table, rows)
    id_column, path_column, *_ = find_columns(table, header, ("clip_id", "mp3_path", *TOP_TAGS))
    tag_columns = [index for index in range(len(header)) if index not in (id_column, path_column)]
    tags = [header[index] for index in tag_columns]
    clip_ids: dict[str, int] = {}
    paths: dict[str, int] = {}
    cells: list[str] = []
    for line, row in rows:
        clip_id, path = row[id_column], row[path_column]
        values = [row[index] for index in tag_columns]
        if not set(values) <= {"0", "1"}:
            tag, value = next((tag, value) for tag, value in zip(tags, values, strict=True) if value not in ("0", "1"))
            raise DatasetError(f"{table}:{line}: column {tag!r} must be 0 or 1, not {value!r}")
        if clip_id in clip_ids:
            raise DatasetError(f"{table}:{line}: clip_id {clip_id!r} is already in line {clip_ids[clip_id]}")
        if not path:
            continue
        _check_path(table, line, path)
        if path in paths:
            raise DatasetError(f"{table}:{line}: mp3_path {path!r} is already in line {paths[path]}")
        clip_ids[clip_id] = paths[path] = line
        cells.append("".join(values))
    flat = np.frombuffer("".join(cells).encode("ascii"), dtype=np.int8) - ord("0")
    labels = flat.reshape(len(cells), len(tags))[:, [tags.index(tag) for tag in TOP_TAGS]]
    return _Annotations(tuple(clip_ids), tuple(paths), labels.astype(np.int8))


def _read_clip_info(table: Path) -> dict[str, _Info]:
    rows = read_rows(table, "\t")
    columns = find_columns(table, read_header(table, rows), _INFO_COLUMNS)
    info: dict[str, _Info] = {}
    for line, row in rows:
        clip_id, track, artist, album, start, end = (row[index] for index in columns)
        if clip_id in info:
            raise DatasetError(f"{table}:{line}: clip_id {clip_id!r} is there twice")
        try:
            seconds = float(end) - float(start)
        except ValueError:
            seconds = math.nan
        if not math.isfinite(seconds):
            raise DatasetError(
                f"{table}:{line}: segmentStart and segmentEnd must be numbers, not {start!r} and {end!r}"
            )
        info[clip_id] = _Info(artist, album, f"{artist} / {album} / {track}", seconds)
    return info
