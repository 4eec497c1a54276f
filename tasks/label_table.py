"""A table of labels of the user's own: which column is what, and its rows as clips with the text of their labels.

Tables are read as people have them. Fields are separated by commas, semicolons, TABs or bars. Which column names the
files, the split, the artist and so on is known by usual names, whatever their case; a column of row numbers without a
name, an empty column without a name and empty rows are passed over. How names of files are understood, see
`tasks.named_files`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks import DatasetError
from tasks.base import SPLITS, Clip, Split
from tasks.label_columns import number_in
from tasks.named_files import NamedFiles
from tasks.tables import SEPARATED_BY, find_columns, read_header, read_rows, read_text
from tasks.trees import SUFFIXES

#: Usual names, in small letters and without spaces, of a column that names audio files; the first needs no look at it.
PATH = ("path", "file", "filename", "filepath", "audio", "audiofile", "audiofilename", "audiofilepath", "audiopath",
        "mp3path", "trackpath", "songpath", "clippath", "wavfile", "soundfile", "fname", "location")  # fmt: skip
#: Of the split, whose cells must be names of splits unless it is called so.
SPLIT = ("split", "subset", "set", "partition")
#: Of what must not straddle a split, and of what is resampled together.
GROUPS = {
    "artist": ("artist", "artistname"),
    "album": ("album", "albumname", "albumtitle"),
    "recording": ("recording",),
    "group": ("group",),
}
#: Other names of splits.
SPLIT_NAMES: Mapping[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "val", "validation"), "valid"),
    **dict.fromkeys(("test", "testing"), "test"),
}
#: Column where a clip begins in its file, and columns of which one says where it ends.
START, ENDS = "start", ("end", "seconds")
#: What separates fields, where the header holds it; one that is there more often wins.
DELIMITERS = (",", "\t", ";", "|")
#: How a path begins that is written down from a machine's root on.
_ROOTED = re.compile(r"^(file://|[A-Za-z]:)?[/\\]")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table, and whether tasks are made of it; labels as text, in the order of the label columns."""

    line: int
    clip: Clip
    labelled: bool
    group: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class LabelTable:
    """Names of the label columns, and the rows."""

    names: Sequence[str]
    rows: Sequence[Row]


@dataclass(frozen=True)
class _Columns:
    """Where in a row stands what; nothing where there is no such column."""

    path: int
    split: int | None
    groups: Mapping[str, int]
    cut: Mapping[str, int]
    labels: Mapping[str, int]


def read_label_table(table: Path, root: Path) -> LabelTable:
    """Read the table of the clips below `root`.

    Raises
    ------
    DatasetError
        If it cannot be read or parsed, or does not say which files it is about; the message names file and line.
    """
    delimiter = delimiter_seen(table)
    source = read_rows(table, delimiter)
    header = [name.strip() for name in read_header(table, source)]
    rows = [(line, [field.strip() for field in fields]) for line, fields in source if any(map(str.strip, fields))]
    columns = _columns(table, header, rows)
    return LabelTable(list(columns.labels), list(_rows(table, root, columns, rows)))


def delimiter_seen(table: Path) -> str:
    """What separates the fields of a table: what its header holds most of outside quotes, else a comma.

    Raises
    ------
    DatasetError
        If the table cannot be read.
    """
    text = read_text(table).lstrip("\r\n")
    said = SEPARATED_BY.match(text)
    if said and said[1] in DELIMITERS:
        return said[1]
    header = re.sub(r'"[^"]*"', "", text.partition("\n")[0])
    return max(DELIMITERS, key=header.count)


def plain_name(name: str) -> str:
    """Name of a column without case, spaces, ``_`` and ``-``."""
    return re.sub(r"[\s_-]+", "", name).casefold()


def _columns(table: Path, header: Sequence[str], rows: Sequence[tuple[int, Sequence[str]]]) -> _Columns:
    """What each column is.

    Raises
    ------
    DatasetError
        If none, or more than one, names the files, a name is there twice, or there are no labels.
    """
    passed_over = {place for place, name in enumerate(header) if _numbers_rows(name, [row[place] for _, row in rows])}
    named = [name for place, name in enumerate(header) if place not in passed_over]
    find_columns(table, named, ())
    if "" in named:
        raise DatasetError(f"{table}:1: column {header.index('') + 1} has no name")
    path = _path_column(table, header, rows)
    split = _split_column(header, rows)
    groups = {
        group: place
        for group, usual in GROUPS.items()
        if (place := _place(header, usual)) is not None and place not in (path, split)
    }
    places = {plain_name(name): place for place, name in enumerate(header)}
    ends = [name for name in ENDS if name in places]
    if START in places and len(ends) != 1:
        raise DatasetError(
            f"{table}:1: beside column {START!r}, where clips begin, there must be one of "
            f"{' and '.join(map(repr, ENDS))}, where they end or how long they are; rename what is a label"
        )
    cut = {name: places[name] for name in (START, *ends)} if START in places else {}
    taken = {path, split, *groups.values(), *cut.values(), *passed_over}
    labels = {name: place for place, name in enumerate(header) if place not in taken}
    if not labels:
        raise DatasetError(f"{table}:1: no column of labels beside {', '.join(map(repr, named))}")
    return _Columns(path, split, groups, cut, labels)


def _numbers_rows(name: str, cells: Sequence[str]) -> bool:
    """Whether a column is none: without a name, and empty or the index that data frames write before their columns."""
    if name and not name.startswith("Unnamed: "):
        return False
    count = len(cells)
    return not any(cells) or (count > 1 and cells in [[str(n + first) for n in range(count)] for first in (0, 1)])


