"""The GiantSteps stand-in: synthetic dance music in known keys, in the layout of both repositories, as MP3 of 6 s.

Of each of the 24 keys there are two songs to test, in the first repository, and five in the second: four by artists
who train and one by an artist who validates, which a hash of the name decides. The second has songs besides that
nobody may use: without a single key, or of which the annotator was not sure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from tasks.base import Split
from tasks.giantsteps import KEY_FOLDERS, MTG_FOLDERS, SURE
from tasks.metrics.key import KEYS
from tasks.standin import composer
from tasks.standin.recording import Encoding, Recording, write_all

SECONDS = 6
ENCODING = Encoding("MP3", 22_050)
#: Start of the latest excerpt in its song [s].
LATEST = 50

#: Genre -> style of its music.
STYLE = {"techno": "techno", "house": "disco", "hip-hop": "hip hop", "chill-out": "ambient", "pop": "pop"}
#: Songs of each key by split, and artists who make them.
_SONGS: dict[Split, int] = {"test": 2, "train": 4, "valid": 1}
_ARTISTS: dict[Split, int] = {"test": 16, "train": 24, "valid": 8}
#: One song in so many is by two artists of the split.
_TOGETHER_EVERY = 6
#: Annotations that rule a song out: key, and how sure the annotator was.
_UNUSABLE = (
    *(("-", 0), (" ", 0), ("A / B minor", 2), ("A-A# minor", 0)),
    *(("F minor", 0), ("D# major", 1), ("C minor", 1), ("G# minor / B major", 1)),
)
#: An annotator who left a blank behind the key of a song that is used.
_BLANK_BEHIND = 3

_SHARPS = {"Db": "C#", "Eb": "D#", "Gb": "F#", "Ab": "G#", "Bb": "A#"}
_PITCH_CLASSES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")


@dataclass(frozen=True, slots=True)
class Track:
    """A song of either repository.

    Attributes
    ----------
    track_id
        Number that its files are called after.
    recording
        What is to be recorded.
    key
        One of `KEYS` in the first repository; in the second as its annotator wrote it, with sharps.
    sure
        0 to `SURE`; ``None`` in the first repository, which does not say.
    split
        ``None`` for a song that may not be used.
    """

    track_id: int
    recording: Recording
    key: str
    sure: int | None
    genre: str
    artists: tuple[str, ...]
    split: Split | None


def compose(seed: int) -> list[Track]:
    """Return every song of both repositories by number; nothing is rendered."""
    music = composer.seed_of(seed, "giantsteps")
    rng = composer.generator(music, "layout")
    wanted: list[tuple[Split | None, str, str, int | None]] = []
    for split, songs in _SONGS.items():
        sure = None if split == "test" else SURE
        wanted += [(split, key, key if split == "test" else _with_sharps(key), sure) for key in KEYS] * songs
    wanted += [(None, str(rng.choice(KEYS)), written, sure) for written, sure in _UNUSABLE]
    # Numbers as of a shop, in no order of key or split.
    ids = np.cumsum(rng.integers(50, 9000, size=len(wanted))) + 10_000
    artists = _artists(music)
    tracks = []
    for place, row in enumerate(rng.permutation(len(wanted)).tolist()):
        split, key, written, sure = wanted[row]
        names = artists[split or "train"]
        first, second = rng.permutation(len(names))[:2].tolist()
        name, genre, by = names[first]
        together = (name, names[second][0]) if row % _TOGETHER_EVERY == 0 else (name,)
        pitch_class, mode = key.split()
        song = composer.song(
            music, row, by, composer.album(music, row), (_PITCH_CLASSES.index(pitch_class), mode == "major")
        )
        folder = KEY_FOLDERS[0] if split == "test" else MTG_FOLDERS[0]
        path = f"{folder}/audio/{ids[place]}.LOFI.mp3"
        recording = Recording(path, song, float(rng.integers(LATEST)), SECONDS, ENCODING)
        tracks.append(Track(int(ids[place]), recording, written, sure, genre, together, split))
    return tracks


def write(root: Path, seed: int, progress: Callable[[int, int], None] | None = None) -> None:
    """Write the stand-in into the empty folder `root`; see `tasks.base.StandIn`."""
    tracks = compose(seed)
    write_all(root, [track.recording for track in tracks], progress)
    for track in tracks:
        _annotate(root, track)
    _write_tables(root / MTG_FOLDERS[0] / "annotations", [track for track in tracks if track.sure is not None])


def extent() -> tuple[int, float]:
    """Return the number of songs and their duration in all [s]."""
    number = len(KEYS) * sum(_SONGS.values()) + len(_UNUSABLE)
    return number, float(number * SECONDS)


def _artists(music: int) -> dict[Split, list[tuple[str, str, composer.Artist]]]:
    """Return name, genre and taste of the artists of each split; the published rule finds the same split."""
    names: dict[Split, Iterator[str]] = {
        "train": _names(lambda lot: lot < 100),
        "valid": _names(lambda lot: lot >= 100),
        "test": (f"artist {number}" for number in count(500)),
    }
    genres = list(STYLE)
    index = count()
    found: dict[Split, list[tuple[str, str, composer.Artist]]] = {}
    for split, number in _ARTISTS.items():
        found[split] = []
        for place in range(number):
            genre = genres[place % len(genres)]
            by = composer.artist(music, next(index), STYLE[genre], tuple(STYLE.values()))
            found[split].append((next(names[split]), genre, by))
    return found


def _names(accept: Callable[[int], bool]) -> Iterator[str]:
    """Yield names of artists that the published rule puts into a lot which is accepted."""
    for number in count(1):
        name = f"artist {number:03d}"
        if accept(int(hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest(), 16) % 116):
            yield name


def _with_sharps(key: str) -> str:
    pitch_class, mode = key.split()
    return f"{_SHARPS.get(pitch_class, pitch_class)} {mode}"


def _annotate(root: Path, track: Track) -> None:
    """Write the files of one song: its key in two syntaxes (and JAMS), its genre in two, and the audio's MD5."""
    folder = root / Path(track.recording.path).parent.parent
    name = f"{track.track_id}.LOFI"
    tested = track.sure is None
    tab = " " if tested else "\t"
    key = track.key if tested else f"{track.key.lower()}\t{track.sure}\t"
    end = "" if tested else "\n"
    comments = "" if tested else "\t[confidence(int)]\t[comment(string)]"
    texts = {
        f"annotations/key/{name}.key": f"{key}{end}",
        f"annotations/genre/{name}.genre": f"{track.genre}{end}",
        f"annotations/giantsteps/{name}.key": f"#@format: key\ttimestamp(float)\tkey(string){comments}\n"
        f"key{tab}0{tab}{key}\n",
        f"annotations/giantsteps/{name}.genre": "#@format: tag\ttimestamp(float)\tname(str)\t[weight(float)]\n"
        f"tag{tab}0{tab}{track.genre}{end}",
        f"md5/{name}.md5": hashlib.md5((root / track.recording.path).read_bytes(), usedforsecurity=False).hexdigest()
        + "\n",
    }
    if tested:
        texts[f"annotations/jams/{name}.jams"] = _jams(track)
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def _jams(track: Track) -> str:
    observation = {"time": 0, "duration": 0, "value": track.key.replace(" ", ":"), "confidence": 1}
    annotation = {
        "namespace": "key_mode",
        "sandbox": {},
        "time": 0,
        "duration": None,
        "annotation_metadata": {"corpus": "stand-in of GiantSteps Key", "data_source": "synthetic"},
        "data": [observation],
    }
    metadata = {"title": f"track {track.track_id}", "artist": ", ".join(track.artists), "duration": SECONDS}
    return json.dumps({"sandbox": {}, "annotations": [annotation], "file_metadata": metadata}, indent=2)


def _write_tables(folder: Path, tracks: Sequence[Track]) -> None:
    keys = [("ID", "MANUAL KEY", "C")]
    shop = [("ID", "ARTIST", "SONG TITLE", "MIX", "LABEL", "BP GENRE", "BP BPM", "BP KEY")]
    sure = [track for track in tracks if track.split is not None]
    for track in tracks:
        blank = " " if track is sure[_BLANK_BEHIND] else ""
        keys.append((str(track.track_id), track.key + blank, str(track.sure)))
        song = track.recording.song
        shop.append(
            (
                *(str(track.track_id), ", ".join(track.artists), f"track {track.track_id}", "Original Mix"),
                *(f"label {track.track_id % 9}", track.genre.title(), f"{song.tempo:.0f}"),
                _with_sharps(f"{_PITCH_CLASSES[song.tonic]} {'major' if song.major else 'minor'}"),
            )
        )
    for name, rows in (("annotations.txt", keys), ("beatport_metadata.txt", shop)):
        text = "".join("\t".join(row) + "\n" for row in rows)
        (folder / name).write_text(text, encoding="utf-8")
