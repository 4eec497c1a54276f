"""FMA's tables of metadata, and what they tell of tracks beside the genre that a task asks for.

``tracks.csv``, ``echonest.csv`` and ``genres.csv`` lie in ``fma_metadata``. The first two have headers of several rows,
which name a column together; lists are written as Python writes them. Of each source below it is said how many of all
106,574 tracks have it, by the distributor's notebooks.

==============  ======================================================================================================
``bpm``         (echonest, audio_features, tempo): 13,129 tracks, 5,281 of the medium subset
``year``        of (album, date_released), else (track, date_recorded), else (echonest, metadata, album_date); 1950 to
                2017, for what lies outside is mostly wrong; 64 % of albums
``popularity``  log10 of 1 + listens a day since (track, date_created), as of the latest track: all tracks. It is not
                taste: FMA publishes nothing of single users
``tag``         (track, tags) and (album, tags), in small letters: 22 % of tracks, 18 % of albums
``text``        words of (album, information), (track, title) and (artist, bio), by TF-IDF: nearly all tracks. It is
                text about the music, not lyrics
``genre``       (track, genres_all), 0 or 1 over the 161 genres of ``genres.csv``: 98 %. It holds (track, genre_top),
                the label of the tasks ``fma-small`` and ``fma-medium``
``artist``      sum of the artist's tracks' ``tag`` and (artist, tags), without the artist's own name
==============  ======================================================================================================
"""

from __future__ import annotations

import ast
import csv
import html
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from tasks import DatasetError
from tasks.sources.labels import Labels, Scalars, terms_of
from tasks.tables import find_columns, read_header, read_rows

TRACKS = "fma_metadata/tracks.csv"
ECHONEST = "fma_metadata/echonest.csv"
GENRES = "fma_metadata/genres.csv"

SOURCES: Mapping[str, str] = {
    "bpm": "tempo by the Echo Nest [beats/min]",
    "year": "year of the album's release, or of the recording",
    "popularity": "listens a day, log10",
    "tag": "tags of track and album",
    "text": "words of title, album's information and artist's biography, by TF-IDF",
    "genre": "all genres of the track, 0 or 1",
    "artist": "sum of the tags of the artist and of the artist's tracks",
}
#: Tables that sources need beside `TRACKS`.
NEEDED: Mapping[str, str] = {"bpm": ECHONEST, "genre": GENRES}

#: Names of a column, from the header's first row down.
Column = tuple[str, ...]

_TEMPO: Column = ("echonest", "audio_features", "tempo")
_ALBUM_DATE: Column = ("echonest", "metadata", "album_date")
YEARS = range(1950, 2018)
_YEAR = re.compile(r"(\d{4})(?!\d)")
_DAY = re.compile(r"(\d{4})-(\d\d)-(\d\d)")
_MARKUP = re.compile(r"<[^>]*>")
_WORD = re.compile(r"[^\W\d_]{2,}")
#: Biographies may exceed the 131,072 characters that the csv module allows a field [characters].
_FIELD_LIMIT = 1 << 24


