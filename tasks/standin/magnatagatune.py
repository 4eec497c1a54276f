"""The MagnaTagATune stand-in: synthetic songs in the genuine layout, with MP3 files and both tables.

Sixty albums of two songs of two clips each make 240 clips of 6 s, in the folders that put an album into one split.
Most test albums are by artists who have albums in the training folders too, as in the genuine dataset.
The three files that are empty in every genuine copy are there, and empty.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.base import SPLITS, Split
from tasks.magnatagatune import ANNOTATIONS, CLIP_INFO, FOLDER_SPLIT, TOP_TAGS, MagnaTagATune
from tasks.standin import composer, recording, tagger
from tasks.standin.columns import TAG_COLUMNS

SAMPLE_RATE = 16000
SECONDS = 6
#: libsndfile maps 0..1 onto 160..8 kbit/s at this sample rate; this is 32 kbit/s.
ENCODING = recording.Encoding("MP3", SAMPLE_RATE, bitrate="CONSTANT", compression=(160 - 32) / (160 - 8))
SONGS_PER_ALBUM = 2
CLIPS_PER_SONG = 2
#: From the start of one segment of a song to the start of the next [s].
SEGMENT_STEP = 12
#: Every fourth song has one more segment in the table of clips, without audio.
SILENT_SEGMENT_EVERY = 4

#: Genres that make music which the tags can tell apart.
GENRES: tuple[str, ...] = (
    *("classical", "baroque", "opera", "choral", "indian", "ambient"),
    *("techno", "disco", "pop", "rock", "metal", "country"),
)

#: Split of each album of a genre and which of its artists made it: one row for each other genre.
_ALBUMS: tuple[tuple[tuple[Split, int], ...], ...] = (
    (("train", 0), ("train", 0), ("train", 1), ("test", 0), ("valid", 2)),
    (("train", 0), ("train", 0), ("train", 1), ("test", 0), ("test", 2)),
)
_ARTISTS_PER_GENRE = 3
#: Files with music that `write` writes.
CLIPS = len(GENRES) * len(_ALBUMS[0]) * SONGS_PER_ALBUM * CLIPS_PER_SONG
_SYLLABLES = ("ba", "do", "fe", "ki", "lo", "ma", "nu", "pe", "ra", "so", "ti", "vu", "za", "mi", "ro", "la")
_INFO_HEADER = (
    *("clip_id", "track_number", "title", "artist", "album", "url"),
    *("segmentStart", "segmentEnd", "original_url", "mp3_path"),
)


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a song, one row of the table of clips; `path` is empty where there is no audio."""

    clip_id: int
    song: composer.Song
    start: int
    artist: str
    album: str
    track: int
    title: str
    path: str
    tags: frozenset[str] = frozenset()


def compose(seed: int) -> list[Segment]:
    """Return every segment of the stand-in in the order of its clip ids; nothing is rendered."""
    rng = composer.generator(seed, "layout")
    names = _names(rng)
    folders = {split: cycle([folder for folder, of in FOLDER_SPLIT.items() if of == split]) for split in SPLITS}
    segments: list[Segment] = []
    for number, genre in enumerate(GENRES):
        artists = [next(names) for _ in range(_ARTISTS_PER_GENRE)]
        for place, (split, who) in enumerate(_ALBUMS[number % len(_ALBUMS)]):
            artist = composer.artist(seed, number * _ARTISTS_PER_GENRE + who, genre, GENRES)
            index = number * len(_ALBUMS[0]) + place
            album = composer.album(seed, index, composer.ALBUM_TILT_SD)
            title, folder = next(names), next(folders[split])
            for track in range(SONGS_PER_ALBUM):
                song = composer.song(seed, index * SONGS_PER_ALBUM + track, artist, album)
                segments += _cut(song, artists[who], title, track + 1, next(names), folder, rng)
    numbers = np.cumsum(rng.integers(1, 6, size=len(segments)))
    numbered = [replace(segment, clip_id=int(clip_id)) for segment, clip_id in zip(segments, numbers, strict=True)]
    return _annotate(numbered, seed, rng)


def pcm(segment: Segment) -> NDArray[np.int16]:
    """Return the samples of one segment, shape [96 000]; no other segment is needed for it."""
    return recording.pcm(_recording(segment))


