"""The study's two hierarchical models for any table, and the simpler ones that small tables are given instead.

**factor** (Kim et al. 2020, equations 10-12). A score of level r on task d is
``y = t_d + (b0_r + u0_rd) + (b1_r + u1_rd) x + e``: every task has an effect, every level of a factor has its own
intercept and, where a covariate x is given, its own slope; both vary over tasks, independently, with a variance of
their own. A level on which x is constant has no slope.

**ordinal** (equations 13-16). ``y = t_d + b0 + (b1 + u1_d) r + (b2 + u2_d) x + (b3 + u3_d) r x + e``: an overall
intercept, and slopes of an ordinal size r, a covariate x and their product that vary over tasks. Without x only r
remains.

**Tasks** are fixed effects that sum to zero. What a task contributes is so estimated beside the levels, and what is
estimated of it costs the degrees of freedom it should, whatever cells the table lacks. The study took the task's mean
from every score instead and had no t_d (``tasks="centred"``): on a complete table the estimates are the same, their
standard errors and degrees of freedom are those of scores that were never centred.

**Runs.** Where a level has several trained networks, each of which was scored on several tasks, a network has a random
effect w of its own in all its scores (`analysis.statistics.runs`).

**Simpler models.** A variance per level needs several tasks, and scores that repeat within a cell (level x task) to
tell it from the residual. Where all cells have one score, ``factor-single`` gives the residual a variance per level.
Where a table lacks more, ``*-common`` keeps the fixed effects and has one random effect per level x task cell,
with one variance for all; where no cell has a second score even that is part of the residual, and ``*-fixed`` has no
random effect of levels. The reason is kept as a sentence. Column names are the caller's: any column may be score,
factor, covariate or group, and empty cells are normal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.errors import AnalysisError
from analysis.statistics.crossproducts import Floats, Problem
from analysis.statistics.degrees import expected_degrees
from analysis.statistics.layouts import Layout, Roles, make_layout
from analysis.statistics.reml import Solution, fit_reml, identifiable, unbounded
from analysis.statistics.runs import AUTO, NONE, Runs, find_runs
from analysis.statistics.scores import Scores
from analysis.tables.long_tables import labels, numbers

MODELS = ("factor", "factor-single", "factor-common", "factor-fixed", "ordinal", "ordinal-common", "ordinal-fixed")
"""Names of the models; those with a second word are what small tables are given."""

TASKS = ("effects", "centred")
"""How tasks enter: with an effect that is estimated, or not at all, for their means were taken from the scores."""

FEWEST_DEGREES = 4.0
"""Degrees of freedom that a design must give every difference if levels are to have variances of their own: with fewer,
estimates of these are too often too small, and equals called different (docs/statistics.md)."""

SINGULAR_RATIO = 1e-4
"""A component whose standard deviation is below this share of the residual's counts as zero."""


