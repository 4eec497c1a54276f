"""Mean ranks of levels over tasks, with intervals, Friedman's test and Nemenyi's critical difference (Demsar 2006).

Ranks ask less than the models do: that higher is better, and nothing of scales. They also hear less: a lead of a hair
and a lead of a mile are one rank. Verdicts of an analysis are the model's; ranks stand beside them.

A level's ranks on the tasks are taken as a sample of its ranks on tasks like these. Where they are all the same, their
variance of zero says too much, so no interval takes the variance for less than it would be with one further task on
which the level stood a single rank elsewhere.

Sources
-------
Demsar 2006, "Statistical comparisons of classifiers over multiple data sets", JMLR 7; Iman and Davenport 1980 for the F
distribution of Friedman's statistic; Nemenyi 1963 for the critical difference.
"""

from __future__ import annotations

from math import exp, lgamma

import numpy as np
from scipy import stats

from analysis.documents.ranks import Friedman, MeanRanks
from analysis.statistics.crossproducts import Bools, Floats
from analysis.statistics.scores import Scores
from analysis.tables.long_tables import labels

LEVEL = 0.95
"""Coverage of intervals; the critical difference errs in the rest of all tables of equal levels."""
_ALIKE = 9
"""Decimals of a standardised score beyond which two are the same: seeds add up to what rounding leaves."""


def mean_ranks(scores: Scores, factor: str) -> MeanRanks | None:
    """Rank levels on every task by their mean score, and average.

    Parameters
    ----------
    scores : Scores
        More is better.
    factor : str
        Column whose levels are ranked.

    Returns
    -------
    MeanRanks or None
        None where fewer than two tasks have scores of all levels, or there is but one level.
    """
    level, names = labels(scores.table, factor)
    task, tasks = labels(scores.table, scores.group)
    sums, counts = np.zeros((2, len(tasks), len(names)))
    np.add.at(sums, (task, level), scores.y)
    np.add.at(counts, (task, level), 1.0)
    full: Bools = np.asarray((counts > 0).all(axis=1), dtype=np.bool_)
    if full.sum() < 2 or len(names) < 2:
        return None
    ranks = stats.rankdata(-np.round(sums[full] / counts[full], _ALIKE), axis=1)
    means, lower, upper = rank_intervals(ranks)
    order = np.argsort(means, kind="stable")
    most = critical_difference(len(names), len(ranks))
    found: MeanRanks = {
        "tasks": len(ranks),
        "task_names": [name for name, whole in zip(tasks, full, strict=True) if whole],
        "levels": {
            names[i]: {
                "estimate": float(means[i]),
                "lower": float(lower[i]),
                "upper": float(upper[i]),
                "first": int((ranks[:, i] == ranks.min(axis=1)).sum()),
            }
            for i in order.tolist()
        },
        "friedman": friedman(ranks),
        "critical_difference": most,
        "alike": [[names[i] for i in order[first : last + 1]] for first, last in _alike(means[order], most)],
    }
    return found


def rank_intervals(ranks: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean ranks and their 95 % intervals, by Student's t over tasks.

    Parameters
    ----------
    ranks : ndarray, shape [tasks, levels]

    Returns
    -------
    means, lower, upper : ndarray, shape [levels]
    """
    tasks, levels = ranks.shape
    means = ranks.mean(axis=0)
    least = tasks / (tasks + 1) ** 2  # the variance of one among tasks + 1 ranks that is one off
    error = np.sqrt(np.maximum(ranks.var(axis=0, ddof=1), least) / tasks)
    half = float(stats.t.ppf(0.5 + 0.5 * LEVEL, tasks - 1)) * error
    return means, np.maximum(means - half, 1.0), np.minimum(means + half, float(levels))


def friedman(ranks: Floats) -> Friedman:
    """Test whether all levels rank alike.

    Parameters
    ----------
    ranks : ndarray, shape [tasks, levels]
        Ties share their mean rank.

    Notes
    -----
    However alike the tasks rank, p is not below ``levels! ^ (1 - tasks)``: so often they all agree by chance.
    """
    tasks, levels = ranks.shape
    centred = ranks - 0.5 * (levels + 1)
    within = float((centred**2).sum()) / (levels - 1)
    if within == 0.0:
        return {"statistic": 0.0, "p": 1.0}
    statistic = float((centred.sum(axis=0) ** 2).sum()) / within
    most = tasks * (levels - 1)
    free = levels - 1
    left = most - statistic
    f = (tasks - 1) * statistic / left if left > 1e-9 * most else np.inf
    p = float(stats.f.sf(f, free, free * (tasks - 1)))
    return {"statistic": statistic, "p": max(p, exp((1 - tasks) * lgamma(levels + 1)))}


def critical_difference(levels: int, tasks: int) -> float:
    """Nemenyi's critical difference of mean ranks at 5 %, for all pairs.

    Parameters
    ----------
    levels, tasks : int
    """
    quantile = float(stats.studentized_range.ppf(LEVEL, levels, np.inf)) / np.sqrt(2.0)
    return float(quantile * np.sqrt(levels * (levels + 1) / (6.0 * tasks)))


def _alike(means: Floats, most: float) -> list[tuple[int, int]]:
    """First and last place of every widest run of at least two sorted means that lie within `most`."""
    found: list[tuple[int, int]] = []
    for first in range(len(means)):
        last = int(np.flatnonzero(means - means[first] <= most)[-1])
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found
