"""Sounds: pitched instruments from band-limited wavetables, and a small drum kit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

TABLE_BITS = 12
_FRACTION_BITS = 32 - TABLE_BITS
_FRACTION_MASK = 2**_FRACTION_BITS - 1
#: Partials above this frequency are left out, so that the same song sounds alike at every sample rate [Hz].
HIGHEST_PARTIAL = 7600.0
FORMANT_WIDTH = 180.0
FORMANT_GAIN = 7.0
UNISON_CENTS = 9.0
VIBRATO_HZ = 5.3
#: How much steeper (flatter) the partials fall for an artist one unit less (more) bright.
BRIGHTNESS_SLOPE = 0.35


@dataclass(frozen=True, slots=True)
class Timbre:
    """How an instrument sounds.

    Attributes
    ----------
    slope
        Partial h has the amplitude h ** -slope.
    attack, release
        Linear rise and fall of a note [s].
    decay
        Time constant of the fall after the attack [s]; ``None`` for an instrument that sustains.
    even
        Gain of the even partials.
    partials
        Most partials that sound.
    formants
        Fixed resonances [Hz].
    unison
        Players, each slightly out of tune with the others.
    vibrato
        Peak deviation [cents].
    breath
        Noise mixed into the note, relative to it.
    scoop
        Interval below its pitch at which a note begins [cents].
    drive
        Overdrive; 0 for none.
    octave
        Shift of the written part into the instrument's range [octaves].
    """

    slope: float
    attack: float = 0.005
    release: float = 0.05
    decay: float | None = None
    even: float = 1.0
    partials: int = 48
    formants: tuple[float, ...] = ()
    unison: int = 1
    vibrato: float = 0.0
    breath: float = 0.0
    scoop: float = 0.0
    drive: float = 0.0
    octave: int = 0


TIMBRES: Mapping[str, Timbre] = {
    "piano": Timbre(slope=1.4, decay=0.9),
    "guitar": Timbre(slope=1.1, decay=0.6, attack=0.003, breath=0.02),
    "distorted guitar": Timbre(slope=0.5, decay=2.5, drive=6.0, octave=-1),
    "strings": Timbre(slope=1.0, attack=0.12, release=0.15, unison=3, vibrato=12),
    "violin": Timbre(slope=0.8, attack=0.06, release=0.08, vibrato=28, formants=(450, 1200, 2600)),
    "cello": Timbre(slope=0.9, attack=0.08, release=0.1, vibrato=18, formants=(250, 600, 1400), octave=-1),
    "flute": Timbre(slope=2.6, attack=0.05, release=0.08, vibrato=14, breath=0.06, partials=8, octave=1),
    "synth": Timbre(slope=0.8, attack=0.01, release=0.1, even=0.05, unison=2),
    "saw lead": Timbre(slope=0.7, attack=0.004, release=0.03, unison=3),
    "harpsichord": Timbre(slope=0.55, decay=0.45, attack=0.001),
    "harp": Timbre(slope=1.9, decay=0.8, attack=0.002, partials=20),
    "sitar": Timbre(slope=0.35, decay=0.7, attack=0.002, scoop=140, formants=(1500, 2900, 4200)),
    "organ": Timbre(slope=0.6, attack=0.02, partials=8, even=1.6),
    "male voice": Timbre(
        slope=1.3, attack=0.06, release=0.1, vibrato=35, formants=(520, 1050, 2500), breath=0.02, octave=-1
    ),
    "female voice": Timbre(slope=1.3, attack=0.06, release=0.1, vibrato=40, formants=(850, 1400, 2900), breath=0.03),
    "choir": Timbre(
        slope=1.2, attack=0.16, release=0.25, vibrato=20, formants=(600, 1100, 2700), unison=3, breath=0.03
    ),
    "trumpet": Timbre(slope=0.7, attack=0.03, release=0.06, vibrato=10, formants=(1200, 2200), scoop=30),
    "saxophone": Timbre(
        slope=0.9, attack=0.04, release=0.08, vibrato=22, formants=(600, 1400, 2600), breath=0.05, scoop=60
    ),
    "clarinet": Timbre(slope=0.9, attack=0.04, release=0.06, even=0.08, formants=(1500,), breath=0.02),
    "bass": Timbre(slope=1.6, decay=0.7, partials=16),
    "synth bass": Timbre(slope=0.9, attack=0.003, even=0.3, partials=12),
}


@lru_cache(maxsize=1024)
def _wavetable(name: str, frequency: int, brightness: float) -> tuple[Samples, Samples]:
    """Return one period, and what to add to each of its samples for every 2 ** -32 of the period beyond it."""
    timbre = TIMBRES[name]
    count = max(1, min(timbre.partials, int(HIGHEST_PARTIAL / frequency)))
    partial = np.arange(1, count + 1)
    level = partial ** -max(0.1, timbre.slope - BRIGHTNESS_SLOPE * brightness)
    level[1::2] *= timbre.even
    resonance = np.ones(count)
    for formant in timbre.formants:
        resonance += FORMANT_GAIN * np.exp(-0.5 * ((partial * frequency - formant) / FORMANT_WIDTH) ** 2)
    spectrum = np.zeros(2 ** (TABLE_BITS - 1) + 1, dtype=np.complex128)
    # Phases that grow with the square of the partial's number keep the peaks low.
    spectrum[1 : count + 1] = level * resonance * np.exp(1j * np.pi * partial * (partial - 1) / count)
    period = np.fft.irfft(spectrum)
    period /= np.sqrt(np.mean(period**2))
    slope = (np.roll(period, -1) - period) / 2**_FRACTION_BITS
    return period.astype(np.float32), slope.astype(np.float32)


def note(
    name: str, frequency: float, seconds: float, sample_rate: int, brightness: float, rng: np.random.Generator
) -> Samples:
    """Play one note.

    Parameters
    ----------
    name
        One of `TIMBRES`.
    frequency
        Fundamental as written [Hz]; instruments with an ``octave`` sound that much higher.
    seconds
        Time until the note is let go [s]; it rings for the timbre's release after that.
    sample_rate
        [Hz], at least 2 x `HIGHEST_PARTIAL`.
    brightness
        0 for the timbre as it stands.
    rng
        For the noise of timbres that have some.

    Returns
    -------
    ndarray of float32, shape [samples]
        Root mean square about 1 where it is loudest, for a timbre without overdrive.
    """
    timbre = TIMBRES[name]
    frequency = frequency * 2.0**timbre.octave
    size = int((seconds + timbre.release) * sample_rate)
    time = np.arange(size, dtype=np.float32) / np.float32(sample_rate)
    table, slope = _wavetable(name, max(1, round(frequency)), round(brightness, 2))
    sound = np.zeros(size, dtype=np.float32)
    # Positions in the table are whole numbers of 2 ** -32 periods, which wrap by themselves and never drift.
    cents = _bend(timbre, time)
    for player in range(timbre.unison):
        spread = UNISON_CENTS * (player - (timbre.unison - 1) / 2)
        step = frequency / sample_rate * 2.0 ** (spread / 1200) * 2.0**32
        if cents is None:
            phase = np.arange(size, dtype=np.uint32) * np.uint32(step)
        else:
            phase = np.cumsum((step * np.exp2(cents / np.float32(1200))).astype(np.uint32), dtype=np.uint32)
        phase += np.uint32(2**32 * player // timbre.unison)
        whole = (phase >> _FRACTION_BITS).astype(np.intp)
        sound += table[whole] + (phase & _FRACTION_MASK).astype(np.float32) * slope[whole]
    if timbre.breath:
        sound += timbre.breath * timbre.unison * rng.standard_normal(size, dtype=np.float32)
    if timbre.drive:
        sound = np.tanh(timbre.drive * sound)
    if timbre.decay is not None:
        sound *= np.exp(time * np.float32(-1 / timbre.decay))
    sound *= np.float32(timbre.unison**-0.5)
    rise, fall = (min(size, max(1, int(edge * sample_rate))) for edge in (timbre.attack, timbre.release))
    sound[:rise] *= np.linspace(0, 1, rise, dtype=np.float32)
    sound[size - fall :] *= np.linspace(1, 0, fall, dtype=np.float32)
    return sound


def _bend(timbre: Timbre, time: Samples) -> Samples | None:
    """Return how far from its pitch the note is at each moment [cents]; ``None`` if it stays on it."""
    if not (timbre.vibrato or timbre.scoop):
        return None
    vibrato = np.sin(np.float32(2 * np.pi * VIBRATO_HZ) * time) * np.minimum(time / np.float32(0.3), 1)
    scoop = np.exp(time / np.float32(-0.06))
    cents: Samples = np.float32(timbre.vibrato) * vibrato - np.float32(timbre.scoop) * scoop
    return cents


def drum_kit(sample_rate: int, tuning: float, rng: np.random.Generator) -> dict[str, Samples]:
    """Return one hit of each drum that the grooves of `score` use, by name.

    Parameters
    ----------
    sample_rate
        [Hz].
    tuning
        Factor on all pitches and inverse factor on all lengths.
    rng
        For the noise in the drums.
    """

    def ramp(seconds: float) -> Samples:
        return np.arange(int(seconds / tuning * sample_rate), dtype=np.float32) / np.float32(sample_rate) * tuning

    def noise(time: Samples) -> Samples:
        return rng.standard_normal(len(time), dtype=np.float32)

    kick, snare, hat, clap, tabla = ramp(0.3), ramp(0.22), ramp(0.07), ramp(0.16), ramp(0.35)
    hiss = noise(hat)
    bursts = np.exp(-(clap % 0.012) / 0.004) * (clap < 0.036) + np.exp(-clap / 0.04) * (clap >= 0.036)
    clap_noise = noise(clap)
    return {
        # The sweep's phase is the integral of 48 Hz + 110 Hz x exp(-t / 35 ms).
        "kick": np.sin(2 * np.pi * (48 * kick - 110 * 0.035 * np.expm1(-kick / 0.035))) * np.exp(-kick / 0.09),
        "snare": (0.6 * noise(snare) + 0.5 * np.sin(2 * np.pi * 185 * snare)) * np.exp(-snare / 0.06),
        "hat": np.diff(hiss, prepend=hiss[:1]) * np.exp(-hat / 0.018),
        "clap": (clap_noise + np.roll(clap_noise, 1) - np.roll(clap_noise, 3)) * bursts.astype(np.float32) * 0.6,
        "tabla": np.sin(2 * np.pi * (210 * tabla - 60 * 0.05 * np.expm1(-tabla / 0.05))) * np.exp(-tabla / 0.11),
    }
