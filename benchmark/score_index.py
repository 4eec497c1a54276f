"""Rows of all score records of a store, read from one file where they have been read before.

A store may hold a hundred thousand records; opening each takes minutes on a shared file system. The rows of each are
kept in ``STORE/scores.jsonl`` by key and time of change, and only new or replaced records are read. The file may be
deleted at any time, and a store that cannot be written to is read without it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from benchmark.errors import UserError
from benchmark.records import RECORD, ScoreRecord, read_record
from benchmark.store import write_atomically

INDEX = "scores.jsonl"
#: Raised when a row gets another column.
ROW_VERSION = 2

#: Time of change of a record [ns], and its rows.
_Known = tuple[int, list[dict[str, Any]]]


def score_rows(store: Path) -> list[dict[str, Any]]:
    """One row a run and metric, of all records in a store, by key of the record.

    Returns
    -------
    list of dict
        ``key, encoder, corpus, recipe, protocol, task, metric, seed, layer, labels, deform, score, lower, upper, floor,
        fingerprint, standin, n, leading`` (whether the metric leads its task).

    Raises
    ------
    UserError
        If a record cannot be read.
    """
    folder = store / "artifacts" / "probe"
    there = sorted(entry.name for entry in os.scandir(folder)) if folder.is_dir() else []
    known = _read(store / INDEX)
    current: dict[str, _Known] = {}
    for key in there:
        modified = _modified(folder / key)
        found = known.get(key)
        current[key] = found if found and found[0] == modified else (modified, _rows(folder / key))
    if current != known:
        _write(store / INDEX, current)
    return [row for _, rows in current.values() for row in rows]


def _modified(artifact: Path) -> int:
    try:
        return (artifact / RECORD).stat().st_mtime_ns
    except OSError:
        return 0


def _rows(artifact: Path) -> list[dict[str, Any]]:
    try:
        return list(record_rows(artifact.name, read_record(artifact)))
    except (OSError, ValidationError) as error:
        file = artifact / RECORD
        raise UserError(
            f"{file}: not a score record of this version: {str(error).splitlines()[0]}; "
            "`bench store verify` finds damaged artifacts, and deleting one is safe"
        ) from None


def record_rows(key: str, record: ScoreRecord) -> Iterator[dict[str, Any]]:
    """Rows of one record; see `score_rows`."""
    for number, (name, score) in enumerate(record.metrics.items()):
        yield {
            "key": key,
            "encoder": record.encoder,
            "corpus": record.corpus or "none",
            "recipe": record.recipe,
            "protocol": record.protocol,
            "task": record.task,
            "metric": name,
            "seed": record.seed,
            "layer": record.layer or "none",
            "labels": record.labels,
            "deform": record.deform or "none",
            "score": score.value,
            "lower": score.lower,
            "upper": score.upper,
            "floor": score.floor,
            "fingerprint": record.fingerprint,
            "standin": record.data == "stand-in",
            "n": record.n_scored["test"],
            "leading": number == 0,
        }


def _read(file: Path) -> dict[str, _Known]:
    """What is known by key, as far as the file can be understood."""
    known: dict[str, _Known] = {}
    try:
        with file.open(encoding="utf-8") as lines:
            if json.loads(next(lines, "null")) != {"version": ROW_VERSION}:
                return {}
            for line in lines:
                key, modified, rows = json.loads(line)
                known[key] = (modified, rows)
    except (OSError, ValueError, TypeError):
        return known
    return known


def _write(file: Path, known: Mapping[str, _Known]) -> None:
    lines = [json.dumps({"version": ROW_VERSION})]
    lines += [json.dumps([key, modified, rows]) for key, (modified, rows) in known.items()]
    try:
        write_atomically(file, ("\n".join(lines) + "\n").encode())
    except OSError:  # a store that may only be read
        return
