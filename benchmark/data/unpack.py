"""Unpacking archives that someone else made: only plain files, only below the given folder."""

from __future__ import annotations

import errno
import io
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from benchmark.errors import UserError

#: Bytes copied at a time.
CHUNK = 2**20
#: An archive may unpack to so many times its size, and to `ANY_SIZE` [bytes] whatever its size: audio hardly shrinks in
#: archives, and tables to a tenth.
MOST_EXPANDED = 200
ANY_SIZE = 2**30

#: What a damaged archive makes the readers raise.
_BROKEN = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(EOFError, NotImplementedError, RuntimeError, OSError),
)


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
        `MOST_EXPANDED` times its size, or holds anything but plain files that belong below `into`: absolute paths,
        ``..``, links that lead elsewhere, devices. `into` may then hold
        some of its files.
    """
    with io.BufferedReader(JoinedFile(parts), CHUNK) as file:
        try:
            members = _members(file, name, into, advance)
            count = unpacked = 0
            most = max(ANY_SIZE, MOST_EXPANDED * sum(part.stat().st_size for part in parts))
            for path, content in members:
                target = into / path
                target.parent.mkdir(parents=True, exist_ok=True)
                with content, target.open("wb") as out:
                    while chunk := content.read(CHUNK):
                        out.write(chunk)
                        unpacked += len(chunk)
                        if unpacked > most:
                            raise UserError(f"{name}: refused, for it unpacks to over {MOST_EXPANDED} times its size")
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
    file: IO[bytes], name: str, into: Path, advance: Callable[[int], None]
) -> Iterator[tuple[PurePosixPath, IO[bytes]]]:
    if zipfile.is_zipfile(file):
        return _zip_members(file, name, into, advance)
    return _tar_members(file, name, advance)


def _zip_members(
    file: IO[bytes], name: str, into: Path, advance: Callable[[int], None]
) -> Iterator[tuple[PurePosixPath, IO[bytes]]]:
    with zipfile.ZipFile(file) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        for info in infos:
            safe_path(name, info.filename)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise UserError(f"{name}: refused, for {info.filename!r} in it is no plain file but a link or a device")
        _check_room(name, into, sum(info.file_size for info in infos))
        for info in infos:
            yield safe_path(name, info.filename), archive.open(info)
            advance(info.compress_size)


def _tar_members(
    file: IO[bytes], name: str, advance: Callable[[int], None]
) -> Iterator[tuple[PurePosixPath, IO[bytes]]]:
    file.seek(0)
    last = 0
    with tarfile.open(fileobj=file, mode="r:*") as archive:
        for member in archive:
            path = safe_path(name, member.name)
            if member.isdir():
                continue
            if not (member.isreg() or member.islnk() or member.issym()):
                raise UserError(f"{name}: refused, for {member.name!r} in it is a device")
            try:
                content = archive.extractfile(member)
            except KeyError:
                content = None
            if content is None:
                raise UserError(
                    f"{name}: refused, for {member.name!r} in it is a link to {member.linkname!r}, "
                    "which is no file of the archive"
                )
            yield path, content
            advance(max(0, file.tell() - last))
            last = max(last, file.tell())


def _check_room(name: str, into: Path, size: int) -> None:
    free = shutil.disk_usage(into).free
    if size > free:
        raise UserError(
            f"{into}: {name} unpacks to {size / 1e9:.2f} GB and {free / 1e9:.2f} GB are free; "
            "make room and run the same command again"
        )
