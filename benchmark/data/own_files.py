"""A folder of somebody's own music: every audio file with what its header and tags say of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmark.audio.audio_source import Undecodable, audio_source, reason_of
from benchmark.audio.decoding import header_problem
from benchmark.audio.silenced import decoders_silenced
from benchmark.console import Reporter
from benchmark.data.same_files import same_content
from benchmark.errors import UserError
from tasks.trees import audio_below

#: Tags of artists and albums that tell nothing, in small letters.
UNTOLD = frozenset(
    {"", "?", "-", "n/a", "unknown", "unknown artist", "unknown album", "various", "various artists", "va"}
)


@dataclass(frozen=True)
class OwnFile:
    """An audio file.

    Attributes
    ----------
    path
        Below the folder, with forward slashes.
    seconds
        Duration by its header [s]; 0 if that cannot be read.
    problem
        Why it cannot be used, as far as its header tells; empty if nothing is wrong with it.
    artist, album, genre
        Its tags, as libsndfile gives them; empty where they tell nothing.
    content
        Hash of its content if another file holds the same; else empty.
    """

    path: str
    seconds: float
    problem: str = ""
    artist: str = ""
    album: str = ""
    genre: str = ""
    content: str = ""


def own_files(folder: Path, reporter: Reporter) -> list[OwnFile]:
    """Look at every audio file below a folder; decodes none.

    Raises
    ------
    UserError
        If there is no such folder.
    DatasetError
        If a folder may not be read, or a file's name is not UTF-8.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; name one with audio files in it")
    files = audio_below(folder)
    same = same_content(files)
    found = []
    with reporter.progress(f"look at {folder.name}", len(files), "files") as advance:
        for file in files:
            found.append(_looked_at(file, file.relative_to(folder).as_posix(), same.get(file, "")))
            advance(1)
    return found


def _looked_at(file: Path, path: str, content: str) -> OwnFile:
    if problem := header_problem(file):
        return OwnFile(path, 0.0, problem, content=content)
    try:
        with audio_source(file) as source, decoders_silenced():
            try:
                with source.opened() as opened:
                    tags = {tag: _told(getattr(opened, tag)) for tag in ("artist", "album", "genre")}
                    return OwnFile(path, opened.frames / opened.samplerate, content=content, **tags)
            except (OSError, RuntimeError) as error:
                return OwnFile(path, 0.0, reason_of(source, error), content=content)
    except Undecodable as error:
        return OwnFile(path, 0.0, str(error), content=content)


def _told(tag: str) -> str:
    """A tag on one line, or nothing if it tells nothing."""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in tag).split())
    return "" if text.casefold() in UNTOLD else text
