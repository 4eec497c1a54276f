"""How fast audio is decoded, beside librosa on the same files in the same run, and how cheap a crop then is."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmark.audio.decoding import decode, to_int16
from benchmark.audio.worker_decoding import PlannedClip, decode_all
from benchmark.console import Advance, Reporter
from benchmark.environment import workers
from benchmark.libraries import load as library
from benchmark.speed.results import DecoderRates, DecodeSpeed, FormatSpeed
from tasks.base import Clip

#: What files are made in: duration [s] and rate [Hz], as FMA distributes them, and the rate decoded to [Hz].
SECONDS = 30
FILE_RATE = 44_100
RATE = 22_050
#: Samples of a crop: the window of CLMR and TUNe.
CROP = 59_049
#: Worker processes, turn by turn.
POOLS = (1, 2, 2, 1)


def measure(reporter: Reporter, files: int = 4, repeats: int = 10, pool_clips: int = 160) -> DecodeSpeed:
    """Time decoding to int16 mono at 22,050 Hz.

    Both decode all files in turn, the order changing, and the best times are compared. Ratios are of processor
    time, which other work on the machine disturbs less than the clock; rates by the clock stand beside them. The
    higher an MP3's bit rate, the smaller the ratio, for the decoding proper is the same library's in both.

    Parameters
    ----------
    reporter
        Shows progress.
    files
        Files of each format.
    repeats
        Times each is decoded by each.
    pool_clips
        Clips decoded by one and by two worker processes, the first half of which covers their start-up.

    Returns
    -------
    DecodeSpeed

    Raises
    ------
    UserError
        If librosa cannot be loaded.
    """
    reference = _librosa()
    before = os.getloadavg()[0]
    turns = 2 * repeats + (len(POOLS) if workers() > 1 else 0)
    with tempfile.TemporaryDirectory() as name, reporter.progress("measure decoding", turns, "turns") as advance:
        folder = Path(name)
        paths = {suffix: _write(folder, suffix, files) for suffix in ("mp3", "wav")}
        formats = {suffix: _compare(of_format, reference, repeats, advance) for suffix, of_format in paths.items()}
        scaling = _scaling(paths["mp3"], pool_clips, advance) if workers() > 1 else None
        crop = _crop_seconds(folder / "pcm.int16")
    return {
        "ratio_mp3": formats["mp3"]["ratio_cpu"],
        "ratio_wav": formats["wav"]["ratio_cpu"],
        "scaling": scaling,
        "crop_microseconds": crop * 1e6,
        "formats": formats,
        "load": [before, os.getloadavg()[0]],
        "cores": workers(),
    }


def table(result: DecodeSpeed) -> str:
    """`measure`'s result in lines."""
    lines = []
    for suffix, row in result["formats"].items():
        ours, other = row["ours"], row["librosa"]
        lines.append(
            f"{suffix}, 44.1 kHz stereo, {row['kbit_per_second']:.0f} kbit/s: {ours['cpu']:,.0f} s of audio per second "
            f"of processor, librosa {other['cpu']:,.0f}, ratio {row['ratio_cpu']:.2f} (by the clock "
            f"{ours['wall']:,.0f}, {other['wall']:,.0f}, {row['ratio_wall']:.2f})"
        )
    if result["scaling"] is None:
        lines.append("two worker processes: not measured, there is one core")
    else:
        lines.append(f"two worker processes: {result['scaling']:.2f} times the rate of one, by the clock")
    lines.append(f"a random crop of {CROP:,} samples from the store: {result['crop_microseconds']:.0f} microseconds")
    lines.append(
        f"load of the machine {result['load'][0]:.1f} before, {result['load'][1]:.1f} after, {result['cores']} cores"
    )
    return "\n".join(lines)


def _librosa() -> Callable[[Path], NDArray[np.int16]]:
    librosa = library("librosa")

    def load(path: Path) -> NDArray[np.int16]:
        waveform, _ = librosa.load(path, sr=RATE, mono=True)
        return to_int16(waveform)

    return load


def _ours(path: Path) -> NDArray[np.int16]:
    return decode(path, RATE).pcm


def _write(folder: Path, suffix: str, count: int) -> list[Path]:
    """Files of harmonic tones that decay, different in both channels, over a little noise."""
    paths = []
    t = np.arange(SECONDS * FILE_RATE) / FILE_RATE
    for number in range(count):
        rng = np.random.default_rng(number)
        channels = []
        for f0 in rng.uniform(110, 440, size=2):
            partials = sum(np.sin(2 * np.pi * k * f0 * t + k) / k for k in range(1, 9))
            channels.append(0.2 * partials * np.exp(-4 * (t % 0.5)) + 0.01 * rng.standard_normal(len(t)))
        path = folder / f"{number}.{suffix}"
        stereo = np.stack(channels, axis=1)
        soundfile.write(path, stereo, FILE_RATE, format=suffix.upper())
        paths.append(path)
    return paths


def _compare(
    paths: Sequence[Path], reference: Callable[[Path], NDArray[np.int16]], repeats: int, advance: Advance
) -> FormatSpeed:
    decoders = {"ours": _ours, "librosa": reference}
    cpu: dict[str, list[float]] = {name: [] for name in decoders}
    wall: dict[str, list[float]] = {name: [] for name in decoders}
    for decode_once in decoders.values():
        decode_once(paths[0])  # what is compiled or loaded on first use
    for repeat in range(repeats):
        for name in sorted(decoders, reverse=bool(repeat % 2)):
            for path in paths:
                before = time.process_time(), time.perf_counter()
                decoders[name](path)
                cpu[name].append(time.process_time() - before[0])
                wall[name].append(time.perf_counter() - before[1])
        advance(1)
    rates: dict[str, DecoderRates] = {
        name: {"cpu": SECONDS / min(cpu[name]), "wall": SECONDS / min(wall[name])} for name in decoders
    }
    return {
        "kbit_per_second": 8e-3 * sum(path.stat().st_size for path in paths) / (SECONDS * len(paths)),
        "ours": rates["ours"],
        "librosa": rates["librosa"],
        "ratio_cpu": rates["ours"]["cpu"] / rates["librosa"]["cpu"],
        "ratio_wall": rates["ours"]["wall"] / rates["librosa"]["wall"],
    }


def _scaling(paths: Sequence[Path], count: int, advance: Advance) -> float:
    """Rate of two worker processes over that of one, as the prepare step uses them."""
    clips = [Clip(str(n), paths[n % len(paths)].name, None) for n in range(count)]
    rates: dict[int, list[float]] = {1: [], 2: []}
    for size in POOLS:
        arrivals = [
            time.perf_counter()
            for _ in decode_all(paths[0].parent, [PlannedClip(clip) for clip in clips], RATE, size=size)
        ]
        rates[size].append((count - count // 2 - 1) / (arrivals[-1] - arrivals[count // 2]))
        advance(1)
    return max(rates[2]) / max(rates[1])


def _crop_seconds(file: Path, count: int = 2_000) -> float:
    """Median time to copy a random window out of a memory map that the system holds in memory."""
    np.zeros(20_000_000, np.int16).tofile(file)
    samples = np.memmap(file, dtype=np.int16, mode="r")
    rng = np.random.default_rng(0)
    out = np.empty(CROP, np.int16)
    times = []
    for start in rng.integers(0, len(samples) - CROP, size=count):
        before = time.perf_counter()
        out[:] = samples[start : start + CROP]
        times.append(time.perf_counter() - before)
    return median(times)
