"""Columns of a table of labels: what they are taken for, and their cells as labels.

Complaints name file and line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from tasks import DatasetError
from tasks.targets import UNKNOWN, Classes, Distributions, Kind, Tags, Targets, Values

#: What labels in a table can be.
TableKind = Literal["multilabel", "multiclass", "regression", "distribution"]
#: Column -> line and text of each cell, from top to bottom.
Cells = Mapping[str, Sequence[tuple[int, str]]]

#: How a table says of a tag what it says, in small letters; with a point where a program took the column for numbers.
_STATES = {
    **dict.fromkeys(("0", "0.0", "0,0", "false"), 0),
    **dict.fromkeys(("1", "1.0", "1,0", "true"), 1),
    "?": UNKNOWN,
}
#: By how much the shares of a row may miss 1: they may have been rounded.
ROUNDED = 0.02
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?")
#: What may be a decimal comma or one between thousands.
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3})+")
#: What often stands between labels that share a cell.
_BETWEEN = ("|", ";", ",", "/", "+")


def seen_kind(table: Path, cells: Cells) -> TableKind:
    """What the labels are, seen from them; distributions are never seen, for they may be values of any sort.

    Raises
    ------
    DatasetError
        If a column is of numbers but for some cells.
    """
    if all(_state(text) is not None for column in cells.values() for _, text in column):
        return "multilabel"
    numeric = {name: [is_number(text) for _, text in column] for name, column in cells.items()}
    for name, column in cells.items():
        if any(numeric[name]) and not all(numeric[name]):
            # One odd cell among many of the other sort is a slip, and would make classes of all numbers.
            odd = sum(numeric[name]) * 2 < len(column)
            line, text = next(cell for cell, number in zip(column, numeric[name], strict=True) if number is odd)
            what = "a number where others are text" if odd else "no number where others are"
            raise DatasetError(
                f"{table}:{line}: column {name!r} holds {text!r}, {what}; "
                "correct it, or say `kind: multiclass` in the task's options if these are names of classes"
            )
    return "regression" if all(all(numbers) for numbers in numeric.values()) else "multiclass"


def kind_wanted(table: Path, cells: Cells, wanted: Kind) -> TableKind | None:
    """What the labels are taken for because a task's metrics are for that, where they are seen as something else.

    Whole numbers in a single column are then classes, and so are a single column's 0 and 1; columns of 0 and 1 are
    values, and columns of numbers shares. ``None`` where they are what they are seen as.

    Raises
    ------
    DatasetError
        As `seen_kind` does, or if tags are wanted and cells seem to hold several: file, line and the way out.
    """
    if wanted == "multiclass" and len(cells) == 1:
        (column,) = cells.values()
        whole = all(_state(text) is not None or _whole(text) for _, text in column)
        return "multiclass" if whole else None
    seen = seen_kind(table, cells)
    if wanted == "regression" and seen == "multilabel":
        return "regression" if all(is_number(text) for column in cells.values() for _, text in column) else None
    if wanted == "distribution" and seen in ("regression", "multilabel"):
        return "distribution"
    if wanted == "multilabel" and seen == "multiclass":
        for name, column in cells.items():
            for line, text in column:
                separator = next((one for one in _BETWEEN if one in text.strip(one)), None)
                if separator is not None:
                    raise DatasetError(
                        f"{table}:{line}: column {name!r} holds {text!r}, and tags are columns of 0 and 1; for several "
                        f'tags in a cell say `options: {{columns: {name}, separator: "{separator}"}}`'
                    )
    return None


def joined_tags(table: Path, cells: Cells, separator: str) -> Targets:
    """Tags that share a cell, as in ``calm|piano``; an empty cell holds none of them.

    Raises
    ------
    DatasetError
        If there is more than one column, or no tag in it.
    """
    if len(cells) > 1:
        raise DatasetError(
            f"{table}:1: tags that are joined by {separator!r} must be in one column, and there are "
            f"{', '.join(map(repr, cells))}; choose one with `columns` in the task's options"
        )
    ((name, column),) = cells.items()
    held = [{part.strip() for part in text.split(separator)} - {""} for _, text in column]
    tags = tuple(sorted(set().union(*held)))
    if not tags:
        raise DatasetError(f"{table}:1: column {name!r} holds no tags")
    return Tags(tags, np.array([[tag in own for tag in tags] for own in held], dtype=np.int8))


def targets_of(table: Path, kind: TableKind, cells: Cells) -> Targets:
    """The labels of a kind.

    Raises
    ------
    DatasetError
        If a cell is none of that kind, classes are in several columns, or shares do not sum to 1.
    """
    if kind == "multiclass":
        if len(cells) > 1:
            names = ", ".join(map(repr, cells))
            raise DatasetError(
                f"{table}:1: classes must be in one column, and there are {names}; "
                "choose one with `columns` in the task's options"
            )
        (column,) = cells.values()
        classes = tuple(sorted({text for _, text in column}))
        index = {name: place for place, name in enumerate(classes)}
        return Classes(classes, np.array([index[text] for _, text in column]))
    if kind == "multilabel":
        return Tags(tuple(cells), np.array([[_tag(table, name, *cell) for cell in cells[name]] for name in cells]).T)
    numbers = np.array([numbers_in(table, name, column) for name, column in cells.items()]).T
    if kind == "regression":
        return Values(tuple(cells), numbers)
    sums = numbers.sum(axis=1)
    for row, (line, _) in enumerate(next(iter(cells.values()))):
        if (numbers[row] < 0).any() or abs(sums[row] - 1) > ROUNDED:
            raise DatasetError(
                f"{table}:{line}: shares of a distribution must be at least 0 and sum to 1, and "
                f"{', '.join(f'{share:g}' for share in numbers[row][:4])}{' ...' if len(cells) > 4 else ''} "
                f"sum to {sums[row]:g}; divide votes by their number"
            )
    return Distributions(tuple(cells), numbers / sums[:, None])


def is_number(text: str) -> bool:
    """Whether a cell holds a finite number."""
    return number_in(text) is not None


def number_in(text: str) -> float | None:
    """The finite number that a cell holds, with a decimal point or a decimal comma; ``None`` if it holds none."""
    try:
        number = float(text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def numbers_in(table: Path, name: str, column: Sequence[tuple[int, str]]) -> list[float]:
    """Numbers of a column, all with a decimal point or all with a decimal comma.

    Raises
    ------
    DatasetError
        If a cell holds none, or commas may be decimal ones or stand between thousands.
    """
    numbers = []
    for line, text in column:
        number = number_in(text)
        if number is None:
            raise DatasetError(f"{table}:{line}: column {name!r} must be a number, not {text!r}")
        numbers.append(number)
    commas = [(line, text) for line, text in column if "," in text]
    points = any("." in text for _, text in column)
    if commas and (points or all(_THOUSANDS.fullmatch(text) for _, text in commas)):
        line, text = commas[0]
        raise DatasetError(
            f"{table}:{line}: column {name!r} holds {text!r}, which may be {text.replace(',', '.')} or "
            f"{text.replace(',', '')}; write numbers without commas"
        )
    return numbers


def _state(text: str) -> int | None:
    return _STATES.get(text.lower())


def _whole(text: str) -> bool:
    number = number_in(text)
    return number is not None and number.is_integer()


def _tag(table: Path, name: str, line: int, text: str) -> int:
    state = _state(text)
    if state is None:
        raise DatasetError(f"{table}:{line}: column {name!r} must be 0, 1 or ?, not {text!r}")
    return state
