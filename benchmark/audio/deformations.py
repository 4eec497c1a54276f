"""Ways to deform test audio, to see how scores fall with the strength of each.

After Kim et al. 2020, section 4.4, who measure how far representations move under such changes of the input; here it
is the score that is measured. Training and validation audio stays as it is.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import UserError, unknown_name

Signal = NDArray[np.float32]
#: Waveform [samples] in [-1, 1], sample rate [Hz], strength, and a generator of the clip's own -> waveform.
Function = Callable[[Signal, int, float, np.random.Generator], Signal]

#: Order of the low-pass filter.
_ORDER = 8
#: Highest compression level; libsndfile refuses 1 itself.
_STRONGEST = 0.999
#: The MP3 encoder lowers the level by this factor against clipping; here it is undone, for gain is another deformation.
_ENCODER_LEVEL = np.float32(0.95)


@dataclass(frozen=True)
class Deformation:
    """A deformation: what its strength means, the strengths it takes, and how it is done."""

    unit: str
    low: float
    high: float
    apply: Function


def gain(x: Signal, rate: int, decibels: float, rng: np.random.Generator) -> Signal:
    """Change the level by `decibels`; what exceeds full scale is clipped."""
    del rate, rng
    return np.asarray(np.clip(x * 10 ** (decibels / 20), -1, 1), dtype=np.float32)


def noise(x: Signal, rate: int, snr: float, rng: np.random.Generator) -> Signal:
    """Add white Gaussian noise at a signal-to-noise ratio of `snr` [dB]; silence stays silent."""
    del rate
    level = np.sqrt(np.mean(np.square(x, dtype=np.float64))) * 10 ** (-snr / 20)
    return np.asarray(np.clip(x + level * rng.standard_normal(len(x)), -1, 1), dtype=np.float32)


def mp3(x: Signal, rate: int, kilobits: float, rng: np.random.Generator) -> Signal:
    """Encode as MP3 at a constant rate of `kilobits` [kbit/s], and decode again; the length stays."""
    del rng
    import soundfile

    # libsndfile spreads compression levels 0 to 1 linearly over the rates of the MPEG version that the sample rate
    # selects: 320 to 32 kbit/s from 32 kHz, 160 to 8 below, 64 to 8 below 16 kHz.
    fastest, slowest = (320, 32) if rate >= 32_000 else (160, 8) if rate >= 16_000 else (64, 8)
    level = min(max((fastest - kilobits) / (fastest - slowest), 0.0), _STRONGEST)
    file = io.BytesIO()
    try:
        soundfile.write(file, x, rate, format="MP3", bitrate_mode="CONSTANT", compression_level=level)
    except soundfile.LibsndfileError:
        raise UserError(f"--deform mp3: there is no MP3 at {rate} Hz; encoders at another rate can be scored") from None
    file.seek(0)
    decoded = np.asarray(soundfile.read(file, dtype="float32")[0])[: len(x)] / _ENCODER_LEVEL
    return np.pad(decoded, (0, len(x) - len(decoded)))


def low_pass(x: Signal, rate: int, hertz: float, rng: np.random.Generator) -> Signal:
    """Remove what lies above `hertz`, by a Butterworth filter of order 8 run forwards and backwards."""
    del rng
    from scipy.signal import butter, sosfiltfilt

    if hertz >= rate / 2:
        return x
    return np.asarray(sosfiltfilt(butter(_ORDER, hertz, fs=rate, output="sos"), x), dtype=np.float32)


def reverb(x: Signal, rate: int, reverberance: float, rng: np.random.Generator) -> Signal:
    """Add the reverberation of a large room, `reverberance` from 0 to 100 [%], damped by half at high frequencies."""
    del rng
    import torch

    from benchmark.augmentation.reverb import reverb as add

    strength, damping, room = (torch.tensor([percent]) for percent in (reverberance, 50.0, 100.0))
    return np.asarray(add(torch.from_numpy(x)[None], strength, damping, room, rate)[0].clamp(-1, 1).numpy())


def pitch(x: Signal, rate: int, semitones: float, rng: np.random.Generator) -> Signal:
    """Transpose by `semitones`; the length stays."""
    del rng
    import torch

    from benchmark.augmentation.pitch import pitch_shift

    return np.asarray(pitch_shift(torch.from_numpy(x)[None], torch.tensor([100 * semitones]), rate)[0].numpy())


def tempo(x: Signal, rate: int, factor: float, rng: np.random.Generator) -> Signal:
    """Play `factor` times as fast at the same pitch."""
    import soxr

    faster = np.asarray(soxr.resample(x, factor * rate, rate), dtype=np.float32)
    return pitch(faster, rate, float(-12 * np.log2(factor)), rng)


DEFORMATIONS: Mapping[str, Deformation] = {
    "gain": Deformation("dB", -60, 60, gain),
    "noise": Deformation("dB of signal over noise", -40, 100, noise),
    "mp3": Deformation("kbit/s", 8, 320, mp3),
    "low_pass": Deformation("Hz", 20, 100_000, low_pass),
    "reverb": Deformation("% of reverberance", 0, 100, reverb),
    "pitch": Deformation("semitones", -12, 12, pitch),
    "tempo": Deformation("times as fast", 0.5, 2, tempo),
}


def parse_deformation(text: str) -> tuple[str, float]:
    """Name and strength of ``NAME=STRENGTH``.

    Raises
    ------
    UserError
        If the name is not known or the strength is no number in the deformation's range.
    """
    name, equals, number = text.partition("=")
    if name not in DEFORMATIONS:
        raise unknown_name("deformation", name, DEFORMATIONS, "bench run --help")
    kind = DEFORMATIONS[name]
    try:
        strength = float(number)
    except ValueError:
        strength = np.nan
    if not (equals and kind.low <= strength <= kind.high):
        raise UserError(
            f"--deform {text}: {name} takes {kind.low:g} to {kind.high:g} {kind.unit}, as in {name}={kind.high:g}"
        )
    return name, strength


def deform(pcm: NDArray[np.int16], rate: int, name: str, strength: float, clip_id: str) -> NDArray[np.int16]:
    """Deform one clip [samples]; the same clip is always deformed in the same way."""
    rng = np.random.default_rng(zlib.crc32(clip_id.encode()))
    x = pcm.astype(np.float32) / np.float32(2**15)
    y = DEFORMATIONS[name].apply(x, rate, strength, rng)
    return np.asarray(np.clip(np.rint(y * 2**15), -(2**15), 2**15 - 1), dtype=np.int16)
