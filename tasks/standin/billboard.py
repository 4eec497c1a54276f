"""The McGill Billboard stand-in: synthetic songs with an index and annotations of chords, as FLAC files of 12 s.

Of 96 slots of the index 80 are filled, four of them by a song that has another slot; of the 76 different songs 64
have audio. Every song's annotation follows its chords bar by bar, and one has title and artist the wrong way round,
as in the genuine dataset.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from tasks.billboard import INDEX
from tasks.standin import composer
from tasks.standin.recording import Encoding, Recording, write_all
from tasks.standin.score import MAJOR_SCALE, MINOR_SCALE, bar_seconds

SECONDS = 12
ENCODING = Encoding("FLAC", 44_100, channels=2)

STYLES = ("pop", "rock", "soul", "disco", "country", "folk", "easy listening", "blues")
SONGS = 76
WITH_AUDIO = 64
#: Slots that a song fills which has one already.
REPEATED = 4
EMPTY = 16
_SONGS_PER_ARTIST = 2
#: Song whose annotation has title and artist the wrong way round.
_SWAPPED = 5

FIRST_WEEK = date(1958, 8, 18)
WEEKS = 1736
_PLACES = 100
_HEADER = ("id", "chart_date", "target_rank", "actual_rank", "title", "artist", "peak_rank", "weeks_on_chart")
_PITCH_CLASSES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
_SECTIONS = ("A, intro", "B, verse", "C, chorus", "B, verse", "C, chorus", "D, outro")


@dataclass(frozen=True, slots=True)
class Slot:
    """A row of the index, and the number of the song that fills it; ``None`` if none does."""

    number: int
    week: date
    rank: int
    song: int | None


def compose(seed: int) -> tuple[list[Slot], list[composer.Song]]:
    """Return the slots in the order of the index, and the songs; nothing is rendered."""
    music = composer.seed_of(seed, "billboard")
    rng = composer.generator(music, "layout")
    songs = []
    for number in range(SONGS):
        artist = number // _SONGS_PER_ARTIST
        by = composer.artist(music, artist, STYLES[artist % len(STYLES)], STYLES)
        songs.append(composer.song(music, number, by, composer.album(music, number)))
    repeated = rng.choice(SONGS, size=REPEATED, replace=False).tolist()
    filling = [*range(SONGS), *repeated, *[None] * EMPTY]
    slots = []
    for number, place in enumerate(rng.permutation(len(filling)).tolist(), start=1):
        week = FIRST_WEEK + timedelta(weeks=int(rng.integers(WEEKS)))
        slots.append(Slot(number, week, int(rng.integers(1, _PLACES + 1)), filling[place]))
    return slots, songs


def recordings(slots: list[Slot], songs: list[composer.Song]) -> list[Recording]:
    """Return what is to be recorded: of each of the first songs, its beginning, in its first slot's decade."""
    first: dict[int, Slot] = {}
    for slot in slots:
        if slot.song is not None:
            first.setdefault(slot.song, slot)
    return [
        Recording(
            f"audio/{first[number].week.year // 10 * 10}s/{_artist(number)}/{_title(number)}/audio.flac",
            songs[number],
            0.0,
            SECONDS,
            ENCODING,
        )
        for number in range(WITH_AUDIO)
    ]


def write(root: Path, seed: int, progress: Callable[[int, int], None] | None = None) -> None:
    """Write the stand-in into the empty folder `root`; see `tasks.base.StandIn`."""
    slots, songs = compose(seed)
    write_all(root, recordings(slots, songs), progress)
    with (root / INDEX).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_HEADER)
        for slot in slots:
            row: list[object] = [slot.number, slot.week.isoformat(), slot.rank]
            if slot.song is None:
                row += [""] * 5
            else:
                peak = max(1, slot.rank - slot.song % 7)
                row += [slot.rank, _title(slot.song), _artist(slot.song), peak, 2 + slot.song % 17]
            writer.writerow(row)
    for slot in slots:
        if slot.song is not None:
            folder = root / "McGill-Billboard" / f"{slot.number:04d}"
            folder.mkdir(parents=True)
            text = _chords(songs[slot.song], slot.song)
            (folder / "salami_chords.txt").write_text(text, encoding="utf-8")


def extent() -> tuple[int, float]:
    """Return the number of songs with audio and their duration in all [s]."""
    return WITH_AUDIO, float(WITH_AUDIO * SECONDS)


def _artist(number: int) -> str:
    return f"artist {number // _SONGS_PER_ARTIST:03d}"


def _title(number: int) -> str:
    return f"title {number:03d}"


def _chords(song: composer.Song, number: int) -> str:
    """Return a song's annotation: a line for every four bars, one a section, with its time [s] and chords."""
    title, artist = _title(number), _artist(number)
    if number == _SWAPPED:
        title, artist = artist, title
    scale = MAJOR_SCALE if song.major else MINOR_SCALE
    chords = []
    for degree in song.progression:
        root, third, fifth = (scale[(degree + step) % 7] + 12 * ((degree + step) // 7) for step in (0, 2, 4))
        quality = {(4, 7): "maj", (3, 7): "min", (3, 6): "dim"}[third - root, fifth - root]
        chords.append(f"{_PITCH_CLASSES[(song.tonic + root) % 12]}:{quality}")
    line = len(chords) * bar_seconds(song)
    lines = [f"# title: {title}", f"# artist: {artist}", "# metre: 4/4", f"# tonic: {_PITCH_CLASSES[song.tonic]}", ""]
    # The music begins at once; the genuine files have a first event of silence all the same.
    lines.append("0.0\tsilence")
    for place, section in enumerate(_SECTIONS):
        # As in the genuine files, a time below 0.1 s is written with an exponent.
        seconds = f"{place * line:.9f}" if place else "1.0e-3"
        lines.append(f"{seconds}\t{section}, | {' | '.join(chords)} |")
    lines += [f"{len(_SECTIONS) * line:.9f}\tsilence", f"{len(_SECTIONS) * line + 1:.9f}\tend", ""]
    return "\n".join(lines)
