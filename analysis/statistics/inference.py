"""Standard errors, intervals and tests of a fitted model: Wald, Satterthwaite and likelihood-ratio.

Wald intervals treat the variance components as known. With seven tasks they are not, and the intervals are too short:
Satterthwaite's t distribution, whose degrees of freedom say how well a contrast's own variance is estimated, is the
careful alternative and leads wherever both are printed. (Satterthwaite 1946, "An approximate distribution of estimates
of variance components", Biometrics Bulletin 2; for mixed models Kuznetsova, Brockhoff, Christensen 2017, "lmerTest
package: tests in linear mixed effects models", J. Stat. Softw. 82(13).)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from analysis.documents.estimates import Combination, FixedEffect, RandomEffect, ResidualSpread, Spread
from analysis.statistics.bootstrap import Bootstrap, percentile_interval, percentile_p
from analysis.statistics.crossproducts import Floats, Problem, cross_responses, one_thread
from analysis.statistics.degrees import observed_degrees
from analysis.statistics.models import FittedModel
from analysis.statistics.reml import Solution, solve

CONFIDENCE = 0.95
"""Coverage of every interval."""


def satterthwaite(model: FittedModel, contrasts: Floats) -> tuple[Floats, Floats]:
    """Standard errors and degrees of freedom of combinations of fixed effects; see `analysis.statistics.degrees`."""
    return observed_degrees(model.problem, model.solution, contrasts)


def holm(p: Sequence[float]) -> list[float]:
    """Adjust p values for multiplicity by Holm's step-down method.

    Parameters
    ----------
    p : sequence of float
        Each in [0, 1].

    Returns
    -------
    list of float
        In the same order, each at least as large as it was.

    Notes
    -----
    Holm 1979, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6(2).
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    stepped = np.minimum(1.0, np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1)))
    adjusted = np.empty_like(values)
    adjusted[order] = stepped
    return [float(value) for value in adjusted]


def combinations(model: FittedModel, contrasts: Floats, draws: Bootstrap | None) -> list[Combination]:
    """Estimates, intervals and tests of linear combinations of fixed effects.

    Parameters
    ----------
    model : FittedModel
    contrasts : ndarray, shape [contrasts, fixed]
    draws : Bootstrap, optional

    Returns
    -------
    list of Combination
        ``estimate, se, df, lower, upper, p`` (Satterthwaite), and ``wald`` and ``bootstrap`` with ``lower, upper, p``
        (``bootstrap`` also ``se``; null without draws). In standard deviations of a task's scores.
    """
    estimate = contrasts @ model.beta
    se, df = satterthwaite(model, contrasts)
    t = np.abs(estimate) / se
    half_t = stats.t.ppf(0.5 + 0.5 * CONFIDENCE, df) * se
    half_z = stats.norm.ppf(0.5 + 0.5 * CONFIDENCE) * se
    result: list[Combination] = []
    for i, value in enumerate(estimate):
        entry: Combination = {
            "estimate": float(value),
            "se": float(se[i]),
            "df": float(df[i]),
            "lower": float(value - half_t[i]),
            "upper": float(value + half_t[i]),
            "p": float(2.0 * stats.t.sf(t[i], df[i])),
            "wald": {
                "lower": float(value - half_z[i]),
                "upper": float(value + half_z[i]),
                "p": float(2.0 * stats.norm.sf(t[i])),
            },
            "bootstrap": None,
        }
        if draws is not None:
            values = draws.beta @ contrasts[i]
            lower, upper = percentile_interval(values, CONFIDENCE)
            entry["bootstrap"] = {
                "se": float(values.std(ddof=1)),
                "lower": lower,
                "upper": upper,
                "p": percentile_p(values),
            }
        result.append(entry)
    return result


