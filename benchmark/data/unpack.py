"""Unpacking archives that someone else made: only plain files, only below the given folder."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import posixpath
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, cast

from benchmark.errors import UserError

#: Bytes copied at a time.
CHUNK = 2**20
#: An archive may unpack to so many times its size, and to `ANY_SIZE` [bytes] whatever its size: audio hardly shrinks in
#: archives, and tables to a tenth.
MOST_EXPANDED = 200
ANY_SIZE = 2**30

#: So many files and folders, for what is known of each stays in memory.
MOST_MEMBERS = 1_000_000
#: What a reader may ask for at once [bytes]: the directory of a zip archive, and a header of a tar archive.
LARGEST_DIRECTORY = 2**26
LARGEST_HEADER = 2**21
LONGEST_NAME = 4096
LONGEST_CHAIN = 40
"""Links from one to the next, as in a file system."""

#: What a damaged archive makes the readers raise.
_BROKEN = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, NotImplementedError, RuntimeError, OSError, ValueError, LookupError, OverflowError),
)


Refuse = Callable[[str], UserError]
"""The error that says for which reason an archive is refused."""


class JoinedFile(io.RawIOBase):
    """Parts of a file, read as if they were joined; nothing is copied.

    Parameters
    ----------
    parts
        Paths of the parts, in order.
    """

    def __init__(self, parts: Sequence[Path]) -> None:
        super().__init__()
        self._files: list[IO[bytes]] = []
        sizes = [part.stat().st_size for part in parts]
        self._starts = [0, *accumulate(sizes)]
        self._at = 0
        self._files = [part.open("rb") for part in parts]

    def readable(self) -> bool:
        """Always true."""
        return True

    def seekable(self) -> bool:
        """Always true."""
        return True

    def tell(self) -> int:
        """Position in the joined file [bytes]."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position in the joined file [bytes]."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._starts[-1]}[whence]
        if base + offset < 0:
            raise OSError("seek before the start")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read up to the end of the current part."""
        if self._at >= self._starts[-1]:
            return 0
        # Of empty parts, which start where the next one does, the last is taken.
        number = bisect_right(self._starts, self._at) - 1
        file = self._files[number]
        file.seek(self._at - self._starts[number])
        count: int = file.readinto(buffer)  # type: ignore[attr-defined]
        self._at += count
        return count

    def close(self) -> None:
        """Close all parts."""
        for file in self._files:
            file.close()
        super().close()


class _Bounded(io.BufferedIOBase):
    """An archive's bytes, or what they decompress to, for a reader that believes what stands in them.

    Parameters
    ----------
    file
        Where they come from.
    refuse
        Makes the error for a reason.
    most
        How far it may be read [bytes].
    at_once
        How much of it [bytes]; a header may claim any size of what belongs to it.
    """

    def __init__(self, file: IO[bytes], refuse: Refuse, most: int, at_once: int) -> None:
        super().__init__()
        self._file, self._refuse, self._most, self._at_once = file, refuse, most, at_once

    def readable(self) -> bool:
        """Always true."""
        return True

    def seekable(self) -> bool:
        """Always true."""
        return True

    def tell(self) -> int:
        """Position [bytes]."""
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position [bytes]."""
        if whence == io.SEEK_SET and offset > self._most:
            raise self._refuse(_EXPANDS)
        return self._file.seek(offset, whence)

    def read(self, size: int | None = -1) -> bytes:
        """Read up to `size` bytes, all there are if that is negative."""
        bound = self._at_once + 1
        content = self._file.read(bound if size is None or size < 0 else min(size, bound))
        if len(content) > self._at_once:
            raise self._refuse(f"what it says of its files takes over {self._at_once // 2**20} MiB")
        if self._file.tell() > self._most:
            raise self._refuse(_EXPANDS)
        return content


_EXPANDS = f"it unpacks to over {MOST_EXPANDED} times its size"
#: First bytes of what is compressed, and what reads it.
_COMPRESSED: Mapping[bytes, Callable[[IO[bytes]], IO[bytes]]] = {
    b"\x1f\x8b": lambda file: cast("IO[bytes]", gzip.GzipFile(fileobj=file, mode="rb")),
    b"BZh": lambda file: cast("IO[bytes]", bz2.BZ2File(file)),
    b"\xfd7zXZ\0": lambda file: cast("IO[bytes]", lzma.LZMAFile(file)),  # noqa: SIM115 (it reads from what is closed)
}


def unpack(parts: Sequence[Path], name: str, into: Path, advance: Callable[[int], None]) -> int:
    """Unpack a zip or tar archive, in one or several parts, into an empty folder.

    Links inside a tar archive become copies of what they point to.

    Parameters
    ----------
    parts
        The archive's parts, in order.
    name
        How the archive is called in messages.
    into
        An empty folder.
    advance
        Called with the number of bytes of the archive that have just been dealt with.

    Returns
    -------
    int
        Number of files.

    Raises
    ------
    UserError
        If the archive is damaged, is neither zip nor tar, does not fit on the disk, unpacks to more than
        `MOST_EXPANDED` times its size or `MOST_MEMBERS` files and folders, or holds anything but plain files that
        belong below `into`: absolute paths, ``..``, links that lead elsewhere, devices. `into` may then hold some of
        its files.
    """

    def refuse(why: str) -> UserError:
        return UserError(f"{name}: refused, for {why}")

    with io.BufferedReader(JoinedFile(parts), CHUNK) as file:
        most = max(ANY_SIZE, MOST_EXPANDED * sum(part.stat().st_size for part in parts))
        try:
            members = _members(file, name, into, advance, refuse, most)
            count = unpacked = 0
            for path, content in members:
                target = into / path
                target.parent.mkdir(parents=True, exist_ok=True)
                with content, target.open("wb") as out:
                    while chunk := content.read(CHUNK):
                        out.write(chunk)
                        unpacked += len(chunk)
                        if unpacked > most:
                            raise refuse(_EXPANDS)
                count += 1
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            place = Path(error.filename).relative_to(into)
            raise UserError(f"{name}: the archive is damaged: {str(place)!r} is a file and a folder in it") from None
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise UserError(f"{name}: refused, for it holds a name that is too long for {into}") from None
            # What the disk says is for `storage_errors`; gzip's complaints have no number.
            if error.errno is not None:
                raise
            raise UserError(f"{name}: the archive is damaged: {error}") from None
        except _BROKEN as error:
            raise UserError(f"{name}: the archive is damaged: {error}") from None
    return count


