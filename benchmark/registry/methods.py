"""The methods of training that come with bench, with the keys of their recipes, and how a recipe's method is told.

What is said here is read with every registry, so nothing that learns is imported: what the methods do stands in
`benchmark.pretraining.methods`, a file for each. A method from outside brings its recipe in the same file as all else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from benchmark.augmentation.config import Augmentations
from benchmark.class_path import ClassPath
from benchmark.errors import unknown_name
from benchmark.registry.entries import Entry
from benchmark.registry.recipes import RecipeEntry


class Projector(Entry):
    """What lies between the representation and the contrastive loss; thrown away after pretraining."""

    kind: Literal["identity", "linear", "mlp"] = Field(
        description="nothing, one linear layer, or hidden layers with ReLUs and a linear one"
    )
    dim: PositiveInt = Field(description="size of its output; of no meaning for identity")
    widths: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] | None = Field(
        default=None, description="of the hidden layers of an mlp; one as wide as the representation if null"
    )
    bias: bool = Field(default=False, description="whether its linear layers have biases")
    output_bias: bool | None = Field(default=None, description="whether the last one has; as `bias` says if null")
    norm: Literal["none", "batch"] = Field(default="none", description="batch norm before each ReLU, or none")

    @model_validator(mode="after")
    def _consistent(self) -> Projector:
        if self.kind != "mlp" and (self.widths is not None or self.norm != "none"):
            raise ValueError(f"widths and norm are of hidden layers, which {self.kind} has none of; say kind: mlp")
        return self


class ContrastiveRecipe(RecipeEntry):
    """A contrastive pretraining recipe."""

    VIEWS: ClassVar[int] = 2

    method: Literal["contrastive"] = Field(default="contrastive", description="what is learnt from: pairs of views")
    epochs: PositiveInt | None = Field(default=None, description="times each item is visited")
    pairs: PositiveInt | None = Field(default=None, description="pairs of views seen in all, instead of epochs")
    item: Literal["clip", "song"] = Field(
        default="clip", description="what a pair is cut from: a clip, or all clips of one recording joined"
    )
    pair_within_seconds: PositiveFloat | None = Field(
        default=None,
        description="how far the second crop of a pair starts from the first at most [s]; anywhere in the item if null",
    )
    batch: Annotated[int, Field(ge=2, description="pairs of views that are contrasted with one another")]
    chunk: PositiveInt | None = Field(
        default=None, description="pairs encoded at a time, where a batch does not fit; the loss still sees all"
    )
    batch_norm: Literal["views", "joint"] = Field(
        default="views", description="batch statistics of each view alone, as in CLMR, or of both together"
    )
    negatives: Literal["all", "replica"] = Field(
        default="all", description="where negatives come from in training on several devices: all, or the own one"
    )
    temperature: PositiveFloat = Field(description="of the softmax over cosine similarities")
    learning_rate: PositiveFloat = Field(description="of the optimiser, before `learning_rate_scale`")
    learning_rate_scale: Literal["none", "linear", "sqrt"] = Field(
        default="none", description="what it is multiplied by: 1, a 256th of the batch, or the batch's square root"
    )
    schedule: Literal["constant", "cosine"] = Field(
        description="course of the learning rate after the warm-up: the same throughout, or half a cosine down to zero"
    )
    projector: Projector
    augmentation: Augmentations
    one_sided: bool = Field(
        default=False, description="whether the second view of a pair is the crop alone, without augmentation"
    )

    @property
    def step_size(self) -> float:
        """Learning rate that the optimiser starts with, once it is warm."""
        scale = {"none": 1.0, "linear": self.batch / 256, "sqrt": math.sqrt(self.batch)}
        return float(self.learning_rate * scale[self.learning_rate_scale])

    @property
    def length(self) -> str:
        """Length of a training in words."""
        return f"{self.pairs:,} pairs" if self.pairs else f"{self.epochs:,} epochs"

    def total_steps(self, items: int) -> int:
        """Optimiser steps on a corpus of `items` clips or songs."""
        if self.pairs is not None:
            return math.ceil(self.pairs / self.batch)
        assert self.epochs is not None
        return self.epochs * (items // self.batch)

    @model_validator(mode="after")
    def _consistent(self) -> ContrastiveRecipe:
        if (self.epochs is None) == (self.pairs is None):
            raise ValueError("give either epochs or pairs")
        if self.epochs is not None:
            self.check_kept(self.epochs)
        return self


class SupervisedRecipe(RecipeEntry):
    """Training an encoder on the labels of a task, with a linear head."""

    LABELLED: ClassVar[bool] = True

    method: Literal["supervised"] = Field(description="what is learnt from: labels")
    epochs: PositiveInt | None = Field(default=None, description="times each training clip is visited, at most")
    steps: PositiveInt | None = Field(default=None, description="steps in all, at most, instead of epochs")
    patience: PositiveInt | None = Field(
        description="epochs without a lower validation loss before training stops, and the best weights are kept; if "
        "null it never does, and the last ones are"
    )
    batch: Annotated[int, Field(ge=2, description="crops a step")]
    dropout: Annotated[float, Field(ge=0, lt=1, description="share of the representation hidden from the head")]
    hidden: tuple[PositiveInt, ...] = Field(
        default=(), description="widths of layers with ReLUs between representation and labels, left out afterwards"
    )
    augmentation: Augmentations | None = Field(description="steps, of training crops; null for none")

    @property
    def length(self) -> str:
        """Length of a training in words."""
        return f"at most {self.steps:,} steps" if self.steps else f"at most {self.epochs:,} epochs"

    def total_steps(self, items: int) -> int:
        """Optimiser steps on `items` clips, at most."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return self.epochs * (items // self.batch)

    @model_validator(mode="after")
    def _consistent(self) -> SupervisedRecipe:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give either epochs or steps")
        if self.epochs is not None:
            self.check_kept(self.epochs)
        return self


