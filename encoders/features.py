"""Hand-made features: the floor that a learned representation has to beat. Nothing in them is trained.

Both describe a clip as the baselines of jukemir do (Castellon et al. 2021): each coefficient, its first and its
second difference between frames of 512 samples, every one by mean and standard deviation over the clip. So do
those of Kim et al. (2020), with other frames.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from math import log2
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from encoders import EncoderError
from encoders.base import Encoder
from encoders.filter_banks import dct_matrix
from encoders.spectrograms import LogMel
from encoders.time_grid import TimeGrid

#: Longest part of a clip that is described at once [s].
MAX_SECONDS = 60
#: Distance of frames [samples].
HOP = 512

#: Whether a clip is brought to a peak of 1, or heard as it is.
Level = Literal["peak", "given"]

#: Window of a spectrum [samples], and mel bands.
_WINDOW = 2048
_BANDS = 128

#: Lowest pitch class energy is gathered from, C1 with A4 at 440 Hz [Hz].
LOWEST = 440 * 2 ** (-45 / 12)
PITCH_CLASSES = 12
#: Filters for each semitone: its centre and a third of a semitone to either side.
FILTERS_PER_SEMITONE = 3
OCTAVES = 7
#: Highest filter, as a share of half the sample rate.
_PASSBAND = 0.9


class _Feature(Encoder):
    """What both features share: whole clips, no layers, level out of account unless it is asked for."""

    def __init__(self, sample_rate: int, coefficients: int, hop: int = HOP, level: Level = "peak") -> None:
        super().__init__()
        self.sample_rate, self.hop, self._level = sample_rate, hop, level
        self.window = None
        self.max_window = MAX_SECONDS * sample_rate
        self.dim = 3 * 2 * coefficients

    def layers(self) -> tuple[str, ...]:
        """Features have no layers."""
        return ()

    def represent(self, waveform: Tensor, layers: Sequence[str] = ()) -> tuple[Tensor, Mapping[str, Tensor]]:
        """See `Encoder.represent`; a silent clip gives finite features."""
        return self.trunk(self.features(waveform), layers)

    def features(self, waveform: Tensor) -> Tensor:
        """Spectrum [B, bands, 1 + T // hop] of waveforms [B, 1, T] at any level; see `FrontEndAndTrunk`."""
        x = waveform[:, 0]
        if self._level == "given":
            return self.spectrum(x)
        return self.spectrum(x / x.abs().amax(dim=-1, keepdim=True).clamp_min(1e-9))

    def trunk(self, features: Tensor, layers: Sequence[str] = ()) -> tuple[Tensor, Mapping[str, Tensor]]:
        """See `FrontEndAndTrunk.trunk`."""
        del layers
        return _described(self.from_spectrum(features)), {}

    def frames(self, waveform: Tensor, layer: str | None = None) -> tuple[Tensor, Tensor]:
        """Coefficients [B, 1 + T // hop, n], of which the representation tells more than the mean.

        See `Encoder.frames`.
        """
        self._check_input(waveform)
        self._check_layer(layer)
        values = self.from_spectrum(self.features(waveform)).transpose(1, 2)
        return values, TimeGrid(0, self.hop).seconds(values.shape[1], self.sample_rate)

    def coefficients(self, x: Tensor) -> Tensor:
        """Coefficients [B, n, 1 + T // hop] of waveforms [B, T]."""
        return self.from_spectrum(self.spectrum(x))

    @abstractmethod
    def spectrum(self, x: Tensor) -> Tensor:
        """Spectrum [B, bands, 1 + T // hop] of waveforms [B, T]; frame t is centred on sample t hop."""

    @abstractmethod
    def from_spectrum(self, spectrum: Tensor) -> Tensor:
        """Coefficients [B, n, t] of a spectrum [B, bands, t]."""


class Mfcc(_Feature):
    """Mel-frequency cepstral coefficients, on librosa's defaults.

    128 Slaney mel bands of a Hann window, power in dB down to 80 dB below the loudest, orthonormal DCT.

    Parameters
    ----------
    coefficients
        Number of coefficients, the first included.
    window, hop
        Length and distance of the frames [samples].
    padding
        What the clip is continued by on either side: zeros, or its reflection.
    level
        Whether the clip is first brought to a peak of 1, or heard as it is.
    sample_rate
        Rate of the waveform [Hz].

    Raises
    ------
    EncoderError
        If an argument is none of those.
    """

    def __init__(
        self,
        *,
        coefficients: int = 20,
        window: int = _WINDOW,
        hop: int = HOP,
        padding: Literal["constant", "reflect"] = "constant",
        level: Level = "peak",
        sample_rate: int = 22_050,
    ) -> None:
        if level not in ("peak", "given"):
            raise EncoderError(f"level must be peak or given, not {level!r}")
        super().__init__(sample_rate, coefficients, hop, level)
        self._mel = LogMel(
            sample_rate=sample_rate,
            fft=window,
            hop=hop,
            bands=_BANDS,
            padding=padding,
            compression="decibels",
            depth=80.0,
        )
        self.register_buffer("_dct", dct_matrix(coefficients, _BANDS), persistent=False)

    def spectrum(self, x: Tensor) -> Tensor:
        """Level of the mel bands [dB]; see `_Feature.spectrum`."""
        return self._mel(x)

    def from_spectrum(self, spectrum: Tensor) -> Tensor:
        """Cepstra; see `_Feature.from_spectrum`."""
        return torch.einsum("bmt,mc->bct", spectrum, self._dct)


class Chroma(_Feature):
    """Energy of the twelve pitch classes, C first, by a constant-Q transform.

    Hann-windowed filters, three a semitone, over up to seven octaves from C1; magnitudes weighted by the square root
    of the filters' lengths, summed over octaves and over the three filters of a semitone, and scaled so that the
    strongest class of each frame is 1 (0 in silence). These are the defaults of librosa's ``chroma_cqt``, but for
    the tuning, which is not estimated: A4 is 440 Hz.

    Each octave is the one above heard at half the sample rate, so the same filters serve all: the clip is decimated
    from octave to octave (Schörkhuber and Klapuri, "Constant-Q transform toolbox for music processing", 2010).

    Parameters
    ----------
    sample_rate
        Rate of the waveform [Hz].
    """

    _filters: Tensor

    def __init__(self, *, sample_rate: int = 22_050) -> None:
        super().__init__(sample_rate, PITCH_CLASSES)
        self._octaves = min(OCTAVES, int(log2(_PASSBAND * sample_rate / 2 / LOWEST)))
        if self._octaves < 1:
            raise EncoderError(f"chroma needs a higher sample rate than {sample_rate} Hz")
        per_octave = PITCH_CLASSES * FILTERS_PER_SEMITONE
        top = LOWEST * 2 ** (self._octaves - 1) * 2 ** (torch.arange(per_octave, dtype=torch.float64) / per_octave)
        # A semitone's three filters are centred on it, so the first octave's lowest is a third below its C.
        top = top * 2 ** (-(FILTERS_PER_SEMITONE // 2) / per_octave)
        lengths = sample_rate / top / (2 ** (1 / per_octave) - 1)
        self._half = int(lengths.max() / 2) + 1
        at = torch.arange(-self._half, self._half + 1, dtype=torch.float64)
        inside = at.abs() < lengths[:, None] / 2
        hann = torch.where(inside, 0.5 + 0.5 * torch.cos(2 * torch.pi * at / lengths[:, None]), 0.0)
        hann = hann / hann.sum(dim=1, keepdim=True) * lengths[:, None].sqrt()
        phase = 2 * torch.pi * top[:, None] * at / sample_rate
        filters = torch.cat([hann * phase.cos(), hann * phase.sin()]).to(torch.float32)
        self.register_buffer("_filters", filters.unsqueeze(1), persistent=False)

    def spectrum(self, x: Tensor) -> Tensor:
        """Magnitude of the pitch classes; see `_Feature.spectrum`."""
        frames = 1 + x.shape[1] // HOP
        # Whole hops at the lowest rate, and silence to keep the end from the beginning in the periodic decimation.
        coarsest = 2 ** (self._octaves - 1)
        length = frames * HOP + 2 * coarsest * self._half
        spectrum = torch.fft.rfft(F.pad(x, (0, -(-length // HOP) * HOP - x.shape[1])))
        samples = -(-length // HOP) * HOP
        energy = x.new_zeros(len(x), PITCH_CLASSES, frames)
        for octave in range(self._octaves):
            step = 2**octave
            band = torch.fft.irfft(spectrum[:, : samples // step // 2 + 1], n=samples // step) / step
            band = F.pad(band, (self._half, self._half)).unsqueeze(1)
            parts = F.conv1d(band, self._filters, stride=HOP // step)[..., :frames]
            magnitude = (parts.unflatten(1, (2, -1)) ** 2).sum(dim=1).sqrt()
            # Filters are longer by the step at the full rate, and weighted by the root of that.
            by_semitone = magnitude.unflatten(1, (PITCH_CLASSES, FILTERS_PER_SEMITONE)).sum(dim=2)
            energy = energy + step**0.5 * by_semitone
        return energy

    def from_spectrum(self, spectrum: Tensor) -> Tensor:
        """Pitch classes in proportion to the strongest; see `_Feature.from_spectrum`."""
        return spectrum / spectrum.amax(dim=1, keepdim=True).clamp_min(1e-6)


def _described(coefficients: Tensor) -> Tensor:
    """Mean and standard deviation over time of `coefficients` [B, n, t] and of their differences [B, 6 n]."""
    parts = []
    for order in range(3):
        difference = coefficients.diff(n=order)
        if difference.shape[-1] == 0:  # a clip of fewer frames than that changes by nothing
            difference = torch.zeros_like(coefficients[..., :1])
        parts += [difference.mean(dim=-1), difference.std(dim=-1, correction=0)]
    return torch.cat(parts, dim=1)
