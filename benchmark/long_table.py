"""The scores of a store as the long table that `analysis` takes: one row a run and metric."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from benchmark.errors import UserError
from benchmark.score_index import score_rows


def long_table(store: Path, metric: str | None = None) -> list[dict[str, Any]]:
    """Rows of all score records in a store.

    Parameters
    ----------
    store
        The store's folder.
    metric
        Which metric of each record; by default the one that leads its task.

    Returns
    -------
    list of dict
        The columns of `benchmark.score_index.score_rows` but ``leading``.

    Raises
    ------
    UserError
        If the folder holds no record with that metric, or one cannot be read.
    """
    chosen = [row for row in score_rows(store) if (row["leading"] if metric is None else row["metric"] == metric)]
    if not chosen:
        wanted = f" with the metric {metric!r}" if metric else ""
        raise UserError(f"{store}: holds no score record{wanted}; `bench run` makes some")
    return [{name: value for name, value in row.items() if name != "leading"} for row in chosen]


def as_csv(rows: list[dict[str, Any]]) -> str:
    """Rows as CSV text with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
