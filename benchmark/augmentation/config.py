"""What a recipe says about augmentation: a probability and a range for each step, and no default for any of them.

One name hides different experiments (the gain of contrastive learning of musical representations is -6 to 0 dB in
its text and -20 to -1 dB in its released code), so nothing here fills in a number that a recipe left out.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

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


class _Step(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    probability: Probability


class PolarityConfig(_Step):
    """Inversion of the sign."""


class NoiseConfig(_Step):
    """Addition of white Gaussian noise."""

    level: LevelRange = Field(description="standard deviation of the noise, uniform, in units of `reference`")
    reference: Literal["std", "full_scale"] = Field(
        description="unit of `level`: the example's own standard deviation, or full scale (1.0)"
    )
    clamp: bool = Field(description="whether the sum is limited to full scale, -1 to 1")


class GainConfig(_Step):
    """Change of level, limited to full scale afterwards."""

    db: Range = Field(description="gain [dB], uniform")


class FilterConfig(_Step):
    """High-pass or low-pass filter."""

    high_pass_probability: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        description="chance that a filtered example is high-passed rather than low-passed, 0 to 1"
    )
    high_pass_hz: HertzRange = Field(description="cutoff of the high-pass filter [Hz], uniform")
    low_pass_hz: HertzRange = Field(description="cutoff of the low-pass filter [Hz], uniform")


class DelayConfig(_Step):
    """One echo added to the signal."""

    choices_ms: tuple[Annotated[float, Field(ge=0.0)], ...] = Field(
        min_length=1, description="delays of the echo [ms], each as likely"
    )
    factor: float = Field(description="amplitude of the echo relative to the signal")
    halve: bool = Field(description="whether the sum of signal and echo is divided by two")


class PitchConfig(_Step):
    """Transposition at constant duration."""

    cents: CentsRange = Field(description="interval [cents], uniform over the integers of the closed range")


class ReverbConfig(_Step):
    """Artificial reverberation added to the signal."""

    reverberance: PercentRange = Field(description="how long it lasts [%], uniform integer, ends included")
    hf_damping: PercentRange = Field(description="how dull it gets [%], uniform integer, ends included")
    room_scale: PercentRange = Field(description="how large the room is [%], uniform integer, ends included")


class AugmentationConfig(BaseModel):
    """Every number of the chain, in the order in which its steps are applied.

    Attributes
    ----------
    polarity, noise, gain, filter, delay, pitch, reverb
        The steps. All are named by every recipe; one with probability 0 never acts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    polarity: PolarityConfig
    noise: NoiseConfig
    gain: GainConfig
    filter: FilterConfig
    delay: DelayConfig
    pitch: PitchConfig
    reverb: ReverbConfig
