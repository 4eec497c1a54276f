"""Which song a file's path names: artist and title as people write them, against a list of songs.

A path matches a song if the file's name ends in the title, or in title and artist, and the artist stands before it
in the name or in a folder: ``Bette Midler - The Rose.mp3``, ``1980/Bette_Midler/07 The Rose (Remastered).flac``,
``Midler, Bette/Rose, The.ogg``. If the file is merely called ``audio``, its folder has the title. Case, accents,
punctuation, ``The``, and ``and`` or ``&`` make no difference; what is in brackets may be missing.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

#: Letters that do not decompose into a letter and an accent.
_LETTERS = str.maketrans({"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th"})
_APOSTROPHES = re.compile("['’‘`´ʼ]")
_WORDS = re.compile(r"[^\W_]+")
_LITTLE_WORDS = {"the", "and"}
_JOINTS = _LITTLE_WORDS | {"feat", "featuring", "ft", "with"}
_BRACKETS = re.compile(r"\(([^()]*)\)|\[([^\[\]]*)\]|\{([^{}]*)\}")
_DASHES = re.compile(r"\s*[-–—]+\s*")
_NUMBERED = re.compile(r"\d{1,3}\s*[.)]?\s+(?=\S)|\d{1,3}[.)](?=\S)")
_SORT_NAME = re.compile(r"([^,]+),\s+([^,]+)")
#: In brackets, these words tell another recording from the one on the charts.
_OTHER_VERSION = re.compile(
    r"\b(live|karaoke|cover|remix|instrumental|acoustic|demo|tribute|rehearsal|unplugged|medley|cappella|acapella"
    r"|backing|re-?recorded|re-?recording|alternate|outtake|parody|famous|style|part|pt)\b",
    re.IGNORECASE,
)
#: Behind a dash at the end of a name, these tell no other recording.
_HARMLESS = re.compile(r"(\d{4} )?(digital(ly)? )?(remaster(ed)?|single|album|mono|stereo)( version| mix)?( \d{4})?")
#: Names of files that leave the title to their folder.
_PLAIN = {"audio", "song", "recording"}


def same_letters(text: str, left_out: Iterable[str] = ()) -> str:
    """Letters and digits of `text` in lower case without accents, run together, but for the words `left_out`.

    ``&`` and ``+`` are read as ``and``; if nothing but words of `left_out` is there, they stay.
    """
    plain = unicodedata.normalize("NFKD", text.casefold().translate(_LETTERS))
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    words = _WORDS.findall(_APOSTROPHES.sub("", plain).replace("&", " and ").replace("+", " and "))
    return "".join([word for word in words if word not in left_out] or words)


@dataclass(frozen=True, slots=True)
class Song:
    """A song as a list names it; several artists are separated by commas without a space."""

    artist: str
    title: str

    @property
    def key(self) -> tuple[str, str]:
        """What two spellings of one song have in common."""
        return same_letters(self.artist, _JOINTS), same_letters(self.title, _LITTLE_WORDS)


@dataclass(frozen=True, slots=True)
class Found:
    """What a path names.

    Attributes
    ----------
    songs
        The songs that fit it best: one, or none, or several that cannot be told apart.
    remark
        Why none fits though artist and title do; empty otherwise.
    """

    songs: tuple[Song, ...]
    remark: str = ""


class SongFinder:
    """Finds the songs of a list in paths.

    Parameters
    ----------
    songs
        The list; of several spellings of one song, the first stands for all.
    """

    def __init__(self, songs: Iterable[Song]) -> None:
        self._by_title: dict[str, list[Song]] = defaultdict(list)
        self._artists: dict[Song, set[str]] = {}
        known: set[tuple[str, str]] = set()
        for song in songs:
            if song.key in known:
                continue
            known.add(song.key)
            for title in {song.key[1], same_letters(_BRACKETS.sub(" ", song.title), _LITTLE_WORDS)} - {""}:
                self._by_title[title].append(song)
            each = re.split(r",(?! )", song.artist)
            spellings = (song.artist, _BRACKETS.sub(" ", song.artist), " ".join(reversed(each)), *each)
            self._artists[song] = {same_letters(spelling, _JOINTS) for spelling in spellings} - {""}

    def find(self, path: str) -> Found:
        """Songs that `path`, relative and with forward slashes, names."""
        *folders, name = PurePosixPath(path).with_suffix("").parts
        if same_letters(name) in _PLAIN and folders:
            *folders, name = folders
        whole = _BRACKETS.sub(lambda group: f" {_inside(group)} ", name)
        bare = _BRACKETS.sub(" ", name)
        # The whole title, brackets included, tells songs apart that share the rest of it.
        best = {song for song in self._fitting(whole, folders) if song.key[1] in _ends(whole)}
        if not best:
            best = set(self._fitting(whole, folders)) | set(self._fitting(bare, folders))
        extras = [_inside(group) for group in _BRACKETS.finditer(name)]
        fitting, other = [], ""
        for song in (song for song in self._artists if song in best):
            title = same_letters(song.title)
            strange = [text for text in extras if _OTHER_VERSION.search(text) and same_letters(text) not in title]
            if strange:
                other = strange[0]
            else:
                fitting.append(song)
        return Found(tuple(fitting), f"another version: {other}" if other and not fitting else "")

    def names(self, path: str, song: Song) -> bool:
        """Whether `path` holds the song's title or artist, anywhere."""
        if song.key[1] in same_letters(path, _LITTLE_WORDS):
            return True
        letters = same_letters(path, _JOINTS)
        return any(artist in letters for artist in self._artists[self._first(song)])

    def _first(self, song: Song) -> Song:
        return next(known for known in self._by_title[song.key[1]] if known.key == song.key)

    def _fitting(self, name: str, folders: Sequence[str]) -> Iterator[Song]:
        pieces = _pieces(name)
        above = [piece for folder in folders for piece in _pieces(_BRACKETS.sub(" ", folder))]
        for begin in range(len(pieces)):
            for end in range(begin + 1, len(pieces) + 1):
                for title in _spellings(pieces[begin:end], _LITTLE_WORDS):
                    for song in self._by_title.get(title, ()):
                        wanted = self._artists[song]
                        behind = set(_spellings(pieces[end:], _JOINTS))
                        if behind & wanted if pieces[end:] else _any_run([*above, *pieces[:begin]], wanted):
                            yield song


