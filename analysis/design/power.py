"""How many tasks, or scores per cell, are needed to detect a difference: from fitted components.

Two levels a and b compared over D tasks with n scores per level x task cell differ by an estimate whose variance is
``(s_a^2 + w_a / n + s_b^2 + w_b / n) / D``: s^2 is how much a level's effect varies over tasks, w what a single score
adds (Kim et al. 2020, equations 10-12, give the components). More seeds shrink w only; more tasks shrink all of it.
The test is Satterthwaite's t with Welch's degrees of freedom, D - 1 for each level, less the share that the tasks' own
effects take of them. Its power comes from the noncentral t distribution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from analysis.errors import AnalysisError
from analysis.statistics.contrasts import covariate_value
from analysis.statistics.models import FittedModel

MAX_TASKS = 10_000
"""Where the search for a number of tasks or scores gives up."""


@dataclass(frozen=True)
class LevelSpread:
    """What makes one level's mean uncertain.

    Attributes
    ----------
    between : float
        Variance of the level's effect over tasks [squared standard deviations of a task's scores; of a natural analysis
        squared units of the metric].
    single : float
        What one score per cell adds [the same unit]; n scores add ``single / n``. Zero where every cell of several
        tasks has one score: what of it varies over tasks and what over seeds cannot be told, and all is in `between`.
    repeats : float
        Scores per cell in the table it was fitted on.
    centring : float
        ``E / (E - 1)`` for E levels beside which tasks' effects are estimated; divides degrees of freedom.
    """

    between: float
    single: float
    repeats: float
    centring: float = 1.0


def level_spreads(model: FittedModel, at: float | None = None) -> dict[str, LevelSpread]:
    """Read every level's uncertainty off a fitted ``factor`` model.

    Parameters
    ----------
    model : FittedModel
    at : float, optional
        Value of the covariate at which levels are compared; see `analysis.statistics.contrasts.covariate_value`.

    Returns
    -------
    dict of str to LevelSpread
        Empty for ``ordinal``, which has no levels. With a covariate, `between` counts that slopes vary too, and
        `single` that a level at one value of the covariate is less certain than its mean: the leverage of the present
        table is assumed to stay.
    """
    value = covariate_value(model, at)
    layout = model.layout
    variances = dict(zip(layout.random, model.sd**2, strict=True))
    common = variances.get(f"{model.columns.get('factor')} x {model.columns['group']}", 0.0)
    levels = len(layout.intercepts)
    taken = levels / (levels - 1.0) if levels and len(layout.group) > 1 else 1.0
    cells = np.unique(np.stack([layout.level_code, layout.group_code]), axis=1, return_counts=True)[1]
    single_scores = len(layout.group) > 1 and int(cells.max()) == 1
    result = {}
    for level, place in layout.intercepts.items():
        between = float(variances.get(layout.fixed[place], 0.0 if level == layout.reference else common))
        if level in layout.slopes:
            between += value**2 * float(variances.get(layout.fixed[layout.slopes[level]], 0.0))
        leverages, sizes = [], []
        for d in range(len(layout.group)):
            rows = (layout.group_code == d) & (layout.level_code == layout.levels.index(level))
            count = int(rows.sum())
            if count == 0:
                continue
            x = layout.covariate[rows]
            sxx = float(((x - x.mean()) ** 2).sum())
            leverages.append(
                1.0 / count + (float(x.mean() - value) ** 2 / sxx if sxx > 0.0 and level in layout.slopes else 0.0)
            )
            sizes.append(count)
        repeats = float(np.mean(sizes))
        single = model.residual_sd**2 * float(np.mean(leverages)) * repeats
        if layout.reference and level != layout.reference:
            single = 0.0
        if single_scores:
            between, single = between + single / repeats, 0.0
        result[level] = LevelSpread(between, single, repeats, taken)
    return result


def contrast_power(
    a: LevelSpread, b: LevelSpread, difference: float, tasks: int, repeats: float, alpha: float = 0.05
) -> float:
    """Compute the power of a two-sided test that two levels differ.

    Parameters
    ----------
    a, b : LevelSpread
    difference : float
        True difference [the unit of the spreads].
    tasks : int
        At least 2.
    repeats : float
        Scores per cell, at least 1.
    alpha : float
        Level of the test, in (0, 1); divide it by the number of pairs to plan for Holm's first step.

    Returns
    -------
    float
        Probability that the test rejects, in [0, 1].
    """
    if tasks < 2 or repeats < 1 or not 0.0 < alpha < 1.0:
        raise AnalysisError("power needs at least 2 tasks, 1 score per cell and a test level between 0 and 1")
    parts = np.array([(level.between + level.single / repeats) / tasks for level in (a, b)])
    variance = float(parts.sum())
    if variance <= 0.0:
        return 1.0 if difference else alpha
    df = max(1.0, variance**2 / float((parts**2).sum() / (tasks - 1)) / max(a.centring, b.centring))
    shift = abs(difference) / np.sqrt(variance)
    limit = float(stats.t.ppf(1.0 - 0.5 * alpha, df))
    if shift > 35.0:
        # The noncentral distribution underflows to nan far out, where the answer is 1 to all digits.
        return 1.0
    upper, lower = float(stats.nct.sf(limit, df, shift)), float(stats.nct.cdf(-limit, df, shift))
    return float(np.clip(np.nan_to_num(upper) + np.nan_to_num(lower), 0.0, 1.0))


def _first(enough: Any) -> int | None:
    """Smallest whole number from 2 up to `MAX_TASKS` for which a monotone condition holds."""
    low, high = 1, 2
    while not enough(high):
        low, high = high, high * 2
        if high > MAX_TASKS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def tasks_needed(
    a: LevelSpread, b: LevelSpread, difference: float, repeats: float, power: float = 0.8, alpha: float = 0.05
) -> int | None:
    """Find the smallest number of tasks that detects a difference.

    Parameters
    ----------
    a, b, difference, repeats, alpha
        As in `contrast_power`.
    power : float
        Wanted probability of detection, in (0, 1).

    Returns
    -------
    int or None
        None if even `MAX_TASKS` are not enough.
    """
    _check(difference, power)
    return _first(lambda tasks: contrast_power(a, b, difference, tasks, repeats, alpha) >= power)


def repeats_needed(
    a: LevelSpread, b: LevelSpread, difference: float, tasks: int, power: float = 0.8, alpha: float = 0.05
) -> int | None:
    """Find the smallest number of scores per cell (seeds, say) that detects a difference on given tasks.

    Returns
    -------
    int or None
        None if no number is enough, because the levels' effects vary too much over so few tasks, or if nothing is known
        of seeds.
    """
    _check(difference, power)
    if not a.single and not b.single:
        return None
    if contrast_power(a, b, difference, tasks, 1, alpha) >= power:
        return 1
    return _first(lambda repeats: contrast_power(a, b, difference, tasks, repeats, alpha) >= power)


def _check(difference: float, power: float) -> None:
    if not difference or not np.isfinite(difference):
        raise AnalysisError(
            f"a difference of {difference} cannot be planned for: give one in the analysis's unit, say 0.2"
        )
    if not 0.0 < power < 1.0:
        raise AnalysisError(f"a power of {power} is not between 0 and 1: 0.8 is usual")


def spreads_from_json(planning: Mapping[str, Mapping[str, float]]) -> dict[str, LevelSpread]:
    """Rebuild levels from the ``planning`` entry of an analysis."""
    fields = ("between", "single", "repeats", "centring")
    return {name: LevelSpread(*(float(entry[field]) for field in fields)) for name, entry in planning.items()}
