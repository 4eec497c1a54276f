"""Addition of white Gaussian noise."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.augmentation.base import Augmentation, Params, integers, uniform
from benchmark.augmentation.batches import beside
from benchmark.augmentation.config import NoiseConfig


def noise(x: Tensor, level: Tensor, samples: Tensor, *, relative: bool = True, clamp: bool = False) -> Tensor:
    """Add noise.

    Parameters
    ----------
    x : Tensor, shape [B, T]
    level : Tensor, shape [B]
        Standard deviation of the noise, relative to that of the example or to full scale.
    samples : Tensor, shape [B, T]
        The noise, of standard deviation 1, on the device of `x`.
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
    noisy = torch.addcmul(x, samples, sigma)
    return noisy.clamp_(-1.0, 1.0) if clamp else noisy


def white(x: Tensor, seeds: Tensor) -> Tensor:
    """White Gaussian noise of standard deviation 1, each example from a seed of its own.

    Parameters
    ----------
    x : Tensor, shape [B, T]
        Says shape, device and type. On one device, equal seeds give equal bits.
    seeds : Tensor of int64, shape [B]
        On the CPU.

    Returns
    -------
    Tensor, shape [B, T]
    """
    generator = torch.Generator(x.device)
    samples = torch.empty_like(x)
    for row, seed in zip(samples, seeds.tolist(), strict=True):
        row.normal_(generator=generator.manual_seed(seed))
    return samples


class Noise(Augmentation):
    """Adds white Gaussian noise."""

    Config = NoiseConfig
    config: NoiseConfig

    def draw(self, n: int, generator: torch.Generator) -> Params:
        """`level`, in the unit that the recipe names, and `seed` of the samples, of each example its own."""
        return {
            "level": uniform(self.config.level, n, generator),
            "seed": integers((0, 2**62), n, generator),
        }

    def apply(self, x: Tensor, params: Params, sample_rate: int) -> Tensor:
        """`noise` with samples of `white`: the same whichever examples come together, in whichever process."""
        del sample_rate
        relative = self.config.reference == "std"
        return noise(x, params["level"], white(x, params["seed"]), relative=relative, clamp=self.config.clamp)
