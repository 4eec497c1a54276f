"""Tables of other shapes than long ones: read where only one thing can be meant, else refused with what they are."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from analysis.errors import AnalysisError
from analysis.tables import cells
from analysis.tables.long_tables import GRID_COLUMNS, NAMES, need

_SHOWN = 4
"""Columns that a sentence lists at most."""
_MISSPELT = 0.75
"""From so alike on, as `difflib` measures it, a column's name is another one misspelt."""


def as_long(
    table: pd.DataFrame, score: str, group: str, factor: str | None, source: str | Path | pd.DataFrame
) -> tuple[pd.DataFrame, str | None, list[str]]:
    """Make a long table of a wide one: names in the first column, and nothing but numbers in all others.

    Parameters
    ----------
    table : DataFrame
    score, group : str
        Columns of scores and of tasks that the long table has, or gets.
    factor : str, optional
        Column that is to be compared; by default what the first column is, where the others are tasks.
    source : path or DataFrame
        Where the table comes from, for the remark.

    Returns
    -------
    table : DataFrame
        The same table unless it is a wide one.
    factor : str or None
        Column to compare, if that is known.
    notes : list of str
        One remark if the table was wide.
    """
    first, *others = table.columns
    if not all(isinstance(column, str) and column.strip() for column in table.columns):
        return table, factor, []
    values = _columns_of_scores(table, group)
    wide = len(values) > 1 and values == others and first not in values and score not in (first, *others)
    if not wide or table[first].dtype.kind in "biuf" or _misspelt(table, score, group, exempt=first):
        return table, factor, []
    rows, columns = (group, factor or "encoder") if first == group else (first, group)
    if columns in (first, *others) or (factor is not None and factor not in (rows, columns)):
        return table, factor, []
    name = "The table" if isinstance(source, pd.DataFrame) else Path(source).name
    note = (
        f"{name} is a wide table: each row was read as one {rows}, and each of the columns {_shown(values)} as the"
        f" scores of one {columns}."
    )
    long = table.melt([first], values, columns, score)
    return long, factor or (columns if first == group else rows), [note]


def need_long(table: pd.DataFrame, score: str, group: str, source: str | Path | pd.DataFrame) -> None:
    """Check that a table has its columns of scores and of tasks.

    Raises
    ------
    AnalysisError
        If it lacks one: saying what the table is instead, where that can be seen, and how to make a long table of it.
    """
    if score in table.columns and group in table.columns:
        return
    name = "the table" if isinstance(source, pd.DataFrame) else str(source)
    columns = [str(column) for column in table.columns]
    if len(columns) == 1 and not isinstance(source, pd.DataFrame):
        raise AnalysisError(
            f"{name}: has one column, {columns[0]!r}: fields are separated by commas, semicolons, TABs or bars"
        )
    numbered = [column for column in columns if cells.numbers_of([column]) and not cells.is_missing(column)]
    if numbered and not isinstance(source, pd.DataFrame):
        raise AnalysisError(
            f"{name}: the first line must name the columns, and has {numbered[0]!r}: write names such as"
            f" encoder,{group},seed,{score} above it"
        )
    values = _columns_of_scores(table, group)
    if score in columns or _misspelt(table, score, group) or len(values) < 2 or len(values) == len(columns):
        need(table, [score, group])
    kept = [column for column in columns if column not in values]
    variable = group if group not in columns else "encoder" if "encoder" not in columns else "level"
    made = f"melt({kept!r}, var_name={variable!r}, value_name={score!r}).to_csv('long.csv', index=False)"
    before = "table" if isinstance(source, pd.DataFrame) else f"import analysis; analysis.read_table({name!r})"
    raise AnalysisError(
        f"{name}: has no column {score!r} but a column of scores for each {variable} ({_shown(values)}), and one row a"
        f" score is wanted; Python makes it: {before}.{made}"
    )


def _shown(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _misspelt(table: pd.DataFrame, score: str, group: str, exempt: str = "") -> bool:
    """Whether a column is called nearly as one that is wanted and is not there."""
    columns = [str(column) for column in table.columns]
    others = [column for column in columns if column not in (*GRID_COLUMNS, exempt)]
    return any(get_close_matches(name, others, cutoff=_MISSPELT) for name in (score, group) if name not in columns)


def _columns_of_scores(table: pd.DataFrame, group: str) -> list[str]:
    """Columns of numbers that nothing else is known to be in."""
    known = {*GRID_COLUMNS, group, "representation", "metric", "fingerprint", "n", "fold", "run", "standin"}
    known |= {"lacking_train", "lacking_valid", "lacking_test"}
    found = []
    for column in map(str, table.columns):
        values = table[column]
        if column in known:
            continue
        texts = {value for value in values if isinstance(value, str)} if column in NAMES else set()
        if values.dtype.kind in "iuf" or (texts and cells.numbers_of(texts) is not None):
            found.append(column)
    return found
