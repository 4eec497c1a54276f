"""The one reader of YAML files: text, finite numbers, true, false, null, lists, and mappings whose keys are text.

Files may come from anybody, so what they may ask for is bounded before anything is built of them: their size, and the
number, the depth and the text of their nodes once every alias stands for what it repeats.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from benchmark.errors import UserError

#: Largest file, and largest text with every alias written out [bytes, characters].
LARGEST = 16 * 2**20
#: Most values of a file with every alias written out; two thousand of the longest entries have half of it.
MOST_NODES = 250_000
#: Deepest nesting.
DEEPEST = 64
TOO_DEEP = "is nested too deeply to be read"
#: Longest number [characters].
LONGEST_NUMBER = 400

_TAG = "tag:yaml.org,2002:"
#: What a scalar may be: all that is read has one meaning as JSON, of which keys are made.
_SCALARS = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false", "null": "null"}
_NUMBERS = frozenset({"int", "float"})


class _Unusable(yaml.constructor.ConstructorError):
    """What is YAML and yet cannot be used: where it stands, under which keys, and why."""

    def __init__(self, keys: tuple[str, ...], problem: str, mark: Any) -> None:
        super().__init__(None, None, f"{'.'.join(keys)}: {problem}" if keys else problem, mark)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Safe loader that says where a value stands that cannot be used.

    It also reads ``3e-4`` as a number, as everyone expects; YAML 1.1 wants ``3.0e-4``.
    """

    def document(self) -> tuple[yaml.Node | None, Any]:
        """The only document as nodes, which know their lines, and as values."""
        root = self.get_single_node()
        if root is None:
            return None, None
        self._check(root, (), set(), set())
        return root, self.construct_document(root)

    def _check(self, node: yaml.Node, keys: tuple[str, ...], above: set[int], whole: set[int]) -> None:
        """Refuse what cannot be used; each node is looked at once, for it may stand in many places."""
        if id(node) in above:
            raise _Unusable(keys, "is a part of itself; write it out", node.start_mark)
        if id(node) in whole:
            return
        above.add(id(node))
        kind = node.tag.removeprefix(_TAG)
        if kind == "timestamp":
            raise _Unusable(keys, f"{_shown(node)} is a date in YAML; put it in quotes", node.start_mark)
        if kind in ("binary", "omap", "pairs", "set"):
            raise _Unusable(
                keys, f"!!{kind} is not read here; write text, a number, a list or a mapping", node.start_mark
            )
        if isinstance(node, yaml.MappingNode):
            self._check_mapping(node, keys, above, whole)
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                self._check(item, keys, above, whole)
        elif kind in _SCALARS:
            self._check_scalar(node, kind, keys)
        above.remove(id(node))
        whole.add(id(node))

    def _check_mapping(self, node: yaml.Node, keys: tuple[str, ...], above: set[int], whole: set[int]) -> None:
        lines: dict[str, int] = {}
        for key, value in node.value:
            if key.tag not in (f"{_TAG}str", f"{_TAG}merge"):
                raise _Unusable(keys, f"the key {_shown(key)} must be text; put it in quotes", key.start_mark)
            if key.value in lines and key.value != "<<":
                first = lines[key.value]
                raise _Unusable(keys, f"{key.value!r} stands here a second time; first on line {first}", key.start_mark)
            lines[key.value] = key.start_mark.line + 1
            self._check(value, (*keys, key.value), above, whole)

    def _check_scalar(self, node: yaml.Node, kind: str, keys: tuple[str, ...]) -> None:
        try:
            if kind in _NUMBERS and len(node.value) > LONGEST_NUMBER:
                raise ValueError
            value = self.yaml_constructors[node.tag](self, node)
        except (ValueError, LookupError):
            raise _Unusable(keys, f"{_shown(node)} is no {_SCALARS[kind]} that can be read", node.start_mark) from None
        if isinstance(value, float) and not math.isfinite(value):
            raise _Unusable(keys, f"must be a finite number, not {_shown(node)}", node.start_mark)


