"""What an augmentation is: the class that every step of the chain subclasses, and everybody's own.

A step answers two questions, and keeps them apart. `draw` says what is random, for every example of a batch, changed or
not; `apply` does what was drawn to the examples that are changed, and has no random numbers of its own. Which examples
these are is drawn by the chain, from `probability`; it also limits how many are changed at a time, and leaves the
others as they are, to the bit.

Conventions of all augmentations: waveforms are float32 [n, T], full scale is -1 to 1; parameters are tensors on the CPU
with one row an example, so that sizes which depend on them are known without asking the device; the result has the
shape and the duration of the input.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from benchmark.augmentation.batches import beside
from benchmark.augmentation.config import StepConfig
from benchmark.augmentation.draws import chance, integers, uniform

__all__ = ["Augmentation", "Params", "StepConfig", "beside", "chance", "integers", "uniform"]

#: What is drawn for a batch: tensors on the CPU, by name; the first dimension counts examples.
Params = Mapping[str, Tensor]


class Augmentation(ABC):
    """One step of augmentation. Subclass it, and name the class in a recipe.

    A subclass sets `Config`, a subclass of `StepConfig` with a field for each number that a recipe must say, and
    defines `draw` and `apply`. It is then a step like those that come with bench::

        augmentation:
          - polarity: {probability: 0.8}
          - {class: "my_module:Mask", args: {probability: 0.5, seconds: 0.1}}

    `args` are validated by `Config`: unknown keys, missing ones and values out of range are refused with file and
    line. ``Config.check(sample_rate)`` may refuse more, before any audio is decoded. `my_module` is installed, or lies
    beside the registry file. Its source is part of the key of what is trained with it.

    Parameters
    ----------
    config
        Numbers of this step in a recipe.

    Attributes
    ----------
    Config
        Class of `config`.
    examples_at_a_time
        Examples that `apply` is given at most on a CPU, where the temporaries of a few fit the cache. On a GPU the
        chain gives it more, of any step.
    """

    Config: ClassVar[type[StepConfig]] = StepConfig
    examples_at_a_time: ClassVar[int] = 4

    def __init__(self, config: StepConfig) -> None:
        self.config = config

    @abstractmethod
    def draw(self, n: int, generator: torch.Generator) -> Params:
        """Draw the parameters of `n` examples, selected or not.

        Parameters
        ----------
        n
            Number of examples, at least 1.
        generator
            The only source of randomness, on the CPU. It belongs to this step of this batch: however much is drawn,
            no other step draws something else.

        Returns
        -------
        mapping of str to Tensor
            On the CPU; the first dimension of each has length `n`. `chance`, `uniform` and `integers` draw the usual.
        """

    @abstractmethod
    def apply(self, x: Tensor, params: Params, sample_rate: int) -> Tensor:
        """Change examples by parameters that were drawn for them.

        Parameters
        ----------
        x : Tensor of float32, shape [n, T]
            Examples that are changed, on any device; a copy, which may be written to. An example's result must not
            depend on those beside it: how many come together is a matter of memory.
        params
            What `draw` returned, the rows of these examples. `beside` brings one to the device of `x`.
        sample_rate
            Sample rate [Hz].

        Returns
        -------
        Tensor of float32, shape [n, T]
            On the device of `x`.
        """
