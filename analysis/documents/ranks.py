"""What an analysis says of mean ranks."""

from __future__ import annotations

from typing import TypedDict


class LevelRank(TypedDict):
    """One level's ranks.

    Attributes
    ----------
    estimate, lower, upper
        Mean over tasks, 1 being the best, and its 95 % interval.
    first
        Tasks on which no other level scores more.
    """

    estimate: float
    lower: float
    upper: float
    first: int


class Friedman(TypedDict):
    """Test that all levels rank alike.

    Attributes
    ----------
    statistic, p
        Friedman's statistic, and the p value of its F form (Iman and Davenport 1980).
    """

    statistic: float
    p: float


class MeanRanks(TypedDict):
    """Levels by their mean rank over the tasks that have scores of all of them.

    Attributes
    ----------
    tasks, task_names
        How many these are, and which.
    levels
        By name, the best first.
    friedman
        Whether any differ.
    critical_difference
        Mean ranks of two levels differ by more in 5 % of tables at most, whichever pair of equals is looked at.
    alike
        Levels that lie within the critical difference of one another: every such set that is part of no larger one.
    """

    tasks: int
    task_names: list[str]
    levels: dict[str, LevelRank]
    friedman: Friedman
    critical_difference: float
    alike: list[list[str]]
