"""The GTZAN stand-in: synthetic songs of ten genres in the genuine layout, as WAV files of 6 s.

Names are drawn from the published ones, so that the published split applies: of each genre 12 training, 3 validation
and 6 test excerpts and, where the fault filter removes any, one of those. As in that split, no artist is in two parts
of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from tasks.gtzan import EXCERPTS, GENRES, SPLIT_LIST
from tasks.standin import composer
from tasks.standin.recording import Encoding, Recording, write_all
from tasks.tables import find_columns, read_header, read_rows

SECONDS = 6
ENCODING = Encoding("WAV", 22_050)
#: Start of the latest excerpt in its song [s].
LATEST = 50

#: Genre -> style of its music.
STYLE: Mapping[str, str] = {genre: genre for genre in GENRES} | {"hiphop": "hip hop"}
#: How much brighter (duller) than elsewhere a genre sounds; see `instruments.note`.
BRIGHTNESS: Mapping[str, float] = {
    **{"metal": 2.0, "disco": 1.5, "pop": 1.0, "country": 0.5},
    **{"reggae": -2.0, "classical": -1.5, "jazz": -1.0, "hiphop": -0.5},
}
#: What the fault filter leaves out of every split.
REMOVED = "removed"
#: Split -> number of excerpts by each of a genre's artists in it.
_ARTISTS: Mapping[str, tuple[int, ...]] = {"train": (3, 3, 3, 3), "valid": (2, 1), "test": (2, 2, 2), REMOVED: (1,)}


def compose(seed: int) -> list[Recording]:
    """Return every excerpt by genre and split; nothing is rendered."""
    music = composer.seed_of(seed, "gtzan")
    rng = composer.generator(music, "layout")
    published = _names()
    recordings = []
    artists = songs = 0
    for genre in GENRES:
        for split, counts in _ARTISTS.items():
            names = published[genre, split]
            chosen = iter(sorted(rng.choice(names, size=min(sum(counts), len(names)), replace=False).tolist()))
            for count in counts:
                artist = composer.artist(music, artists, STYLE[genre])
                artist = replace(artist, brightness=artist.brightness + BRIGHTNESS.get(genre, 0.0))
                artists += 1
                for _, name in zip(range(count), chosen, strict=False):
                    song = composer.song(music, songs, artist, composer.album(music, songs))
                    songs += 1
                    start = float(rng.integers(LATEST))
                    recordings.append(Recording(f"genres/{genre}/{name}.wav", song, start, SECONDS, ENCODING))
    return recordings


def write(root: Path, seed: int, progress: Callable[[int, int], None] | None = None) -> None:
    """Write the stand-in into the empty folder `root`; see `tasks.base.StandIn`."""
    recordings = compose(seed)
    write_all(root, recordings, progress)
    excerpts = sorted(Path(recording.path).stem for recording in recordings)
    (root / EXCERPTS).write_text("".join(f"{excerpt}\n" for excerpt in excerpts), encoding="utf-8")


def extent() -> tuple[int, float]:
    """Return the number of excerpts and their duration in all [s]."""
    number = sum(min(sum(_ARTISTS[split]), len(names)) for (_, split), names in _names().items())
    return number, float(number * SECONDS)


def _names() -> dict[tuple[str, str], list[str]]:
    """Return the published names by genre and split."""
    rows = read_rows(SPLIT_LIST, ",")
    columns = find_columns(SPLIT_LIST, read_header(SPLIT_LIST, rows), ("clip", "split", "faulty"))
    names: dict[tuple[str, str], list[str]] = {(genre, split): [] for genre in GENRES for split in _ARTISTS}
    for _, row in rows:
        name, split, faulty = (row[column] for column in columns)
        names[name.partition(".")[0], REMOVED if faulty == "1" else split].append(name)
    return names
