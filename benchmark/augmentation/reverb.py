"""Reverberation of the Freeverb structure with the parameters of sox, as one multiplication of spectra an example.

Two channels of eight parallel combs, whose feedback passes through a one-pole low-pass, feed four all-pass-like
filters in series each; the second channel's delays are spread a little. The mono result is the dry signal plus the
mean of the two channels. All of it is linear, so its exact transfer function is evaluated on a grid of
frequencies. The decay is far longer than a window and would wrap around the circle of the Fourier transform:
the transform is therefore taken on a circle of a radius above one, which is the same as damping input and response
exponentially, and undone by the opposite growth of the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from benchmark.augmentation.base import Augmentation, Params, integers
from benchmark.augmentation.batches import beside, fast_length
from benchmark.augmentation.config import ReverbConfig

COMB_DELAYS = (1116, 1188, 1277, 1356, 1422, 1491, 1557, 1617)
"""Delays of the combs [samples at 44 100 Hz]."""
ALLPASS_DELAYS = (225, 341, 441, 556)
"""Delays of the all-pass filters [samples at 44 100 Hz]."""
STEREO_SPREAD = 12
"""Samples at 44 100 Hz by which the second channel's delays are longer and shorter in turn."""
WET_GAIN = 0.015
ALLPASS_FEEDBACK = 0.5

# Damping at the end of the transform. More leaves less to wrap around and amplifies rounding errors more.
_DAMPING = 3e3
_FINE = 256


def feedback(reverberance: Tensor) -> Tensor:
    """Return the combs' feedback: what is lost a round trip falls geometrically from 0.7 at 0 to 0.02 at 100 %."""
    return 1.0 - 0.7 * torch.pow(0.02 / 0.7, reverberance.double() / 100.0)


def damping(hf_damping: Tensor) -> Tensor:
    """Return the pole of the low-pass in the combs' feedback, from 0.2 at 0 to 0.5 at 100 %."""
    return 0.2 + 0.3 * hf_damping.double() / 100.0


def comb_delays(room_scale: Tensor, sample_rate: int) -> Tensor:
    """Return the combs' delays [samples], shape [B, channels, combs], for room scales [%], shape [B]."""
    scale = (0.1 + 0.9 * room_scale.double() / 100.0) * sample_rate / 44_100
    return (scale[:, None, None] * _spread(COMB_DELAYS) + 0.5).long()


def allpass_delays(sample_rate: int) -> Tensor:
    """Return the delays of the all-pass filters [samples], shape [channels, filters]."""
    return (sample_rate / 44_100 * _spread(ALLPASS_DELAYS) + 0.5).long()


def reverb(x: Tensor, reverberance: Tensor, hf_damping: Tensor, room_scale: Tensor, sample_rate: int) -> Tensor:
    """Add reverberation, each example with its own room.

    Parameters
    ----------
    x : Tensor, shape [B, T]
    reverberance, hf_damping, room_scale : Tensor, shape [B]
        Length of the decay, dullness of the decay, and size of the room, each 0 to 100 [%].
    sample_rate
        Sample rate [Hz].

    Returns
    -------
    Tensor, shape [B, T]
        The dry signal plus the mean of the two reverberated channels, cut where the input ends.
    """
    length = x.shape[1]
    grid = _grid(length, sample_rate, x.device)
    loop_gain = feedback(reverberance)
    pole = damping(hf_damping)
    # The low-pass in the loop: (1 - pole) / (1 - pole / z), times the feedback.
    loop = torch.mul(grid.inverse_z, -beside(pole, x)[:, None, None]).add_(1.0).reciprocal_()
    loop.mul_(beside(loop_gain * (1.0 - pole), x)[:, None, None])
    delays = comb_delays(room_scale, sample_rate)
    growth = beside(torch.pow(grid.radius, delays.double()), x)
    delays = beside(delays, x)
    response, total, comb = (torch.empty_like(loop) for _ in range(3))
    for channel, allpass in enumerate(grid.allpass):
        for index in range(len(COMB_DELAYS)):
            # A comb is 1 / (z**d - loop). Powers of z are products of a coarse and a fine turn: no index a bin.
            coarse, fine = grid.turns(delays[:, channel, index])
            coarse = coarse * growth[:, channel, index, None]
            output = comb if index else total
            torch.mul(coarse[:, :, None], fine[:, None, :], out=output)
            output.sub_(loop).reciprocal_()
            if index:
                total.add_(comb)
        if channel:
            response.addcmul_(total, allpass)
        else:
            torch.mul(total, allpass, out=response)
    spectrum = torch.fft.rfft(x * grid.decay, grid.size)
    wet = torch.fft.irfft(spectrum.mul_(response.flatten(1)[:, : spectrum.shape[1]]), grid.size)
    return torch.addcdiv(x, wet[:, :length], grid.decay)


