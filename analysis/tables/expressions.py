"""A small, closed expression language for derived columns and row filters.

``n_star = (n_sources - 2) * (strategy != "SS-R")`` and ``strategy != "SS-R" and n_sources >= 2`` are whole examples.
Allowed are column names (in backticks when they are not plain words), numbers, texts, True, False, arithmetic
``+ - * / // % **``, comparisons, ``in`` with a list of literals, ``and or not`` (or ``& | ~``), and the functions
``log``, ``exp``, ``sqrt`` and ``abs``. Everything else is refused by name before anything is computed: an expression is
parsed, checked and interpreted here, and never reaches Python's own ``eval``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.tables import cells

if TYPE_CHECKING:
    import pandas as pd

MAX_LENGTH = 2000
"""Longest expression [characters]."""

_MAX_DEPTH = 60

_FUNCTIONS: dict[str, Callable[[Any], Any]] = {"log": np.log, "exp": np.exp, "sqrt": np.sqrt, "abs": np.abs}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
}
_ALLOWED = "column names, numbers, texts, + - * / // % **, comparisons, in [...], and/or/not, and log, exp, sqrt, abs"


class _Interpreter:
    """Walks one parsed expression over the columns of one table."""

    def __init__(self, text: str, table: pd.DataFrame, names: dict[str, str]) -> None:
        self.text = text
        self.table = table
        self.names = names

    def refuse(self, what: str) -> AnalysisError:
        return AnalysisError(f"expression {self.text!r}: {what}; allowed are {_ALLOWED}")

    def visit(self, node: ast.AST, depth: int = 0) -> Any:
        """Value of a node: a float, a text, a truth value, or an array with one of these a row."""
        if depth > _MAX_DEPTH:
            raise self.refuse(f"nested deeper than {_MAX_DEPTH} levels")
        below = depth + 1
        match node:
            case ast.Constant(value=bool() as truth):
                return np.bool_(truth)
            case ast.Constant(value=(int() | float()) as number):
                # Floats throughout: whole numbers of Python have no size limit, and 9**9**9 would never end.
                return np.float64(number)
            case ast.Constant(value=str() as text):
                return text
            case ast.Name(id=name):
                return self.column(self.names.get(name, name))
            case ast.BinOp(left=left, op=ast.BitAnd() | ast.BitOr() as op, right=right):
                both = (self.truth(left, below), self.truth(right, below))
                return both[0] & both[1] if isinstance(op, ast.BitAnd) else both[0] | both[1]
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return _ARITHMETIC[type(op)](self.number(left, below), self.number(right, below))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.number(operand, below)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.number(operand, below)
            case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
                return ~self.truth(operand, below)
            case ast.BoolOp(op=op, values=values):
                parts = [self.truth(value, below) for value in values]
                combine = np.logical_and if isinstance(op, ast.And) else np.logical_or
                total = parts[0]
                for part in parts[1:]:
                    total = combine(total, part)
                return total
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                return self.compare(left, ops, comparators, below)
            case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
                return _FUNCTIONS[name](self.number(argument, below))
            case ast.Call(func=ast.Name(id=name)):
                raise self.refuse(f"{name}(...) is not one of its functions, or does not have one argument")
            case _:
                raise self.refuse(f"{type(node).__name__} is not part of the language")

    def column(self, name: str) -> NDArray[Any]:
        if name not in self.table.columns:
            from analysis.tables.long_tables import columns_instead

            instead = columns_instead(name, [str(column) for column in self.table.columns])
            raise AnalysisError(f"expression {self.text!r}: the table has no column {name!r}.{instead}")
        values = self.table[name].to_numpy()
        if values.dtype.kind in "biuf":
            return values.astype(np.float64) if values.dtype.kind != "b" else values
        return np.asarray(values, dtype=object)

    def number(self, node: ast.AST, depth: int) -> Any:
        value = _like(self.visit(node, depth), np.float64())
        if isinstance(value, str) or (isinstance(value, np.ndarray) and value.dtype == object):
            raise self.refuse(f"arithmetic needs numbers, and {ast.unparse(node)!r} holds texts")
        return np.asarray(value, dtype=np.float64)

    def truth(self, node: ast.AST, depth: int) -> Any:
        value = np.asarray(self.visit(node, depth))
        if value.dtype != np.bool_:
            raise self.refuse(f"{ast.unparse(node)!r} is not a condition")
        return value

    def compare(self, left: ast.AST, ops: list[ast.cmpop], right: list[ast.expr], depth: int) -> Any:
        value = self.visit(left, depth)
        total: Any = np.bool_(True)
        for op, node in zip(ops, right, strict=True):
            if isinstance(op, ast.In | ast.NotIn):
                if not isinstance(node, ast.List | ast.Tuple | ast.Set):
                    raise self.refuse("what follows 'in' must be a list of literals, such as ['a', 'b']")
                found: Any = np.bool_(False)
                for element in node.elts:
                    if not isinstance(element, ast.Constant):
                        raise self.refuse("what follows 'in' must be a list of literals, such as ['a', 'b']")
                    wanted = self.visit(element, depth)
                    found = found | _equal(_like(value, wanted), wanted)
                total = total & (found if isinstance(op, ast.In) else ~found)
                continue
            if type(op) not in _COMPARISONS:
                raise self.refuse(f"{type(op).__name__} is not one of its comparisons")
            other = self.visit(node, depth)
            here, there = _like(value, other), _like(other, value)
            if isinstance(op, ast.Eq | ast.NotEq):
                same = _equal(here, there)
                total = total & (same if isinstance(op, ast.Eq) else ~same)
            else:
                if _is_text(here) != _is_text(there):
                    raise self.refuse("a text is compared with a number")
                total = total & np.asarray(_COMPARISONS[type(op)](here, there), dtype=np.bool_)
            value = other
        return total


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, np.ndarray) and value.dtype == object)


def _like(value: Any, other: Any) -> Any:
    """A column of texts as numbers or truth values, where `other` is such and every text is one too.

    Names stay texts in a table even if all of them are numbers; who calculates with them means the numbers.
    """
    if _is_text(other) or not isinstance(value, np.ndarray) or value.dtype != object:
        return value
    texts = {text for text in value if isinstance(text, str)}
    truth = np.asarray(other).dtype == np.bool_
    found = cells.truths_of(texts) if truth else cells.numbers_of(texts)
    if not found or any(text is None for text in value):
        return value
    return np.array([found.get(text, text) for text in value], dtype=np.bool_ if truth else np.float64)


def _equal(a: Any, b: Any) -> Any:
    return np.asarray(np.asarray(a, dtype=object) == np.asarray(b, dtype=object), dtype=np.bool_)


def _parse(text: str, whole: str) -> tuple[ast.expr, dict[str, str]]:
    if len(text) > MAX_LENGTH:
        raise AnalysisError(f"an expression has {len(text)} characters, more than {MAX_LENGTH}: derive it in steps")
    names: dict[str, str] = {}

    def hide(found: re.Match[str]) -> str:
        word = f"quoted_column_{len(names)}"
        names[word] = found.group(1)
        return word

    plain = re.sub(r"`([^`]+)`", hide, text.strip())
    try:
        return ast.parse(plain, mode="eval").body, names
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise AnalysisError(
            f"expression {whole!r} cannot be read ({type(error).__name__}): write {_ALLOWED}"
        ) from error


def evaluate(text: str, table: pd.DataFrame) -> NDArray[Any]:
    """Value of an expression on every row of a table.

    Parameters
    ----------
    text : str
        Expression in the language of this module, at most `MAX_LENGTH` characters.
    table : DataFrame

    Returns
    -------
    ndarray, shape [rows]
        Floats, truth values or texts.

    Raises
    ------
    AnalysisError
        If the expression is malformed, names a column that is not there, or uses anything outside the language.

    Examples
    --------
    >>> import pandas as pd
    >>> evaluate('(n - 2) * (kind != "single")', pd.DataFrame({"n": [1, 5], "kind": ["single", "multi"]}))
    array([-0.,  3.])
    """
    body, names = _parse(text, text)
    interpreter = _Interpreter(text, table, names)
    try:
        with np.errstate(all="ignore"):
            value = interpreter.visit(body)
    except TypeError as error:
        raise AnalysisError(f"expression {text!r} mixes texts and numbers: quote texts, not numbers") from error
    whole = np.empty(len(table), dtype=object if isinstance(value, str) else np.asarray(value).dtype)
    whole[:] = value
    return whole


def derive(table: pd.DataFrame, definitions: Iterable[str]) -> pd.DataFrame:
    """Add derived columns, in order, so that a later definition may use an earlier one.

    Parameters
    ----------
    table : DataFrame
        Left as it is.
    definitions : iterable of str
        ``"name = expression"`` each; an existing column of that name is replaced.

    Raises
    ------
    AnalysisError
        If a definition is malformed, or gives a value that is no finite number on some row.
    """
    result = table.copy()
    for definition in definitions:
        name, equals, text = definition.partition("=")
        name = name.strip().strip("`")
        if not equals or not name or text.startswith("=") or not re.fullmatch(r"[\w .@+-]+", name) or not text.strip():
            raise AnalysisError(f"--derive {definition!r}: write NAME=EXPRESSION, for example n_star=n_sources-2")
        value = evaluate(text, result)
        if value.dtype.kind == "b":
            value = value.astype(np.float64)
        if value.dtype.kind == "f":
            bad = np.flatnonzero(~np.isfinite(value))
            if bad.size:
                raise AnalysisError(
                    f"--derive {definition!r} gives no finite number in {bad.size} rows, first in row {bad[0] + 1}:"
                    " filter these rows with --where, or change the expression"
                )
            value = value + 0.0  # no negative zeros, which would print as -0
        result[name] = value
    return result


def where(table: pd.DataFrame, condition: str) -> pd.DataFrame:
    """Keep the rows on which a condition holds.

    Parameters
    ----------
    table : DataFrame
    condition : str
        Expression whose value is true or false.

    Raises
    ------
    AnalysisError
        If the expression is malformed, is no condition, or holds nowhere.
    """
    keep = evaluate(condition, table)
    if keep.dtype != np.bool_:
        raise AnalysisError(f"--where {condition!r} is no condition: compare something, for example n_sources >= 2")
    if not keep.any():
        raise AnalysisError(f"--where {condition!r} holds on none of the {len(table)} rows: check names and values")
    return table.loc[keep].reset_index(drop=True)
