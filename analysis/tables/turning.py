"""Scores of which less is better are turned, so that more is better in all: which rows, by names, column and option.

A metric's name says it (`analysis.tables.direction`); a column or an option `lower_is_better` says it where a name does
not. Where two of them disagree nothing is computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.tables.direction import COLUMN, is_unclear, lower_is_better, may_be_negative
from analysis.tables.long_tables import truths


def told(table: pd.DataFrame, score: str, metrics: Iterable[str]) -> pd.DataFrame:
    """Note in a table that less of some metrics is better, as `COLUMN`.

    Parameters
    ----------
    table : DataFrame
        Left as it is.
    score : str
        Column of scores, whose name is the metric's where there is no column ``metric``.
    metrics : iterable of str
        Names of metrics, in any case.

    Raises
    ------
    AnalysisError
        If the table has no such metric, or says that more of it is better.
    """
    own = _metrics(table, score)
    result = table
    for metric in metrics:
        rows = own.str.casefold() == metric.strip().casefold()
        if not rows.any():
            there = ", ".join(dict.fromkeys(own))
            raise AnalysisError(f"--lower-is-better {metric}: no score is of that metric. There are: {there}")
        if lower_is_better(metric) is False:
            raise AnalysisError(
                f"--lower-is-better {metric}: by its name more of it is better; leave the option out, or give the"
                " metric its own name, e.g. --derive 'metric=\"error\"'"
            )
        said = result[COLUMN] if COLUMN in result.columns else pd.Series([None] * len(table), dtype=object)
        if COLUMN in result.columns and False in truths(result.loc[rows], COLUMN):
            raise AnalysisError(
                f"--lower-is-better {metric}: column {COLUMN!r} says the other of it; leave one of them out"
            )
        result = result.assign(**{COLUMN: said.astype(object).where(~rows, True)})
    return result


def turned_rows(table: pd.DataFrame, score: str, values: NDArray[np.float64]) -> tuple[NDArray[np.bool_], list[str]]:
    """Find the rows whose scores have to be turned, so that more is better in all.

    Parameters
    ----------
    table : DataFrame
        One row a score; may have columns ``metric`` and `COLUMN`.
    score : str
        Column of scores; its name counts where there is no ``metric``.
    values : ndarray, shape [rows]
        The scores.

    Returns
    -------
    turned : ndarray of bool, shape [rows]
    notes : list of str
        Which metrics are turned, and which were not though they are errors, for all their scores are below zero.

    Raises
    ------
    AnalysisError
        If names and the column disagree, or an error is below zero in some rows and above it in others.
    """
    own = _metrics(table, score).to_numpy(dtype=object)
    said = truths(table, COLUMN) if COLUMN in table.columns else [None] * len(table)
    turned = np.zeros(len(table), dtype=np.bool_)
    less, negative, unclear = [], [], []
    for metric in dict.fromkeys(own):
        rows = np.flatnonzero(own == metric)
        flag = _direction(metric, score, [said[i] for i in rows])
        if flag is None and is_unclear(metric):
            unclear.append(metric)
        if not flag:
            continue
        if lower_is_better(metric) and not may_be_negative(metric) and (values[rows] < 0).any():
            if (values[rows] > 0).any():
                raise AnalysisError(
                    f"{metric} cannot be below zero, but is so in row {int(rows[values[rows] < 0][0]) + 1} and above it"
                    " elsewhere: keep the rows of one sign with --where, or correct them"
                )
            negative.append(metric)
            continue
        less.append(metric)
        turned[rows] = True
    notes = []
    if less:
        notes.append(
            f"Of {', '.join(less)} less is better: such scores are turned, so that whatever is higher or better here"
            " has less of it."
        )
    if negative:
        notes.append(f"All scores of {', '.join(negative)} are below zero, so they were taken as turned already.")
    if unclear:
        notes.append(
            f"Whether more or less of {', '.join(unclear)} is better cannot be told from the name: more is taken as"
            " better; --lower-is-better says the other."
        )
    return turned, notes


def _direction(metric: str, score: str, said: Sequence[bool | None]) -> bool | None:
    """Of one metric, by its name, by the name of the scores' column and by what rows say."""
    names = {name: flag for name in dict.fromkeys([metric, score]) if (flag := lower_is_better(name)) is not None}
    if len(set(names.values())) > 1:
        raise AnalysisError(
            f"scores of {metric} stand in column {score!r}, and less is better of one name and more of the other: name"
            f" the column of {metric} with --score, or the metric by --derive 'metric=\"{score}\"'"
        )
    rows = {flag for flag in said if flag is not None}
    if len(rows) > 1:
        raise AnalysisError(f"column {COLUMN!r} is True in some rows of {metric} and False in others: correct it")
    for name, by_name in names.items():
        if rows and by_name not in rows:
            word, other = ("less", "more") if by_name else ("more", "less")
            raise AnalysisError(
                f"of {name} {word} is better by its name, but column {COLUMN!r} says that {other} is: correct one"
            )
    return rows.pop() if rows else next(iter(names.values()), None)


def _metrics(table: pd.DataFrame, score: str) -> pd.Series[str]:
    if "metric" in table.columns:
        return table["metric"].astype(str)
    return pd.Series([score] * len(table), index=table.index, dtype=object)
