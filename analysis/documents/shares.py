"""Shares of the variance of scores, as documents have them."""

from __future__ import annotations

from typing import TypedDict

from analysis.documents.estimates import Spread


class TaskShare(Spread):
    """A share of the variance within a task.

    Attributes
    ----------
    group, source
        Task, and column.
    estimate
        Percent of the total of the columns, the residual excluded.
    p
        Of a restricted likelihood ratio.
    variance
        Of the component.
    percent_with_residual
        Percent of the total, the residual included.
    largest
        Whether it is the largest of its task.
    residual_variance, reml, n
        Of the task: the residual's variance, the REML criterion and the number of scores.
    """

    group: str
    source: str
    estimate: float
    p: float
    variance: float
    percent_with_residual: float
    largest: bool
    residual_variance: float
    reml: float
    n: int


class GridShare(Spread):
    """A share of the variance of all scores.

    Attributes
    ----------
    term
        A factor, two of them joined by x, or ``residual``.
    estimate
        Percent of all variance.
    p
        Of a restricted likelihood ratio; null for the residual.
    variance
        Of the term.
    levels
        How many the term has; null for the residual.
    replicates
        Of the bootstrap behind the interval.
    """

    term: str
    estimate: float
    p: float | None
    variance: float
    levels: int | None
    replicates: int


class VarianceShares(TypedDict):
    """The variance of scores, divided.

    Attributes
    ----------
    within_task
        Within every task, among the columns that were asked for.
    grid
        Of the whole table, among its factors and their pairs.
    """

    within_task: list[TaskShare]
    grid: list[GridShare]
