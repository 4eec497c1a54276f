"""Satterthwaite's degrees of freedom: how well the variance of a contrast is itself estimated.

Of a fit from the observed information on its variances; of a design, before there are scores, from the expected one.
(Satterthwaite 1946, "An approximate distribution of estimates of variance components", Biometrics Bulletin 2.)
"""

from __future__ import annotations

import numpy as np

from analysis.statistics.crossproducts import Floats, Ints, Problem, no_responses, one_thread
from analysis.statistics.reml import Evaluation, Solution, evaluate


def observed_degrees(problem: Problem, solution: Solution, contrasts: Floats) -> tuple[Floats, Floats]:
    """Compute standard errors and degrees of freedom of linear combinations of fixed effects.

    Parameters
    ----------
    problem : Problem
    solution : Solution
        A fit, with a first axis of length 1.
    contrasts : ndarray, shape [contrasts, fixed]
        One combination a row.

    Returns
    -------
    se, df : ndarray, shape [contrasts]

    Notes
    -----
    ``df = 2 v^2 / (g' A g)`` with v the contrast's variance, g its gradient in the variance parameters (the ratios that
    are not at their lowest, and the residual variance) and A twice the inverse of the criterion's observed Hessian in
    them. Components at zero are left out: the parameter is then on its boundary and has no quadratic neighbourhood.
    """
    s2 = float(solution.residual_variance[0])
    free = np.flatnonzero(solution.ratios[0] > problem.lowest)
    hessian = _observed(problem, solution.evaluation, s2, free)
    return _degrees(problem, solution.evaluation, s2, free, hessian, contrasts)


def expected_degrees(
    problem: Problem, ratios: Floats, residual_variance: float, contrasts: Floats
) -> tuple[Floats, Floats]:
    """Standard errors and degrees of freedom that a design gives on average if its variances are as assumed.

    Parameters
    ----------
    problem : Problem
    ratios : ndarray, shape [components]
        Variances over the residual's.
    residual_variance : float
    contrasts : ndarray, shape [contrasts, fixed]

    Returns
    -------
    se, df : ndarray, shape [contrasts]
        With the expected Hessian in place of the observed one.
    """
    with one_thread():
        found = evaluate(problem, no_responses(problem), ratios[None])
    free = np.flatnonzero(ratios > problem.lowest)
    size = free.size
    hessian = np.empty((size + 1, size + 1))
    if size:
        hessian[:size, :size] = found.curvature(problem)[0][np.ix_(free, free)]
        hessian[:size, size] = hessian[size, :size] = found.traces(problem)[0][free] / residual_variance
    hessian[size, size] = (problem.rows - problem.fixed) / residual_variance**2
    return _degrees(problem, found, residual_variance, free, hessian, contrasts)


def _observed(problem: Problem, found: Evaluation, s2: float, free: Ints) -> Floats:
    """Observed Hessian of the criterion in the free ratios and the residual variance, shape [free + 1, free + 1]."""
    size = free.size
    hessian = np.empty((size + 1, size + 1))
    hessian[size, size] = (problem.rows - problem.fixed) / s2**2
    if size:
        score = found.e[0][..., None] * problem.membership[..., free]
        across = np.einsum("dka,dkc->ac", found.F[0], score)
        quadratic = np.einsum("dkc,dkm->cm", score, found.W[0] @ score) - across.T @ across
        hessian[:size, :size] = 2.0 * quadratic / s2 - found.curvature(problem)[0][np.ix_(free, free)]
        hessian[:size, size] = hessian[size, :size] = found.squares(problem)[0][free] / s2**2
    return hessian


def _degrees(
    problem: Problem, found: Evaluation, s2: float, free: Ints, hessian: Floats, contrasts: Floats
) -> tuple[Floats, Floats]:
    """Standard errors and degrees of freedom of contrasts, given the Hessian in the variance parameters."""
    size, degrees = free.size, problem.rows - problem.fixed
    rotated = contrasts @ np.linalg.inv(problem.r) @ found.linv[0].T
    unit = np.einsum("cp,cp->c", rotated, rotated)
    gradient = np.empty((len(contrasts), size + 1))
    projected = np.einsum("dka,ca->cdk", found.F[0], rotated) ** 2
    gradient[:, :size] = s2 * np.einsum("cdk,dkf->cf", projected, problem.membership[..., free])
    gradient[:, size] = unit
    scale = 1.0 / np.sqrt(np.abs(np.diag(hessian)).clip(1e-300))
    values, vectors = np.linalg.eigh(hessian * np.outer(scale, scale))
    # A direction without curvature carries no information about the variance; it must not invent any.
    inverse = np.where(values > 1e-10, 1.0 / np.where(values > 1e-10, values, 1.0), 0.0)
    turned = (gradient * scale) @ vectors
    spread_of_variance = 2.0 * (turned**2) @ inverse
    variance = s2 * unit
    with np.errstate(divide="ignore", invalid="ignore"):
        df = 2.0 * variance**2 / spread_of_variance
    return np.sqrt(variance), np.clip(np.where(np.isfinite(df), df, degrees), 1.0, float(problem.rows))
