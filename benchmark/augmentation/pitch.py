"""Transposition at constant duration: the time scale is stretched by overlap-add, then resampled back.

The stretch is waveform-similarity overlap-add with the segment, search and overlap lengths that sox uses for music:
each segment is taken near its nominal place in the input, where it best continues the segment before, and joined
by a linear cross-fade. Segments are cut from a twofold oversampled signal, and the stretched signal is read at
``ratio`` times the speed by Kaiser-Bessel interpolation. Its small loss towards high frequencies, and what would
alias when the pitch goes up, are removed beforehand in the spectrum, so six taps a sample do what a long
interpolating filter would.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.augmentation.base import Augmentation, Params, integers
from benchmark.augmentation.batches import beside, fast_length, pieces
from benchmark.augmentation.config import PitchConfig

SEGMENT_S = 0.082
"""Length of a segment [s]."""
SEARCH_S = 0.01468
"""Width of the range in which the best place of a segment is looked for [s]."""
OVERLAP_S = 0.012
"""Length of the cross-fade between segments [s]."""

_OVERSAMPLING = 2
_TAPS = 6
# Shape that keeps aliases of the interpolation below -100 dB for this oversampling and number of taps.
_BETA = math.pi * math.sqrt((_TAPS / _OVERSAMPLING * (_OVERSAMPLING - 0.5)) ** 2 - 0.8)
_PHASE_BITS = 13
_FRACTION_BITS = 32
# Width of the anti-aliasing filter's slope, relative to the highest frequency that can be kept.
_SLOPE = 0.06
# Silence between the end of the signal and its beginning on the circle of the Fourier transform [samples].
_GUARD = 256


def pitch_shift(x: Tensor, cents: Tensor, sample_rate: int) -> Tensor:
    """Transpose each example by its own interval.

    Parameters
    ----------
    x : Tensor, shape [B, T]
    cents : Tensor, shape [B]
        Interval [cents]; 1200 is an octave up.
    sample_rate
        Sample rate [Hz].

    Returns
    -------
    Tensor, shape [B, T]
    """
    length = x.shape[1]
    ratio = torch.pow(2.0, cents.double() / 1200.0)
    overlap = max(1, round(OVERLAP_S * sample_rate))
    hop = max(1, round(SEGMENT_S * sample_rate) - overlap)
    reach = max(_TAPS, round(SEARCH_S * sample_rate / 2))
    # Before and after the signal lies the silence that the first and last searches reach into.
    padded = F.pad(x, (reach, reach + hop + overlap))
    start = _segment_starts(padded, length, ratio, hop, overlap, reach)
    fine = _oversample(padded, ratio, fast_length(padded.shape[1] + _GUARD))
    # The stretched signal begins early by the samples that the first interpolation needs before its place.
    start = start * _OVERSAMPLING - (_TAPS // 2 - 1)
    stretched = _join(fine, start, hop * _OVERSAMPLING, overlap * _OVERSAMPLING)
    return _read(stretched, ratio * _OVERSAMPLING, length)


class Pitch(Augmentation):
    """Transposes at constant duration."""

    Config = PitchConfig
    config: PitchConfig
    # It has a loop to share among many examples.
    examples_at_a_time = 16

    def draw(self, n: int, generator: torch.Generator) -> Params:
        """`cents` [cents]."""
        return {"cents": integers(self.config.cents, n, generator)}

    def apply(self, x: Tensor, params: Params, sample_rate: int) -> Tensor:
        """`pitch_shift`."""
        return pitch_shift(x, params["cents"], sample_rate)


def _segment_starts(x: Tensor, length: int, ratio: Tensor, hop: int, overlap: int, reach: int) -> Tensor:
    """Choose where each segment of the stretched signal starts.

    Parameters
    ----------
    x : Tensor, shape [B, reach + length + reach + hop + overlap]
        The signal between silences.
    length
        Samples of the signal.
    ratio : Tensor of float64 on the CPU, shape [B]
        Duration of the stretched signal relative to the input.
    hop, overlap, reach
        Samples from segment to segment, samples of a cross-fade, samples that a segment may start before or after
        its nominal place.

    Returns
    -------
    Tensor of int64, shape [B, K]
        Positions in `x`, 0 to ``length + 2 * reach``. K hops cover the longest stretched signal and the taps of the
        interpolation.
    """
    count = int((length * float(ratio.max()) + _TAPS) / hop) + 1
    # The middle of a segment lies where it should, so that events are as often early as late.
    centre = (torch.arange(count) + 0.5) * hop
    nominal = beside((centre / ratio[:, None] - 0.5 * hop).round().long().clamp(0, length), x)
    # The silence before the signal makes its nominal places the first of those searched.
    choices = 2 * reach + 1
    regions = pieces(x, nominal, choices + overlap - 1)
    energy = F.pad(regions.square().cumsum(dim=2), (1, 0))
    energy = energy[..., overlap:] - energy[..., :choices]
    size = fast_length(regions.shape[2])
    spectra = torch.fft.rfft(regions, size)
    place = torch.full_like(nominal[:, 0], reach)
    places = [place]
    # The cross-fade's samples in reverse: their convolution with a region is the correlation that is wanted.
    template = torch.arange(hop + overlap - 1, hop - 1, -1, device=x.device)
    for k in range(1, count):
        follower = torch.fft.rfft(x.gather(1, place[:, None] + template), size)
        product = torch.fft.irfft(follower * spectra[:, k], size)[:, overlap - 1 : overlap - 1 + choices]
        # The squared difference of the two, less the energy of the template, which all choices share.
        place = nominal[:, k] + torch.add(energy[:, k], product, alpha=-2.0).argmin(dim=1)
        places.append(place)
    return torch.stack(places, dim=1)


def _oversample(x: Tensor, ratio: Tensor, size: int) -> Tensor:
    """Double the sample rate, remove what would alias, and compensate the loss of the interpolation.

    Parameters
    ----------
    x : Tensor, shape [B, N]
    ratio : Tensor of float64 on the CPU, shape [B]
        Speed at which the signal will be read.
    size
        Length of the Fourier transform [samples], above N.

    Returns
    -------
    Tensor, shape [B, 2 * size]
    """
    bins = size // 2 + 1
    # Half the sample rate is 1: above it there is nothing, so no slope is needed where the speed is at most 1.
    stop = beside(torch.where(ratio > 1.0, 1.0 / ratio, 1.0 / (1.0 - _SLOPE)), x)[:, None]
    frequency = torch.linspace(0.0, 1.0, bins, device=x.device, dtype=x.dtype)
    slope = ((stop - frequency) / (_SLOPE * stop)).clamp_(0.0, 1.0)
    response = slope.square().mul_(3.0 - 2.0 * slope).mul_(_compensation(bins, x.device))
    fine: Tensor = torch.fft.irfft(torch.fft.rfft(x, size).mul_(response), _OVERSAMPLING * size)
    return fine


def _join(x: Tensor, start: Tensor, hop: int, overlap: int) -> Tensor:
    """Lay segments [B, K] of an oversampled signal end to end, each cross-faded with what followed the one before.

    Returns
    -------
    Tensor, shape [B, K * hop]
    """
    segments = pieces(x, start, hop)
    fade = torch.linspace(0.0, 1.0, overlap, device=x.device, dtype=x.dtype)
    heads = segments[:, 1:, :overlap]
    heads.copy_(torch.lerp(pieces(x, start[:, :-1] + hop, overlap), heads, fade))
    return segments.flatten(1)


def _read(x: Tensor, speed: Tensor, length: int) -> Tensor:
    """Read `length` samples of x [B, N] at multiples of each example's speed [samples], by interpolation."""
    # Whole numbers of 2**-32 samples: exact and alike on all devices, where float32 would lose the fraction.
    step = beside((speed * 2.0**_FRACTION_BITS).round().long(), x)[:, None]
    position = torch.arange(length, device=x.device) * step
    base = position >> _FRACTION_BITS
    phase = (position >> (_FRACTION_BITS - _PHASE_BITS)).bitwise_and_((1 << _PHASE_BITS) - 1).view(-1)
    result: Tensor | None = None
    for tap, weights in enumerate(_tap_weights(x.device)):
        term = x[:, tap:].gather(1, base).mul_(weights.index_select(0, phase).view_as(base))
        result = term if result is None else result.add_(term)
    assert result is not None
    return result


@lru_cache(maxsize=8)
def _tap_weights(device: torch.device) -> Tensor:
    """Return the Kaiser-Bessel window at the distances of the taps, shape [taps, phases]; float32."""
    phases = 1 << _PHASE_BITS
    # Phases are rounded down when read: the middle of each is the better half of the error.
    fraction = (torch.arange(phases, dtype=torch.float64) + 0.5) / phases
    distance = torch.arange(_TAPS)[:, None] - (_TAPS // 2 - 1) - fraction
    inside = (1.0 - (2.0 * distance / _TAPS).square()).clamp_(min=0.0)
    weights: Tensor = torch.special.i0(_BETA * inside.sqrt())
    return weights.float().to(device)


@lru_cache(maxsize=32)
def _compensation(bins: int, device: torch.device) -> Tensor:
    """Return what undoes the interpolation's response, from 0 to half the original sample rate, shape [bins]."""
    cycles = torch.linspace(0.0, 0.5 / _OVERSAMPLING, bins, dtype=torch.float64)
    root = (_BETA**2 - (math.pi * _TAPS * cycles).square()).sqrt()
    response = _TAPS * torch.sinh(root) / root
    return (_OVERSAMPLING / response).float().to(device)
