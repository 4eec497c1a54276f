"""Where a dataset comes from: the user's folder in its published layout, or the stand-in."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmark.console import Reporter
from benchmark.entries import DatasetEntry, EncoderEntry
from benchmark.errors import UserError
from benchmark.registry import Named
from benchmark.store import Store, digest_file, digest_of, write_atomically
from tasks.base import Dataset

_OWN_PACKAGES = {"analysis", "benchmark", "encoders", "probes", "tasks"}


def load_class(named: Named[EncoderEntry] | Named[DatasetEntry]) -> Any:
    """Import the class that an entry names, from installed packages or from beside the entry's file.

    Raises
    ------
    UserError
        If the module or the class in it cannot be imported: file and line of the entry, and why.
    """
    module_name, _, class_name = named.entry.class_path.partition(":")
    _look_beside(named.file)
    try:
        return getattr(importlib.import_module(module_name), class_name)
    except Exception as error:
        reason = str(error) if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: {error}"
        raise UserError(
            f"{named.file}:{named.line}: {named.name}: cannot import {named.entry.class_path}: {reason}"
        ) from error


def code_identity(named: Named[EncoderEntry] | Named[DatasetEntry]) -> str:
    """What stands in a key for the code of an entry's class, and of the module that an adapter is to wrap.

    Classes of this project are versioned by the formats of the steps that use them. Of anyone else's, the source
    of the whole package is hashed, so that an edited class is not believed to be the one that was scored.

    Raises
    ------
    UserError
        If the module cannot be found.
    """
    code = _package_identity(named, named.entry.class_path)
    wrapped = named.entry.args.get("module") if isinstance(named.entry, EncoderEntry) else None
    if isinstance(wrapped, str):
        code += f" {_package_identity(named, wrapped)}"
    return code


def _package_identity(named: Named[EncoderEntry] | Named[DatasetEntry], path: str) -> str:
    top = path.partition(":")[0].partition(".")[0]
    if top in _OWN_PACKAGES:
        return "bench"
    _look_beside(named.file)
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise UserError(f"{named.file}:{named.line}: {named.name}: there is no module {top!r} for {path}")
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    files = sorted(file for folder in folders for file in folder.rglob("*.py"))
    if not folders and spec.origin:
        files = [Path(spec.origin)]
    hashes = hashlib.sha256()
    for file in files:
        hashes.update(digest_file(file).encode())
    return hashes.hexdigest()


def _look_beside(registry_file: Path) -> None:
    folder = str(registry_file.parent)
    if folder not in sys.path:
        sys.path.append(folder)


def dataset_at(named: Named[DatasetEntry], root: Path) -> Dataset:
    """The dataset of an entry in the folder `root`, not looked at yet.

    Raises
    ------
    UserError
        If the class does not take the entry's arguments.
    """
    try:
        dataset: Dataset = load_class(named)(root, **named.entry.args)
    except TypeError as error:
        raise UserError(f"{named.file}:{named.line}: datasets.{named.name}.args: {error}") from None
    return dataset


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
    """Hash over the content of the dataset's tables and audio files, and their paths below its folder."""
    files = [*dataset.tables(), *dataset.audio_files()]
    digests = DigestCache(store).digests(files, lambda n: reporter.progress(f"hash {dataset.NAME}", n, "files"))
    return digest_of(dict(zip((relative(dataset, f) for f in files), digests, strict=True)))


def relative(dataset: Dataset, file: Path) -> str:
    """Path of a file from the dataset's folder, which a table of the user's own may lie outside of."""
    return Path(os.path.relpath(file, dataset.root)).as_posix()


def extent(dataset: Dataset) -> tuple[int, float]:
    """Number of clips whose files are there, and the duration that the tables promise for them [s]."""
    present = set(dataset.audio_files())
    clips = [clip for clip in dataset.clips() if dataset.root / clip.path in present]
    return len(clips), sum(clip.seconds or dataset.TYPICAL_SECONDS for clip in clips)


def standin_extent(named: Named[DatasetEntry]) -> tuple[int, float]:
    """Number of clips of a dataset's stand-in and their duration [s]."""
    clips, seconds = load_class(named).standin_extent()
    return int(clips), float(seconds)


class DigestCache:
    """SHA-256 of files outside the store; a file is read again only if its size, time of change or inode differ."""

    def __init__(self, store: Store) -> None:
        self._file = store.root / "digests.json"
        try:
            self._known: dict[str, list[Any]] = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            self._known = {}

    def digests(self, files: Iterable[Path], progress: Callable[[int], Any]) -> list[str]:
        """Hash of every file, in order.

        Parameters
        ----------
        files
            Files that exist.
        progress
            Given the number of files that must be read, a context manager that yields an `advance` function.
        """
        states = {str(file.absolute()): _state(file) for file in files}
        stale = [path for path, state in states.items() if self._known.get(path, [None])[:-1] != state]
        if stale:
            with progress(len(stale)) as advance, ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
                for path, digest in zip(stale, pool.map(lambda p: digest_file(Path(p)), stale), strict=True):
                    self._known[path] = [*states[path], digest]
                    advance(1)
            write_atomically(self._file, json.dumps(self._known).encode())
        return [str(self._known[path][-1]) for path in states]


def _state(file: Path) -> list[int]:
    facts = file.stat()
    return [facts.st_size, facts.st_mtime_ns, facts.st_ino]
