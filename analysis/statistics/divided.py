"""Studies whose scores are divided by their task's standard deviation before they are analysed, drawn and analysed.

The unit of a standardised score is itself made of a task's few scores: with two encoders and three seeds of six. It is
large where the encoders happen to differ much, so that their differences have a bound and lean to one side, and a test
of them is less, or more, powerful than one of normal scores with the same means and variances. So the scores are drawn
as they were before they were divided (`undivided`), divided as `analysis.statistics.scores.standardise` does, and
fitted as the analysis will.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.statistics.balanced import CompleteTable, Variances, fit_complete, sums_of
from analysis.statistics.crossproducts import Bools, Floats
from analysis.statistics.planned import Differences, PlannedStudy, planned_table

_SCORES = 200_000
"""Scores in the tables that averages are taken over."""
_ROUNDS = 8
_WIDEST = 25.0
"""Most that a level's variance over tasks is taken to differ from the others' by, as a factor."""
_FARTHEST = 60.0
"""Most standard deviations that two levels are put apart."""


@dataclass(frozen=True)
class Undivided:
    """Means and variances of scores before they are divided, in a unit of their own.

    Attributes
    ----------
    means, between : ndarray, shape [levels]
    single, run : float
    unit : ndarray of bool, shape [levels]
        Levels whose scores make a task's standard deviation.
    """

    means: Floats
    between: Floats
    single: float
    run: float
    unit: Bools

    @property
    def variance(self) -> float:
        """Of a task's scores, over the levels that make its unit."""
        return float(self.means[self.unit].var() + self.between[self.unit].mean() + self.single + self.run)

    def apart(self, moved: int, other: int, by: float) -> Undivided:
        """The same with one level moved to a distance from another."""
        means = self.means.copy()
        means[moved] = means[other] + by
        return replace(self, means=means)


