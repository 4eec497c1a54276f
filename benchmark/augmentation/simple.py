"""Augmentations of a line each: polarity, noise, gain, delay.

Conventions of all augmentations: waveforms are float32 [B, T], full scale is -1 to 1; parameters are tensors [B] on
the CPU, one value an example, so that sizes which depend on them are known without asking the device; the result
has the shape and the duration of the input.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.augmentation.batches import beside


def polarity(x: Tensor) -> Tensor:
    """Invert the sign: ``-x``."""
    return -x


def noise(
    x: Tensor, level: Tensor, generator: torch.Generator, *, relative: bool = True, clamp: bool = False
) -> Tensor:
    """Add white Gaussian noise.

    Parameters
    ----------
    x : Tensor, shape [B, T]
    level : Tensor, shape [B]
        Standard deviation of the noise, relative to that of the example or to full scale.
    generator
        Source of the noise samples, on the device of `x`.
    relative
        Whether `level` is in units of the example's standard deviation (over its T samples, with T - 1).
    clamp
        Whether the result is limited to -1 to 1.

    Returns
    -------
    Tensor, shape [B, T]
    """
    sigma = beside(level, x)[:, None]
    if relative:
        sigma = sigma * x.std(dim=1, keepdim=True)
    samples = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    noisy = torch.addcmul(x, samples, sigma)
    return noisy.clamp_(-1.0, 1.0) if clamp else noisy


def gain(x: Tensor, db: Tensor) -> Tensor:
    """Scale by a gain, then limit to full scale.

    Parameters
    ----------
    x : Tensor, shape [B, T]
    db : Tensor, shape [B]
        Gain [dB]; the amplitude is multiplied by ``10 ** (db / 20)``.

    Returns
    -------
    Tensor, shape [B, T]
    """
    factor = beside(torch.pow(10.0, db.double() / 20.0), x)
    return (x * factor[:, None]).clamp_(-1.0, 1.0)


def delay(x: Tensor, ms: Tensor, sample_rate: int, *, factor: float, halve: bool) -> Tensor:
    """Add one echo: ``x[t] + factor * x[t - d]``, of which the half if `halve`.

    Parameters
    ----------
    x : Tensor, shape [B, T]
    ms : Tensor, shape [B]
        Delay of the echo [ms], at least 0; ``d`` is the whole number of samples below it.
    sample_rate
        Sample rate [Hz].
    factor
        Amplitude of the echo relative to the signal.
    halve
        Whether the sum is divided by two, as the released code of contrastive learning of musical representations
        does: the direct sound is then 6 dB softer.

    Returns
    -------
    Tensor, shape [B, T]
    """
    samples = (ms.double() * sample_rate / 1000.0).long()
    longest = int(samples.max())
    index = torch.arange(x.shape[1], device=x.device) + beside(longest - samples, x)[:, None]
    echo = F.pad(x, (longest, 0)).gather(1, index)
    mixed = torch.add(x, echo, alpha=factor)
    return mixed.mul_(0.5) if halve else mixed