@dataclass(frozen=True)
class FittedModel:
    """A model with its estimates.

    Attributes
    ----------
    requested : str
        Model that was asked for.
    scores : Scores
    layout : Layout
    problem : Problem
    solution : Solution
        Estimates, with a first axis of length 1.
    columns : dict of str to str
        Roles of columns: ``score``, ``group``, ``factor``, ``covariate``, ``size``.
    runs : Runs
        Trained networks behind the scores.
    complete : bool
        Whether every cell of level x task (x covariate) has the same number of scores in every task; the fixed effects
        are then those of least squares.
    """

    requested: str
    scores: Scores
    layout: Layout
    problem: Problem
    solution: Solution
    columns: dict[str, str]
    runs: Runs
    complete: bool

    @property
    def beta(self) -> Floats:
        """Fixed effects, shape [fixed]."""
        return np.asarray(self.solution.beta[0], dtype=np.float64)

    @property
    def sd(self) -> Floats:
        """Standard deviations of the components, shape [components]; of ``factor-single`` of levels' scores."""
        return np.asarray(component_sd(self.problem, self.solution)[0], dtype=np.float64)

    @property
    def residual_sd(self) -> float:
        """Standard deviation of the residual."""
        return float(np.sqrt(self.solution.residual_variance[0]))

    @property
    def covariance(self) -> Floats:
        """Covariance of the fixed effects given the components, shape [fixed, fixed]."""
        inverse = self.solution.evaluation.linv[0] @ np.linalg.inv(self.problem.r).T
        return np.asarray(self.solution.residual_variance[0] * (inverse.T @ inverse), dtype=np.float64)

    @property
    def reml(self) -> float:
        """REML criterion, minus twice the restricted log-likelihood."""
        return float(self.solution.criterion[0])

    @property
    def zero(self) -> list[str]:
        """Components estimated as zero: what makes a fit singular."""
        small = (np.sqrt(np.maximum(self.solution.ratios[0], 0.0)) < SINGULAR_RATIO) & (self.problem.lowest == 0.0)
        return [name for name, flag in zip(self.layout.random, small, strict=True) if flag]

    @property
    def effects(self) -> Floats:
        """Predicted random effects (BLUPs) of each block, shape [blocks, columns]."""
        ratios = np.where(self.problem.lowest < 0.0, 0.0, self.solution.ratios[0])
        tau = ratios[self.problem.component] if self.problem.components else np.zeros((self.problem.groups, 0))
        return np.asarray(tau * self.solution.evaluation.e[0], dtype=np.float64)

    def predicted(self, name: str) -> Floats:
        """Predicted effect of each unit (task, cell, run) of a component; not a number for one without rows."""
        k = self.layout.random.index(name)
        block, column = self.layout.blocks.block[k], self.layout.blocks.column[k]
        return np.where(block < 0, np.nan, self.effects[block, column])

    @property
    def fitted(self) -> Floats:
        """Expected scores including the predicted random effects, shape [rows]."""
        random = np.einsum("nk,nk->n", self.problem.Z, self.effects[self.problem.group])
        return np.asarray(self.problem.X @ self.beta + random, dtype=np.float64)

    @property
    def single_runs(self) -> list[str]:
        """Levels that were trained once: what another training would give is not in their scores."""
        own = self.runs.of_levels(self.layout.level_code, len(self.layout.levels))
        return [level for level, runs in zip(self.layout.levels, own, strict=True) if len(runs) == 1]

    def covers_training(self, a: int, b: int) -> bool:
        """Whether what is said of two levels (by number) holds of what their recipes give, or of these networks only.

        The luck of training is in the residual or has a variance of its own as soon as some level has two networks; it
        plays no part where neither level was trained, and falls out where both are readings of the same networks.
        """
        own = self.runs.of_levels(self.layout.level_code, len(self.layout.levels))
        return not (own[a] or own[b]) or own[a] == own[b] or max(len(runs) for runs in own) > 1

    @property
    def formula(self) -> str:
        """The model as one line of text."""
        names, group = self.columns, self.columns["group"]
        y = f"{'natural' if self.scores.natural else 'standardised'} {names['score']}"
        fixed = " + ".join(self.layout.fixed[: self.layout.main])
        if len(self.layout.fixed) > self.layout.main:
            fixed = f"{fixed} + {group}"
        unit = names.get("factor") or names["size"]
        own = [name for name in self.layout.random if name != self.layout.run]
        if self.layout.model.endswith("-single"):
            random = [f"residual variance by {unit}"]
        else:
            random = [f"(1 | {name})" if " x " in name else f"(0 + {name} | {group})" for name in own]
        return " + ".join([f"{y} ~ {fixed}", *random, *([f"(1 | {self.layout.run})"] if self.layout.run else [])])


def component_sd(problem: Problem, solution: Solution) -> Floats:
    """Standard deviations of effects, or of scores where ratios may be negative, shape [responses, components]."""
    ratios = np.where(problem.lowest < 0.0, 1.0 + solution.ratios, solution.ratios)
    return np.sqrt(np.maximum(ratios, 0.0) * solution.residual_variance[:, None])


