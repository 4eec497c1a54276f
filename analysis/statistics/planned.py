"""What a study will tell that has not been made: the differences it finds, and how surely.

A complete study of levels x tasks x seeds would be given the model that `analysis.statistics.models` gives its table.
What its scores will tell of the variances is taken on average (`planned_differences`), or drawn many times and fitted
as they will be (`simulated_differences`), if the variances are as assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from analysis.errors import AnalysisError
from analysis.statistics.balanced import CompleteTable, Sums, Variances, expected_complete, fit_complete
from analysis.statistics.crossproducts import Bools, Floats
from analysis.statistics.layouts import Roles
from analysis.statistics.models import lay_out
from analysis.statistics.runs import Runs

_TELLING = 8
"""Tasks beyond which the model that a complete table is given does not change any more."""


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
    run : float, optional
        Variance of a trained network's luck, which goes with it through all tasks; by default training plays no part.
    trained : sequence of bool, optional
        Levels that are trained, where training plays a part; by default all.
    """

    tasks: int
    seeds: int
    between: Sequence[float]
    single: float
    run: float | None = None
    trained: Sequence[bool] | None = None

    @property
    def networks(self) -> Bools:
        """Levels whose seeds are networks with luck of their own, shape [levels]; none where there is one seed."""
        levels = len(self.between)
        known = self.run is not None and self.seeds > 1
        return np.array(self.trained if known and self.trained is not None else [known] * levels, dtype=np.bool_)

    @property
    def cells(self) -> Floats:
        """Variance of levels' cell means over tasks, shape [levels]."""
        return np.asarray(self.between, dtype=np.float64) + self.single / self.seeds

    @property
    def means(self) -> Floats:
        """Variance of levels' means, shape [levels]; of one seed, of these networks' means."""
        return self.cells / self.tasks + np.where(self.networks, (self.run or 0.0) / self.seeds, 0.0)


def planned_table(study: PlannedStudy) -> CompleteTable:
    """Shape of a planned study's table, with the model that it would be given.

    Raises
    ------
    AnalysisError
        If there are fewer than two levels, tasks or scores that a difference can be told by.
    """
    levels = len(study.between)
    if levels < 2 or study.tasks < 2 or study.seeds < 1 or not (study.cells > 0.0).all():
        raise AnalysisError("a plan needs at least 2 levels, 2 tasks, 1 score a cell and a spread of scores above 0")
    networks = study.networks
    own, run = _model(levels, min(study.tasks, _TELLING), min(study.seeds, 2), tuple(networks.tolist()))
    return CompleteTable(levels, study.tasks, study.seeds, own, networks & run)


@lru_cache(maxsize=64)
def _model(levels: int, tasks: int, seeds: int, networks: tuple[bool, ...]) -> tuple[bool, bool]:
    """Whether a complete table's levels are given variances of their own, and its networks an effect."""
    level, task, seed = (each.reshape(-1) for each in np.indices((levels, tasks, seeds), dtype=np.int64))
    zeros = np.zeros(level.size)
    roles = Roles(
        key="level",
        covariate_name=None,
        group_name="task",
        group_code=task,
        group=[str(d) for d in range(tasks)],
        level_code=level,
        levels=[str(i) for i in range(levels)],
        covariate=zeros,
        size=zeros,
        runs=Runs("run", np.where(np.array(networks)[level], level * seeds + seed, -1)),
        task_effects=True,
    )
    layout, _ = lay_out(zeros, roles, "factor")
    return layout.model in ("factor", "factor-single") and levels > 2, bool(layout.run)


def _assumed(study: PlannedStudy, table: CompleteTable) -> Variances:
    """Variances of the study as the parameters of its model."""
    between = study.cells if study.seeds == 1 else np.asarray(study.between, dtype=np.float64)
    own = between if table.own else between.mean(keepdims=True)
    return Variances(own[None], np.array([study.run or 0.0]), np.array([study.single]))


def planned_differences(study: PlannedStudy) -> tuple[list[tuple[int, int]], Floats, Floats]:
    """Standard error and degrees of freedom of all differences between two levels.

    Returns
    -------
    pairs : list of (int, int)
        Levels by number.
    se, df : ndarray, shape [pairs]
        With one seed the luck of training is no part of them: the networks themselves are compared.
    """
    table = planned_table(study)
    se, df = expected_complete(table, _assumed(study, table))
    return [(int(a), int(b)) for a, b in table.pairs], se[0], df[0]


@dataclass(frozen=True)
class Differences:
    """What simulated studies find of every pair of levels, ``b - a``; arrays of shape [studies, pairs].

    Attributes
    ----------
    estimate : ndarray
    se, df : ndarray
        As the studies' own analyses would tell them.
    """

    estimate: Floats
    se: Floats
    df: Floats


def simulated_differences(study: PlannedStudy, studies: int, seed: int = 0) -> Differences:
    """Draw studies of levels that are equal, and analyse each.

    Parameters
    ----------
    study : PlannedStudy
    studies : int
    seed : int

    Notes
    -----
    Scores are normal, so sums of squares and means are drawn as such, independently: whatever the levels' true means,
    standard errors and degrees of freedom stay.
    """
    table = planned_table(study)
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal((studies, table.levels)) * np.sqrt(study.means)
    run = generator.chisquare(max(1, table.run_freedom), studies) * (study.single + study.tasks * (study.run or 0.0))
    rest = generator.chisquare(max(1, table.rest_freedom), studies) * study.single
    # Luck of networks that the model has no effect for is not in a score: the networks are what is compared.
    sums = Sums(
        _wishart(generator, study.cells, study.tasks - 1, studies),
        run if table.run_freedom else np.zeros(studies),
        rest if table.rest_freedom else np.zeros(studies),
    )
    _, se, df = fit_complete(table, sums, _assumed(study, table))
    a, b = table.pairs.T
    return Differences(noise[:, b] - noise[:, a], se, df)


def _wishart(generator: np.random.Generator, variances: Floats, freedom: int, count: int) -> Floats:
    """Cross-products of independent normal columns, shape [count, levels, levels] (Bartlett's decomposition)."""
    levels = variances.size
    scale = np.sqrt(variances)
    if freedom < levels:
        columns = generator.standard_normal((count, levels, freedom)) * scale[:, None]
        return np.asarray(columns @ columns.transpose(0, 2, 1))
    lower = np.tril(generator.standard_normal((count, levels, levels)), -1)
    index = np.arange(levels)
    lower[:, index, index] = np.sqrt(generator.chisquare(freedom - index, (count, levels)))
    columns = lower * scale[:, None]
    return np.asarray(columns @ columns.transpose(0, 2, 1))
