"""Cells of tables: which texts are numbers, which are names, and how a name is written that spreadsheets would run.

A name is the text that stands in the table: ``01``, ``1`` and ``1e1`` are three names, as are ``None`` and ``NA``. A
column is one of numbers only if no text in it could be meant as a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: What stands for no number in a column of numbers; "none" is a level of some factors, and no such word.
_MISSING = frozenset({"", "NaN", "nan", "NA", "N/A", "n/a", "#N/A", "<NA>", "NULL", "null", "-"})
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_COMMA = re.compile(r"[+-]?(?:\d*,\d+|\d+)(?:[eE][+-]?\d+)?")
#: Digits in groups of three: 1,234.5 and 1.234,5; blanks and apostrophes between groups leave no doubt.
_GROUPED_POINT = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?")
_GROUPED_COMMA = re.compile(r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+(?:,\d+)?")
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(?:[ '\u2019\u00a0\u2009\u202f]\d{3})+(?:[.,]\d+)?")
_GAPS = str.maketrans("", "", " '\u2019\u00a0\u2009\u202f")
#: Either 1.234 or 1234: by itself nobody can tell.
_EITHER = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_BEGINNINGS = frozenset("=+-@\t\r'")
_TRUTHS = {"true": True, "false": False}
#: What people write for them in a column that is known to hold truth values.
_ANSWERS = {**_TRUTHS, "1": True, "1.0": True, "yes": True, "0": False, "0.0": False, "no": False}
_DIGITS = 15
"""Digits of a whole number that a float holds for certain; what has more is a name."""


def neutral(value: Any) -> Any:
    """A cell that a spreadsheet shows instead of running it: a text that begins like a formula gets an apostrophe.

    Numbers stay numbers; `plain` gives every text back.

    Examples
    --------
    >>> neutral("=1+1"), neutral("-1"), neutral(-0.5), neutral("mert")
    ("'=1+1", "'-1", -0.5, 'mert')
    """
    if not isinstance(value, str) or value[:1] not in _BEGINNINGS:
        return value
    return f"'{value}" if _FORMULA.match(value) else value


def plain(text: str) -> str:
    """The text of a cell that `neutral` wrote.

    Examples
    --------
    >>> plain("'=1+1"), plain("it's"), plain("''-")
    ('=1+1', "it's", "'-")
    """
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def names(texts: Sequence[str]) -> NDArray[Any]:
    """Texts as names, shape [rows]; ``None`` where a cell is empty."""
    return _objects(plain(text) if text.strip() else None for text in texts)


def values(texts: Sequence[str]) -> NDArray[Any]:
    """Texts as numbers or truth values where every one of them is one and none could be a name, else as names.

    Returns
    -------
    ndarray, shape [rows]
        Whole numbers; or floats, NaN where a cell is empty or says that there is none (NaN, NA, null); or truth values;
        or texts, ``None`` where a cell is empty.
    """
    different = set(texts)
    found = numbers_of(different)
    if found is not None and not _could_be_names(found):
        column = np.array([found[text] for text in texts], dtype=np.float64)
        return column.astype(np.int64) if all(re.fullmatch(r"-?\d+", text) for text in different) else column
    truths = truths_of(different)
    return names(texts) if truths is None else np.array([truths[text] for text in texts], dtype=np.bool_)


def truths_of(texts: Iterable[str]) -> dict[str, bool] | None:
    """The truth value that each text is; ``None`` if some is none."""
    found = {text: _TRUTHS.get(text.strip().lower()) for text in texts}
    known = {text: value for text, value in found.items() if value is not None}
    return known if known and len(known) == len(found) else None


def answer(value: object) -> bool | None:
    """The truth value that a cell of a column of them holds, as text, number or itself; ``None`` if it is empty.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    text = str(value).strip().lower()
    if text in {"", "nan", "none", "<na>"}:
        return None
    if text not in _ANSWERS:
        raise ValueError(text)
    return _ANSWERS[text]


def number(text: str) -> float | None:
    """The number that a text is; ``None`` if it is none, or could be meant as a name (01, 1e1)."""
    found = numbers_of([text])
    return None if found is None or _could_be_names(found) else found[text]


def is_missing(text: str) -> bool:
    """Whether a text says that there is no number."""
    return text.strip() in _MISSING


def numbers_of(texts: Iterable[str]) -> dict[str, float] | None:
    """The number that each text is, NaN where it says that there is none; ``None`` if one is neither, or all say so.

    Points and commas are told apart by all texts together: 0,65 leaves no doubt, 1,234 alone does.
    """
    written = {text: text.strip().replace("\u2212", "-") for text in texts}
    there = {text for text in written.values() if not is_missing(text)}
    found = _reading(there) if there else None
    return None if found is None else {text: found.get(short, np.nan) for text, short in written.items()}


def _reading(texts: set[str]) -> dict[str, float] | None:
    if all(map(_NUMBER.fullmatch, texts)):
        return {text: float(text) for text in texts}
    short = {text: text.translate(_GAPS) if _GROUPED.fullmatch(text) else text for text in texts}
    points = all(_NUMBER.fullmatch(text) or _GROUPED_POINT.fullmatch(text) for text in short.values())
    commas = all(_COMMA.fullmatch(text) or _GROUPED_COMMA.fullmatch(text) for text in short.values())
    if points == commas and short == {text: text for text in texts}:
        return None  # neither, or nothing that tells a comma before decimals from one between thousands
    if not points and not commas:
        return None
    between, point = (",", ".") if points else (".", ",")
    return {text: float(bare.replace(between, "").replace(point, ".")) for text, bare in short.items()}


def _could_be_names(numbers: Mapping[str, float]) -> bool:
    """Whether some text is written as programs write no number, or two whole numbers are one (1 and 1.0)."""
    for text in numbers:
        if re.match(r"[+-]?0\d", text.strip()) or re.fullmatch(r"[+-]?\d+[eE]\d+", text.strip()):
            return True
        if re.fullmatch(rf"[+-]?\d{{{_DIGITS + 1},}}", text.strip()):
            return True
    whole = [value for text, value in numbers.items() if re.fullmatch(r"[+-]?\d+(?:[.,]0*)?", text.strip())]
    return len(set(whole)) < len(whole)


def hint(text: str) -> str:
    """Why a text that looks like a number was not taken for one; empty if it does not look like one."""
    if _EITHER.fullmatch(text.strip()):
        return "; the comma may stand before decimals or between thousands, so write 1.234 or 1234"
    if _COMMA.fullmatch(text.strip()):
        return "; decimal commas are read where all numbers of the column have them"
    return ""


def _objects(cells: Iterable[str | None]) -> NDArray[Any]:
    listed = list(cells)
    column = np.empty(len(listed), dtype=object)
    column[:] = listed
    return column
