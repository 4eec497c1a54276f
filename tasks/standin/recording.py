"""From songs to audio files: which stretch of which song goes into which file, written by several processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
from numpy.typing import NDArray

from tasks.standin import composer
from tasks.standin.renderer import render

#: Most processes that render at a time.
MOST_WORKERS = 8
#: Rate above which songs are rendered at half the rate and resampled: nothing pitched sounds up there [Hz].
HIGHEST_RENDERED = 24_000
#: Range of the gain of a stereo file's quieter channel.
BALANCE = (0.6, 1.0)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a file holds its samples; names and ranges as libsndfile has them.

    Attributes
    ----------
    format
        ``"WAV"``, ``"FLAC"`` (16 bits both) or ``"MP3"``.
    sample_rate
        [Hz]
    channels
        1, or 2: the same music, louder on one side.
    bitrate
        Mode of an MP3 file's bit rate.
    compression
        0 (largest) to 1 (smallest), of an MP3 file.
    """

    format: Literal["WAV", "FLAC", "MP3"]
    sample_rate: int
    channels: Literal[1, 2] = 1
    bitrate: Literal["CONSTANT", "VARIABLE"] = "VARIABLE"
    compression: float = 0.5


@dataclass(frozen=True, slots=True)
class Recording:
    """One audio file to be written: `seconds` of `song` from `start` on [s], to `path` below the dataset's folder."""

    path: str
    song: composer.Song
    start: float
    seconds: float
    encoding: Encoding


def pcm(recording: Recording) -> NDArray[np.int16]:
    """Return the samples of one recording, shape [samples] or [samples, 2]; no other recording is needed for it."""
    encoding = recording.encoding
    if encoding.sample_rate > HIGHEST_RENDERED:
        from scipy.signal import resample_poly

        half = render(recording.song, recording.start, recording.seconds, encoding.sample_rate // 2)
        twice = resample_poly(half.astype(np.float64), 2, 1)
        samples = np.clip(np.round(twice), -32768, 32767).astype(np.int16)
    else:
        samples = render(recording.song, recording.start, recording.seconds, encoding.sample_rate)
    if encoding.channels == 2:
        rng = composer.generator(recording.song.seed, "balance", recording.song.index)
        samples = np.round(np.outer(samples, rng.permutation([1.0, rng.uniform(*BALANCE)]))).astype(np.int16)
    return samples


def write_all(
    root: Path,
    recordings: Sequence[Recording],
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> None:
    """Write the recordings, whose folders need not exist yet.

    Parameters
    ----------
    root
        The dataset's folder.
    recordings
        What to write.
    progress
        Called with the number of files written so far and their total.
    workers
        Processes that render; 1 renders in this one. By default one a core, as far as that pays.
    """
    for folder in {(root / recording.path).parent for recording in recordings}:
        folder.mkdir(parents=True, exist_ok=True)
    # A daemon, such as a worker of a Dask cluster, may not have children.
    if multiprocessing.current_process().daemon:
        workers = 1
    workers = workers or min(os.cpu_count() or 1, MOST_WORKERS)
    if workers == 1:
        _count((_write(root, recording) for recording in recordings), len(recordings), progress)
    else:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            _count(pool.map(_write, repeat(root), recordings, chunksize=4), len(recordings), progress)


def _count(written: Iterable[Path], total: int, progress: Callable[[int, int], None] | None) -> None:
    for done, _ in enumerate(written, start=1):
        if progress is not None:
            progress(done, total)


def _write(root: Path, recording: Recording) -> Path:
    encoding = recording.encoding
    options: dict[str, Any] = {"subtype": "PCM_16"}
    if encoding.format == "MP3":
        options = {
            "subtype": "MPEG_LAYER_III",
            "bitrate_mode": encoding.bitrate,
            "compression_level": encoding.compression,
        }
    path = root / recording.path
    soundfile.write(path, pcm(recording), encoding.sample_rate, format=encoding.format, **options)
    return path