def safe_path(name: str, member: str) -> PurePosixPath:
    """`member` as a path below the folder that the archive `name` is unpacked to.

    Raises
    ------
    UserError
        If it would leave that folder.
    """
    path = PurePosixPath(member)
    windows = PureWindowsPath(member)
    if path.is_absolute() or windows.drive or windows.root or ".." in windows.parts or "\0" in member:
        raise UserError(f"{name}: refused, for it holds {member!r}, which leads out of the folder it is unpacked to")
    return path


def _members(
    file: IO[bytes],
    name: str,
    into: Path,
    advance: Callable[[int], None],
    refuse: Refuse,
    most: int,
) -> Iterator[tuple[PurePosixPath, IO[bytes]]]:
    """Every file of an archive, and its content, which is to be read before the next one is asked for."""
    if zipfile.is_zipfile(file):
        return _zip_members(_bounded(file, refuse, most, LARGEST_DIRECTORY), name, into, advance, refuse, most)
    file.seek(0)
    beginning = file.read(max(map(len, _COMPRESSED)))
    file.seek(0)
    plain = next((read for magic, read in _COMPRESSED.items() if beginning.startswith(magic)), lambda raw: raw)
    return _tar_members(_bounded(plain(file), refuse, most, LARGEST_HEADER), file, name, into, advance, refuse)


def _bounded(file: IO[bytes], refuse: Refuse, most: int, at_once: int) -> IO[bytes]:
    return cast("IO[bytes]", _Bounded(file, refuse, most, at_once))


def _zip_members(
    file: IO[bytes],
    name: str,
    into: Path,
    advance: Callable[[int], None],
    refuse: Refuse,
    most: int,
) -> Iterator[tuple[PurePosixPath, IO[bytes]]]:
    with zipfile.ZipFile(file) as archive:
        _check_number(len(archive.filelist), refuse)
        infos = [info for info in archive.infolist() if not info.is_dir()]
        for info in infos:
            safe_path(name, info.filename)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise refuse(f"{info.filename!r} in it is no plain file but a link or a device")
        size = sum(info.file_size for info in infos)
        if size > most:
            raise refuse(_EXPANDS)
        _check_room(name, into, size)
        for info in infos:
            yield safe_path(name, info.filename), archive.open(info)
            advance(info.compress_size)


def _tar_members(
    file: IO[bytes],
    compressed: IO[bytes],
    name: str,
    into: Path,
    advance: Callable[[int], None],
    refuse: Refuse,
) -> Iterator[tuple[PurePosixPath, IO[bytes]]]:
    last = 0
    #: Names of files so far, and of links, with what they point to. Links are copies of what has been unpacked: to look
    #: for it in a compressed archive would be to read that from its beginning, for each of them.
    files: set[str] = set()
    links: dict[str, str] = {}
    with tarfile.open(fileobj=file, mode="r:") as archive:
        number = 0
        while (member := archive.next()) is not None:
            vars(archive)["members"].clear()  # it would keep them all
            number += 1
            _check_number(number, refuse)
            if len(member.name) > LONGEST_NAME:
                raise refuse(f"it holds a name that is too long for {into}")
            path = safe_path(name, member.name)
            if member.isdir():
                continue
            if member.issym() or member.islnk():
                beside = posixpath.dirname(member.name) if member.issym() else ""
                links[path.as_posix()] = posixpath.normpath(posixpath.join(beside, member.linkname))
                continue
            content = archive.extractfile(member) if member.isreg() else None
            if content is None:
                raise refuse(f"{member.name!r} in it is a device")
            files.add(path.as_posix())
            yield path, content
            advance(max(0, compressed.tell() - last))
            last = max(last, compressed.tell())
    for link in links:
        target = link
        for _ in range(LONGEST_CHAIN):
            target = links.get(target, target)
        if target not in files:
            raise refuse(f"{link!r} in it is a link to {links[link]!r}, which is no file of the archive")
        if link not in files:
            yield PurePosixPath(link), (into / target).open("rb")


def _check_number(members: int, refuse: Refuse) -> None:
    if members > MOST_MEMBERS:
        raise refuse(f"it holds over {MOST_MEMBERS:,} files and folders")


def _check_room(name: str, into: Path, size: int) -> None:
    free = shutil.disk_usage(into).free
    if size > free:
        raise UserError(
            f"{into}: {name} unpacks to {size / 1e9:.2f} GB and {free / 1e9:.2f} GB are free; "
            "make room and run the same command again"
        )
