"""What the FMA stand-in's metadata tell of its songs beside their genre, with gaps as wide as in the genuine tables.

Everything is drawn from the songs, so that it can be heard, but for the year: the recordings know nothing of it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from tasks.standin import composer, tagger
from tasks.standin.composer import Song

#: Shares of tracks that have a tempo, tags, and an album with a date and a text.
WITH_TEMPO, WITH_TAGS, WITH_ALBUM = 0.6, 0.7, 0.75
#: First and last day on which tracks were uploaded.
FIRST_DAY, LAST_DAY = np.datetime64("2008-11-26"), np.datetime64("2017-03-30")
FIRST_YEAR, LAST_YEAR = 1985, 2016
#: Words between those that say something.
FILLERS = ("and", "the", "with", "made", "over", "summer", "home", "songs", "again", "for")

_ECHONEST = (
    ("metadata", "album_date"),
    *(("audio_features", name) for name in ("acousticness", "danceability", "energy", "instrumentalness", "liveness")),
    *(("audio_features", name) for name in ("speechiness", "tempo", "valence")),
)

Cells = Mapping[tuple[str, str], object]


def cells_of(music: int, track: int, artist: int, genre: str, song: Song) -> Cells:
    """Cells of `tracks.csv` for a track: its tags, dates, listens and texts.

    Parameters
    ----------
    music
        Seed of the stand-in's music.
    track, artist, genre
        Of the track.
    song
        What it plays.
    """
    rng = composer.generator(music, "annotator", track)
    own = composer.generator(music, "annotator", artist, 1)
    true = sorted(tagger.true_tags(song))
    tags = sorted(tagger.annotate(frozenset(true), (), rng)) if rng.random() < WITH_TAGS else []
    lively = 3 + 2 * song.energy + 0.5 * rng.normal()
    created = FIRST_DAY + int(rng.integers(int((LAST_DAY - FIRST_DAY).astype(int)) + 1))
    days = int((LAST_DAY - created).astype(int)) + 1
    year = int(own.integers(FIRST_YEAR, LAST_YEAR + 1))
    text = " ".join(rng.permutation([*true, genre, *rng.choice(FILLERS, 8).tolist()]).tolist())
    album = rng.random() < WITH_ALBUM
    return {
        ("album", "date_released"): f"{year}-{rng.integers(1, 13):02d}-01 00:00:00" if album else "",
        ("album", "information"): f"<p>{text}</p>" if album else "",
        ("album", "tags"): tags[:1],
        ("artist", "tags"): [f"artist {artist}", genre.lower()],
        ("track", "date_created"): f"{created} 12:00:00",
        ("track", "listens"): round(10**lively * days / 365),
        ("track", "tags"): tags,
    }


def write_echonest(path: Path, music: int, songs: Iterable[tuple[int, Song]]) -> None:
    """Write `echonest.csv` for some of the tracks, with its header of three rows and the name of the first column."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["", *("echonest" for _ in _ECHONEST)])
        for level in range(2):
            writer.writerow(["", *(column[level] for column in _ECHONEST)])
        writer.writerow(["track_id", *("" for _ in _ECHONEST)])
        for track, song in songs:
            rng = composer.generator(music, "annotator", track, 2)
            if rng.random() < WITH_TEMPO:
                cells = {"energy": round(song.energy, 3), "tempo": round(song.tempo * (1 + 0.01 * rng.normal()), 3)}
                writer.writerow([track, *(cells.get(name, "") for _, name in _ECHONEST)])


def write_genres(path: Path, numbers: Mapping[str, int], tracks: Mapping[str, int]) -> None:
    """Write `genres.csv`, of top genres alone: their numbers, and how many tracks each has."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["genre_id", "#tracks", "parent", "title", "top_level"])
        writer.writerows([number, tracks.get(genre, 0), 0, genre, number] for genre, number in numbers.items())
