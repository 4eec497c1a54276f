"""What a study will tell that has not been made: standard errors and degrees of freedom of its differences.

The layout is the one that a table of the planned study would be given, and the information that of its design: what the
scores tell of the variances is replaced by what they tell on average, if the variances are as assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from analysis.errors import AnalysisError
from analysis.statistics.crossproducts import Floats
from analysis.statistics.degrees import expected_degrees
from analysis.statistics.layouts import Layout, Roles, make_layout
from analysis.statistics.runs import Runs


@dataclass(frozen=True)
class PlannedStudy:
    """A complete study of levels x tasks x seeds, and the variances that are expected of it.

    Attributes
    ----------
    tasks : int
        At least 2.
    seeds : int
        Scores of every cell of level x task, one a trained network; at least 1.
    between : sequence of float
        Variance of each level's effect over tasks [squared unit of the analysis].
    single : float
        Variance of one score beside that.
    run : float
        Variance of a trained network's luck, which goes with it through all tasks; 0 for none.
    """

    tasks: int
    seeds: int
    between: Sequence[float]
    single: float
    run: float = 0.0


def planned_layout(study: PlannedStudy) -> Layout:
    """Lay out a planned study as a table of it would be.

    Raises
    ------
    AnalysisError
        If there are fewer than two levels, tasks or scores that a difference can be told by.
    """
    levels = len(study.between)
    if levels < 2 or study.tasks < 2 or study.seeds < 1 or study.single <= 0.0:
        raise AnalysisError("a plan needs at least 2 levels, 2 tasks, 1 score a cell and a spread of scores above 0")
    level, task, seed = (
        each.reshape(-1).astype(np.int64) for each in np.indices((levels, study.tasks, study.seeds), dtype=np.int64)
    )
    zeros = np.zeros(level.size)
    runs = study.run > 0.0 and study.seeds > 1
    roles = Roles(
        key="level",
        covariate_name=None,
        group_name="task",
        group_code=task,
        group=[str(d) for d in range(study.tasks)],
        level_code=level,
        levels=[str(i) for i in range(levels)],
        covariate=zeros,
        size=zeros,
        runs=Runs("run", level * study.seeds + seed),
        task_effects=True,
    )
    if study.seeds == 1:
        single = levels > 2 and study.tasks > 2
        widest = int(np.argmax(study.between))
        return make_layout(roles, "factor-single" if single else "factor-fixed", reference=widest if single else -1)
    return make_layout(roles, "factor" if study.tasks > 2 else "factor-common", runs=runs)


def planned_differences(study: PlannedStudy) -> tuple[list[tuple[int, int]], Floats, Floats]:
    """Standard error and degrees of freedom of all differences between two levels.

    Returns
    -------
    pairs : list of (int, int)
        Levels by number.
    se, df : ndarray, shape [pairs]
        With one seed the luck of training is no part of them: the networks themselves are compared.
    """
    layout = planned_layout(study)
    between = np.asarray(study.between, dtype=np.float64)
    if layout.model == "factor-single":
        whole = between + study.single
        reference = layout.levels.index(layout.reference)
        residual = float(whole[reference])
        ratios = np.delete(whole, reference) / residual - 1.0
    elif layout.model == "factor-fixed":
        residual, ratios = float(between.mean() + study.single), np.zeros(0)
    else:
        residual = study.single
        own = between if len(layout.random) - bool(layout.run) > 1 else between.mean(keepdims=True)
        ratios = np.append(own, study.run if layout.run else []) / residual
    pairs = list(combinations(range(len(between)), 2))
    problem = layout.problem()
    contrasts = np.zeros((len(pairs), problem.fixed))
    for row, (a, b) in zip(contrasts, pairs, strict=True):
        row[a], row[b] = -1.0, 1.0
    se, df = expected_degrees(problem, np.maximum(ratios, problem.lowest), residual, contrasts)
    return pairs, se, df
