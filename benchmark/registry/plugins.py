"""The classes that entries name: where their modules are found, and what stands in a key for their code."""

from __future__ import annotations

import ast
import hashlib
import importlib
import sys
import sysconfig
from collections.abc import Mapping
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from benchmark.augmentation.config import AugmentationStep
from benchmark.errors import UserError
from benchmark.libraries import fault_behind
from benchmark.registry.entries import DatasetEntry, EncoderEntry, ReadoutEntry
from benchmark.registry.methods import METHODS, UnreadRecipe
from benchmark.registry.modules_beside import files_of, find, make_findable
from benchmark.registry.recipes import RecipeEntry
from benchmark.registry.registry import Named, validated
from benchmark.store.store import digest_file
from tasks.base import Dataset, StandIn

#: Entries that name code.
PlugIn = Named[EncoderEntry] | Named[DatasetEntry] | Named[RecipeEntry] | Named[AugmentationStep] | Named[ReadoutEntry]
_OWN_PACKAGES = frozenset({"analysis", "benchmark", "encoders", "probes", "tasks"})
#: Folders that hold packages of many people, side by side.
_INSTALLED = frozenset({"site-packages", "dist-packages"})


def load_class(named: PlugIn) -> Any:
    """Import the class that an entry names, from installed packages or from beside the entry's file.

    Raises
    ------
    UserError
        If the module or the class in it cannot be imported, another module of its name hides the one beside the
        entry's file, or a dataset's class is none: file and line of the entry, and why.
    """
    where = f"{named.file}:{named.line}: {named.name}"
    class_path = _class_path(named)
    module_name, _, class_name = class_path.partition(":")
    for module in _modules(named):
        _find_module(named, module)
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (Exception, SystemExit) as error:  # a module may be a program that ends
        broken = fault_behind(error)
        if broken is not None:
            raise UserError(f"{where}: {broken}") from error
        reason = str(error) if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: {error}"
        raise UserError(f"{where}: cannot import {class_path}: {reason}") from error
    if isinstance(named.entry, DatasetEntry) and not (isinstance(found, type) and issubclass(found, Dataset)):
        raise UserError(f"{where}: {_class_path(named)} is no subclass of tasks.base.Dataset")
    return found


def load_method(named: Named[RecipeEntry]) -> Any:
    """The subclass of `benchmark.pretraining.methods.base.Method` that a recipe names.

    Raises
    ------
    UserError
        As `load_class`, or if it is none.
    """
    found = load_class(named)
    recipe = getattr(found, "RECIPE", None)
    if not (isinstance(recipe, type) and issubclass(recipe, RecipeEntry)):
        raise UserError(
            f"{named.file}:{named.line}: {named.name}: {_class_path(named)} is no subclass of "
            "benchmark.pretraining.methods.base.Method with a RECIPE, a subclass of "
            "benchmark.registry.recipes.RecipeEntry"
        )
    return found


def built_in_method(recipe: Mapping[str, Any]) -> Any:
    """The method that comes with bench and that the keys of a recipe name."""
    module, _, name = METHODS[recipe.get("method", "contrastive")][1].partition(":")
    return getattr(importlib.import_module(module), name)


def read_recipe(named: Named[RecipeEntry]) -> Named[RecipeEntry]:
    """A recipe with all of its keys checked; imports the method that it names if that is from outside.

    Raises
    ------
    UserError
        As `load_method`, or if the entry says what the method's recipes may not: file, line, key and reason.
    """
    if not isinstance(named.entry, UnreadRecipe):
        return named
    content = named.entry.model_dump(exclude_unset=True)
    entry: RecipeEntry = validated(load_method(named).RECIPE, content, named.file, ("recipes", named.name))
    return Named(named.name, entry, named.file, named.line)


def code_identity(named: PlugIn) -> str:
    """What stands in a key for the code of an entry's class, and of the module that an adapter is to wrap.

    Classes of this project say their `VERSION`. Of anyone else's, the source of the whole package is hashed, and of
    what it imports from beside it, so that an edited class is not believed to be the one that was scored.

    Raises
    ------
    UserError
        If the module cannot be found, or another one of its name hides it.
    """
    return " ".join(_package_identity(named, path) for path in _paths(named))


