"""Why a table is no long table: one column a task or an encoder, no names of columns, or one column for all."""

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
    others = [column for column in columns if column not in GRID_COLUMNS]
    misspelt = any(get_close_matches(name, others, cutoff=_MISSPELT) for name in (score, group) if name not in columns)
    if score in columns or misspelt or len(values) < 2 or len(values) == len(columns):
        need(table, [score, group])
    kept = [column for column in columns if column not in values]
    variable = group if group not in columns else "encoder" if "encoder" not in columns else "level"
    shown = ", ".join(values[:_SHOWN]) + (f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else "")
    made = f"melt({kept!r}, var_name={variable!r}, value_name={score!r}).to_csv('long.csv', index=False)"
    before = "table" if isinstance(source, pd.DataFrame) else f"import analysis; analysis.read_table({name!r})"
    raise AnalysisError(
        f"{name}: has no column {score!r} but a column of scores for each {variable} ({shown}), and one row a score is"
        f" wanted; Python makes it: {before}.{made}"
    )


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
