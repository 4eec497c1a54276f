"""The random part of augmentation: which examples each step changes, and with what parameters.

Everything is drawn for every example, selected or not, and on the CPU: a draw then depends on the seed alone, never on
a probability, and the device is never asked how many examples were selected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


def chance(probability: float, n: int, generator: torch.Generator) -> Tensor:
    """Draw `n` truth values that are true with a probability; bool [n] on the CPU."""
    return torch.rand(n, generator=generator, dtype=torch.float64) < probability


def uniform(limits: tuple[float, float], n: int, generator: torch.Generator) -> Tensor:
    """Draw `n` numbers uniformly between two limits; float64 [n] on the CPU."""
    low, high = limits
    return low + (high - low) * torch.rand(n, generator=generator, dtype=torch.float64)


def integers(limits: tuple[int, int], n: int, generator: torch.Generator) -> Tensor:
    """Draw `n` integers uniformly from a range, ends included; int64 [n] on the CPU."""
    return torch.randint(limits[0], limits[1] + 1, (n,), generator=generator)


@dataclass(frozen=True)
class StepDraws:
    """What one step does to a batch.

    Attributes
    ----------
    selected : Tensor of bool, shape [B]
        Examples that it changes.
    params
        Its parameters, of all examples.
    """

    selected: Tensor
    params: Mapping[str, Tensor]

    def take(self, rows: Tensor) -> StepDraws:
        """Those of some examples; `rows` are integers [n] on the CPU."""
        return StepDraws(self.selected[rows], {name: values[rows] for name, values in self.params.items()})


@dataclass(frozen=True)
class Draws:
    """What a chain does to a batch: `steps` in the order of the recipe."""

    steps: tuple[StepDraws, ...]

    def take(self, rows: Tensor) -> Draws:
        """Those of some examples of the batch, as of those that one of several processes has; `rows` are integers."""
        return Draws(tuple(step.take(rows) for step in self.steps))
