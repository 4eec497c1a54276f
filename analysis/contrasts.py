"""All pairwise contrasts between the levels of a factor, and how likely each level is the best.

Contrasts are taken where the covariate is `at` (0 by default, as in Kim et al. 2020, section 5.2: the strategies in
their simplest case), in standard deviations of a task's scores and in the units of each task's metric. The natural
value is the average effect carried over to the task's scale, ``contrast * sd_d``: what the difference would be worth
there if the task were average, not an estimate from that task alone. Holm's adjustment covers all pairs of one kind.

**The careful reading.** Standardising takes each task's mean away, and with it the mean of the levels' own deviations
on that task: with E levels a fraction 1/E of their variance over tasks. A contrast keeps all of it, so its standard
error comes out too small by ``sqrt((E - 1) / E)``, which matters for two or three levels and hardly for ten. The
``careful`` entry of a contrast undoes this; it decides which levels are called different. The plain entry is the
model's own, as lme4 gives it.
"""

from __future__ import annotations

from itertools import combinations as pairs
from typing import Any

import numpy as np
from scipy import stats

from analysis.bootstrap import Bootstrap
from analysis.crossproducts import Floats
from analysis.inference import CONFIDENCE, combinations, holm
from analysis.models import FittedModel

ALPHA = 0.05
"""Holm-adjusted p below which two levels are called different."""

_DRAWS = 20_000


def level_rows(model: FittedModel, at: float = 0.0) -> tuple[list[str], Floats]:
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


def pairwise_contrasts(model: FittedModel, draws: Bootstrap | None = None, at: float = 0.0) -> list[dict[str, Any]]:
    """Compare all pairs of levels, and all pairs of slopes.

    Parameters
    ----------
    model : FittedModel
    draws : Bootstrap, optional
    at : float
        Value of the covariate at which levels are compared.

    Returns
    -------
    list of dict
        ``kind`` ("level" or "slope"), ``a``, ``b`` and what `analysis.inference.combinations` says of ``a - b``;
        ``p_holm`` (of the Satterthwaite p, over the pairs of this kind), ``careful`` (``se, lower, upper, p, p_holm``
        with the module's correction), ``different`` (the careful ``p_holm`` is below 0.05), and ``natural``.
        For ``ordinal`` one contrast: the largest size against the smallest.
    """
    result: list[dict[str, Any]] = []
    if not model.layout.intercepts:
        names, rows = _size_rows(model, at)
        return _compare(model, "level", names, rows, draws)
    names, rows = level_rows(model, at)
    result += _compare(model, "level", names, rows, draws)
    names, rows = _slope_rows(model)
    result += _compare(model, "slope", names, rows, draws)
    return result


def _size_rows(model: FittedModel, at: float) -> tuple[list[str], Floats]:
    sizes = sorted(float(level) for level in model.layout.levels)
    rows = np.zeros((2, model.problem.fixed))
    for i, size in enumerate((sizes[0], sizes[-1])):
        full = [1.0, size, at, size * at]
        rows[i] = full[: model.problem.fixed]
    return [f"{model.columns['size']}={size:g}" for size in (sizes[0], sizes[-1])], rows


def _compare(
    model: FittedModel, kind: str, names: list[str], rows: Floats, draws: Bootstrap | None
) -> list[dict[str, Any]]:
    places = list(pairs(range(len(names)), 2))
    if not places:
        return []
    differences = np.array([rows[j] - rows[i] for i, j in places])
    entries = combinations(model, differences, draws)
    adjusted = holm([entry["p"] for entry in entries])
    inflation = 1.0 if kind == "slope" else centring(model)
    careful = [_careful(entry, inflation) for entry in entries]
    for entry, p_careful in zip(careful, holm([entry["p"] for entry in careful]), strict=True):
        entry["p_holm"] = p_careful
    result = []
    for (i, j), entry, p_holm, cautious in zip(places, entries, adjusted, careful, strict=True):
        head = {"kind": kind, "a": names[j], "b": names[i]}
        tail = {"p_holm": p_holm, "careful": cautious, "different": cautious["p_holm"] < ALPHA}
        result.append({**head, **entry, **tail, "natural": natural_units(model, entry)})
    return result


def centring(model: FittedModel) -> float:
    """Factor by which standardising makes the standard error of a difference between levels too small.

    Returns
    -------
    float
        ``sqrt(E / (E - 1))`` for E levels; 1 for natural scores, which are not centred, and for ``ordinal``.
    """
    levels = len(model.layout.intercepts)
    return 1.0 if model.scores.natural or levels < 2 else float(np.sqrt(levels / (levels - 1.0)))


def _careful(entry: dict[str, Any], inflation: float) -> dict[str, float]:
    se, df = entry["se"] * inflation, entry["df"]
    half = float(stats.t.ppf(0.5 + 0.5 * CONFIDENCE, df)) * se
    p = float(2.0 * stats.t.sf(abs(entry["estimate"]) / se, df))
    return {"se": se, "lower": entry["estimate"] - half, "upper": entry["estimate"] + half, "p": p}


def natural_units(model: FittedModel, entry: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Carry a contrast over to the scale of each task.

    Parameters
    ----------
    model : FittedModel
    entry : dict
        Has ``estimate``, ``lower`` and ``upper`` in standard deviations.

    Returns
    -------
    dict of str to dict
        By task: ``metric``, and ``estimate``, ``lower`` and ``upper`` in the metric's units.
    """
    result = {}
    for task, scale in model.scores.scales.items():
        unit = 1.0 if model.scores.natural else scale.sd
        values = {key: float(entry[key]) * unit for key in ("estimate", "lower", "upper")}
        result[task] = {"metric": scale.metric, **values}
    return result


def best_probability(
    model: FittedModel, draws: Bootstrap | None = None, at: float = 0.0, seed: int = 0
) -> dict[str, float]:
    """Estimate the probability that each level has the highest expected score.

    Parameters
    ----------
    model : FittedModel
    draws : Bootstrap, optional
        Its replicates are used; without it, draws from a normal distribution with the fixed effects' covariance.
    at : float
        Value of the covariate.
    seed : int
        Of the normal draws.

    Returns
    -------
    dict of str to float
        By level; sums to 1. Empty for ``ordinal``.
    """
    levels, rows = level_rows(model, at)
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
