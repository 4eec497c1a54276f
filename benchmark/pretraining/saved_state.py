"""What a training keeps while it is under way, and whether it is still that when the training goes on.

Training states and kept weights are written beside their names, synced, entered with their hashes into the journal of
the work folder, and only then renamed. After a power cut a file may hold anything; it is gone on from only if it has a
hash that the journal names.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from benchmark.store.store import JOURNAL, digest_file, sync

PART = ".part"


def part_of(path: Path) -> Path:
    """Where a file is written before it has its name."""
    return path.with_suffix(PART)


def keep(path: Path) -> None:
    """Give what was written to `part_of` a file its name, once it is known to be on the disk."""
    part = part_of(path)
    sync(part)
    enter(path, digest_file(part))
    part.replace(path)
    sync(path.parent)


def enter(path: Path, sha256: str) -> None:
    """Note what a file of a work folder is about to hold."""
    with (path.parent / JOURNAL).open("a", encoding="utf-8") as notes:
        notes.write(f"\n{sha256} {path.name}\n")  # whatever half a line a power cut has left before it
        notes.flush()
        os.fsync(notes.fileno())


def drop_damaged(state: Path, kept: Iterable[Path]) -> str:
    """Remove a training state that cannot be gone on from, and return why; empty if there is none or it is whole.

    Parameters
    ----------
    state
        The training state. Without a journal, as earlier versions left it, it is believed.
    kept
        Weights that were kept before it, if they are there; the training would not make them again.
    """
    journal = state.with_name(JOURNAL)
    if not state.exists() or not journal.exists():
        return ""
    entered = set(journal.read_text(encoding="utf-8", errors="replace").splitlines())
    for file in (state, *(path for path in kept if path.exists())):
        if f"{digest_file(file)} {file.name}" not in entered:
            state.unlink()
            return f"{file.name} is not what was written"
    return ""