def fixed_effects(model: FittedModel, draws: Bootstrap | None = None) -> dict[str, FixedEffect]:
    """Every fixed effect but those of tasks, with its intervals and tests, by name; see `combinations`."""
    entries = combinations(model, np.eye(model.layout.main, model.problem.fixed), draws)
    levels = {place: (level, "intercept") for level, place in model.layout.intercepts.items()}
    levels |= {place: (level, "slope") for level, place in model.layout.slopes.items()}
    result: dict[str, FixedEffect] = {}
    for i, (name, entry) in enumerate(zip(model.layout.fixed, entries, strict=False)):
        level, kind = levels.get(i, (None, "intercept" if name == "(intercept)" else "slope"))
        result[name] = {"level": level, "kind": kind, **entry}
    return result


def ratio_tests(problem: Problem, y: Floats, solution: Solution) -> list[float | None]:
    """Test whether each component is zero by the restricted likelihood ratio.

    Parameters
    ----------
    problem : Problem
    y : ndarray, shape [rows]
        Scores that were fitted.
    solution : Solution
        Their fit, with a first axis of length 1.

    Returns
    -------
    list of float or None
        p values in [0, 1]; 1 for a component estimated as zero, None for one that zero does not bound.

    Notes
    -----
    Zero is the edge of the parameter's range, so the ratio is referred to an equal mixture of chi-squared distributions
    with 0 and 1 degrees of freedom (Self and Liang 1987, J. Am. Stat. Assoc. 82; Stram and Lee 1994, Biometrics 50).
    With few tasks, or several components at zero, this is a rough guide.
    """
    count = problem.components
    if count == 0:
        return []
    with one_thread():
        once = cross_responses(problem, y[None]).take(np.zeros(count, dtype=np.int64))
        start = np.tile(solution.ratios[0], (count, 1))
        reduced = solve(problem, once, start, ~np.eye(count, dtype=np.bool_))
    ratio = np.maximum(reduced.criterion - solution.criterion[0], 0.0)
    p = np.where(ratio > 1e-8, 0.5 * stats.chi2.sf(ratio, 1), 1.0)
    return [float(value) if low == 0.0 else None for value, low in zip(p, problem.lowest, strict=True)]


def random_effects(
    model: FittedModel, draws: Bootstrap | None = None
) -> tuple[dict[str, RandomEffect], ResidualSpread]:
    """Tabulate standard deviations of the components and of the residual.

    Returns
    -------
    random : dict of str to RandomEffect
        By component: ``estimate`` (a standard deviation), ``variance``, ``se, lower, upper`` (bootstrap; null without
        draws), ``p`` (likelihood ratio), ``zero`` and ``zero_share``. Of ``factor-single`` every level's own spread.
    residual : ResidualSpread
        The same keys, as far as they have a meaning.
    """
    tests = ratio_tests(model.problem, model.scores.y, model.solution)
    zero = set(model.zero)
    random: dict[str, RandomEffect] = {}
    for k, name in enumerate(model.layout.random):
        sd = float(model.sd[k])
        random[name] = {
            "estimate": sd,
            **spread(None if draws is None else draws.sd[:, k]),
            "p": tests[k],
            "variance": sd * sd,
            "zero": name in zero,
            "zero_share": None if draws is None else float(draws.zero_share[k]),
        }
    s = model.residual_sd
    residual: ResidualSpread = {
        "estimate": s,
        **spread(None if draws is None else draws.residual_sd),
        "p": None,
        "variance": s * s,
    }
    if model.layout.reference:
        name = model.layout.fixed[model.layout.intercepts[model.layout.reference]]
        random[name] = {**residual, "zero": False, "zero_share": None if draws is None else 0.0}
    return random, residual


def spread(values: Floats | None) -> Spread:
    """Summarise draws as ``se, lower, upper`` (percentiles); nulls without draws."""
    if values is None:
        return {"se": None, "lower": None, "upper": None}
    lower, upper = percentile_interval(values, CONFIDENCE)
    return {"se": float(values.std(ddof=1)), "lower": lower, "upper": upper}
