"""Long tables of scores: reading them, and refusing those whose rows cannot stand beside one another.

A long table has one row a score and one column a factor. Columns with a meaning here: ``metric`` (what a score
measures), ``fingerprint`` (which clips were evaluated), ``standin`` (whether the data was the synthetic stand-in).
None of them is required; where present, they decide which rows are comparable.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.tables import cells
from analysis.tables.text_files import read_columns

GRID_COLUMNS = ("encoder", "corpus", "recipe", "protocol", "task", "seed")
"""Columns that place a run in the grid of a long table."""

NAMES = (
    "representation", "encoder", "corpus", "recipe", "protocol", "task", "dataset", "metric", "fingerprint", "key",
    "layer", "deform", "model", "run",
)  # fmt: skip
"""Columns whose cells are names in every table."""

#: Names listed at most where none is near.
LISTED = 20


def read_table(source: str | Path | pd.DataFrame, names: Iterable[str] = ()) -> pd.DataFrame:
    """Read a long table.

    Parameters
    ----------
    source : path or DataFrame
        A file as `analysis.tables.text_files.read_columns` reads it, or a table that is copied.
    names : iterable of str
        Columns whose cells are names, whatever they look like, beside `NAMES`. Of other columns numbers and truth
        values are read where every cell is one; see `analysis.tables.cells.values`.

    Raises
    ------
    AnalysisError
        If the file is missing, cannot be read, or has no rows.
    """
    if isinstance(source, pd.DataFrame):
        table = source.reset_index(drop=True).copy()
        name = "the table"
        repeated = table.columns[table.columns.duplicated()]
        if len(repeated):
            raise AnalysisError(f"{name}: column {repeated[0]!r} appears twice; rename one of them")
    else:
        name = str(source)
        texts = {cells.plain(column): rows for column, rows in read_columns(Path(source)).items()}
        text_columns = {*NAMES, *names}
        table = pd.DataFrame(
            {
                column: pd.Series(cells.names(rows), dtype=object) if column in text_columns else cells.values(rows)
                for column, rows in texts.items()
            }
        )
    if table.empty:
        raise AnalysisError(f"{name}: no rows; a long table has one row a score")
    return table


def need(table: pd.DataFrame, columns: Iterable[str]) -> None:
    """Check that columns exist.

    Raises
    ------
    AnalysisError
        Naming the first one that does not, and the nearest that does.
    """
    known = [str(column) for column in table.columns]
    for column in columns:
        if column not in table.columns:
            raise AnalysisError(f"the table has no column {column!r}.{columns_instead(column, known)}")


def columns_instead(name: str, known: Sequence[str]) -> str:
    """The sentence after a column that is not there, with a space before it: the nearest, or those that are."""
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f" Did you mean {near[0]!r}?"
    more = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
    return f" There are: {', '.join(known[:LISTED])}{more}."


def numbers(table: pd.DataFrame, column: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Read a column as finite numbers, shape [rows].

    Raises
    ------
    AnalysisError
        If the column holds anything else, naming the first such row.
    """
    need(table, [column])
    values = _as_numbers(table[column])
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        found = table[column].iloc[int(bad[0])]
        raise AnalysisError(
            f"column {column!r} must hold numbers, but row {int(bad[0]) + 1} has {found!r} ({bad.size} such rows"
            f"{cells.hint(found) if isinstance(found, str) else ''}):"
            " give a number with --derive, or leave the rows out with --where"
        )
    return values


