"""What the entries of recipes have in common, whatever the method of training."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from benchmark.registry.entries import Entry


class AdamEntry(Entry):
    """Adam (Kingma and Ba 2015) with PyTorch's default decay rates, 0.9 and 0.999."""

    kind: Literal["adam"] = Field(description="which optimiser")


DecayRate = Annotated[float, Field(ge=0, lt=1)]


class AdamWEntry(Entry):
    """Adam with weight decay apart from the gradient (Loshchilov and Hutter 2019): a share of the weights a step."""

    kind: Literal["adamw"] = Field(description="which optimiser")
    betas: tuple[DecayRate, DecayRate] = Field(
        default=(0.9, 0.999), description="decay rates of the means of the gradient and of its square"
    )


class LarsEntry(Entry):
    """Layer-wise adaptive rate scaling (You et al. 2017) with momentum."""

    kind: Literal["lars"] = Field(description="which optimiser")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(description="share of the last update that is kept")
    trust: PositiveFloat = Field(description="length of an update relative to its layer's weights, at rate 1")


Optimiser = Annotated[AdamEntry | AdamWEntry | LarsEntry, Field(discriminator="kind")]


class StartFrom(Entry):
    """An earlier training whose weights are gone on from."""

    recipe: str = Field(description="name of its recipe")
    corpus: str | None = Field(
        default=None,
        description="what it trains on; if null what this recipe trains on, or the task's own corpus where that is the "
        "task itself",
    )


class RecipeEntry(Entry):
    """A way to train an encoder: the numbers that every method has. A method's own recipe adds to them.

    Attributes
    ----------
    LABELLED
        Whether it learns from a task's labels, so that its corpus is that task.
    VIEWS
        Crops that a step takes of each item.
    BATCH_OF
        What a batch consists of.
    """

    LABELLED: ClassVar[bool] = False
    VIEWS: ClassVar[int] = 1
    BATCH_OF: ClassVar[str] = "pairs"

    method: str = Field(
        description="how is learnt, by a name or as `package.module:Name` of a subclass of "
        "`benchmark.pretraining.methods.base.Method`"
    )
    source: str = Field(description="where its numbers come from")
    start_from: StartFrom | None = Field(
        default=None, description="the training whose weights it starts from; the encoder's initial ones if null"
    )
    keep_epochs: tuple[PositiveInt, ...] = Field(
        default=(), description="epochs after which the encoder's weights are kept beside the last ones"
    )
    crop_seconds: PositiveFloat | None = Field(
        default=None,
        description="length of what is cut of an item [s]; the encoder's window, or the most that it takes, if null",
    )
    replacement: bool = Field(
        default=False,
        description="whether items are drawn from all, each time anew, instead of each being visited once an epoch",
    )
    batch: Annotated[int, Field(ge=2, description="items a step")]
    optimiser: Optimiser = Field(default=AdamEntry(kind="adam"), description="Adam, AdamW or LARS")
    learning_rate: PositiveFloat = Field(description="of the optimiser")
    warmup_steps: Annotated[int, Field(ge=0)] = Field(
        default=0, description="steps in which the learning rate first rises from 0, in a line"
    )
    warmup_epochs: Annotated[int, Field(ge=0)] = Field(default=0, description="the same in epochs, instead")
    schedule: Literal["constant", "cosine"] = Field(
        default="constant",
        description="course of the learning rate after the warm-up: the same throughout, or half a cosine down to zero",
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        description="times the weights, added to the gradient; with AdamW, times the rate, taken off the weights"
    )
    description: str = Field(default="", description="a line for `bench list`")

    @property
    def step_size(self) -> float:
        """Learning rate that the optimiser starts with, once it is warm."""
        return float(self.learning_rate)

    @property
    def length(self) -> str:
        """Length of a training in words, as ``1,000 epochs``."""
        raise NotImplementedError

    def total_steps(self, items: int) -> int:
        """Optimiser steps of a training on `items` items, at most."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _has_one_warmup(self) -> RecipeEntry:
        if self.warmup_steps and self.warmup_epochs:
            raise ValueError("give either warmup_steps or warmup_epochs")
        return self

    def check_kept(self, epochs: int) -> None:
        """Raise `ValueError` if weights are to be kept after more than all `epochs`."""
        if any(epoch > epochs for epoch in self.keep_epochs):
            raise ValueError(f"keep_epochs names epochs after the last one, {epochs}")
