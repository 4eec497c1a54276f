"""The FMA stand-in: synthetic songs of sixteen genres in the genuine layout, as MP3 files of 6 s.

One tree serves both sizes: ``fma_medium`` holds the tracks of the small subset as well. In the small subset there are
6 training, 2 validation and 5 test tracks of each of 8 genres; in the medium one, Rock and Electronic have more and
the other 8 genres fewer. No artist is in two parts of the split. Two files are as in every genuine copy: a stub that
decodes to next to nothing, and a clip that ends early. Every third file is in stereo. `fma_metadata` fills the columns
that sources are read from.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from tasks.fma import FmaSmall, track_path
from tasks.fma_metadata import ECHONEST, GENRES, TRACKS
from tasks.standin import composer, fma_metadata
from tasks.standin.recording import Encoding, Recording, write_all

FOLDER = "fma_medium"
SECONDS = 6
SHORT_SECONDS = 1
#: Bit rates vary; stereo is dear to encode.
ENCODINGS = (
    Encoding("MP3", 44_100, channels=2, compression=0.95),
    Encoding("MP3", 44_100, compression=0.8),
    Encoding("MP3", 44_100, bitrate="CONSTANT", compression=0.6),
)
#: Start of the latest clip in its song [s].
LATEST = 50

#: Genre -> style of its music.
STYLE: Mapping[str, str] = {
    "Electronic": "techno",
    "Experimental": "experimental",
    "Folk": "folk",
    "Hip-Hop": "hip hop",
    "Instrumental": "instrumental",
    "International": "indian",
    "Pop": "pop",
    "Rock": "rock",
    "Blues": "blues",
    "Classical": "classical",
    "Country": "country",
    "Easy Listening": "easy listening",
    "Jazz": "jazz",
    "Old-Time / Historic": "old-time",
    "Soul-RnB": "soul",
    "Spoken": "spoken",
}
GENRE_NUMBERS: Mapping[str, int] = {genre: number for number, genre in enumerate(STYLE, start=1)}
#: Subset and genres -> tracks of each of a genre's artists, by split: training, validation, test.
_Artists = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
_SMALL: _Artists = ((2, 2, 2), (1, 1), (2, 2, 1))
_FEW: _Artists = ((2, 1), (1,), (1, 1))
_MORE: _Artists = ((2, 2), (1,), (1, 1))
_SPLIT_NAMES = ("training", "validation", "test")

#: Tracks of the small subset that are wrong in every copy: number -> what is left of it.
STUB, SHORT = 133297, 98565
STUB_BYTES = 1752
#: Rows of the table for tracks that only the large subset has, which have no genre.
_LARGE_ROWS = 8

_COLUMNS: Mapping[str, str] = {
    "album": "comments date_created date_released engineer favorites id information listens producer tags title "
    "tracks type",
    "artist": "active_year_begin active_year_end associated_labels bio comments date_created favorites id latitude "
    "location longitude members name related_projects tags website wikipedia_page",
    "set": "split subset",
    "track": "bit_rate comments composer date_created date_recorded duration favorites genre_top genres genres_all "
    "information interest language_code license listens lyricist number publisher tags title",
}


@dataclass(frozen=True, slots=True)
class Track:
    """A row of the table and, where it is not ``None``, what is to be recorded."""

    track_id: int
    recording: Recording | None
    split: str
    subset: str
    genre: str
    artist: int


def compose(seed: int) -> list[Track]:
    """Return every track of the table by number; nothing is rendered."""
    music = composer.seed_of(seed, "fma")
    rng = composer.generator(music, "layout")
    plan: list[tuple[str, str, str, int]] = []
    artists = count(1)
    for genre in STYLE:
        small = genre in FmaSmall.GENRES
        groups = [("small", _SMALL)] if small else [("medium", _FEW)]
        if genre in ("Rock", "Electronic"):
            groups.append(("medium", _MORE))
        for subset, parts in groups:
            for split, counts in zip(_SPLIT_NAMES, parts, strict=True):
                for tracks in counts:
                    plan += [(subset, split, genre, next(artists))] * tracks
    sound = len(plan)
    # The two wrong tracks, which belong to no part of the split that is scored.
    plan += [("small", "training", "Experimental", next(artists)), ("small", "training", "Folk", next(artists))]
    plan += [("large", _SPLIT_NAMES[row % len(_SPLIT_NAMES)], "", next(artists)) for row in range(_LARGE_ROWS)]
    free = np.setdiff1d(np.arange(2, 155_320), (STUB, SHORT))
    ids = rng.choice(free, size=len(plan), replace=False).tolist()
    ids[sound : sound + 2] = [STUB, SHORT]
    tracks_found = []
    for place, (track_id, (subset, split, genre, artist)) in enumerate(zip(ids, plan, strict=True)):
        recording = None
        if subset != "large" and track_id != STUB:
            by = composer.artist(music, artist, STYLE[genre])
            song = composer.song(music, place, by, composer.album(music, place))
            seconds = SHORT_SECONDS if track_id == SHORT else SECONDS
            path = f"{FOLDER}/{track_path(track_id)}"
            encoding = ENCODINGS[place % len(ENCODINGS)]
            recording = Recording(path, song, float(rng.integers(LATEST)), seconds, encoding)
        tracks_found.append(Track(track_id, recording, split, subset, genre, artist))
    return sorted(tracks_found, key=lambda track: track.track_id)


def write(root: Path, seed: int, progress: Callable[[int, int], None] | None = None) -> None:
    """Write the stand-in into the empty folder `root`; see `tasks.base.StandIn`."""
    tracks = compose(seed)
    recordings = [track.recording for track in tracks if track.recording is not None]
    write_all(root, recordings, progress)
    # What is left of a file that was cut off in its first frames.
    whole = (root / recordings[0].path).read_bytes()
    stub = root / FOLDER / track_path(STUB)
    stub.parent.mkdir(exist_ok=True)
    stub.write_bytes(whole[:STUB_BYTES])
    _write_checksums(root / FOLDER)
    music = composer.seed_of(seed, "fma")
    _write_table(root / TRACKS, tracks, music)
    heard = [(track.track_id, track.recording.song) for track in tracks if track.recording is not None]
    fma_metadata.write_echonest(root / ECHONEST, music, heard)
    fma_metadata.write_genres(root / GENRES, GENRE_NUMBERS, Counter(track.genre for track in tracks))


def extent() -> tuple[int, float]:
    """Return the number of files with music and their duration in all [s]."""
    recordings = [track.recording for track in compose(0) if track.recording is not None]
    return len(recordings), float(sum(recording.seconds for recording in recordings))


def _write_checksums(folder: Path) -> None:
    """Write the list of SHA-1 that each archive of audio carries."""
    files = sorted(folder.glob("*/*.mp3"))
    lines = [
        f"{hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()}  {file.relative_to(folder).as_posix()}\n"
        for file in files
    ]
    (folder / "checksums").write_text("".join(lines), encoding="ascii")


def _write_table(table: Path, tracks: list[Track], music: int) -> None:
    """Write the table with its three header rows: groups of columns, their names, and the name of the first one."""
    columns = [(group, name) for group, names in _COLUMNS.items() for name in names.split()]
    table.parent.mkdir(parents=True, exist_ok=True)
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["", *(group for group, _ in columns)])
        writer.writerow(["", *(name for _, name in columns)])
        writer.writerow(["track_id", *("" for _ in columns)])
        for track in tracks:
            genres = [GENRE_NUMBERS[track.genre]] if track.genre else []
            cells: dict[tuple[str, str], object] = {
                ("album", "id"): track.track_id,
                ("album", "tags"): [],
                ("album", "title"): f"album {track.track_id}",
                ("album", "tracks"): 1,
                ("album", "type"): "Album",
                ("artist", "bio"): "<p>Synthetic,\nas all of this table.</p>",
                ("artist", "id"): track.artist,
                ("artist", "name"): f"artist {track.artist}",
                ("artist", "tags"): [],
                ("set", "split"): track.split,
                ("set", "subset"): track.subset,
                ("track", "bit_rate"): 256000,
                ("track", "duration"): 600 if track.recording is None else track.recording.seconds,
                ("track", "genre_top"): track.genre,
                ("track", "genres"): genres,
                ("track", "genres_all"): genres,
                ("track", "language_code"): "en",
                ("track", "license"): "none: synthetic",
                ("track", "number"): 1,
                ("track", "tags"): [],
                ("track", "title"): f"title {track.track_id}",
            }
            if track.recording is not None:
                song = track.recording.song
                cells |= fma_metadata.cells_of(music, track.track_id, track.artist, track.genre, song)
            writer.writerow([track.track_id, *(cells.get(column, "") for column in columns)])
