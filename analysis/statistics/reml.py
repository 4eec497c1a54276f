"""Exact restricted maximum likelihood (REML) for models with independent random slopes, from cross-products.

The model of group d (a task, or a level of a factor on one task, say) is ``y_d = X_d b + Z_d u_d + e_d`` with
``u_dk ~ N(0, s_c(d,k)^2)`` and ``e ~ N(0, s_e^2)``, all independent; column k of Z belongs in group d to component
c(d,k), so that several columns may share one variance. The unknowns are the variance ratios ``t_c = s_c^2 / s_e^2 >=
0``: everything else has a closed form given them (profiled likelihood; Bates, Maechler, Bolker, Walker 2015, "Fitting
linear mixed-effects models using lme4", J. Stat. Softw. 67(1), section 3). Where every column of a component has one
row, the ratio may be negative down to -1: it then says how much more, or less, some rows vary than others.

Two choices make the fit exact at the boundary, where general optimisers stop short:

* the unknown is the ratio t itself and not its square root. The derivative in sqrt(t) is zero at zero whatever the data
  say; the derivative in t tells whether the component wants to leave zero, so zeros are reached exactly and recognised
  by the sign of the gradient (Karush-Kuhn-Tucker conditions);
* steps are projected Fisher scoring, which needs some ten iterations from anywhere, and stop on the gradient, never on
  the criterion alone.

The rows of the table are touched once, to form cross-products; every refit of a bootstrap costs the same few small
matrices whatever the number of rows, and all replicates advance together as stacked arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from analysis.errors import AnalysisError
from analysis.statistics.crossproducts import (
    Bools,
    Floats,
    Ints,
    Problem,
    Responses,
    cross_responses,
    no_responses,
    one_thread,
)

GRADIENT_TOLERANCE = 1e-6
"""Largest gradient, divided by the square root of its expected curvature, that counts as an optimum [dimensionless]."""

ZERO_RATIO = 1e-8
"""Variance ratio below which a component counts as zero: standard deviation under 1e-4 of the residual's."""

_STARTS = (0.3, 5.0, 80.0)
_LIFT = 0.05
_MAX_ITERATIONS = 60
# Variance ratios in units of `Problem.scale` that count as without bound: beyond, X'V^-1 X cancels to rounding error.
_HIGHEST = 1e8


@dataclass
class Evaluation:
    """The criterion at given ratios, and what its derivatives are made of; first axis: responses.

    ``W = Z'V^-1 Z`` within groups, ``F = Z'V^-1 X L^-T`` with ``X'V^-1 X = L L'``, ``e = Z'V^-1 (y - X b)``; V is in
    units of the residual variance.
    """

    criterion: Floats
    r2: Floats
    beta: Floats
    linv: Floats
    W: Floats
    F: Floats
    e: Floats

    def derivatives(self, problem: Problem) -> tuple[Floats, Floats]:
        """Gradient and expected Hessian of the criterion in the variance ratios.

        Returns
        -------
        gradient : ndarray, shape [responses, components]
        hessian : ndarray, shape [responses, components, components]

        Notes
        -----
        With ``P = V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1`` the expected Hessian is ``tr(P V_k P V_l)`` (see `curvature`)
        less the part that profiling the residual variance removes.
        """
        degrees = problem.rows - problem.fixed
        trace = self.traces(problem)
        gradient = trace - degrees * self.squares(problem) / self.r2[:, None]
        return gradient, self.curvature(problem) - trace[:, :, None] * trace[:, None, :] / degrees

    def traces(self, problem: Problem) -> Floats:
        """``tr(P V_k)`` of every component, shape [responses, components]."""
        diagonal = np.einsum("rdkk->rdk", self.W) - np.einsum("rdka,rdka->rdk", self.F, self.F)
        return _by_component(problem, diagonal)

    def squares(self, problem: Problem) -> Floats:
        """``y'P V_k P y`` of every component, shape [responses, components]."""
        return _by_component(problem, self.e**2)

    def curvature(self, problem: Problem) -> Floats:
        """``tr(P V_k P V_l)`` of all pairs of components, shape [responses, components, components].

        Columns of different groups only meet through F, so that their sum factorises over ``G_k``, the sum of F F' over
        the columns of component k, and the cost is linear in the number of groups.
        """
        ff = self.F @ self.F.transpose(0, 1, 3, 2)
        within = self.W * (self.W - 2.0 * ff)
        member = problem.membership
        if problem.Z.shape[1] == 1:
            same = (within[:, :, 0, 0] @ member[:, 0])[:, :, None] * np.eye(problem.components)
        else:
            same = (member.transpose(0, 2, 1) @ within @ member).sum(axis=1)
        flat = self.F.reshape(self.F.shape[0], -1, problem.fixed)
        parts = [flat[:, places] for places in problem.places]
        g = np.stack([(part.transpose(0, 2, 1) @ part).reshape(len(part), -1) for part in parts], axis=1)
        return np.asarray(same + g @ g.transpose(0, 2, 1), dtype=np.float64)


