"""Who plays what: the artists, albums and songs that are drawn from the styles.

What a song is about (style, instruments, drums, tempo, energy) is drawn for the artist and the song. What an album
adds (room, equaliser, noise, level) tells nothing of that: it is the recording chain, and misleads whoever listens
to it instead of to the music.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from tasks.standin.styles import STYLES

Kind = Literal["artist", "album", "song", "bar", "clip", "annotator", "layout", "ride", "balance"]
_KINDS: tuple[Kind, ...] = get_args(Kind)


def generator(seed: int, kind: Kind, *index: int) -> np.random.Generator:
    """Return the generator that draws one item and nothing else."""
    return np.random.Generator(np.random.PCG64([seed, _KINDS.index(kind), *index]))


#: Spread of the artist's taste around the genre's, and how often it reaches into another genre.
PALETTE_FACTOR = (0.3, 1.7)
CROSSOVER_PROBABILITY = 0.35
CROSSOVER_WEIGHT = 0.5
ARTIST_TEMPO_SD = 8.0
ARTIST_BRIGHTNESS_SD = 0.6
DRUM_LEVEL = (0.5, 1.3)

#: The recording chain: slope of the spectrum [dB/octave], noise floor [log10 of its share], room, level [dB].
#: A mild slope is for stand-ins with too few clips to learn to look past a steep one.
ALBUM_TILT_SD = 2.5
MILD_TILT_SD = 1.0
ALBUM_NOISE = (-4.2, -2.2)
ALBUM_ROOM = (0.0, 0.35)
ALBUM_LEVEL_DB = (-18.0, -1.0)

SONG_DETUNE_SD = 12.0
ODD_PROBABILITY = 0.1
ODD_DETUNE = 55.0
DRUM_TUNING_SD = 0.12
#: Lowest and highest note of the register that is drawn for a song, by part [MIDI number].
REGISTERS: Mapping[str, tuple[int, int]] = {"bass": (26, 40), "chords": (43, 56), "melody": (52, 66)}

_PROGRESSIONS: Mapping[bool, tuple[tuple[int, int, int, int], ...]] = {
    True: ((0, 3, 4, 0), (0, 5, 3, 4), (0, 4, 5, 3), (0, 1, 4, 0), (0, 3, 0, 4), (5, 3, 0, 4)),
    False: ((0, 3, 4, 0), (0, 5, 2, 6), (0, 6, 5, 6), (0, 3, 6, 2), (0, 2, 3, 5), (0, 5, 3, 4)),
}


def seed_of(seed: int, dataset: str) -> int:
    """Return the seed of one stand-in's music, so that no two of them play the same songs."""
    return int(np.random.SeedSequence([seed, *dataset.encode()]).generate_state(1, np.uint64)[0])


@dataclass(frozen=True, slots=True)
class Artist:
    """A genre, and a taste within it."""

    genre: str
    palette: Mapping[str, float]
    tempo_offset: float
    brightness: float
    drum_level: float


@dataclass(frozen=True, slots=True)
class Album:
    """A recording chain: `tilt` [dB/octave], `noise` and three `room` taps relative to the music, `level` [dB]."""

    tilt: float
    noise: float
    room: tuple[tuple[float, float], ...]
    level: float


@dataclass(frozen=True, slots=True)
class Song:
    """Everything there is to know of a song before it is written out in notes.

    Attributes
    ----------
    tonic, major
        Key: pitch class 0 (C) to 11, and mode.
    tempo
        [beats/min].
    energy
        0 to 1: how densely, loudly and brightly the song is played.
    instruments
        The first plays the melody, the others chords.
    bass
        Instrument of the bass line, or ``None``.
    groove, drum_level, drum_tuning
        Drum pattern (key of `score.GROOVES`, ``None`` without drums), its loudness and the pitch of the kit.
    brightness
        Of all timbres; see `instruments.note`.
    registers
        Lowest note of each part [MIDI number].
    progression
        Degree of the scale on which the chord of each of four bars stands.
    detune
        Tuning of each instrument [cents].
    odd
        Whether the instruments are far out of tune with one another.
    """

    seed: int
    index: int
    artist: Artist
    album: Album
    tonic: int
    major: bool
    tempo: float
    energy: float
    instruments: tuple[str, ...]
    bass: str | None
    groove: str | None
    drum_level: float
    drum_tuning: float
    brightness: float
    registers: Mapping[str, int]
    progression: tuple[int, ...]
    detune: tuple[float, ...]
    odd: bool
    swing: float

    @property
    def genre(self) -> str:
        """Genre of the song's artist."""
        return self.artist.genre

    @property
    def density(self) -> float:
        """Share of the places in a melody's bar where a note begins."""
        return 0.15 + 0.5 * self.energy

    @property
    def arousal(self) -> float:
        """Ingredient of an arousal label: rises with energy, tempo and density."""
        return 0.55 * self.energy + 0.45 * (self.tempo - 50) / 130 + 0.25 * self.density

    @property
    def valence(self) -> float:
        """Ingredient of a valence label: rises with the major mode, brightness and tempo."""
        return 0.5 * self.major + 0.45 * self.brightness + 0.35 * (self.tempo - 50) / 130


