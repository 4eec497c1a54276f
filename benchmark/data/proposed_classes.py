"""Classes of somebody's own files, from the folders they lie in, from their tags or from their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from benchmark.data.own_files import OwnFile
from benchmark.errors import UserError
from tasks.base import Split
from tasks.class_folders import by_folders, by_names

#: Where classes may be taken from.
Origin = Literal["folders", "genre", "names", "artist", "album"]
ORIGINS: tuple[Origin, ...] = get_args(Origin)
#: Share of the files that a tag must be known of to make classes of it.
KNOWN = 0.8


@dataclass(frozen=True)
class Labelled:
    """A file with its class, and what must be kept together with it.

    Attributes
    ----------
    file
        What was seen of it.
    label
        Its class; empty for a file without one.
    split
        The folder that says so; ``None`` where none does.
    artist, album
        By its tags, or else by the folders below its class's; empty where unknown.
    """

    file: OwnFile
    label: str
    split: Split | None
    artist: str
    album: str


@dataclass(frozen=True)
class Classes:
    """Classes that were proposed.

    Attributes
    ----------
    origin
        Where they are from.
    files
        In the order of their paths.
    others
        Where else they might be taken from, and how many there would be.
    """

    origin: Origin
    files: Sequence[Labelled]
    others: Mapping[Origin, int]

    @property
    def names(self) -> list[str]:
        """Of the classes, sorted."""
        return sorted({file.label for file in self.files} - {""})


def propose_classes(files: Sequence[OwnFile], folder: str, wanted: Origin | None = None) -> Classes:
    """Choose where the classes of files are from.

    Folders come first, unless they are the artists that tags name and genres are tagged too; then genres, words in file
    names, artists and albums, in this order.

    Parameters
    ----------
    files
        Those that can be read.
    folder
        What the message of an error begins with.
    wanted
        Where they are to be taken from; ``None`` to choose.

    Raises
    ------
    UserError
        If nothing makes two classes, or what is wanted does not.
    """
    found: dict[Origin, list[str]] = {
        one: labels for one in ORIGINS if len(set(labels := _labels(files, one)) - {""}) > 1
    }
    if wanted is not None and wanted not in found:
        raise UserError(f"{folder}: {_SAYS[wanted]} do not make two classes; {_instead(found)}")
    if not found:
        raise UserError(
            f"{folder}: nothing tells classes: neither folders, file names nor tags make two of {len(files)} files; "
            "put the files of each class into a folder of its own, or write a table labels.csv with the columns path "
            "and label"
        )
    origin: Origin = next(iter(found)) if wanted is None else wanted
    if wanted is None and origin == "folders" and "genre" in found and _are_artists(files, found["folders"]):
        origin = "genre"
    placed = by_folders([file.path for file in files])
    artists = [file.artist or one.artist for file, one in zip(files, placed, strict=True)]
    albums = _albums([file.album or one.album for file, one in zip(files, placed, strict=True)], artists)
    told = zip(files, found[origin], placed, artists, albums, strict=True)
    labelled = [Labelled(file, label, one.split, artist, album) for file, label, one, artist, album in told]
    return Classes(origin, labelled, {other: len(set(own) - {""}) for other, own in found.items() if other != origin})


_SAYS: Mapping[Origin, str] = {
    "folders": "folders",
    "genre": "genre tags",
    "names": "words in file names",
    "artist": "artist tags",
    "album": "album tags",
}


def in_words(origin: Origin) -> str:
    """Where classes are from, for people."""
    return _SAYS[origin]


def _albums(albums: Sequence[str], artists: Sequence[str]) -> list[str]:
    """Albums under names that are theirs alone: many an artist has a "Best of"."""
    of_album: dict[str, set[str]] = {}
    for album, artist in zip(albums, artists, strict=True):
        of_album.setdefault(album, set()).add(artist)
    return [
        f"{artist} / {album}" if album and artist and len(of_album[album]) > 1 else album
        for album, artist in zip(albums, artists, strict=True)
    ]


def _labels(files: Sequence[OwnFile], origin: Origin) -> list[str]:
    """Class of each file; all empty where this makes none."""
    paths = [file.path for file in files]
    if origin == "folders":
        return [one.label for one in by_folders(paths)]
    if origin == "names":
        return [one.label for one in by_names(paths)]
    tags = [str(getattr(file, origin)) for file in files]
    repeated = sum(count > 1 for count in Counter(tags).values()) > 1
    return tags if repeated and sum(map(bool, tags)) >= KNOWN * len(tags) else [""] * len(tags)


def _are_artists(files: Sequence[OwnFile], labels: Sequence[str]) -> bool:
    """Whether folders are called like the artists that tags name."""
    same = sum(file.artist.casefold() == label.casefold() for file, label in zip(files, labels, strict=True))
    return same >= KNOWN * len(files)


def _instead(found: Mapping[Origin, Sequence[str]]) -> str:
    if not found:
        return "nothing else does; write a table labels.csv with the columns path and label"
    return "others do: " + ", ".join(f"--classes {one} ({len(set(own) - {''})})" for one, own in found.items())