def _by_component(problem: Problem, values: Floats) -> Floats:
    """Sums over each component's columns: [responses, groups, columns] to [responses, components]."""
    flat = problem.membership.reshape(-1, problem.components)
    return np.asarray(values.reshape(values.shape[0], -1) @ flat, dtype=np.float64)


def _inverse(system: Floats) -> tuple[Floats, Floats]:
    """Inverses and log-determinants of stacked matrices; those of one number without a call for each."""
    if system.shape[-1] == 1:
        return 1.0 / system, np.log(system[..., 0, 0])
    return np.asarray(np.linalg.inv(system), dtype=np.float64), np.asarray(np.linalg.slogdet(system)[1])


def evaluate(problem: Problem, responses: Responses, ratios: Floats) -> Evaluation:
    """Evaluate the profiled REML criterion, minus twice the restricted log-likelihood.

    Parameters
    ----------
    problem : Problem
    responses : Responses
    ratios : ndarray, shape [responses, components]
        Variance ratios, none negative.

    Notes
    -----
    ``sum_d log|V_d| + log|X'V^-1 X| + (N - p) (1 + log(2 pi r2 / (N - p)))`` with V in units of the residual variance;
    the value depends on the coding of X and is only comparable between fits with the same columns.
    """
    size, columns = problem.rows, problem.Z.shape[1]
    degrees = size - problem.fixed
    tau = _column_ratios(problem, ratios)
    # (I + S T)^-1 applied from the left gives Z'V^-1 [Z, X, y] without a subtraction of nearly equal numbers.
    system = problem.ztz[None] * tau[:, :, None, :]
    system[..., np.arange(columns), np.arange(columns)] += 1.0
    inverse, logdet = _inverse(system)
    logdet = logdet.sum(axis=1)
    W = inverse @ problem.ztz
    C = inverse @ problem.ztq
    z = (inverse @ responses.zty[..., None])[..., 0]
    batch = ratios.shape[0]
    weighted = (problem.ztq[None] * tau[..., None]).reshape(batch, -1, problem.fixed)
    flat = C.reshape(batch, -1, problem.fixed)
    xvx = np.eye(problem.fixed) - weighted.transpose(0, 2, 1) @ flat
    xvy = -(weighted.transpose(0, 2, 1) @ z.reshape(batch, -1, 1))[..., 0]
    yvy = responses.yty - np.einsum("rdk,rdk,rdk->r", responses.zty, z, tau)
    lower = np.linalg.cholesky(0.5 * (xvx + xvx.transpose(0, 2, 1)))
    linv = np.linalg.inv(lower)
    u = (linv @ xvy[..., None])[..., 0]
    r2 = np.maximum(yvy - np.einsum("rp,rp->r", u, u), 1e-300)
    beta = (linv.transpose(0, 2, 1) @ u[..., None])[..., 0]
    e = z - (flat @ beta[..., None])[..., 0].reshape(z.shape)
    F = (flat @ linv.transpose(0, 2, 1)).reshape(C.shape)
    logdet = logdet + 2.0 * np.log(np.einsum("rpp->rp", lower)).sum(axis=1)
    logdet = logdet + 2.0 * np.log(np.abs(np.diag(problem.r))).sum()
    criterion = logdet + degrees * (1.0 + np.log(2.0 * np.pi * r2 / degrees))
    return Evaluation(criterion, r2, beta, linv, W, F, e)


def _column_ratios(problem: Problem, ratios: Floats) -> Floats:
    """Ratio of every column of every group, shape [responses, groups, columns]."""
    if not problem.components:
        return np.zeros((ratios.shape[0], problem.groups, 0))
    return ratios[:, problem.component]


@dataclass(frozen=True)
class Solution:
    """REML estimates of one or many responses; first axis: responses.

    Attributes
    ----------
    ratios : ndarray, shape [responses, components]
        Component variance over residual variance; exactly 0 where the optimum lies on the boundary.
    residual_variance, criterion : ndarray, shape [responses]
    beta : ndarray, shape [responses, fixed]
        Fixed effects of `Problem.X`.
    gradient : ndarray, shape [responses]
        Largest scaled gradient that is left over; an optimum has less than `GRADIENT_TOLERANCE`.
    iterations : ndarray of int, shape [responses]
    evaluation : Evaluation
        The criterion's ingredients at the optimum.
    """

    ratios: Floats
    residual_variance: Floats
    criterion: Floats
    beta: Floats
    gradient: Floats
    iterations: Ints
    evaluation: Evaluation

    @property
    def sd(self) -> Floats:
        """Standard deviation of each component, shape [responses, components]; zero for one below zero."""
        return np.sqrt(np.maximum(self.ratios, 0.0) * self.residual_variance[:, None])

    @property
    def converged(self) -> Bools:
        """Whether each response reached its optimum, shape [responses]."""
        return self.gradient < 100 * GRADIENT_TOLERANCE


