"""Tables written as CSV: every name comes back as it was, and none is run by a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.tables.cells import neutral

if TYPE_CHECKING:
    import pandas as pd


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV with a header; texts as `analysis.tables.cells.neutral` writes them."""
    # Encoded, a long table takes a quarter of the memory that `io.StringIO` does.
    content = io.BytesIO()
    with io.TextIOWrapper(content, encoding="utf-8", errors="surrogatepass", newline="") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([neutral(column) for column in columns])
        writer.writerows([neutral(row[column]) for column in columns] for row in rows)
        text.flush()
        return content.getvalue().decode("utf-8", "surrogatepass")


def write_csv(frame: pd.DataFrame, path: Path, *, index: bool = False) -> None:
    """Write a table likewise; with its index as first column if so asked."""
    safe = frame.rename(columns=neutral)
    if index:
        safe = safe.rename(index=neutral)
    texts = [column for column in safe.columns if safe[column].dtype.kind not in "biuf"]
    safe.assign(**{column: safe[column].astype(object).map(neutral) for column in texts}).to_csv(path, index=index)
