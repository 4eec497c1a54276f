"""`registry.yaml` and its overlays: what is plugged in, checked, and where each entry came from.

The built-in registry is read first, then the ``registry.yaml`` inside each package that an entry point of the group
``bench.registry`` names, and ``registry.yaml`` in the working directory. These are found unasked and only add: an entry
that would replace another is left out. What ``--registry`` names comes last and wins. Reading a registry imports
nothing that it names. An entry that cannot be used fails those alone who ask for it.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar, cast, get_args

from pydantic import BaseModel, ValidationError

from benchmark.console import Reporter
from benchmark.errors import UserError, unknown_name
from benchmark.registry import entries
from benchmark.registry.methods import recipe_class
from benchmark.registry.recipes import RecipeEntry
from benchmark.registry.yaml_dialect import Document, read_document, tuples

E = TypeVar("E", bound=BaseModel, covariant=True)

#: Joins the names of encoders whose representations are probed as one.
JOINT = "+"
#: Entries left out that are named.
LISTED = 5

SECTIONS: dict[str, type[entries.Entry]] = {
    "encoders": entries.EncoderEntry,
    "datasets": entries.DatasetEntry,
    "corpora": entries.CorpusEntry,
    "tasks": entries.TaskEntry,
    "recipes": RecipeEntry,
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
    #: Entries that would have replaced others unasked.
    left_out: dict[str, dict[str, Named[entries.Entry]]] = field(default_factory=lambda: {s: {} for s in SECTIONS})
    #: The working directory's ``registry.yaml``, where no ``--registry`` names it.
    unasked: Path | None = None
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
            raise unknown_name(_SINGULAR[section], name, known, f"bench list {section}")

    def encoder(self, name: str) -> Named[entries.EncoderEntry]:
        """Look up an encoder; `UserError` with the nearest name if there is none."""
        return cast("Named[entries.EncoderEntry]", self.find("encoders", name))

    def dataset(self, name: str) -> Named[entries.DatasetEntry]:
        """Look up a dataset."""
        return cast("Named[entries.DatasetEntry]", self.find("datasets", name))

    def corpus(self, name: str) -> Named[entries.CorpusEntry]:
        """Look up a pretraining corpus."""
        return cast("Named[entries.CorpusEntry]", self.find("corpora", name))

    def task(self, name: str) -> Named[entries.TaskEntry]:
        """Look up a task."""
        return cast("Named[entries.TaskEntry]", self.find("tasks", name))

    def recipe(self, name: str) -> Named[RecipeEntry]:
        """Look up a recipe as it stands; `plugins.read_recipe` checks the keys of one whose method is from outside."""
        return cast("Named[RecipeEntry]", self.find("recipes", name))

    def protocol(self, name: str) -> Named[entries.ProtocolEntry]:
        """Look up a protocol."""
        return cast("Named[entries.ProtocolEntry]", self.find("protocols", name))

    def find(self, section: str, name: str) -> Named[entries.Entry]:
        """Look up an entry of a section."""
        if name in self.left_out[section]:
            named = self.left_out[section][name]
            raise UserError(
                f"{named.file}:{named.line}: {section}.{name}: would replace {self._meaning(section, name)}, which a "
                f"registry does only where it is named; rename it, or pass --registry {self._to_name(named.file)}"
            )
        self.check_name(section, name)
        if name in self.broken[section]:
            self._told.add(self.broken[section][name])
            raise UserError(self.broken[section][name])
        return self.sections[section][name]

    def encoder_names(self, name: str) -> list[str]:
        """The encoders that a name stands for: one, or several that it joins."""
        alone = any(name in held["encoders"] for held in (self.sections, self.left_out, self.broken))
        return [name] if alone else name.split(JOINT)

    def _meaning(self, section: str, name: str) -> str:
        """What a name stands for already; empty if for nothing."""
        there = self.sections[section].get(name)
        if there is not None:
            return "the built-in one" if there.file == built_in_registry() else f"that of {there.file}:{there.line}"
        parts = name.split(JOINT)
        joined = section == "encoders" and len(parts) > 1 and all(part in self.sections[section] for part in parts)
        return f"{' and '.join(parts)} joined" if joined else ""

    def _to_name(self, file: Path) -> str:
        return "." if file == self.unasked else str(file)

    def said_of_left_out(self) -> str:
        """One line on the entries that are left out; empty if none is."""
        left = [(section, named) for section, names in self.left_out.items() for named in names.values()]
        if not left:
            return ""
        listed = ", ".join(f"{named.file}:{named.line} {section}.{named.name}" for section, named in left[:LISTED])
        listed += f" and {len(left) - LISTED} more" if len(left) > LISTED else ""
        ways = " or ".join(dict.fromkeys(f"--registry {self._to_name(named.file)}" for _, named in left))
        return f"left out, for a registry that is not named replaces nothing: {listed}; rename them, or pass {ways}"

    def asked(self) -> Registry:
        """These entries without those of a registry that only lies in the working directory."""
        kept = {
            section: {name: named for name, named in names.items() if named.file != self.unasked}
            for section, names in self.sections.items()
        }
        return Registry(kept)

    def not_asked(self, section: str) -> list[str]:
        """Names in a section that only such a registry has."""
        return [name for name, named in self.sections[section].items() if named.file == self.unasked]

    def add_file(self, path: Path, *, replacing: bool = True) -> None:
        """Lay the entries of a registry file over those already here, or only add those of new names.

        One that does not validate is `broken`: file, line, key and reason. It hides an earlier one of its name, for
        which it was to stand.

        Raises
        ------
        UserError
            If the file cannot be read, is no YAML, or no mapping of sections to entries.
        """
        Reporter().detail(f"registry: {path}")
        for section, name, found in _read(path):
            if not replacing and self._meaning(section, name):
                there = self.sections[section].get(name)
                if isinstance(found, str):
                    self.unread.append(found)
                elif there is None or there.entry != found.entry:
                    self.left_out[section][name] = found
                continue
            for names in (self.sections[section], self.broken[section], self.left_out[section]):
                names.pop(name, None)
            if isinstance(found, str):
                self.broken[section][name] = found
            else:
                self.sections[section][name] = found

    def check_references(self) -> None:
        """Take for `broken` what names a dataset, corpus or protocol that no file defines."""
        for corpus in list(self.sections["corpora"].values()):
            self._check_references("corpora", corpus, {"dataset": "datasets", "labels": "tasks"})
        for task in list(self.sections["tasks"].values()):
            self._check_references("tasks", task, {"dataset": "datasets", "corpus": "corpora", "protocol": "protocols"})

    def _check_references(self, section: str, named: Named[entries.Entry], keys: dict[str, str]) -> None:
        for key, target in keys.items():
            name = getattr(named.entry, key)
            if name is None:
                continue
            try:
                self.check_name(target, name)
            except UserError as error:
                del self.sections[section][named.name]
                self.broken[section][named.name] = f"{named.file}:{named.line}: {named.name}: {error}"
                return


def built_in_registry() -> Path:
    """Return the registry that ships with the project; it lies beside the packages, in a checkout as when installed."""
    return Path(__file__).parents[2] / "registry.yaml"


def load_registry(overlays: Iterable[Path] = ()) -> Registry:
    """Built-in registry with the overlays of installed packages, of the working directory and `overlays`.

    Parameters
    ----------
    overlays
        Files, or folders that hold a ``registry.yaml``, that the user has named; later ones win.

    Raises
    ------
    UserError
        If a file cannot be read as a registry; what is wrong with a single entry is found in `Registry.broken`, and
        with the registry of a package in `Registry.unread`.
    """
    registry = Registry()
    built_in = built_in_registry()
    registry.add_file(built_in)
    named = [(overlay / "registry.yaml" if overlay.is_dir() else overlay).resolve() for overlay in overlays]
    for point in importlib.metadata.entry_points(group="bench.registry"):
        try:
            registry.add_file(_packaged_registry(point), replacing=False)
        except UserError as error:
            registry.unread.append(str(error))
    local = Path("registry.yaml")
    if local.is_file() and not local.samefile(built_in) and local.resolve() not in named:
        registry.unasked = local.resolve()
        registry.add_file(registry.unasked, replacing=False)
    for file in named:
        registry.add_file(file)
    registry.check_references()
    return registry


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


def _read(path: Path) -> Iterable[tuple[str, str, Named[entries.Entry] | str]]:
    """Section, name and entry of all that a file holds, or what is wrong with the entry."""
    read = read_document(path)
    document = read.value
    if read.root is None:
        return []
    if not isinstance(document, dict):
        raise UserError(f"{path}:1: a registry is a mapping with the keys {', '.join(SECTIONS)}")
    found: list[tuple[str, str, Named[entries.Entry] | str]] = []
    for section, content in document.items():
        if section not in SECTIONS:
            raise UserError(f"{path}:{read.line((section,))}: {unknown_name('section', str(section), SECTIONS)}")
        if not isinstance(content, dict):
            raise UserError(f"{path}:{read.line((section,))}: {section}: must map names to entries")
        for name, raw in content.items():
            try:
                entry = _validate(path, read, section, name, raw)
            except UserError as error:
                found.append((section, name, str(error)))
            else:
                found.append((section, name, Named(name, entry, path, read.line((section, name)))))
    return found


def _validate(path: Path, read: Document, section: str, name: str, raw: Any) -> entries.Entry:
    model = recipe_class(raw) if section == "recipes" and isinstance(raw, dict) else SECTIONS[section]
    # Lists in YAML stand for tuples; numbers and text are not converted into one another.
    return validated(model, tuples(raw) if isinstance(raw, dict) else raw, path, (section, name), read)


def validated(model: type[E], content: Any, path: Path, keys: tuple[str, str], read: Document | None = None) -> E:
    """An entry that says `content`.

    Parameters
    ----------
    model
        What it may say.
    content
        What it says.
    path, keys
        File, section and name that it stands under.
    read
        The file as read; read anew to tell a line if it is ``None``.

    Raises
    ------
    UserError
        If it may not say that: file, line, key and reason.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        location, message = first_fault(error, model)
        line = (read or read_document(path)).line((*keys, *location))
        where = ".".join(str(part) for part in (*keys, *location))
        raise UserError(f"{path}:{line}: {where}: {message}") from None


def first_fault(error: ValidationError, model: type[Any]) -> tuple[tuple[Any, ...], str]:
    """Where in a document the fault lies that is to be told first, as keys and places in lists, and what it is."""
    # A misspelt key also leaves the right one missing: name the misspelling.
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    location = tuple(first["loc"])
    if first["type"] == "extra_forbidden":
        return location, str(unknown_name("key", str(location[-1]), _keys(model, location[:-1])))
    return location, first["msg"].removeprefix("Value error, ")


def _keys(model: type[Any], location: tuple[Any, ...]) -> list[str]:
    for part in location:
        if isinstance(part, int):  # a place in a list
            continue
        found = model.model_fields.get(part)
        inner = _model_in(found.annotation) if found else None
        if inner is None:
            return []
        model = inner
    return [info.alias or key for key, info in model.model_fields.items()]


def _model_in(annotation: Any) -> type[Any] | None:
    """The only model that a type mentions."""
    if hasattr(annotation, "model_fields"):
        return cast("type[Any]", annotation)
    found = [inner for each in get_args(annotation) if (inner := _model_in(each)) is not None]
    return found[0] if len(found) == 1 else None
