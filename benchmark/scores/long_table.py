"""The scores of a store as the long table that `analysis` takes: one row a run and metric."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

from analysis.tables.representations import representation_names
from analysis.tables.writing import csv_text
from benchmark.console import Reporter, Silent
from benchmark.errors import UserError, unknown_name
from benchmark.factors import COLUMNS, PLAIN, in_cells
from benchmark.scores.records import SCORE, newest
from benchmark.scores.score_index import COLUMNS as INDEX_COLUMNS
from benchmark.scores.score_index import score_values

#: What names a representation, the corpus last.
_WAY = ("encoder", "recipe", "corpus")


def long_table(store: Path, metric: str | None = None, reporter: Reporter | None = None) -> list[dict[str, Any]]:
    """Rows of all runs in a store, by the scores that were made or asked for last.

    Parameters
    ----------
    store
        The store's folder.
    metric
        Which metric of each record; by default the one that leads its task.
    reporter
        Told which records are left out, for they cannot be read, and how many older scores.

    Returns
    -------
    list of dict
        The columns of `score_rows` but ``leading``, and ``representation``: the encoder, with what its pretraining
        differs in where there are several ways. Of these ``run`` names the trained network, as `trained_network` does.

    Raises
    ------
    UserError
        If the folder holds no record with that metric of a run without a limit, or one cannot be read and there is no
        reporter.
    """
    return list(long_rows(store, metric, reporter))


def long_rows(store: Path, metric: str | None = None, reporter: Reporter | None = None) -> Iterator[dict[str, Any]]:
    """As `long_table`, one row after the other: those of a million records are more than memory need hold."""
    reporter = reporter or Silent()
    every = score_values(store, reporter)
    if not every:
        raise UserError(f"{store}: holds no score record; `bench run` makes some")
    leading, metrics, limits = (INDEX_COLUMNS.index(column) for column in ("leading", "metric", "limit"))
    whole = [row for row in every if row[limits] == in_cells(None)]
    if not whole:
        raise UserError(f"{store}: holds scores of runs with --limit alone, which say nothing; run without it")
    if len(whole) < len(every):
        left = len({row[0] for row in every} - {row[0] for row in whole})
        reporter.warn(f"{left:,} scores of runs with --limit are left out")
    every = whole
    del whole
    chosen = [row for row in every if (row[leading] if metric is None else row[metrics] == metric)]
    if not chosen:
        raise unknown_name(f"metric in {store}", str(metric), {row[metrics] for row in every})
    del every
    scores = store / "artifacts" / SCORE
    run = itemgetter(*(INDEX_COLUMNS.index(column) for column in (*COLUMNS, "standin")))
    last = newest(chosen, run, lambda row: scores / row[0])
    if len(last) < len(chosen):
        left = len(chosen) - len(last)
        reporter.warn(f"{left:,} older scores of runs that were scored again since are left out")
    del chosen
    way = itemgetter(*(INDEX_COLUMNS.index(column) for column in _WAY))
    ways = list(dict.fromkeys(map(way, last)))
    named = [{**dict(zip(_WAY, one, strict=True)), "corpus": None if one[-1] == "none" else one[-1]} for one in ways]
    names = dict(zip(ways, representation_names(named), strict=True))
    for values in last:
        row = dict(zip(INDEX_COLUMNS, values, strict=True))
        del row["leading"]
        yield {**row, "representation": names[way(values)]}


def poolable(rows: Sequence[Mapping[str, Any]], named: str, reporter: Reporter) -> list[dict[str, Any]]:
    """Rows that an analysis may take for scores of the same things.

    Parameters
    ----------
    rows
        As `long_table` returns them.
    named
        Text that names columns. Of columns that it does not name, rows on a single layer, on a part of the labels and
        on deformed audio are left out, if there are others.
    reporter
        Told what is left out.
    """
    kept = [dict(row) for row in rows]
    words = set(re.findall(r"\w+", named))
    for column, value in PLAIN.items():
        plain = in_cells(value)
        own = [row for row in kept if row[column] == plain]
        if column not in words and 0 < len(own) < len(kept):
            reporter.warn(
                f"{len(kept) - len(own):,} scores are left out, for their {column} is not {plain}; "
                f"to have them, name that column, e.g. --factor {column}"
            )
            kept = own
    return kept


def as_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV text with a header, which `analysis.read_table` reads back as it was."""
    each = iter(rows)
    first = next(each)
    return csv_text(list(first), chain([first], each))
