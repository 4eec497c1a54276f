"""One echo added to the signal."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.augmentation.base import Augmentation, Params, integers
from benchmark.augmentation.batches import beside
from benchmark.augmentation.config import DelayConfig


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


class Delay(Augmentation):
    """Adds one echo."""

    Config = DelayConfig
    config: DelayConfig

    def draw(self, n: int, generator: torch.Generator) -> Params:
        """`ms` [ms], one of the choices."""
        choices = torch.tensor(self.config.choices_ms, dtype=torch.float64)
        return {"ms": choices[integers((0, len(choices) - 1), n, generator)]}

    def apply(self, x: Tensor, params: Params, sample_rate: int) -> Tensor:
        """`delay`."""
        return delay(x, params["ms"], sample_rate, factor=self.config.factor, halve=self.config.halve)
