"""Rows of all score records of a store, read from one file where they have been read before.

A store may hold a hundred thousand records; opening each takes minutes on a shared file system. The rows of each are
kept in ``STORE/scores.jsonl`` by key and by what tells one file from another, and only new or replaced records are
read. Rows are lists as long as may be, and texts that are alike are one, so that a million records fit into memory. The
file may be deleted at any time, and a store that cannot be written to is read without it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from benchmark.cell import Cell
from benchmark.console import Reporter, Silent
from benchmark.errors import UserError
from benchmark.factors import COLUMNS as CELL_COLUMNS
from benchmark.factors import in_cells
from benchmark.plain_files import open_within, read_within
from benchmark.scores.records import NO_RECORD, RECORD, SCORE, Counts, Reached, Version, no_record, trained_network
from benchmark.store.store import check_store, write_atomically
from tasks.base import SPLITS

INDEX = "scores.jsonl"
LARGEST_INDEX = 2**32
"""More than rows of millions of records take [bytes]."""
#: Raised when a row gets another column.
ROW_VERSION = 7
_FIRST_LINE = {"version": ROW_VERSION}
_AFTER_TASK = CELL_COLUMNS.index("task") + 1
COLUMNS = (
    "key", *CELL_COLUMNS[:_AFTER_TASK], "metric", *CELL_COLUMNS[_AFTER_TASK:],
    "score", "lower", "upper", "floor", "fingerprint", "standin", "n",
    *(f"lacking_{split}" for split in SPLITS), "run", "leading",
)  # fmt: skip

#: Time of change [ns], size and inode of a record's file. No single one will do: clocks jump, copies keep times.
_Identity = list[int]
#: Identity of a record, and the values of its rows in the order of `COLUMNS`, less the key.
_Known = tuple[_Identity, list[list[Any]]]


class _Score(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)

    value: Reached
    lower: Reached
    upper: Reached
    floor: Reached


class _Record(Cell):
    """What of a `ScoreRecord` is in its rows; the rest, most of its size, is passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    schema_version: Version
    data: str
    metrics: dict[str, _Score] = Field(min_length=1)
    n_expected: Counts
    n_scored: Counts
    fingerprint: str
    weights_sha256: str

    def lacking(self, split: str) -> int:
        """Clips of a split that could not be used."""
        return self.n_expected.get(split, 0) - self.n_scored.get(split, 0)


def score_rows(store: Path, reporter: Reporter | None = None) -> list[dict[str, Any]]:
    """As `score_values`, each row by name of the column."""
    return [dict(zip(COLUMNS, values, strict=True)) for values in score_values(store, reporter)]


def score_values(store: Path, reporter: Reporter | None = None) -> list[list[Any]]:
    """One row a run and metric, of all records in a store, by key of the record.

    Parameters
    ----------
    store
        The store's folder.
    reporter
        Told which records cannot be read and are left out; without one, such a record is an error.

    Returns
    -------
    list of list
        Values in the order of `COLUMNS`; ``leading`` says whether the metric leads its task.

    Raises
    ------
    UserError
        If a record cannot be read and there is no reporter.
    """
    reporter = reporter or Silent()
    folder = store / "artifacts" / SCORE
    check_store(store)
    there = sorted(entry.name for entry in os.scandir(folder)) if folder.is_dir() else []
    known = _read(store / INDEX)
    current: dict[str, _Known] = {}
    for key in there:
        file = f"{folder}/{key}/{RECORD}"
        identity = _identity(file)
        found = known.get(key)
        try:
            current[key] = found if found and found[0] == identity else (identity, _rows(folder / key))
        except NO_RECORD as error:
            reporter.leave_out(no_record(folder / key, error))
    if current != known:
        _write(store / INDEX, current)
    del known
    rows: list[list[Any]] = []
    for key in list(current):
        for row in current.pop(key)[1]:
            row.insert(0, key)
            rows.append(row)
    return rows


def _identity(file: str) -> _Identity:
    try:
        found = os.lstat(file)  # making a Path takes longer than asking
    except OSError:
        return []
    return [found.st_mtime_ns, found.st_size, found.st_ino]


def _rows(folder: Path) -> list[list[Any]]:
    record = _Record.model_validate_json(read_within(folder, RECORD))
    factors = [in_cells(value) for value in record.columns().values()]
    return [
        [
            *factors[:_AFTER_TASK],
            name,
            *factors[_AFTER_TASK:],
            score.value,
            score.lower,
            score.upper,
            score.floor,
            record.fingerprint,
            record.data == "stand-in",
            record.n_scored["test"],
            *(record.lacking(split) for split in SPLITS),
            trained_network(record.recipe_name, record.weights_sha256),
            number == 0,
        ]
        for number, (name, score) in enumerate(record.metrics.items())
    ]


def _read(file: Path) -> dict[str, _Known]:
    """What is known by key, as far as the file can be understood."""
    known: dict[str, _Known] = {}
    alike: dict[str, str] = {}
    try:
        with open_within(file.parent, file.name) as lines:
            if os.fstat(lines.fileno()).st_size > LARGEST_INDEX or json.loads(next(lines, b"null")) != _FIRST_LINE:
                return {}
            for line in lines:
                key, identity, rows = json.loads(line)
                if all(len(row) == len(COLUMNS) - 1 for row in rows):
                    same = [[alike.setdefault(one, one) if type(one) is str else one for one in row] for row in rows]
                    known[key] = (identity, same)
    except (UserError, OSError, ValueError, TypeError, RecursionError):
        return known
    return known


def _write(file: Path, known: Mapping[str, _Known]) -> None:
    lines = chain([_FIRST_LINE], ([key, identity, rows] for key, (identity, rows) in known.items()))
    try:
        write_atomically(file, b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    except OSError:  # a store that may only be read
        return
