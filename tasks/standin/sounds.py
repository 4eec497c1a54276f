"""Sounds that are no music, from sums of simple parts: voices, machines, weather, animals and things that are hit."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, sosfilt

Samples = NDArray[np.float64]
Maker = Callable[[np.random.Generator, int, int], Samples]


def sound(kind: str, rng: np.random.Generator, seconds: float, rate: int) -> Samples:
    """Return `seconds` of a sound of one of `KINDS` at `rate` [Hz], with a root mean square of 0.1."""
    samples = KINDS[kind](rng, round(seconds * rate), rate)
    return 0.1 * samples / max(float(np.sqrt(np.mean(samples**2))), 1e-9)


def _noise(rng: np.random.Generator, count: int, rate: int, low: float, high: float) -> Samples:
    band = butter(2, [low, min(high, 0.49 * rate)], "bandpass", fs=rate, output="sos")
    return np.asarray(sosfilt(band, rng.standard_normal(count)), dtype=np.float64)


def _slow(rng: np.random.Generator, count: int, rate: int, per_second: float) -> Samples:
    """A random curve between 0 and 1 with so many turns a second."""
    points = max(4, round(count / rate * per_second) + 2)
    return np.interp(np.linspace(0, points - 1, count), np.arange(points), rng.random(points))


def _bursts(
    rng: np.random.Generator, count: int, rate: int, gap: tuple[float, float], burst: Callable[[], Samples]
) -> Samples:
    """Bursts one after the other, from `gap` seconds between their beginnings."""
    out, at = np.zeros(count), round(rng.uniform(0, gap[0]) * rate)
    while at < count:
        one = burst()
        out[at : at + len(one)] += one[: count - at]
        at += max(1, round(rng.uniform(*gap) * rate))
    return out


def _voice(low: float, high: float) -> Maker:
    """Pulses of a gliding pitch through formants that change from syllable to syllable, with pauses."""

    def make(rng: np.random.Generator, count: int, rate: int) -> Samples:
        pitch = rng.uniform(low, high) * 2 ** (0.5 * (_slow(rng, count, rate, 3) - 0.5))
        phase = np.cumsum(pitch) / rate
        source = np.where(np.diff(np.floor(phase), prepend=0) > 0, 1.0, 0.0) + 0.02 * rng.standard_normal(count)
        out = np.zeros(count)
        syllable = round(rate * rng.uniform(0.16, 0.24))
        scale = 1.0 if high < 160 else 1.17
        for begin in range(0, count, syllable):
            if rng.random() < 0.2:
                continue
            part = source[begin : begin + syllable] * np.hanning(len(source[begin : begin + syllable]) + 2)[1:-1]
            for formant in (rng.uniform(300, 800), rng.uniform(900, 2200), rng.uniform(2300, 3000)):
                radius = np.exp(-np.pi * 90 / rate)
                turn = 2 * np.pi * min(formant * scale, 0.45 * rate) / rate
                part = lfilter([1 - radius], [1, -2 * radius * np.cos(turn), radius**2], part)
            out[begin : begin + syllable] = part
        return out

    return make


def _engine(rng: np.random.Generator, count: int, rate: int) -> Samples:
    turns = rng.uniform(25, 60) * 2 ** (_slow(rng, count, rate, 0.4) - 0.5)
    phase = 2 * np.pi * np.cumsum(turns) / rate
    partials = sum(np.sin(k * phase + k) / k**0.7 for k in range(1, 14))
    return np.asarray(partials * (1 + 0.3 * np.sin(phase / 2)) + 0.6 * _noise(rng, count, rate, 60, 900))


def _vacuum(rng: np.random.Generator, count: int, rate: int) -> Samples:
    t = np.arange(count) / rate
    whine = sum(np.sin(2 * np.pi * k * rng.uniform(280, 420) * t) / k for k in range(1, 5))
    return np.asarray(0.2 * whine + _noise(rng, count, rate, 200, 6_000))


def _rain(rng: np.random.Generator, count: int, rate: int) -> Samples:
    drops = (rng.random(count) < rng.uniform(150, 500) / rate) * rng.exponential(1, count)
    return np.asarray(lfilter([1], [1, -0.85], drops) + 0.05 * _noise(rng, count, rate, 1_500, 7_000))


def _wind(rng: np.random.Generator, count: int, rate: int) -> Samples:
    return _noise(rng, count, rate, 80, rng.uniform(400, 900)) * (0.1 + _slow(rng, count, rate, 1)) ** 2


def _thunder(rng: np.random.Generator, count: int, rate: int) -> Samples:
    def clap() -> Samples:
        length = round(rate * rng.uniform(1.5, 3))
        return _noise(rng, length, rate, 25, 180) * np.exp(-np.linspace(0, 5, length))

    return _bursts(rng, count, rate, (2, 4), clap)


def _bell(rng: np.random.Generator, count: int, rate: int) -> Samples:
    ratios, pitch = np.array([0.5, 1, 1.19, 1.5, 2, 2.74, 3.76]), rng.uniform(300, 900)

    def stroke() -> Samples:
        t = np.arange(2 * rate) / rate
        return np.asarray(sum(np.sin(2 * np.pi * pitch * r * t) * np.exp(-t * (1 + r)) for r in ratios))

    return _bursts(rng, count, rate, (0.7, 1.6), stroke)


def _alarm(rng: np.random.Generator, count: int, rate: int) -> Samples:
    low, high, period = rng.uniform(600, 900), rng.uniform(1_000, 1_800), rng.uniform(0.2, 0.6)
    t = np.arange(count) / rate
    pitch = np.where((t // period) % 2 == 0, low, high)
    return np.sign(np.sin(2 * np.pi * np.cumsum(pitch) / rate)) * ((t % period) < 0.85 * period)


def _typing(rng: np.random.Generator, count: int, rate: int) -> Samples:
    def key() -> Samples:
        length = round(0.02 * rate)
        return _noise(rng, length, rate, 1_500, 6_000) * np.exp(-np.linspace(0, 6, length)) * rng.uniform(0.5, 1)

    return _bursts(rng, count, rate, (0.07, 0.3), key)


def _dog(rng: np.random.Generator, count: int, rate: int) -> Samples:
    size = rng.uniform(350, 800)

    def bark() -> Samples:
        length = round(0.18 * rate)
        pitch = size * (1 + 0.5 * np.hanning(length))
        tone = sum(np.sin(k * 2 * np.pi * np.cumsum(pitch) / rate) / k for k in range(1, 6))
        return np.asarray((tone + 0.5 * rng.standard_normal(length)) * np.hanning(length))

    return _bursts(rng, count, rate, (0.35, 1.2), bark)


KINDS: Mapping[str, Maker] = {
    "man": _voice(90, 140),
    "woman": _voice(180, 240),
    "engine": _engine,
    "vacuum cleaner": _vacuum,
    "rain": _rain,
    "wind": _wind,
    "thunder": _thunder,
    "bell": _bell,
    "alarm": _alarm,
    "typing": _typing,
    "dog": _dog,
}
"""What each kind is made by."""