def fit_model(
    scores: Scores,
    model: str,
    *,
    group: str | None = None,
    factor: str | None = None,
    covariate: str | None = None,
    size: str | None = None,
    run: str = AUTO,
    tasks: str = "effects",
    simplify: bool = True,
) -> FittedModel:
    """Fit a hierarchical model to standardised scores by exact REML.

    Parameters
    ----------
    scores : Scores
    model : str
        ``"factor"`` or ``"ordinal"``; or one of the simpler models by its name.
    group : str, optional
        Column of tasks; by default the one that scores were standardised over.
    factor : str, optional
        Column whose levels are compared; needed by ``factor``.
    covariate : str, optional
        Column of numbers with a slope.
    size : str, optional
        Column of numbers that orders the levels; needed by ``ordinal``.
    run : str
        Column that names the trained network behind each score, ``"none"``, or ``"auto"``; see `find_runs`.
    tasks : str
        ``"effects"``; or ``"centred"`` for the treatment of Kim et al. 2020, which knows no runs by itself.
    simplify : bool
        Fit the simpler model where the table cannot carry the one asked for; otherwise fit what was asked for.

    Raises
    ------
    AnalysisError
        If the model is unknown, a column it needs is not named, levels share no chain of tasks, its fixed effects
        cannot be told apart, repeated scores never differ, or there are two levels with one score a cell, which
        standardising reduces to signs.
    """
    if model not in MODELS:
        raise AnalysisError(f"unknown model {model!r}: choose factor or ordinal")
    if tasks not in TASKS:
        raise AnalysisError(f"unknown treatment of tasks {tasks!r}: choose {' or '.join(TASKS)}")
    group = group or scores.group
    kind = model.split("-")[0]
    if kind == "factor" and not factor:
        raise AnalysisError("model factor compares the levels of a column: name it with --factor COLUMN")
    if kind == "ordinal" and not size:
        raise AnalysisError(
            "model ordinal needs a column of numbers that orders the levels: name it with --size COLUMN"
        )
    key = factor if kind == "factor" else size
    assert key is not None
    roles = _roles(scores, kind, key, group, covariate, NONE if tasks == "centred" and run == AUTO else run, tasks)
    if not scores.natural:
        _refuse_signs(scores.y, roles)
    layout, problem = lay_out(scores.y, roles, model, simplify=simplify)
    solution = fit_reml(problem, scores.y)
    if unbounded(problem, solution.ratios)[0]:
        but = " but for what a network has on all tasks" if layout.run else ""
        raise AnalysisError(
            f"scores that repeat within a cell of {key} x {group} agree exactly{but}, so no residual variance is left"
            " to judge by: keep one of each, e.g. --where 'seed == 0'"
        )
    columns = {"score": scores.score, "group": group}
    columns |= {"factor": factor} if kind == "factor" and factor else {}
    columns |= {"size": size} if kind == "ordinal" and size else {}
    columns |= {"covariate": covariate} if covariate else {}
    return FittedModel(model, scores, layout, problem, solution, columns, roles.runs, _complete(roles))


def _roles(scores: Scores, kind: str, key: str, group: str, covariate: str | None, run: str, tasks: str) -> Roles:
    table = scores.table
    group_code, groups = labels(table, group)
    level_code, levels = labels(table, key)
    if len(levels) < 2:
        raise AnalysisError(f"column {key!r} has one level ({levels[0]}) in these rows: there is nothing to compare")
    zeros = np.zeros(len(table))
    return Roles(
        key=key,
        covariate_name=covariate,
        group_name=group,
        group_code=group_code,
        group=groups,
        level_code=level_code,
        levels=levels,
        covariate=numbers(table, covariate) if covariate else zeros,
        size=numbers(table, key) if kind == "ordinal" else zeros,
        runs=find_runs(table, key, run),
        task_effects=tasks == "effects",
    )


def lay_out(y: Floats, roles: Roles, model: str, *, simplify: bool = True) -> tuple[Layout, Problem]:
    """The richest layout that the table can carry, with an effect of trained networks where it shows one.

    Parameters
    ----------
    y : ndarray, shape [rows]
        Scores; of ``factor-single`` they choose the level whose variance is the residual's, and nothing else.
    roles : Roles
    model : str
        The one that is asked for.
    simplify : bool
        As in `fit_model`.
    """
    kind = model.split("-")[0]
    fitted, reason = _choose(roles, model) if simplify else (model, "")
    while True:
        reference = _most_spread(y, roles) if fitted == "factor-single" else -1
        layout = make_layout(roles, fitted, reason, reference)
        problem = layout.problem()
        why = _too_rich(roles, layout, problem) if simplify else ""
        if not why:
            break
        repeats = int(roles.counts.max()) > 1
        fitted = f"{kind}-common" if fitted == kind and repeats else f"{kind}-fixed"
        what = f"one common random effect per {roles.key} x task cell" if repeats else "one variance for all levels"
        reason = f"Model {model} is too rich for this table ({why}), so {fitted} was fitted: {what}."
    rows = np.bincount(roles.runs.code[roles.runs.code >= 0], minlength=1)
    if rows.max() > 1:
        more = make_layout(roles, fitted, reason, reference, runs=True)
        try_problem = more.problem()
        if identifiable(try_problem):
            return more, try_problem
    return layout, problem


def _too_rich(roles: Roles, layout: Layout, problem: Problem) -> str:
    """Why a table cannot carry a layout, in words; empty if it can."""
    if not identifiable(problem):
        return "its variance components cannot be told apart by the scores that there are"
    if layout.model not in ("factor", "factor-single") or not roles.task_effects:
        return ""
    indicators = np.eye(problem.fixed)[list(layout.intercepts.values())]
    a, b = np.triu_indices(len(indicators), 1)
    ratios = np.where(problem.lowest < 0.0, 0.0, 1.0 / problem.scale())
    fewest = float(expected_degrees(problem, ratios, 1.0, indicators[b] - indicators[a])[1].min())
    if fewest > FEWEST_DEGREES - 1e-6:
        return ""
    return f"with a variance per level some difference would rest on {fewest:.2g} degrees of freedom"


