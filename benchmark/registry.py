"""`registry.yaml` and its overlays: what is plugged in, checked, and where each entry came from.

Later files win: the built-in registry, the ``registry.yaml`` inside each package that an entry point of the group
``bench.registry`` names, ``registry.yaml`` in the working directory, then ``--registry``. Reading a registry
imports nothing that it names. An entry that cannot be used fails those alone who ask for it.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import yaml
from pydantic import ValidationError

from benchmark import entries
from benchmark.errors import UserError, unknown_name

E = TypeVar("E", bound=entries.Entry)

SECTIONS: dict[str, type[entries.Entry]] = {
    "encoders": entries.EncoderEntry,
    "datasets": entries.DatasetEntry,
    "corpora": entries.CorpusEntry,
    "tasks": entries.TaskEntry,
    "recipes": entries.RecipeEntry,
    "protocols": entries.ProtocolEntry,
}
_SINGULAR = {
    "encoders": "encoder",
    "datasets": "dataset",
    "corpora": "corpus",
    "tasks": "task",
    "recipes": "recipe",
    "protocols": "protocol",
}


_TAG = "tag:yaml.org,2002:"
#: What a scalar may be: all that is read has one meaning as JSON, of which keys are made.
_SCALARS = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false", "null": "null"}


class _Unusable(yaml.constructor.ConstructorError):
    """What is YAML and yet cannot be used: where it stands, under which keys, and why."""

    def __init__(self, keys: tuple[str, ...], problem: str, node: yaml.Node) -> None:
        super().__init__(None, None, f"{'.'.join(keys)}: {problem}" if keys else problem, node.start_mark)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Safe loader of text, finite numbers, true, false, null, lists, and mappings whose keys are text.

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
            raise _Unusable(keys, "is a part of itself; write it out", node)
        if id(node) in whole:
            return
        above.add(id(node))
        kind = node.tag.removeprefix(_TAG)
        if kind == "timestamp":
            raise _Unusable(keys, f"{_shown(node)} is a date in YAML; put it in quotes", node)
        if kind in ("binary", "omap", "pairs", "set"):
            raise _Unusable(keys, f"!!{kind} is not read here; write text, a number, a list or a mapping", node)
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
                raise _Unusable(keys, f"the key {_shown(key)} must be text; put it in quotes", key)
            if key.value in lines and key.value != "<<":
                first = lines[key.value]
                raise _Unusable(keys, f"{key.value!r} stands here a second time; first on line {first}", key)
            lines[key.value] = key.start_mark.line + 1
            self._check(value, (*keys, key.value), above, whole)

    def _check_scalar(self, node: yaml.Node, kind: str, keys: tuple[str, ...]) -> None:
        try:
            value = self.yaml_constructors[node.tag](self, node)
        except (ValueError, LookupError):
            raise _Unusable(keys, f"{_shown(node)} is no {_SCALARS[kind]} that can be read", node) from None
        if isinstance(value, float) and not math.isfinite(value):
            raise _Unusable(keys, f"must be a finite number, not {_shown(node)}", node)


#: Tag, pattern and first characters of the numbers that are read beside those of YAML 1.1.
EXPONENTS = (f"{_TAG}float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789"))
_Loader.add_implicit_resolver(*EXPONENTS)


@dataclass(frozen=True)
class Named(Generic[E]):
    """An entry with its name, the file it stands in and its line there."""

    name: str
    entry: E
    file: Path
    line: int


@dataclass
class Registry:
    """All entries by section and name.

    Attributes
    ----------
    sections
        Entries that can be used.
    broken
        By section and name, why an entry cannot be used, in one line; its name stands in no other place.
    unread
        Why the registry of an installed package cannot be used, a line each.
    """

    sections: dict[str, dict[str, Named[entries.Entry]]] = field(default_factory=lambda: {s: {} for s in SECTIONS})
    broken: dict[str, dict[str, str]] = field(default_factory=lambda: {s: {} for s in SECTIONS})
    unread: list[str] = field(default_factory=list)
    _told: set[str] = field(default_factory=set)

    def untold(self) -> list[str]:
        """What is wrong with entries that nobody has asked for; each line is given once."""
        lines = [*self.unread, *(line for names in self.broken.values() for line in names.values())]
        found = [line for line in dict.fromkeys(lines) if line not in self._told]
        self._told.update(found)
        return found

    def check_name(self, section: str, name: str) -> None:
        """Raise `UserError` with the nearest name if no file has an entry of that name, usable or not."""
        known = self.sections[section].keys() | self.broken[section].keys()
        if name not in known:
            raise unknown_name(_SINGULAR[section], name, known)

    def encoder(self, name: str) -> Named[entries.EncoderEntry]:
        """Look up an encoder; `UserError` with the nearest name if there is none."""
        return cast("Named[entries.EncoderEntry]", self._find("encoders", name))

    def dataset(self, name: str) -> Named[entries.DatasetEntry]:
        """Look up a dataset."""
        return cast("Named[entries.DatasetEntry]", self._find("datasets", name))

    def corpus(self, name: str) -> Named[entries.CorpusEntry]:
        """Look up a pretraining corpus."""
        return cast("Named[entries.CorpusEntry]", self._find("corpora", name))

    def task(self, name: str) -> Named[entries.TaskEntry]:
        """Look up a task."""
        return cast("Named[entries.TaskEntry]", self._find("tasks", name))

    def recipe(self, name: str) -> Named[entries.RecipeEntry] | Named[entries.SupervisedEntry]:
        """Look up a recipe, contrastive or supervised."""
        return cast("Named[entries.RecipeEntry] | Named[entries.SupervisedEntry]", self._find("recipes", name))

    def protocol(self, name: str) -> Named[entries.ProtocolEntry]:
        """Look up a protocol."""
        return cast("Named[entries.ProtocolEntry]", self._find("protocols", name))

    def _find(self, section: str, name: str) -> Named[entries.Entry]:
        self.check_name(section, name)
        if name in self.broken[section]:
            self._told.add(self.broken[section][name])
            raise UserError(self.broken[section][name])
        return self.sections[section][name]

    def add_file(self, path: Path) -> None:
        """Lay the entries of a registry file over those already here.

        One that does not validate is `broken`: file, line, key and reason. It hides an earlier one of its name, for
        which it was to stand.

        Raises
        ------
        UserError
            If the file cannot be read, is no YAML, or no mapping of sections to entries.
        """
        for section, name, found in _read(path):
            self.sections[section].pop(name, None)
            self.broken[section].pop(name, None)
            if isinstance(found, str):
                self.broken[section][name] = found
            else:
                self.sections[section][name] = found

    def check_references(self) -> None:
        """Take for `broken` what names a dataset, corpus or protocol that no file defines."""
        for corpus in list(self.sections["corpora"].values()):
            self._check_references("corpora", corpus, {"dataset": "datasets"})
        for task in list(self.sections["tasks"].values()):
            self._check_references("tasks", task, {"dataset": "datasets", "corpus": "corpora", "protocol": "protocols"})

    def _check_references(self, section: str, named: Named[entries.Entry], keys: dict[str, str]) -> None:
        for key, target in keys.items():
            try:
                self.check_name(target, getattr(named.entry, key))
            except UserError as error:
                del self.sections[section][named.name]
                self.broken[section][named.name] = f"{named.file}:{named.line}: {named.name}: {error}"
                return


def built_in_registry() -> Path:
    """Return the registry that ships with the project; it lies beside the packages, in a checkout as when installed."""
    return Path(__file__).parent.parent / "registry.yaml"


def load_registry(overlays: Iterable[Path] = ()) -> Registry:
    """Built-in registry with the overlays of installed packages, of the working directory and `overlays`.

    Parameters
    ----------
    overlays
        Files, or folders that hold a ``registry.yaml``; later ones win.

    Raises
    ------
    UserError
        If a file cannot be read as a registry; what is wrong with a single entry is found in `Registry.broken`, and
        with the registry of a package in `Registry.unread`.
    """
    registry = Registry()
    built_in = built_in_registry()
    registry.add_file(built_in)
    for point in importlib.metadata.entry_points(group="bench.registry"):
        try:
            registry.add_file(_packaged_registry(point))
        except UserError as error:
            registry.unread.append(str(error))
    local = Path("registry.yaml")
    if local.is_file() and not local.samefile(built_in):
        registry.add_file(local.resolve())
    for overlay in overlays:
        registry.add_file((overlay / "registry.yaml" if overlay.is_dir() else overlay).resolve())
    registry.check_references()
    return registry


def read_value(text: str, where: str) -> Any:
    """One value in YAML, numbers and lists as in a registry.

    Raises
    ------
    UserError
        If it is no YAML, or of a kind that is not read; the message begins with `where`.
    """
    try:
        return _tuples(_Loader(text).document()[1])
    except _Unusable as error:
        raise UserError(f"{where}: {error.problem}") from None
    except (yaml.YAMLError, RecursionError):
        raise UserError(f"{where}: {text!r} is not a value in YAML") from None


def _packaged_registry(point: importlib.metadata.EntryPoint) -> Path:
    package = point.dist.name if point.dist else point.value
    what = f"{package}: its entry point {point.name!r} names {point.value!r}"
    try:
        spec = importlib.util.find_spec(point.value)
    except Exception as error:  # of a module in a package, whose own code is run to find it
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{what}, which cannot be found: {reason}; correct or remove the package") from None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(folder) / "registry.yaml").is_file():
            return Path(folder) / "registry.yaml"
    raise UserError(f"{what}, which holds no registry.yaml; correct or remove the package")


def read_document(path: Path) -> tuple[Any, Callable[[tuple[Any, ...]], int]]:
    """A YAML file in the dialect of registries, and a function that finds the line of a path of keys in it.

    Raises
    ------
    UserError
        If the file cannot be read, is no YAML, has a key twice, or a value that is neither text, a finite number,
        true, false, null, a list nor a mapping from text.
    """
    root, document = _compose(path)
    return _tuples(document), lambda keys: _line(root, keys)


def _compose(path: Path) -> tuple[yaml.Node | None, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise UserError(f"{path}: cannot read this file: {reason}") from None
    try:
        return _Loader(text).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        kind = "" if isinstance(error, _Unusable) else "not valid YAML: "
        raise UserError(f"{path}:{line}: {kind}{error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise UserError(f"{path}: is nested too deeply to be read") from None


def _read(path: Path) -> Iterable[tuple[str, str, Named[entries.Entry] | str]]:
    """Section, name and entry of all that a file holds, or what is wrong with the entry."""
    root, document = _compose(path)
    if root is None:
        return []
    if not isinstance(document, dict):
        raise UserError(f"{path}:1: a registry is a mapping with the keys {', '.join(SECTIONS)}")
    found: list[tuple[str, str, Named[entries.Entry] | str]] = []
    for section, content in document.items():
        if section not in SECTIONS:
            raise UserError(f"{path}:{_line(root, (section,))}: {unknown_name('section', str(section), SECTIONS)}")
        if not isinstance(content, dict):
            raise UserError(f"{path}:{_line(root, (section,))}: {section}: must map names to entries")
        for name, raw in content.items():
            try:
                entry = _validate(path, root, section, name, raw)
            except UserError as error:
                found.append((section, name, str(error)))
            else:
                found.append((section, name, Named(name, entry, path, _line(root, (section, name)))))
    return found


def _validate(path: Path, root: yaml.Node, section: str, name: str, raw: Any) -> entries.Entry:
    model = entries.recipe_class(raw) if section == "recipes" and isinstance(raw, dict) else SECTIONS[section]
    try:
        # Lists in YAML stand for tuples; numbers and text are not converted into one another.
        return model.model_validate(_tuples(raw) if isinstance(raw, dict) else raw)
    except ValidationError as error:
        # A misspelt key also leaves the right one missing: name the misspelling.
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        location = tuple(first["loc"])
        line = _line(root, (section, name, *location))
        message = first["msg"].removeprefix("Value error, ")
        where = ".".join(str(part) for part in (section, name, *location))
        if first["type"] == "extra_forbidden":
            message = str(unknown_name("key", str(location[-1]), _keys(model, location[:-1])))
        raise UserError(f"{path}:{line}: {where}: {message}") from None


def _tuples(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        # The arguments of a class are the user's own: they stay as written.
        return {k: v if k == "args" else _tuples(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    return value


def _keys(model: type[Any], location: tuple[Any, ...]) -> list[str]:
    for part in location:
        found = model.model_fields.get(part) if hasattr(model, "model_fields") else None
        if found is None or not hasattr(found.annotation, "model_fields"):
            return []
        model = found.annotation
    return [info.alias or key for key, info in model.model_fields.items()]


def _line(root: yaml.Node | None, path: tuple[Any, ...]) -> int:
    """Line, from 1, of the deepest part of `path` that stands in the file."""
    node, line = root, 1
    for part in path:
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


def _shown(node: yaml.Node) -> str:
    """A scalar as it stands in the file, shortened."""
    if not isinstance(node, yaml.ScalarNode):
        return "[...]" if isinstance(node, yaml.SequenceNode) else "{...}"
    text = str(node.value)
    return text if len(text) <= 40 else f"{text[:40]}…"
