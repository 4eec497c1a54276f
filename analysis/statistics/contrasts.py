"""All pairwise contrasts between the levels of a factor, and how likely each level is the best.

Contrasts are taken where the covariate is `at` (0 where its values reach that far, as in Kim et al. 2020, section 5.2:
the strategies in their simplest case; see `covariate_value`), in standard deviations of a task's scores and in the
units of each task's metric. The natural value is the average effect carried over to the scale of a task that has both
levels, ``contrast * sd_d``: what the difference would be worth there if the task were average, not an estimate from
that task alone. Holm's adjustment covers all pairs of one kind.

**The careful reading.** Scores have lost their task's mean, and with it the mean of the levels' own deviations on that
task: with E levels a fraction 1/E of their variance over tasks, and of the degrees of freedom that tell it. A contrast
keeps all of that variance, so its standard error comes out too small by ``sqrt((E - 1) / E)`` and its degrees of
freedom too many by ``E / (E - 1)``, which matters for two or three levels and hardly for ten. The ``careful`` entry of
a contrast undoes both; it decides which levels are called different. With one score in every cell it is the t test of a
two-way analysis of variance. With one task nothing is lost that the levels' own intercepts would not take. The plain
entry is the model's own, as lme4 gives it.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import combinations as pairs

import numpy as np
from scipy import stats

from analysis.documents.estimates import CarefulReading, Combination, Contrast, NaturalDifference
from analysis.errors import AnalysisError
from analysis.statistics.bootstrap import Bootstrap
from analysis.statistics.crossproducts import Bools, Floats
from analysis.statistics.inference import CONFIDENCE, combinations, holm
from analysis.statistics.models import FittedModel

ALPHA = 0.05
"""Holm-adjusted p below which two levels are called different."""

_DRAWS = 20_000


def covariate_value(model: FittedModel, at: float | None = None) -> float:
    """Value of the covariate at which levels are compared.

    Parameters
    ----------
    model : FittedModel
    at : float, optional
        The value that was asked for.

    Returns
    -------
    float
        `at` if it is given; else 0 if the covariate's values include or straddle 0; else their mean over the rows, for
        levels are not compared where no score is. 0 without a covariate.

    Raises
    ------
    AnalysisError
        If a value is asked for that is no finite number, or of a model without a covariate.
    """
    values = model.layout.covariate
    if at is None:
        return 0.0 if values.min() <= 0.0 <= values.max() else float(values.mean())
    if "covariate" not in model.columns:
        raise AnalysisError(f"--at {at:g} is a value of the covariate, and there is none: name it with --covariate")
    if not np.isfinite(at):
        raise AnalysisError(f"--at {at} is no value of {model.columns['covariate']}: give a finite number")
    return float(at)


def level_rows(model: FittedModel, at: float) -> tuple[list[str], Floats]:
    """Form the combinations of fixed effects that give each level's expected score where the covariate is `at`.

    Returns
    -------
    levels : list of str
    rows : ndarray, shape [levels, fixed]
    """
    levels = list(model.layout.intercepts)
    rows = np.zeros((len(levels), model.problem.fixed))
    for i, level in enumerate(levels):
        rows[i, model.layout.intercepts[level]] = 1.0
        if level in model.layout.slopes:
            rows[i, model.layout.slopes[level]] = at
    return levels, rows


def _slope_rows(model: FittedModel) -> tuple[list[str], Floats]:
    levels = list(model.layout.slopes)
    rows = np.zeros((len(levels), model.problem.fixed))
    for i, level in enumerate(levels):
        rows[i, model.layout.slopes[level]] = 1.0
    return levels, rows


def pairwise_contrasts(model: FittedModel, draws: Bootstrap | None = None, at: float | None = None) -> list[Contrast]:
    """Compare all pairs of levels, and all pairs of slopes.

    Parameters
    ----------
    model : FittedModel
    draws : Bootstrap, optional
    at : float, optional
        Value of the covariate at which levels are compared; see `covariate_value`.

    Returns
    -------
    list of Contrast
        ``kind`` ("level" or "slope"), ``a``, ``b``, ``tasks`` (how many have scores of both) and what
        `analysis.statistics.inference.combinations` says of ``a - b``; ``p_holm`` (of the Satterthwaite p, over the
        pairs of this kind), ``careful`` (``se, df, lower, upper, p, p_holm`` with the module's correction),
        ``different`` (the careful ``p_holm`` is below 0.05), and ``natural``, of those tasks. For ``ordinal`` one
        contrast: the largest size against the smallest, over the tasks that have more than one size.
    """
    result: list[Contrast] = []
    value = covariate_value(model, at)
    if not model.layout.intercepts:
        names, rows = _size_rows(model, value)
        return _compare(model, "level", names, rows, draws)
    names, rows = level_rows(model, value)
    result += _compare(model, "level", names, rows, draws)
    names, rows = _slope_rows(model)
    result += _compare(model, "slope", names, rows, draws)
    return result


def _size_rows(model: FittedModel, at: float) -> tuple[list[str], Floats]:
    levels = sorted(model.layout.levels, key=float)
    ends = (levels[0], levels[-1])
    rows = np.zeros((2, model.problem.fixed))
    for i, level in enumerate(ends):
        full = [1.0, float(level), at, float(level) * at]
        rows[i] = full[: model.problem.fixed]
    return [f"{model.columns['size']}={level}" for level in ends], rows


def _shared_tasks(model: FittedModel) -> dict[tuple[str, str], list[str]]:
    """Tasks with scores of both levels, by pair of levels; for ``ordinal`` those with several sizes, by no pair."""
    layout = model.layout
    seen = np.zeros((len(layout.levels), len(layout.group)), dtype=np.bool_)
    seen[layout.level_code, layout.group_code] = True

    def named(flags: Bools) -> list[str]:
        return [task for task, flag in zip(layout.group, flags, strict=True) if flag]

    if not layout.intercepts:
        return {("", ""): named(seen.sum(axis=0) > 1)}
    place = {level: i for i, level in enumerate(layout.levels)}
    return {(b, a): named(seen[place[b]] & seen[place[a]]) for b, a in pairs(layout.levels, 2)}


def _compare(model: FittedModel, kind: str, names: list[str], rows: Floats, draws: Bootstrap | None) -> list[Contrast]:
    places = list(pairs(range(len(names)), 2))
    if not places:
        return []
    differences = np.array([rows[j] - rows[i] for i, j in places])
    entries = combinations(model, differences, draws)
    adjusted = holm([entry["p"] for entry in entries])
    inflation = 1.0 if kind == "slope" else centring(model)
    careful = [_careful(entry, inflation) for entry in entries]
    shared = _shared_tasks(model)
    for cautious, p_careful in zip(careful, holm([cautious["p"] for cautious in careful]), strict=True):
        cautious["p_holm"] = p_careful
    result: list[Contrast] = []
    for (i, j), entry, p_holm, cautious in zip(places, entries, adjusted, careful, strict=True):
        tasks = shared[(names[i], names[j]) if model.layout.intercepts else ("", "")]
        result.append(
            {
                "kind": kind,
                "a": names[j],
                "b": names[i],
                "tasks": len(tasks),
                **entry,
                "p_holm": p_holm,
                "careful": cautious,
                "different": cautious["p_holm"] < ALPHA,
                "natural": natural_units(model, entry, tasks),
            }
        )
    return result


def centring(model: FittedModel) -> float:
    """Factor by which removing task means makes the standard error of a difference between levels too small.

    Returns
    -------
    float
        ``sqrt(E / (E - 1))`` for E levels; 1 for one task, whose mean the levels' intercepts would take anyhow, and for
        ``ordinal``.
    """
    levels = len(model.layout.intercepts)
    return 1.0 if levels < 2 or len(model.layout.group) < 2 else float(np.sqrt(levels / (levels - 1.0)))


def _careful(entry: Combination, inflation: float) -> CarefulReading:
    se, df = entry["se"] * inflation, max(1.0, entry["df"] / inflation**2)
    half = float(stats.t.ppf(0.5 + 0.5 * CONFIDENCE, df)) * se
    p = float(2.0 * stats.t.sf(abs(entry["estimate"]) / se, df))
    return {
        "se": se,
        "df": df,
        "lower": entry["estimate"] - half,
        "upper": entry["estimate"] + half,
        "p": p,
        "p_holm": p,
    }


def natural_units(model: FittedModel, entry: Combination, tasks: Collection[str]) -> dict[str, NaturalDifference]:
    """Carry a contrast over to the scale of some tasks.

    Parameters
    ----------
    model : FittedModel
    entry : Combination
        In standard deviations.
    tasks : collection of str
        Those that have scores of both levels: elsewhere the scale was made without one of them.

    Returns
    -------
    dict of str to NaturalDifference
        By task: ``metric``, and ``estimate``, ``lower`` and ``upper`` in the metric's units, below zero for what is
        better if less is.
    """
    result: dict[str, NaturalDifference] = {}
    for task, scale in model.scores.scales.items():
        if task not in tasks:
            continue
        unit = 1.0 if model.scores.natural else scale.sd
        low, high = entry["lower"], entry["upper"]
        if scale.lower_is_better:
            unit, low, high = -unit, high, low
        result[task] = {
            "metric": scale.metric,
            "estimate": entry["estimate"] * unit,
            "lower": low * unit,
            "upper": high * unit,
        }
    return result


def best_probability(
    model: FittedModel, draws: Bootstrap | None = None, at: float | None = None, seed: int = 0
) -> dict[str, float]:
    """Estimate the probability that each level has the highest expected score.

    Parameters
    ----------
    model : FittedModel
    draws : Bootstrap, optional
        Its replicates are used; without it, draws from a normal distribution with the fixed effects' covariance.
    at : float, optional
        Value of the covariate; see `covariate_value`.
    seed : int
        Of the normal draws.

    Returns
    -------
    dict of str to float
        By level; sums to 1. Empty for ``ordinal``.
    """
    levels, rows = level_rows(model, covariate_value(model, at))
    if not levels:
        return {}
    if draws is not None:
        beta = draws.beta
    else:
        generator = np.random.default_rng(seed)
        beta = generator.multivariate_normal(model.beta, model.covariance, size=_DRAWS, method="eigh")
    winners = np.argmax(beta @ rows.T, axis=1)
    shares = np.bincount(winners, minlength=len(levels)) / len(winners)
    return {level: float(share) for level, share in zip(levels, shares, strict=True)}