def _direction(
    ratios: Floats, gradient: Floats, hessian: Floats, allowed: Bools, lowest: Floats, highest: Floats
) -> tuple[Floats, Floats]:
    """Projected Fisher-scoring step, and the scaled gradient that is left, shapes as `ratios` and [responses]."""
    curvature = np.einsum("rkk->rk", hessian).clip(1e-300)
    free = allowed & ((ratios > lowest) | (gradient < 0.0)) & ((ratios < highest) | (gradient > 0.0))
    left = np.where(free, np.abs(gradient) / np.sqrt(curvature), 0.0).max(axis=1, initial=0.0)
    # Fixed coordinates keep a unit row, and a hair on the diagonal keeps confounded components solvable.
    scale = 1.0 / np.sqrt(curvature)
    matrix = hessian * scale[:, :, None] * scale[:, None, :] * (free[:, :, None] & free[:, None, :])
    index = np.arange(ratios.shape[1])
    matrix[:, index, index] = np.where(free, 1.0 + 1e-9, 1.0)
    right = np.where(free, -gradient * scale, 0.0)
    try:
        step = np.linalg.solve(matrix, right[..., None])[..., 0]
    except np.linalg.LinAlgError:
        step = right
    downhill = np.einsum("rk,rk->r", step, right) > 0.0
    return np.where(downhill[:, None], step, right) * scale, left


def _polish(problem: Problem, responses: Responses, start: Floats, allowed: Bools) -> Floats:
    """Refit one stubborn response with a bounded quasi-Newton method; `start` and result have shape [components]."""
    unit = 1.0 / problem.scale()

    def objective(x: Floats) -> tuple[float, Floats]:
        found = evaluate(problem, responses, (x * unit)[None])
        gradient, _ = found.derivatives(problem)
        return float(found.criterion[0]), gradient[0] * unit

    floor = problem.lowest / unit
    bounds = [(low, _HIGHEST) if ok else (0.0, 0.0) for low, ok in zip(floor, allowed, strict=True)]
    options: Any = {"maxiter": 500, "ftol": 1e-15, "gtol": 1e-9, "maxls": 60}
    result = minimize(objective, start / unit, jac=True, bounds=bounds, method="L-BFGS-B", options=options)
    return np.asarray(result.x, dtype=np.float64) * unit


def solve(
    problem: Problem,
    responses: Responses,
    start: Floats,
    allowed: Bools | None = None,
    *,
    rescue: bool = True,
) -> Solution:
    """Minimise the REML criterion of every response, all of them advancing together.

    Parameters
    ----------
    problem : Problem
    responses : Responses
    start : ndarray, shape [responses, components]
        Ratios to start from, none below its lowest.
    allowed : ndarray of bool, shape [responses, components], optional
        Components that may leave zero; by default all.
    rescue : bool
        Refit responses still away from their optimum one at a time with a quasi-Newton method.
    """
    count, components = start.shape
    allowed = np.ones((count, components), dtype=np.bool_) if allowed is None else allowed
    lowest, highest = problem.lowest, _HIGHEST / problem.scale()
    ratios = np.where(allowed, np.minimum(start, highest), 0.0)
    if components == 0:
        found = evaluate(problem, responses, ratios)
        return _solution(problem, responses, ratios, found, np.zeros(count), np.zeros(count, np.int64))
    found = evaluate(problem, responses, ratios)
    gradient, hessian = found.derivatives(problem)
    criterion = found.criterion.copy()
    step, left = _direction(ratios, gradient, hessian, allowed, lowest, highest)
    length = np.ones(count)
    iterations = np.zeros(count, np.int64)
    active = np.flatnonzero(left >= GRADIENT_TOLERANCE)
    for _ in range(_MAX_ITERATIONS):
        if active.size == 0:
            break
        trial = np.clip(ratios[active] + length[active, None] * step[active], lowest, highest)
        found = evaluate(problem, responses.take(active), trial)
        # Near the optimum the gain drops below rounding long before the gradient does: allow for that much.
        slack = 1e-11 * np.maximum(1.0, np.abs(criterion[active]))
        good = found.criterion <= criterion[active] + slack
        moved = active[good]
        iterations[active] += 1
        length[active[~good]] *= 0.4
        if moved.size:
            kept = _select(found, good)
            gradient, hessian = kept.derivatives(problem)
            ratios[moved], criterion[moved], length[moved] = trial[good], kept.criterion, 1.0
            step[moved], left[moved] = _direction(trial[good], gradient, hessian, allowed[moved], lowest, highest)
        active = active[(left[active] >= GRADIENT_TOLERANCE) & (length[active] > 1e-5)]
    stubborn = np.flatnonzero(left >= GRADIENT_TOLERANCE)
    for i in stubborn if rescue else ():
        again = _polish(problem, responses.take([i]), ratios[i], allowed[i])[None]
        found = evaluate(problem, responses.take([i]), again)
        gradient, hessian = found.derivatives(problem)
        gap = float(_direction(again, gradient, hessian, allowed[[i]], lowest, highest)[1][0])
        if found.criterion[0] < criterion[i] or (found.criterion[0] < criterion[i] + 1e-9 and gap < left[i]):
            ratios[i], left[i] = again[0], gap
    found = evaluate(problem, responses, ratios)
    return _solution(problem, responses, ratios, found, left, iterations)


