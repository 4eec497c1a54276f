"""What a recipe says about augmentation: steps in the order in which they act, and no default for any of their numbers.

One name hides different experiments (the gain of contrastive learning of musical representations is -6 to 0 dB in
its text and -20 to -1 dB in its released code), so nothing here fills in a number that a recipe left out. Nothing here
imports torch either: recipes are read and checked without it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from benchmark.class_path import ClassPath

Number = TypeVar("Number", int, float)


def _ordered(limits: tuple[Number, Number]) -> tuple[Number, Number]:
    if limits[0] > limits[1]:
        raise ValueError(f"the range is written from low to high, not {limits[0]} to {limits[1]}")
    return limits


Probability = Annotated[float, Field(ge=0.0, le=1.0, description="chance that an example is changed, 0 to 1")]
Percent = Annotated[int, Field(ge=0, le=100)]
Hertz = Annotated[float, Field(gt=0.0)]
Range = Annotated[tuple[float, float], AfterValidator(_ordered)]
HertzRange = Annotated[tuple[Hertz, Hertz], AfterValidator(_ordered)]
LevelRange = Annotated[
    tuple[Annotated[float, Field(ge=0.0)], Annotated[float, Field(ge=0.0)]], AfterValidator(_ordered)
]
PercentRange = Annotated[tuple[Percent, Percent], AfterValidator(_ordered)]
Cents = Annotated[int, Field(ge=-1200, le=1200)]
CentsRange = Annotated[tuple[Cents, Cents], AfterValidator(_ordered)]


class StepConfig(BaseModel):
    """Numbers of one step. Keys that it does not have are refused.

    Attributes
    ----------
    probability
        Chance that an example is changed, 0 to 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    probability: Probability

    def check(self, sample_rate: int) -> None:
        """Raise `ValueError` if these numbers mean nothing at a sample rate [Hz]; asked before anything is computed."""


class PolarityConfig(StepConfig):
    """Inversion of the sign."""


class NoiseConfig(StepConfig):
    """Addition of white Gaussian noise."""

    level: LevelRange = Field(description="standard deviation of the noise, uniform, in units of `reference`")
    reference: Literal["std", "full_scale"] = Field(
        description="unit of `level`: the example's own standard deviation, or full scale (1.0)"
    )
    clamp: bool = Field(description="whether the sum is limited to full scale, -1 to 1")


class GainConfig(StepConfig):
    """Change of level, limited to full scale afterwards."""

    db: Range = Field(description="gain [dB], uniform")


class FilterConfig(StepConfig):
    """High-pass or low-pass filter."""

    high_pass_probability: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        description="chance that a filtered example is high-passed rather than low-passed, 0 to 1"
    )
    high_pass_hz: HertzRange = Field(description="cutoff of the high-pass filter [Hz], uniform")
    low_pass_hz: HertzRange = Field(description="cutoff of the low-pass filter [Hz], uniform")

    def check(self, sample_rate: int) -> None:
        """No cutoff lies above the highest frequency there is."""
        highest = max(self.high_pass_hz[1], self.low_pass_hz[1])
        if highest > sample_rate / 2:
            raise ValueError(f"a filter's cutoff of {highest:g} Hz is above half the sample rate of {sample_rate} Hz")


class DelayConfig(StepConfig):
    """One echo added to the signal."""

    choices_ms: tuple[Annotated[float, Field(ge=0.0)], ...] = Field(
        min_length=1, description="delays of the echo [ms], each as likely"
    )
    factor: float = Field(description="amplitude of the echo relative to the signal")
    halve: bool = Field(description="whether the sum of signal and echo is divided by two")


class PitchConfig(StepConfig):
    """Transposition at constant duration."""

    cents: CentsRange = Field(description="interval [cents], uniform over the integers of the closed range")


class ReverbConfig(StepConfig):
    """Artificial reverberation added to the signal."""

    reverberance: PercentRange = Field(description="how long it lasts [%], uniform integer, ends included")
    hf_damping: PercentRange = Field(description="how dull it gets [%], uniform integer, ends included")
    room_scale: PercentRange = Field(description="how large the room is [%], uniform integer, ends included")


class MixupConfig(StepConfig):
    """Addition of another example of the batch, to the encoder's features and to the labels."""

    alpha: Annotated[float, Field(gt=0.0)] = Field(description="first number of the gains' Beta distribution")
    beta: Annotated[float, Field(gt=0.0)] = Field(description="second number of it")


class AugmentationStep(BaseModel):
    """One step: a built-in one by its name, with its numbers, or a class of anybody's with its arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    polarity: PolarityConfig | None = None
    noise: NoiseConfig | None = None
    gain: GainConfig | None = None
    filter: FilterConfig | None = None
    delay: DelayConfig | None = None
    pitch: PitchConfig | None = None
    reverb: ReverbConfig | None = None
    mixup: MixupConfig | None = None
    class_path: ClassPath | None = Field(
        default=None,
        alias="class",
        description="`package.module:Name` of a subclass of `benchmark.augmentation.base.Augmentation`, or of "
        "`benchmark.augmentation.features.FeatureAugmentation`",
    )
    args: dict[str, Any] = Field(
        default_factory=dict, description="its numbers, `probability` among them: what its `Config` says"
    )

    @model_validator(mode="after")
    def _is_one(self) -> AugmentationStep:
        said = [name for name in (*NAMES, "class_path") if getattr(self, name) is not None]
        if len(said) != 1:
            raise ValueError(
                f"is one step, so it has one of the keys {', '.join(NAMES)} and class, with its numbers, not "
                f"{len(said)} of them"
            )
        if self.args and self.class_path is None:
            raise ValueError(f"args belongs to class; the numbers of {said[0]} stand under {said[0]}")
        return self

    @model_serializer(mode="wrap")
    def _as_written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        document: dict[str, Any] = handler(self)
        if self.class_path is not None:
            return {"class": self.class_path, "args": document["args"]}
        return {self.name: document[self.name]}

    @property
    def name(self) -> str:
        """Of a built-in step, or the path of the class."""
        return self.class_path or next(name for name in NAMES if getattr(self, name) is not None)

    @property
    def numbers(self) -> StepConfig | None:
        """Of a built-in step; those of a class are known to the class alone."""
        return None if self.class_path else getattr(self, self.name)


#: Names of the built-in steps.
NAMES = tuple(name for name in AugmentationStep.model_fields if name not in ("class_path", "args"))


def _listed(steps: Any) -> Any:
    if isinstance(steps, dict):
        raise ValueError(
            "is a list of steps in the order in which they act, [{polarity: {probability: 0.8}}, ...], not a mapping"
        )
    return steps


Augmentations = Annotated[
    tuple[AugmentationStep, ...],
    BeforeValidator(_listed),
    Field(description="steps in the order in which they act; what is drawn for one depends on no other"),
]
