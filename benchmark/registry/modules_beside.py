"""Modules that lie beside a registry file, found by the names that its entries mention, and by no others.

With the whole folder on Python's path, a file in it that is called like a library would be taken for that library by
anybody who tries to import it. So the names of an entry's modules, and of the neighbours that these import, are found
in the folder, and nothing else is. What is installed comes first.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

#: Environment variable by which processes that this one starts find the same modules: their folders by name, as JSON.
FOLDERS = "BENCH_MODULE_FOLDERS"


class _Beside(MetaPathFinder):
    """Finds a top-level module in the folder that is known for its name."""

    def __init__(self) -> None:
        self.folders: dict[str, str] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's spec, or ``None`` for a name that no entry has mentioned."""
        del path, target
        folder = self.folders.get(fullname)
        return None if folder is None else PathFinder.find_spec(fullname, [folder])


_FINDER = _Beside()


def make_findable(name: str, folder: Path) -> Iterator[str]:
    """Have imports of a module, and of the neighbours that it imports, find them in a folder, if they lie in it.

    What is found elsewhere already stays what it is.

    Yields
    ------
    str
        Names found in the folder: the module's own, then those of its neighbours.
    """
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        name = waiting.pop()
        if name in seen or not ((folder / name).is_dir() or (folder / f"{name}.py").is_file()):
            continue
        seen.add(name)
        if find(name) is None:
            _know(name, folder)
        yield name
        own = [file for file in files_of(find(name)) if file.is_relative_to(folder)]
        waiting += sorted({other for file in own for other in imports(file)} - sys.stdlib_module_names)


def _know(name: str, folder: Path) -> None:
    if _FINDER not in sys.meta_path:
        sys.meta_path.append(_FINDER)
    if name not in _FINDER.folders:
        _FINDER.folders[name] = str(folder.absolute())
        os.environ[FOLDERS] = json.dumps(_FINDER.folders)


def forget() -> None:
    """Find none of them any more."""
    _FINDER.folders.clear()
    os.environ.pop(FOLDERS, None)


def find(name: str) -> ModuleSpec | None:
    """Where Python finds a top-level module; imports nothing."""
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None


def files_of(spec: ModuleSpec | None) -> list[Path]:
    """Python files of a module or package."""
    if spec is None:
        return []
    if spec.submodule_search_locations:
        return sorted(file for place in spec.submodule_search_locations for file in Path(place).rglob("*.py"))
    return [Path(spec.origin)] if spec.origin and Path(spec.origin).is_file() else []


def imports(file: Path) -> set[str]:
    """First parts of the names of the modules that a file imports, wherever in it."""
    if file.suffix != ".py":
        return set()
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module and not node.level
    ]
    return {name.partition(".")[0] for name in names}


def inherit() -> None:
    """Find what the process that started this one finds: it may be sent objects of these modules."""
    try:
        folders = json.loads(os.environ.get(FOLDERS, "{}"))
    except ValueError:
        return
    if isinstance(folders, dict):
        for name, folder in folders.items():
            _know(str(name), Path(str(folder)))
