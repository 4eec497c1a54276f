"""Augmentation between an encoder's front end and its trunk, where an example may be changed by others of its batch.

A recipe lists these steps with all others, behind those that change waveforms. As there, `draw` says what is random and
`apply` does it. Only encoders that offer both parts (`encoders.capabilities.FrontEndAndTrunk`) can be trained so.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from benchmark.augmentation.base import Params
from benchmark.augmentation.batches import beside
from benchmark.augmentation.config import StepConfig
from benchmark.augmentation.draws import Draws, Streams


class FeatureAugmentation(ABC):
    """One step of augmentation of features. Subclass it, and name the class in a recipe.

    Parameters
    ----------
    config
        Numbers of this step in a recipe.

    Attributes
    ----------
    Config
        Class of `config`.
    """

    Config: ClassVar[type[StepConfig]] = StepConfig

    def __init__(self, config: StepConfig) -> None:
        self.config = config

    @abstractmethod
    def draw(self, n: int, generator: torch.Generator) -> Params:
        """Draw the parameters of a batch of `n` examples; see `benchmark.augmentation.base.Augmentation.draw`."""

    @abstractmethod
    def apply(self, features: Tensor, params: Params) -> Tensor:
        """Change every example of a batch of features [n, bands, t], on any device; type and shape stay."""

    def apply_to_targets(self, targets: Tensor, params: Params) -> Tensor:
        """What labels [n, L] become with their features: by default what they were."""
        del params
        return targets


class FeatureChain:
    """Random augmentation of features by steps that act one after the other.

    Parameters
    ----------
    steps
        With the names and streams that a recipe gives them.
    streams
        Where the steps draw from.

    Attributes
    ----------
    names
        Of the steps; a second one of a name has its number behind it.
    """

    def __init__(self, steps: Sequence[FeatureAugmentation], streams: Streams) -> None:
        self._steps = steps
        self._streams = streams
        self.names = streams.names

    def __bool__(self) -> bool:
        """Whether there is any step."""
        return bool(self._steps)

    def draw(self, batch: int, seed: int) -> Draws:
        """Draw what is done to a batch, on the CPU; the whole of it, whichever rows of it are wanted later."""
        return self._streams.draw(self._steps, batch, seed)

    def apply(self, features: Tensor, draws: Draws) -> Tensor:
        """Return a batch of features [B, bands, t], augmented by what was drawn for it."""
        for step, drawn in zip(self._steps, draws.steps, strict=True):
            features = _chosen(drawn.selected, step.apply(features, drawn.params), features)
        return features

    def apply_to_targets(self, targets: Tensor, draws: Draws) -> Tensor:
        """Return the labels [B, L] of the batch, as its features were augmented."""
        for step, drawn in zip(self._steps, draws.steps, strict=True):
            targets = _chosen(drawn.selected, step.apply_to_targets(targets, drawn.params), targets)
        return targets


def _chosen(selected: Tensor, changed: Tensor, before: Tensor) -> Tensor:
    return torch.where(beside(selected, before).view(-1, *[1] * (before.ndim - 1)), changed, before)
