"""What a method of training says of itself; everything else about a training is the same for all.

A method is one file: the keys of its recipes (a `RecipeEntry`), what it trains on, and the module that it trains
(a `TrainedModule`). A recipe names it by `method: package.module:Name`, as an encoder's entry names a class; the module
may lie beside the registry file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import torch

from benchmark.errors import UserError
from benchmark.factors import DRAWN_CLIPS
from benchmark.pretraining.crops import Crops, CropSampler
from benchmark.pretraining.items import Item, divide, items_of
from benchmark.pretraining.source_labels import SourceLabels
from benchmark.pretraining.trained import TrainedModule
from benchmark.registry.recipes import RecipeEntry
from benchmark.store.pcm import Pcm, PcmClip
from encoders.base import Encoder
from tasks.base import Task

R = TypeVar("R", bound=RecipeEntry)


@dataclass(frozen=True)
class Given:
    """What a training has been given to learn from.

    Attributes
    ----------
    title
        How the training is called in what goes wrong.
    pcm
        Audio.
    splits
        Splits of its clips that are trained on; ``None`` for all clips.
    task
        Labels and split, where the recipe is `LABELLED`.
    labels
        Fraction of the training labels that is used.
    seed
        Of the training.
    window
        Length of a crop [samples].
    encoder
        What is to be trained.
    sources
        What sources of labels say of the clips of `pcm`, where the recipe names `sources`, in its order.
    draw
        How the fraction of the training labels is drawn.
    """

    title: str
    pcm: Pcm
    splits: Sequence[str] | None
    task: Task | None
    labels: float
    seed: int
    window: int
    encoder: Encoder
    sources: Sequence[SourceLabels] = ()
    draw: str = DRAWN_CLIPS


@dataclass(frozen=True)
class Material:
    """What of that a training takes.

    Attributes
    ----------
    items
        What crops are cut from.
    held_out
        Clips that the training is watched by; none of them is trained on.
    """

    items: Sequence[Item]
    held_out: Sequence[PcmClip]


@dataclass(frozen=True)
class Setting:
    """Where a training happens: the encoder, its crops on the device, and what is cut in every step.

    Attributes
    ----------
    encoder
        Trained in place.
    given, crops, sampler
        Audio, what is cut of it, and when.
    steps
        Length of the training, at most.
    device
        Where it happens.
    """

    encoder: Encoder
    given: Given
    crops: Crops
    sampler: CropSampler
    steps: int
    device: torch.device


class Method(ABC, Generic[R]):
    """A way to train an encoder, by the numbers of a recipe.

    Parameters
    ----------
    recipe
        An entry of the class `RECIPE`.
    """

    #: Keys of its recipes.
    RECIPE: ClassVar[type[RecipeEntry]]

    def __init__(self, recipe: R) -> None:
        self.recipe = recipe

    def material(self, given: Given) -> Material:
        """What the training takes of what it has been given: by default every clip of the corpus, labels or not.

        Clips of the validation split are held out, if it is not trained on.

        Raises
        ------
        UserError
            If that is too little.
        """
        corpus, held_out = divide(given.pcm, given.splits)
        items = items_of(corpus, "clip", given.window)
        self.check_enough(items, given, "clips")
        return Material(items, [item.clips[0] for item in items_of(held_out, "clip", given.window)])

    @abstractmethod
    def module(self, setting: Setting, material: Material) -> TrainedModule:
        """What is trained."""

    def sampler(self, given: Given, material: Material, part: tuple[int, int]) -> CropSampler:
        """Which items, and where in them, every step is cut from; `part` as of `CropSampler`."""
        return CropSampler(
            [item.samples for item in material.items],
            given.window,
            self.recipe.batch,
            given.seed,
            views=self.recipe.VIEWS,
            replacement=self.recipe.replacement,
            within=self.pair_within(given.pcm.sample_rate),
            part=part,
        )

    def total_steps(self, items: int, encoder: Encoder) -> int:
        """Optimiser steps of a training of an encoder on `items` items, at most."""
        del encoder
        return self.recipe.total_steps(items)

    def check_encoder(self, build: Callable[[], Encoder]) -> None:
        """Raise `UserError` if an encoder, which `build` gives, cannot be trained so; asked before anything is done."""
        del build

    def pair_within(self, sample_rate: int) -> int | None:
        """How far crops of one item may start from the first of them [samples]; ``None`` for any distance."""
        del sample_rate
        return None

    def goes_on(self) -> bool:
        """Whether a training's first steps are those of a shorter one, which it can then go on from."""
        return False

    def words(self, material: Material, steps: int) -> str:
        """What is trained on and how long, for the terminal."""
        return f"{len(material.items):,} items, at most {steps:,} steps of {self.recipe.batch}"

    def check_enough(self, items: Sequence[Item], given: Given, what: str) -> None:
        """Raise `UserError` if there is less than a batch of items; `what` they are, as in ``"clips"``."""
        if len(items) < self.recipe.batch:
            raise UserError(
                f"{given.title}: there are {len(items)} {what} of at least {given.window} samples, fewer than a batch "
                f"of {self.recipe.batch}; name a smaller --batch"
            )
