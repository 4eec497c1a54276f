"""Standardised scores: a common scale for tasks whose metrics and difficulties differ.

``y = (score - mean_d) / sd_d`` within task d, with ddof 1, over all of the task's rows (Kim et al. 2020, section 5.2).
The scale is then the same everywhere; multiplying a task's scores by a positive number or adding one changes nothing.
Mean and sd are those of whatever was run: what the mean takes is estimated again by the models, in which every task has
an effect; the sd makes the unit.

Scores of one metric can keep its unit. Then ``y = score - mean_d + m`` with m the mean of the tasks' means: only the
task's own effect is removed, which would else swamp every difference between levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.statistics.units import unit_levels
from analysis.tables.long_tables import check_comparable, drop_missing_scores, incomplete_cells, labels, numbers
from analysis.tables.turning import turned_rows


@dataclass(frozen=True)
class Scale:
    """How one task's scores were standardised: ``(score - mean) / sd``, in units of its metric.

    Where less of the metric is better, its negative was taken.
    """

    mean: float
    sd: float
    n: int
    metric: str
    lower_is_better: bool = False


@dataclass(frozen=True)
class Scores:
    """A long table with standardised scores.

    Attributes
    ----------
    table : DataFrame
        The rows that have a score.
    y : ndarray, shape [rows]
        Scores the models see: standardised, or without their task's own effect in their metric's unit when `natural`.
    group : str
        Column of tasks.
    score : str
        Column of scores.
    scales : dict of str to Scale
        By task, in order of appearance.
    natural : bool
        Whether scores kept their own unit.
    notes : list of str
        What a reader must know: rows left out, incomplete tables, stand-in data.
    apart : list of str
        Levels that have no part in tasks' units.
    """

    table: pd.DataFrame
    y: NDArray[np.float64]
    group: str
    score: str
    scales: dict[str, Scale]
    natural: bool = False
    notes: list[str] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)

    def keep(self, mask: NDArray[np.bool_]) -> Scores:
        """Keep some rows, standardised as they were among all."""
        table = self.table.loc[mask].reset_index(drop=True)
        return replace(self, table=table, y=self.y[mask])


def standardise(
    table: pd.DataFrame,
    score: str = "score",
    group: str = "task",
    complete_over: Sequence[str] = (),
    *,
    natural: bool = False,
    levels: str | None = None,
) -> Scores:
    """Standardise scores within tasks.

    Parameters
    ----------
    table : DataFrame
        One row a score.
    score, group : str
        Columns of scores and of tasks.
    complete_over : sequence of str
        Columns that make a design point; a warning is noted where some task lacks one that another has.
    natural : bool
        Keep the metric's unit: from every score its task's mean is taken, and the mean of these means added; only for
        tasks that share one metric.
    levels : str, optional
        Column of what will be compared: a level that would set tasks' units unevenly has no part in them, and is named
        (`analysis.statistics.units`).

    Raises
    ------
    AnalysisError
        If rows cannot be compared (`check_comparable`), a score is no number, or a task has fewer than two scores or
        scores that are all equal; such tasks are named.
    """
    kept, notes = drop_missing_scores(table, score, group)
    notes += check_comparable(kept, group)
    raw = numbers(kept, score)
    codes, tasks = labels(kept, group)
    if natural and "metric" in kept.columns and len(set(kept["metric"])) > 1:
        raise AnalysisError("natural scores need one metric in all tasks: standardise, or keep one with --where")
    turned, more = turned_rows(kept, score, raw)
    notes += more
    y = np.empty_like(raw)
    scales: dict[str, Scale] = {}
    constant = []
    makes_unit = np.ones(len(raw), dtype=np.bool_)
    apart: list[str] = []
    if levels and not natural:
        level_code, names = labels(kept, levels)
        part = unit_levels(raw, codes, level_code)
        makes_unit = part[level_code]
        apart = [name for name, flag in zip(names, part, strict=True) if not flag]
        notes += _apart_note(apart, levels, group)
    for d, task in enumerate(tasks):
        rows = codes == d
        values = raw[rows]
        sd = float(values.std(ddof=1)) if values.size > 1 else 0.0
        if sd <= 1e-12 * max(float(np.abs(values).max()), 1e-300):
            constant.append(f"{task} ({values.size} scores)")
            continue
        own = raw[rows & makes_unit]
        spread = float(own.std(ddof=1)) if own.size > 1 else 0.0
        sd = spread if spread > 1e-12 * max(float(np.abs(values).max()), 1e-300) else sd
        mean = float(values.mean())
        metric = str(kept.loc[rows, "metric"].iloc[0]) if "metric" in kept.columns else score
        less = bool(turned[rows].any())
        scales[task] = Scale(mean, sd, int(values.size), metric, less)
        better = mean - values if less else values - mean
        y[rows] = better if natural else better / sd
    if constant:
        raise AnalysisError(
            f"tasks whose scores are all equal cannot be standardised: {', '.join(constant)};"
            f" leave them out with --where '{group} != \"...\"'"
        )
    if natural:
        y += np.mean([-scale.mean if scale.lower_is_better else scale.mean for scale in scales.values()])
    if complete_over:
        notes += _incomplete_note(kept, group, complete_over, "centred" if natural else "standardised")
    return Scores(kept, y, group, score, scales, natural, notes, apart)


def _apart_note(apart: list[str], levels: str, group: str) -> list[str]:
    if not apart:
        return []
    return [
        f"{', '.join(apart)}: so far from the other levels of {levels} on some {group}s and so near on others that each"
        f" {group}'s unit would be another; a {group}'s standard deviation is that of the other levels' scores."
    ]


def _incomplete_note(table: pd.DataFrame, group: str, by: Sequence[str], done: str) -> list[str]:
    holes = incomplete_cells(table, group, by)
    if not holes:
        return []
    point, task, found, full = holes[0]
    return [
        f"The table is incomplete: {len(holes)} cells have fewer scores than the fullest {group} (first: {point} has"
        f" {found} on {task}, {full} elsewhere). Each {group} is {done} over what was run; what it contributes is"
        " estimated beside the levels, so that an absent strong or weak level does not shift the others."
    ]
