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
from scipy.optimize import least_squares

from analysis.statistics.balanced import CompleteTable, Variances, fit_complete, sums_of
from analysis.statistics.crossproducts import Bools, Floats
from analysis.statistics.planned import Differences, PlannedStudy, planned_table

_SCORES = 120_000
"""Scores in the tables that averages are taken over."""
_ROUNDS = 2
"""How often levels' own shares are drawn nearer."""
_SEEN = 0.3
"""Share of the mean of levels' variances over tasks below which one is taken to be hidden."""
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

    def divided(self, of: Undivided) -> tuple[Floats, float]:
        """Divided scores less what networks' luck has in them [levels, tasks, seeds], and the mean of 1 / sd."""
        scores = of.means[:, None, None] + np.sqrt(of.between)[:, None, None] * self.effect
        scores = scores + np.sqrt(of.single) * self.rest
        whole = scores + np.sqrt(of.run) * self.luck if of.run else scores
        unit = 1.0 / _spread(whole[of.unit])
        return scores * unit[None, :, None], float(unit.mean())


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
        The study that was analysed, with the variances that it found.
    unit : ndarray of bool, shape [levels]

    Returns
    -------
    Undivided
        Whose divided scores have these means, this variance of a single score, and on average over levels this variance
        over tasks. What levels have of it themselves is in proportion to what levels that vary alike would be found to
        have: a leader, which is near the top of every task's scale, seems to vary less than it does.
    """
    between = np.asarray(study.between, dtype=np.float64)
    own = len(between) > 2 and float(np.ptp(between)) > 1e-9 * float(between.max())
    # Means that were found differ by more than true ones, by their errors.
    share = (len(between) - 1.0) / len(between)
    kept = np.sqrt(max(0.05, 1.0 - share * study.means.mean() / max(float(means.var()), 1e-12)))
    wanted = _Found(kept * (means - means.mean()), between, study.single, study.run or 0.0)
    tasks = _Tasks(len(between), study.seeds)
    shares = np.ones_like(between)
    before, found = _closest(tasks, wanted, shares, unit, own)
    for _ in range(_ROUNDS if own else 0):
        seen = found.between > _SEEN * found.between.mean()
        shares = shares * np.clip(np.where(seen, between / np.maximum(found.between, 1e-300), 1.0), 1e-6, _WIDEST)
        shares /= shares.mean()
        before, found = _closest(tasks, wanted, shares, unit, own)
    return before


@dataclass(frozen=True)
class _Found:
    """What an analysis of divided scores finds: as `Undivided`, in standard deviations of a task."""

    means: Floats
    between: Floats
    single: float
    run: float

    def numbers(self) -> Floats:
        """Spread of the means, and variances over tasks (on average), of a score and of luck."""
        return np.array([self.means.std(), self.between.mean(), self.single, self.run])


def _closest(tasks: _Tasks, wanted: _Found, shares: Floats, unit: Bools, own: bool) -> tuple[Undivided, _Found]:
    """Scores whose divided ones come closest, by least squares, and what is found of these.

    The unit is free, so levels' mean variance over tasks is 1 and the other three are sought by their logarithms; as
    their sum is 1 once divided, they are told even where a leader hides what levels vary by.
    """
    target = wanted.numbers()
    base = max(float(target[1]), 0.05)
    sought = [i for i in (0, 2, 3) if target[i] > 1e-9]

    def scores(x: Floats) -> Undivided:
        whole = np.zeros(4)
        whole[sought] = np.exp(x)
        spread = max(float(wanted.means.std()), 1e-300)
        return Undivided(wanted.means * (whole[0] / spread), shares, float(whole[2]), float(whole[3]), unit)

    def off(x: Floats) -> Floats:
        return _averages(tasks, scores(x), own).numbers() - target

    start = np.log([target[i] / (np.sqrt(base) if i == 0 else base) for i in sought])
    best = (
        least_squares(off, start, diff_step=np.full(len(sought), 0.02), xtol=1e-3, ftol=1e-4, max_nfev=10).x
        if sought
        else start
    )
    return scores(best), _averages(tasks, scores(best), own)


def _averages(tasks: _Tasks, of: Undivided, own: bool) -> _Found:
    """What an analysis of very many tasks finds."""
    scores, scale = tasks.divided(of)
    levels, count, seeds = scores.shape
    table = CompleteTable(levels, count, seeds, own, np.zeros(levels, dtype=np.bool_))
    means, sums = sums_of(table, scores[None])
    cells = np.einsum("ree->re", sums.cross) / (count - 1)
    between = cells if own else cells.mean(axis=1, keepdims=True)
    found, _, _ = fit_complete(table, sums, Variances(between, np.zeros(1), between.mean(axis=1)))
    whole = np.broadcast_to(found.between[0], (levels,))
    return _Found(means[0] - means[0].mean(), whole, float(found.rest[0]), of.run * scale**2)


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
    farthest = _FARTHEST * float(np.sqrt(of.between.max() + of.single))

    def gained(by: float) -> float:
        scores, _ = tasks.divided(of.apart(moved, other, sign * by))
        return float(sign * (scores[moved].mean() - scores[other].mean()))

    low, high = 0.0, abs(difference) * float(np.sqrt(of.between.mean() + of.single))
    while gained(high) < abs(difference) and high < farthest:
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
