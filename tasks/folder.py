"""Any folder of audio: as a corpus to pretrain on, and, with labels of any sort, as a task.

`AudioFolder` takes every audio file below a folder as a clip. `LabelledFolder` takes the clips, their split and their
labels from a table, ``labels.csv`` in the folder unless the entry names another one; where there is no table, the
folders that files lie in are their classes. In a registry::

    datasets:
      mine: {class: tasks.folder:LabelledFolder, root: ~/music, args: {table: moods.csv}}
    tasks:
      mood: {dataset: mine, metrics: [accuracy], corpus: magnatagatune, protocol: linear}

The table
---------
With a header and one row a clip; commas, semicolons, TABs or bars separate the fields (see `tasks.label_table`).

====================================  ==============================================================================
column                                content
====================================  ==============================================================================
``path``                              the audio file below the folder, with forward slashes; the column may also be
                                      called ``file``, ``filename``, ``audio`` and the like, or anything if it alone
                                      holds names of audio files
``split``                             ``train``, ``valid`` or ``test``; empty for clips to pretrain on only. Without
                                      this column the task's entry must say how many `folds` are made of all clips
``artist``, ``album``, ``recording``  optional: what must not straddle a split
``group``                             optional: clips with the same value are resampled together when test clips are
                                      bootstrapped; the recording if there is no such column, else the file
``start`` with ``end`` or             optional: beginning and end, or length, of the clip in its file [s]; both empty
``seconds``                           for the whole file. Several rows may name one file then
any other                             a label
====================================  ==============================================================================

A file whose name differs in case or composed letters, that lies one folder deeper, or whose suffix is left out is
found (see `tasks.named_files`).

What the labels are is seen from them:

* one column of text: classes (``multiclass``);
* columns of 0 and 1: tags (``multilabel``), a single column included; a ``?`` among them is a tag of which it is not
  known whether the clip has it, and that is neither trained on nor scored there; 0.0 and 1.0, or false and true, are
  the same as 0 and 1;
* columns of other numbers, with decimal points or commas: targets (``regression``).

Where a task's metrics are for classes, a column of whole numbers, or of 0 and 1, names classes. A task's options choose
otherwise: ``columns: arousal, valence`` takes only those columns, ``kind: multiclass`` takes numbers for names of
classes, ``separator: "|"`` takes the cells of a column for several tags each, and ``kind: distribution`` takes columns
for the shares of classes, such as those of listeners who voted for each. The shares of a row sum to 1; what rounding
has left of it (up to 0.02) is divided out.

Excerpts of one file are the same recording unless the table says which they are of, and are drawn together by folds
and by the bootstrap. Rows of one file in two splits are refused. ``end`` and ``seconds`` without ``start`` are labels.

Without a table
---------------
The folder below which a file lies is its class, folders called train, valid and test are splits, and folders within a
class's are artists and albums, which must not straddle a split: see `tasks.class_folders`.

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

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, get_args

import numpy as np

from tasks import DatasetError
from tasks.base import SPLITS, Clip, Count, Dataset, Task
from tasks.class_folders import by_folders
from tasks.label_columns import Cells, TableKind, joined_tags, kind_wanted, seen_kind, targets_of
from tasks.label_table import LabelTable, Row, read_label_table
from tasks.sources.columns import read_columns, sources_of
from tasks.sources.labels import Labels, Scalars, Terms
from tasks.tables import find_columns
from tasks.targets import Kind
from tasks.trees import audio_below

#: The table in a folder, unless the entry names another one.
TABLE = "labels.csv"
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
        return audio_below(self.root)

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


class LabelledFolder(AudioFolder):
    """The clips that a table names, or those of folders that are classes, with their split and labels; see the text.

    Parameters
    ----------
    root
        The folder that the table's paths start from.
    table
        The table's path, from the folder; or anywhere, if absolute. One that lies in the only folder below `root` that
        has it is found there.
    """

    VERSION: ClassVar[int] = 2
    HOW_TO_GET: ClassVar[str] = (
        "name a folder with audio files and a table of labels, or with a folder of files for each class, as `root` of "
        "the dataset's entry; `bench new task FOLDER` writes both table and entry"
    )

    def __init__(self, root: Path, table: str = TABLE) -> None:
        super().__init__(root)
        self.table = root / Path(table).expanduser()
        if not self.table.is_file() and len(deeper := sorted(root.glob(f"*/{TABLE}"))) == 1 and table == TABLE:
            self.table = deeper[0]
        self._by_folders = table == TABLE and not self.table.exists()

    def check(self) -> None:
        """Look for the folder, and for the table or folders of classes.

        Raises
        ------
        DatasetError
            If one of them is missing.
        """
        self._check_folder()
        if self._by_folders:
            if not self._read.rows:
                raise DatasetError(f"{self.table}: no such table, and no audio files below {self.root}")
            if not any(row.labels[0] for row in self._read.rows):
                raise DatasetError(
                    f"{self.table}: no such table; write one with the columns path, split and labels, put the files of "
                    "each class into a folder of its own, or let `bench new task` propose a table"
                )
        elif not self.table.is_file():
            raise DatasetError(f"{self.table}: no such table; write one with the columns path, split and labels")

    def tables(self) -> Sequence[Path]:
        """Return the path of the table, if there is one."""
        return () if self._by_folders else (self.table,)

    def audio_files(self) -> Sequence[Path]:
        """Return the files that the table names and that are there, or all where folders are classes, sorted."""
        return sorted(path for path in {self.root / clip.path for clip in self.clips()} if path.is_file())

    def locate(self, clip_id: str) -> str:
        """Return the table's path and the line of a clip."""
        if self._by_folders:
            return str(self.root / clip_id)
        return next(f"{self.table}:{row.line}" for row in self._read.rows if row.clip.id == clip_id)

    def clips(self) -> Sequence[Clip]:
        """Return a clip for each row, in table order, or for each file.

        A clip's id is its path as the table has it; that of an excerpt says where it lies, as in
        ``song.mp3#t=10,40``.

        Raises
        ------
        DatasetError
            If the table cannot be read or parsed; the message names file and line.
        """
        return [row.clip for row in self._read.rows]

    def label_columns(self) -> Sequence[str]:
        """Return the names of the columns that are labels.

        Raises
        ------
        DatasetError
            As `clips` does.
        """
        return self._read.names

    def options_for(self, kind: Kind, options: Mapping[str, str]) -> Mapping[str, str]:
        """Say which `kind` the labels are to be taken for, where a task's metrics alone tell.

        Raises
        ------
        DatasetError
            As `task` does, or if labels cannot be of that kind as they are: file, line and the way out.
        """
        if {"kind", "separator"} & options.keys():
            return options
        cells, _ = self._cells(options.get("columns", ""))
        found = kind_wanted(self.table, cells, kind)
        return options if found is None else {**options, "kind": found}

    def task(self, **options: str) -> Task:
        """Return clips that have a split, and their labels.

        Parameters
        ----------
        **options
            ``columns``: names of the label columns to use, separated by commas (default: all that are labels);
            ``kind``: ``"multiclass"``, ``"multilabel"``, ``"regression"`` or ``"distribution"`` (default: seen from the
            labels); ``separator``: what separates the tags that share a cell of a column.

        Raises
        ------
        DatasetError
            If the table cannot be read or parsed, a label does not fit, a split has no clip, or an option is not known.

        Notes
        -----
        If the table has no column ``split``, the task has all clips, and their splits are empty: `tasks.folds` divides
        them.
        """
        chosen, kind, separator = (options.pop(name, "") for name in ("columns", "kind", "separator"))
        if options:
            known = "there are columns, kind and separator"
            raise DatasetError(f"{self.table}: no option {', '.join(map(repr, options))}; {known}")
        if kind and kind not in get_args(TableKind):
            raise DatasetError(f"{self.table}: kind must be one of {', '.join(get_args(TableKind))}, not {kind!r}")
        if separator and kind not in ("", "multilabel"):
            raise DatasetError(f"{self.table}: labels that are joined by {separator!r} are multilabel, not {kind}")
        cells, rows = self._cells(chosen, empty=bool(separator))
        missing = [split for split in SPLITS if all(row.clip.split != split for row in rows)]
        if missing and any(row.clip.split is not None for row in rows):
            raise DatasetError(
                f"{self._place}: no clip has the split {' or '.join(missing)}; a task needs all three: give it to some "
                "of the others, or have no splits and say `folds: 5` in the task's entry"
            )
        if separator:
            targets = joined_tags(self.table, cells, separator)
        else:
            found: TableKind = kind if kind else seen_kind(self.table, cells)  # type: ignore[assignment]
            targets = targets_of(self.table, found, cells)
        return Task(
            clip_ids=tuple(row.clip.id for row in rows),
            splits=np.array([row.clip.split or "" for row in rows], dtype=np.str_),
            targets=targets,
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
        table = self._read
        cells = {name: [(row.line, row.labels[place]) for row in table.rows] for place, name in enumerate(table.names)}
        return sources_of(self.table, cells, [row.clip.artist for row in table.rows])

    @property
    def _place(self) -> Path:
        """What says how clips are labelled and divided, for complaints."""
        return self.root if self._by_folders else self.table

    def _cells(self, chosen: str, empty: bool = False) -> tuple[Cells, list[Row]]:
        """Cells of the label columns that are `chosen`, or of all, and their rows; some may be `empty`.

        Raises
        ------
        DatasetError
            If there is no such column, no row that tasks are made of, or an empty cell.
        """
        table = self._read
        rows = [row for row in table.rows if row.labelled]
        wanted = [name.strip() for name in chosen.split(",")] if chosen else list(table.names)
        places = find_columns(self.table, table.names, wanted)
        if not rows:
            raise DatasetError(f"{self.table}: no row has a split")
        for row in rows if not empty else ():
            for name, place in zip(wanted, places, strict=True):
                if not row.labels[place]:
                    of = f" of the {row.clip.split} split" if row.clip.split else ""
                    raise DatasetError(
                        f"{self.table}:{row.line}: column {name!r} is empty; a clip{of} needs a label"
                        if not self._by_folders
                        else f"{self.root / row.clip.path}: lies in no class's folder; move it, or write a table"
                    )
        return {
            name: [(row.line, row.labels[place]) for row in rows] for name, place in zip(wanted, places, strict=True)
        }, rows

    @cached_property
    def _read(self) -> LabelTable:
        if not self._by_folders:
            return read_label_table(self.table, self.root)
        placed = by_folders([path.relative_to(self.root).as_posix() for path in audio_below(self.root)])
        divided = any(one.split for one in placed)
        return LabelTable(
            ("class",),
            [
                Row(
                    number,
                    Clip(one.path, one.path, one.split, one.artist, one.album),
                    one.split is not None or not divided,
                    one.path,
                    (one.label,),
                )
                for number, one in enumerate(placed, 1)
            ],
        )
