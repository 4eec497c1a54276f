"""From a song to samples: plays a stretch of it and sends it through the album's recording chain."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tasks.standin import instruments, score
from tasks.standin.composer import Album, Song, generator
from tasks.standin.instruments import Samples

#: Notes that began this long before a stretch are played, so that they ring into it [s].
LEAD_IN = 2.0
DRUM_LEVEL = 0.9
#: Overdrive of the mix for a song of energy 1.
MIX_DRIVE = 1.5
#: How far the fader and the tone control move from second to second, up to this second of a song.
RIDE_DB = 24.0
RIDE_TILT = 5.0
RIDE_SECONDS = 64
#: Peak before the album's level is applied [full scale].
PEAK = 0.95
TILT_PIVOT = 800.0
TILT_RANGE = (60.0, 7000.0)


def render(song: Song, start: float, seconds: float, sample_rate: int) -> NDArray[np.int16]:
    """Play a stretch of a song.

    Parameters
    ----------
    song
        As `composer.song` made it.
    start
        Where the stretch begins in the song [s].
    seconds
        Its duration [s].
    sample_rate
        [Hz], at least 2 x `instruments.HIGHEST_PARTIAL`.

    Returns
    -------
    ndarray of int16, shape [seconds * sample_rate]
        One channel, never clipped.
    """
    rng = generator(song.seed, "clip", song.index, round(start * 1000))
    size = round(seconds * sample_rate)
    mix = _play(song, start, size, sample_rate, rng)
    peak = float(np.abs(mix).max()) or 1.0
    drive = 0.3 + MIX_DRIVE * song.energy
    mix = np.tanh(drive * mix / peak) / np.float32(math.tanh(drive))
    mix = _ride(mix, song, start, sample_rate)
    mix = _record(mix, song.album, sample_rate, rng)
    return np.round(mix * 32767).astype(np.int16)


def _play(song: Song, start: float, size: int, sample_rate: int, rng: np.random.Generator) -> Samples:
    """Return the sum of all notes and hits of the stretch, shape [size]."""
    mix = np.zeros(size, dtype=np.float32)

    def add(sound: Samples, at: float, level: float) -> None:
        first = round((at - start) * sample_rate)
        low, high = max(first, 0), min(first + len(sound), size)
        if low < high:
            mix[low:high] += np.float32(level) * sound[low - first : high - first]

    kit_rng = generator(song.seed, "song", song.index, 1)
    kit = instruments.drum_kit(sample_rate, song.drum_tuning, kit_rng) if song.groove is not None else {}
    arrangement = score.arrange(song)
    length = score.bar_seconds(song)
    first_bar = max(0, int((start - LEAD_IN) / length))
    last_bar = int((start + size / sample_rate) / length)
    for number in range(first_bar, last_bar + 1):
        notes, hits = score.bar(song, arrangement, number)
        for note in notes:
            if note.start + note.seconds < start - LEAD_IN or note.start > start + size / sample_rate:
                continue
            name, cents = (
                (song.bass, 0.0) if note.player < 0 else (song.instruments[note.player], song.detune[note.player])
            )
            assert name is not None
            frequency = 440 * 2 ** ((note.pitch - 69 + cents / 100) / 12)
            sound = instruments.note(name, frequency, note.seconds, sample_rate, song.brightness, rng)
            add(sound, note.start, note.level)
        for hit in hits:
            add(kit[hit.drum], hit.start, DRUM_LEVEL * 2 * hit.level)
    return mix


def _ride(mix: Samples, song: Song, start: float, sample_rate: int) -> Samples:
    """Move the fader and the tone control while the song plays.

    Two moments of a song then differ in what says nothing of the music, and an encoder that knows them for the same
    song has learnt to look past it.
    """
    rng = generator(song.seed, "ride", song.index)
    fader, tone = rng.uniform(size=(2, RIDE_SECONDS))
    seconds = start + np.arange(len(mix)) / sample_rate
    moments = np.arange(RIDE_SECONDS)
    dark, bright = (_tilted(mix, slope, sample_rate) for slope in (-RIDE_TILT, RIDE_TILT))
    share = np.interp(seconds, moments, tone)
    level = 10 ** (RIDE_DB * (np.interp(seconds, moments, fader) - 1) / 20)
    return np.asarray(level * (dark * (1 - share) + bright * share), dtype=np.float32)


def _tilted(mix: Samples, slope: float, sample_rate: int) -> Samples:
    """Tilt a spectrum by `slope` [dB/octave] around `TILT_PIVOT`, at the same power."""
    frequency = np.clip(np.fft.rfftfreq(len(mix), 1 / sample_rate), *TILT_RANGE)
    tilt = 10 ** (slope * np.log2(frequency / TILT_PIVOT) / 20)
    shaped = np.fft.irfft(np.fft.rfft(mix) * tilt, len(mix))
    power = float(np.sqrt(np.mean(shaped**2))) or 1.0
    return np.asarray(shaped * (float(np.sqrt(np.mean(mix**2))) / power), dtype=np.float32)


def _record(mix: Samples, album: Album, sample_rate: int, rng: np.random.Generator) -> Samples:
    """Add the album's room, equaliser, noise floor and level."""
    wet = mix.copy()
    for delay, gain in album.room:
        lag = round(delay * sample_rate)
        wet[lag:] += np.float32(gain) * mix[:-lag]
    shaped = _tilted(wet, album.tilt, sample_rate)
    shaped /= np.float32(float(np.abs(shaped).max()) or 1.0)
    shaped += np.float32(album.noise) * rng.standard_normal(len(mix), dtype=np.float32)
    peak = float(np.abs(shaped).max())
    return shaped * np.float32(PEAK * 10 ** (album.level / 20) / peak)