def _place(header: Sequence[str], usual: Sequence[str]) -> int | None:
    """Where a column of one of these names stands, the first of them if there are several."""
    names = [plain_name(name) for name in header]
    return next((names.index(name) for name in usual if name in names), None)


def _path_column(table: Path, header: Sequence[str], rows: Sequence[tuple[int, Sequence[str]]]) -> int:
    names = [plain_name(name) for name in header]
    if PATH[0] in names:
        return names.index(PATH[0])
    usual = [place for place, name in enumerate(names) if name in PATH]
    if len(usual) == 1:
        return usual[0]
    # What else its cells tell: a column that holds names of audio files and nothing else.
    of_files = [
        place
        for place in usual or range(len(header))
        if rows and all(row[place].rpartition(".")[2].lower() in SUFFIXES for _, row in rows)
    ]
    if len(of_files) == 1:
        return of_files[0]
    there = ", ".join(map(repr, header[:8])) + (" ..." if len(header) > 8 else "")
    if of_files or usual:
        several = " and ".join(repr(header[place]) for place in of_files or usual)
        raise DatasetError(f"{table}:1: columns {several} may name the files; call the one that does 'path'")
    raise DatasetError(
        f"{table}:1: no column 'path', which names each clip's file; call it so or 'file' or 'filename'; "
        f"there are {there}"
    )


def _split_column(header: Sequence[str], rows: Sequence[tuple[int, Sequence[str]]]) -> int | None:
    place = _place(header, SPLIT)
    if place is None or plain_name(header[place]) == SPLIT[0]:
        return place
    cells = {row[place].casefold() for _, row in rows}
    return place if cells <= {"", *SPLIT_NAMES} and cells != {""} else None


def _rows(table: Path, root: Path, columns: _Columns, rows: Sequence[tuple[int, Sequence[str]]]) -> Iterator[Row]:
    files = NamedFiles(root)
    seen: dict[tuple[str, tuple[float, float] | None], tuple[str, int]] = {}
    splits: dict[str, tuple[str, int]] = {}
    for line, row in rows:
        where = f"{table}:{line}"
        name = _below(where, root, row[columns.path])
        path = files.find(name, where)
        if _ROOTED.match(row[columns.path]) and not (root / path).is_file():
            raise DatasetError(f"{where}: path must lead to a file below {root}: {row[columns.path]!r}")
        split = _split(where, row[columns.split]) if columns.split is not None else None
        excerpt = _excerpt(where, {name: row[place] for name, place in columns.cut.items()})
        clip_id = name if excerpt is None else f"{name}#t={excerpt[0]:.12g},{excerpt[1]:.12g}"
        other, at = seen.setdefault((path, excerpt), (name, line))
        if at != line:
            same = "is already" if other == name else f"is the file {path!r}, as {other!r} is"
            raise DatasetError(f"{where}: path {clip_id!r} {same} in line {at}")
        before, at = splits.setdefault(path, (split, line)) if split else (split, line)
        if before != split:
            raise DatasetError(
                f"{where}: {name!r} is in the {split} split, and in the {before} split by line {at}; "
                "all excerpts of a file must be in one"
            )
        group = {known: row[place] for known, place in columns.groups.items()}
        recording = group.get("recording", "") or ("" if excerpt is None else path)
        clip = Clip(clip_id, path, split, group.get("artist", ""), group.get("album", ""), recording, excerpt=excerpt)
        labels = tuple(row[place] for place in columns.labels.values())
        labelled = split is not None or columns.split is None
        yield Row(line, clip, labelled, group.get("group", recording) or path, labels)


def _below(where: str, root: Path, text: str) -> str:
    """Path of a file from the folder, as a table says it, with forward slashes.

    Raises
    ------
    DatasetError
        If it does not lead below the folder.
    """
    name = text if "\\" not in text or (root / text).is_file() else text.replace("\\", "/")
    name = re.sub(r"^(\./)+", "", name)
    # One from the root of some machine on: the folders before may be others here.
    parts = _ROOTED.sub("", name).split("/")
    if {"", ".", ".."} & set(parts):
        raise DatasetError(f"{where}: path must lead to a file below {root}, as in album/song.mp3: {text!r}")
    if name == "/".join(parts):
        return name
    own = root.resolve().parts[1:]
    below = parts[len(own) :] if tuple(parts[: len(own)]) == own else parts
    return "/".join(below)


def _split(where: str, text: str) -> Split | None:
    if text and text.casefold() not in SPLIT_NAMES:
        raise DatasetError(f"{where}: split must be {', '.join(SPLITS)} or empty, not {text!r}")
    return SPLIT_NAMES.get(text.casefold())


def _excerpt(where: str, cells: Mapping[str, str]) -> tuple[float, float] | None:
    """Beginning and end [s] by the cells of the columns that say so; ``None`` if they are empty or there are none."""
    if not any(cells.values()):
        return None
    bounds = []
    for name, text in cells.items():
        number = number_in(text)
        if number is None or number < 0:
            raise DatasetError(f"{where}: column {name!r} must be a number of seconds of at least 0, not {text!r}")
        bounds.append(number)
    begin, end = bounds
    if list(cells)[1] == "seconds":
        end += begin
    if end <= begin:
        raise DatasetError(f"{where}: the clip begins at {begin:g} s and must end after that, not at {end:g} s")
    return begin, end
