"""Arrays in a folder that anybody may have filled: read whole, within bounds, and never unpickled."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import UserError
from benchmark.plain_files import open_within
from benchmark.store.store import UNREADABLE

#: What arrays may take in memory: so many times their file's size, and this whatever its size [bytes].
MOST_EXPANDED = 200
ANY_SIZE = 2**30


def read_arrays(folder: Path, name: str) -> dict[str, NDArray[Any]]:
    """The arrays of a file that `numpy.savez` has written into an artifact's folder.

    Raises
    ------
    UserError
        If it is a link or a pipe, cannot be read, is no such file, or its arrays would take more memory than it may.
    """
    try:
        with open_within(folder, name) as file, zipfile.ZipFile(file) as members:
            size = sum(member.file_size for member in members.infolist())
            if size > max(ANY_SIZE, MOST_EXPANDED * file.seek(0, 2)):
                raise UserError(f"{folder / name}: its arrays take {size / 1e9:,.1f} GB; they are not read")
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                return {each: arrays[each] for each in arrays.files}
    except (*UNREADABLE, EOFError, MemoryError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{folder / name}: cannot be read: {str(error) or type(error).__name__}") from None
