"""What a protocol says, as numbers: its parts, and the configurations among which validation chooses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, PositiveFloat, PositiveInt, Tag, model_validator

Unit = Literal["windows", "random_window", "segments", "clip_mean", "clip_mean_std"]
Decision = Literal["mean_probability", "mean_logit", "vote", "max", "best"]
#: What a network is trained towards: what labels of a kind are, or whether each of the classes is there or not.
Loss = Literal["labels", "binary"]
#: Width of a hidden layer that is as wide as the representation.
SAME = "same"
#: A number, or a list of them among which validation chooses.
Rate = Annotated[float, Field(ge=0, lt=1)]
Decay = Annotated[float, Field(ge=0)]
Widths = tuple[PositiveInt | Literal["same"], ...]


class _Numbers(BaseModel):
    """Read-only once validated; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, populate_by_name=True)


class Estimator(_Numbers):
    """An estimator of scikit-learn instead of a trained network."""

    kind: Literal["logistic", "ridge", "knn", "svm"] = Field(
        description="logistic regression, ridge regression, nearest neighbours, or a support vector machine"
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="keyword arguments of its class; a list is chosen from on validation"
    )

    def settings(self) -> list[dict[str, Any]]:
        """All combinations of the parameters, in the order of the lists."""
        lists = [several(value) for value in self.parameters.values()]
        return [dict(zip(self.parameters, values, strict=True)) for values in product(*lists)]


class Nearest(_Numbers):
    """What the nearest training examples are, by cosine distance; nothing is trained."""

    kind: Literal["nearest"] = Field(description="which readout")
    neighbours: PositiveInt | tuple[PositiveInt, ...] = Field(
        default=1, description="how many; a list is chosen from on validation, by the leading metric"
    )
    weights: Literal["uniform", "distance"] = Field(
        default="uniform", description="whether each counts alike, or by the reciprocal of its distance"
    )


class Factorisation(_Numbers):
    """A factorisation of plays, whose factors of clips follow from their features; see `probes.factorisation`."""

    kind: Literal["factorisation"] = Field(description="which readout")
    factors: PositiveInt | tuple[PositiveInt, ...] = Field(
        default=50,
        description="of each user and clip; a list, of this and of what follows, is chosen from on validation",
    )
    confidence: PositiveFloat | tuple[PositiveFloat, ...] = Field(
        default=0.1, description="by how much a play makes it surer that a user likes a clip"
    )
    user_ridge: PositiveFloat | tuple[PositiveFloat, ...] = Field(
        default=1e-5, description="what users' squared factors cost"
    )
    clip_ridge: PositiveFloat | tuple[PositiveFloat, ...] = Field(
        default=1e-5, description="what the squared difference between a clip's factors and its content costs"
    )
    content_ridge: PositiveFloat | tuple[PositiveFloat, ...] = Field(
        default=0.1, description="what the squared weights of features cost"
    )
    rounds: PositiveInt = Field(default=15, description="of alternating least squares")
    released: bool = Field(
        default=False,
        description="compute what the study's program does, not its equation: clips are drawn to their content by "
        "content_ridge, and test clips are in the matrix as clips that nobody plays",
    )

    def settings(self) -> list[dict[str, Any]]:
        """All combinations of what may be a list."""
        names = ("factors", "confidence", "user_ridge", "clip_ridge", "content_ridge")
        return [
            dict(zip(names, values, strict=True))
            for values in product(*(several(getattr(self, name)) for name in names))
        ]


class OwnReadout(_Numbers):
    """A class of one's own; `probes.readouts.base.Readout` says what it must do."""

    class_path: str = Field(alias="class", description="`package.module:Name` of the class")
    args: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of the class")


def _readout_kind(value: Any) -> str:
    if isinstance(value, OwnReadout) or (isinstance(value, Mapping) and bool({"class", "class_path"} & value.keys())):
        return "class"
    kind = value.get("kind") if isinstance(value, Mapping) else getattr(value, "kind", None)
    return "factorisation" if kind == "factorisation" else "nearest"


ReadoutNumbers = Annotated[
    Annotated[Nearest, Tag("nearest")]
    | Annotated[Factorisation, Tag("factorisation")]
    | Annotated[OwnReadout, Tag("class")],
    Discriminator(_readout_kind),
]


