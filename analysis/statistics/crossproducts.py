"""What a REML fit needs of a table: its cross-products, formed once, so that refits never touch its rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

MAX_COLUMNS = 4000
"""Most random-effect columns a group may have: the solver is dense, and its time grows with their cube."""


@dataclass(frozen=True)
class Problem:
    """One table's fixed part of every fit: cross-products, and the rows they were made of.

    Attributes
    ----------
    X : ndarray, shape [rows, fixed]
        Fixed-effect columns, of full rank.
    Z : ndarray, shape [rows, columns]
        Random-effect columns of each row's group.
    group : ndarray of int, shape [rows]
        Group of each row, ``0 .. groups - 1``: rows of different groups share no random effect.
    component : ndarray of int, shape [groups, columns]
        Variance component of each column of each group, ``0 .. components - 1``. A group with fewer columns than others
        is filled up with columns of zeros, of whatever component.
    lowest : ndarray, shape [components]
        Smallest ratio of each component: 0, or above -1 where its columns are single rows, whose variance it lowers.
    ztz, ztq : ndarray, shapes [groups, columns, columns] and [groups, columns, fixed]
        Cross-products within groups, with the orthonormal columns `q` in place of `X`.
    q, r : ndarray, shapes [rows, fixed] and [fixed, fixed]
        ``X = q r``: an orthonormal basis keeps the cancellations of the profiled criterion harmless.
    """

    X: Floats
    Z: Floats
    group: Ints
    component: Ints
    groups: int
    components: int
    lowest: Floats
    ztz: Floats
    ztq: Floats
    q: Floats
    r: Floats

    @property
    def rows(self) -> int:
        """Number of scores."""
        return int(self.X.shape[0])

    @property
    def fixed(self) -> int:
        """Number of fixed effects."""
        return int(self.X.shape[1])

    @cached_property
    def membership(self) -> Floats:
        """Indicator of each column's component, shape [groups, columns, components]; a column of zeros has none."""
        filled = np.einsum("dkk->dk", self.ztz) > 0.0
        return np.asarray(np.eye(self.components)[self.component] * filled[..., None], dtype=np.float64)

    @cached_property
    def places(self) -> list[Ints]:
        """Positions of each component's columns among those of all groups in turn."""
        flat = self.membership.reshape(-1, self.components)
        return [np.flatnonzero(flat[:, k]) for k in range(self.components)]

    def scale(self) -> Floats:
        """Mean cross-product of each component's columns: ``1 / scale`` is a natural unit of its ratio.

        Returns
        -------
        ndarray, shape [components]
        """
        sums = np.einsum("dkk,dkc->c", self.ztz, self.membership)
        return np.asarray(np.maximum(sums, 1e-300) / np.maximum(self.membership.sum(axis=(0, 1)), 1.0))


def make_problem(
    X: Floats,
    Z: Floats,
    group: Ints,
    component: Ints,
    names: list[str] | None = None,
    lowest: Floats | None = None,
) -> Problem:
    """Form the cross-products of a model.

    Parameters
    ----------
    X : ndarray, shape [rows, fixed]
        Fixed-effect columns.
    Z : ndarray, shape [rows, columns]
        Random-effect columns; may have no column.
    group : ndarray of int, shape [rows]
        Group of each row, counted from 0.
    component : ndarray of int, shape [columns] or [groups, columns]
        Variance component of each column of `Z` (in each group), counted from 0 without gaps.
    names : list of str, optional
        Names of the fixed effects, for messages.
    lowest : ndarray, shape [components], optional
        Smallest ratio of each component; by default 0.

    Raises
    ------
    AnalysisError
        If there are no more rows than fixed effects, the fixed effects cannot be told apart, or the random part is too
        large for a dense solver.
    """
    rows, fixed = X.shape
    columns = Z.shape[1]
    if rows <= fixed:
        raise AnalysisError(
            f"{rows} scores cannot carry {fixed} fixed effects: add scores or drop a factor or covariate"
        )
    if columns > MAX_COLUMNS:
        raise AnalysisError(
            f"the random part has {columns} columns, more than {MAX_COLUMNS}: leave out a factor or an interaction"
        )
    q, r = np.linalg.qr(X)
    diagonal = np.abs(np.diag(r))
    weak = diagonal < 1e-9 * np.linalg.norm(X, axis=0).clip(1e-300)
    if weak.any():
        culprits = [names[i] if names else f"column {i}" for i in np.flatnonzero(weak)]
        raise AnalysisError(
            f"the fixed effects cannot be told apart: {', '.join(culprits)} is a combination of the others in this"
            " table; drop the covariate, or the levels of the factor that lack scores"
        )
    groups = int(group.max()) + 1
    ztz = np.zeros((groups, columns, columns))
    ztq = np.zeros((groups, columns, fixed))
    if columns:
        for d in range(groups):
            rows_of = group == d
            ztz[d] = Z[rows_of].T @ Z[rows_of]
            ztq[d] = Z[rows_of].T @ q[rows_of]
    components = int(component.max()) + 1 if columns else 0
    of_group = np.array(np.broadcast_to(component, (groups, columns)), dtype=np.int64)
    bounds = np.zeros(components) if lowest is None else lowest
    return Problem(X, Z, group.astype(np.int64), of_group, groups, components, bounds, ztz, ztq, q, r)


@dataclass(frozen=True)
class Responses:
    """Cross-products of one or many responses with a problem's columns.

    Attributes
    ----------
    ols : ndarray, shape [responses, fixed]
        Least-squares coefficients in the basis `Problem.q`; what follows is made of the least-squares residuals, which
        leave the criterion as it is and lose no digits to a large mean.
    zty : ndarray, shape [responses, groups, columns]
    yty : ndarray, shape [responses]
    """

    ols: Floats
    zty: Floats
    yty: Floats

    def take(self, index: Any) -> Responses:
        """Keep some of the responses."""
        return Responses(self.ols[index], self.zty[index], self.yty[index])


def cross_responses(problem: Problem, y: Floats) -> Responses:
    """Reduce responses to their cross-products.

    Parameters
    ----------
    problem : Problem
    y : ndarray, shape [responses, rows]
    """
    ols = y @ problem.q
    residual = y - ols @ problem.q.T
    zty = np.zeros((y.shape[0], problem.groups, problem.Z.shape[1]))
    for d in range(problem.groups) if problem.Z.shape[1] else ():
        rows_of = problem.group == d
        zty[:, d] = residual[:, rows_of] @ problem.Z[rows_of]
    return Responses(ols, zty, np.einsum("rn,rn->r", residual, residual))


def no_responses(problem: Problem) -> Responses:
    """A response of nothing but a unit of residual spread: for what depends on the layout alone."""
    zty = np.zeros((1, problem.groups, problem.Z.shape[1]))
    return Responses(np.zeros((1, problem.fixed)), zty, np.ones(1))


@lru_cache(maxsize=1)
def _thread_controller() -> Any:
    try:
        from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        return None
    return ThreadpoolController()


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold linear algebra to one thread: on matrices this small, a second one only costs time."""
    controller = _thread_controller()
    if controller is None:
        yield
        return
    with controller.limit(limits=1):
        yield