def artist(seed: int, index: int, genre: str, neighbours: Sequence[str] = ()) -> Artist:
    """Invent the artist number `index`, who plays `genre` and may reach into one of its `neighbours` (`STYLES`)."""
    rng = generator(seed, "artist", index)
    palette = {name: weight * rng.uniform(*PALETTE_FACTOR) for name, weight in STYLES[genre].palette.items()}
    if rng.random() < CROSSOVER_PROBABILITY and neighbours:
        other = STYLES[str(rng.choice(list(neighbours)))].palette
        for name, weight in other.items():
            palette[name] = palette.get(name, 0.0) + CROSSOVER_WEIGHT * weight
    return Artist(
        genre=genre,
        palette=palette,
        tempo_offset=rng.normal(0, ARTIST_TEMPO_SD),
        brightness=rng.normal(0, ARTIST_BRIGHTNESS_SD),
        drum_level=rng.uniform(*DRUM_LEVEL),
    )


def album(seed: int, index: int, tilt_sd: float = MILD_TILT_SD) -> Album:
    """Invent the recording chain of the album number `index`; its equaliser's slope has the deviation `tilt_sd`."""
    rng = generator(seed, "album", index)
    wet = rng.uniform(*ALBUM_ROOM)
    delays = np.sort(rng.uniform(0.012, 0.11, size=3))
    return Album(
        tilt=rng.normal(0, tilt_sd),
        noise=10 ** rng.uniform(*ALBUM_NOISE),
        room=tuple((float(delay), wet * 0.75**tap) for tap, delay in enumerate(delays)),
        level=rng.uniform(*ALBUM_LEVEL_DB),
    )


def song(seed: int, index: int, by: Artist, on: Album, key: tuple[int, bool] | None = None) -> Song:
    """Compose the song number `index`, in a `key` (pitch class, whether major) of its own or in that given."""
    rng = generator(seed, "song", index)
    style = STYLES[by.genre]
    major = bool(rng.random() < style.major)
    if key is not None:
        major = key[1]
    energy = rng.uniform(*style.energy)
    names = list(by.palette)
    weights = np.array([by.palette[name] for name in names])
    players = int(rng.integers(style.players[0], style.players[1] + 1))
    chosen = rng.choice(len(names), size=min(players, len(names)), replace=False, p=weights / weights.sum())
    options = _PROGRESSIONS[major]
    progression = np.roll(options[rng.integers(len(options))], rng.integers(4))
    odd = bool(rng.random() < ODD_PROBABILITY)
    has_drums = bool(rng.random() < style.drums)
    tonic = int(rng.integers(12))
    return Song(
        seed=seed,
        index=index,
        artist=by,
        album=on,
        tonic=tonic if key is None else key[0],
        major=major,
        tempo=float(np.clip(rng.uniform(*style.tempo) + by.tempo_offset, 45, 190)),
        energy=energy,
        instruments=tuple(names[choice] for choice in chosen),
        bass=style.bass,
        groove=style.groove if has_drums else None,
        drum_level=by.drum_level * (0.6 + 0.6 * energy),
        drum_tuning=2 ** rng.normal(0, DRUM_TUNING_SD),
        brightness=by.brightness + (energy - 0.5),
        registers={part: int(rng.integers(low, high + 1)) for part, (low, high) in REGISTERS.items()},
        progression=tuple(int(degree) for degree in progression),
        detune=tuple(rng.normal(0, ODD_DETUNE if odd else SONG_DETUNE_SD, size=len(chosen))),
        odd=odd,
        swing=style.swing,
    )
