"""Mixup of features and labels (Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018).

MULE adds spectrograms of one batch to one another, with gains from Beta(5, 2) (McCallum et al. 2022, section 2.1).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from benchmark.augmentation.base import Params
from benchmark.augmentation.batches import beside
from benchmark.augmentation.config import MixupConfig
from benchmark.augmentation.features import FeatureAugmentation


def mixup(x: Tensor, partner: Tensor, gain: Tensor) -> Tensor:
    """Mix every example with another: ``gain x + (1 - gain) x[partner]``.

    Parameters
    ----------
    x : Tensor, shape [n, ...]
    partner : Tensor of int64, shape [n]
        Row that each is mixed with; one that is its own partner stays as it is.
    gain : Tensor, shape [n]
        Share of the example itself, 0 to 1.
    """
    share = beside(gain, x).to(x.dtype).view(-1, *[1] * (x.ndim - 1))
    return share * x + (1 - share) * x[beside(partner, x)]


class Mixup(FeatureAugmentation):
    """Mixes each example with one other, by a random permutation of the batch."""

    Config = MixupConfig
    config: MixupConfig

    def draw(self, n: int, generator: torch.Generator) -> Params:
        """Partners by a permutation, gains by a Beta distribution."""
        partner = torch.randperm(n, generator=generator)
        # PyTorch's own Beta distribution knows no generator.
        seed = int(torch.randint(2**62, (1,), generator=generator))
        gain = torch.from_numpy(np.random.default_rng(seed).beta(self.config.alpha, self.config.beta, n))
        return {"partner": partner, "gain": gain}

    def apply(self, features: Tensor, params: Params) -> Tensor:
        """`mixup`."""
        return mixup(features, params["partner"], params["gain"])

    def apply_to_targets(self, targets: Tensor, params: Params) -> Tensor:
        """`mixup`, with the same partners and gains."""
        return mixup(targets, params["partner"], params["gain"])
