"""Packages of others behind an encoder: their versions, and the weights that lie in them.

The source of the module that an entry names is in its key already. What that module imports of installed packages
decides what comes out as much: another version, or other weights in the same version, is another encoder. Packages that
bench itself needs are not counted: their versions stand in every record.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

from benchmark.registry.entries import EncoderEntry
from benchmark.registry.modules_beside import find, imports
from benchmark.registry.plugins import modules_of, source_files
from benchmark.registry.registry import Named
from benchmark.store.store import digest_file, digest_of

#: How files of weights end.
WEIGHTS = frozenset(
    (".bin", ".ckpt", ".gguf", ".h5", ".hdf5", ".joblib", ".keras", ".msgpack", ".npy", ".npz", ".onnx", ".pb", ".pkl",
     ".pt", ".pth", ".safetensors", ".tflite", ".torchscript")
)  # fmt: skip
#: Folders that hold packages of many people, side by side.
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_REQUIRED = re.compile(r"[A-Za-z0-9._-]+")


def foreign_packages(
    named: Named[EncoderEntry], digest: Callable[[Path], str] = digest_file
) -> dict[str, dict[str, str]]:
    """Installed packages that an encoder's code is or imports, by the name of their distribution.

    Parameters
    ----------
    named
        The encoder; empty for those of this project.
    digest
        Hash of a file's content.

    Returns
    -------
    dict of str to dict
        ``version``, and ``weights``, a hash over names and content of the files of weights in the package, if it has
        some. The package that the entry names itself, whose source is hashed anyway, is there if it has weights.
    """
    found = {}
    for module, own in _imported(named):
        package = None if module in sys.stdlib_module_names else _distribution_of(module)
        if package is None or _name(package) in _needed_by_bench():
            continue
        spec = find(module)
        if spec is None or not _INSTALLED.intersection(Path(spec.origin or "").parts):
            continue  # a file of the user's that is called like a package
        places = [Path(place) for place in spec.submodule_search_locations or ()]
        files = sorted(file for place in places for file in place.rglob("*") if _is_weights(file))
        if files:
            hashes = {file.relative_to(places[0].parent).as_posix(): digest(file) for file in files}
            found[_name(package)] = {"version": package.version, "weights": digest_of(hashes)}
        elif not own:
            found[_name(package)] = {"version": package.version}
    return dict(sorted(found.items()))


def in_words(package: dict[str, str]) -> str:
    """E.g. ``0.4.2, weights 1a2b3c4d``."""
    weights = f", weights {package['weights'][:8]}" if "weights" in package else ""
    return package["version"] + weights


def _imported(named: Named[EncoderEntry]) -> Iterator[tuple[str, bool]]:
    """First parts of module names: of those that an entry names (marked), and of what their files import."""
    for module in modules_of(named):
        yield module.partition(".")[0], True
        files = source_files(named, module)
        yield from ((name, False) for name in sorted({name for file in files for name in imports(file)}))


def _is_weights(file: Path) -> bool:
    return file.suffix.lower() in WEIGHTS and file.is_file()


def _distribution_of(module: str) -> Distribution | None:
    try:
        return distribution(module)
    except PackageNotFoundError:
        names = _installed().get(module, [])
        return distribution(names[0]) if names else None


@cache
def _installed() -> dict[str, list[str]]:
    return dict(packages_distributions())


def _name(package: Distribution) -> str:
    return re.sub(r"[-_.]+", "-", package.name).lower()


@cache
def _needed_by_bench() -> frozenset[str]:
    """Distributions that bench names as requirements, and what comes with torch."""
    try:
        lines = distribution("bench-music").requires or []
    except PackageNotFoundError:
        lines = []
    names = (found[0] for line in lines if "extra ==" not in line and (found := _REQUIRED.match(line)))
    return frozenset({re.sub(r"[-_.]+", "-", name).lower() for name in names} | {"bench-music"})
