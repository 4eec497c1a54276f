"""A file that is about to be decoded: its content, its decoder, and what it is if it is no audio."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.audio.checked_file import CheckedFile
from benchmark.audio.mpeg import find_frames
from benchmark.libraries import load
from benchmark.plain_files import open_regular

#: An MP3 file in which a decoder gets lost is searched for frames as far as this [bytes].
SEARCHED = 2**27
EMPTY = "empty file (0 bytes)"


class Undecodable(Exception):  # noqa: N818 (it is no programming error)
    """A file that yields no usable audio; the message says why, in a few words."""


@dataclass
class AudioSource:
    """A file that is being decoded.

    Attributes
    ----------
    path, raw, size
        Where it lies, its content, and how much that is [bytes].
    """

    path: Path
    raw: io.FileIO | CheckedFile
    size: int

    def check(self) -> None:
        """Raise `ChangedError` if the end that a decoder has met was none."""
        if isinstance(self.raw, CheckedFile):
            self.raw.check()

    def content(self, most: int = SEARCHED) -> bytes:
        """All of it, or what it begins with if that is more than `most` bytes."""
        self.raw.seek(0)
        found = bytearray()
        while len(found) < most and (part := self.raw.read(min(most - len(found), 2**20))):
            found += part
        self.check()
        return bytes(found)

    def opened(self) -> Any:
        """Its decoder."""
        self.raw.seek(0)
        handle = self.raw if isinstance(self.raw, CheckedFile) else self.raw.fileno()
        try:
            return stream(handle, closefd=False)
        except RuntimeError:  # libsndfile's
            self.check()
            # An MP3 file that starts with something else is known by its name alone, and so is much that is none.
            if not find_frames(self.content()).frames:
                raise
            return self._opened_by_name()

    def _opened_by_name(self) -> Any:
        if not isinstance(self.raw, CheckedFile):
            return stream(self.path)
        # What has the name may be another file by now.
        with tempfile.NamedTemporaryFile(prefix="bench-", suffix=self.path.suffix) as copy:
            self.raw.seek(0)
            shutil.copyfileobj(self.raw, copy)
            copy.flush()
            self.check()
            return stream(copy.name)


@contextmanager
def audio_source(path: Path, sha256: str | None = None) -> Iterator[AudioSource]:
    """A file to decode, checked against a hash if there is one; raises `Undecodable` and `ChangedError`."""
    if sha256 is not None:
        with CheckedFile(path, sha256) as checked:
            if checked.size == 0:
                raise Undecodable(EMPTY)
            yield AudioSource(path, checked, checked.size)
        return
    try:
        raw = open_regular(path)
    except FileNotFoundError:
        raise Undecodable("missing") from None
    except OSError as error:
        raise Undecodable(f"not readable as audio ({error.strerror})") from None
    with raw:
        size = os.fstat(raw.fileno()).st_size
        if size == 0:
            raise Undecodable(EMPTY)
        yield AudioSource(path, raw, size)


def stream(source: Any, **options: bool) -> Any:
    """A `soundfile.SoundFile` that is read from start to end; by default every read is followed by a costly seek."""
    file = load("soundfile").SoundFile(source, **options)
    file.seekable = lambda: False
    return file


#: What files that are not audio begin with, at which byte.
_STRANGERS = (
    (4, b"ftyp", "an MP4 file"),
    (0, b"<", "a web page or other markup"),
    (0, b"PK\3\4", "a zip archive"),
    (0, bytes(16), "its header is all zeros"),
)


def reason_of(source: AudioSource, error: Exception) -> str:
    """Why a file cannot be decoded, in words; what it is instead, if that can be seen."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    reason = text.strip().rstrip(".").split("\n")[0]
    try:
        start = source.content(16)
    except OSError:
        start = b""
    for at, mark, name in _STRANGERS:
        if start[at:].startswith(mark):
            reason = name
    return f"not readable as audio ({reason})"
