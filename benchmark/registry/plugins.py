"""Where code and data come from: the modules that entries name, and datasets in the user's folders or made up."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from benchmark.console import Reporter
from benchmark.errors import USER_ERRORS, UserError
from benchmark.libraries import fault_behind
from benchmark.plain_files import read_plain
from benchmark.registry.entries import DatasetEntry, EncoderEntry
from benchmark.registry.modules_beside import files_of, find, make_findable
from benchmark.registry.registry import Named
from benchmark.store.store import Store, digest_file, digest_of, write_atomically
from tasks import DatasetError
from tasks.base import Dataset

_OWN_PACKAGES = frozenset({"analysis", "benchmark", "encoders", "probes", "tasks"})
#: Folders that hold packages of many people, side by side.
_INSTALLED = frozenset({"site-packages", "dist-packages"})


def load_class(named: Named[EncoderEntry] | Named[DatasetEntry]) -> Any:
    """Import the class that an entry names, from installed packages or from beside the entry's file.

    Raises
    ------
    UserError
        If the module or the class in it cannot be imported, another module of its name hides the one beside the
        entry's file, or a dataset's class is none: file and line of the entry, and why.
    """
    where = f"{named.file}:{named.line}: {named.name}"
    module_name, _, class_name = named.entry.class_path.partition(":")
    for module in _modules(named):
        _find_module(named, module)
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (Exception, SystemExit) as error:  # a module may be a program that ends
        broken = fault_behind(error)
        if broken is not None:
            raise UserError(f"{where}: {broken}") from error
        reason = str(error) if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: {error}"
        raise UserError(f"{where}: cannot import {named.entry.class_path}: {reason}") from error
    if isinstance(named.entry, DatasetEntry) and not (isinstance(found, type) and issubclass(found, Dataset)):
        raise UserError(f"{where}: {named.entry.class_path} is no subclass of tasks.base.Dataset")
    return found


def code_identity(named: Named[EncoderEntry] | Named[DatasetEntry]) -> str:
    """What stands in a key for the code of an entry's class, and of the module that an adapter is to wrap.

    Classes of this project are versioned by the formats of the steps that use them. Of anyone else's, the source
    of the whole package is hashed, and of what it imports from beside it, so that an edited class is not believed to
    be the one that was scored.

    Raises
    ------
    UserError
        If the module cannot be found, or another one of its name hides it.
    """
    return " ".join(_package_identity(named, module) for module in _modules(named))


def _modules(named: Named[EncoderEntry] | Named[DatasetEntry]) -> list[str]:
    """The module of an entry's class, and the one that an adapter is to wrap, if it names one."""
    paths = [named.entry.class_path]
    wrapped = named.entry.args.get("module") if isinstance(named.entry, EncoderEntry) else None
    if isinstance(wrapped, str):
        paths.append(wrapped)
    return [path.partition(":")[0] for path in paths]


def _package_identity(named: Named[EncoderEntry] | Named[DatasetEntry], module: str) -> str:
    if module.partition(".")[0] in _OWN_PACKAGES:
        return "bench"
    spec = _find_module(named, module)
    if spec is None:
        raise UserError(
            f"{named.file}:{named.line}: {named.name}: there is no module {module.partition('.')[0]!r} for {module}; "
            "correct `class`, or install its package"
        )
    hashes = hashlib.sha256()
    for file in _source_files(named, spec):
        hashes.update(digest_file(file).encode())
    return hashes.hexdigest()


def _find_module(named: Named[EncoderEntry] | Named[DatasetEntry], module: str) -> ModuleSpec | None:
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


def modules_from_outside(named: Named[EncoderEntry] | Named[DatasetEntry]) -> dict[str, str]:
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


def _source_files(named: Named[EncoderEntry] | Named[DatasetEntry], spec: ModuleSpec) -> list[Path]:
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


def _refuse_hidden_neighbour(named: Named[EncoderEntry] | Named[DatasetEntry], name: str, folder: Path) -> None:
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


def _refuse_hidden(
    named: Named[EncoderEntry] | Named[DatasetEntry], module: str, spec: ModuleSpec | None, folder: Path
) -> None:
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


def dataset_at(named: Named[DatasetEntry], root: Path) -> Dataset:
    """The dataset of an entry in the folder `root`, not looked at yet.

    Raises
    ------
    UserError
        If the class does not take the entry's arguments.
    """
    found = load_class(named)
    try:
        dataset: Dataset = found(root, **named.entry.args)
    except TypeError as error:
        raise UserError(f"{named.file}:{named.line}: datasets.{named.name}.args: {error}") from None
    return dataset


