"""All pairwise contrasts between the levels of a factor, and how likely each level is the best.

Contrasts are taken where the covariate is `at` (0 where its values reach that far, as in Kim et al. 2020, section 5.2:
the strategies in their simplest case; see `covariate_value`), in standard deviations of a task's scores and in the
units of each task's metric. The natural value is the average effect carried over to the scale of a task that has both
levels, ``contrast * sd_d``: what the difference would be worth there if the task were average, not an estimate from
that task alone. Holm's adjustment covers all pairs of one kind.

**The networks behind them.** Where a level was trained once, its scores show one draw of its training, and no table
tells how far another would lie. Unless some level was trained several times, what is said of trained levels is then
said of these networks: ``covers_training`` is false, and ``different`` with it, whatever p is.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import combinations as pairs

import numpy as np

from analysis.documents.estimates import Combination, Contrast, NaturalDifference
from analysis.errors import AnalysisError
from analysis.statistics.bootstrap import Bootstrap
from analysis.statistics.connections import chain, seen_cells
from analysis.statistics.crossproducts import Bools, Floats
from analysis.statistics.equivalence import STANDARD_MARGIN, add_equivalence
from analysis.statistics.inference import combinations, holm, satterthwaite
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
        `at` if it is given; else 0 if some score has it; else the value of a score that is nearest to their mean, for
        levels are not compared where no score is. 0 without a covariate.

    Raises
    ------
    AnalysisError
        If a value is asked for that no score has, or of a model without a covariate.
    """
    values = model.layout.covariate
    if at is None:
        return 0.0 if (values == 0.0).any() else float(values[np.argmin(np.abs(values - values.mean()))])
    if "covariate" not in model.columns:
        raise AnalysisError(f"--at {at:g} is a value of the covariate, and there is none: name it with --covariate")
    if not np.isfinite(at):
        raise AnalysisError(f"--at {at} is no value of {model.columns['covariate']}: give a finite number")
    near = float(values[np.argmin(np.abs(values - at))])
    if not np.isclose(at, near, rtol=1e-9, atol=1e-9 * float(np.ptp(values))):
        raise AnalysisError(
            f"--at {at:g}: no score has that {model.columns['covariate']}, so nothing is said of it: they have"
            f" {values.min():g} to {values.max():g}, the nearest {near:g}"
        )
    return near


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


def standard_margin(model: FittedModel) -> float:
    """Margin of equivalence where none is asked for: `STANDARD_MARGIN` standard deviations of an average task."""
    if not model.scores.natural:
        return STANDARD_MARGIN
    return STANDARD_MARGIN * float(np.mean([scale.sd for scale in model.scores.scales.values()]))


def pairwise_contrasts(
    model: FittedModel, draws: Bootstrap | None = None, at: float | None = None, margin: float | None = None
) -> list[Contrast]:
    """Compare all pairs of levels, and all pairs of slopes.

    Parameters
    ----------
    model : FittedModel
    draws : Bootstrap, optional
    at : float, optional
        Value of the covariate at which levels are compared; see `covariate_value`.
    margin : float, optional
        Difference between levels that is too small to matter, in the scores' unit; by default `standard_margin`.

    Returns
    -------
    list of Contrast
        ``kind`` ("level" or "slope"), ``a``, ``b``, ``tasks`` (how many have scores of both), ``through`` (levels that
        join them where none has) and what `analysis.statistics.inference.combinations` says of ``a - b``; ``p_holm``
        (of the Satterthwaite p, over the pairs of this kind), ``careful`` (the same ``se, df, lower, upper, p,
        p_holm`` again, under the name they had while tasks' means were taken from scores), ``covers_training``,
        ``different`` (that, and ``p_holm`` is below 0.05), ``natural``, of those tasks, and of levels
        ``equivalence`` (see `analysis.statistics.equivalence.add_equivalence`). For ``ordinal`` one contrast: the
        largest size against the smallest, over the tasks that have more than one size.
    """
    within = standard_margin(model) if margin is None else margin
    names, rows = compared_rows(model, covariate_value(model, at))
    levels = _compare(model, "level", names, rows, draws, within)
    if not model.layout.intercepts:
        return levels
    names, rows = _slope_rows(model)
    return levels + _compare(model, "slope", names, rows, draws)


