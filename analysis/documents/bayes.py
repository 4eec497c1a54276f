"""What a Bayesian fit says beside REML."""

from __future__ import annotations

from typing import TypedDict


class PosteriorSpread(TypedDict):
    """A quantity's posterior distribution.

    Attributes
    ----------
    estimate, se
        Its mean and standard deviation.
    lower, upper
        Interval that holds 95 % of it, as much being left out below as above.
    reml
        REML's estimate of the same.
    """

    estimate: float
    se: float
    lower: float
    upper: float
    reml: float


class PosteriorPair(PosteriorSpread):
    """A difference of two levels: a less b.

    Attributes
    ----------
    a, b
        Levels; of the model ``ordinal``, the largest and the smallest size.
    p_better, p_worse
        Probability that a is better, and worse, than b.
    p_within
        Probability that the difference lies within the margin.
    margin
        That margin, in the difference's own unit.
    covers_training
        As of the pair's contrast: where false, all this is of these networks, whatever another training would give.
    """

    a: str
    b: str
    p_better: float
    p_worse: float
    p_within: float
    margin: float
    covers_training: bool


class BayesianCheck(TypedDict):
    """The same model with weak priors, sampled.

    Attributes
    ----------
    chains, draws, seed
        Chains, draws of each, and the seed of all.
    r_hat, effective
        The largest split R-hat, and the smallest effective sample size, of everything reported; null where a chain
        never moved.
    divergent
        Draws whose trajectory diverged.
    converged
        Whether these say that the chains agree. Where they do not, no figures are given.
    pairs
        Differences of levels.
    gap
        Of all pairs, the largest distance between the two estimates, in REML's standard errors; null without figures.
    random
        Standard deviations of the variance components by name.
    residual_sd
        Standard deviation of the residual; null without figures.
    """

    chains: int
    draws: int
    seed: int
    r_hat: float | None
    effective: float | None
    divergent: int
    converged: bool
    pairs: list[PosteriorPair]
    gap: float | None
    random: dict[str, PosteriorSpread]
    residual_sd: PosteriorSpread | None
