"""The EmoMusic stand-in: synthetic songs with arousal and valence in the genuine layout, as MP3 files of 6 s.

Of each of eight genres there are 15 songs to train, 4 to validate and 6 to test. Which artists validate is decided by
a hash of their name, so names are chosen by it; as in the genuine dataset, a few artists are on both sides of
development and evaluation. Arousal follows from energy, tempo and density, valence from mode, brightness and tempo;
what listeners disagree on is added.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, product
from pathlib import Path
from string import ascii_lowercase

import numpy as np

from tasks.base import Split
from tasks.emomusic import CLIPS, SCALE, SONGS, STATIC
from tasks.standin import composer
from tasks.standin.recording import Encoding, Recording, write_all

SECONDS = 6
ENCODING = Encoding("MP3", 44_100, compression=0.8)
#: Start of the latest excerpt in its song [s].
LATEST = 58

#: Genre -> style of its music.
STYLE: Mapping[str, str] = {
    "Blues": "blues",
    "Classical": "classical",
    "Country": "country",
    "Electronic": "techno",
    "Folk": "folk",
    "Jazz": "jazz",
    "Pop": "pop",
    "Rock": "rock",
}
#: Split -> number of songs by each of a genre's artists in it.
_ARTISTS: Mapping[Split, tuple[int, ...]] = {"train": (3, 3, 3, 3, 3), "valid": (2, 2), "test": (2, 2, 2)}
#: Remainders of the hash, divided by 10, from which artists validate: in one published split both, in another one.
_VALID_REMAINDERS = (8, 9)
#: Genres whose first training artist has test songs too.
_SHARED = ("Electronic", "Rock")
#: Mean and deviation over songs, as in the genuine annotations.
AROUSAL = (4.76, 1.39)
VALENCE = (4.97, 1.25)
#: Spread of songs in brightness beside that of their artists, so that valence can be heard.
BRIGHTNESS_SD = 1.3
#: What listeners disagree on, against a deviation over songs of 1; deviation of single ratings.
AROUSAL_NOISE = 0.35
VALENCE_NOISE = 0.4
RATING_SD = (0.7, 2.2)
#: Mean ratings are of ten listeners.
_DECIMALS = 1

_SONG_HEADER = (
    *("song_id", "file_name", "Artist", "Song title"),
    *("start of the segment (min.sec)", "end of the segment (min.sec)", "Genre", "Mediaeval 2013 set"),
)


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A song of the dataset: a row of both tables, and what is to be recorded."""

    song_id: int
    recording: Recording
    artist: str
    genre: str
    split: Split
    arousal: float = 0.0
    valence: float = 0.0


def compose(seed: int) -> list[Excerpt]:
    """Return every excerpt in the order of its song id; nothing is rendered."""
    music = composer.seed_of(seed, "emomusic")
    rng = composer.generator(music, "layout")
    training = _names(frozenset(range(10)) - frozenset(_VALID_REMAINDERS))
    validating = [_names(frozenset({remainder})) for remainder in _VALID_REMAINDERS]
    plan: list[tuple[Split, str, str, composer.Artist]] = []
    artists = count()
    for genre, style in STYLE.items():
        shared: tuple[str, composer.Artist] | None = None
        for split, counts in _ARTISTS.items():
            for place, songs in enumerate(counts):
                name = next(validating[place % 2] if split == "valid" else training)
                by = composer.artist(music, next(artists), style, tuple(STYLE.values()))
                if split == "train" and place == 0:
                    shared = name, by
                if split == "test" and place == 0 and genre in _SHARED and shared is not None:
                    name, by = shared
                plan += [(split, genre, name, by)] * songs
    # Ids have gaps, where duplicates were taken out of the genuine dataset.
    ids = np.sort(rng.permutation(np.arange(2, 1001))[: len(plan)]).tolist()
    order = rng.permutation(len(plan)).tolist()
    excerpts = []
    for song_id, place in zip(ids, order, strict=True):
        split, genre, name, by = plan[place]
        song = composer.song(music, place, by, composer.album(music, place))
        song = replace(song, brightness=song.brightness + rng.normal(0, BRIGHTNESS_SD))
        recording = Recording(f"{CLIPS}/{song_id}.mp3", song, float(rng.integers(LATEST)), SECONDS, ENCODING)
        excerpts.append(Excerpt(song_id, recording, name, genre, split))
    return _rate(excerpts, rng)


def write(root: Path, seed: int, progress: Callable[[int, int], None] | None = None) -> None:
    """Write the stand-in into the empty folder `root`; see `tasks.base.StandIn`."""
    excerpts = compose(seed)
    write_all(root, [excerpt.recording for excerpt in excerpts], progress)
    _write_tables(root / "annotations", excerpts, composer.generator(composer.seed_of(seed, "emomusic"), "annotator"))


def extent() -> tuple[int, float]:
    """Return the number of excerpts and their duration in all [s]."""
    number = len(STYLE) * sum(map(sum, _ARTISTS.values()))
    return number, float(number * SECONDS)


def _names(remainders: frozenset[int]) -> Iterator[str]:
    """Yield names of artists, of letters only: the published rule sees nothing else in them."""
    for letters in product(ascii_lowercase, repeat=2):
        name = f"artist {''.join(letters)}"
        if int(hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest(), 16) % 10 in remainders:
            yield name


def _rate(excerpts: Sequence[Excerpt], rng: np.random.Generator) -> list[Excerpt]:
    """Return the excerpts with the means of their listeners' ratings."""
    columns = []
    for ingredient, noise, (mean, deviation) in (
        ([excerpt.recording.song.arousal for excerpt in excerpts], AROUSAL_NOISE, AROUSAL),
        ([excerpt.recording.song.valence for excerpt in excerpts], VALENCE_NOISE, VALENCE),
    ):
        score = (np.array(ingredient) - np.mean(ingredient)) / np.std(ingredient) + rng.normal(0, noise, len(excerpts))
        columns.append(np.clip(np.round(mean + deviation * score / np.hypot(1, noise), _DECIMALS), *SCALE).tolist())
    return [
        replace(excerpt, arousal=arousal, valence=valence)
        for excerpt, arousal, valence in zip(excerpts, *columns, strict=True)
    ]


def _write_tables(folder: Path, excerpts: Sequence[Excerpt], rng: np.random.Generator) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / SONGS).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        writer.writerow(_SONG_HEADER)
        for excerpt in excerpts:
            start = int(excerpt.recording.start)
            writer.writerow(
                (
                    excerpt.song_id,
                    f"\t{excerpt.song_id}.mp3",
                    f"{excerpt.artist}\t",
                    f"\tsong {excerpt.song_id}\t",
                    f"\t{_minutes(start)}\t",
                    f"\t{_minutes(start + SECONDS)}\t",
                    f"\t{excerpt.genre}\t",
                    "evaluation" if excerpt.split == "test" else "development",
                )
            )
    with (folder / STATIC).open("w", newline="", encoding="utf-8") as file:
        plain = csv.writer(file, lineterminator="\n")
        plain.writerow(("song_id", "mean_arousal", "std_arousal", "mean_valence", "std_valence"))
        for excerpt in excerpts:
            spread = [f"{value:.5g}" for value in rng.uniform(*RATING_SD, size=2)]
            plain.writerow((excerpt.song_id, f"{excerpt.arousal:g}", spread[0], f"{excerpt.valence:g}", spread[1]))


def _minutes(seconds: int) -> str:
    """Write a time as minutes.seconds and lose a final zero, as the genuine table does: 20 s are ``0.2``."""
    return f"{seconds // 60 + seconds % 60 / 100:g}"