@contextmanager
def reading(named: Named[DatasetEntry]) -> Iterator[None]:
    """Lay to an entry's charge what its class raises inside the block and does not explain itself, as a `UserError`."""
    try:
        yield
    except (*USER_ERRORS, OSError):
        raise
    except Exception as error:
        raise UserError(
            f"{named.file}:{named.line}: datasets.{named.name}: {named.entry.class_path} raises "
            f"{type(error).__name__}: {error}"
        ) from error


def dataset_in(named: Named[DatasetEntry], data: Path | None) -> Dataset | None:
    """The dataset of an entry in the folder it names or below the data folder, there or not.

    ``None`` if the entry names no folder and there is no data folder.

    Raises
    ------
    UserError
        If its class cannot be imported or does not take the entry's arguments.
    """
    if named.entry.root is not None:
        return dataset_at(named, (named.file.parent / Path(named.entry.root).expanduser()).resolve())
    return None if data is None else dataset_at(named, data / load_class(named).NAME)


def open_dataset(named: Named[DatasetEntry], data: Path | None) -> Dataset:
    """The dataset of an entry, in the folder it names or below the data folder, looked at but not read through.

    Raises
    ------
    DatasetError
        If the folder does not hold it; the message says what is missing and how to get it.
    """
    dataset = dataset_in(named, data)
    assert dataset is not None
    dataset.check()
    return dataset


def fingerprint(dataset: Dataset, store: Store, reporter: Reporter) -> str:
    """Hash over the content of the dataset's tables and of the audio that its clips name, and their paths in it.

    Other files in its folders, such as those that a file manager leaves, determine nothing.
    """
    files = [*dataset.tables(), *_audio_of_clips(dataset)]
    digests = DigestCache(store).digests(files, lambda n: reporter.progress(f"hash {dataset.NAME}", n, "files"))
    return digest_of(dict(zip((relative(dataset, f) for f in files), digests, strict=True)))


def _audio_of_clips(dataset: Dataset) -> list[Path]:
    files = list(dataset.audio_files())
    try:
        named = {os.path.normpath(dataset.root / clip.path) for clip in dataset.clips()}
    except DatasetError:
        return files  # the step that reads the tables says so, and fails alone
    return [file for file in files if os.path.normpath(file) in named]


def relative(dataset: Dataset, file: Path) -> str:
    """Path of a file from the dataset's folder, which a table of the user's own may lie outside of."""
    return Path(os.path.relpath(file, dataset.root)).as_posix()


def extent(dataset: Dataset) -> tuple[int, float]:
    """Number of clips whose files are there, and the duration that the tables promise for them [s]."""
    present = set(dataset.audio_files())
    clips = [clip for clip in dataset.clips() if dataset.root / clip.path in present]
    return len(clips), sum(clip.promised or dataset.TYPICAL_SECONDS for clip in clips)


def standin_extent(named: Named[DatasetEntry]) -> tuple[int, float]:
    """Number of clips of a dataset's stand-in and their duration [s]."""
    clips, seconds = load_class(named).standin_extent()
    return int(clips), float(seconds)


class DigestCache:
    """SHA-256 of files outside the store; a file is read again only if its size, time of change or inode differ."""

    def __init__(self, store: Store) -> None:
        self._file = store.root / "digests.json"
        try:
            known = json.loads(read_plain(self._file))
        except (OSError, ValueError, RecursionError):
            known = {}
        self._known: dict[str, list[Any]] = known if isinstance(known, dict) else {}

    def digests(self, files: Iterable[Path], progress: Callable[[int], Any]) -> list[str]:
        """Hash of every file, in order.

        Parameters
        ----------
        files
            Files that exist; one may be there twice.
        progress
            Given the number of files that must be read, a context manager that yields an `advance` function.
        """
        paths = [str(file.absolute()) for file in files]
        states = {path: _state(Path(path)) for path in paths}
        stale = [path for path, state in states.items() if self._known.get(path, [None])[:-1] != state]
        if stale:
            with progress(len(stale)) as advance, ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
                for path, digest in zip(stale, pool.map(lambda p: digest_file(Path(p)), stale), strict=True):
                    self._known[path] = [*states[path], digest]
                    advance(1)
            # A store that can only be read serves what it holds; its hashes are found again next time.
            with suppress(OSError):
                write_atomically(self._file, json.dumps(self._known).encode())
        return [str(self._known[path][-1]) for path in paths]


def _state(file: Path) -> list[int]:
    facts = file.stat()
    return [facts.st_size, facts.st_mtime_ns, facts.st_ino]
