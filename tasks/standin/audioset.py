"""The AudioSet stand-in: voices, machines, weather, animals and a little music in the published layout, as FLAC of 6 s.

Two of three segments have a second sound in the background. Music is one sound among twelve, so that what is learnt
here is learnt from sound in general. A fifth of the balanced training segments validate.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from tasks.audioset import AUDIO, BALANCED, CLASSES, EVALUATION, UNBALANCED, is_held_out
from tasks.standin import composer
from tasks.standin.renderer import render
from tasks.standin.sounds import KINDS, Samples, sound
from tasks.standin.styles import STYLES

SECONDS = 6
RATE = 16_000
MUSIC = "music"
#: Sound -> mids of its labels, as the ontology has them, and the names of those.
LABELS: Mapping[str, Mapping[str, str]] = {
    "man": {"/m/09x0r": "Speech", "/m/05zppz": "Male speech, man speaking"},
    "woman": {"/m/09x0r": "Speech", "/m/02zsn": "Female speech, woman speaking"},
    "engine": {"/m/02mk9": "Engine"},
    "vacuum cleaner": {"/m/0d31p": "Vacuum cleaner"},
    "rain": {"/m/06mb1": "Rain"},
    "wind": {"/m/03m9d0z": "Wind"},
    "thunder": {"/m/0ngt1": "Thunder"},
    "bell": {"/m/0395lw": "Bell"},
    "alarm": {"/m/07pp_mv": "Alarm"},
    "typing": {"/m/0316dw": "Typing"},
    "dog": {"/m/0bt9lr": "Dog"},
    MUSIC: {"/m/04rlf": "Music"},
}
#: Table -> number of segments in it.
SEGMENTS: Mapping[str, int] = {BALANCED: 120, UNBALANCED: 60, EVALUATION: 60}
#: Segments of two sounds, and how much quieter the second is [dB].
SHARE_OF_TWO = 2 / 3
BACKGROUND_DB = (-15.0, -3.0)
#: Level of a segment [dB].
LEVEL_DB = (-12.0, 3.0)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@dataclass(frozen=True, slots=True)
class Segment:
    """What is heard in one segment."""

    number: int
    table: str
    video: str
    begin: int
    sounds: tuple[str, ...]


def compose(seed: int) -> list[Segment]:
    """Return every segment in the order of the tables; nothing is rendered."""
    rng = composer.generator(composer.seed_of(seed, "audioset"), "layout")
    kinds = [*KINDS, MUSIC]
    segments: list[Segment] = []
    for table, count in SEGMENTS.items():
        for _ in range(count):
            number = len(segments)
            first = kinds[number % len(kinds)]
            background = (
                [str(rng.choice([kind for kind in kinds if kind != first]))] if rng.random() < SHARE_OF_TWO else []
            )
            video = _video(rng, held_out=table == BALANCED and number % 5 == 4)
            segments.append(Segment(number, table, video, int(rng.integers(0, 30)) * 10, (first, *background)))
    return segments


def _video(rng: np.random.Generator, held_out: bool) -> str:
    """An id that is one of those that validate, or is not."""
    while True:
        video = "".join(rng.choice(list(_LETTERS), 11))
        if is_held_out(video) == held_out:
            return video


def samples(segment: Segment, seed: int) -> Samples:
    """Return what is heard in a segment, in [-1, 1]."""
    music = composer.seed_of(seed, "audioset")
    rng = composer.generator(music, "clip", segment.number)
    mixed: Samples = np.zeros(SECONDS * RATE)
    for place, kind in enumerate(segment.sounds):
        level = 10 ** (rng.uniform(*BACKGROUND_DB) / 20) if place else 1.0
        if kind == MUSIC:
            artist = composer.artist(music, segment.number, sorted(STYLES)[segment.number % len(STYLES)])
            song = composer.song(music, segment.number, artist, composer.album(music, segment.number))
            played = render(song, float(rng.integers(30)), SECONDS, RATE) / 32_768
            mixed += level * 0.1 * played / max(float(np.sqrt(np.mean(played**2))), 1e-9)
        else:
            mixed += level * sound(kind, rng, SECONDS, RATE)
    mixed *= 10 ** (rng.uniform(*LEVEL_DB) / 20)
    return mixed / max(1.0, float(np.abs(mixed).max()) / 0.99)


def write(root: Path, seed: int, progress: Callable[[int, int], None] | None = None) -> None:
    """Write the stand-in into the empty folder `root`; see `tasks.base.StandIn`."""
    segments = compose(seed)
    names = {mid: name for labels in LABELS.values() for mid, name in labels.items()}
    with (root / CLASSES).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [("index", "mid", "display_name"), *((i, *row) for i, row in enumerate(names.items()))]
        )
    for table in SEGMENTS:
        (root / table).write_text(_table([segment for segment in segments if segment.table == table]), encoding="utf-8")
    (root / AUDIO).mkdir()
    for segment in segments:
        path = root / AUDIO / f"Y{segment.video}.flac"
        soundfile.write(path, samples(segment, seed), RATE, format="FLAC", subtype="PCM_16")
        if progress is not None:
            progress(segment.number + 1, len(segments))


def extent() -> tuple[int, float]:
    """Return the number of segments and their duration in all [s]."""
    number = sum(SEGMENTS.values())
    return number, float(number * SECONDS)


def _mids(segment: Segment) -> list[str]:
    return sorted({mid for kind in segment.sounds for mid in LABELS[kind]})


def _table(segments: list[Segment]) -> str:
    """The published form: two lines of comment, then fields with a blank behind every comma."""
    lists = [_mids(segment) for segment in segments]
    unique = len({mid for mids in lists for mid in mids})
    lines = [
        f"# num_ytids={len(segments)}, num_segs={len(segments)}, num_unique_labels={unique}, "
        f"num_positive_labels={sum(map(len, lists))}",
        "# YTID, start_seconds, end_seconds, positive_labels",
        *(
            f'{segment.video}, {segment.begin:.3f}, {segment.begin + SECONDS:.3f}, "{",".join(mids)}"'
            for segment, mids in zip(segments, lists, strict=True)
        ),
    ]
    return "\n".join(lines) + "\n"
