"""Text for the terminal: aligned columns, spans of time and sizes as people say them."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from benchmark.console import printable

#: Letters that a column of descriptions needs to be readable.
NARROWEST = 24


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns of text, as wide as their widest cell; each cell on one line, control characters as escapes."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def fitted(rows: Sequence[Sequence[str]], width: int | None) -> str:
    """As `aligned`, with the last column broken at spaces so that no line has more than `width` letters, if it can be.

    Where names alone leave little room, what does not fit beside them comes below.
    """
    if width is None or not rows:
        return aligned(rows) if rows else ""
    margin = sum(max(len(row[column]) for row in rows) + 2 for column in range(len(rows[0]) - 1))
    beside = width - margin >= NARROWEST
    indent = " " * (margin if beside else 6)
    lines = []
    heads = aligned([[*row[:-1], "|"] for row in rows]).split("\n")
    for head, row in zip(heads, rows, strict=True):
        parts = wrap(row[-1], max(width - len(indent), NARROWEST), break_on_hyphens=False)
        first = head[:-1] + parts.pop(0) if beside and parts else head[:-1].rstrip()
        lines += [first, *(indent + part for part in parts)]
    return "\n".join(lines)


def readable_time(seconds: float) -> str:
    """E.g. ``57.3 h``, ``12 min`` or ``8 s``."""
    if seconds >= 7200:
        return f"{seconds / 3600:,.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def readable_bytes(count: float) -> str:
    """E.g. ``33.1 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