def _select(found: Evaluation, mask: Bools) -> Evaluation:
    if mask.all():
        return found
    return Evaluation(*(getattr(found, name)[mask] for name in Evaluation.__dataclass_fields__))


def _solution(
    problem: Problem, responses: Responses, ratios: Floats, found: Evaluation, left: Floats, iterations: Ints
) -> Solution:
    degrees = problem.rows - problem.fixed
    beta = np.asarray(np.linalg.solve(problem.r, (found.beta + responses.ols).T).T, dtype=np.float64)
    return Solution(ratios, found.r2 / degrees, found.criterion, beta, left, iterations, found)


def fit_reml(problem: Problem, y: Floats, allowed: Bools | None = None) -> Solution:
    """Fit one response from several starts and keep the lowest criterion.

    Parameters
    ----------
    problem : Problem
    y : ndarray, shape [rows]
        Scores.
    allowed : ndarray of bool, shape [components], optional
        Components that may leave zero; by default all.

    Raises
    ------
    AnalysisError
        If the fixed effects reproduce the scores exactly, so that no variance is left to divide.

    Notes
    -----
    The criterion is not convex in general. Three starts, with ratios that would give shares of about 1, 5 and 80 times
    the residual's information, are advanced together; on tables met so far all of them end in the same place.
    """
    with one_thread():
        once = cross_responses(problem, y[None])
        if once.yty[0] <= 1e-20 * max(float(y @ y), 1e-300):
            raise AnalysisError(
                "the fixed effects reproduce every score exactly, so no variance is left: the table needs repeats,"
                " more tasks, or scores that are not copies of one another"
            )
        starts = np.array(_STARTS if problem.components else _STARTS[:1])[:, None] / problem.scale()[None]
        starts = np.where(problem.lowest < 0.0, 0.0, starts)
        repeated = once.take(np.zeros(len(starts), dtype=np.int64))
        mask = None if allowed is None else np.broadcast_to(allowed, starts.shape)
        found = solve(problem, repeated, starts, mask)
        best = int(np.argmin(np.where(found.converged, found.criterion, found.criterion + 1e-7)))
        chosen = found.ratios[[best]]
        chosen[(chosen < ZERO_RATIO * 1e-4) & (problem.lowest == 0.0)] = 0.0
        final = evaluate(problem, once, chosen)
        return _solution(problem, once, chosen, final, found.gradient[[best]], found.iterations[[best]])


def unbounded(problem: Problem, ratios: Floats) -> Bools:
    """Whether some variance ratio [responses, components] has no bound, for next to nothing is left to the residual."""
    return np.asarray((ratios * problem.scale() > 0.99 * _HIGHEST).any(axis=1))


def identifiable(problem: Problem) -> bool:
    """Tell whether the table's layout can separate the variance components from one another and the residual.

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    bool
        Whether the expected curvature of the criterion, where every component is about as large as the residual, has
        full rank. It depends on which cells have scores, and not on the scores; on a table without full rank the
        criterion is flat along some line and its minimum is arbitrary.
    """
    if problem.components == 0:
        return True
    with one_thread():
        _, hessian = evaluate(problem, no_responses(problem), 1.0 / problem.scale()[None]).derivatives(problem)
    diagonal = np.diag(hessian[0])
    if (diagonal <= 1e-10).any():
        return False
    scale = 1.0 / np.sqrt(diagonal)
    return bool(np.linalg.eigvalsh(hessian[0] * np.outer(scale, scale))[0] > 1e-8)


def warm_start(problem: Problem, ratios: Floats, count: int) -> Floats:
    """Copy a known fit's ratios as starts for refits, with zeros lifted a little so that they can move.

    Parameters
    ----------
    problem : Problem
    ratios : ndarray, shape [components]
    count : int
        Number of copies.

    Returns
    -------
    ndarray, shape [count, components]
    """
    lifted = np.where(problem.lowest < 0.0, ratios, np.maximum(ratios, _LIFT / problem.scale()))
    return np.tile(lifted, (count, 1))
