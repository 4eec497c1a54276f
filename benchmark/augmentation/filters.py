"""High-pass and low-pass filters of zero phase, as finite impulse responses applied by blocks of Fourier transforms.

The low-pass is an ideal one cut to eight zero crossings under a Hann window and scaled to leave a constant
unchanged; the high-pass is what the low-pass takes away. The signal is continued beyond its ends by its first and
last sample.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.augmentation.base import Augmentation, Params, chance, uniform
from benchmark.augmentation.batches import beside
from benchmark.augmentation.config import FilterConfig

ZERO_CROSSINGS = 8
"""Zero crossings of the ideal response that are kept, both sides together."""

_SMALLEST_BLOCK = 4096


def high_low_pass(x: Tensor, cutoff_hz: Tensor, high: Tensor, sample_rate: int) -> Tensor:
    """Filter each example by its own cutoff, as a high-pass or as a low-pass.

    Parameters
    ----------
    x : Tensor, shape [B, T]
    cutoff_hz : Tensor, shape [B]
        Frequency of half amplitude [Hz], above 0 and at most half the sample rate.
    high : Tensor of bool, shape [B]
        High-pass where true, low-pass elsewhere.
    sample_rate
        Sample rate [Hz].

    Returns
    -------
    Tensor, shape [B, T]
    """
    low = _convolve(x, _low_pass_kernels(x, cutoff_hz.double() / sample_rate))
    return torch.where(beside(high, x)[:, None], x - low, low)


class Filter(Augmentation):
    """High-passes or low-passes."""

    Config = FilterConfig
    config: FilterConfig

    def draw(self, n: int, generator: torch.Generator) -> Params:
        """`high`, whether the filter is a high-pass, and `hz`, its cutoff [Hz]."""
        high = chance(self.config.high_pass_probability, n, generator)
        high_hz = uniform(self.config.high_pass_hz, n, generator)
        low_hz = uniform(self.config.low_pass_hz, n, generator)
        return {"high": high, "hz": torch.where(high, high_hz, low_hz)}

    def apply(self, x: Tensor, params: Params, sample_rate: int) -> Tensor:
        """`high_low_pass`."""
        return high_low_pass(x, params["hz"], params["high"], sample_rate)


def _low_pass_kernels(x: Tensor, cutoff: Tensor) -> Tensor:
    """Return windowed-sinc responses of unit sum, zero beyond their own length, on the device of `x`.

    Parameters
    ----------
    x : Tensor, shape [B, T]
    cutoff : Tensor of float64 on the CPU, shape [B]
        Cutoffs [cycles/sample].

    Returns
    -------
    Tensor, shape [B, 2 * H + 1]
        H is the longest half of the batch; an example's own half is ``int(ZERO_CROSSINGS / cutoff / 2)`` samples.
    """
    half = (ZERO_CROSSINGS / cutoff / 2.0).long()
    longest = int(half.max())
    half = beside(half, x)[:, None]
    time = torch.arange(-longest, longest + 1, device=x.device, dtype=x.dtype)
    window = 0.5 + 0.5 * torch.cos(math.pi * time / half)
    kernels = torch.where(time.abs() <= half, window * torch.sinc(2.0 * beside(cutoff, x)[:, None] * time), 0.0)
    return kernels / kernels.sum(dim=1, keepdim=True)


def _convolve(x: Tensor, kernels: Tensor) -> Tensor:
    """Convolve each example [B, T] with its own centred response [B, 2 * H + 1], at the same length."""
    margin = kernels.shape[1] - 1
    block = max(_SMALLEST_BLOCK, 1 << (4 * margin - 1).bit_length())
    step = block - margin
    count = -(-x.shape[1] // step)
    left = margin // 2
    # The last block may reach past the replicated margin; what it computes there is cut off again.
    padded = F.pad(x, (left, left), mode="replicate")
    padded = F.pad(padded, (0, count * step + margin - padded.shape[1]))
    spectra = torch.fft.rfft(padded.unfold(1, block, step))
    spectra *= torch.fft.rfft(kernels, block)[:, None, :]
    # The first `margin` samples of a block mix its two ends and belong to no output.
    blocks: Tensor = torch.fft.irfft(spectra, block)[..., margin:]
    return blocks.flatten(1)[:, : x.shape[1]]