class _Tasks:
    """Draws of very many tasks, the same at every call; half of them are the others' mirror images."""

    def __init__(self, levels: int, seeds: int) -> None:
        generator = np.random.default_rng(1)
        half = max(500, _SCORES // (2 * levels * seeds))
        self.effect = _mirrored(generator.standard_normal((levels, half, 1)))
        self.luck = _mirrored(generator.standard_normal((levels, half, seeds)))
        self.rest = _mirrored(generator.standard_normal((levels, half, seeds)))

    def scores(self, of: Undivided) -> Floats:
        """Divided scores less what networks' luck has in them, shape [levels, tasks, seeds]."""
        scores = of.means[:, None, None] + np.sqrt(of.between)[:, None, None] * self.effect
        scores = scores + np.sqrt(of.single) * self.rest
        sd = _spread((scores + np.sqrt(of.run) * self.luck)[of.unit])
        return scores / sd[None, :, None]


def _mirrored(draws: Floats) -> Floats:
    return np.concatenate([draws, -draws], axis=1)


def _spread(scores: Floats) -> Floats:
    """Standard deviation of every task's scores, shape [..., tasks] of [..., levels, tasks, seeds]."""
    count = scores.shape[-3] * scores.shape[-1]
    mean = scores.mean(axis=(-3, -1), keepdims=True)
    return np.asarray(np.sqrt(((scores - mean) ** 2).sum(axis=(-3, -1)) / (count - 1)))


def undivided(means: Floats, study: PlannedStudy, unit: Bools) -> Undivided:
    """Find what scores were before they were divided.

    Parameters
    ----------
    means : ndarray, shape [levels]
        What an analysis of divided scores finds.
    study : PlannedStudy
        With the variances that it finds, and its seeds; tasks play no part.
    unit : ndarray of bool, shape [levels]

    Returns
    -------
    Undivided
        Whose divided scores have these means, this variance of a single score, and on average over levels this variance
        over tasks. What levels have of it themselves is in proportion to what levels that vary alike would be found to
        have: a leader, which is near the top of every task's scale, seems to vary less than it does.
    """
    between, run = np.asarray(study.between, dtype=np.float64), study.run or 0.0
    tasks = _Tasks(len(between), study.seeds)
    own = len(between) > 2 and float(np.ptp(between)) > 1e-9 * float(between.max())
    pooled = np.full_like(between, max(float(between.mean()), 1e-6))
    found = Undivided(means, pooled, study.single, run, unit)
    shares = np.ones_like(between)
    for round_ in range(2 * _ROUNDS if own else _ROUNDS):
        mean, level, single, scale = _averages(tasks, found, own)
        if round_ == _ROUNDS:
            ratios = np.where(level > 0.02 * level.mean(), between / np.maximum(level, 1e-300), 1.0)
            shares = np.minimum(ratios / max(float(ratios.mean()), 1e-300), _WIDEST)
            shares /= max(float(shares.mean()), 1e-300)
        grown = float(found.between.mean()) * float(pooled.mean()) / max(float(level.mean()), 1e-300)
        found = replace(
            found,
            means=found.means + (means - means.mean() - mean + mean.mean()) / scale,
            between=grown * shares,
            single=found.single * study.single / single if study.single > 0.0 else 0.0,
            run=run / scale**2,
        )
        size = found.variance
        found = replace(
            found,
            means=found.means / np.sqrt(size),
            between=found.between / size,
            single=found.single / size,
            run=found.run / size,
        )
    return found


def _averages(tasks: _Tasks, of: Undivided, own: bool) -> tuple[Floats, Floats, float, float]:
    """Levels' means and variances over tasks, variance of a single score, and the mean of 1 / sd."""
    scores = tasks.scores(of)[None]
    _, levels, count, seeds = scores.shape
    table = CompleteTable(levels, count, seeds, own, np.zeros(levels, dtype=np.bool_))
    means, sums = sums_of(table, scores)
    start = Variances(of.between[None] if own else of.between.mean(keepdims=True)[None], np.zeros(1), np.ones(1) * 0.5)
    if seeds == 1:
        start = replace(start, between=start.between + 1e-3)
    found, _, _ = fit_complete(table, sums, start)
    whole = of.means[:, None, None] + np.sqrt(of.between)[:, None, None] * tasks.effect
    whole = whole + np.sqrt(of.single) * tasks.rest + np.sqrt(of.run) * tasks.luck
    scale = float((1.0 / _spread(whole[of.unit])).mean())
    return means[0], np.broadcast_to(found.between[0], (levels,)), float(found.rest[0]), scale


def moved_apart(of: Undivided, seeds: int, moved: int, other: int, difference: float) -> Undivided:
    """Move a level so far from another that their divided scores differ by so much on average.

    Parameters
    ----------
    of : Undivided
    seeds : int
        Scores of every cell.
    moved, other : int
    difference : float
        Of the mean divided scores; what no distance gives ends in the farthest.
    """
    tasks = _Tasks(len(of.means), seeds)
    sign = np.sign(difference)

    def gained(by: float) -> float:
        scores = tasks.scores(of.apart(moved, other, sign * by))
        return float(sign * (scores[moved].mean() - scores[other].mean()))

    low, high = 0.0, abs(difference)
    while gained(high) < abs(difference) and high < _FARTHEST:
        low, high = high, 2.0 * high
    for _ in range(10):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if gained(middle) < abs(difference) else (low, middle)
    return of.apart(moved, other, sign * 0.5 * (low + high))


def divided_differences(of: Undivided, study: PlannedStudy, studies: int, seed: int = 0) -> Differences:
    """Draw studies, divide their scores by their tasks' standard deviations, and analyse each.

    Parameters
    ----------
    of : Undivided
    study : PlannedStudy
        Tasks, seeds, and which levels are trained; its variances have no part.
    studies : int
    seed : int
        The first tasks of a longer study are those of a shorter one.
    """
    table = planned_table(study)
    generators = np.random.default_rng(seed).spawn(3)
    wide = (study.tasks, studies, table.levels)
    scores = of.means[:, None] + np.sqrt(of.between)[:, None] * generators[0].standard_normal((*wide, 1))
    scores = scores + np.sqrt(of.single) * generators[1].standard_normal((*wide, study.seeds))
    if table.trained.any():
        luck = generators[2].standard_normal((studies, table.levels, study.seeds))
        scores = scores + np.sqrt(of.run) * np.where(table.trained[:, None], luck, 0.0)
    scores = scores.transpose(1, 2, 0, 3)
    scores = scores / _spread(scores[:, of.unit])[:, None, :, None]
    means, sums = sums_of(table, scores)
    cells = np.einsum("ree->re", sums.cross) / (study.tasks - 1)
    between = cells if table.own else cells.mean(axis=1, keepdims=True)
    start = Variances(between, between.mean(axis=1) / 10.0, between.mean(axis=1))
    _, se, df = fit_complete(table, sums, start)
    a, b = table.pairs.T
    return Differences(means[:, b] - means[:, a], se, df)
