"""Change of level."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.augmentation.base import Augmentation, Params, uniform
from benchmark.augmentation.batches import beside
from benchmark.augmentation.config import GainConfig


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


class Gain(Augmentation):
    """Changes the level, limited to full scale afterwards."""

    Config = GainConfig
    config: GainConfig

    def draw(self, n: int, generator: torch.Generator) -> Params:
        """`db` [dB]."""
        return {"db": uniform(self.config.db, n, generator)}

    def apply(self, x: Tensor, params: Params, sample_rate: int) -> Tensor:
        """`gain`."""
        del sample_rate
        return gain(x, params["db"])
