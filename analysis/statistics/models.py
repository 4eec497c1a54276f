"""The study's two hierarchical models for any table, and the simpler ones that small tables are given instead.

**factor** (Kim et al. 2020, equations 10-12). A score of level r on task d is
``y = (b0_r + u0_rd) + (b1_r + u1_rd) x + e``: every level of a factor has its own intercept and, where a covariate x is
given, its own slope; both vary over tasks, independently, with a variance of their own. A level on which x is constant
has no slope.

**ordinal** (equations 13-16). ``y = b0 + (b1 + u1_d) r + (b2 + u2_d) x + (b3 + u3_d) r x + e``: an overall intercept,
and slopes of an ordinal size r, a covariate x and their product that vary over tasks. Without x only r remains.

**Simpler models.** A variance per level needs several tasks, and scores that repeat within a cell (level x task) to
tell it from the residual. Where a table lacks them, ``*-common`` keeps the fixed effects and has one random effect per
level x task cell, with one variance for all; where no cell has a second score even that is part of the residual, and
``*-fixed`` has no random effect. The reason is kept as a sentence. Column names are the caller's: any column may be
score, factor, covariate or group, and empty cells are normal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.errors import AnalysisError
from analysis.statistics.crossproducts import Floats, Ints, Problem, make_problem
from analysis.statistics.reml import Solution, fit_reml, identifiable, unbounded
from analysis.statistics.scores import Scores
from analysis.tables.long_tables import labels, numbers

MODELS = ("factor", "factor-common", "factor-fixed", "ordinal", "ordinal-common", "ordinal-fixed")
"""Names of the models; the last two of each kind are what small tables are given."""

SINGULAR_RATIO = 1e-4
"""A component whose standard deviation is below this share of the residual's counts as zero."""


@dataclass(frozen=True)
class Layout:
    """Columns of a model and what they mean.

    Attributes
    ----------
    model : str
        One of `MODELS`.
    X, Z : ndarray, shapes [rows, fixed] and [rows, columns]
    component : ndarray of int, shape [columns]
    fixed : list of str
        Names of the fixed effects: ``factor[level]``, ``factor[level]:covariate``, or the columns' own.
    random : list of str
        Names of the variance components.
    group, levels : list of str
        Names of the tasks, and of the factor's levels (of the size's values for ``ordinal``).
    group_code, level_code : ndarray of int, shape [rows]
    intercepts, slopes : dict of str to int
        Position of each level's intercept and slope among the fixed effects; empty for ``ordinal``.
    covariate : ndarray, shape [rows]
        Zero without a covariate.
    reason : str
        Why the model is not the one that was asked for; empty if it is.
    """

    model: str
    X: Floats
    Z: Floats
    component: Ints
    fixed: list[str]
    random: list[str]
    group: list[str]
    levels: list[str]
    group_code: Ints
    level_code: Ints
    intercepts: dict[str, int]
    slopes: dict[str, int]
    covariate: Floats
    reason: str = ""


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
    complete: bool

    @property
    def beta(self) -> Floats:
        """Fixed effects, shape [fixed]."""
        return np.asarray(self.solution.beta[0], dtype=np.float64)

    @property
    def sd(self) -> Floats:
        """Standard deviations of the components, shape [components]."""
        return np.asarray(self.solution.sd[0], dtype=np.float64)

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
        small = np.sqrt(self.solution.ratios[0]) < SINGULAR_RATIO
        return [name for name, flag in zip(self.layout.random, small, strict=True) if flag]

    @property
    def effects(self) -> Floats:
        """Predicted random effects (BLUPs) of each task, shape [groups, columns]."""
        tau = self.solution.ratios[0][self.problem.component]
        return np.asarray(tau * self.solution.evaluation.e[0], dtype=np.float64)

    @property
    def fitted(self) -> Floats:
        """Expected scores including the predicted random effects, shape [rows]."""
        random = np.einsum("nk,nk->n", self.problem.Z, self.effects[self.problem.group])
        return np.asarray(self.problem.X @ self.beta + random, dtype=np.float64)

    @property
    def formula(self) -> str:
        """The model as one line of text."""
        names, group = self.columns, self.columns["group"]
        y = f"{'task-centred' if self.scores.natural else 'standardised'} {names['score']}"
        fixed = " + ".join(self.layout.fixed)
        if self.layout.model.endswith("-fixed"):
            return f"{y} ~ {fixed}"
        if self.layout.model.endswith("-common"):
            return f"{y} ~ {fixed} + (1 | {names.get('factor') or names['size']} x {group})"
        random = " + ".join(f"(0 + {name} | {group})" for name in self.layout.random)
        return f"{y} ~ {fixed} + {random}"


