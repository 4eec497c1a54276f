"""Decoding: any audio file to mono samples at the rate an encoder wants, or the reason why not."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

#: Shorter than this [s], a decoded file is taken for a stub: broken files decode to a few frames without an error.
MIN_SECONDS = 1.0
#: Below this share of the promised duration a file is reported as cut short.
COMPLETE = 0.9
FULL_SCALE = 32_767


class Undecodable(Exception):  # noqa: N818 (it is no programming error)
    """A file that yields no usable audio; the message says why, in a few words."""


@dataclass(frozen=True)
class Decoded:
    """Audio of one file.

    Attributes
    ----------
    pcm : ndarray of int16, shape [samples]
        Mono, at the rate asked for.
    source_rate : int
        Rate of the file [Hz].
    channels : int
        Channels of the file.
    remark : str
        What is odd about it though it can be used; empty if nothing is.
    """

    pcm: NDArray[np.int16]
    source_rate: int
    channels: int
    remark: str


def decode(path: Path, sample_rate: int, expected_seconds: float | None = None) -> Decoded:
    """Read an audio file whole, mix it to mono and resample it.

    The format is recognised from the content, never from the name, and the length is what was decoded, never
    what the header says: headers of cut-off files lie, and seeking in MP3 is not exact.

    Parameters
    ----------
    path
        Any file that libsndfile reads (WAV, FLAC, OGG, MP3, AU, AIFF ...).
    sample_rate
        Rate to resample to [Hz].
    expected_seconds
        Duration that the dataset promises [s].

    Raises
    ------
    Undecodable
        If the file is missing, empty, no audio, broken, or shorter than `MIN_SECONDS`.
    """
    try:
        size = path.stat().st_size
    except OSError:
        raise Undecodable("missing") from None
    if size == 0:
        raise Undecodable("empty file (0 bytes)")
    try:
        frames, source_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise Undecodable(f"not readable as audio ({_reason(error)})") from None
    seconds = len(frames) / source_rate
    if seconds < MIN_SECONDS:
        raise Undecodable(f"stub: only {len(frames)} samples ({seconds:.3f} s) decode from {size} bytes")
    mono = downmix(frames)
    if not math.isfinite(float(np.dot(mono, mono))):
        raise Undecodable("holds samples that are not finite numbers")
    pcm = to_int16(mono if source_rate == sample_rate else soxr.resample(mono, source_rate, sample_rate))
    remark = ""
    if expected_seconds and seconds < COMPLETE * expected_seconds:
        remark = f"cut short: {seconds:.1f} s of {expected_seconds:.1f} s"
    elif not pcm.any():
        remark = "digital silence"
    return Decoded(pcm, int(source_rate), frames.shape[1], remark)


def downmix(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean over the channels of `frames` [samples, channels]; adding columns is 40 times faster than ``mean(1)``."""
    if frames.shape[1] == 1:
        return frames[:, 0]
    mono = frames[:, 0] + frames[:, 1]
    for channel in range(2, frames.shape[1]):
        mono += frames[:, channel]
    mono *= np.float32(1 / frames.shape[1])
    return mono


def to_int16(waveform: NDArray[np.float32]) -> NDArray[np.int16]:
    """Round [-1, 1] to 16 bits; what lies outside is clipped."""
    scaled = waveform * np.float32(FULL_SCALE)
    np.rint(scaled, out=scaled)
    np.clip(scaled, -FULL_SCALE, FULL_SCALE, out=scaled)
    return scaled.astype(np.int16)


def silence_decoders() -> None:
    """Send this process's standard error to nowhere: libmpg123 fills it with remarks on healthy files.

    For worker processes only, which report through their results.
    """
    sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or str(error)
    return text.strip().rstrip(".").split("\n")[0]
