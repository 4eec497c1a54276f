"""Who may read and write what lies in a store: whoever may use the store's folder.

A store whose folder its group may write to belongs to the group, as with git's ``core.sharedRepository``: all that is
made in it is for the group, whatever the umask of the one who makes it. In any other store the umask decides alone.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

UMASK = os.umask(0o022)
os.umask(UMASK)


def is_shared(root: Path) -> bool:
    """Whether the group of a folder may write to it."""
    return bool(root.stat().st_mode & stat.S_IWGRP)


def new_file_mode(folder: Path) -> int:
    """Permissions of a new file in a folder."""
    return 0o666 & ~UMASK | (0o060 if is_shared(folder) else 0)


def share(root: Path, paths: Iterable[Path]) -> None:
    """Give what this process has made in a store the permissions, and the group, that the store's folder asks for.

    Parameters
    ----------
    root
        The store's folder.
    paths
        Files and folders; links are left alone. What belongs to another user stays as it is.
    """
    of_root = root.stat()
    shared = bool(of_root.st_mode & stat.S_IWGRP)
    for path in paths:
        with suppress(FileNotFoundError, PermissionError):
            found = path.lstat()
            is_folder = stat.S_ISDIR(found.st_mode)
            if not (is_folder or stat.S_ISREG(found.st_mode)):
                continue
            mode = stat.S_IMODE(found.st_mode) | (0o777 if is_folder else 0o666) & ~UMASK
            if shared:
                mode |= (0o070 | stat.S_ISGID) if is_folder else 0o060
                if found.st_gid != of_root.st_gid:
                    os.chown(path, -1, of_root.st_gid, follow_symlinks=False)
            if mode != stat.S_IMODE(found.st_mode):
                path.chmod(mode)
