"""Tables as people save them: encodings, marks at the beginning, separators, quotes, lines of nothing.

Nothing is guessed that a file can contradict: the separator is the one by which every line has as many fields as the
header, and a line that has more or fewer is named. A cell stays the text that it is.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from analysis.errors import AnalysisError

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "TABs", "|": "bars"}
_TRIED = 1000
"""Lines by which a separator is chosen; those after them only have to agree."""
_TWO_BYTES = (b"\xff\xfe", b"\xfe\xff")


def read_columns(path: Path) -> dict[str, list[str]]:
    """Read a text file of separated fields whose first line names its columns.

    UTF-8 and, with its mark at the beginning, UTF-16; fields between commas, semicolons, TABs or bars, quoted or not;
    LF, CRLF or CR. Lines without any text, and columns without a name (the row numbers that pandas and R write, or a
    separator at every line's end), are passed over.

    Returns
    -------
    dict of str to list of str
        By name of the column, without blanks around it; cells as they stand, empty ones as ``""``.

    Raises
    ------
    AnalysisError
        If the file is not there, is no text, has a line with another number of fields, or names a column twice.
    """
    text = _text(path)
    first, _, rest = text.partition("\n")
    if first.strip("\r \"'").startswith("sep=") and len(first.strip("\r \"'")) == len("sep=?"):
        return _columns(path, rest, first.strip("\r \"'")[-1], 1)  # how spreadsheets are told the separator
    return _columns(path, text, _separator(text), 0)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise AnalysisError(f"{path}: no such file; name a CSV file with one row a score") from error
    except OSError as error:
        raise _unreadable(path, str(error.strerror)) from error
    encoding, name = ("utf-16", "UTF-16") if data.startswith(_TWO_BYTES) else ("utf-8-sig", "UTF-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _unreadable(path, f"line {line} is not {name} text") from error
    if "\0" in text:
        raise _unreadable(path, "it holds bytes that are no text")
    return text


def _unreadable(path: Path, why: str) -> AnalysisError:
    return AnalysisError(f"{path}: not readable as CSV ({why}); save it as UTF-8 CSV with a header")


def _separator(text: str) -> str:
    """Which separator gives every line the header's number of fields; the one of most fields if several do."""
    best, most = ",", (False, 1)
    for separator in _SEPARATORS:
        try:
            rows = [row for _, (_, row) in zip(range(_TRIED), _rows(text, separator), strict=False)]
        except csv.Error:
            continue
        if not rows:
            continue
        width = _width(rows[0])
        even = all(width <= len(row) and not any(row[len(rows[0]) :]) for row in rows)
        if width > 1 and (even, width) > most:
            best, most = separator, (even, width)
    return best


def _width(header: list[str]) -> int:
    """Fields up to the last that has a name."""
    return max((i + 1 for i, name in enumerate(header) if name.strip()), default=0)


def _rows(text: str, separator: str, blanks: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Lines with any text, each with its number; `blanks` after a separator are passed over if so asked."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=blanks)
    for row in reader:
        if any(cell.strip() for cell in row):
            yield reader.line_num, row


def _columns(path: Path, text: str, separator: str, before: int) -> dict[str, list[str]]:
    """Cells by column; `before` lines were taken from the text's beginning."""
    line = 0
    try:
        header = next((row for _, row in _rows(text, separator)), [])
        blanks = len(header) > 1 and all(cell.startswith(" ") for cell in header[1:])
        rows = _rows(text, separator, blanks)
        line, header = next(rows, (0, []))
        width, found = _width(header), []
        for line, row in rows:
            if len(row) < width or any(cell.strip() for cell in row[len(header) :]):
                raise AnalysisError(
                    f"{path}: line {line + before} has {len(row)} fields where the header has {width} (fields are"
                    f" separated by {_SEPARATORS.get(separator, repr(separator))}); correct the line, or quote a field"
                    " that holds the separator"
                )
            found.append(row[:width])
    except csv.Error as error:
        raise _unreadable(path, f"near line {line + before + 1}: {error}") from error
    names = [name.strip() for name in header[:width]]
    for i, name in enumerate(names):
        if name and name in names[:i]:
            raise AnalysisError(f"{path}: column {name!r} appears twice; rename one of them")
    return {name: [row[i] for row in found] for i, name in enumerate(names) if name}
