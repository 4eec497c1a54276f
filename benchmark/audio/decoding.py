"""Decoding: any audio file to mono samples at the rate an encoder wants, or the reason why not."""

from __future__ import annotations

import io
import math
import os
import sys
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.audio.mpeg import DECODER_DELAY, find_frames
from benchmark.libraries import load

#: Shorter than this [s], a decoded file of unknown length is taken for a stub: broken files decode to a few frames
#: without an error.
MIN_SECONDS = 1.0
#: Below this share of the promised duration a file is a stub, whatever its length.
STUB = 0.1
#: Below this share of the promised duration a file is reported as cut short.
COMPLETE = 0.9
#: A peak below this is reported: -60 dB of full scale.
QUIET = 33
#: Above this share of samples at full scale a file is reported as clipped.
CLIPPED = 0.01
FULL_SCALE = 32_767
#: Room made at first for a clip of unknown length [s].
TYPICAL_SECONDS = 30.0
#: Frames that are read, mixed and resampled at a time: few enough to stay in a processor's cache.
BLOCK = 32_768
#: So many frames of an MP3 file may be left when its end is reached: they hold what an encoder pads it with.
PADDING_FRAMES = 4
#: As many bytes, at the highest bit rate.
PADDING_BYTES = 1441 * PADDING_FRAMES


class Undecodable(Exception):  # noqa: N818 (it is no programming error)
    """A file that yields no usable audio; the message says why, in a few words."""


@dataclass(frozen=True)
class Decoded:
    """Audio of one file.

    Attributes
    ----------
    pcm : ndarray of int16, shape [samples]
        Mono, at the rate asked for.
    remark : str
        What is odd about it though it can be used; empty if nothing is.
    """

    pcm: NDArray[np.int16]
    remark: str


def decode(
    path: Path,
    sample_rate: int,
    expected_seconds: float | None = None,
    excerpt: tuple[float, float] | None = None,
) -> Decoded:
    """Read an audio file, or an excerpt of it, mix it to mono and resample it.

    The format is recognised from the content, never from the name, and the length is what was decoded, never
    what the header says: headers of cut-off files lie, and seeking in MP3 is not exact.

    Parameters
    ----------
    path
        Any file that libsndfile reads (WAV, FLAC, OGG, MP3, AU, AIFF ...).
    sample_rate
        Rate to resample to [Hz].
    expected_seconds
        Duration that the dataset promises [s], of the excerpt if there is one.
    excerpt
        Beginning and end [s] of what is wanted; to the sample what the whole file holds there. Memory is that of the
        excerpt. A file of the rate asked for is read from there on where its format is known to seek exactly; any
        other is read from its beginning, for only so its samples are those of the whole file.

    Raises
    ------
    Undecodable
        If the file is missing, empty, no audio, broken, holds samples that are not finite numbers, or is shorter
        than `STUB` of the promised duration or, where none is promised, than `MIN_SECONDS`; or if the file ends before
        the excerpt begins.
    """
    if excerpt is not None:
        return _decode_excerpt(path, sample_rate, excerpt)
    # Filled while it is decoded: joining the blocks at the end would take a twentieth of the time.
    room = np.empty(int((expected_seconds or TYPICAL_SECONDS) * sample_rate) + BLOCK, np.int16)
    length = clipped = 0
    peak = 0.0
    remarks: list[str] = []
    for block in _blocks(path, sample_rate, remarks):
        loudest = _clip(block)
        if loudest == FULL_SCALE:
            clipped += int(np.count_nonzero(np.abs(block) == FULL_SCALE))
        peak = max(peak, loudest)
        while length + len(block) > len(room):
            room = np.concatenate([room, np.empty_like(room)])
        room[length : length + len(block)] = block
        length += len(block)
    pcm = room[:length]
    seconds = len(pcm) / sample_rate
    if seconds < (STUB * expected_seconds if expected_seconds else MIN_SECONDS):
        raise Undecodable(f"stub: only {seconds:.3f} s decode from {path.stat().st_size} bytes")
    if expected_seconds and seconds < COMPLETE * expected_seconds:
        return Decoded(pcm, f"cut short: {seconds:.1f} s of {expected_seconds:.1f} s")
    return Decoded(pcm, "; ".join(remarks) or _level_remark(peak, clipped / len(pcm)))


def _decode_excerpt(path: Path, sample_rate: int, excerpt: tuple[float, float]) -> Decoded:
    begin, end = (round(bound * sample_rate) for bound in excerpt)
    found: list[NDArray[np.int16]] = []
    remarks: list[str] = []
    clipped = 0
    peak = 0.0
    position = _seekable(path, sample_rate, begin)
    with closing(_blocks(path, sample_rate, remarks, position)) as blocks:
        for block in blocks:
            own = block[max(0, begin - position) : max(0, end - position)]
            position += len(block)
            if len(own):
                peak = max(peak, _clip(own))
                clipped += int(np.count_nonzero(np.abs(own) == FULL_SCALE))
                found.append(own.astype(np.int16))
            if position >= end:
                break
    if not found:
        raise Undecodable(f"excerpt: begins at {excerpt[0]:g} s, and the file ends at {position / sample_rate:.1f} s")
    pcm = np.concatenate(found)
    if position < end:
        lack = (end - position) / sample_rate
        return Decoded(pcm, f"cut short: the file ends {lack:.1f} s before the excerpt does, at {excerpt[1]:g} s")
    return Decoded(pcm, "; ".join(remarks) or _level_remark(peak, clipped / len(pcm)))


