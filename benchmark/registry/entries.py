"""What an entry of `registry.yaml` may say: one model a section, every key described, unknown keys refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, field_validator, model_validator

from benchmark.class_path import ClassPath, check_class_path
from probes.protocol import Factorisation, Nearest, OwnReadout, Protocol

E = TypeVar("E", bound="Entry")


class Entry(BaseModel):
    """Common to all entries: read-only once validated."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Published(Entry):
    """What is known of a model that others trained, and what it needs to run here."""

    source: str = Field(description="who published it, and where its weights come from")
    licence: str = Field(description="of the weights")
    context: PositiveFloat | None = Field(
        default=None, description="length of the excerpts that it was trained on [s]; absent where nobody says"
    )
    labels_of: tuple[str, ...] = Field(
        default=(), description="datasets, by their names here, whose labels its publishers trained it with"
    )
    audio_of: tuple[str, ...] = Field(
        default=(), description="datasets, by their names here, whose audio its publishers trained it on"
    )
    weights: str | None = Field(
        default=None, description="file of weights, below the folder that `bench fetch-weights` fills"
    )
    hub: str | None = Field(
        default=None, description="model of the Hugging Face Hub that must be on this machine, `owner/name`"
    )
    revision: str | None = Field(default=None, description="commit of that model")
    modules: tuple[str, ...] = Field(default=(), description="Python modules that must be installed")
    install: str = Field(default="", description="the command that installs them")
    get: str = Field(
        default="", description="the command that gets the weights; `{weights}` stands for the folder of fetched ones"
    )


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
        "counts; null for one that the user must name; one that begins with `fetched:` lies below the folder that "
        "`bench fetch-weights` fills",
    )
    weights: str | None = Field(
        default=None, description="file of weights (.safetensors, .pt, .ckpt), relative to the registry file"
    )
    sample_rate: PositiveInt = Field(
        default=22_050,
        description="rate of the audio it takes [Hz]; `args.sample_rate`, where given, comes first; an adapter asks "
        "its model where neither is",
    )
    pretrain: bool | None = Field(
        default=None,
        description="whether a recipe trains it; by default, unless weights are given or an adapter brings them",
    )
    seeded: bool = Field(
        default=False, description="whether an encoder that no recipe trains starts from the run's seed, as chance does"
    )
    published: Published | None = Field(
        default=None, description="of a model that others trained: who, licence, context, and what it needs to run"
    )
    description: str = Field(default="", description="a line for `bench list`")

    @model_validator(mode="after")
    def _weights_stand_once(self) -> EncoderEntry:
        if self.weights is not None and self.published is not None and self.published.weights is not None:
            raise ValueError("weights and published.weights are both given; leave one")
        return self

    @model_validator(mode="after")
    def _weights_have_no_seed(self) -> EncoderEntry:
        if self.seeded and (self.weights is not None or self.learns):
            raise ValueError("seeded is for encoders that no recipe trains and that have no weights: pretrain: false")
        return self

    @property
    def adapts(self) -> bool:
        """Whether it wraps a model of others."""
        return self.class_path.startswith("encoders.adapters.")

    @property
    def stated_rate(self) -> int | None:
        """Rate of the audio that it takes [Hz]; ``None`` where the model of an adapter says it alone."""
        if "sample_rate" in self.args:
            return int(self.args["sample_rate"])
        return None if self.adapts and "sample_rate" not in self.model_fields_set else self.sample_rate

    @property
    def learns(self) -> bool:
        """Whether a recipe is to train this encoder."""
        if self.pretrain is not None:
            return self.pretrain
        given = self.weights is not None or self.published is not None
        return not given and not self.adapts


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
    labels: str | None = Field(
        default=None,
        description="task of the same dataset whose labels a supervised recipe learns from, on its training clips",
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


def numbers(entry: Entry) -> dict[str, Any]:
    """What of a recipe or protocol determines its result, as keys hold it.

    What is as by default is left out: a key that is added with a default, which means what was done before, then leaves
    the keys of all that was made before. A default never changes.
    """
    return entry.model_dump(mode="json", exclude_defaults=True, exclude={"source", "description"})


def planned(entry: type[E], document: Mapping[str, Any]) -> E:
    """A recipe or protocol from its numbers in a step's spec."""
    return entry.model_validate({"source": "plan", **document}, strict=False)


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
    def _class_path(
        cls, readout: Nearest | Factorisation | OwnReadout | None
    ) -> Nearest | Factorisation | OwnReadout | None:
        if isinstance(readout, OwnReadout):
            check_class_path(readout.class_path)
        return readout