class Reverb(Augmentation):
    """Adds reverberation."""

    Config = ReverbConfig
    config: ReverbConfig

    def draw(self, n: int, generator: torch.Generator) -> Params:
        """The room: `reverberance`, `hf_damping` and `room_scale` [%]."""
        return {
            "reverberance": integers(self.config.reverberance, n, generator),
            "hf_damping": integers(self.config.hf_damping, n, generator),
            "room_scale": integers(self.config.room_scale, n, generator),
        }

    def apply(self, x: Tensor, params: Params, sample_rate: int) -> Tensor:
        """`reverb`."""
        return reverb(x, params["reverberance"], params["hf_damping"], params["room_scale"], sample_rate)


def _spread(delays: tuple[int, ...]) -> Tensor:
    """Return delays [samples at 44 100 Hz] of both channels, shape [channels, filters]; float64."""
    nominal = torch.tensor(delays, dtype=torch.float64)
    signs = 1.0 - 2.0 * (torch.arange(len(delays)) % 2)
    return torch.stack([nominal, nominal + STEREO_SPREAD * signs])


@dataclass(frozen=True)
class _Grid:
    """What the transfer function needs that is the same for all examples; bins are laid out as [coarse, fine].

    Attributes
    ----------
    size
        Length of the Fourier transform [samples].
    radius
        Radius of the circle of evaluation.
    decay : Tensor, shape [T]
        ``radius ** -t``.
    unit : Tensor of complex64, shape [size]
        The unit circle, from 1 counter-clockwise.
    inverse_z : Tensor of complex64, shape [coarse, fine]
        ``1 / z`` of each bin.
    allpass : Tensor of complex64, shape [2, coarse, fine]
        Series of all-pass filters of each channel, times the wet gain and the channel's half of the mean.
    """

    size: int
    radius: float
    decay: Tensor
    unit: Tensor
    inverse_z: Tensor
    allpass: Tensor

    def turns(self, delay: Tensor) -> tuple[Tensor, Tensor]:
        """Return the directions of ``z ** delay`` at the first bin of each row [B, coarse] and in a row [B, fine]."""
        rows = _FINE * torch.arange(self.inverse_z.shape[0], device=delay.device)
        columns = torch.arange(_FINE, device=delay.device)
        return (
            self.unit[torch.outer(delay, rows).remainder_(self.size)],
            self.unit[torch.outer(delay, columns).remainder_(self.size)],
        )


@lru_cache(maxsize=8)
def _grid(length: int, sample_rate: int, device: torch.device) -> _Grid:
    """Return the grid for windows of `length` samples."""
    # What wraps around has died away for half a window, and for a second at least, besides being damped.
    size = fast_length(length + max(length // 2, sample_rate))
    radius = _DAMPING ** (1.0 / size)
    coarse = size // 2 // _FINE + 1
    angle = 2.0 * torch.pi / size * torch.arange(coarse * _FINE, dtype=torch.float64).view(coarse, _FINE)
    inverse_z = torch.polar(torch.full_like(angle, 1.0 / radius), -angle)
    series = torch.full((2, coarse, _FINE), WET_GAIN / 2.0, dtype=torch.complex128)
    for channel, delays in enumerate(allpass_delays(sample_rate)):
        for delay in delays:
            echo = inverse_z ** int(delay)
            series[channel] *= ((1.0 + ALLPASS_FEEDBACK) * echo - 1.0) / (1.0 - ALLPASS_FEEDBACK * echo)
    circle = 2.0 * torch.pi / size * torch.arange(size, dtype=torch.float64)
    return _Grid(
        size=size,
        radius=radius,
        decay=torch.pow(radius, -torch.arange(length, dtype=torch.float64)).float().to(device),
        unit=torch.polar(torch.ones_like(circle), circle).to(torch.complex64).to(device),
        inverse_z=inverse_z.to(torch.complex64).to(device),
        allpass=series.to(torch.complex64).to(device),
    )