def _seekable(path: Path, sample_rate: int, sample: int) -> int:
    """`sample`, if a file of that rate can be read from there on; 0 if it must be read from its beginning."""
    try:
        info = load("soundfile").info(path)
    except (OSError, RuntimeError):
        return 0  # reading it says why
    exact = info.samplerate == sample_rate and info.format in _EXACT and info.frames > sample
    return sample if exact else 0


def header_seconds(path: Path) -> float | None:
    """Duration of a file whose format tells it truly [s]; ``None`` of any other, and of what cannot be read."""
    try:
        with _decoders_silenced():
            info = load("soundfile").info(path)
    except (OSError, RuntimeError):
        return None
    return float(info.frames / info.samplerate) if info.format in _EXACT else None


#: Formats in which libsndfile finds a sample without decoding what lies before.
_EXACT = frozenset({"WAV", "WAVEX", "FLAC", "AIFF", "AU", "W64", "RF64", "CAF"})


def decode_blocks(path: Path, sample_rate: int) -> Iterator[NDArray[np.int16]]:
    """What `decode` returns, in blocks of about a second and with decoders silenced, for files of any length.

    Raises
    ------
    Undecodable
        As `decode` does, but for short files.
    """
    blocks = _blocks(path, sample_rate, [])
    while True:
        with _decoders_silenced():
            block = next(blocks, None)
        if block is None:
            return
        _clip(block)
        yield block.astype(np.int16)


def decoded_length(path: Path, sample_rate: int) -> int:
    """Number of samples that `decode_blocks` yields.

    Raises
    ------
    Undecodable
        As `decode_blocks` does, and if there is not one sample.
    """
    length = sum(map(len, decode_blocks(path, sample_rate)))
    if not length:
        raise Undecodable("no audio in it")
    return length


def _stream(source: Any, **options: bool) -> Any:
    """A `soundfile.SoundFile` that is read from start to end; by default every read is followed by a costly seek."""
    file = load("soundfile").SoundFile(source, **options)
    file.seekable = lambda: False
    return file


def _blocks(
    path: Path, sample_rate: int, remarks: list[str], begin: int = 0
) -> Generator[NDArray[np.float32], None, None]:
    """Mono at the rate asked for, in whole steps of 16 bits, which loud samples exceed; the blocks may be changed.

    `begin` is the first frame to read, where `_seekable` says that it can be found.
    """
    try:
        if path.stat().st_size == 0:
            raise Undecodable("empty file (0 bytes)")
    except OSError:
        raise Undecodable("missing") from None
    load("soundfile")
    try:
        yield from _convert(path, sample_rate, remarks, begin)
    except (OSError, RuntimeError) as error:
        raise Undecodable(_reason(path, error)) from None


def _convert(path: Path, sample_rate: int, remarks: list[str], begin: int) -> Iterator[NDArray[np.float32]]:
    mono = np.empty(BLOCK, np.float32)
    with path.open("rb", buffering=0) as raw, _opened(path, raw) as file:
        if begin:
            del file.seekable  # what `_stream` hides
            file.seek(begin)
            file.seekable = lambda: False
        resampler = None if file.samplerate == sample_rate else _resampler(file.samplerate, sample_rate)
        scale = np.float32(FULL_SCALE / file.channels)
        for frames in _frames(path, raw, file, remarks):
            mixed = add_channels(frames, mono[: len(frames)])
            yield _steps(resampler.resample_chunk(mixed) if resampler else mixed, scale)
        if resampler:
            yield _steps(resampler.resample_chunk(mono[:0], last=True), scale)


def _resampler(source_rate: int, sample_rate: int) -> Any:
    return load("soxr").ResampleStream(source_rate, sample_rate, 1, dtype="float32")


def _opened(path: Path, raw: io.FileIO) -> Any:
    try:
        return _stream(raw.fileno(), closefd=False)
    except RuntimeError:  # libsndfile's
        # An MP3 file that starts with something else is known by its name alone, and so is much that is none.
        if not find_frames(path.read_bytes()).frames:
            raise
        return _stream(path)


def _steps(waveform: NDArray[np.float32], scale: np.float32) -> NDArray[np.float32]:
    waveform *= scale
    return np.rint(waveform, out=waveform)