def _inside(group: re.Match[str]) -> str:
    return next(text for text in group.groups() if text is not None)


def _pieces(name: str) -> list[str]:
    """What dashes separate in a name, without harmless additions at its end."""
    pieces = [piece for piece in _DASHES.split(name.replace("_", " ").strip()) if piece.strip()]
    while len(pieces) > 1 and _HARMLESS.fullmatch(" ".join(pieces[-1].lower().split())):
        pieces.pop()
    return pieces


def _spellings(pieces: Sequence[str], left_out: Iterable[str]) -> Iterator[str]:
    """Letters of `pieces`, with and without a leading track number, and as a name with its surname first."""
    if not pieces:
        return
    text = " ".join(pieces)
    yield same_letters(text, left_out)
    unnumbered = _NUMBERED.sub("", text, count=1) if _NUMBERED.match(text) else text
    yield same_letters(unnumbered, left_out)
    if match := _SORT_NAME.fullmatch(unnumbered):
        yield same_letters(f"{match[2]} {match[1]}", left_out)


def _any_run(pieces: Sequence[str], wanted: set[str]) -> bool:
    """Whether neighbouring `pieces` spell one of `wanted`."""
    return any(
        spelling in wanted
        for begin in range(len(pieces))
        for end in range(begin + 1, len(pieces) + 1)
        for spelling in _spellings(pieces[begin:end], _JOINTS)
    )


def _ends(name: str) -> set[str]:
    pieces = _pieces(name)
    runs = (pieces[i:j] for i in range(len(pieces)) for j in range(i + 1, len(pieces) + 1))
    return {spelling for run in runs for spelling in _spellings(run, _LITTLE_WORDS)}
