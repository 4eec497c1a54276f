"""Which columns a model has: fixed effects, and terms of random effects, for the table at hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.errors import AnalysisError
from analysis.statistics.blocks import Blocks, Term, make_blocks
from analysis.statistics.connections import need_connected, seen_cells
from analysis.statistics.crossproducts import Floats, Ints, Problem, make_problem
from analysis.statistics.runs import Runs

LOWEST = 1e-6 - 1.0
"""Lowest ratio of a level's own variance to the reference's, less 1, where cells have one score."""


@dataclass(frozen=True)
class Roles:
    """Codes and values that every layout is made of; first axis of arrays: rows."""

    key: str
    covariate_name: str | None
    group_name: str
    group_code: Ints
    group: list[str]
    level_code: Ints
    levels: list[str]
    covariate: Floats
    size: Floats
    runs: Runs
    task_effects: bool

    @property
    def cell(self) -> Ints:
        """Number of each row's cell of level x task."""
        return self.level_code * len(self.group) + self.group_code

    @property
    def counts(self) -> Ints:
        """Scores of every cell, shape [levels, tasks]."""
        shape = (len(self.levels), len(self.group))
        return np.bincount(self.cell, minlength=shape[0] * shape[1]).reshape(shape)

    def varies(self, level: int) -> bool:
        """Whether the covariate takes several values within a level."""
        return bool(np.unique(self.covariate[self.level_code == level]).size > 1)


