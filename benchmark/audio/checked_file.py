"""A file that is read as it was hashed: whoever decodes it is given the bytes of its digest, or none.

A digest says nothing of a file that is opened again later. So the file is read once to be hashed, block by block; the
blocks of a short file are kept, and each block of a long one is compared with its own digest when it is read again, in
constant memory. What is handed out is then what was hashed, whoever writes to the file meanwhile.
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

from benchmark.errors import UserError
from benchmark.plain_files import open_regular

#: What is read at a time [bytes].
BLOCK_BYTES = 2**20
#: Of files up to so many blocks the content is kept.
KEPT_BLOCKS = 32
#: Digests of the blocks of the long file that this process has read last: excerpts of one file are read in a row.
_last: tuple[tuple[str, str], list[bytes]] | None = None


class ChangedError(UserError):
    """A file is no longer what was planned for; the first argument says which file and how."""


class CheckedFile(io.RawIOBase):
    """A regular file, opened for reading, whose content has the digest that is asked for.

    Parameters
    ----------
    path
        Of the file; links are followed.
    sha256
        What was planned for.

    Attributes
    ----------
    size : int
        [bytes]

    Raises
    ------
    ChangedError
        If it is not there, cannot be read, or holds something else.
    """

    def __init__(self, path: Path, sha256: str) -> None:
        self._path = path
        self._at = 0
        self._block: tuple[int, bytes] = (-1, b"")
        self._kept: list[bytes] = []
        self._trouble: ChangedError | None = None
        try:
            self._file = open_regular(path)
        except OSError as error:
            raise self._changed(error) from None
        try:
            self.size = os.fstat(self._file.fileno()).st_size
            self._digests = self._hashed(sha256)
        except BaseException:
            self._file.close()
            raise

    def _hashed(self, sha256: str) -> list[bytes]:
        global _last
        name = (str(self._path), sha256)
        if _last is not None and _last[0] == name and len(_last[1]) == -(-self.size // BLOCK_BYTES):
            return _last[1]
        whole = hashlib.sha256()
        digests: list[bytes] = []
        try:
            while block := self._read(len(digests)):
                whole.update(block)
                digests.append(hashlib.blake2b(block).digest())
                if self.size <= KEPT_BLOCKS * BLOCK_BYTES:
                    self._kept.append(block)
        except OSError as error:
            raise self._changed(error) from None
        if whole.hexdigest() != sha256:
            raise self._changed()
        if not self._kept:
            _last = name, digests
        return digests

    def _read(self, number: int) -> bytes:
        """A block, whole unless the file ends; no more than the size that the file had when it was opened."""
        block = bytearray()
        at, end = number * BLOCK_BYTES, min((number + 1) * BLOCK_BYTES, self.size)
        while at < end and (part := os.pread(self._file.fileno(), end - at, at)):
            block += part
            at += len(part)
        return bytes(block)

    def _verified(self, number: int) -> bytes:
        if self._kept:
            return self._kept[number]
        if self._block[0] != number:
            try:
                block = self._read(number)
            except OSError as error:
                raise self._changed(error) from None
            if hashlib.blake2b(block).digest() != self._digests[number]:
                raise self._changed()
            self._block = (number, block)
        return self._block[1]

    def _changed(self, error: OSError | None = None) -> ChangedError:
        how = f"cannot be read any more ({error.strerror})" if error is not None else "changed while it was read"
        return ChangedError(f"{self._path}: {how}; nothing is kept of it, run the same command again")

    def check(self) -> None:
        """Raise what a decoder, which is told of no error, has taken for the end of the file."""
        if self._trouble is not None:
            raise self._trouble

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` as far as the file goes; 0 at its end, and if it has changed, see `check`."""
        view = memoryview(buffer).cast("B")
        done = 0
        try:
            while done < len(view) and self._at < self.size:
                number, offset = divmod(self._at, BLOCK_BYTES)
                part = self._verified(number)[offset : offset + len(view) - done]
                view[done : done + len(part)] = part
                done += len(part)
                self._at += len(part)
        except ChangedError as error:
            self._trouble = error
            return 0
        return done

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position [bytes]."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        self._at = max(0, origin + offset)
        return self._at

    def tell(self) -> int:
        """The position [bytes]."""
        return self._at

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._file.close()
        super().close()
