"""Runs of a study as a table, one a line, as `bench design` proposes them.

Columns that are called like factors hold a level each. The others say of a run what no factor does, such as the
strategy or the number of sources that a design has it stand for; they are carried into tables of the study's scores.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from analysis.tables import cells
from benchmark.cell import Cell
from benchmark.errors import UserError, unknown_name
from benchmark.factors import ALL_LAYERS, AS_GIVEN, COLUMNS, END_TO_END, FACTORS, UNTRAINED, in_cells
from benchmark.plan.requests import Grid
from benchmark.registry.registry import JOINT
from benchmark.registry.yaml_dialect import read_value

#: Lines that a table may have.
MOST = 100_000
_FIELDS = {factor.key: name for name, factor in FACTORS.items()}


@dataclass(frozen=True)
class TabledRun:
    """A line of a table of runs: its grid, and what is carried beside it."""

    grid: Any
    carried: Mapping[str, Any]


def read_runs(path: Path, commons: Sequence[Mapping[str, Any]]) -> list[TabledRun]:
    """Runs of a CSV file, each with the levels of each of `commons` for the factors that the table has no column of.

    Raises
    ------
    UserError
        If the file cannot be read, or a line is wrong: file, line, column and reason.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file)
            head = [name.strip() for name in next(lines, [])]
            for common in commons:
                _check_head(path, head, common)
            found = [
                _run(path, lines.line_num, head, line, common) for line in lines if any(line) for common in commons
            ]
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; `runs` names a CSV file beside the study") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: no CSV in UTF-8: {error}") from None
    if not 0 < len(found) <= MOST:
        raise UserError(f"{path}: has {len(found):,} runs; a study has at least one and at most {MOST:,}")
    names = list(found[0].carried)
    columns = [cells.values([run.carried[name] for run in found]).tolist() for name in names]
    return [
        TabledRun(run.grid, dict(zip(names, values, strict=True)))
        for run, values in zip(found, zip(*columns, strict=True) if columns else ((),) * len(found), strict=True)
    ]


def _check_head(path: Path, head: Sequence[str], common: Mapping[str, Any]) -> None:
    for name in head:
        if not name or head.count(name) > 1:
            raise UserError(f"{path}:1: column {name!r} has no name of its own; each column has one")
        if name in common:
            raise UserError(f"{path}:1: {name} is a column here and stands in the study's grid too; say it once")
    carried = set(head) - set(_FIELDS)
    taken = carried & {"representation", "recipe", "run", "task", "metric", "score", "lower", "upper", "floor", "key"}
    if taken:
        raise UserError(f"{path}:1: tables of scores have a column {min(taken)} already; name this one otherwise")


def _run(path: Path, number: int, head: Sequence[str], line: Sequence[str], common: Mapping[str, Any]) -> TabledRun:
    if len(line) != len(head):
        raise UserError(f"{path}:{number}: {len(line)} cells, where the first line has {len(head)}")
    row = {name: cell.strip() for name, cell in zip(head, line, strict=True)}
    levels = {name: _level(cell, f"{path}:{number}: {name}") for name, cell in row.items() if name in _FIELDS and cell}
    carried = {name: cell for name, cell in row.items() if name not in _FIELDS}
    try:
        return TabledRun(Grid.model_validate({**common, **levels}), carried)
    except ValidationError as error:
        first = error.errors()[0]
        where = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            raise UserError(f"{path}:{number}: {unknown_name('factor', where, _FIELDS)}") from None
        raise UserError(f"{path}:{number}: {where}: {first['msg']}") from None


def _level(cell: str, where: str) -> Any:
    """A level of a factor; names stay text, whatever they look like."""
    return read_value(cell, where) if cell.startswith("{") else cell


def carry(
    rows: Sequence[Mapping[str, Any]], runs: Sequence[TabledRun], untrained: bool, where: str
) -> list[dict[str, Any]]:
    """Rows of a table of scores that are of one of the runs, with what is carried beside it.

    Parameters
    ----------
    rows
        As of `benchmark.scores.long_table`.
    runs
        Of a study.
    untrained
        Whether untrained twins of encoders that are trained are among its runs.
    where
        What a message begins with.

    Raises
    ------
    UserError
        If no row is.
    """
    kept = [{**row, **carried} for row, carried in carried_by(rows, runs)]
    if not untrained:
        trained = {row["encoder"] for row in kept if row["recipe"] not in (UNTRAINED, AS_GIVEN)}
        kept = [row for row in kept if row["recipe"] != UNTRAINED or row["encoder"] not in trained]
    if not kept:
        raise UserError(f"{where}: the store has none of its scores yet; `bench run --study` makes them")
    return kept


def carried_by(
    rows: Sequence[Mapping[str, Any]], runs: Sequence[TabledRun]
) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Rows that are of one of the runs, each with what that carries; the first, if it is of several."""
    by_encoder: dict[str, list[tuple[Mapping[str, set[Any]], Mapping[str, Any]]]] = {}
    for run in runs:
        levels = _levels(run.grid)
        for name in _texts(run.grid, "encoder", ("encoders", "sample_rate", "arguments")):
            by_encoder.setdefault(name, []).append((levels, run.carried))
    for row in rows:
        for allowed, carried in by_encoder.get(row["encoder"], ()):
            if all(row[key] in values for key, values in allowed.items()):
                yield row, carried
                break


def _levels(grid: Any) -> dict[str, set[Any]]:
    """What a grid's runs have in the columns of tables; columns in which anything goes are left out."""
    recipes = {*_texts(grid, "recipe", ("recipe_name", "settings")), UNTRAINED, AS_GIVEN}
    found = {"recipe": recipes}
    for key in COLUMNS:
        levels = grid.of(_FIELDS[key]) if key not in ("encoder", "recipe", "corpus", "protocol") else ()
        if levels and ALL_LAYERS not in levels:
            found[key] = {in_cells(level) for level in levels}
    if protocols := grid.of("protocol"):
        found["protocol"] = {*protocols, END_TO_END}
    if corpora := grid.of("corpus"):
        found["corpus"] = {*corpora, in_cells(None)}
    return found


def _texts(grid: Any, column: str, fields: Sequence[str]) -> set[str]:
    """What tables call every combination of the factors that one of their columns tells."""
    plain = {
        "encoders": "", "corpus": None, "recipe_name": "", "protocol": "", "task": "", "seed": 0
    }  # fmt: skip
    found = set()
    for values in product(*map(grid.of, fields)):
        cell = {**plain, **dict(zip(fields, values, strict=True))}
        found.add(getattr(Cell(**{**cell, "encoders": tuple(cell["encoders"].split(JOINT))}), column))
    return found