def table_rows(
    table: Path, required: Collection[Column], levels: int = 2
) -> Iterator[tuple[int, list[str], Mapping[Column, int]]]:
    """Yield line, cells and the place of every column for each row of a table, 260 MB of which are never held.

    Parameters
    ----------
    table
        With a header of `levels` rows and one more, which says ``track_id`` and nothing else.
    required
        Columns that must be there.
    levels
        Rows of the header that name columns.

    Raises
    ------
    DatasetError
        If it cannot be read or parsed; the message names file and line.
    """
    limit = csv.field_size_limit(_FIELD_LIMIT)
    line = 0
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [next(reader, []) for _ in range(levels)]
            place = {column: index for index, column in enumerate(zip(*header, strict=False))}
            if missing := [column for column in required if column not in place]:
                named = ", ".join(f"({', '.join(column)})" for column in missing)
                first = {2: "the first two rows must hold groups and names of columns"}
                must = first.get(levels, f"the first {levels} rows must hold the names of columns")
                raise DatasetError(f"{table}:1: no column {named}; {must}, as in fma_metadata.zip")
            for cells in reader:
                line = reader.line_num
                if not cells or cells[0] == "track_id":
                    continue
                if len(cells) != len(header[0]):
                    raise DatasetError(f"{table}:{line}: {len(cells)} fields where the header has {len(header[0])}")
                yield line, cells, place
    except OSError as error:
        raise DatasetError(f"{table}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DatasetError(f"{table}: not UTF-8 text after line {line}: {error.reason}") from None
    except csv.Error as error:
        raise DatasetError(f"{table}: after line {line}: {error}") from None
    finally:
        csv.field_size_limit(limit)


def source(name: str, root: Path, tracks: Sequence[int]) -> Labels:
    """What a source of `SOURCES` says of tracks, in their order.

    Parameters
    ----------
    name
        Of the source.
    root
        The dataset's folder.
    tracks
        Their numbers.

    Raises
    ------
    DatasetError
        If a table is missing or cannot be parsed; the message names file and line.
    """
    if name not in SOURCES:
        raise DatasetError(f"{root}: fma has no source {name!r}; there are {', '.join(SOURCES)}")
    needed = root / NEEDED.get(name, TRACKS)
    if not needed.is_file():
        raise DatasetError(f"{needed}: no such table, which source {name} is read from; it is in fma_metadata.zip")
    row = {track: place for place, track in enumerate(tracks)}
    if name == "bpm":
        return Scalars(_tempos(root / ECHONEST, row), "beats/min")
    if name == "year":
        return Scalars(_years(root, row))
    if name == "popularity":
        return Scalars(_popularity(root / TRACKS, row), "log10 listens a day")
    if name == "text":
        return terms_of(len(row), _words(root / TRACKS, row), "tfidf")
    if name == "genre":
        return terms_of(len(row), _genres(root, row))
    if name == "tag":
        return terms_of(len(row), _tags(root / TRACKS, row, artists=False))
    artists = np.full(len(row), "", dtype=object)
    for _, track, cells in _of_tracks(root / TRACKS, row, ("artist", "id")):
        artists[track] = cells[0]
    return terms_of(len(row), _tags(root / TRACKS, row, artists=True), groups=artists.astype(np.str_))


def _of_tracks(
    table: Path, row: Mapping[int, int], *columns: Column, levels: int = 2
) -> Iterator[tuple[int, int, list[str]]]:
    """Line, row and these cells of each of the tracks."""
    for line, cells, place in table_rows(table, columns, levels):
        track = row.get(int(cells[0])) if cells[0].isdecimal() else None
        if track is not None:
            yield line, track, [cells[place[column]] for column in columns]


def _tempos(table: Path, row: Mapping[int, int]) -> Any:
    values = np.full(len(row), np.nan)
    for line, track, (tempo,) in _of_tracks(table, row, _TEMPO, levels=3):
        number = _number(tempo, f"{table}:{line}: (echonest, audio_features, tempo)")
        values[track] = number if number > 0 else np.nan
    return values


def _years(root: Path, row: Mapping[int, int]) -> Any:
    values = np.full(len(row), np.nan)
    table = root / TRACKS
    columns = (("album", "date_released"), ("track", "date_recorded"))
    dates = [(table, line, track, cells) for line, track, cells in _of_tracks(table, row, *columns)]
    echonest = root / ECHONEST
    if echonest.is_file():
        rows = _of_tracks(echonest, row, _ALBUM_DATE, levels=3)
        dates += [(echonest, line, track, cells) for line, track, cells in rows]
    for file, line, track, cells in dates:
        for text in cells:
            if text and np.isnan(values[track]):
                match = _YEAR.match(text)
                if match is None:
                    raise DatasetError(f"{file}:{line}: a date must begin with a year, not {text[:40]!r}")
                if int(match[1]) in YEARS:
                    values[track] = int(match[1])
    return values


def _popularity(table: Path, row: Mapping[int, int]) -> Any:
    values, days = np.full(len(row), np.nan), np.full(len(row), np.nan)
    latest = 0
    columns = (("track", "listens"), ("track", "date_created"))
    for line, cells, place in table_rows(table, columns):
        listens, created = (cells[place[column]] for column in columns)
        if not listens or not created:
            continue
        match = _DAY.match(created)
        if match is None:
            raise DatasetError(f"{table}:{line}: (track, date_created) must be a day, not {created[:40]!r}")
        day = date(*(int(part) for part in match.groups())).toordinal()
        latest = max(latest, day)
        track = row.get(int(cells[0])) if cells[0].isdecimal() else None
        if track is not None:
            values[track], days[track] = _number(listens, f"{table}:{line}: (track, listens)"), day
    return np.log10(1 + values / (latest - days + 1))


def _tags(table: Path, row: Mapping[int, int], artists: bool) -> Iterator[tuple[int, str, float]]:
    columns = [("track", "tags"), ("album", "tags"), *([("artist", "tags"), ("artist", "name")] if artists else [])]
    for line, track, cells in _of_tracks(table, row, *columns):
        tags = set(_list(cells[0], table, line)) | set(_list(cells[1], table, line))
        if artists:
            tags |= set(_list(cells[2], table, line))
        own = cells[3].lower().strip() if artists else None
        for tag in sorted({str(tag).lower().strip() for tag in tags} - {"", own}):
            yield track, tag, 1.0


def _words(table: Path, row: Mapping[int, int]) -> Iterator[tuple[int, str, float]]:
    for _, track, cells in _of_tracks(table, row, ("track", "title"), ("album", "information"), ("artist", "bio")):
        for text in cells:
            for word in _WORD.findall(html.unescape(_MARKUP.sub(" ", text)).lower()):
                yield track, word, 1.0


def _genres(root: Path, row: Mapping[int, int]) -> Iterator[tuple[int, str, float]]:
    table = root / GENRES
    rows = read_rows(table, ",")
    number, title = find_columns(table, read_header(table, rows), ("genre_id", "title"))
    names = {cells[number]: cells[title] for _, cells in rows}
    tracks = root / TRACKS
    for line, track, (genres,) in _of_tracks(tracks, row, ("track", "genres_all")):
        for genre in sorted(set(_list(genres, tracks, line)), key=str):
            if str(genre) not in names:
                raise DatasetError(f"{tracks}:{line}: (track, genres_all) holds {genre!r}, which is not in {table}")
            yield track, names[str(genre)], 1.0


def _list(text: str, table: Path, line: int) -> list[Any]:
    """A list as Python writes it; an empty cell is an empty one."""
    try:
        found = ast.literal_eval(text) if text else []
    except (ValueError, SyntaxError):
        found = None
    if not isinstance(found, list):
        raise DatasetError(f"{table}:{line}: a cell of a list must read like ['a', 'b'], not {text[:40]!r}")
    return found


def _number(text: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not np.isfinite(number):
        raise DatasetError(f"{where} must be a number, not {text[:40]!r}")
    return number