def _paths(named: PlugIn) -> list[str]:
    """The class of an entry, and the code that an adapter is to wrap, if it names some: `package.module:Name`."""
    paths = [_class_path(named)]
    wrapped = named.entry.args.get("module") if isinstance(named.entry, EncoderEntry) else None
    if isinstance(wrapped, str):
        paths.append(wrapped)
    return paths


def _modules(named: PlugIn) -> list[str]:
    return [path.partition(":")[0] for path in _paths(named)]


def modules_of(named: PlugIn) -> list[str]:
    """Modules that an entry names, but for those of this project."""
    return [module for module in _modules(named) if module.partition(".")[0] not in _OWN_PACKAGES]


def source_files(named: PlugIn, module: str) -> list[Path]:
    """Python files of a module that an entry names: with its neighbours, or of an installed package its own alone.

    Raises
    ------
    UserError
        If another module of its name hides one.
    """
    spec = _find_module(named, module)
    if spec is None:
        return []
    if _is_installed(spec):
        file = _file_of(module, _folders(spec))
        return [file] if file is not None else []
    return _source_files(named, spec)


def _class_path(named: PlugIn) -> str:
    """`package.module:Name` of an entry's class."""
    entry = named.entry
    if isinstance(entry, RecipeEntry):
        return METHODS[entry.method][1] if entry.method in METHODS else entry.method
    return str(entry.class_path)


def _package_identity(named: PlugIn, path: str) -> str:
    module, _, name = path.partition(":")
    if module.partition(".")[0] in _OWN_PACKAGES:
        return f"version {version_of_class(module, name)}"
    spec = _find_module(named, module)
    if spec is None:
        raise UserError(
            f"{named.file}:{named.line}: {named.name}: there is no module {module.partition('.')[0]!r} for {module}; "
            "correct its path, or install its package"
        )
    hashes = hashlib.sha256()
    for file in _source_files(named, spec):
        hashes.update(digest_file(file).encode())
    return hashes.hexdigest()


def _find_module(named: PlugIn, module: str) -> ModuleSpec | None:
    """Where Python finds the package of a module that an entry names, which may lie beside its file; imports nothing.

    `UserError` if the module, or one that it imports from beside it, lies there and Python has another of that name.
    """
    folder = named.file.parent
    name = module.partition(".")[0]
    if name in _OWN_PACKAGES:
        return find(name)
    found = make_findable(name, folder)
    next(found, None)
    spec = find(name)
    _refuse_hidden(named, module, spec, folder)
    if not _is_installed(spec):
        for neighbour in found:
            if neighbour not in _OWN_PACKAGES:
                _refuse_hidden_neighbour(named, neighbour, folder)
    return spec


def modules_from_outside(named: PlugIn) -> dict[str, str]:
    """File of each module that is imported for an entry and is not bench's own; imports nothing.

    Raises
    ------
    UserError
        If another module of its name hides one.
    """
    found = {}
    for module in _modules(named):
        if module.partition(".")[0] not in _OWN_PACKAGES:
            spec = _find_module(named, module)
            file = _file_of(module, _folders(spec)) or (spec.origin if spec else None)
            if file is not None:  # what is not there is not imported either
                found[module] = str(file)
    return found


def _source_files(named: PlugIn, spec: ModuleSpec) -> list[Path]:
    """Python files of a package or module, then of the neighbours that it imports, and that these import.

    A neighbour lies in the same folder; those of an installed package are other people's, and not looked at.
    """
    own = files_of(spec)
    if not own or _is_installed(spec):
        return own
    folder = _folders(spec)[0]
    neighbours: list[Path] = []
    for name in make_findable(spec.name, folder):
        if name != spec.name and name not in _OWN_PACKAGES:
            _refuse_hidden_neighbour(named, name, folder)
            neighbours += [file for file in files_of(find(name)) if file.is_relative_to(folder)]
    return own + sorted(neighbours)


