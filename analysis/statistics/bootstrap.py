"""The parametric bootstrap: what estimates would have been on other tables made by the fitted model.

``y* = X b + Z u* + e*`` with new random effects and residuals from the fitted components; every replicate is refitted
by exact REML and nothing is standardised again (Kim et al. 2020 report such intervals in figures 11 and 12).
Intervals are percentiles. With few tasks they inherit the model's optimism: a component that was estimated too small
stays small in every replicate. The careful interval of `analysis.statistics.inference` is therefore the one that leads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.errors import AnalysisError
from analysis.statistics.crossproducts import Floats, Problem, cross_responses, one_thread
from analysis.statistics.models import SINGULAR_RATIO, FittedModel, component_sd
from analysis.statistics.reml import Solution, solve, warm_start

_CHUNK = 250
_CHUNK_NUMBERS = 4e7


@dataclass(frozen=True)
class Bootstrap:
    """Estimates of every replicate.

    Attributes
    ----------
    beta : ndarray, shape [replicates, fixed]
    sd : ndarray, shape [replicates, components]
    residual_sd : ndarray, shape [replicates]
    seed : int
    unconverged : int
        Replicates whose gradient was not small enough at the end; their estimates are kept.
    """

    beta: Floats
    sd: Floats
    residual_sd: Floats
    seed: int
    unconverged: int

    @property
    def replicates(self) -> int:
        """Number of replicates."""
        return int(self.beta.shape[0])

    @property
    def zero_share(self) -> Floats:
        """Share of replicates in which each component is zero, shape [components]."""
        return np.asarray((self.sd < SINGULAR_RATIO * self.residual_sd[:, None]).mean(axis=0), dtype=np.float64)

    @property
    def singular_share(self) -> float:
        """Share of replicates with at least one zero component."""
        return float((self.sd < SINGULAR_RATIO * self.residual_sd[:, None]).any(axis=1).mean())


def simulate_and_refit(
    problem: Problem, mean: Floats, solution: Solution, replicates: int, seed: int
) -> list[tuple[Floats, Floats, Floats, int]]:
    """Simulate responses from a fit and refit them, in chunks.

    Parameters
    ----------
    problem : Problem
    mean : ndarray, shape [rows]
        Expected scores.
    solution : Solution
        The fit, with a first axis of length 1.
    replicates, seed : int

    Returns
    -------
    list of (beta, sd, residual_sd, unconverged)
        One entry a chunk. The draws do not depend on how they are cut into chunks.
    """
    generator = np.random.default_rng(seed)
    columns, fixed = problem.Z.shape[1], problem.fixed
    wide = problem.groups * columns
    scale = component_sd(problem, solution)[0]
    own = np.where(problem.lowest < 0.0, 0.0, scale)
    drawn = own[problem.component] if problem.components else np.zeros((problem.groups, 0))
    residual_sd = _row_sd(problem, solution)
    size = problem.rows + wide * (6 * columns + 4 * fixed) + problem.components * fixed**2
    chunk = max(1, min(_CHUNK, int(_CHUNK_NUMBERS // size)))
    results = []
    with one_thread():
        for first in range(0, replicates, chunk):
            count = min(chunk, replicates - first)
            # One row of noise a replicate: the draws are then the same however they are cut.
            noise = generator.standard_normal((count, wide + problem.rows))
            u = noise[:, :wide].reshape(count, problem.groups, columns) * drawn
            y = noise[:, wide:] * residual_sd + mean
            for k in range(columns):
                y += u[:, problem.group, k] * problem.Z[:, k]
            found = solve(problem, cross_responses(problem, y), warm_start(problem, solution.ratios[0], count))
            bad = int((~found.converged).sum())
            results.append((found.beta, component_sd(problem, found), np.sqrt(found.residual_variance), bad))
    return results


def _row_sd(problem: Problem, solution: Solution) -> Floats:
    """Standard deviation of what no other row shares, shape [rows]: with the components of single rows, if any."""
    ratios = np.where(problem.lowest < 0.0, solution.ratios[0], 0.0)
    more = np.zeros(problem.rows)
    if problem.components:
        more = np.einsum("nk,nk->n", problem.Z**2, ratios[problem.component][problem.group])
    return np.asarray(np.sqrt(solution.residual_variance[0] * (1.0 + more)), dtype=np.float64)


def parametric_bootstrap(model: FittedModel, replicates: int = 1000, seed: int = 0) -> Bootstrap:
    """Simulate a fitted model and refit every replicate by exact REML.

    Parameters
    ----------
    model : FittedModel
    replicates : int
        At least 2; percentile limits of 95 % want some 1000.
    seed : int
        Equal seeds give equal replicates.

    Raises
    ------
    AnalysisError
        If there are fewer than two replicates.
    """
    if replicates < 2:
        raise AnalysisError(f"--bootstrap {replicates}: give 0 for none, or at least 2 replicates (1000 is usual)")
    mean = model.layout.X @ model.beta
    parts = simulate_and_refit(model.problem, mean, model.solution, replicates, seed)
    beta, sd, residual_sd = (np.concatenate([part[i] for part in parts]) for i in range(3))
    return Bootstrap(beta, sd, residual_sd, seed, sum(part[3] for part in parts))


def percentile_interval(draws: Floats, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval with linear interpolation between draws.

    Parameters
    ----------
    draws : ndarray, shape [replicates]
    level : float
        Coverage, between 0 and 1.
    """
    tail = 0.5 * (1.0 - level)
    lower, upper = np.quantile(draws, [tail, 1.0 - tail])
    return float(lower), float(upper)


def percentile_p(draws: Floats) -> float:
    """Two-sided p of "the value is zero": twice the smaller share of draws on either side, never exactly 0.

    Parameters
    ----------
    draws : ndarray, shape [replicates]
    """
    below, above = int((draws <= 0.0).sum()), int((draws >= 0.0).sum())
    return min(1.0, 2.0 * (1 + min(below, above)) / (draws.size + 1))
