"""What an interrupted preparation has finished: a line a clip, believed only beside the samples that it names."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any


def journal_line(entry: Mapping[str, Any]) -> str:
    """An entry of the journal with a hash of itself, for a power cut may leave any of its bytes unwritten."""
    text = json.dumps(entry, ensure_ascii=False)
    return f"{_line_hash(text)} {text}\n"


def _line_hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _entry_of(line: bytes) -> dict[str, Any] | None:
    """The entry of a line of the journal, if it is what was written."""
    try:
        found, _, text = line.decode().rstrip("\n").partition(" ")
        entry = json.loads(text) if line.endswith(b"\n") and found == _line_hash(text) else None
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def resume(journal: Path, samples: Path, ids: Sequence[str]) -> int:
    """Number of clips that an interrupted attempt finished; cuts off the rest.

    Each line of the journal must be whole and of the clip whose turn it is, and the samples that it speaks of must have
    the digest that it names; at the first that is not so, journal and samples end.
    """
    samples.touch()
    journal.touch()
    done = whole = end = 0
    with journal.open("rb") as lines, samples.open("rb") as sound:
        for line, clip_id in zip(lines, ids, strict=False):
            entry = _entry_of(line)
            if entry is None or (entry["clip"] or entry["problem"])["id"] != clip_id:
                break
            if entry["clip"]:
                count = 2 * entry["clip"]["samples"]
                if 2 * entry["clip"]["start"] != end or _hash_of_next(sound, count) != entry["clip"]["digest"]:
                    break
                end += count
            done, whole = done + 1, whole + len(line)
    os.truncate(journal, whole)
    os.truncate(samples, end)
    return done


def _hash_of_next(file: IO[bytes], count: int) -> str:
    """Hash of the next bytes of a file, of which there may be fewer; a clip of many hours is not held at once."""
    found = hashlib.blake2b(digest_size=16)
    while count and (part := file.read(min(count, 2**20))):
        found.update(part)
        count -= len(part)
    return found.hexdigest()


def entries(journal: Path) -> Iterator[dict[str, Any]]:
    """Entries of a journal that has been resumed and added to."""
    with journal.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line.partition(" ")[2])
