"""Text for the terminal: aligned columns, spans of time and sizes as people say them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from textwrap import wrap

from benchmark.console import printable

#: Letters that a column of descriptions needs to be readable.
NARROWEST = 24
#: Letters that any column keeps, however narrow the terminal.
_FEWEST = 7
#: What a broken cell may be broken at beside spaces: the interval of a score stands under it.
_BEFORE = " ["


def terminal_width() -> int | None:
    """Columns of the terminal; ``None`` where there is none, for other programs like a row on a line."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


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


def table(rows: Sequence[Sequence[str]]) -> str:
    """As `fitted_table`, for the terminal that there is."""
    return fitted_table(rows, terminal_width())


def fitted_table(rows: Sequence[Sequence[str]], width: int | None) -> str:
    """A table with a head whose lines have no more than `width` letters.

    Parameters
    ----------
    rows
        The head first. A cell of a column that does not vary may be empty: it says nothing then.
    width
        Of the terminal [letters]; ``None`` for no bound.

    Returns
    -------
    str
        What fits is left as `aligned` has it. Else columns that never vary are said above, intervals stand under their
        scores, and the widest columns are broken at spaces; what is too much for that comes as a list.
    """
    shown = [[printable(cell) for cell in row] for row in rows]
    if width is None or _wide(_widths(shown)) <= width:
        return aligned(shown)
    shown, above = _without_constants(shown)
    lines = [*wrap(above, width, break_on_hyphens=False), ""] if above else []
    cells = [[_pieces(cell) for cell in row] for row in shown]
    widths = [max(max(map(len, row[column])) for row in cells) for column in range(len(shown[0]))]
    least = [min(own, _FEWEST) for own in widths]
    if _wide(least) > width:
        return "\n".join([*lines, *_as_list(shown, width)])
    while _wide(widths) > width:
        widest = max(range(len(widths)), key=lambda column: widths[column] - least[column])
        widths[widest] -= 1
    for row in cells:
        broken = [
            [part for piece in pieces for part in wrap(piece, max(own, 1), break_on_hyphens=False)] or [""]
            for pieces, own in zip(row, widths, strict=True)
        ]
        for i in range(max(map(len, broken))):
            line = [parts[i] if i < len(parts) else "" for parts in broken]
            lines.append("  ".join(part.ljust(own) for part, own in zip(line, widths, strict=True)).rstrip())
    return "\n".join(lines)


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]


def _wide(widths: Sequence[int]) -> int:
    return sum(widths) + 2 * (len(widths) - 1)


def _pieces(cell: str) -> list[str]:
    """A cell, or a score and its interval."""
    score, found, interval = cell.partition(_BEFORE)
    return [score, f"[{interval}"] if found and score else [cell]


def _without_constants(rows: list[list[str]]) -> tuple[list[list[str]], str]:
    """Rows without the columns, of those after the first, that hold one text alone; and these in words."""
    head, *body = rows
    values = [list(dict.fromkeys(row[column] for row in body if row[column])) for column in range(len(head))]
    same = [column for column in range(1, len(head)) if len(body) > 1 and len(values[column]) == 1 and head[column]]
    kept = [[cell for column, cell in enumerate(row) if column not in same] for row in rows]
    return kept, "; ".join(f"{head[column].strip()}: {values[column][0]}" for column in same)


def _as_list(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """The first cell of each row, and below it the others with what they are."""
    head, *body = rows
    lines = []
    for first, *others in body:
        told = "; ".join(
            f"{name}: {cell}" if name else cell for name, cell in zip(head[1:], others, strict=True) if cell
        )
        lines += wrap(first, width) or [""]
        lines += wrap(told, width, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
    return lines


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