def compared_rows(model: FittedModel, at: float) -> tuple[list[str], Floats]:
    """Combinations of fixed effects that are compared in pairs: of all levels, or of the least and the largest size.

    Returns
    -------
    names : list of str
    rows : ndarray, shape [names, fixed]
    """
    return level_rows(model, at) if model.layout.intercepts else _size_rows(model, at)


def _size_rows(model: FittedModel, at: float) -> tuple[list[str], Floats]:
    levels = sorted(model.layout.levels, key=float)
    ends = (levels[0], levels[-1])
    rows = np.zeros((2, model.problem.fixed))
    for i, level in enumerate(ends):
        full = [1.0, float(level), at, float(level) * at]
        rows[i, : model.layout.main] = full[: model.layout.main]
    return [f"{model.columns['size']}={level}" for level in ends], rows


def _compare(
    model: FittedModel,
    kind: str,
    names: list[str],
    rows: Floats,
    draws: Bootstrap | None,
    margin: float | None = None,
) -> list[Contrast]:
    places = list(pairs(range(len(names)), 2))
    if not places:
        return []
    differences = np.array([rows[j] - rows[i] for i, j in places])
    entries = combinations(model, differences, draws)
    adjusted = holm([entry["p"] for entry in entries])
    layout = model.layout
    seen = seen_cells(layout.level_code, layout.group_code, len(layout.levels), len(layout.group))
    place = {level: i for i, level in enumerate(layout.levels)}
    result: list[Contrast] = []
    for (i, j), entry, p_holm in zip(places, entries, adjusted, strict=True):
        if layout.intercepts:
            own = (place[names[i]], place[names[j]])
            shared: Bools = seen[own[0]] & seen[own[1]]
            through = [] if shared.any() else [layout.levels[k] for k in chain(seen, *own)]
            covered = model.covers_training(*own)
        else:
            shared, through = seen.sum(axis=0) > 1, []
            covered = all(model.covers_training(a, b) for a, b in pairs(range(len(layout.levels)), 2))
        tasks = [task for task, flag in zip(layout.group, shared, strict=True) if flag]
        result.append(
            {
                "kind": kind,
                "a": names[j],
                "b": names[i],
                "tasks": len(tasks),
                "through": through,
                **entry,
                "p_holm": p_holm,
                "careful": {
                    "se": entry["se"],
                    "df": entry["df"],
                    "lower": entry["lower"],
                    "upper": entry["upper"],
                    "p": entry["p"],
                    "p_holm": p_holm,
                },
                "covers_training": covered,
                "different": covered and p_holm < ALPHA,
                "natural": natural_units(model, entry, tasks),
                "equivalence": None,
            }
        )
    if margin is not None:
        add_equivalence(result, margin, None if draws is None else draws.beta @ differences.T)
    return result


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


def best_probability(model: FittedModel, at: float | None = None, seed: int = 0) -> dict[str, float]:
    """Estimate the probability that each level has the highest expected score.

    Parameters
    ----------
    model : FittedModel
    at : float, optional
        Value of the covariate; see `covariate_value`.
    seed : int
        Of the draws.

    Returns
    -------
    dict of str to float
        By level; sums to 1. Empty for ``ordinal``.

    Notes
    -----
    Draws from a multivariate t distribution with the fixed effects' covariance: what the intervals and tests of
    differences rest on. Its degrees of freedom are the fewest among the differences from the level that leads.
    """
    levels, rows = level_rows(model, covariate_value(model, at))
    if not levels:
        return {}
    leader = int(np.argmax(rows @ model.beta))
    others = np.array([rows[leader] - row for i, row in enumerate(rows) if i != leader])
    df = float(satterthwaite(model, others)[1].min())
    generator = np.random.default_rng(seed)
    spread = rows @ model.covariance @ rows.T
    drawn = generator.multivariate_normal(np.zeros(len(levels)), spread, size=_DRAWS, method="eigh")
    drawn *= np.sqrt(df / generator.chisquare(df, size=(_DRAWS, 1)))
    winners = np.argmax(rows @ model.beta + drawn, axis=1)
    shares = np.bincount(winners, minlength=len(levels)) / _DRAWS
    return {level: float(share) for level, share in zip(levels, shares, strict=True)}
