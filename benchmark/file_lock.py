"""Locks on files by `flock`, where the file system has them, and whether it does.

Some file systems refuse every lock, and some grant every lock to everybody. What is right must not rest on them: they
spare two processes the same work, no more.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from benchmark.plain_files import check_file

#: Seconds between two attempts.
_POLL = (0.05, 1.0)
_TAKEN = (errno.EAGAIN, errno.EWOULDBLOCK)


class Busy(Exception):  # noqa: N818 (it is no programming error)
    """Somebody else holds the lock."""


class FileLock:
    """A lock, not held yet.

    Where the file system has no locks it is held as soon as it is asked for. The file goes when the lock is released,
    which its holder alone does, so that none is left but by processes that died.

    Parameters
    ----------
    file
        What is locked; made if it is not there.

    Raises
    ------
    PlantedError
        If what lies there is no regular file.
    """

    def __init__(self, file: Path) -> None:
        check_file(file)
        self.file = file
        self._handle: int | None = None

    def acquire(self, timeout: float | None = None) -> FileLock:
        """Take the lock, waiting up to `timeout` seconds, or for as long as it takes.

        Raises
        ------
        Busy
            If that is not enough.
        OSError
            If there is no writing where the file is to lie.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause, longest = _POLL
        while not self._taken():
            if deadline is not None and time.monotonic() >= deadline:
                raise Busy
            time.sleep(pause)
            pause = min(2 * pause, longest)
        return self

    def _taken(self) -> bool:
        handle = self._opened()
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _TAKEN:
                os.close(handle)
                return False
        # Who held it before has removed the file since it was opened here: a lock on it keeps nobody out.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), self.file.lstat()):
                self._handle = handle
                return True
        os.close(handle)
        return False

    def _opened(self) -> int:
        flags = os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            handle = os.open(self.file, os.O_RDWR | flags, 0o666)
        except PermissionError:
            return os.open(
                self.file, os.O_RDONLY | flags, 0o666
            )  # another user's, which can be waited for all the same
        if self.file.parent.stat().st_mode & stat.S_IWGRP:
            with suppress(PermissionError):
                os.fchmod(handle, stat.S_IMODE(os.fstat(handle).st_mode) | 0o060)
        return handle

    def release(self) -> None:
        """Let go of the lock, and of its file."""
        if self._handle is None:
            return
        with suppress(OSError):
            self.file.unlink()
        os.close(self._handle)
        self._handle = None

    def __enter__(self) -> FileLock:
        return self if self._handle is not None else self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def no_locks(folder: Path) -> str:
    """Why locks in a folder keep nobody out; empty if they do, as far as one machine can tell.

    A file that nobody else has heard of must be locked once, and not twice. Whether another machine sees the lock
    cannot be asked from here.
    """
    try:
        with tempfile.NamedTemporaryFile(prefix=".locks-", dir=folder) as probe, Path(probe.name).open("rb") as again:
            try:
                fcntl.flock(probe.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                return f"it refuses them ({error.strerror})"
            try:
                fcntl.flock(again.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return ""
            return "it grants one to everybody who asks"
    except OSError:
        return ""  # nothing can be written there, so nothing is computed