def _clip(steps: NDArray[np.float32]) -> float:
    """Clip to 16 bits in place; the peak that is left.

    Raises
    ------
    Undecodable
        If a sample is not a finite number.
    """
    high, low = float(steps.max(initial=0)), float(steps.min(initial=0))
    # Both extremes are finite if all samples are, and they are wanted anyway.
    if not math.isfinite(high - low):
        raise Undecodable("holds samples that are not finite numbers")
    peak = max(high, -low)
    if peak > FULL_SCALE:
        np.clip(steps, -FULL_SCALE, FULL_SCALE, out=steps)
    return min(peak, FULL_SCALE)


def _frames(path: Path, raw: io.FileIO, file: Any, remarks: list[str]) -> Iterator[NDArray[np.float32]]:
    """All samples of `file`, which reads `path` through `raw`, in blocks [samples, channels] that are overwritten."""
    block = np.empty((BLOCK, file.channels), np.float32)
    done = 0
    try:
        while count := file.buffer_read_into(block, "float32"):
            done += count
            yield block[:count]
    except RuntimeError:
        # Behind the last frame of an MP3 file there may be anything.
        if not done or file.format != "MP3":
            raise
    # libsndfile reads frame by frame, so the position tells what it left.
    if file.format == "MP3" and path.stat().st_size - raw.tell() > PADDING_BYTES:
        yield from _rest(path, done, block, remarks)


def _rest(path: Path, done: int, block: NDArray[np.float32], remarks: list[str]) -> Iterator[NDArray[np.float32]]:
    """What an MP3 file holds behind the `done` samples after which libsndfile stopped."""
    data = path.read_bytes()
    mp3 = find_frames(data)
    padding = PADDING_FRAMES * mp3.frame_samples
    if mp3.samples - done <= padding:
        return
    if mp3.junk:
        remarks.append(f"damaged: {mp3.junk:,} bytes amid its frames are no audio")
    with _stream(io.BytesIO(mp3.mended(data))) as file:
        skip = max(0, done + mp3.skipped - DECODER_DELAY)
        while skip and (count := file.buffer_read_into(block[: min(skip, BLOCK)], "float32")):
            skip -= count
        while count := file.buffer_read_into(block, "float32"):
            done += count
            yield block[:count]
        if mp3.samples - done > padding:
            remarks.append(f"cut short: {(mp3.samples - done) / file.samplerate:.1f} s of it do not decode")


def add_channels(frames: NDArray[np.float32], out: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum over the channels of `frames` [samples, channels]; adding columns is 40 times faster than ``sum(1)``."""
    if frames.shape[1] == 1:
        return frames[:, 0]
    np.add(frames[:, 0], frames[:, 1], out=out)
    for channel in range(2, frames.shape[1]):
        out += frames[:, channel]
    return out


def to_int16(waveform: NDArray[np.float32], scale: float = FULL_SCALE) -> NDArray[np.int16]:
    """Multiply by `scale` and round to 16 bits; what lies outside is clipped."""
    scaled = waveform * np.float32(scale)
    np.rint(scaled, out=scaled)
    np.clip(scaled, -FULL_SCALE, FULL_SCALE, out=scaled)
    return scaled.astype(np.int16)


def _level_remark(peak: float, clipped: float) -> str:
    """What is odd about the level of samples with this peak and this share of them at full scale."""
    if peak == 0:
        return "digital silence"
    if peak < QUIET:
        return f"nearly silent: its peak lies {20 * math.log10(FULL_SCALE / peak):.0f} dB below full scale"
    return f"clipped: {clipped:.1%} of its samples are at full scale" if clipped > CLIPPED else ""


def header_problem(path: Path) -> str:
    """What is wrong with an existing file as far as its size and header tell; empty if nothing is.

    Hundreds of times cheaper than decoding, and blind to all that is wrong further on.
    """
    if path.stat().st_size == 0:
        return "empty file (0 bytes)"
    load("soundfile")
    try:
        with _decoders_silenced(), path.open("rb", buffering=0) as raw, _opened(path, raw):
            pass
    except (OSError, RuntimeError) as error:
        return _reason(path, error)
    return ""


def silence_decoders() -> None:
    """Send this process's standard error to nowhere: libmpg123 fills it with remarks on healthy files.

    For good only in worker processes, which report through their results.
    """
    sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


@contextmanager
def _decoders_silenced() -> Iterator[None]:
    """As `silence_decoders`, for the length of the block."""
    sys.stderr.flush()
    kept = os.dup(2)
    silence_decoders()
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


#: What files that are not audio begin with, at which byte.
_STRANGERS = (
    (4, b"ftyp", "an MP4 file"),
    (0, b"<", "a web page or other markup"),
    (0, b"PK\3\4", "a zip archive"),
    (0, bytes(16), "its header is all zeros"),
)


def _reason(path: Path, error: Exception) -> str:
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    reason = text.strip().rstrip(".").split("\n")[0]
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError:
        start = b""
    for at, mark, name in _STRANGERS:
        if start[at:].startswith(mark):
            reason = name
    return f"not readable as audio ({reason})"
