"""`registry.yaml` and its overlays: what is plugged in, checked, and where each entry came from.

The built-in registry is read first, then the ``registry.yaml`` inside each package that an entry point of the group
``bench.registry`` names, and ``registry.yaml`` in the working directory. These are found unasked and only add: an entry
that would replace another is left out. What ``--registry`` names comes last and wins. Reading a registry imports
nothing that it names.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from pydantic import ValidationError

from benchmark import entries
from benchmark.console import Reporter
from benchmark.errors import UserError, unknown_name
from benchmark.yaml_dialect import Document, read_document, tuples

E = TypeVar("E", bound=entries.Entry)

#: Entries left out that are named.
LISTED = 5

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


@dataclass(frozen=True)
class Named(Generic[E]):
    """An entry with its name, the file it stands in and its line there."""

    name: str
    entry: E
    file: Path
    line: int


@dataclass
class Registry:
    """All entries by section and name."""

    sections: dict[str, dict[str, Named[entries.Entry]]] = field(default_factory=lambda: {s: {} for s in SECTIONS})
    #: Entries that would have replaced others unasked.
    left_out: dict[str, dict[str, Named[entries.Entry]]] = field(default_factory=lambda: {s: {} for s in SECTIONS})
    #: The working directory's ``registry.yaml``, where no ``--registry`` names it.
    unasked: Path | None = None

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
        if name in self.left_out[section]:
            named = self.left_out[section][name]
            raise UserError(
                f"{named.file}:{named.line}: {section}.{name}: would replace {self._replaced(section, name)}, which a "
                f"registry does only where it is named; rename it, or pass --registry {self._to_name(named.file)}"
            )
        try:
            return self.sections[section][name]
        except KeyError:
            raise unknown_name(_SINGULAR[section], name, self.sections[section], f"bench list {section}") from None

    def _replaced(self, section: str, name: str) -> str:
        there = self.sections[section][name]
        return "the built-in one" if there.file == built_in_registry() else f"that of {there.file}:{there.line}"

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

        Raises
        ------
        UserError
            If the file cannot be read, is no YAML, or an entry does not validate: file, line, key and reason.
        """
        Reporter().detail(f"registry: {path}")
        for section, named in _read(path):
            there = self.sections[section].get(named.name)
            if there is not None and not replacing:
                if there.entry != named.entry:
                    self.left_out[section][named.name] = named
                continue
            self.sections[section][named.name] = named
            self.left_out[section].pop(named.name, None)

    def check_references(self) -> None:
        """Raise `UserError` if an entry names a dataset, corpus or protocol that no file defines."""
        for task in self.sections["tasks"].values():
            entry = cast(entries.TaskEntry, task.entry)
            self._check_reference(task, "datasets", entry.dataset)
            self._check_reference(task, "corpora", entry.corpus)
            self._check_reference(task, "protocols", entry.protocol)
        for corpus in self.sections["corpora"].values():
            self._check_reference(corpus, "datasets", cast(entries.CorpusEntry, corpus.entry).dataset)

    def _check_reference(self, named: Named[entries.Entry], section: str, target: str) -> None:
        if target not in self.sections[section]:
            error = unknown_name(_SINGULAR[section], target, self.sections[section])
            raise UserError(f"{named.file}:{named.line}: {named.name}: {error}")


def built_in_registry() -> Path:
    """Return the registry that ships with the project; it lies beside the packages, in a checkout as when installed."""
    return Path(__file__).parent.parent / "registry.yaml"


def load_registry(overlays: Iterable[Path] = ()) -> Registry:
    """Built-in registry with the overlays of installed packages, of the working directory and `overlays`.

    Parameters
    ----------
    overlays
        Files, or folders that hold a ``registry.yaml``, that the user has named; later ones win.

    Raises
    ------
    UserError
        If a file is missing or wrong.
    """
    registry = Registry()
    built_in = built_in_registry()
    registry.add_file(built_in)
    named = [(overlay / "registry.yaml" if overlay.is_dir() else overlay).resolve() for overlay in overlays]
    for point in importlib.metadata.entry_points(group="bench.registry"):
        registry.add_file(_packaged_registry(point), replacing=False)
    local = Path("registry.yaml")
    if local.is_file() and not local.samefile(built_in) and local.resolve() not in named:
        registry.unasked = local.resolve()
        registry.add_file(registry.unasked, replacing=False)
    for file in named:
        registry.add_file(file)
    registry.check_references()
    return registry


def _packaged_registry(point: importlib.metadata.EntryPoint) -> Path:
    spec = importlib.util.find_spec(point.value)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(folder) / "registry.yaml").is_file():
            return Path(folder) / "registry.yaml"
    package = point.dist.name if point.dist else point.value
    raise UserError(f"{package}: its entry point {point.name!r} names {point.value!r}, which holds no registry.yaml")


def _read(path: Path) -> Iterable[tuple[str, Named[entries.Entry]]]:
    read = read_document(path)
    document = read.value
    if read.root is None:
        return []
    if not isinstance(document, dict):
        raise UserError(f"{path}:1: a registry is a mapping with the keys {', '.join(SECTIONS)}")
    found = []
    for section, content in document.items():
        if section not in SECTIONS:
            raise UserError(f"{path}:{read.line((section,))}: {unknown_name('section', str(section), SECTIONS)}")
        if not isinstance(content, dict):
            raise UserError(f"{path}:{read.line((section,))}: {section}: must map names to entries")
        for name, raw in content.items():
            named = Named(name, _validate(path, read, section, name, raw), path, read.line((section, name)))
            found.append((section, named))
    return found


def _validate(path: Path, read: Document, section: str, name: str, raw: Any) -> entries.Entry:
    model = entries.recipe_class(raw) if section == "recipes" and isinstance(raw, dict) else SECTIONS[section]
    try:
        # Lists in YAML stand for tuples; numbers and text are not converted into one another.
        return model.model_validate(tuples(raw) if isinstance(raw, dict) else raw)
    except ValidationError as error:
        # A misspelt key also leaves the right one missing: name the misspelling.
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        location = tuple(first["loc"])
        line = read.line((section, name, *location))
        message = first["msg"].removeprefix("Value error, ")
        where = ".".join(str(part) for part in (section, name, *location))
        if first["type"] == "extra_forbidden":
            message = str(unknown_name("key", str(location[-1]), _keys(model, location[:-1])))
        raise UserError(f"{path}:{line}: {where}: {message}") from None


def _keys(model: type[Any], location: tuple[Any, ...]) -> list[str]:
    for part in location:
        found = model.model_fields.get(part) if hasattr(model, "model_fields") else None
        if found is None or not hasattr(found.annotation, "model_fields"):
            return []
        model = found.annotation
    return [info.alias or key for key, info in model.model_fields.items()]
