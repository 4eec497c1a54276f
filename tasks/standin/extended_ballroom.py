"""The Extended Ballroom stand-in: synthetic dances in the published layout, as MP3 files of 6 s.

A dance is a tempo and a groove more than a sound: players and bands are shared by all. Numbers are drawn from the
published list, so that the list applies; of each dance one track repeats another, as it is or as another version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from xml.sax.saxutils import quoteattr

from tasks.extended_ballroom import GENRES, TABLE, kim_tracks
from tasks.standin import composer
from tasks.standin.recording import Encoding, Recording, write_all

SECONDS = 6
ENCODING = Encoding("MP3", 22_050, compression=0.8)
PER_GENRE = 8
#: Start of the latest excerpt in its song [s].
LATEST = 40
#: Dance -> tempo [beats/min], groove and swing of its songs.
DANCES: Mapping[str, tuple[float, str, float]] = {
    "Chacha": (124, "disco", 0.0),
    "Foxtrot": (120, "ride", 0.5),
    "Jive": (172, "shuffle", 0.6),
    "Pasodoble": (120, "train", 0.0),
    "Quickstep": (200, "ride", 0.4),
    "Rumba": (104, "tabla", 0.0),
    "Salsa": (188, "pop", 0.0),
    "Samba": (100, "disco", 0.2),
    "Slowwaltz": (78, "sparse", 0.0),
    "Tango": (130, "four on the floor", 0.0),
    "Viennesewaltz": (178, "sparse", 0.0),
    "Waltz": (87, "sparse", 0.2),
    "Wcswing": (112, "boom bap", 0.6),
}
#: Deviation of a song's tempo, as a share of its dance's.
TEMPO_SD = 0.03
#: Bands of any dance.
STYLES = ("easy listening", "jazz", "pop", "soul")


@dataclass(frozen=True, slots=True)
class Track:
    """A row of the table, and what is to be recorded."""

    genre: str
    id: str
    title: str
    recording: Recording
    #: How it repeats which other track; empty if it does not.
    repeats: tuple[str, str] | tuple[()] = ()


def compose(seed: int) -> list[Track]:
    """Return every track in the order of the table; nothing is rendered."""
    music = composer.seed_of(seed, "extended_ballroom")
    rng = composer.generator(music, "layout")
    listed = sorted(kim_tracks())
    tracks: list[Track] = []
    for genre in GENRES:
        published = [name.partition("/")[2] for name in listed if name.startswith(f"{genre}/")]
        numbers = sorted(rng.choice(published, size=PER_GENRE, replace=False).tolist())
        tempo, groove, swing = DANCES[genre]
        for place, number in enumerate(numbers):
            index = len(tracks)
            artist = composer.artist(music, index, STYLES[index % len(STYLES)], STYLES)
            song = composer.song(music, index, artist, composer.album(music, index))
            song = replace(song, tempo=tempo * (1 + TEMPO_SD * float(rng.normal())), groove=groove, swing=swing)
            start = float(rng.integers(LATEST))
            repeats: tuple[str, str] | tuple[()] = ()
            if place == PER_GENRE - 1:
                # Another excerpt of the first one's song; every other one is the same audio.
                first = tracks[-place]
                song, kind = first.recording.song, "exact" if GENRES.index(genre) % 2 else "version"
                start = first.recording.start if kind == "exact" else first.recording.start + SECONDS
                repeats = (kind, first.id)
            recording = Recording(f"{genre}/{number}.mp3", song, start, SECONDS, ENCODING)
            tracks.append(Track(genre, number, f"dance {song.index}", recording, repeats))
    return tracks


def write(root: Path, seed: int, progress: Callable[[int, int], None] | None = None) -> None:
    """Write the stand-in into the empty folder `root`; see `tasks.base.StandIn`."""
    tracks = compose(seed)
    write_all(root, [track.recording for track in tracks], progress)
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<ballroom>"]
    for genre in GENRES:
        lines.append(f"  <{genre}>")
        for track in tracks:
            if track.genre == genre:
                lines += _node(track)
        lines.append(f"  </{genre}>")
    (root / TABLE).write_text("\n".join([*lines, "</ballroom>", ""]), encoding="utf-8")


def extent() -> tuple[int, float]:
    """Return the number of tracks and their duration in all [s]."""
    number = len(GENRES) * PER_GENRE
    return number, float(number * SECONDS)


def _node(track: Track) -> list[str]:
    facts = {
        "id": track.id,
        "album": "stand-in",
        "artist": f"band {track.recording.song.index}",
        "title": track.title,
        "bpm": f"{track.recording.song.tempo:.0f}",
    }
    attributes = " ".join(f"{name}={quoteattr(value)}" for name, value in facts.items())
    if not track.repeats:
        return [f"    <song {attributes}/>"]
    kind, other = track.repeats
    return [f"    <song {attributes}>", f'      <{kind} id="{other}"/>', "    </song>"]
