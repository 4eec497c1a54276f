"""What an entry of `registry.yaml` may say: one model a section, every key described, unknown keys refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from benchmark.pretraining.augmentation.config import AugmentationConfig


class Entry(BaseModel):
    """Common to all entries: read-only once validated."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


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
    args: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of the class")
    weights: str | None = Field(
        default=None, description="file of weights (.safetensors, .pt, .ckpt), relative to the registry file"
    )
    sample_rate: PositiveInt = Field(
        default=22_050, description="rate of the audio it takes [Hz]; `args.sample_rate`, where given, comes first"
    )
    pretrain: bool | None = Field(
        default=None, description="whether a recipe trains it; by default, if no weights are given"
    )
    description: str = ""

    @property
    def learns(self) -> bool:
        """Whether a recipe is to train this encoder."""
        return self.weights is None if self.pretrain is None else self.pretrain


class DatasetEntry(Entry):
    """A dataset: the class that reads its published layout."""

    class_path: ClassPath = Field(
        alias="class", description="`package.module:Name` of a subclass of `tasks.base.Dataset`"
    )
    description: str = ""


class CorpusEntry(Entry):
    """A pretraining corpus: a dataset, or some splits of it."""

    dataset: str
    splits: tuple[Literal["train", "valid", "test"], ...] | None = Field(
        default=None, description="splits whose clips are used; all clips, also those outside any split, if absent"
    )
    description: str = ""


class TaskEntry(Entry):
    """A task: a dataset with labels, a split and metrics."""

    dataset: str
    options: dict[str, str] = Field(
        default_factory=dict, description="what distinguishes it from the dataset's other tasks"
    )
    metrics: tuple[str, ...] = Field(min_length=1, description="the first one leads")
    corpus: str = Field(description="what encoders are pretrained on unless the command says otherwise")
    protocol: str = Field(description="how it is probed unless the command says otherwise")
    description: str = ""


class Projector(Entry):
    """What lies between the representation and the contrastive loss; thrown away after pretraining."""

    kind: Literal["identity", "linear", "mlp"]
    dim: PositiveInt = Field(description="size of its output; of no meaning for identity")


class RecipeEntry(Entry):
    """A contrastive pretraining recipe."""

    source: str = Field(description="where its numbers come from")
    epochs: PositiveInt | None = Field(default=None, description="times each clip is visited")
    pairs: PositiveInt | None = Field(default=None, description="pairs of views seen in all, instead of epochs")
    batch: Annotated[int, Field(ge=2, description="pairs of views that are contrasted with one another")]
    temperature: PositiveFloat = Field(description="of the softmax over cosine similarities")
    learning_rate: PositiveFloat
    schedule: Literal["constant", "cosine"] = Field(
        description="course of the learning rate: the same throughout, or half a cosine down to zero"
    )
    weight_decay: Annotated[float, Field(ge=0)]
    projector: Projector
    augmentation: AugmentationConfig
    description: str = ""

    @model_validator(mode="after")
    def _one_length(self) -> RecipeEntry:
        if (self.epochs is None) == (self.pairs is None):
            raise ValueError("give either epochs or pairs")
        return self


class ProtocolEntry(Entry):
    """A probe and how it is trained, selected and asked."""

    source: str = Field(description="where its numbers come from")
    examples: Literal["windows", "clip_mean"] = Field(
        description="every window is an example, or each clip's mean over windows is"
    )
    standardise: bool = Field(description="scale features by mean and standard deviation of the training examples")
    hidden: tuple[PositiveInt, ...] = Field(description="widths of hidden layers; none makes the probe linear")
    batch: PositiveInt
    learning_rate: PositiveFloat
    weight_decay: Annotated[float, Field(ge=0)]
    max_epochs: PositiveInt
    patience: PositiveInt = Field(description="epochs without a lower validation loss before training stops")
    description: str = ""
