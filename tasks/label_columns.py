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
from tasks.targets import UNKNOWN, Classes, Distributions, Tags, Targets, Values

#: What labels in a table can be.
TableKind = Literal["multilabel", "multiclass", "regression", "distribution"]
#: Column -> line and text of each cell, from top to bottom.
Cells = Mapping[str, Sequence[tuple[int, str]]]

#: How a table says of a tag what it says, in small letters; with a point where a program took the column for numbers.
_STATES = {"0": 0, "0.0": 0, "false": 0, "1": 1, "1.0": 1, "true": 1, "?": UNKNOWN}
#: By how much the shares of a row may miss 1: they may have been rounded.
ROUNDED = 0.02
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+")


def seen_kind(table: Path, cells: Cells) -> TableKind:
    """What the labels are, seen from them; distributions are never seen, for they may be values of any sort.

    Raises
    ------
    DatasetError
        If a column is of numbers but for some cells, or has decimal commas.
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
        if all(_DECIMAL_COMMA.fullmatch(text) for _, text in column):
            line, text = column[0]
            raise DatasetError(f"{table}:{line}: column {name!r} holds {text!r}; write {text.replace(',', '.')}")
    return "regression" if all(all(numbers) for numbers in numeric.values()) else "multiclass"


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
    numbers = np.array([[_number(table, name, *cell) for cell in cells[name]] for name in cells]).T
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
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _state(text: str) -> int | None:
    return _STATES.get(text.lower())


def _tag(table: Path, name: str, line: int, text: str) -> int:
    state = _state(text)
    if state is None:
        raise DatasetError(f"{table}:{line}: column {name!r} must be 0, 1 or ?, not {text!r}")
    return state


def _number(table: Path, name: str, line: int, text: str) -> float:
    if not is_number(text):
        raise DatasetError(f"{table}:{line}: column {name!r} must be a number, not {text!r}")
    return float(text)