def _as_numbers(column: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Numbers of a column, shape [rows]; NaN where a cell is none."""
    if column.dtype.kind in "biuf":
        return column.to_numpy(dtype=np.float64)
    texts = {value for value in column if isinstance(value, str)}
    found = cells.numbers_of(texts)
    if found is None:
        found = {text: one[text] for text in texts if (one := cells.numbers_of([text])) is not None}
        if texts and len(found) == len(texts):
            raise AnalysisError(
                f"column {str(column.name)!r} has numbers with decimal points and others with decimal commas: write all"
                " in one way"
            )
    alone = column.map(lambda value: found.get(value, np.nan) if isinstance(value, str) else value)
    return pd.to_numeric(alone, errors="coerce").to_numpy(dtype=np.float64)


def labels(table: pd.DataFrame, column: str) -> tuple[np.ndarray[Any, np.dtype[np.int64]], list[str]]:
    """Read a column as levels.

    Returns
    -------
    codes : ndarray of int, shape [rows]
    levels : list of str
        In the order of a categorical column, else sorted when all are numbers, else in order of appearance.

    Raises
    ------
    AnalysisError
        If a row has no value.
    """
    need(table, [column])
    values = table[column]
    if values.isna().any():
        row = int(np.flatnonzero(values.isna().to_numpy())[0]) + 1
        raise AnalysisError(f"column {column!r} is empty in row {row}: fill it, or leave the row out with --where")
    if isinstance(values.dtype, pd.CategoricalDtype):
        used = set(values.unique())
        order = [level for level in values.cat.categories if level in used]
    elif values.dtype.kind in "biuf":
        order = sorted(values.unique())
    else:
        order = list(dict.fromkeys(values))
        numbers = cells.numbers_of(order) if all(isinstance(level, str) for level in order) else None
        if numbers is not None:
            order.sort(key=numbers.__getitem__)
    place = {level: i for i, level in enumerate(order)}
    codes = np.array([place[value] for value in values], dtype=np.int64)
    return codes, [number_text(level) if isinstance(level, (float, np.floating)) else str(level) for level in order]


def number_text(value: float | np.floating[Any]) -> str:
    """Write a number as the shortest text that no other number has, a whole one without its point.

    Examples
    --------
    >>> number_text(1234567.0), number_text(0.1)
    ('1234567', '0.1')
    """
    return str(value).removesuffix(".0")


def drop_missing_scores(table: pd.DataFrame, score: str, group: str) -> tuple[pd.DataFrame, list[str]]:
    """Leave out rows without a score, and say how many of which group.

    Returns
    -------
    table : DataFrame
    notes : list of str
        Empty, or one sentence.
    """
    need(table, [score, group])
    missing = table[score].isna() | table[score].map(lambda value: isinstance(value, str) and cells.is_missing(value))
    if not missing.any():
        return table, []
    counts = table.loc[missing, group].astype(str).value_counts(sort=False)
    parts = ", ".join(f"{name}: {count}" for name, count in counts.items())
    kept = table.loc[~missing].reset_index(drop=True)
    if kept.empty:
        raise AnalysisError(f"column {score!r} is empty in every row: name the column of scores with --score")
    return kept, [f"{int(missing.sum())} rows without a {score} were left out ({parts})."]


def check_comparable(table: pd.DataFrame, group: str) -> list[str]:
    """Refuse tables whose scores cannot be compared, and describe those that can.

    Parameters
    ----------
    table : DataFrame
    group : str
        Column of tasks.

    Returns
    -------
    list of str
        Notes worth printing with the results: stand-in data.

    Raises
    ------
    AnalysisError
        If real data and the stand-in are mixed, or a task has scores of several metrics or several fingerprints.
    """
    notes: list[str] = []
    need(table, [group])
    if "standin" in table.columns:
        flags = [bool(flag) for flag in truths(table, "standin")]
        if any(flags) and not all(flags):
            raise AnalysisError(
                f"{sum(map(bool, flags))} of {len(flags)} scores come from the stand-in corpus and the others from real"
                " data, which must not be compared: keep one kind with --where 'standin == True' or 'standin == False'"
            )
        if any(flags):
            notes.append("All scores come from the synthetic stand-in corpus: they say nothing about real music.")
    for column in ("metric", "fingerprint"):
        if column not in table.columns:
            continue
        for task, rows in table.groupby(group, sort=False, observed=True):
            found = [str(value) for value in rows[column].astype(str).unique()]
            if len(found) > 1:
                what = "metrics" if column == "metric" else "fingerprints (different evaluated clips)"
                raise AnalysisError(
                    f"task {task} mixes {len(found)} {what}: {', '.join(found[:4])}; such scores are never pooled,"
                    f" keep one with --where '{column} == \"{found[0]}\"'"
                )
    return notes


def truths(table: pd.DataFrame, column: str) -> list[bool | None]:
    """Read a column as truth values, ``None`` where a cell is empty.

    Raises
    ------
    AnalysisError
        If a cell holds anything else.
    """
    found = []
    for value in table[column]:
        try:
            found.append(cells.answer(value))
        except ValueError:
            raise AnalysisError(
                f"column {column!r} must hold True or False, not {value!r}: correct the table"
            ) from None
    return found


def incomplete_cells(table: pd.DataFrame, group: str, by: Sequence[str]) -> list[tuple[str, str, int, int]]:
    """Cells that have fewer scores than the same design point has elsewhere.

    Parameters
    ----------
    table : DataFrame
    group : str
        Column of tasks.
    by : sequence of str
        Columns that make a design point: the factor, and the covariate where there is one.

    Returns
    -------
    list of (design point, task, scores found, scores in the fullest task)
        Empty when every design point has as many scores in every task.
    """
    codes, tasks = labels(table, group)
    points = list(zip(*(table[column].astype(str) for column in by), strict=True))
    counts: dict[tuple[str, ...], list[int]] = {}
    for point, code in zip(points, codes, strict=True):
        counts.setdefault(point, [0] * len(tasks))[int(code)] += 1
    holes = []
    for point, row in counts.items():
        name = ", ".join(f"{column}={part}" for column, part in zip(by, point, strict=True))
        holes += [(name, task, count, max(row)) for task, count in zip(tasks, row, strict=True) if count < max(row)]
    return holes
