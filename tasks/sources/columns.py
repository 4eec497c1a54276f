"""Columns of a table of the user's own as sources of labels.

A column of numbers is a source of its own. So is a column of text, whose cells hold terms separated by semicolons, as
in ``calm; piano``. Columns of 0 and 1 are terms of one source, ``tags``. An empty cell, and ``?`` in a column of 0 and
1, tell nothing. Where the artists of clips are known, source ``artist`` is the sum of all of the artist's terms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from tasks import DatasetError
from tasks.label_columns import Cells, is_number
from tasks.sources.labels import Labels, Scalars, terms_of
from tasks.tables import delimiter_of, find_columns, read_header, read_rows

#: Names of what is no column.
TAGS, ARTIST = "tags", "artist"
SEPARATOR = ";"
_STATES = {"0", "1", "0.0", "1.0", "?", ""}


def read_columns(table: Path, paths: Sequence[str]) -> tuple[Cells, Sequence[str]]:
    """Cells of every column but ``path`` and ``artist``, and the artists, for files in their order.

    Parameters
    ----------
    table
        With a column ``path``; a file that it does not name has empty cells.
    paths
        Of the clips' files, as the table has them.

    Raises
    ------
    DatasetError
        If it cannot be read or parsed, names a file twice, or names one that is no clip's.
    """
    source = read_rows(table, delimiter_of(table, "path"))
    header = [name.strip() for name in read_header(table, source)]
    (path,) = find_columns(table, header, ("path",))
    known = set(paths)
    rows: dict[str, tuple[int, list[str]]] = {}
    for line, fields in source:
        cells = [field.strip() for field in fields]
        if cells[path] in rows:
            raise DatasetError(f"{table}:{line}: path {cells[path]!r} is already in line {rows[cells[path]][0]}")
        if cells[path] not in known:
            raise DatasetError(f"{table}:{line}: there is no clip of {cells[path]!r} in this folder")
        rows[cells[path]] = line, cells
    empty = 0, [""] * len(header)
    found = [rows.get(one, empty) for one in paths]
    columns = {
        name: [(line, cells[place]) for line, cells in found]
        for place, name in enumerate(header)
        if name not in ("path", ARTIST)
    }
    artists = [cells[header.index(ARTIST)] for _, cells in found] if ARTIST in header else []
    return columns, artists


def sources_of(table: Path, columns: Cells, artists: Sequence[str]) -> Mapping[str, Labels]:
    """The sources that columns make.

    Parameters
    ----------
    table
        Where they are from, for complaints.
    columns
        Line and text of each clip's cell, by column.
    artists
        Of the clips; empty if nothing is known of them.

    Raises
    ------
    DatasetError
        If some cells of a column of numbers are none.
    """
    clips = len(next(iter(columns.values()), ()))
    found: dict[str, Labels] = {}
    tags: list[str] = []
    terms: list[str] = []
    for name, column in columns.items():
        filled = [(line, text) for line, text in column if text]
        if all(text in _STATES for _, text in column):
            tags.append(name)
        elif 2 * sum(is_number(text) for _, text in filled) > len(filled):
            for line, text in filled:
                if not is_number(text):
                    raise DatasetError(f"{table}:{line}: column {name!r} holds {text!r}, no number where others are")
            found[name] = Scalars(np.array([float(text) if text else np.nan for _, text in column]))
        else:
            terms.append(name)
            found[name] = terms_of(clips, _terms(column))
    if tags:
        found[TAGS] = terms_of(clips, _tags(columns, tags))
    if any(artists) and (tags or terms):
        every = [*_tags(columns, tags), *(cell for name in terms for cell in _terms(columns[name]))]
        found[ARTIST] = terms_of(clips, every, groups=np.array(artists, dtype=np.str_))
    return found


def _terms(column: Sequence[tuple[int, str]]) -> Iterator[tuple[int, str, float]]:
    for row, (_, text) in enumerate(column):
        for term in dict.fromkeys(part.strip() for part in text.split(SEPARATOR)):
            if term:
                yield row, term, 1.0


def _tags(columns: Cells, names: Sequence[str]) -> Iterator[tuple[int, str, float]]:
    for name in names:
        for row, (_, text) in enumerate(columns[name]):
            if text in ("1", "1.0"):
                yield row, name, 1.0