def _refuse_hidden_neighbour(named: PlugIn, name: str, folder: Path) -> None:
    """As `_refuse_hidden`; a script that is called like an installed module is not what an import of that means."""
    spec = find(name)
    if name not in sys.stdlib_module_names and not _is_installed(spec):
        _refuse_hidden(named, name, spec, folder)


def _folders(spec: ModuleSpec | None) -> list[Path]:
    """Folders in which a package, or the file of a module, lies."""
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        return [Path(place).parent for place in spec.submodule_search_locations]
    return [Path(spec.origin).parent] if spec.origin and Path(spec.origin).is_file() else []


def _refuse_hidden(named: PlugIn, module: str, spec: ModuleSpec | None, folder: Path) -> None:
    beside = _file_of(module, [folder])
    found = _file_of(module, _folders(spec))
    if beside is None or (found is not None and found.samefile(beside)):
        return
    place = found or (spec.origin if spec else None) or "another one"
    raise UserError(
        f"{named.file}:{named.line}: {named.name}: {beside} is hidden by {place}, which Python finds under the same "
        "name; rename one of them"
    )


def _file_of(module: str, folders: list[Path]) -> Path | None:
    parts = module.split(".")
    for folder in folders:
        for file in (folder.joinpath(*parts, "__init__.py"), folder.joinpath(*parts[:-1], f"{parts[-1]}.py")):
            if file.is_file():
                return file
    return None


def _is_installed(spec: ModuleSpec | None) -> bool:
    files = files_of(spec)
    return bool(files) and (
        bool(_INSTALLED.intersection(files[0].parts)) or files[0].is_relative_to(sysconfig.get_path("stdlib"))
    )


def version_of_class(module: str, name: str) -> int:
    """`VERSION` of a class of this project, or of the nearest class in its module that it is derived from.

    Read from the source, for a module of encoders takes long to import, and planning needs no more of it.
    """
    file = _file_of(module, _folders(find(module.partition(".")[0])))
    if file is None:
        return 1
    versions, bases = _classes_of(file)
    while name in bases and name not in versions:
        name = next((base for base in bases[name] if base in bases), "")
    return versions.get(name, 1)


@cache
def _classes_of(file: Path) -> tuple[dict[str, int], dict[str, list[str]]]:
    """Versions that the classes of a module state, and their base classes, by name."""
    versions: dict[str, int] = {}
    bases: dict[str, list[str]] = {}
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            bases[node.name] = [base.id for base in node.bases if isinstance(base, ast.Name)]
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                    stated = line.value.value if isinstance(line.value, ast.Constant) else None
                    if line.target.id == "VERSION" and isinstance(stated, int):
                        versions[node.name] = stated
    return versions, bases


def standin_module(named: Named[DatasetEntry]) -> str:
    """The module that makes a dataset's stand-in, not imported yet.

    Raises
    ------
    UserError
        If nothing stands in for the dataset, or its class names a module whose code would not be in a key.
    """
    where = f"{named.file}:{named.line}: {named.name}"
    found = load_class(named)
    if found.STANDIN is None:
        raise UserError(f"{where}: has no stand-in; name the folder of its data by --data, or by `root` in the entry")
    module = str(found.STANDIN)
    package = module.partition(".")[0]
    if package not in _OWN_PACKAGES and package != named.entry.class_path.partition(":")[0].partition(".")[0]:
        raise UserError(f"{where}: STANDIN names {module}, which must lie in the module or package of the class")
    return module


def load_standin(named: Named[DatasetEntry]) -> StandIn:
    """What makes a dataset's stand-in.

    Raises
    ------
    UserError
        If nothing stands in for it, or the module that it names cannot be imported or cannot make one.
    """
    module = standin_module(named)
    where = f"{named.file}:{named.line}: {named.name}"
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:
        raise UserError(f"{where}: cannot import the stand-in {module}: {fault_behind(error) or error}") from error
    for function in ("write", "extent"):
        if not callable(getattr(found, function, None)):
            raise UserError(
                f"{where}: the stand-in {module} has no function {function!r}; tasks.base.StandIn says both"
            )
    standin: StandIn = found
    return standin
