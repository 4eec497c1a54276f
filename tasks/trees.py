"""The files of a folder tree, as a user may have laid it out: with links, odd names and things that do not belong."""

from __future__ import annotations

import os
from pathlib import Path


def files_below(folder: Path) -> list[Path]:
    """Every file below `folder`, sorted by path; links to folders are followed, each folder is visited once."""
    found: list[Path] = []
    visited: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders.sort()
        found += (path for name in names if (path := Path(place, name)).is_file())
    return sorted(found)
