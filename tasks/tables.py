"""Reading annotation tables so that every complaint names file and line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tasks import DatasetError

_NAMES = {"\t": "TAB", ",": "commas", ";": "semicolons", "|": "bars"}
#: How spreadsheets begin text in UTF-16, and what a workbook begins with, which is no text.
_UTF16, _WORKBOOKS = (b"\xff\xfe", b"\xfe\xff"), (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")

#: A first line by which a spreadsheet says what separates fields.
SEPARATED_BY = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)


def read_text(file: Path) -> str:
    """Content of a UTF-8 text file, with or without a byte-order mark, or of a UTF-16 one with it.

    Raises
    ------
    DatasetError
        If it cannot be read or is neither.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DatasetError(f"{file}: {error.strerror}") from None
    if data.startswith(_WORKBOOKS):
        raise DatasetError(f"{file}: a workbook or an archive, no text; save the table as CSV in UTF-8")
    try:
        return data.decode("utf-16" if data.startswith(_UTF16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DatasetError(f"{file}:{line}: not UTF-8 text: {error.reason}; save the table as CSV in UTF-8") from None


def delimiter_of(table: Path, column: str) -> str:
    """What separates the fields of a table, seen from its header, one of whose fields is `column`; else a comma.

    Raises
    ------
    DatasetError
        If the table cannot be read.
    """
    header = read_text(table).lstrip("\r\n").partition("\n")[0]
    for delimiter in (",", "\t", ";"):
        if column in [field.strip().strip('"').strip() for field in header.split(delimiter)]:
            return delimiter
    return ","


def read_rows(table: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a table, header first, each with its line number; all have as many fields as the header.

    Fields may be quoted and hold line ends; LF and CRLF are both understood; empty lines are skipped.

    Raises
    ------
    DatasetError
        If the table cannot be read or parsed, or a row has another number of fields.
    """
    text = read_text(table)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    width = 0
    try:
        if SEPARATED_BY.match(text):
            next(reader)
        for row in reader:
            if not row:
                continue
            width = width or len(row)
            if len(row) != width:
                raise DatasetError(
                    f"{table}:{reader.line_num}: {len(row)} fields where the header has {width} "
                    f"(fields are separated by {_NAMES[delimiter]})"
                )
            yield reader.line_num, row
    except csv.Error as error:
        raise DatasetError(f"{table}:{reader.line_num}: {error}") from None


def read_header(table: Path, rows: Iterator[tuple[int, list[str]]]) -> list[str]:
    """First of `rows`.

    Raises
    ------
    DatasetError
        If there is none.
    """
    try:
        return next(rows)[1]
    except StopIteration:
        raise DatasetError(f"{table}:1: the table is empty") from None


def find_columns(table: Path, header: Sequence[str], names: Sequence[str]) -> list[int]:
    """Where the columns `names` stand in the header.

    Raises
    ------
    DatasetError
        If one of them is missing, or any column is there twice.
    """
    place = {name: index for index, name in enumerate(header)}
    missing = [name for name in names if name not in place]
    if missing:
        raise DatasetError(f"{table}:1: no column {', '.join(map(repr, missing))}; there are {_some(header)}")
    if len(place) != len(header):
        twice = next(name for index, name in enumerate(header) if place[name] != index)
        raise DatasetError(f"{table}:1: column {twice!r} is there twice")
    return [place[name] for name in names]


def _some(names: Sequence[str], shown: int = 8) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(repr(name[:40]) for name in names[:shown]) + more
