"""Decoding: any audio file to mono samples at the rate an encoder wants, or the reason why not."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.audio.audio_source import SEARCHED, AudioSource, Undecodable, audio_source, reason_of, stream
from benchmark.audio.mpeg import DECODER_DELAY, find_frames
from benchmark.audio.one_shots import MIN_SECONDS, is_whole
from benchmark.audio.silenced import decoders_silenced
from benchmark.libraries import load

#: Below this share of the promised duration a file is a stub, whatever its length.
STUB = 0.1
#: Below this share of the promised duration a file is reported as cut short.
COMPLETE = 0.9
#: A peak below this is reported: -60 dB of full scale.
QUIET = 33
#: Above this share of samples at full scale a file is reported as clipped.
CLIPPED = 0.01
FULL_SCALE = 32_767
#: What remarks on clips begin with in which nothing sounds.
SILENCE, CONSTANT = "digital silence", "constant"
#: Room made at first for a clip of unknown length [s].
TYPICAL_SECONDS = 30.0
#: Frames that are read, mixed and resampled at a time: few enough to stay in a processor's cache.
BLOCK = 32_768
#: So many frames of an MP3 file may be left when its end is reached: they hold what an encoder pads it with.
PADDING_FRAMES = 4
#: As many bytes, at the highest bit rate.
PADDING_BYTES = 1441 * PADDING_FRAMES
#: Rates that headers may claim [Hz]; a resampler from or to others takes memory without bound.
RATES = (1_000, 1_000_000)
MOST_CHANNELS = 64
#: Longest file [s]: a few bytes of some formats stand for hours of silence. Of frames at more than `HIGHEST_COUNTED` a
#: second no more are read than at that rate.
LONGEST_SECONDS = 24 * 3600
HIGHEST_COUNTED = 192_000
#: Room that is made at once at most for what a table promises [s].
MOST_AT_FIRST = 3600.0


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


#: Takes the samples of a file, block by block; what it is given may be overwritten afterwards.
Sink = Callable[[NDArray[np.int16]], None]


def decode(
    path: Path,
    sample_rate: int,
    expected_seconds: float | None = None,
    excerpt: tuple[float, float] | None = None,
) -> Decoded:
    """Read an audio file, or an excerpt of it, mix it to mono and resample it; see `decode_into`."""
    # Filled while it is decoded: joining the blocks at the end would take a twentieth of the time.
    seconds = min(expected_seconds or TYPICAL_SECONDS, MOST_AT_FIRST)
    room = np.empty(int(seconds * sample_rate) + BLOCK, np.int16)
    length = 0

    def add(block: NDArray[np.int16]) -> None:
        nonlocal room, length
        while length + len(block) > len(room):
            room = np.concatenate([room, np.empty_like(room)])
        room[length : length + len(block)] = block
        length += len(block)

    remark = decode_into(add, path, sample_rate, expected_seconds, excerpt)
    return Decoded(room[:length], remark)


def decode_into(
    sink: Sink,
    path: Path,
    sample_rate: int,
    expected_seconds: float | None = None,
    excerpt: tuple[float, float] | None = None,
    sha256: str | None = None,
) -> str:
    """Read an audio file, or an excerpt of it, mix it to mono and resample it, in the memory of a block.

    The format is recognised from the content, never from the name, and the length is what was decoded, never
    what the header says: headers of cut-off files lie, and seeking in MP3 is not exact.

    Parameters
    ----------
    sink
        Given the samples in order. What it was given counts for nothing if `Undecodable` is raised in the end.
    path
        Any file that libsndfile reads (WAV, FLAC, OGG, MP3, AU, AIFF ...).
    sample_rate
        Rate to resample to [Hz].
    expected_seconds
        Duration that the dataset promises [s], of the excerpt if there is one.
    excerpt
        Beginning and end [s] of what is wanted; to the sample what the whole file holds there. A file of the rate
        asked for is read from there on where its format is known to seek exactly; any other is read from its
        beginning, for only so its samples are those of the whole file.
    sha256
        What the file must hold; ``None`` for whatever it does.

    Returns
    -------
    str
        What is odd about the file though it can be used; empty if nothing is.

    Raises
    ------
    Undecodable
        If the file is missing, empty, no audio, broken, holds samples that are not finite numbers, is out of the
        bounds of rates, channels and length, or is shorter than `STUB` of the promised duration or, where none is
        promised, than `MIN_SECONDS` without being whole (`benchmark.audio.one_shots`); or if the file ends before the
        excerpt begins.
    ChangedError
        If it does not hold what it must.
    """
    with audio_source(path, sha256) as source:
        if excerpt is not None:
            return _excerpt_into(sink, source, sample_rate, excerpt)
        level = _Level()
        remarks: list[str] = []
        for block in _blocks(source, sample_rate, remarks):
            sink(level.clipped_to_int16(block))
        seconds = level.samples / sample_rate
        if expected_seconds and seconds < STUB * expected_seconds:
            raise Undecodable(f"stub: only {seconds:.3f} s decode from {source.size} bytes")
        if not expected_seconds and seconds < MIN_SECONDS and not _whole(source, seconds):
            raise Undecodable(
                f"stub: only {seconds:.3f} s decode from {source.size} bytes, and no header says that this is all; "
                "a WAV, AIFF or FLAC file that is whole may be that short"
            )
        if expected_seconds and seconds < COMPLETE * expected_seconds:
            return f"cut short: {seconds:.1f} s of {expected_seconds:.1f} s"
        return "; ".join(remarks) or level.remark()


def _whole(source: AudioSource, seconds: float) -> bool:
    with source.opened() as file:
        container = file.format
    return is_whole(source, container, seconds)


def _excerpt_into(sink: Sink, source: AudioSource, sample_rate: int, excerpt: tuple[float, float]) -> str:
    begin, end = (round(bound * sample_rate) for bound in excerpt)
    level = _Level()
    remarks: list[str] = []
    position = _seekable(source, sample_rate, begin)
    with closing(_blocks(source, sample_rate, remarks, position)) as blocks:
        for block in blocks:
            own = block[max(0, begin - position) : max(0, end - position)]
            position += len(block)
            if len(own):
                sink(level.clipped_to_int16(own))
            if position >= end:
                break
    if not level.samples:
        raise Undecodable(f"excerpt: begins at {excerpt[0]:g} s, and the file ends at {position / sample_rate:.1f} s")
    if position < end:
        lack = (end - position) / sample_rate
        return f"cut short: the file ends {lack:.1f} s before the excerpt does, at {excerpt[1]:g} s"
    return "; ".join(remarks) or level.remark()


@dataclass
class _Level:
    """How loud the samples so far are."""

    samples: int = 0
    clipped: int = 0
    low: float = math.inf
    high: float = -math.inf

    def clipped_to_int16(self, block: NDArray[np.float32]) -> NDArray[np.int16]:
        low, high = _clip(block)
        if max(high, -low) == FULL_SCALE:
            self.clipped += int(np.count_nonzero(np.abs(block) == FULL_SCALE))
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.samples += len(block)
        return block.astype(np.int16)

    def remark(self) -> str:
        if self.low == self.high != 0:
            return f"{CONSTANT}: all of its samples are the same"
        return _level_remark(max(self.high, -self.low, 0), self.clipped / self.samples)


def _seekable(source: AudioSource, sample_rate: int, sample: int) -> int:
    """`sample`, if a file of that rate can be read from there on; 0 if it must be read from its beginning."""
    try:
        with source.opened() as file:
            exact = file.samplerate == sample_rate and file.format in _EXACT and file.frames > sample
    except (OSError, RuntimeError):
        return 0  # reading it says why
    return sample if exact else 0


def header_seconds(path: Path) -> float | None:
    """Duration of a file whose format tells it truly [s]; ``None`` of any other, and of what cannot be read."""
    load("soundfile")
    try:
        with audio_source(path) as source, decoders_silenced(), source.opened() as file:
            return float(file.frames / file.samplerate) if file.format in _EXACT else None
    except (OSError, RuntimeError, Undecodable):
        return None


#: Formats in which libsndfile finds a sample without decoding what lies before.
_EXACT = frozenset({"WAV", "WAVEX", "FLAC", "AIFF", "AU", "W64", "RF64", "CAF"})


def decode_blocks(path: Path, sample_rate: int) -> Iterator[NDArray[np.int16]]:
    """What `decode` returns, in blocks of about a second and with decoders silenced, for files of any length.

    Raises
    ------
    Undecodable
        As `decode` does, but for short files.
    """
    with audio_source(path) as source:
        blocks = _blocks(source, sample_rate, [])
        while True:
            with decoders_silenced():
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


def _blocks(
    source: AudioSource, sample_rate: int, remarks: list[str], begin: int = 0
) -> Generator[NDArray[np.float32], None, None]:
    """Mono at the rate asked for, in whole steps of 16 bits, which loud samples exceed; the blocks may be changed.

    `begin` is the first frame to read, where `_seekable` says that it can be found.
    """
    load("soundfile")
    try:
        yield from _convert(source, sample_rate, remarks, begin)
    except (OSError, RuntimeError) as error:
        source.check()
        raise Undecodable(reason_of(source, error)) from None
    source.check()


def _convert(source: AudioSource, sample_rate: int, remarks: list[str], begin: int) -> Iterator[NDArray[np.float32]]:
    with source.opened() as file:
        _check_bounds(file)
        if begin:
            del file.seekable  # what `_stream` hides
            file.seek(begin)
            file.seekable = lambda: False
        mono = np.empty(BLOCK, np.float32)
        resampler = None if file.samplerate == sample_rate else _resampler(file.samplerate, sample_rate)
        scale = np.float32(FULL_SCALE / file.channels)
        frame = begin
        for frames in _frames(source, file, remarks):
            frame += len(frames)
            if frame > LONGEST_SECONDS * min(file.samplerate, HIGHEST_COUNTED):
                raise Undecodable(f"out of bounds: is longer than the {LONGEST_SECONDS // 3600} h that are read")
            mixed = add_channels(frames, mono[: len(frames)])
            yield _steps(resampler.resample_chunk(mixed) if resampler else mixed, scale)
        if resampler:
            yield _steps(resampler.resample_chunk(mono[:0], last=True), scale)


def _check_bounds(file: Any) -> None:
    """Raise `Undecodable` if a header claims what would take memory or time without end."""
    low, high = RATES
    if not low <= file.samplerate <= high:
        claim = f"claims a rate of {file.samplerate:,} Hz; from {low:,} to {high:,} are read"
    elif not 1 <= file.channels <= MOST_CHANNELS:
        claim = f"claims {file.channels:,} channels; up to {MOST_CHANNELS} are read"
    else:
        return
    raise Undecodable(f"out of bounds: its header {claim}")


def _resampler(source_rate: int, sample_rate: int) -> Any:
    return load("soxr").ResampleStream(source_rate, sample_rate, 1, dtype="float32")


def _steps(waveform: NDArray[np.float32], scale: np.float32) -> NDArray[np.float32]:
    waveform *= scale
    return np.rint(waveform, out=waveform)


def _clip(steps: NDArray[np.float32]) -> tuple[float, float]:
    """Clip to 16 bits in place; the lowest and the highest step that is left, of no steps nothing.

    Raises
    ------
    Undecodable
        If a sample is not a finite number.
    """
    if not len(steps):
        return math.inf, -math.inf  # bounds nothing
    high, low = float(steps.max()), float(steps.min())
    # Both extremes are finite if all samples are, and they are wanted anyway.
    if not math.isfinite(high - low):
        raise Undecodable("holds samples that are not finite numbers")
    if max(high, -low) > FULL_SCALE:
        np.clip(steps, -FULL_SCALE, FULL_SCALE, out=steps)
    return max(low, -FULL_SCALE), min(high, FULL_SCALE)


def _frames(source: AudioSource, file: Any, remarks: list[str]) -> Iterator[NDArray[np.float32]]:
    """All samples of `file`, which reads `source`, in blocks [samples, channels] that are overwritten."""
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
    source.check()
    if file.format == "MP3" and source.size - source.raw.tell() > PADDING_BYTES:
        yield from _rest(source, done, block, remarks)


def _rest(
    source: AudioSource, done: int, block: NDArray[np.float32], remarks: list[str]
) -> Iterator[NDArray[np.float32]]:
    """What an MP3 file holds behind the `done` samples after which libsndfile stopped."""
    if source.size > SEARCHED:
        remarks.append(f"cut short: not all of its {source.size:,} bytes decode, too many to look for what is amiss")
        return
    data = source.content()
    mp3 = find_frames(data)
    padding = PADDING_FRAMES * mp3.frame_samples
    if mp3.samples - done <= padding:
        return
    if mp3.junk:
        remarks.append(f"damaged: {mp3.junk:,} bytes amid its frames are no audio")
    with stream(io.BytesIO(mp3.mended(data))) as file:
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
        return SILENCE
    if peak < QUIET:
        return f"nearly silent: its peak lies {20 * math.log10(FULL_SCALE / peak):.0f} dB below full scale"
    return f"clipped: {clipped:.1%} of its samples are at full scale" if clipped > CLIPPED else ""


def header_problem(path: Path) -> str:
    """What is wrong with an existing file as far as its size and header tell; empty if nothing is.

    Hundreds of times cheaper than decoding, and blind to all that is wrong further on.
    """
    load("soundfile")
    try:
        with audio_source(path) as source:
            try:
                with decoders_silenced(), source.opened() as file:
                    _check_bounds(file)
            except (OSError, RuntimeError) as error:
                return reason_of(source, error)
    except Undecodable as error:
        return str(error)
    return ""