def _most_spread(y: Floats, roles: Roles) -> int:
    """Level whose scores depart most from an additive table of levels and tasks."""
    X = make_layout(roles, "factor-fixed").X
    left = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
    count = np.bincount(roles.level_code)
    return int(np.argmax(np.bincount(roles.level_code, weights=left**2) / count))


def _refuse_signs(y: Floats, roles: Roles) -> None:
    """Refuse two levels with one score a cell: standardised they are +-0.707 however far apart they were.

    Repeats on a single task of several do not make the others more than signs.
    """
    cells = roles.counts
    repeated, tasks = int((cells.max(axis=0) > 1).sum()), len(roles.group)
    if len(roles.levels) != 2 or repeated > 1 or (repeated == 1 and tasks == 1):
        return
    sums = np.zeros(cells.shape)
    np.add.at(sums, (roles.level_code, roles.group_code), y)
    both = (cells > 0).all(axis=0)
    means = sums[:, both] / cells[:, both]
    wins = [int((means[level] > means[1 - level]).sum()) for level in (0, 1)]
    best = int(wins[1] > wins[0])
    p = float(stats.binomtest(wins[best], max(1, sum(wins))).pvalue)
    where = " on all tasks but one" if repeated else ""
    raise AnalysisError(
        f"two levels of {roles.key} with one score a cell{where} are only signs once standardised:"
        f" {roles.levels[best]} is higher on {wins[best]} of {sum(wins)} tasks (exact two-sided sign test p ="
        f" {p:.3g}); make more seeds or a third level, use --natural where the tasks share a metric, or run bench"
        " compare on each task"
    )


def _complete(roles: Roles) -> bool:
    points = np.stack([roles.level_code.astype(np.float64), roles.covariate, roles.size], axis=1)
    point = np.unique(points, axis=0, return_inverse=True)[1].reshape(-1)
    counts = np.zeros((int(point.max()) + 1, len(roles.group)), dtype=np.int64)
    np.add.at(counts, (point, roles.group_code), 1)
    return bool((counts == counts[:, :1]).all())


def _repeats(roles: Roles, kind: str) -> int:
    """Degrees of freedom left within the model's own cells: what tells its random effects from the residual."""
    spare = 0
    for d in range(len(roles.group)):
        task = roles.group_code == d
        if kind == "ordinal":
            r, x = roles.size[task], roles.covariate[task]
            spare += int(task.sum() - np.linalg.matrix_rank(np.stack([np.ones_like(r), r, x, r * x], axis=1)))
            continue
        for level in range(len(roles.levels)):
            x = roles.covariate[task & (roles.level_code == level)]
            spare += max(0, x.size - (2 if np.unique(x).size > 1 else 1))
    return spare


def _choose(roles: Roles, model: str) -> tuple[str, str]:
    """Model that the table can carry, and the reason as a sentence if it is not the one asked for."""
    kind = model.split("-")[0]
    if model.endswith("-fixed"):
        return model, ""
    tasks, levels = len(roles.group), len(roles.levels)
    cells = roles.counts
    second = int(np.maximum(cells - 1, 0).sum())
    if kind == "ordinal":
        components = 3 if roles.covariate_name else 1
    else:
        slopes = sum(roles.varies(level) for level in range(levels)) if roles.covariate_name else 0
        components = (1 if levels == 2 and roles.task_effects else levels) + slopes
    repeats = _repeats(roles, kind)
    thinnest = int((cells > 0).sum(axis=1).min()) if kind == "factor" else tasks
    if model == kind:
        if tasks >= 3 and thinnest >= 2 and repeats >= components:
            return model, ""
        why = (
            f"{components} variance components need at least 3 tasks, 2 tasks for every level and {components} repeated"
            f" scores within cells, and this table has {tasks} tasks, {thinnest} for the rarest level and {repeats}"
        )
        asked = f"Model {model} is too rich for this table ({why}), so {kind}"
    else:
        asked = f"Model {model} asks for more than this table has, so {kind}"
    if tasks < 2:
        return f"{kind}-fixed", f"{asked}-fixed was fitted, without random effects: one task says nothing about others."
    if second == 0 and kind == "factor" and not roles.covariate_name and levels > 2 and tasks > 2 and thinnest > 2:
        if model == "factor-single":
            return model, ""
        return "factor-single", (
            f"{asked}-single was fitted: no {roles.key} x task cell has a second score, so what a level varies by over"
            " tasks and what a score varies by are one variance, of each level its own."
        )
    if second == 0:
        return f"{kind}-fixed", (
            f"{asked}-fixed was fitted: no {roles.key} x task cell has a second score, so the cell effect is part of"
            " the residual."
        )
    if model.endswith("-common"):
        return model, ""
    return f"{kind}-common", f"{asked}-common was fitted: one common random effect per {roles.key} x task cell."
