"""Hashes of files outside the store, remembered by what tells one state of a file from another."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.plain_files import read_plain
from benchmark.store.claims import time_there
from benchmark.store.store import Store, digest_file, write_atomically

#: A file that was changed less than this before it was hashed [ns] can be changed again without its times showing it:
#: file systems keep them in steps of up to two seconds.
YOUNG = 3_000_000_000


@dataclass(frozen=True)
class Unread:
    """Stands for the hash of a file that cannot be read.

    Attributes
    ----------
    reason
        As the system puts it; empty if the file is not there.
    """

    reason: str


class DigestCache:
    """SHA-256 of files outside the store.

    A file is read again only if its size, times of change or inode differ, or if it was young when it was hashed.
    """

    def __init__(self, store: Store) -> None:
        self._file = store.root / "digests.json"
        try:
            known = json.loads(read_plain(self._file))
        except (OSError, ValueError, RecursionError):
            known = {}
        self._known: dict[str, list[Any]] = known if isinstance(known, dict) else {}

    def digests(self, files: Iterable[Path], progress: Callable[[int], Any]) -> list[str | Unread]:
        """Hash of every file, in order, or why it has none.

        Parameters
        ----------
        files
            One may be there twice.
        progress
            Given the number of files that must be read, a context manager that yields an `advance` function.
        """
        paths = [str(file.absolute()) for file in files]
        states = {path: _state(path) for path in paths}
        found = {path: self._remembered(path, state) for path, state in states.items()}
        stale = [path for path, digest in found.items() if digest is None]
        if stale:
            now = int(1e9 * time_there(self._file.parent))
            with progress(len(stale)) as advance, ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
                for path, digest in zip(stale, pool.map(_digest, stale), strict=True):
                    found[path] = digest
                    self._known.pop(path, None)
                    state = states[path]
                    if isinstance(digest, str) and isinstance(state, list):
                        self._known[path] = [*state, now, digest]
                    advance(1)
            self._write()
        return [value for path in paths if (value := found[path]) is not None]

    def forget(self, files: Iterable[Path]) -> None:
        """Hash files anew next time, for one was found to hold something else."""
        for file in files:
            self._known.pop(str(file.absolute()), None)
        self._write()

    def _remembered(self, path: str, state: list[int] | Unread) -> str | Unread | None:
        if isinstance(state, Unread):
            return state
        match self._known.get(path):
            case [size, modified, changed, inode, int() as hashed, str() as digest]:
                young = max(state[1], state[2]) + YOUNG > hashed
                return digest if [size, modified, changed, inode] == state and not young else None
        return None

    def _write(self) -> None:
        # A store that can only be read serves what it holds; its hashes are found again next time.
        with suppress(OSError):
            write_atomically(self._file, json.dumps(self._known).encode())


def _state(path: str) -> list[int] | Unread:
    """Size, times of change of the content and of anything, and inode."""
    try:
        facts = Path(path).stat()
    except OSError as error:
        return _unread(error)
    return [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino]


def _digest(path: str) -> str | Unread:
    try:
        return digest_file(Path(path))
    except OSError as error:
        return _unread(error)


def _unread(error: OSError) -> Unread:
    return Unread("" if error.errno in (errno.ENOENT, errno.ENOTDIR) else error.strerror or type(error).__name__)