@dataclass(frozen=True)
class Layout:
    """Columns of a model and what they mean.

    Attributes
    ----------
    model : str
        One of `analysis.statistics.models.MODELS`.
    X : ndarray, shape [rows, fixed]
    main : int
        Fixed effects that are not tasks'; those come after them.
    blocks : Blocks
        Columns of the random effects.
    lowest : ndarray, shape [components]
    fixed : list of str
        Names of the fixed effects: ``factor[level]``, ``factor[level]:covariate``, or the columns' own; ``task[name]``.
    random : list of str
        Names of the variance components.
    reference : str
        Level whose variance takes the place of the residual's (``factor-single``); else empty.
    run : str
        Name of the component of trained networks; empty where the model has none.
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
    main: int
    blocks: Blocks
    lowest: Floats
    fixed: list[str]
    random: list[str]
    reference: str
    run: str
    group: list[str]
    levels: list[str]
    group_code: Ints
    level_code: Ints
    intercepts: dict[str, int]
    slopes: dict[str, int]
    covariate: Floats
    reason: str = ""

    def problem(self) -> Problem:
        """Cross-products of the columns."""
        b = self.blocks
        return make_problem(self.X, b.Z, b.group, b.component, self.fixed, self.lowest)


def make_layout(roles: Roles, model: str, reason: str = "", reference: int = -1, *, runs: bool = False) -> Layout:
    """Lay out a model.

    Parameters
    ----------
    roles : Roles
    model : str
    reason : str
        Why it is not the model that was asked for.
    reference : int
        Level whose variance is the residual's, for ``factor-single``.
    runs : bool
        Whether every trained network has a random effect.

    Raises
    ------
    AnalysisError
        If levels, or slopes, cannot be told from tasks.
    """
    ordinal = model.startswith("ordinal")
    columns, names, intercepts, slopes = _size_columns(roles) if ordinal else _level_columns(roles)
    main = len(names)
    terms = _terms(roles, model, columns, names, reference)
    tasks, task_names = _task_columns(roles)
    if tasks:
        _need_distinct(roles, columns, names, tasks, intercepts)
    X = np.stack([*columns, *tasks], axis=1)
    lowest = [LOWEST if model == "factor-single" else 0.0] * len(terms)
    if runs:
        trained = (roles.runs.code >= 0).astype(np.float64)
        terms.append(Term(roles.runs.name, np.maximum(roles.runs.code, 0), trained))
        lowest.append(0.0)
    return Layout(
        model=model,
        X=X,
        main=main,
        blocks=make_blocks(terms, len(X)),
        lowest=np.array(lowest, dtype=np.float64),
        fixed=names + task_names,
        random=[term.name for term in terms],
        reference=roles.levels[reference] if reference >= 0 else "",
        run=roles.runs.name if runs else "",
        group=roles.group,
        levels=roles.levels,
        group_code=roles.group_code,
        level_code=roles.level_code,
        intercepts=intercepts,
        slopes=slopes,
        covariate=roles.covariate,
        reason=reason,
    )


def _level_columns(roles: Roles) -> tuple[list[Floats], list[str], dict[str, int], dict[str, int]]:
    columns: list[Floats] = []
    names: list[str] = []
    intercepts: dict[str, int] = {}
    slopes: dict[str, int] = {}
    for i, level in enumerate(roles.levels):
        intercepts[level] = len(names)
        columns.append((roles.level_code == i).astype(np.float64))
        names.append(f"{roles.key}[{level}]")
    for i, level in enumerate(roles.levels):
        if roles.covariate_name and roles.varies(i):
            slopes[level] = len(names)
            columns.append(np.where(roles.level_code == i, roles.covariate, 0.0))
            names.append(f"{roles.key}[{level}]:{roles.covariate_name}")
    return columns, names, intercepts, slopes


def _size_columns(roles: Roles) -> tuple[list[Floats], list[str], dict[str, int], dict[str, int]]:
    columns = [np.ones_like(roles.size), roles.size]
    names = ["(intercept)", roles.key]
    if roles.covariate_name:
        columns += [roles.covariate, roles.size * roles.covariate]
        names += [roles.covariate_name, f"{roles.key}:{roles.covariate_name}"]
    return columns, names, {}, {}


def _task_columns(roles: Roles) -> tuple[list[Floats], list[str]]:
    """Tasks' own effects, which sum to zero: a level's intercept is then its expected score at the average task."""
    if not roles.task_effects:
        return [], []
    last = (roles.group_code == len(roles.group) - 1).astype(np.float64)
    columns = [(roles.group_code == d).astype(np.float64) - last for d in range(len(roles.group) - 1)]
    return columns, [f"{roles.group_name}[{task}]" for task in roles.group[:-1]]


def _need_distinct(
    roles: Roles, columns: list[Floats], names: list[str], tasks: list[Floats], intercepts: dict[str, int]
) -> None:
    """Refuse levels that no chain of tasks joins, and slopes that run from task to task alone."""
    if intercepts:
        seen = seen_cells(roles.level_code, roles.group_code, len(roles.levels), len(roles.group))
        need_connected(seen, roles.levels, roles.group, roles.key, roles.group_name)
    first = len(intercepts) or 1
    X = np.stack([*columns[:first], *tasks, *columns[first:]], axis=1)
    diagonal = np.abs(np.diag(np.linalg.qr(X, mode="r")))
    weak = np.flatnonzero(diagonal < 1e-9 * np.linalg.norm(X, axis=0).clip(1e-300)) - len(tasks)
    if weak.size and len(X) > X.shape[1]:
        raise AnalysisError(
            f"{', '.join(names[i] for i in weak)} cannot be told from the {roles.group_name}s and the rest of the"
            f" model: it changes between {roles.group_name}s and hardly within one; leave it out, or add scores of"
            f" several values on one {roles.group_name}"
        )


def _terms(roles: Roles, model: str, columns: list[Floats], names: list[str], reference: int) -> list[Term]:
    """Terms of the random effects of levels and slopes."""
    kind, _, simple = model.partition("-")
    if simple == "fixed":
        return []
    if simple == "common":
        return [Term(f"{roles.key} x {roles.group_name}", roles.cell, np.ones(len(roles.cell)))]
    if simple == "single":
        rows = np.arange(len(roles.cell), dtype=np.int64)
        return [Term(names[i], rows, columns[i]) for i in range(len(roles.levels)) if i != reference]
    first = 0 if kind == "factor" else 1
    terms = []
    if kind == "factor" and len(roles.levels) == 2 and roles.task_effects:
        # Beside the tasks' own effects two levels show their difference alone: the sum of what they vary by.
        terms.append(Term(f"{roles.key} x {roles.group_name}", roles.cell, np.ones(len(roles.cell))))
        first = 2
    for column, name in zip(columns[first:], names[first:], strict=True):
        # A component seen in one task only is the same column as its fixed effect there: nothing to estimate.
        if len(np.unique(roles.group_code[column != 0.0])) > 1:
            terms.append(Term(name, roles.group_code, column))
    return terms