class MultiSourceRecipe(RecipeEntry):
    """Training an encoder on several sources of labels, one drawn for each step (Kim et al. 2020, Algorithm 1)."""

    BATCH_OF: ClassVar[str] = "crops"

    method: Literal["multi_source"] = Field(description="what is learnt from: sources of labels, each step from one")
    sources: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="the sources; `self` asks whether two crops are of one clip. An encoder that names sources of its "
        "own is trained on those of them alone"
    )
    factors: Annotated[int, Field(ge=2)] = Field(description="how many factors the labels of a source are reduced to")
    tracks: Literal["common", "own"] = Field(
        default="common", description="clips that all of `sources` say something of, or for each source its own"
    )
    epochs: PositiveInt = Field(description="times as many steps as a pass over the clips takes, for each source")
    batch: Annotated[int, Field(ge=2, description="clips a step, or pairs of `self`, of which half are of one clip")]
    dropout: Annotated[float, Field(ge=0, lt=1, description="share of the representation hidden from the heads")]
    loss_scale: Literal["elements", "clips"] = Field(
        description="what the divergence of a batch is divided by: its clips times the factors, as in the released "
        "code, or its clips"
    )
    shared_rate: Literal["equal", "divided"] = Field(
        default="equal",
        description="learning rate of what all sources share: that of the branches, or that divided by their number",
    )

    @property
    def length(self) -> str:
        """Length of a training in words."""
        return f"{self.epochs:,} epochs"

    def total_steps(self, items: int, sources: int | None = None) -> int:
        """Optimiser steps on `items` clips, for all of the recipe's sources or so many of them."""
        return self.epochs * self.steps_per_epoch(items, len(self.sources) if sources is None else sources)

    def steps_per_epoch(self, items: int, sources: int) -> int:
        """As many as one pass over `items` clips takes, for each of the sources."""
        return math.ceil(items / self.batch) * sources

    @model_validator(mode="after")
    def _consistent(self) -> MultiSourceRecipe:
        if len(set(self.sources)) < len(self.sources):
            raise ValueError("sources names one of them twice")
        if "self" in self.sources and self.batch % 2:
            raise ValueError("batch must be even, for half of the pairs of self are of one clip")
        if self.replacement:
            raise ValueError("every batch is drawn anew from all clips; leave out replacement")
        self.check_kept(self.epochs)
        return self


class PredictiveRecipe(RecipeEntry):
    """Contrastive predictive coding: steps to come are to be told from others."""

    BATCH_OF: ClassVar[str] = "crops"

    method: Literal["predictive"] = Field(description="what is learnt from: what comes next")
    epochs: PositiveInt | None = Field(default=None, description="times each item is visited")
    steps: PositiveInt | None = Field(default=None, description="steps in all, instead of epochs")
    item: Literal["clip", "song"] = Field(
        default="clip", description="what a crop is cut from: a clip, or all clips of one recording joined"
    )
    distances: PositiveInt = Field(description="steps ahead that are predicted, from 1 on")
    negatives: PositiveInt = Field(description="latents that each true one is to be told from")
    stretch: PositiveInt | None = Field(
        default=None, description="steps in a row that are predicted from and to, drawn for each batch; all if null"
    )

    @property
    def length(self) -> str:
        """Length of a training in words."""
        return f"{self.steps:,} steps" if self.steps else f"{self.epochs:,} epochs"

    def total_steps(self, items: int) -> int:
        """Optimiser steps on a corpus of `items` clips or songs."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return self.epochs * (items // self.batch)

    @model_validator(mode="after")
    def _consistent(self) -> PredictiveRecipe:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give either epochs or steps")
        if self.stretch is not None and self.stretch <= self.distances:
            raise ValueError("a stretch has more steps than there are distances")
        if self.epochs is not None:
            self.check_kept(self.epochs)
        return self


#: Name of a method -> keys of its recipes, and the class that trains by them.
METHODS: Mapping[str, tuple[type[RecipeEntry], str]] = {
    "contrastive": (ContrastiveRecipe, "benchmark.pretraining.methods.contrastive:Contrastive"),
    "predictive": (PredictiveRecipe, "benchmark.pretraining.methods.predictive:Predictive"),
    "supervised": (SupervisedRecipe, "benchmark.pretraining.methods.supervised:Supervised"),
    "multi_source": (MultiSourceRecipe, "benchmark.pretraining.methods.multi_source:MultiSource"),
}


def _check_method(path: Any) -> Any:
    if isinstance(path, str) and ":" not in path:
        raise ValueError(f"{unknown_name('method', path, METHODS)}; one of your own is package.module:Name")
    return path


class UnreadRecipe(RecipeEntry):
    """A recipe of a method from outside: its own keys are checked once it is asked for, nothing is imported before."""

    model_config = ConfigDict(extra="allow")

    method: Annotated[ClassPath, BeforeValidator(_check_method)] = Field(
        description="`package.module:Name` of a subclass of `benchmark.pretraining.methods.base.Method`"
    )


def recipe_class(document: Mapping[str, Any]) -> type[RecipeEntry]:
    """What a recipe's entry is to be read as: what its key `method` says, contrastive by default."""
    method = document.get("method", "contrastive")
    return METHODS[method][0] if isinstance(method, str) and method in METHODS else UnreadRecipe
