"""The files of a folder tree, as a user may have laid it out: with links, odd names and things that do not belong."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

from tasks import DatasetError

#: What names of audio files end in. Not all can be decoded: those that cannot are named, rather than passed over.
SUFFIXES = frozenset(
    {
        *("wav", "flac", "mp3", "ogg", "oga", "opus", "au", "aif", "aiff", "aifc", "caf", "w64", "rf64"),
        *("m4a", "mp4", "aac", "wma", "wv", "ape"),
    }
)


def files_below(folder: Path) -> list[Path]:
    """Every file below `folder`, sorted by path; none if there is no such folder.

    Links to folders are followed, and each folder is visited once.

    Raises
    ------
    DatasetError
        If a folder may not be read.
    """
    found: list[Path] = []
    visited: set[str] = set()
    try:
        if not folder.is_dir():
            return []
        for place, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
            real = os.path.realpath(place)
            if real in visited:
                folders.clear()
                continue
            visited.add(real)
            folders.sort()
            found += (path for name in names if (path := Path(place, name)).is_file())
    except OSError as error:
        _refuse(error)
    return sorted(found)


def audio_below(folder: Path) -> list[Path]:
    """Every file below `folder` whose name ends like an audio file's, sorted; hidden files and folders are left out.

    Raises
    ------
    DatasetError
        If a folder may not be read, or a file's name is not UTF-8.
    """
    return utf8_named(
        [
            file
            for file in files_below(folder)
            if file.suffix[1:].lower() in SUFFIXES
            and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        ]
    )


def files_in(folder: Path) -> list[Path]:
    """Every file in `folder` itself, sorted; none if there is no such folder.

    Raises
    ------
    DatasetError
        If the folder may not be read, or a file's name is not UTF-8.
    """
    try:
        return utf8_named(sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else [])
    except OSError as error:
        _refuse(error)


def _refuse(error: OSError) -> NoReturn:
    raise DatasetError(f"{error.filename}: cannot be listed: {error.strerror}") from None


def utf8_named(files: list[Path]) -> list[Path]:
    """Return `files`, whose names are text that lists can hold.

    Raises
    ------
    DatasetError
        If the name of one is not UTF-8.
    """
    for file in files:
        try:
            str(file).encode()
        except UnicodeEncodeError:
            raise DatasetError(f"{ascii(str(file))[1:-1]}: its name is not UTF-8; rename it") from None
    return files
