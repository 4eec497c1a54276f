"""The random part of augmentation: which examples each step changes, and with what parameters.

Everything is drawn for every example, selected or not, and on the CPU: a draw then depends on the seed alone, never on
a probability, and the device is never asked how many examples were selected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from benchmark.augmentation.config import StepConfig
from benchmark.errors import UserError
from benchmark.seeds import mix


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


class Drawing(Protocol):
    """What has random parameters for every example of a batch."""

    config: StepConfig

    def draw(self, n: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Parameters of `n` examples."""


class Streams:
    """Where the steps of a recipe draw from: each from a stream of its own, so that none changes another's draws.

    A stream is made of a seed, the step's name and how many of that name stand before it.

    Parameters
    ----------
    names
        Of the steps, as the recipe says them.

    Attributes
    ----------
    names
        A second one of a name has its number behind it, as ``noise 2``.
    """

    def __init__(self, names: Iterable[str]) -> None:
        seen: Counter[str] = Counter()
        self._streams: list[tuple[str, int]] = []
        for name in names:
            self._streams.append((name, seen[name]))
            seen[name] += 1
        self.names = tuple(f"{name} {before + 1}" if before else name for name, before in self._streams)

    def draw(self, steps: Sequence[Drawing], batch: int, seed: int) -> Draws:
        """Draw what `steps` do to `batch` examples, on the CPU.

        Raises
        ------
        UserError
            If a step does not give one row an example.
        """
        drawn = []
        for step, name, stream in zip(steps, self.names, self._streams, strict=True):
            generator = torch.Generator().manual_seed(mix(seed, *stream))
            selected = chance(step.config.probability, batch, generator)
            params = step.draw(batch, generator)
            for key, values in params.items():
                if len(values) != batch or values.device.type != "cpu":
                    raise UserError(
                        f"augmentation {name}: draw gives {key} {list(values.shape)} on {values.device} for {batch} "
                        "examples; it must have one row each, on the CPU"
                    )
            drawn.append(StepDraws(selected, params))
        return Draws(tuple(drawn))