@dataclass(frozen=True)
class Member:
    """One network of a sweep, of the combinations that `Protocol.members` makes of lists.

    Attributes
    ----------
    standardise
        Scale features by mean and standard deviation of the training examples.
    hidden
        Widths of ReLU layers between representation and output; empty for a linear probe.
    dropout
        Rate at which inputs of layers are dropped in training, from 0 to below 1.
    batch
        Examples a step.
    learning_rate, weight_decay
        Of Adam.
    """

    standardise: bool
    hidden: tuple[int, ...]
    dropout: float
    batch: int
    learning_rate: float
    weight_decay: float


class Protocol(_Numbers):
    """A probe and how it is trained, selected and asked.

    `standardise`, `hidden`, `dropout`, `batch`, `learning_rate` and `weight_decay` may be lists: then every
    combination is trained, and the one that is best on the validation clips is kept.
    """

    examples: Unit = Field(
        description="what is an example: every window, one of each clip drawn with the seed, means over segments, the "
        "clip's mean over windows, or its mean and standard deviation side by side"
    )
    segment_seconds: PositiveFloat | None = Field(
        default=None, description="length of a segment [s]; a short last one is dropped"
    )
    window_seconds: PositiveFloat | None = Field(
        default=None,
        description="length of the windows [s], of encoders that can take other ones than they were trained with, or "
        "any; by default the encoder's own, or the whole clip",
    )
    hop_seconds: PositiveFloat | None = Field(
        default=None,
        description="distance of windows [s], the last of which then ends with the clip; by default they stand side by "
        "side, and what does not fill one is dropped; of no meaning for encoders that take the clip whole",
    )
    standardise: bool | tuple[bool, ...] = Field(
        description="scale features by mean and standard deviation of the training examples"
    )
    standardise_targets: bool = Field(
        default=False, description="train on values scaled by mean and standard deviation of the training examples"
    )
    estimator: Estimator | None = Field(
        default=None, description="an estimator of scikit-learn, instead of all numbers of a network below"
    )
    readout: ReadoutNumbers | None = Field(
        default=None,
        description="nearest neighbours, a factorisation of plays, or a class of one's own, instead of an estimator "
        "and of a network",
    )
    hidden: Widths | tuple[Widths, ...] | None = Field(
        default=None,
        description="widths of hidden ReLU layers, `same` for that of the representation; none makes the probe linear",
    )
    dropout: Rate | tuple[Rate, ...] = Field(default=0.0, description="share of the inputs of layers that is dropped")
    dropout_input: bool = Field(default=True, description="drop features of the representation, not hidden units only")
    dropout_output: bool = Field(default=False, description="drop outputs of the network too, before the loss")
    loss: Loss = Field(
        default="labels",
        description="what labels of the kind are trained by: cross entropy of tags, of classes and of distributions, "
        "squared error of values; or the binary cross entropy of each class, as if classes were tags",
    )
    batch: PositiveInt | tuple[PositiveInt, ...] | None = Field(default=None, description="examples a step")
    learning_rate: PositiveFloat | tuple[PositiveFloat, ...] | None = Field(default=None, description="of Adam")
    weight_decay: Decay | tuple[Decay, ...] | None = Field(
        default=None, description="share of the weights that `decay` takes"
    )
    decay: Literal["l2", "decoupled"] = Field(
        default="l2", description="add it to the gradient, or take it off the weights (AdamW)"
    )
    decay_biases: bool = Field(default=True, description="let biases decay as weights do")
    epsilon: PositiveFloat = Field(default=1e-8, description="of Adam, which is added to what gradients are divided by")
    schedule: Literal["constant", "plateau", "cosine"] = Field(
        default="constant",
        description="of the learning rate: the same throughout; a tenth after five epochs without a lower validation "
        "loss; half a cosine down to zero",
    )
    warmup_steps: Annotated[int, Field(ge=0)] = Field(default=0, description="steps of linear rise before the cosine")
    warmup_to: PositiveFloat | None = Field(
        default=None,
        description="learning rate that the rise leads to, where it is not that which the cosine falls from",
    )
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
    decision: Decision = Field(
        default="mean_probability",
        description="from a clip's examples to its prediction; `best` of the four is chosen on the validation clips",
    )

    def cutting(self) -> dict[str, float]:
        """What it says of how clips are cut into windows, without what it leaves to the encoder."""
        said = (*(["segment_seconds"] if self.examples == "segments" else []), "window_seconds", "hop_seconds")
        return {name: value for name in said if (value := getattr(self, name)) is not None}

    @property
    def trains_networks(self) -> bool:
        """Whether it is a sweep of networks, and neither an estimator nor another readout."""
        return self.estimator is None and self.readout is None

    @property
    def chooses_by_metric(self) -> bool:
        """Whether the task's leading metric decides anything in training, stopping or choosing."""
        return not self.trains_networks or self.stop_on == "metric" or self.decision == "best"

    @property
    def validates(self) -> bool:
        """Whether validation clips choose; otherwise they are trained on."""
        return self.train_on == "train"

    @property
    def probes(self) -> int:
        """How many are trained: every configuration in every repeat."""
        if self.estimator is not None:
            return self.repeats * len(self.estimator.settings())
        if isinstance(self.readout, Nearest):
            return self.repeats * len(several(self.readout.neighbours))
        if isinstance(self.readout, Factorisation):
            return self.repeats * len(self.readout.settings())
        return self.repeats * (1 if self.readout is not None else len(self.members(1)))

    def members(self, dim: int) -> list[Member]:
        """All configurations of a network, for representations of size `dim`, in the order of the lists."""
        hidden = self.hidden or ()
        widths = hidden if hidden and isinstance(hidden[0], tuple) else (hidden,)
        of_layers = [tuple(dim if width == SAME else int(width) for width in own) for own in widths]
        lists = (self.standardise, self.dropout, self.batch, self.learning_rate, self.weight_decay)
        standardise, *others = (several(one) for one in lists)
        return [Member(*numbers) for numbers in product(standardise, of_layers, *others)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        network = ("hidden", "batch", "learning_rate", "weight_decay")
        if self.examples == "segments" and self.window_seconds is not None:
            raise ValueError("segments are means of the encoder's own windows: leave window_seconds out")
        if not self.trains_networks:
            name = f"estimator {self.estimator.kind}" if self.estimator is not None else "readout"
            if self.estimator is not None and self.readout is not None:
                raise ValueError("estimator and readout stand side by side: give one or the other")
            self._refuse(f"of a network stand beside {name}", *network, "max_epochs", "max_steps")
            if isinstance(self.readout, Factorisation):
                self._check_factorisation(self.readout)
            elif not isinstance(self.standardise, bool) or self.train_on != "train":
                raise ValueError(
                    f"{'an' if self.estimator else 'a'} {name.split()[0]} takes one value of standardise, "
                    "and trains on train"
                )
            if self.readout is not None and self.decision != "mean_probability":
                raise ValueError("a readout decides by itself: leave decision out")
            return self
        missing = [name for name in network if getattr(self, name) is None]
        if missing:
            raise ValueError(f"{missing[0]} is missing; give it, or an estimator")
        if (self.max_epochs is None) == (self.max_steps is None):
            raise ValueError("give either max_epochs or max_steps")
        if (self.examples == "segments") != (self.segment_seconds is not None):
            raise ValueError("segment_seconds belongs to examples: segments, and only there")
        if self.warmup_to is not None and (isinstance(self.learning_rate, tuple) or not self.warmup_steps):
            raise ValueError("warmup_to belongs to warmup_steps and one learning_rate")
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

    def _check_factorisation(self, numbers: Factorisation) -> None:
        if self.examples not in ("clip_mean", "clip_mean_std"):
            raise ValueError("a factorisation has factors of clips: it needs examples: clip_mean or clip_mean_std")
        if not isinstance(self.standardise, bool):
            raise ValueError("a factorisation takes one value of standardise")
        if len(numbers.settings()) > 1 and (numbers.released or self.train_on != "train"):
            raise ValueError(
                "nothing can be chosen where validation clips are trained on, or test clips seen: give no lists"
            )

    def _refuse(self, why: str, *names: str) -> None:
        present = [name for name in names if getattr(self, name) is not None]
        if present:
            raise ValueError(f"{', '.join(present)} {why}: give one or the other")


_SWEPT = ("standardise", "dropout", "batch", "learning_rate", "weight_decay")


def several(value: Any) -> tuple[Any, ...]:
    """The values of a list to choose from, or the single value."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)
