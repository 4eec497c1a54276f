"""From a song to its notes: chords, melody, bass line and drum pattern, bar by bar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tasks.standin.composer import Song, generator

STEPS = 16
BEATS = 4

#: Drum -> the sixteenths of a bar where it is hit, by groove.
GROOVES: Mapping[str, Mapping[str, str]] = {
    "four on the floor": {"kick": "x...x...x...x...", "clap": "....x.......x...", "hat": "..x...x...x...x."},
    "disco": {"kick": "x...x...x...x...", "snare": "....x.......x...", "hat": "x.xxx.xxx.xxx.xx"},
    "pop": {"kick": "x......xx.......", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."},
    "rock": {"kick": "x.....x.x.x.....", "snare": "....x.......x..x", "hat": "x.x.x.x.x.x.x.x."},
    "metal": {"kick": "xxx.xxx.xxx.xxx.", "snare": "....x.......x...", "hat": "x...x...x...x..."},
    "train": {"kick": "x.......x.......", "snare": "x.xxx.xxx.xxx.xx"},
    "tabla": {"tabla": "x..x..x.x.xx..x.", "kick": "x.......x......."},
    "sparse": {"kick": "x...............", "hat": "....x.......x..."},
    "shuffle": {"kick": "x.......x.......", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."},
    "boom bap": {"kick": "x.....x...x.....", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."},
    "ride": {"kick": "x...............", "hat": "x...x.x.x...x.x."},
    "one drop": {"kick": "........x.......", "snare": "........x.......", "hat": "..x...x...x...x."},
}
HIT_LEVEL: Mapping[str, float] = {"kick": 1.0, "snare": 0.7, "hat": 0.3, "clap": 0.6, "tabla": 0.8}
#: Probability that a song changes a step of its groove, other than of the kick.
VARIATION = 0.08

MAJOR_SCALE = (0, 2, 4, 5, 7, 9, 11)
MINOR_SCALE = (0, 2, 3, 5, 7, 8, 10)

#: How an instrument that does not have the melody plays: one line, held chords, or (all others) broken or struck ones.
SINGLE_LINE = frozenset(
    {"violin", "cello", "flute", "clarinet", "sitar", "male voice", "female voice", "saw lead", "trumpet", "saxophone"}
)
SUSTAINED = frozenset({"strings", "synth", "organ", "choir"})
_FIGURES = ("x.x.x.x.x.x.x.x.", "x...x...x...x...", "x..x..x.x..x..x.", "x.......x.......")
_BASS_FIGURES = ("x...x...x...x...", "x.......x.......", "x..x..x.x..x..x.", "..x...x...x...x.")


@dataclass(frozen=True, slots=True)
class Note:
    """One note: `start`, `seconds` [s], `pitch` [MIDI number]; `player` counts `Song.instruments`, -1 is the bass."""

    start: float
    seconds: float
    pitch: float
    player: int
    level: float


@dataclass(frozen=True, slots=True)
class Hit:
    """One hit of a drum at `start` [s]."""

    start: float
    drum: str
    level: float


@dataclass(frozen=True)
class Arrangement:
    """What repeats in every bar of a song: the rhythm of each part and of each drum."""

    melody: tuple[int, ...]
    figures: tuple[tuple[int, ...], ...]
    bass: tuple[int, ...]
    drums: Mapping[str, tuple[int, ...]]


def bar_seconds(song: Song) -> float:
    """Return the duration of a bar [s]."""
    return BEATS * 60.0 / song.tempo


def arrange(song: Song) -> Arrangement:
    """Draw the rhythms that make the song recognisable in any of its bars."""
    # Index 0 is the arrangement, bar n has index n + 1.
    rng = generator(song.seed, "bar", song.index, 0)
    on_beat = np.where(np.arange(STEPS) % 4 == 0, 1.6, np.where(np.arange(STEPS) % 2 == 0, 1.0, 0.3))
    melody = np.flatnonzero(rng.random(STEPS) < song.density * on_beat)
    figures = tuple(_steps(_FIGURES[rng.integers(len(_FIGURES))]) for _ in song.instruments)
    bass = _steps(_BASS_FIGURES[rng.integers(len(_BASS_FIGURES))])
    drums: dict[str, tuple[int, ...]] = {}
    for drum, pattern in GROOVES[song.groove].items() if song.groove is not None else ():
        hits = np.array([step == "x" for step in pattern])
        changed = rng.random(STEPS) < VARIATION
        drums[drum] = tuple(int(step) for step in np.flatnonzero(hits if drum == "kick" else hits ^ changed))
    return Arrangement(tuple(int(step) for step in melody) or (0,), figures, bass, drums)


def bar(song: Song, arrangement: Arrangement, number: int) -> tuple[list[Note], list[Hit]]:
    """Write out the bar `number` (0 is the first); `start` counts from the start of the song [s]."""
    rng = generator(song.seed, "bar", song.index, number + 1)
    length = bar_seconds(song)
    step = length / STEPS
    begin = number * length
    root = song.progression[number % len(song.progression)]
    level = 0.4 + 0.6 * song.energy

    def at(place: int) -> float:
        late = song.swing * 2 * step if place % 4 == 2 else 0.0
        return begin + place * step + late

    notes = []
    degree = root
    places = [*arrangement.melody, STEPS]
    for place, following in pairwise(places):
        pitch = _pitch(song, degree, song.registers["melody"])
        notes.append(Note(at(place), (following - place) * step * 0.95, pitch, 0, level))
        degree += int(rng.integers(-2, 3))
    # Whoever plays alone accompanies their own melody, if the instrument can.
    backing = song.instruments[1:] or tuple(set(song.instruments) - SINGLE_LINE)
    for player, name in enumerate(backing, start=len(song.instruments) - len(backing)):
        chord = [_pitch(song, root + third, song.registers["chords"]) for third in (0, 2, 4)]
        if name in SUSTAINED:
            notes += [Note(begin, length, pitch, player, 0.4 * level) for pitch in chord]
        elif name in SINGLE_LINE:
            half = length / 2
            picks = rng.integers(3, size=2)
            notes += [
                Note(begin + i * half, half, chord[pick] + 12, player, 0.6 * level) for i, pick in enumerate(picks)
            ]
        else:
            broken = song.energy < 0.5
            for count, place in enumerate(arrangement.figures[player]):
                struck = [chord[count % 3]] if broken else chord
                notes += [Note(at(place), 2.5 * step, pitch, player, 0.5 * level) for pitch in struck]
    if song.bass is not None:
        low = _pitch(song, root, song.registers["bass"])
        notes += [Note(at(place), 2.5 * step, low, -1, 0.8 * level) for place in arrangement.bass]
    hits = [
        Hit(at(place), drum, HIT_LEVEL[drum] * song.drum_level * rng.uniform(0.8, 1.0))
        for drum, places in arrangement.drums.items()
        for place in places
    ]
    return notes, hits


def _steps(pattern: str) -> tuple[int, ...]:
    return tuple(place for place, step in enumerate(pattern) if step == "x")


def _pitch(song: Song, degree: int, lowest: int) -> int:
    """Return the note of the scale's `degree` (0 is the tonic) in the octave above `lowest` [MIDI number]."""
    scale = MAJOR_SCALE if song.major else MINOR_SCALE
    return lowest + (song.tonic + scale[degree % 7] - lowest) % 12