@dataclass(frozen=True)
class _Roles:
    """Codes and values every layout is made of."""

    group_code: Ints
    group: list[str]
    level_code: Ints
    levels: list[str]
    covariate: Floats
    size: Floats


def fit_model(
    scores: Scores,
    model: str,
    *,
    group: str | None = None,
    factor: str | None = None,
    covariate: str | None = None,
    size: str | None = None,
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
    simplify : bool
        Fit the simpler model where the table cannot carry the one asked for; otherwise fit what was asked for.

    Raises
    ------
    AnalysisError
        If the model is unknown, a column it needs is not named, its fixed effects cannot be told apart, repeated
        scores never differ, or there are two levels with one score a cell, which standardising reduces to signs.
    """
    if model not in MODELS:
        raise AnalysisError(f"unknown model {model!r}: choose factor or ordinal")
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
    table = scores.table
    group_code, groups = labels(table, group)
    level_code, levels = labels(table, key)
    if len(levels) < 2:
        raise AnalysisError(f"column {key!r} has one level ({levels[0]}) in these rows: there is nothing to compare")
    zeros = np.zeros(len(table))
    values = numbers(table, covariate) if covariate else zeros
    sizes = numbers(table, key) if kind == "ordinal" else zeros
    roles = _Roles(group_code, groups, level_code, levels, values, sizes)
    if not scores.natural:
        _refuse_signs(scores.y, roles, key)
    fitted, reason = _choose(roles, model, key, covariate) if simplify else (model, "")
    build = _factor_layout if kind == "factor" else _ordinal_layout
    layout = build(roles, fitted, key, covariate, group, reason)
    problem = make_problem(layout.X, layout.Z, group_code, layout.component, layout.fixed)
    while simplify and not identifiable(problem):
        fitted = f"{kind}-common" if fitted == kind else f"{kind}-fixed"
        what = f"one common random effect per {key} x task cell" if fitted.endswith("common") else "no random effects"
        reason = (
            f"Model {model} is too rich for this table (its variance components cannot be told apart by the scores that"
            f" there are), so {fitted} was fitted: {what}."
        )
        layout = build(roles, fitted, key, covariate, group, reason)
        problem = make_problem(layout.X, layout.Z, group_code, layout.component, layout.fixed)
    solution = fit_reml(problem, scores.y)
    if unbounded(problem, solution.ratios)[0]:
        raise AnalysisError(
            f"scores that repeat within a cell of {key} x {group} agree exactly, so no residual variance is left to "
            "judge by: keep one of each, e.g. --where 'seed == 0'"
        )
    columns = {"score": scores.score, "group": group}
    columns |= {"factor": factor} if kind == "factor" and factor else {}
    columns |= {"size": size} if kind == "ordinal" and size else {}
    columns |= {"covariate": covariate} if covariate else {}
    return FittedModel(model, scores, layout, problem, solution, columns, _complete(roles))


def _refuse_signs(y: Floats, roles: _Roles, key: str) -> None:
    """Refuse two levels with one score a cell: standardised they are +-0.707 however far apart they were.

    Repeats on a single task of several do not make the others more than signs.
    """
    cells = _cross_counts(roles.level_code, roles.group_code)
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
        f"two levels of {key} with one score a cell{where} are only signs once standardised: {roles.levels[best]} is"
        f" higher on {wins[best]} of {sum(wins)} tasks (exact two-sided sign test p = {p:.3g}); make more seeds or a"
        " third level, use --natural where the tasks share a metric, or run bench compare on each task"
    )


def _complete(roles: _Roles) -> bool:
    points = np.stack([roles.level_code.astype(np.float64), roles.covariate, roles.size], axis=1)
    _, point = np.unique(points, axis=0, return_inverse=True)
    counts = _cross_counts(point.reshape(-1), roles.group_code)
    return bool((counts == counts[:, :1]).all())


def _cross_counts(a: Ints, b: Ints) -> Ints:
    counts = np.zeros((int(a.max()) + 1, int(b.max()) + 1), dtype=np.int64)
    np.add.at(counts, (a, b), 1)
    return counts


def _repeats(roles: _Roles, kind: str) -> int:
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


def _choose(roles: _Roles, model: str, key: str, covariate: str | None) -> tuple[str, str]:
    """Model that the table can carry, and the reason as a sentence if it is not the one asked for."""
    kind = model.split("-")[0]
    if model.endswith("-fixed"):
        return model, ""
    cells = _cross_counts(roles.level_code, roles.group_code)
    tasks = len(roles.group)
    second = int(np.maximum(cells - 1, 0).sum())
    if kind == "ordinal":
        components = 3 if covariate else 1
    else:
        varied = sum(
            np.unique(roles.covariate[roles.level_code == level]).size > 1 for level in range(len(roles.levels))
        )
        components = len(roles.levels) + varied
    repeats = _repeats(roles, kind)
    thinnest = int((cells > 0).sum(axis=1).min()) if kind == "factor" else tasks
    if not model.endswith("-common"):
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
    if second == 0:
        return f"{kind}-fixed", (
            f"{asked}-fixed was fitted: no {key} x task cell has a second score, so the cell effect is part of the"
            " residual."
        )
    if model.endswith("-common"):
        return model, ""
    return f"{kind}-common", f"{asked}-common was fitted: one common random effect per {key} x task cell."


def _simple_random(roles: _Roles, model: str, name: str) -> tuple[Floats, Ints, list[str]]:
    """Random part of the simpler models: one variance for all cells, or none."""
    if model.endswith("-fixed"):
        return np.zeros((len(roles.group_code), 0)), np.zeros(0, np.int64), []
    indicators = np.eye(len(roles.levels))[roles.level_code]
    return indicators, np.zeros(len(roles.levels), np.int64), [name]


def _factor_layout(roles: _Roles, model: str, factor: str, covariate: str | None, group: str, reason: str) -> Layout:
    columns: list[Floats] = []
    names: list[str] = []
    intercepts: dict[str, int] = {}
    slopes: dict[str, int] = {}
    for i, level in enumerate(roles.levels):
        intercepts[level] = len(names)
        columns.append((roles.level_code == i).astype(np.float64))
        names.append(f"{factor}[{level}]")
    for i, level in enumerate(roles.levels):
        rows = roles.level_code == i
        if covariate and np.unique(roles.covariate[rows]).size > 1:
            slopes[level] = len(names)
            columns.append(np.where(rows, roles.covariate, 0.0))
            names.append(f"{factor}[{level}]:{covariate}")
    X = np.stack(columns, axis=1)
    if model == "factor":
        # A component seen in one task only is the same column as its fixed effect there: nothing to estimate.
        seen = [len(np.unique(roles.group_code[column != 0.0])) > 1 for column in columns]
        Z, random = X[:, seen], [name for name, flag in zip(names, seen, strict=True) if flag]
        component = np.arange(len(random), dtype=np.int64)
    else:
        Z, component, random = _simple_random(roles, model, f"{factor} x {group}")
    return Layout(
        model, X, Z, component, names, random, roles.group, roles.levels, roles.group_code, roles.level_code,
        intercepts, slopes, roles.covariate, reason,
    )  # fmt: skip


def _ordinal_layout(roles: _Roles, model: str, size: str, covariate: str | None, group: str, reason: str) -> Layout:
    columns = [np.ones_like(roles.size), roles.size]
    names = ["(intercept)", size]
    if covariate:
        columns += [roles.covariate, roles.size * roles.covariate]
        names += [covariate, f"{size}:{covariate}"]
    X = np.stack(columns, axis=1)
    if model == "ordinal":
        Z, random = X[:, 1:], names[1:]
        component = np.arange(len(random), dtype=np.int64)
    else:
        Z, component, random = _simple_random(roles, model, f"{size} x {group}")
    return Layout(
        model, X, Z, component, names, random, roles.group, roles.levels, roles.group_code, roles.level_code,
        {}, {}, roles.covariate, reason,
    )  # fmt: skip
