"""What an entry of `registry.yaml` may say: one model a section, every key described, unknown keys refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from benchmark.class_path import ClassPath

E = TypeVar("E", bound="Entry")


class Entry(BaseModel):
    """Common to all entries: read-only once validated."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


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


#: A number, or a list of them among which validation chooses.
Rate = Annotated[float, Field(ge=0, lt=1)]
Decay = Annotated[float, Field(ge=0)]
Widths = tuple[PositiveInt | Literal["same"], ...]


class EstimatorEntry(Entry):
    """An estimator of scikit-learn instead of a trained network."""

    kind: Literal["logistic", "ridge", "knn", "svm"] = Field(
        description="logistic regression, ridge regression, nearest neighbours, or a support vector machine"
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="keyword arguments of its class; a list is chosen from on validation"
    )


def numbers(entry: Entry) -> dict[str, Any]:
    """What of a recipe or protocol determines its result, as keys hold it.

    What is as by default is left out: a key that is added with a default, which means what was done before, then leaves
    the keys of all that was made before. A default never changes.
    """
    return entry.model_dump(mode="json", exclude_defaults=True, exclude={"source", "description"})


def planned(entry: type[E], document: Mapping[str, Any]) -> E:
    """A recipe or protocol from its numbers in a step's spec."""
    return entry.model_validate({"source": "plan", **document}, strict=False)


class ProtocolEntry(Entry):
    """A probe and how it is trained, selected and asked.

    `standardise`, `hidden`, `dropout`, `batch`, `learning_rate` and `weight_decay` may be lists: then every
    combination is trained, and the one that is best on the validation clips is kept.
    """

    source: str = Field(description="where its numbers come from")
    examples: Literal["windows", "random_window", "segments", "clip_mean", "clip_mean_std"] = Field(
        description="what is an example: every window, one of each clip drawn with the seed, means over segments, the "
        "clip's mean over windows, or its mean and standard deviation side by side"
    )
    segment_seconds: PositiveFloat | None = Field(
        default=None, description="length of a segment [s]; a short last one is dropped"
    )
    standardise: bool | tuple[bool, ...] = Field(
        description="scale features by mean and standard deviation of the training examples"
    )
    standardise_targets: bool = Field(
        default=False, description="train on values scaled by mean and standard deviation of the training examples"
    )
    estimator: EstimatorEntry | None = Field(
        default=None, description="an estimator of scikit-learn, instead of all numbers of a network below"
    )
    hidden: Widths | tuple[Widths, ...] | None = Field(
        default=None,
        description="widths of hidden ReLU layers, `same` for that of the representation; none makes the probe linear",
    )
    dropout: Rate | tuple[Rate, ...] = Field(default=0.0, description="share of the inputs of layers that is dropped")
    dropout_input: bool = Field(default=True, description="drop features of the representation, not hidden units only")
    batch: PositiveInt | tuple[PositiveInt, ...] | None = Field(default=None, description="examples a step")
    learning_rate: PositiveFloat | tuple[PositiveFloat, ...] | None = Field(default=None, description="of Adam")
    weight_decay: Decay | tuple[Decay, ...] | None = Field(
        default=None, description="share of the weights that `decay` takes"
    )
    decay: Literal["l2", "decoupled"] = Field(
        default="l2", description="add it to the gradient, or take it off the weights (AdamW)"
    )
    schedule: Literal["constant", "plateau", "cosine"] = Field(
        default="constant",
        description="of the learning rate: the same throughout; a tenth after five epochs without a lower validation "
        "loss; half a cosine down to zero",
    )
    warmup_steps: Annotated[int, Field(ge=0)] = Field(default=0, description="steps of linear rise before the cosine")
    max_epochs: PositiveInt | None = Field(default=None, description="visits to every example, at most")
    max_steps: PositiveInt | None = Field(default=None, description="length of training, instead of max_epochs")
    evaluate_every: PositiveInt | None = Field(
        default=None, description="steps between evaluations on the validation clips; every epoch if absent"
    )
    stop_on: Literal["loss", "metric"] = Field(
        default="loss",
        description="what says which evaluation and which configuration is better: the validation loss of examples, "
        "or the task's leading metric of clips",
    )
    patience: PositiveInt | None = Field(
        default=None, description="evaluations without a better one before training stops; it runs its length if absent"
    )
    keep: Literal["best", "last"] = Field(default="best", description="the evaluation whose weights are kept")
    train_on: Literal["train", "train+valid"] = Field(
        default="train", description="whether validation clips are trained on; then nothing is selected"
    )
    repeats: PositiveInt = Field(default=1, description="trainings with other seeds whose scores are averaged")
    decision: Literal["mean_probability", "mean_logit", "vote", "max", "best"] = Field(
        default="mean_probability",
        description="from a clip's examples to its prediction; `best` of the four is chosen on the validation clips",
    )
    description: str = Field(default="", description="a line for `bench list`")

    @model_validator(mode="after")
    def _consistent(self) -> ProtocolEntry:
        network = ("hidden", "batch", "learning_rate", "weight_decay")
        if self.estimator is not None:
            self._refuse(
                f"of a network stand beside estimator {self.estimator.kind}", *network, "max_epochs", "max_steps"
            )
            if not isinstance(self.standardise, bool) or self.train_on != "train":
                raise ValueError("an estimator takes one value of standardise, and trains on train")
            return self
        missing = [name for name in network if getattr(self, name) is None]
        if missing:
            raise ValueError(f"{missing[0]} is missing; give it, or an estimator")
        if (self.max_epochs is None) == (self.max_steps is None):
            raise ValueError("give either max_epochs or max_steps")
        if (self.examples == "segments") != (self.segment_seconds is not None):
            raise ValueError("segment_seconds belongs to examples: segments, and only there")
        if self.schedule == "plateau" and self.stop_on != "loss":
            raise ValueError("the plateau schedule follows the validation loss: it needs stop_on: loss")
        if self.schedule == "cosine" and self.patience is not None:
            raise ValueError("a cosine runs its length: leave patience out")
        if self.train_on == "train+valid":
            grid = [name for name in _SWEPT if isinstance(getattr(self, name), tuple) and getattr(self, name)]
            if grid or (self.hidden and isinstance(self.hidden[0], tuple)) or self.decision == "best":
                raise ValueError("nothing can be chosen where the validation clips are trained on: give no lists")
            if self.patience is not None or self.keep != "last" or self.schedule == "plateau":
                raise ValueError("training on train+valid needs keep: last, and neither patience nor plateau")
        return self

    def _refuse(self, why: str, *names: str) -> None:
        present = [name for name in names if getattr(self, name) is not None]
        if present:
            raise ValueError(f"{', '.join(present)} {why}: give one or the other")


_SWEPT = ("standardise", "dropout", "batch", "learning_rate", "weight_decay")