#: Tag, pattern and first characters of the numbers that are read beside those of YAML 1.1.
EXPONENTS = (f"{_TAG}float", re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789"))
_Loader.add_implicit_resolver(*EXPONENTS)


@dataclass(frozen=True)
class Document:
    """What a file says.

    Attributes
    ----------
    root
        Its nodes; ``None`` if it says nothing.
    value
        Its values.
    """

    root: yaml.Node | None
    value: Any

    def line(self, keys: tuple[Any, ...]) -> int:
        """Line, from 1, of the deepest part of a path of keys that stands in the file."""
        node, line = self.root, 1
        for part in keys:
            child = None
            if isinstance(node, yaml.MappingNode):
                for key, value in node.value:
                    if key.value == str(part):
                        child, line = value, key.start_mark.line + 1
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                child = node.value[part]
                line = child.start_mark.line + 1
            if child is None:
                break
            node = child
        return line


def read_document(path: Path) -> Document:
    """A YAML file.

    Raises
    ------
    UserError
        If the file cannot be read, is no YAML, is too large, has a key twice, or a value that is neither text, a
        finite number, true, false, null, a list nor a mapping from text: file, line and reason.
    """
    text = _text(path)
    try:
        _check_bounds(text)
        return Document(*_Loader(text).document())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        kind = "" if isinstance(error, _Unusable) else "not valid YAML: "
        raise UserError(f"{path}:{line}: {kind}{error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


def read_value(text: str, where: str) -> Any:
    """One value in YAML, numbers and lists as in a registry.

    Raises
    ------
    UserError
        If it is no YAML, or of a kind that is not read; the message begins with `where`.
    """
    try:
        _check_bounds(text)
        return tuples(_Loader(text).document()[1])
    except _Unusable as error:
        raise UserError(f"{where}: {error.problem}") from None
    except yaml.YAMLError:
        raise UserError(f"{where}: {text!r} is not a value in YAML") from None


def tuples(value: Any, key: str = "") -> Any:
    """`value` with tuples for lists, but in the arguments of a class, which are the user's own and stay as written."""
    if isinstance(value, dict):
        return {k: v if k == "args" else tuples(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return tuple(tuples(item) for item in value)
    return value


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise UserError(f"{path}: is larger than the {LARGEST // 2**20} MiB that are read")
        return content.decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise UserError(f"{path}: cannot read this file: {reason}") from None


class _Extent(NamedTuple):
    """Nodes, characters of text and levels of a node, every alias written out."""

    nodes: int
    text: int
    levels: int


def _check_bounds(text: str) -> None:
    """Refuse a document that is too large or too deep, before anything but its events is read."""
    nodes = letters = 0
    known: dict[str, _Extent] = {}
    starts: list[tuple[int, int, str | None]] = []
    levels = [0]  # below each node that is open
    for event in _events(text):
        if isinstance(event, yaml.CollectionStartEvent):
            starts.append((nodes, letters, event.anchor))
            levels.append(0)
            nodes += 1
            found = _Extent(0, 0, 0)
        elif isinstance(event, yaml.CollectionEndEvent):
            nodes_before, letters_before, anchor = starts.pop()
            found = _Extent(nodes - nodes_before, letters - letters_before, levels.pop() + 1)
            levels[-1] = max(levels[-1], found.levels)
            if anchor is not None:
                known[anchor] = found
        elif isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
            if isinstance(event, yaml.AliasEvent):
                found = known.get(str(event.anchor), _Extent(1, 0, 1))  # one that is still open is refused later
            else:
                found = _Extent(1, len(event.value), 1)
                if event.anchor is not None:
                    known[event.anchor] = found
            nodes, letters = nodes + found.nodes, letters + found.text
            levels[-1] = max(levels[-1], found.levels)
        else:
            continue
        if len(starts) + found.levels > DEEPEST:
            raise _Unusable((), TOO_DEEP, event.start_mark)
        if nodes > MOST_NODES or letters > LARGEST:
            raise _Unusable((), "says more than is read of a file, with all that its aliases repeat", event.start_mark)


def _events(text: str) -> Iterator[yaml.Event]:
    loader = _Loader(text)
    try:
        while loader.check_event():
            yield loader.get_event()
    except yaml.MarkedYAMLError as error:
        # The parser's own bound, which some versions have, is met by looking ahead.
        if "nesting" in str(error.problem):
            raise _Unusable((), TOO_DEEP, error.problem_mark) from None
        raise
    finally:
        loader.dispose()


def _shown(node: yaml.Node) -> str:
    """A scalar as it stands in the file, shortened."""
    if not isinstance(node, yaml.ScalarNode):
        return "[...]" if isinstance(node, yaml.SequenceNode) else "{...}"
    text = str(node.value)
    return text if len(text) <= 40 else f"{text[:40]}…"
