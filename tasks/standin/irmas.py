"""The IRMAS stand-in: synthetic songs with one of eleven instruments in front, in the published layout, as WAV files.

Of each instrument there are two excerpts of 3 s from each of six songs of the training part, whose numbers are drawn
from the published ones so that the published split applies: three train, one validates and two are tested. Half of the
songs have an accompaniment that is none of the eleven. In the 44 excerpts of the test part, of 5 s, one to three
instruments play.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tasks.base import Split
from tasks.irmas import INSTRUMENTS, PARTS, TRAINING, read_songs
from tasks.standin import composer
from tasks.standin.recording import Encoding, Recording, write_all

SECONDS = 3
TEST_SECONDS = 5
ENCODING = Encoding("WAV", 22_050, channels=2)
#: Start of the latest excerpt in its song [s].
LATEST = 40
#: Split -> songs of each instrument in it; excerpts of each.
SONGS: Mapping[Split, int] = {"train": 3, "valid": 1, "test": 2}
EXCERPTS = 2
#: Excerpts of the test part in which each instrument comes first.
TESTED = 4
#: Folder of an instrument -> how it sounds here.
TIMBRE: Mapping[str, str] = {
    **{"cel": "cello", "cla": "clarinet", "flu": "flute", "gac": "guitar", "gel": "distorted guitar"},
    **{"org": "organ", "pia": "piano", "sax": "saxophone", "tru": "trumpet", "vio": "violin", "voi": "female voice"},
}
#: Genre in a name -> style of its music.
GENRES: Mapping[str, str] = {
    **{"cla": "classical", "pop_roc": "pop", "jaz_blu": "jazz", "cou_fol": "folk", "lat_sou": "soul"},
}
ACCOMPANIMENTS = ("strings", "synth", "harp")


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What is recorded and, of the test part, the folders' names of the instruments in it."""

    recording: Recording
    labels: tuple[str, ...] = ()


def compose(seed: int) -> list[Excerpt]:
    """Return the excerpts of both parts; nothing is rendered."""
    music = composer.seed_of(seed, "irmas")
    rng = composer.generator(music, "layout")
    published = read_songs()
    excerpts: list[Excerpt] = []
    index = 0
    for name in INSTRUMENTS:
        for split, count in SONGS.items():
            own = sorted(song for song, (instrument, part) in published.items() if (instrument, part) == (name, split))
            for number in sorted(rng.choice(own, size=count, replace=False).tolist()):
                others = [str(rng.choice(ACCOMPANIMENTS))] if rng.random() < 0.5 else []
                genre = str(rng.choice(sorted(GENRES)))
                song = _song(music, index, genre, [TIMBRE[name], *others], rng)
                index += 1
                drums = "nod" if song.groove is None else "dru"
                for excerpt in range(1, EXCERPTS + 1):
                    path = f"{TRAINING}/{name}/[{name}][{drums}][{genre}]{number}__{excerpt}.wav"
                    start = float(rng.integers(LATEST))
                    excerpts.append(Excerpt(Recording(path, song, start, SECONDS, ENCODING)))
    for place, name in enumerate(name for name in INSTRUMENTS for _ in range(TESTED)):
        others = sorted(set(INSTRUMENTS) - {name})
        labels = (name, *rng.choice(others, size=int(rng.integers(3)), replace=False).tolist())
        song = _song(music, index, str(rng.choice(sorted(GENRES))), [TIMBRE[label] for label in labels], rng)
        index += 1
        part = PARTS[place % len(PARTS)]
        path = f"IRMAS-TestingData-{part}/{part}/song {place}-1.wav"
        excerpts.append(Excerpt(Recording(path, song, float(rng.integers(LATEST)), TEST_SECONDS, ENCODING), labels))
    return excerpts


def write(root: Path, seed: int, progress: Callable[[int, int], None] | None = None) -> None:
    """Write the stand-in into the empty folder `root`; see `tasks.base.StandIn`."""
    excerpts = compose(seed)
    write_all(root, [excerpt.recording for excerpt in excerpts], progress)
    for excerpt in excerpts:
        if excerpt.labels:
            file = (root / excerpt.recording.path).with_suffix(".txt")
            file.write_text("".join(f"{label}\t\n" for label in excerpt.labels), encoding="utf-8")


def extent() -> tuple[int, float]:
    """Return the number of excerpts and their duration in all [s]."""
    training = len(INSTRUMENTS) * sum(SONGS.values()) * EXCERPTS
    tested = len(INSTRUMENTS) * TESTED
    return training + tested, float(training * SECONDS + tested * TEST_SECONDS)


def _song(seed: int, index: int, genre: str, playing: list[str], rng: np.random.Generator) -> composer.Song:
    artist = composer.artist(seed, index, GENRES[genre])
    song = composer.song(seed, index, artist, composer.album(seed, index))
    detune = tuple((composer.SONG_DETUNE_SD * rng.normal(size=len(playing))).tolist())
    return replace(song, instruments=tuple(playing), detune=detune, odd=False)
