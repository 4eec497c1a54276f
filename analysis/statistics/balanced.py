"""The models of a complete table without covariate, from its sums of squares: thousands of studies fitted at once.

Where every cell of level x task has the same number n of scores, each of another network, the sums of squares of `Sums`
hold all that the table tells of its variances, and the restricted likelihood of the general model
(`analysis.statistics.reml`) falls apart into theirs. With v the variances of cells' means, V their diagonal matrix,
``Q = V^-1 - V^-1 1 1' V^-1 / 1'V^-1 1`` (tasks have effects of their own) and C the cross-products of D - 1 contrasts
between tasks, minus twice its logarithm is

``(D - 1) (log|V| + log 1'V^-1 1) + tr(Q C) + f_w log(omega) + S_w / omega + f_e log(s^2) + S_e / s^2``

where ``v = between + s^2 / n`` and ``omega = s^2 + D w`` for networks' variance w. The estimates, their standard errors
and degrees of freedom are those that the general fit finds, at a cost that does not grow with tasks or scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from analysis.statistics.crossproducts import Bools, Floats, Ints, one_thread

TOLERANCE = 1e-6
"""Largest gradient, divided by the square root of its expected curvature, that counts as an optimum."""
_MOST_STEPS = 60
_LOWEST = 1e-6
"""Variance of a level with one score a cell, as a share of the most that some level has, that counts as its floor."""


@dataclass(frozen=True)
class CompleteTable:
    """The shape of a complete table, and the model that it is given.

    Attributes
    ----------
    levels, tasks, seeds : int
        At least 2, 2 and 1.
    own : bool
        Whether every level has a variance of its own over tasks, or all have one.
    trained : ndarray of bool, shape [levels]
        Levels whose networks have a random effect in all their scores; none of one seed.
    """

    levels: int
    tasks: int
    seeds: int
    own: bool
    trained: Bools

    @property
    def run_freedom(self) -> int:
        """Degrees of freedom between networks of one level."""
        return int(self.trained.sum()) * (self.seeds - 1)

    @property
    def rest_freedom(self) -> int:
        """Degrees of freedom of scores within cells, beside those between networks."""
        return self.levels * self.tasks * (self.seeds - 1) - self.run_freedom

    @property
    def pairs(self) -> Ints:
        """Levels of every pair, shape [pairs, 2]."""
        return np.array(list(combinations(range(self.levels), 2)), dtype=np.int64)


@dataclass(frozen=True)
class Sums:
    """What complete tables tell of their variances; first axis: tables.

    Attributes
    ----------
    cross : ndarray, shape [tables, levels, levels]
        Cross-products of levels' cell means, each less its mean over tasks.
    run : ndarray, shape [tables]
        Sum of squares between networks of one level: D times that of their mean scores.
    rest : ndarray, shape [tables]
        Sum of squares of scores within cells, less `run`.
    """

    cross: Floats
    run: Floats
    rest: Floats


@dataclass(frozen=True)
class Variances:
    """Variances of complete tables; first axis: tables.

    Attributes
    ----------
    between : ndarray, shape [tables, levels or 1]
        Of a level's effect over tasks; with one seed of its scores.
    run, rest : ndarray, shape [tables]
        Of a network's luck, and of a score beside all that; 0 where the model has none.
    """

    between: Floats
    run: Floats
    rest: Floats


def sums_of(table: CompleteTable, scores: Floats) -> tuple[Floats, Sums]:
    """Reduce tables to their levels' means and sums of squares.

    Parameters
    ----------
    table : CompleteTable
    scores : ndarray, shape [tables, levels, tasks, seeds]

    Returns
    -------
    means : ndarray, shape [tables, levels]
    sums : Sums
    """
    cells = scores.mean(axis=3)
    means = cells.mean(axis=2)
    apart = cells - means[:, :, None]
    within = ((scores - cells[..., None]) ** 2).sum(axis=(1, 2, 3))
    networks = scores[:, table.trained].mean(axis=2) - means[:, table.trained, None]
    run = table.tasks * (networks**2).sum(axis=(1, 2)) if table.run_freedom else np.zeros(len(scores))
    return means, Sums(apart @ apart.transpose(0, 2, 1), run, within - run)


class _Likelihood:
    """Criterion, gradient and curvature of variances (between, run, rest), as one array [tables, parameters]."""

    def __init__(self, table: CompleteTable, sums: Sums) -> None:
        self.table, self.sums = table, sums
        levels = table.levels
        self.own = np.eye(levels) if table.own else np.ones((levels, 1))
        parts = [self.own]
        self.run = self.rest = -1
        if table.run_freedom:
            self.run = sum(part.shape[1] for part in parts)
            parts.append(np.zeros((levels, 1)))
        if table.seeds > 1:
            self.rest = sum(part.shape[1] for part in parts)
            parts.append(np.full((levels, 1), 1.0 / table.seeds))
        self.of_cells: Floats = np.concatenate(parts, axis=1)
        self.size = self.of_cells.shape[1]
        self.of_run = np.zeros(self.size)
        self.of_rest = np.zeros(self.size)
        if self.run >= 0:
            self.of_run[self.run] = table.tasks
        if self.rest >= 0:
            self.of_run[self.rest] = self.of_rest[self.rest] = 1.0

    def take(self, index: Ints) -> _Likelihood:
        s = self.sums
        return _Likelihood(self.table, Sums(s.cross[index], s.run[index], s.rest[index]))

    def _chi_squares(self, x: Floats) -> list[tuple[Floats, Floats, Floats, int]]:
        """Of the sums of squares that the model has: coefficients, expectation of a square, sum, freedom."""
        found = []
        if self.run >= 0:
            found.append((self.of_run, x @ self.of_run, self.sums.run, self.table.run_freedom))
        if self.rest >= 0:
            found.append((self.of_rest, x @ self.of_rest, self.sums.rest, self.table.rest_freedom))
        return found

    def evaluate(self, x: Floats, *, observed: bool = False) -> tuple[Floats, Floats, Floats]:
        """Minus twice the log-likelihood [tables], its gradient, and its expected or observed curvature."""
        freedom = self.table.tasks - 1
        inverse = 1.0 / (x @ self.of_cells.T)
        total = inverse.sum(axis=1)
        Q = -inverse[:, :, None] * inverse[:, None, :] / total[:, None, None]
        diagonal = np.arange(self.table.levels)
        Q[:, diagonal, diagonal] += inverse
        QC = Q @ self.sums.cross
        QCQ = QC @ Q
        value = freedom * (np.log(total) - np.log(inverse).sum(axis=1)) + np.einsum("rii->r", QC)
        slope = freedom * np.einsum("rii->ri", Q) - np.einsum("rii->ri", QCQ)
        bend = Q * (2.0 * QCQ - freedom * Q) if observed else freedom * Q**2
        gradient = slope @ self.of_cells
        curvature = self.of_cells.T @ bend @ self.of_cells
        for weights, level, square, degrees in self._chi_squares(x):
            value = value + degrees * np.log(level) + square / level
            gradient = gradient + ((degrees - square / level) / level)[:, None] * weights
            second = (2.0 * square / level - degrees if observed else degrees) / level**2
            curvature = curvature + second[:, None, None] * np.outer(weights, weights)
        return value, gradient, curvature

    def join(self, variances: Variances) -> Floats:
        """Variances as one array, without those that the model has not."""
        parts = [variances.between]
        parts += [variances.run[:, None]] if self.run >= 0 else []
        parts += [variances.rest[:, None]] if self.rest >= 0 else []
        return np.concatenate(parts, axis=1)

    def split(self, x: Floats) -> Variances:
        """The reverse of `join`."""
        none = np.zeros(len(x))
        return Variances(
            x[:, : self.own.shape[1]],
            x[:, self.run] if self.run >= 0 else none,
            x[:, self.rest] if self.rest >= 0 else none,
        )


def fit_complete(table: CompleteTable, sums: Sums, start: Variances) -> tuple[Variances, Floats, Floats]:
    """Fit every table by REML, and say how well differences between its levels are known.

    Parameters
    ----------
    table : CompleteTable
    sums : Sums
    start : Variances
        Where the search starts; first axis of length 1 or tables.

    Returns
    -------
    variances : Variances
    se, df : ndarray, shape [tables, pairs]
        Standard errors and Satterthwaite's degrees of freedom, as `analysis.statistics.degrees.observed_degrees`.
    """
    with one_thread():
        likelihood = _Likelihood(table, sums)
        x = np.array(np.broadcast_to(likelihood.join(start), (len(sums.run), likelihood.size)))
        floor = np.zeros_like(x)
        if likelihood.rest >= 0:
            floor[:, likelihood.rest] = 1e-12 * x[:, likelihood.rest]
        else:
            spread = np.einsum("rii->ri", sums.cross).max(axis=1) / (table.tasks - 1)
            floor[:] = (_LOWEST * spread)[:, None]
        x = _solve(likelihood, np.maximum(x, floor), floor)
        return likelihood.split(x), *_differences(likelihood, x, x > floor)


def expected_complete(table: CompleteTable, variances: Variances) -> tuple[Floats, Floats]:
    """Standard errors and degrees of freedom that tables give on average if their variances are these.

    Returns
    -------
    se, df : ndarray, shape [tables, pairs]
        With the expected curvature, as `analysis.statistics.degrees.expected_degrees`.
    """
    count, levels = len(variances.rest), table.levels
    with one_thread():
        nothing = np.zeros(count)
        likelihood = _Likelihood(table, Sums(np.zeros((count, levels, levels)), nothing, nothing))
        x = likelihood.join(variances)
        return _differences(likelihood, x, x > 0.0, observed=False)


def _solve(likelihood: _Likelihood, x: Floats, floor: Floats) -> Floats:
    """Projected Fisher scoring, all tables advancing together."""
    active = np.arange(len(x))
    value, gradient, curvature = likelihood.evaluate(x)
    step, left = _direction(x, gradient, curvature, floor)
    length = np.ones(len(x))
    for _ in range(_MOST_STEPS):
        active = active[(left[active] >= TOLERANCE) & (length[active] > 1e-6)]
        if not active.size:
            break
        trial = np.maximum(x[active] + length[active, None] * step[active], floor[active])
        found, gradient, curvature = likelihood.take(active).evaluate(trial)
        good = found <= value[active] + 1e-11 * np.maximum(1.0, np.abs(value[active]))
        moved = active[good]
        length[active[~good]] *= 0.4
        x[moved], value[moved], length[moved] = trial[good], found[good], 1.0
        step[moved], left[moved] = _direction(trial[good], gradient[good], curvature[good], floor[moved])
    return x


def _direction(x: Floats, gradient: Floats, curvature: Floats, floor: Floats) -> tuple[Floats, Floats]:
    """Step of each table, and the scaled gradient that is left."""
    scale = 1.0 / np.sqrt(np.einsum("rkk->rk", curvature).clip(1e-300))
    free = (x > floor) | (gradient < 0.0)
    left = np.where(free, np.abs(gradient) * scale, 0.0).max(axis=1)
    matrix = curvature * scale[:, :, None] * scale[:, None, :] * (free[:, :, None] & free[:, None, :])
    index = np.arange(x.shape[1])
    matrix[:, index, index] = 1.0 + 1e-9
    right = np.where(free, -gradient * scale, 0.0)
    return np.linalg.solve(matrix, right[..., None])[..., 0] * scale, left


def _differences(likelihood: _Likelihood, x: Floats, free: Bools, *, observed: bool = True) -> tuple[Floats, Floats]:
    """Standard errors and degrees of freedom of all differences, shape [tables, pairs]."""
    table = likelihood.table
    a, b = table.pairs.T
    slope = (likelihood.of_cells[a] + likelihood.of_cells[b]) / table.tasks
    if likelihood.run >= 0:
        slope[:, likelihood.run] = (table.trained[a].astype(float) + table.trained[b]) / table.seeds
    variance = x @ slope.T
    _, _, curvature = likelihood.evaluate(x, observed=observed)
    scale = 1.0 / np.sqrt(np.abs(np.einsum("rkk->rk", curvature)).clip(1e-300))
    matrix = curvature * scale[:, :, None] * scale[:, None, :] * (free[:, :, None] & free[:, None, :])
    index = np.arange(x.shape[1])
    matrix[:, index, index] = np.where(free, np.sign(np.einsum("rkk->rk", curvature)), 1.0)
    values, vectors = np.linalg.eigh(matrix)
    inverse = np.where(values > 1e-10, 1.0 / np.where(values > 1e-10, values, 1.0), 0.0)
    turned = slope @ (vectors * (scale * free)[:, :, None])
    spread = 2.0 * np.einsum("rpk,rk->rp", turned**2, inverse)
    rows = float(table.levels * table.tasks * table.seeds)
    with np.errstate(divide="ignore", invalid="ignore"):
        df = 2.0 * variance**2 / spread
    return np.sqrt(variance), np.clip(np.where(np.isfinite(df), df, rows), 1.0, rows)
