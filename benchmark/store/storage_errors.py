"""What a file system and the limits of a process refuse, told to the user in one line."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.errors import UserError

#: With less than this left [bytes], a failure to write is put down to a full disk.
NEARLY_FULL = 2**20
_AGAIN = "the same command goes on from here once the file system answers"
#: What a file system, or the limits of a process, may refuse, and what the user can do.
OF_THE_MACHINE = {
    errno.EFBIG: "files may not be so large here, by `ulimit -f` or the file system",
    errno.EMFILE: "raise the limit of open files, `ulimit -n`",
    errno.ENFILE: "close other programs",
    errno.ENOLCK: "name a store on another file system",
    errno.ENAMETOOLONG: "name a store with a shorter path",
    **dict.fromkeys(
        (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EREMOTEIO, errno.ENOTCONN), _AGAIN
    ),
}
_IN_RUST = re.compile(r"\(os error (\d+)\)")


@contextmanager
def storage_errors(root: Path) -> Iterator[None]:
    """Turn a full or unwritable disk under `root`, and what may not be touched elsewhere, into a `UserError`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        number = _system_error(error)
        # Libraries that write weights and states report a full disk in words of their own.
        full = number in (errno.ENOSPC, errno.EDQUOT) or (number is None and shutil.disk_usage(root).free < NEARLY_FULL)
        if full:
            raise UserError(f"{root}: no space left; free some and run the same command again") from error
        where = Path(getattr(error, "filename", None) or root)
        if number in (errno.EACCES, errno.EPERM, errno.EROFS):
            refused = "cannot write" if where.absolute().is_relative_to(root.absolute()) else "no access"
            raise UserError(f"{where}: {refused}: {os.strerror(number)}") from error
        if number in OF_THE_MACHINE:
            raise UserError(f"{where}: {os.strerror(number)}; {OF_THE_MACHINE[number]}") from error
        raise


def _system_error(error: Exception) -> int | None:
    """The number of the system's error behind an exception, of which libraries in Rust give but the text."""
    if isinstance(error, OSError):
        return error.errno
    told = _IN_RUST.search(str(error))
    return int(told[1]) if told else None
