"""Any folder of audio: as a corpus to pretrain on, and, with a table of labels, as a task.

`AudioFolder` takes every audio file below a folder as a clip. `LabelledFolder` takes the clips, their split and their
labels from a table, ``labels.csv`` in the folder unless the entry names another one. In a registry::

    datasets:
      mine: {class: tasks.folder:LabelledFolder, root: ~/music, args: {table: moods.csv}}
    tasks:
      mood: {dataset: mine, metrics: [accuracy], corpus: magnatagatune, protocol: linear}

The table
---------
Separated by commas, semicolons or TABs, with a header and one row a clip.

====================================  ==============================================================================
column                                content
====================================  ==============================================================================
``path``                              the audio file below the folder, with forward slashes
``split``                             ``train``, ``valid`` or ``test``; empty for clips to pretrain on only. Without
                                      this column the task's entry must say how many `folds` are made of all clips
``artist``, ``album``, ``recording``  optional: what must not straddle a split
``group``                             optional: clips with the same value are resampled together when test clips are
                                      bootstrapped; the recording if there is no such column, else the file
``start`` with ``end`` or             optional: beginning and end, or length, of the clip in its file [s]; both empty
``seconds``                           for the whole file. Several rows may name one file then
any other                             a label
====================================  ==============================================================================

What the labels are is seen from them:

* one column of text: classes (``multiclass``);
* columns of 0 and 1: tags (``multilabel``), a single column included; a ``?`` among them is a tag of which it is not
  known whether the clip has it, and that is neither trained on nor scored there; 0.0 and 1.0, or false and true, are
  the same as 0 and 1;
* columns of other numbers: targets (``regression``).

A task's options choose otherwise: ``columns: arousal, valence`` takes only those columns, ``kind: multiclass`` takes
numbers for names of classes, and ``kind: distribution`` takes columns for the shares of classes, such as those of
listeners who voted for each. The shares of a row sum to 1; what rounding has left of it (up to 0.02) is divided out.

Excerpts of one file are the same recording unless the table says which they are of, and are drawn together by folds
and by the bootstrap. Rows of one file in two splits are refused. ``end`` and ``seconds`` without ``start`` are labels.

As sources to learn from
------------------------
A table ``sources.csv`` in the folder, with the column ``path`` and any others, tells more of its files, for encoders to
be pretrained on: see `tasks.sources.columns`. It need not name every file. Without it, the labels of a `LabelledFolder`
are its sources.

Known faults
------------
A file that cannot be decoded is named when the dataset is prepared, and left out. Of a corpus without a table neither
artists nor recordings are known, so leaks are found by identical audio alone.

Licence
-------
The user's own files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, get_args

import numpy as np

from tasks import DatasetError
from tasks.base import SPLITS, Clip, Count, Dataset, Split, Task
from tasks.label_columns import TableKind, is_number, seen_kind, targets_of
from tasks.sources.columns import read_columns, sources_of
from tasks.sources.labels import Labels, Scalars, Terms
from tasks.tables import delimiter_of, find_columns, read_header, read_rows
from tasks.trees import files_below, utf8_named

#: What names of audio files end in. Not all can be decoded: those that cannot are named, rather than passed over.
SUFFIXES = frozenset(
    {
        *("wav", "flac", "mp3", "ogg", "oga", "opus", "au", "aif", "aiff", "aifc", "caf", "w64", "rf64"),
        *("m4a", "mp4", "aac", "wma", "wv", "ape"),
    }
)
#: Columns of the table that are no labels.
RESERVED = ("path", "split", "artist", "album", "recording", "group")
#: Column where a clip begins in its file, and columns of which one says where it ends.
START, ENDS = "start", ("end", "seconds")


#: Table of what else is known of files, in the folder.
SOURCES = "sources.csv"


class AudioFolder(Dataset):
    """Every audio file below a folder, wherever it lies and whatever it is called.

    Files and folders whose names begin with a dot are passed over. A clip's id is its path below the folder.
    """

    NAME: ClassVar[str] = "folder"
    LICENCE: ClassVar[str] = "the user's own files"
    BIBTEX: ClassVar[str] = ""
    HOW_TO_GET: ClassVar[str] = "name a folder with audio files in it as `root` of the dataset's entry"

    def check(self) -> None:
        """Look for the folder and for an audio file in it.

        Raises
        ------
        DatasetError
            If there is none.
        """
        self._check_folder()
        if not self.audio_files():
            raise DatasetError(f"{self.root}: no audio files in this folder, nor in those below it")

    def tables(self) -> Sequence[Path]:
        """Return nothing: there are no tables."""
        return ()

    def audio_files(self) -> Sequence[Path]:
        """Return every file below the folder whose name ends like an audio file's, sorted."""
        return utf8_named(
            [
                file
                for file in files_below(self.root)
                if file.suffix[1:].lower() in SUFFIXES
                and not any(part.startswith(".") for part in file.relative_to(self.root).parts)
            ]
        )

    def clips(self) -> Sequence[Clip]:
        """Return a clip for each audio file, in no split.

        Raises
        ------
        DatasetError
            If the name of a file is not UTF-8.
        """
        paths = [file.relative_to(self.root).as_posix() for file in self.audio_files()]
        return [Clip(path, path, None) for path in paths]

    def task(self, **options: str) -> Task:
        """Raise `DatasetError`: a folder without a table has no labels."""
        raise DatasetError(f"{self.root}: a folder of audio has no labels; see tasks.folder:LabelledFolder for a table")

    def counts(self) -> Sequence[Count]:
        """Return nothing: nothing is published of it."""
        return ()

    def sources(self) -> Mapping[str, str]:
        """Return the sources that ``sources.csv`` makes, or else the labels."""
        kinds = {Scalars: "numbers", Terms: "terms"}
        return {name: f"{kinds[type(found)]} of {self._source_table.name}" for name, found in self._sources.items()}

    def source(self, name: str) -> Labels:
        """What a source says of the clips, in their order.

        Raises
        ------
        DatasetError
            If the table cannot be parsed, or makes no such source.
        """
        if name not in self._sources:
            raise DatasetError(f"{self._source_table}: makes no source {name!r}")
        return self._sources[name]

    def source_tables(self) -> Sequence[Path]:
        """Return the table that sources are read from, there or not."""
        return (self._source_table,)

    @property
    def _source_table(self) -> Path:
        return self.root / SOURCES

    @cached_property
    def _sources(self) -> Mapping[str, Labels]:
        return self._read_sources() if self._source_table.is_file() else {}

    def _read_sources(self) -> Mapping[str, Labels]:
        paths = [clip.path for clip in self.clips()]
        return sources_of(self._source_table, *read_columns(self._source_table, paths))

    def _check_folder(self) -> None:
        if not self.root.is_dir():
            raise DatasetError(f"{self.root}: no such folder; {self.HOW_TO_GET}")


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of the table, and whether tasks are made of it; labels as text, in the order of the label columns."""

    line: int
    clip: Clip
    labelled: bool
    group: str
    labels: tuple[str, ...]


class LabelledFolder(AudioFolder):
    """The clips that a table names, with their split and labels; see the module's text.

    Parameters
    ----------
    root
        The folder that the table's paths start from.
    table
        The table's path, from the folder; or anywhere, if absolute.
    """

    HOW_TO_GET: ClassVar[str] = "name a folder with audio files and a table of labels as `root` of the dataset's entry"

    def __init__(self, root: Path, table: str = "labels.csv") -> None:
        super().__init__(root)
        self.table = root / Path(table).expanduser()

    def check(self) -> None:
        """Look for the folder and the table.

        Raises
        ------
        DatasetError
            If one of them is missing.
        """
        self._check_folder()
        if not self.table.is_file():
            raise DatasetError(f"{self.table}: no such table; write one with the columns path, split and labels")

    def tables(self) -> Sequence[Path]:
        """Return the path of the table."""
        return (self.table,)

    def audio_files(self) -> Sequence[Path]:
        """Return the files that the table names and that are there, sorted."""
        return sorted(path for path in {self.root / clip.path for clip in self.clips()} if path.is_file())

    def locate(self, clip_id: str) -> str:
        """Return the table's path and the line of a clip."""
        return next(f"{self.table}:{row.line}" for row in self._read()[1] if row.clip.id == clip_id)

    def clips(self) -> Sequence[Clip]:
        """Return a clip for each row, in table order.

        A clip's id is its path; that of an excerpt says where it lies, as in ``song.mp3#t=10,40``.

        Raises
        ------
        DatasetError
            If the table cannot be read or parsed; the message names file and line.
        """
        return [row.clip for row in self._read()[1]]

    def task(self, **options: str) -> Task:
        """Return clips that have a split, and their labels.

        Parameters
        ----------
        **options
            ``columns``: names of the label columns to use, separated by commas (default: all that are labels);
            ``kind``: ``"multiclass"``, ``"multilabel"``, ``"regression"`` or ``"distribution"`` (default: seen from the
            labels).

        Raises
        ------
        DatasetError
            If the table cannot be read or parsed, a label does not fit, a split has no clip, or an option is not known.

        Notes
        -----
        If the table has no column ``split``, the task has all clips, and their splits are empty: `tasks.folds` divides
        them.
        """
        chosen, kind = options.pop("columns", ""), options.pop("kind", "")
        if options:
            raise DatasetError(f"{self.table}: no option {', '.join(map(repr, options))}; there are columns and kind")
        if kind and kind not in get_args(TableKind):
            raise DatasetError(f"{self.table}: kind must be one of {', '.join(get_args(TableKind))}, not {kind!r}")
        names, rows = self._read()
        rows = [row for row in rows if row.labelled]
        undivided = bool(rows) and all(row.clip.split is None for row in rows)
        wanted = [name.strip() for name in chosen.split(",")] if chosen else names
        places = find_columns(self.table, names, wanted)
        cells = {
            name: [(row.line, row.labels[place]) for row in rows] for name, place in zip(wanted, places, strict=True)
        }
        missing = [split for split in SPLITS if all(row.clip.split != split for row in rows)]
        if missing and not undivided:
            raise DatasetError(f"{self.table}: no clip has the split {' or '.join(missing)}; a task needs all three")
        found: TableKind = kind if kind else seen_kind(self.table, cells)  # type: ignore[assignment]
        return Task(
            clip_ids=tuple(row.clip.id for row in rows),
            splits=np.array([row.clip.split or "" for row in rows], dtype=np.str_),
            targets=targets_of(self.table, found, cells),
            groups=np.array([row.group for row in rows], dtype=np.str_),
        )

    @property
    def _source_table(self) -> Path:
        beside = self.root / SOURCES
        return beside if beside.is_file() else self.table

    @cached_property
    def _sources(self) -> Mapping[str, Labels]:
        if self._source_table != self.table:
            return self._read_sources()
        names, rows = self._read()
        cells = {name: [(row.line, row.labels[place]) for row in rows] for place, name in enumerate(names)}
        return sources_of(self.table, cells, [row.clip.artist for row in rows])

    def _read(self) -> tuple[list[str], list[_Row]]:
        """Names of the label columns, and the rows."""
        source = read_rows(self.table, delimiter_of(self.table, "path"))
        header = [name.strip() for name in read_header(self.table, source)]
        find_columns(self.table, header, ("path",))
        ends = [name for name in ENDS if name in header]
        if START in header and len(ends) != 1:
            raise DatasetError(
                f"{self.table}:1: beside column {START!r}, where clips begin, there must be one of "
                f"{' and '.join(map(repr, ENDS))}, where they end or how long they are; rename what is a label"
            )
        cut = (START, *ends) if START in header else ()
        names = [name for name in header if name not in (*RESERVED, *cut)]
        if not names:
            raise DatasetError(f"{self.table}:1: no column of labels beside {', '.join(map(repr, header))}")
        if "" in names:
            raise DatasetError(f"{self.table}:1: column {header.index('') + 1} has no name")
        return names, list(self._rows(header, names, cut, source))

    def _rows(
        self, header: Sequence[str], names: Sequence[str], cut: Sequence[str], source: Iterator[tuple[int, list[str]]]
    ) -> Iterator[_Row]:
        seen: dict[str, int] = {}
        splits: dict[str, tuple[str, int]] = {}
        for line, fields in source:
            cells = {name: field.strip() for name, field in zip(header, fields, strict=True)}
            where, path, split = f"{self.table}:{line}", cells["path"], cells.get("split", "")
            labelled = bool(split) or "split" not in cells
            if "\\" in path or {"", ".", ".."} & set(path.split("/")):
                raise DatasetError(
                    f"{where}: path must lead to a file below {self.root}, as in album/song.mp3: {path!r}"
                )
            excerpt = _excerpt(where, {name: cells[name] for name in cut})
            clip_id = path if excerpt is None else f"{path}#t={excerpt[0]:.12g},{excerpt[1]:.12g}"
            if clip_id in seen:
                raise DatasetError(f"{where}: path {clip_id!r} is already in line {seen[clip_id]}")
            seen[clip_id] = line
            if split not in ("", *SPLITS):
                raise DatasetError(f"{where}: split must be {', '.join(SPLITS)} or empty, not {split!r}")
            before, at = splits.setdefault(path, (split, line)) if split else (split, line)
            if before != split:
                raise DatasetError(
                    f"{where}: {path!r} is in the {split} split, and in the {before} split by line {at}; "
                    "all excerpts of a file must be in one"
                )
            for name in names:
                if labelled and not cells[name]:
                    of = f" of the {split} split" if split else ""
                    raise DatasetError(f"{where}: column {name!r} is empty; a clip{of} needs a label")
            chosen: Split | None = next((name for name in SPLITS if name == split), None)
            recording = cells.get("recording", "") or ("" if excerpt is None else path)
            artist, album = cells.get("artist", ""), cells.get("album", "")
            clip = Clip(clip_id, path, chosen, artist, album, recording, excerpt=excerpt)
            group = cells.get("group", recording)
            yield _Row(line, clip, labelled, group or path, tuple(cells[name] for name in names))


def _excerpt(where: str, cells: Mapping[str, str]) -> tuple[float, float] | None:
    """Beginning and end [s] by the cells of the columns that say so; ``None`` if they are empty or there are none."""
    if not any(cells.values()):
        return None
    for name, text in cells.items():
        if not is_number(text) or float(text) < 0:
            raise DatasetError(f"{where}: column {name!r} must be a number of seconds of at least 0, not {text!r}")
    (_, begin), (name, end) = ((name, float(text)) for name, text in cells.items())
    if name == "seconds":
        end += begin
    if end <= begin:
        raise DatasetError(f"{where}: the clip begins at {begin:g} s and must end after that, not at {end:g} s")
    return begin, end
