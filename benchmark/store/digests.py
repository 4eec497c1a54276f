"""Hashes of files outside the store, remembered by what tells one state of a file from another."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmark.plain_files import read_plain
from benchmark.store.store import Store, digest_file, write_atomically


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
