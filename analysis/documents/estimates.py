"""Estimates of a fitted model, as documents have them: effects, their spread over tasks, and differences."""

from __future__ import annotations

from typing import TypedDict


class Spread(TypedDict):
    """Uncertainty of an estimate.

    Attributes
    ----------
    se
        Standard error; null without draws that tell it.
    lower, upper
        95 % interval; null without draws that tell it.
    """

    se: float | None
    lower: float | None
    upper: float | None


class WaldTest(TypedDict):
    """As if the variance components were known.

    Attributes
    ----------
    lower, upper
        95 % interval.
    p
        Of zero.
    """

    lower: float
    upper: float
    p: float


class BootstrapTest(WaldTest):
    """By percentiles of the bootstrap.

    Attributes
    ----------
    se
        Standard deviation of the replicates.
    """

    se: float


class Combination(TypedDict):
    """A linear combination of fixed effects.

    Attributes
    ----------
    estimate, se
        Value, and its standard error.
    df, lower, upper, p
        Degrees of freedom by Satterthwaite's method; 95 % interval and p value of zero by them.
    wald
        The same as if the variance components were known.
    bootstrap
        The same by the bootstrap; null if none was asked for.
    """

    estimate: float
    se: float
    df: float
    lower: float
    upper: float
    p: float
    wald: WaldTest
    bootstrap: BootstrapTest | None


class FixedEffect(Combination):
    """A fixed effect.

    Attributes
    ----------
    level
        Of the factor; null where the effect is of no one level.
    kind
        ``intercept`` or ``slope``.
    """

    level: str | None
    kind: str


class ResidualSpread(Spread):
    """Standard deviation of the residual.

    Attributes
    ----------
    estimate
        The standard deviation.
    p
        Of a restricted likelihood ratio; null for the residual, and where a component is the spread of whole scores.
    variance
        Its square.
    """

    estimate: float
    p: float | None
    variance: float


class RandomEffect(ResidualSpread):
    """Standard deviation of a variance component.

    Attributes
    ----------
    zero
        Whether it was estimated as zero.
    zero_share
        Share of the bootstrap's replicates in which it is; null without a bootstrap.
    """

    zero: bool
    zero_share: float | None


class CarefulReading(TypedDict):
    """The difference's own numbers once more, for readers of older documents.

    While tasks' means were taken from scores these were corrected for it; tasks have effects of their own now.

    Attributes
    ----------
    se, df, lower, upper, p
        As of the difference itself.
    p_holm
        Adjusted over all pairs of the kind.
    """

    se: float
    df: float
    lower: float
    upper: float
    p: float
    p_holm: float


class EquivalenceReading(TypedDict):
    """Whether a difference is too small to matter.

    Attributes
    ----------
    margin
        What it is held against, in the difference's own unit.
    lower, upper
        90 % interval, which lies inside the margin where the test is significant.
    p, p_holm
        Of two one-sided tests, and adjusted over all pairs of levels.
    bootstrap_p
        The same of the bootstrap's draws; null without a bootstrap.
    answer
        ``better``, ``equivalent`` or ``cannot tell``.
    """

    margin: float
    lower: float
    upper: float
    p: float
    p_holm: float
    bootstrap_p: float | None
    answer: str


class NaturalDifference(TypedDict):
    """A difference on the scale of a task.

    Attributes
    ----------
    metric
        Of the task.
    estimate, lower, upper
        The difference and its plain limits, in the metric's unit.
    """

    metric: str
    estimate: float
    lower: float
    upper: float


class Contrast(Combination):
    """A difference of two levels, or of their slopes: a less b.

    Attributes
    ----------
    kind
        ``level`` or ``slope``.
    a, b
        Levels; of the model ``ordinal``, the largest and the smallest size.
    tasks
        How many tasks have scores of both; of the model ``ordinal``, how many have more than one size.
    through
        Where no task has both, the levels whose tasks join the two.
    p_holm
        Adjusted over all pairs of the kind.
    careful
        As it was called before.
    covers_training
        False where neither level, nor any other, was trained more than once: what is said is then of these networks.
    different
        `covers_training`, and `p_holm` is below 0.05.
    natural
        By task that has both, the difference in its metric's unit.
    equivalence
        Of levels; null of slopes.
    """

    kind: str
    a: str
    b: str
    tasks: int
    through: list[str]
    p_holm: float
    careful: CarefulReading
    covers_training: bool
    different: bool
    natural: dict[str, NaturalDifference]
    equivalence: EquivalenceReading | None


class BestLevel(TypedDict):
    """Which level has the highest expected score.

    Attributes
    ----------
    method
        What was drawn.
    probability
        By level, that it has the highest expected score where levels are compared; empty for the model ``ordinal``.
    """

    method: str
    probability: dict[str, float]
