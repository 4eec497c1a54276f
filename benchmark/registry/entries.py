"""What an entry of `registry.yaml` may say: one model a section, every key described, unknown keys refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from benchmark.augmentation.config import AugmentationConfig
from probes.protocol import Nearest, OwnReadout, Protocol


class Entry(BaseModel):
    """Common to all entries: read-only once validated."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _check_class_path(path: str) -> str:
    module, colon, name = path.partition(":")
    if not (colon and name.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise ValueError("must look like package.module:Name")
    return path


ClassPath = Annotated[str, AfterValidator(_check_class_path)]


class EncoderEntry(Entry):
    """An encoder: a class, its arguments, and where its weights come from."""

    class_path: ClassPath = Field(
        alias="class", description="`package.module:Name` of a subclass of `encoders.base.Encoder`"
    )
    args: dict[str, Any] = Field(
        default_factory=dict,
        description="keyword arguments of the class; one called `module` names Python code whose source counts too",
    )
    files: dict[str, str | None] = Field(
        default_factory=dict,
        description="keyword arguments that are files or folders, relative to the registry file, and whose content "
        "counts; null for one that the user must name",
    )
    weights: str | None = Field(
        default=None, description="file of weights (.safetensors, .pt, .ckpt), relative to the registry file"
    )
    sample_rate: PositiveInt = Field(
        default=22_050, description="rate of the audio it takes [Hz]; `args.sample_rate`, where given, comes first"
    )
    pretrain: bool | None = Field(
        default=None,
        description="whether a recipe trains it; by default, unless weights are given or an adapter brings them",
    )
    seeded: bool = Field(
        default=False, description="whether an encoder that no recipe trains starts from the run's seed, as chance does"
    )
    description: str = Field(default="", description="a line for `bench list`")

    @model_validator(mode="after")
    def _weights_have_no_seed(self) -> EncoderEntry:
        if self.seeded and (self.weights is not None or self.learns):
            raise ValueError("seeded is for encoders that no recipe trains and that have no weights: pretrain: false")
        return self

    @property
    def learns(self) -> bool:
        """Whether a recipe is to train this encoder."""
        if self.pretrain is not None:
            return self.pretrain
        return self.weights is None and not self.class_path.startswith("encoders.adapters.")


class DatasetEntry(Entry):
    """A dataset: the class that reads its published layout."""

    class_path: ClassPath = Field(
        alias="class", description="`package.module:Name` of a subclass of `tasks.base.Dataset`"
    )
    root: str | None = Field(
        default=None,
        description="its folder, relative to the registry file, used whatever `--data` says; DATA/NAME if absent",
    )
    args: dict[str, Any] = Field(default_factory=dict, description="further keyword arguments of the class")
    description: str = Field(default="", description="a line for `bench list`")


class CorpusEntry(Entry):
    """A pretraining corpus: a dataset, or some splits of it."""

    dataset: str = Field(description="name of the dataset's entry")
    splits: tuple[Literal["train", "valid", "test"], ...] | None = Field(
        default=None, description="splits whose clips are used; all clips, also those outside any split, if absent"
    )
    description: str = Field(default="", description="a line for `bench list`")


class TaskEntry(Entry):
    """A task: a dataset with labels, a split and metrics."""

    dataset: str = Field(description="name of the dataset's entry")
    options: dict[str, str] = Field(
        default_factory=dict, description="what distinguishes it from the dataset's other tasks"
    )
    folds: Annotated[int, Field(ge=3)] | None = Field(
        default=None, description="divide all labelled clips anew, into so many parts that are tested in turn"
    )
    metrics: tuple[str, ...] = Field(
        min_length=1,
        description="names from `tasks.metrics.METRICS`, or a part of one as in r2.arousal; the first leads",
    )
    corpus: str = Field(description="what encoders are pretrained on unless the command says otherwise")
    protocol: str = Field(description="how it is probed unless the command says otherwise")
    description: str = Field(default="", description="a line for `bench list`")


class Projector(Entry):
    """What lies between the representation and the contrastive loss; thrown away after pretraining."""

    kind: Literal["identity", "linear", "mlp"] = Field(
        description="nothing, one linear layer, or two with a ReLU between them"
    )
    dim: PositiveInt = Field(description="size of its output; of no meaning for identity")


class AdamEntry(Entry):
    """Adam (Kingma and Ba 2015) with PyTorch's default decay rates, 0.9 and 0.999."""

    kind: Literal["adam"] = Field(default="adam", description="which optimiser")


class LarsEntry(Entry):
    """Layer-wise adaptive rate scaling (You et al. 2017) with momentum."""

    kind: Literal["lars"] = Field(description="which optimiser")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(description="share of the last update that is kept")
    trust: PositiveFloat = Field(description="length of an update relative to its layer's weights, at rate 1")


Optimiser = Annotated[AdamEntry | LarsEntry, Field(discriminator="kind")]


class RecipeEntry(Entry):
    """A contrastive pretraining recipe."""

    method: Literal["contrastive"] = Field(default="contrastive", description="what is learnt from: pairs of views")
    source: str = Field(description="where its numbers come from")
    epochs: PositiveInt | None = Field(default=None, description="times each item is visited")
    pairs: PositiveInt | None = Field(default=None, description="pairs of views seen in all, instead of epochs")
    keep_epochs: tuple[PositiveInt, ...] = Field(
        default=(), description="epochs after which the encoder's weights are kept beside the last ones"
    )
    item: Literal["clip", "song"] = Field(
        default="clip", description="what a pair is cut from: a clip, or all clips of one recording joined"
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
    optimiser: Optimiser = Field(default=AdamEntry(), description="Adam or LARS")
    learning_rate: PositiveFloat = Field(description="of the optimiser, before `learning_rate_scale`")
    learning_rate_scale: Literal["none", "linear", "sqrt"] = Field(
        default="none", description="what it is multiplied by: 1, a 256th of the batch, or the batch's square root"
    )
    schedule: Literal["constant", "cosine"] = Field(
        description="course of the learning rate: the same throughout, or half a cosine down to zero"
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(description="times the weights, added to the gradient")
    projector: Projector
    augmentation: AugmentationConfig
    description: str = Field(default="", description="a line for `bench list`")

    @property
    def step_size(self) -> float:
        """Learning rate that the optimiser starts with."""
        scale = {"none": 1.0, "linear": self.batch / 256, "sqrt": math.sqrt(self.batch)}
        return float(self.learning_rate * scale[self.learning_rate_scale])

    @model_validator(mode="after")
    def _consistent(self) -> RecipeEntry:
        if (self.epochs is None) == (self.pairs is None):
            raise ValueError("give either epochs or pairs")
        if self.epochs is not None and any(epoch > self.epochs for epoch in self.keep_epochs):
            raise ValueError(f"keep_epochs names epochs after the last one, {self.epochs}")
        return self


class SupervisedEntry(Entry):
    """Training an encoder end to end on the labels of a task, with a linear head."""

    method: Literal["supervised"] = Field(description="what is learnt from: labels")
    source: str = Field(description="where its numbers come from")
    epochs: PositiveInt = Field(description="times each training clip is visited, at most")
    patience: PositiveInt = Field(description="epochs without a lower validation loss before training stops")
    batch: Annotated[int, Field(ge=2, description="crops a step")]
    dropout: Annotated[float, Field(ge=0, lt=1, description="share of the representation hidden from the head")]
    optimiser: Optimiser = Field(default=AdamEntry(), description="Adam or LARS")
    learning_rate: PositiveFloat = Field(description="of the optimiser")
    weight_decay: Annotated[float, Field(ge=0)] = Field(description="times the weights, added to the gradient")
    augmentation: AugmentationConfig | None = Field(description="of training crops; null for none")
    description: str = Field(default="", description="a line for `bench list`")


def recipe_class(document: Mapping[str, Any]) -> type[RecipeEntry] | type[SupervisedEntry]:
    """Which of the two a recipe's entry is to be read as: what its key `method` says, contrastive by default."""
    return SupervisedEntry if document.get("method") == "supervised" else RecipeEntry


class ReadoutEntry(OwnReadout, Entry):
    """A readout of one's own, as an entry that names a class."""


class ProtocolEntry(Protocol, Entry):
    """A probe and how it is trained, selected and asked.

    `standardise`, `hidden`, `dropout`, `batch`, `learning_rate` and `weight_decay` may be lists: then every
    combination is trained, and the one that is best on the validation clips is kept.
    """

    source: str = Field(description="where its numbers come from")
    description: str = Field(default="", description="a line for `bench list`")

    @field_validator("readout")
    @classmethod
    def _class_path(cls, readout: Nearest | OwnReadout | None) -> Nearest | OwnReadout | None:
        if isinstance(readout, OwnReadout):
            _check_class_path(readout.class_path)
        return readout
