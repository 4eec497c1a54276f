"""Files of the same content, found by reading little of those that differ."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path

from benchmark.store.store import digest_file

#: Read of the beginning and of the middle of files of the same size [bytes]: headers and tags alone may be the same.
PART = 65_536


def same_content(files: Iterable[Path]) -> Mapping[Path, str]:
    """Hash of the content of each file that there is another one like; files that cannot be read are left out."""
    hashes: dict[Path, str] = {}
    for sized in _alike(files, lambda file: file.stat().st_size):
        for begun in _alike(sized, _parts):
            for same in _alike(begun, digest_file):
                hashes |= dict.fromkeys(same, digest_file(same[0]))
    return hashes


def _alike(files: Iterable[Path], look: Callable[[Path], Hashable]) -> list[list[Path]]:
    """Files that look the same as another one, together."""
    found: dict[Hashable, list[Path]] = {}
    for file in files:
        try:
            found.setdefault(look(file), []).append(file)
        except OSError:
            continue
    return [group for group in found.values() if len(group) > 1]


def _parts(file: Path) -> str:
    with file.open("rb") as opened:
        first = opened.read(PART)
        opened.seek(file.stat().st_size // 2)
        return hashlib.blake2b(first + opened.read(PART), digest_size=16).hexdigest()
