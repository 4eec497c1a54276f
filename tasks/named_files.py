"""Names of files in a user's table, and the files that they mean: people, systems and archives spell them differently.

A name means the file of exactly that name. Where there is none, it means the only file that differs from it in nothing
but, in this order,

1. case, or how letters with marks are composed (NFC of tables, NFD of macOS);
2. folders before it: the data lies one folder deeper, or the table was made where it lay in other folders;
3. a suffix that the name leaves out.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from tasks import DatasetError
from tasks.trees import SUFFIXES, files_below

#: Files named in a complaint.
NAMED = 3


class NamedFiles:
    """The files below a folder, as tables name them.

    Parameters
    ----------
    root
        The folder; it is listed only where a name is not that of a file.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, name: str, where: str) -> str:
        """Path of the file that a name means, below the folder, with forward slashes; the name itself if none does.

        Parameters
        ----------
        name
            With forward slashes.
        where
            File and line of the name, for complaints.

        Raises
        ------
        DatasetError
            If several files are meant as well as one another.
        """
        if (self._root / name).is_file():
            return name
        for found in self._candidates(_plain(name)):
            if len(found) > 1:
                some = ", ".join(map(repr, found[:NAMED])) + (" ..." if len(found) > NAMED else "")
                raise DatasetError(f"{where}: {name!r} may be {some}; name one of them")
            if found:
                return found[0]
        return name

    def _candidates(self, name: str) -> Iterator[Sequence[str]]:
        parts = PurePosixPath(name).parts
        yield self._by_name.get(name, ())
        yield [path for path in self._by_last.get(parts[-1], ()) if _plain(path).endswith(f"/{name}")]
        for place in range(1, len(parts)):
            yield self._by_name.get("/".join(parts[place:]), ())
        yield self._without_suffix.get(name, ())

    @cached_property
    def _paths(self) -> Sequence[str]:
        paths = [file.relative_to(self._root) for file in files_below(self._root)]
        return [path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts)]

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        return _grouped((_plain(path), path) for path in self._paths)

    @cached_property
    def _by_last(self) -> dict[str, list[str]]:
        return _grouped((_plain(path).rpartition("/")[2], path) for path in self._paths)

    @cached_property
    def _without_suffix(self) -> dict[str, list[str]]:
        stems = ((path.rpartition("."), path) for path in self._paths)
        return _grouped((_plain(stem), path) for (stem, _, suffix), path in stems if suffix.lower() in SUFFIXES)


def _grouped(named: Iterator[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, path in named:
        found.setdefault(name, []).append(path)
    return found


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
