"""What lies between the representation and a loss that compares views; thrown away after pretraining."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from benchmark.pretraining.trained import seeded
from benchmark.registry.methods import Projector


def build_projector(settings: Projector, dim: int, seed: int) -> nn.Module:
    """What maps representations [B, dim] to where the loss compares them, [B, settings.dim].

    An `mlp` without widths is CLMR's: one hidden layer as wide as the representation. Each hidden layer is linear, then
    normalised where the settings say so, then a ReLU.
    """
    if settings.kind == "identity":
        return nn.Identity()
    hidden: tuple[int, ...] = () if settings.kind == "linear" else settings.widths or (dim,)
    layers: list[nn.Module] = []
    with seeded(seed):
        for inputs, outputs in pairwise((dim, *hidden)):
            layers.append(nn.Linear(inputs, outputs, bias=settings.bias))
            if settings.norm == "batch":
                layers.append(nn.BatchNorm1d(outputs))
            layers.append(nn.ReLU())
        bias = settings.bias if settings.output_bias is None else settings.output_bias
        last = nn.Linear((dim, *hidden)[-1], settings.dim, bias=bias)
    return nn.Sequential(*layers, last) if layers else last
