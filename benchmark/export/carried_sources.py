"""The source of an encoder's class and of what it imports of bench, as a package of another name.

The package keeps its layout; only imports of modules that are carried along are changed, to name the new package. So
one who has bench too, or two exported encoders, can import all of them beside one another.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from benchmark.errors import UserError
from benchmark.registry.modules_beside import make_findable

#: The package of this project that architectures lie in.
ARCHITECTURES = "encoders"


@dataclass(frozen=True)
class CarriedSources:
    """Files of a package.

    Attributes
    ----------
    package
        Its name, with a hash of its content.
    files
        Text of each file, by its path in the package.
    needs
        Distributions of other people that it imports, and the versions that are installed.
    """

    package: str
    files: Mapping[PurePosixPath, str]
    needs: Mapping[str, str]

    def write(self, folder: Path) -> None:
        """Write the package into a folder."""
        for path, text in self.files.items():
            file = folder / self.package / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")


def carried_sources(module: str, folder: Path) -> CarriedSources:
    """What a module needs to be imported without bench.

    Parameters
    ----------
    module
        The module of an encoder's class, which can be imported.
    folder
        Where modules lie that it may import, beside the registry file that names it.

    Raises
    ------
    UserError
        If a module's source cannot be had, or imports another one in a way that cannot be told.
    """
    top = module.partition(".")[0]
    carried = {ARCHITECTURES, top} | (set(make_findable(top, folder)) if top != ARCHITECTURES else set())
    sources: dict[str, tuple[Path, str]] = {}
    foreign: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in sources:
            continue
        file = _file(name)
        if file is None:
            continue  # a class or function of the module before the dot
        text = file.read_text(encoding="utf-8")
        sources[name] = file, text
        waiting += [name.rpartition(".")[0]] if "." in name else []
        for imported in _imports(ast.parse(text), name, file):
            first = imported.partition(".")[0]
            if first in carried:
                waiting.append(imported)
            elif first not in sys.stdlib_module_names:
                foreign.add(first)
    digest = hashlib.sha256("".join(text for _, (_, text) in sorted(sources.items())).encode()).hexdigest()
    package = f"architecture_{digest[:8]}"
    files = {PurePosixPath("__init__.py"): _notice()}
    for name, (file, text) in sorted(sources.items()):
        path = PurePosixPath(*name.split("."))
        own = path / "__init__.py" if file.name == "__init__.py" else path.with_suffix(".py")
        files[own] = _renamed(text, package, carried, file)
    return CarriedSources(package, files, _distributions(foreign))


def _file(module: str) -> Path | None:
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)


def _imports(tree: ast.Module, module: str, file: Path) -> Iterator[str]:
    """Names of the modules that a module imports, and of what it takes of them, which may be modules."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [base])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _renamed(text: str, package: str, carried: set[str], file: Path) -> str:
    """Source with imports of carried modules naming the package that carries them."""
    lines = text.splitlines(keepends=True)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            if node.module.partition(".")[0] in carried:
                _replace(lines, node, f"from {node.module}", f"from {package}.{node.module}")
        elif isinstance(node, ast.Import):
            own = [alias for alias in node.names if alias.name.partition(".")[0] in carried]
            if not own:
                continue
            (alias, *others) = node.names
            if others or (alias.asname is None and "." in alias.name):
                raise UserError(
                    f"{file}:{node.lineno}: cannot be carried along: write it as `from {alias.name.partition('.')[0]} "
                    "import ...` in a line of its own"
                )
            if alias.asname is None:
                _replace(lines, node, f"import {alias.name}", f"from {package} import {alias.name}")
            else:
                _replace(lines, node, f"import {alias.name}", f"import {package}.{alias.name}")
    return "".join(lines)


def _replace(lines: list[str], node: ast.stmt, old: str, new: str) -> None:
    line = lines[node.lineno - 1].encode()
    start, rest = line[: node.col_offset].decode(), line[node.col_offset :].decode()
    lines[node.lineno - 1] = start + rest.replace(old, new, 1)


def _notice() -> str:
    """Where the sources are from, and by what licence, as that licence asks for."""
    try:
        own = distribution("bench-music")
        version, terms = own.version, own.read_text("licenses/LICENSE") or "MIT License"
    except PackageNotFoundError:  # run from a checkout that is not installed
        version, terms = "", "MIT License"
    said = f"Architectures of bench-music {version}, with the modules that they import.\n\n{terms.strip()}\n"
    return f'"""{said}"""\n'


@cache
def _installed() -> Mapping[str, list[str]]:
    return packages_distributions()


def _distributions(modules: set[str]) -> dict[str, str]:
    """Installed versions of the distributions that have these modules."""
    known = _installed()
    names = {name for module in modules for name in known.get(module, [])[:1]}
    return {name: distribution(name).version for name in sorted(names)}
