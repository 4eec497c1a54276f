"""Ordinary files and folders in places that others can write to: links and devices there are refused, never followed.

Whoever can write to a store, or gives one away, can leave in it a link to a file of somebody else's, a named pipe, or a
folder to go on from. What is opened here is what its name says, as far as an open can tell: the last part of a path is
not followed if it is a link, and nothing but a regular file is read from or written to.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from benchmark.errors import UserError

#: Largest document that is read whole, a manifest or a cache of hashes [bytes].
LARGEST = 2**28

_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFDIR: "a folder",
    stat.S_IFREG: "a file",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class PlantedError(UserError):
    """Something else lies where bench keeps a file or a folder."""


def planted(path: Path, what: str) -> PlantedError:
    """The error that says what something is that lies where bench keeps a file or a folder."""
    return PlantedError(f"{path}: {what}; nothing was read from it or written to it, remove it")


def read_plain(path: Path, most: int = LARGEST) -> bytes:
    """Content of a regular file.

    Raises
    ------
    PlantedError
        If it is a link or anything else, or larger than `most` bytes.
    OSError
        If it cannot be read, or is not there.
    """
    with os.fdopen(_opened(path, os.O_RDONLY), "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise planted(path, f"is larger than the {most:,} bytes that are read")
    return content


def open_regular(path: Path) -> io.FileIO:
    """A regular file of the user's own, wherever links lead, opened for reading and without a buffer.

    Raises
    ------
    OSError
        If it cannot be opened, or is a pipe, a device or a folder: these are not waited for.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        what = os.strerror(errno.EISDIR) if stat.S_ISDIR(mode) else f"is {_kind(mode)}, not a file"
        raise OSError(errno.EINVAL, what, str(path))
    return io.FileIO(handle, "rb")


def read_within(folder: Path, name: str) -> bytes:
    """Content of a regular file in a folder that is none but by its own name; raises as `read_plain` does."""
    if folder.is_symlink():
        raise planted(folder, "is a link")
    return read_plain(folder / name)


def open_within(folder: Path, name: str) -> IO[bytes]:
    """As `read_within`, but opened for reading, whatever its size."""
    if folder.is_symlink():
        raise planted(folder, "is a link")
    return os.fdopen(_opened(folder / name, os.O_RDONLY), "rb")


def append_to(path: Path) -> IO[bytes]:
    """A regular file that has no other name, opened for appending, made if it is not there; raises as `read_plain`."""
    return os.fdopen(_opened(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab")


def write_anew(path: Path) -> IO[bytes]:
    """As `append_to`, but empty."""
    handle = _opened(path, os.O_WRONLY | os.O_CREAT)
    os.ftruncate(handle, 0)
    return os.fdopen(handle, "wb")


def _opened(path: Path, flags: int) -> int:
    try:
        handle = os.open(path, flags | _SAFELY, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a pipe that nobody reads, or a socket
            raise planted(path, f"is {_kind(path.lstat().st_mode)}") from None
        raise
    found = os.fstat(handle)
    what = ""
    if not stat.S_ISREG(found.st_mode):
        what = f"is {_kind(found.st_mode)}"
    elif flags & os.O_WRONLY and found.st_nlink > 1:
        what = "has another name elsewhere"
    if what:
        os.close(handle)
        raise planted(path, what)
    return handle


def make_folder(path: Path) -> Path:
    """A folder, made if it is not there; `PlantedError` if it is a link or no folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir()
    except FileExistsError:
        check_folder(path)
    return path


def check_folder(path: Path) -> None:
    """Raise `PlantedError` if there is something and it is a link or no folder."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        raise planted(path, f"is {_kind(mode)}")


def odd_ones(folder: Path) -> Iterator[tuple[Path, str]]:
    """What in a folder, at any depth, is neither a folder nor a regular file, and what it is; the folder included."""
    if folder.is_symlink():
        yield folder, "a link"
        return
    for place, entry in _entries(folder):
        if not (entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)):
            yield place, _kind(entry.stat(follow_symlinks=False).st_mode)


def check_artifact(folder: Path) -> None:
    """Raise `PlantedError` if a folder, at any depth, holds anything but folders and regular files."""
    for path, what in odd_ones(folder):
        raise planted(path, f"is {what}")


def check_work(folder: Path, root: Path) -> None:
    """Raise `PlantedError` if a step cannot go on from what lies in its folder.

    Parameters
    ----------
    folder
        Of an unfinished step.
    root
        Of its store. Where the group may write to it, what other members have begun can be gone on from.

    Raises
    ------
    PlantedError
        If anything in it is a link or a device, has another name elsewhere, or belongs to another user.
    """
    check_artifact(folder)
    own = _owner_of_new_files(folder.parent)
    facts = root.stat()
    shared = facts.st_gid if facts.st_mode & (stat.S_IWGRP | stat.S_ISGID) else None
    found = [(folder, folder.lstat()), *((path, entry.stat(follow_symlinks=False)) for path, entry in _entries(folder))]
    for path, one in found:
        if stat.S_ISREG(one.st_mode) and one.st_nlink > 1:
            raise planted(path, "has another name elsewhere")
        if one.st_uid != own and one.st_gid != shared:
            raise planted(path, "belongs to another user")


def check_file(path: Path) -> None:
    """Raise `PlantedError` if there is something and it is no regular file, or has another name."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise planted(path, f"is {_kind(found.st_mode)}")
    if found.st_nlink > 1:
        raise planted(path, "has another name elsewhere")


def _entries(folder: Path) -> Iterator[tuple[Path, os.DirEntry[str]]]:
    waiting = [folder]
    while waiting:
        below = waiting.pop()
        with os.scandir(below) as entries:
            for entry in entries:
                place = below / entry.name
                yield place, entry
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(place)


def _owner_of_new_files(folder: Path) -> int:
    """Who owns what this process makes; on some shared file systems that is not this process's user."""
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_uid


def _kind(mode: int) -> str:
    return _KINDS.get(stat.S_IFMT(mode), "no ordinary file")
