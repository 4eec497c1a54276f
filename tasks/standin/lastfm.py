"""The Last.fm 1K stand-in: synthetic songs as MP3 files of 6 s, and a table of plays in the published form.

Each listener likes two or three styles and either lively or calm songs, so that who plays a song can be heard in it;
how popular a song is cannot. Some plays are of tracks without an id, or without audio, as in the genuine table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.lastfm import AUDIO, HOMES, PLAYS
from tasks.standin import composer
from tasks.standin.recording import Encoding, Recording, write_all

SECONDS = 6
ENCODING = Encoding("MP3", 22_050, compression=0.8)
#: Start of the latest excerpt in its song [s].
LATEST = 40
STYLES = ("classical", "techno", "rock", "jazz", "hip hop", "folk", "metal", "choral")
ARTISTS_PER_STYLE = 4
SONGS_PER_ARTIST = 4
LISTENERS = 48
#: Mean plays of a song of a liked style and energy, and of any other.
LIKED, OTHER = 1.6, 0.08
#: Spread of popularity and of activity [log].
POPULARITY_SD = 0.5
#: Plays of tracks that are not there or have no id.
BESIDES = 40
#: Day of the first play.
BEGIN = np.datetime64("2008-01-01T00:00:00")


@dataclass(frozen=True, slots=True)
class Track:
    """A song with its ids, and the file that is recorded of it."""

    id: str
    artist_id: str
    artist: str
    title: str
    style: str
    recording: Recording


def compose(seed: int) -> list[Track]:
    """Return every track; nothing is rendered."""
    music = composer.seed_of(seed, "lastfm")
    rng = composer.generator(music, "layout")
    tracks: list[Track] = []
    for number, style in enumerate(style for style in STYLES for _ in range(ARTISTS_PER_STYLE)):
        artist = composer.artist(music, number, style)
        artist_id = _uuid(rng)
        for _ in range(SONGS_PER_ARTIST):
            index = len(tracks)
            song = composer.song(music, index, artist, composer.album(music, index))
            track = _uuid(rng)
            recording = Recording(
                f"{AUDIO}/{track[:2]}/{track}.mp3", song, float(rng.integers(LATEST)), SECONDS, ENCODING
            )
            tracks.append(Track(track, artist_id, f'The "{style}" {number}', f"song {index}", style, recording))
    return tracks


def plays(tracks: Sequence[Track], seed: int) -> NDArray[np.int64]:
    """How often each listener plays each track [tracks, listeners]."""
    rng = composer.generator(composer.seed_of(seed, "lastfm"), "annotator", 0)
    styles = np.array([STYLES.index(track.style) for track in tracks])
    energy = np.array([track.recording.song.energy for track in tracks])
    likes = np.zeros((len(tracks), LISTENERS))
    for listener in range(LISTENERS):
        liked = np.isin(styles, rng.choice(len(STYLES), size=int(rng.integers(2, 4)), replace=False))
        lively = rng.random() < 0.5
        likes[:, listener] = np.where(liked & ((energy > 0.5) == lively), LIKED, np.where(liked, LIKED / 4, OTHER))
    likes *= np.exp(POPULARITY_SD * rng.standard_normal(len(tracks)))[:, None]
    likes *= np.exp(POPULARITY_SD * rng.standard_normal(LISTENERS))
    return rng.poisson(likes)


def write(root: Path, seed: int, progress: Callable[[int, int], None] | None = None) -> None:
    """Write the stand-in into the empty folder `root`; see `tasks.base.StandIn`."""
    tracks = compose(seed)
    write_all(root, [track.recording for track in tracks], progress)
    rng = composer.generator(composer.seed_of(seed, "lastfm"), "annotator", 1)
    counts = plays(tracks, seed)
    lines: list[tuple[str, ...]] = []
    for listener in range(LISTENERS):
        own = [
            (track.artist_id, track.artist, track.id, track.title)
            for track, count in zip(tracks, counts[:, listener].tolist(), strict=True)
            for _ in range(count)
        ]
        if listener < BESIDES:
            own.append((_uuid(rng), "somebody", _uuid(rng) if listener % 2 else "", "a track that is not there"))
        # The latest play comes first.
        seconds = np.sort(rng.integers(365 * 86_400, size=len(own)))[::-1]
        for second, place in zip(seconds, rng.permutation(len(own)).tolist(), strict=True):
            lines.append((f"user_{listener + 1:06d}", f"{BEGIN + np.timedelta64(int(second), 's')}Z", *own[place]))
    home = root / HOMES[1]
    home.mkdir()
    (home / PLAYS).write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")


def extent() -> tuple[int, float]:
    """Return the number of tracks and their duration in all [s]."""
    number = len(STYLES) * ARTISTS_PER_STYLE * SONGS_PER_ARTIST
    return number, float(number * SECONDS)


def _uuid(rng: np.random.Generator) -> str:
    digits = rng.bytes(16).hex()
    return "-".join(digits[begin:end] for begin, end in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32)))
