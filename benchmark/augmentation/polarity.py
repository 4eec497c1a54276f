"""Inversion of the sign."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.augmentation.base import Augmentation, Params
from benchmark.augmentation.config import PolarityConfig


def polarity(x: Tensor) -> Tensor:
    """Invert the sign: ``-x``."""
    return -x


class Polarity(Augmentation):
    """Inverts the sign."""

    Config = PolarityConfig
    config: PolarityConfig

    def draw(self, n: int, generator: torch.Generator) -> Params:
        """Nothing but whether."""
        del n, generator
        return {}

    def apply(self, x: Tensor, params: Params, sample_rate: int) -> Tensor:
        """`polarity`."""
        del params, sample_rate
        return polarity(x)