def write(
    root: Path,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
    *,
    workers: int | None = None,
) -> None:
    """Write the stand-in into the empty folder `root`.

    Parameters
    ----------
    root
        Where the tables and the folders 0 to f go.
    seed
        Same seed, same tables, and same samples before compression.
    progress
        Called with the number of MP3 files written so far and their total.
    workers
        Processes that render; 1 renders in this one. By default one a core, as far as that pays.
    """
    segments = compose(seed)
    for folder in FOLDER_SPLIT:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for path in MagnaTagATune.KNOWN_BAD:
        (root / path).touch()
    recording.write_all(root, [_recording(segment) for segment in segments if segment.path], progress, workers)
    _write_tables(root, segments)


def extent() -> tuple[int, float]:
    """Return the number of MP3 files with music and their duration in all [s]."""
    return CLIPS, CLIPS * SECONDS


def _recording(segment: Segment) -> recording.Recording:
    return recording.Recording(segment.path, segment.song, segment.start, SECONDS, ENCODING)


def _names(rng: np.random.Generator) -> Iterator[str]:
    """Yield made-up words, each once."""
    seen: set[str] = set()
    while True:
        name = "".join(rng.choice(_SYLLABLES, size=rng.integers(2, 5))).capitalize()
        if name not in seen:
            seen.add(name)
            yield name


def _cut(
    song: composer.Song, artist: str, album: str, track: int, title: str, folder: str, rng: np.random.Generator
) -> list[Segment]:
    """Return the segments of one song, those with audio first."""
    silent = int(song.index % SILENT_SEGMENT_EVERY == 0)
    first = int(rng.integers(SECONDS))
    segments = []
    for part in range(CLIPS_PER_SONG + silent):
        start = first + part * SEGMENT_STEP
        path = f"{folder}/{artist}-{album}-{track:02d}-{title}-{start}-{start + SECONDS}.mp3".lower()
        segments.append(Segment(0, song, start, artist, album, track, title, path if part < CLIPS_PER_SONG else ""))
    return segments


def _annotate(segments: Sequence[Segment], seed: int, rng: np.random.Generator) -> list[Segment]:
    """Return the segments, those with audio with the tags that annotators gave them."""
    true = [tagger.true_tags(segment.song) for segment in segments]
    written = [
        tagger.annotate(tags, TOP_TAGS, composer.generator(seed, "annotator", segment.song.index, segment.start))
        if segment.path
        else frozenset()
        for segment, tags in zip(segments, true, strict=True)
    ]
    # As in the genuine tables, every label has a clip in every split: else its score would not be defined.
    for split in SPLITS:
        rows = [row for row, segment in enumerate(segments) if written[row] and FOLDER_SPLIT[segment.path[0]] == split]
        for tag in TOP_TAGS:
            if not any(tag in written[row] for row in rows):
                row = rng.choice([row for row in rows if tag in true[row]] or rows)
                written[row] |= {tag}
    return [replace(segment, tags=tags) for segment, tags in zip(segments, written, strict=True)]


def _write_tables(root: Path, segments: Sequence[Segment]) -> None:
    info: list[Sequence[object]] = [_INFO_HEADER]
    annotations: list[Sequence[object]] = [("clip_id", *TAG_COLUMNS, "mp3_path")]
    for segment in segments:
        info.append(
            (
                *(segment.clip_id, f"{segment.track:02d}", segment.title, segment.artist, segment.album, ""),
                *(segment.start, segment.start + SECONDS, "", segment.path),
            )
        )
        if segment.path:
            annotations.append((segment.clip_id, *(int(tag in segment.tags) for tag in TAG_COLUMNS), segment.path))
    for number, path in enumerate(MagnaTagATune.KNOWN_BAD, start=1):
        clip_id = segments[-1].clip_id + number
        info.append((clip_id, f"{number:02d}", f"Empty {number}", "Nobody", "Empty", "", 0, SECONDS, "", path))
        annotations.append((clip_id, *(0 for _ in TAG_COLUMNS), path))
    for name, rows in ((CLIP_INFO, info), (ANNOTATIONS, annotations)):
        with (root / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(rows)
