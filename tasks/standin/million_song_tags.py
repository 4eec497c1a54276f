"""The stand-in of the Million Song Dataset's tagging: the songs of its corpus, tags by five annotators, every split.

Files are those that were published as text, of musicnn's training code and of CALS, and musicnn's form of the others.
`lee` divides songs at random, so that artists are on both sides, as the genuine split has them; `cals` divides artists.
Previews are named by track in one half of the songs and by 7digital's number in the other.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tasks.million_song import METADATA, split_of
from tasks.million_song_tags import CALS, CALS_HOME, GROUND_TRUTH, track_path
from tasks.standin import composer, million_song
from tasks.standin.million_song import Track
from tasks.standin.recording import write_all

#: Labels of each split: the most frequent tags.
LABELS: Mapping[str, int] = {"lee": 30, "msd50": 20, "msd100": 30, "msd500": 40}
#: Of twenty songs, so many are validated with and so many tested on.
TWENTIETHS = 3
#: Weight from which on a tag is given [of 100].
GIVEN = 40


def write(root: Path, seed: int, progress: Callable[[int, int], None] | None = None) -> None:
    """Write the stand-in into the empty folder `root`; see `tasks.base.StandIn`."""
    tracks = million_song.compose(seed)
    pieces = [
        replace(piece, path=track_path(track.track_id)) if number % 2 else piece
        for number, (track, piece) in enumerate(zip(tracks, million_song.recordings(tracks, seed), strict=True))
    ]
    write_all(root, pieces, progress)
    write_tables(root, tracks, seed)


def extent() -> tuple[int, float]:
    """Return the number of previews and their duration in all [s]."""
    return million_song.extent()


def write_tables(root: Path, tracks: Sequence[Track], seed: int) -> None:
    """Write every split's files, and the table that says whose number a preview is named by."""
    million_song.write_metadata(root / METADATA, tracks)
    given = {track.track_id: [tag for tag, weight in track.tags.items() if weight >= GIVEN] for track in tracks}
    often = [tag for tag, _ in Counter(tag for tags in given.values() for tag in tags).most_common()]
    rng = composer.generator(composer.seed_of(seed, "million song tags"), "layout")
    drawn = dict(zip(given, (rng.permutation(len(given)) * 20 // len(given)).tolist(), strict=True))
    for split, name in GROUND_TRUTH.items():
        labels = often[: LABELS[split]]
        (root / f"output_labels_{name}.txt").write_text(f"# Output labels\nMSD_LABELS = {labels!r}\n", encoding="utf-8")
        for part, places in (
            ("train", range(2 * TWENTIETHS, 20)),
            ("val", range(TWENTIETHS)),
            ("test", range(TWENTIETHS, 2 * TWENTIETHS)),
        ):
            lines = [
                f"{track}\t{[int(label in tags) for label in labels]}\n"
                for track, tags in given.items()
                if drawn[track] in places
            ]
            (root / f"{part}_gt_{name}.tsv").write_text("".join(lines), encoding="utf-8")
    _write_cals(root / CALS_HOME, tracks, given)


def _write_cals(folder: Path, tracks: Sequence[Track], given: Mapping[str, list[str]]) -> None:
    folder.mkdir()
    named = {"train": "train_track", "valid": "valid_track", "test": "test_track"}
    split: dict[str, list[str]] = {key: [] for key in (*named.values(), "extra_track")}
    annotation: dict[str, Any] = {}
    for track in tracks:
        split[named[split_of(track.artist_id)]].append(track.track_id)
        annotation[track.track_id] = {
            "tag": given[track.track_id],
            "release": track.album,
            "artist_name": track.artist,
            "year": track.year,
            "title": track.title,
            "track_id": track.track_id,
        }
    for name, document in zip(CALS, (split, annotation), strict=True):
        (folder / name).write_text(json.dumps(document), encoding="utf-8")
