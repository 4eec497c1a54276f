"""What a protocol says, as numbers: its parts, and the configurations among which validation chooses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import product
from typing import Any, Literal

Kind = Literal["multilabel", "multiclass", "regression"]
Unit = Literal["windows", "random_window", "segments", "clip_mean", "clip_mean_std"]
Decision = Literal["mean_probability", "mean_logit", "vote", "max", "best"]
#: Width of a hidden layer that is as wide as the representation.
SAME = "same"


@dataclass(frozen=True)
class Member:
    """One probe of a sweep.

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


@dataclass(frozen=True)
class Course:
    """How training proceeds, the same for all probes of a sweep.

    Attributes
    ----------
    dropout_input
        Drop features of the representation too, not only hidden units.
    decoupled
        Decay weights beside the gradient step (AdamW) instead of adding to the gradient (L2).
    schedule
        ``constant``; ``plateau``: a tenth after five evaluations without a validation loss lower by 0.01 %;
        ``cosine``: half a cosine down to zero.
    warmup
        Steps over which the learning rate rises linearly from zero, before the cosine.
    max_epochs, max_steps
        Length of training; one of the two.
    evaluate_every
        Steps between evaluations on the validation examples; ``None`` for every epoch.
    patience
        Training of a probe ends after this many evaluations without a better one; ``None``: it runs its length.
    keep_best
        Keep the weights of the best evaluation, not the last.
    """

    dropout_input: bool = True
    decoupled: bool = False
    schedule: Literal["constant", "plateau", "cosine"] = "constant"
    warmup: int = 0
    max_epochs: int | None = None
    max_steps: int | None = None
    evaluate_every: int | None = None
    patience: int | None = None
    keep_best: bool = True


@dataclass(frozen=True)
class Protocol:
    """A protocol as its numbers; the fields of `ProtocolEntry` in `benchmark/registry/entries.py` say what they mean.

    Parameters that may be lists are tuples here; `members` and `estimator_settings` are their combinations.
    """

    examples: Unit
    standardise: tuple[bool, ...]
    hidden: tuple[tuple[int | str, ...], ...]
    dropout: tuple[float, ...]
    batch: tuple[int, ...]
    learning_rate: tuple[float, ...]
    weight_decay: tuple[float, ...]
    course: Course
    segment_seconds: float | None = None
    stop_on: Literal["loss", "metric"] = "loss"
    train_on: Literal["train", "train+valid"] = "train"
    decision: Decision = "mean_probability"
    standardise_targets: bool = False
    repeats: int = 1
    estimator: str | None = None
    parameters: Mapping[str, tuple[Any, ...]] | None = None

    @classmethod
    def of(cls, numbers: Mapping[str, Any]) -> Protocol:
        """Read the numbers of an entry of the registry, as JSON holds them."""
        given = {key: value for key, value in numbers.items() if value is not None}
        own = {field.name for field in fields(cls)} - {"course"}
        for name in ("standardise", "dropout", "batch", "learning_rate", "weight_decay"):
            value = given.get(name)
            given[name] = () if value is None else tuple(value) if isinstance(value, (list, tuple)) else (value,)
        hidden = given.get("hidden", ())
        grid = bool(hidden) and isinstance(hidden[0], (list, tuple))
        given["hidden"] = tuple(tuple(widths) for widths in hidden) if grid else (tuple(hidden),)
        if "estimator" in given:
            estimator = given.pop("estimator")
            given["estimator"] = estimator["kind"]
            given["parameters"] = {
                name: tuple(value) if isinstance(value, (list, tuple)) else (value,)
                for name, value in estimator["parameters"].items()
            }
        course = Course(
            dropout_input=given.pop("dropout_input", True),
            decoupled=given.pop("decay", "l2") == "decoupled",
            schedule=given.pop("schedule", "constant"),
            warmup=given.pop("warmup_steps", 0),
            max_epochs=given.pop("max_epochs", None),
            max_steps=given.pop("max_steps", None),
            evaluate_every=given.pop("evaluate_every", None),
            patience=given.pop("patience", None),
            keep_best=given.pop("keep", "best") == "best",
        )
        return cls(course=course, **{key: value for key, value in given.items() if key in own})

    def members(self, dim: int) -> list[Member]:
        """All configurations, for representations of size `dim`, in the order of the lists."""
        dropout = self.dropout or (0.0,)
        return [
            Member(
                standardise, tuple(dim if width == SAME else int(width) for width in hidden), drop, batch, rate, decay
            )
            for standardise, hidden, drop, batch, rate, decay in product(
                self.standardise, self.hidden, dropout, self.batch, self.learning_rate, self.weight_decay
            )
        ]

    @property
    def validates(self) -> bool:
        """Whether validation clips choose; otherwise they are trained on."""
        return self.train_on == "train"

    @property
    def probes(self) -> int:
        """How many are trained: every configuration in every repeat."""
        return self.repeats * (len(self.estimator_settings()) if self.estimator else len(self.members(1)))

    def estimator_settings(self) -> list[dict[str, Any]]:
        """All combinations of the estimator's parameters, in the order of the lists."""
        lists = self.parameters or {}
        return [dict(zip(lists, values, strict=True)) for values in product(*lists.values())]
