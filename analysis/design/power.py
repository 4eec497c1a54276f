"""How many tasks, or seeds, it takes until `bench analyze` calls two levels different: the power of the test it makes.

A study of all levels of an analysis is drawn many times, complete, with the variances that the analysis found, is given
the model that its table would be given, and fitted (`analysis.statistics.planned`); standardised scores are divided by
their tasks' standard deviations first (`analysis.statistics.divided`). Two levels count as told apart if their p,
adjusted by Holm's method over all pairs of the study, is below the test's level. One of the two, the one that is
farther from the rest, is moved until their difference is the one that is planned for; all others stay where the
analysis found them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import combinations

import numpy as np
from scipy import stats

from analysis.design.levels import PlannedLevels
from analysis.errors import AnalysisError
from analysis.statistics.crossproducts import Bools, Floats, Ints
from analysis.statistics.divided import Undivided, divided_differences, moved_apart, undivided
from analysis.statistics.planned import Differences, PlannedStudy, planned_differences, simulated_differences

MAX_TASKS = 10_000
"""Where the search for a number of tasks gives up."""
MAX_SEEDS = 1_000
"""Where the search for a number of seeds gives up."""
_STUDIES = ((4, 3000, 3000), (10, 1000, 1500), (np.inf, 300, 1000))
"""Most levels, and how many studies of these are drawn: as they are, where a given standard error leaves nothing to
chance but later steps, and of divided scores."""
_COARSE = sorted({min(MAX_TASKS, round(2 * 1.2**step)) for step in range(48)})
"""Numbers of tasks for which studies are drawn where many pairs are asked for; between them power is interpolated."""
_MOST_SCORES = 3_000_000
"""Scores that are drawn at once."""
_EACH = 6
"""Pairs of which each has drawn studies of divided scores of its own; of more, the middle one stands for all, and power
is drawn for some numbers of tasks only."""
_DIVIDED_TASKS, _DIVIDED_SEEDS = 64, 10
"""Tasks beyond which divided scores are as good as normal, and seeds beyond which what dividing does stays as it is."""


class PlannedTests:
    """The tests of all pairs of levels that a study of given size will make.

    Parameters
    ----------
    levels : PlannedLevels
    difference : float
        True difference of the two levels that are planned for [unit of the analysis]: of standardised scores, the one
        that analyses of such studies find on average.
    alpha : float
        Adjusted p below which two levels are called different, in (0, 1).
    pairs : list of (str, str), optional
        Those that will be asked for; by default all.

    Raises
    ------
    AnalysisError
        If the difference or `alpha` cannot be planned for, or levels with one score a cell are signs only.
    """

    def __init__(
        self,
        levels: PlannedLevels,
        difference: float,
        alpha: float = 0.05,
        pairs: list[tuple[str, str]] | None = None,
    ) -> None:
        if not difference or not np.isfinite(difference):
            raise AnalysisError(
                f"a difference of {difference} cannot be planned for: give one in the analysis's unit, say 0.2"
            )
        if not 0.0 < alpha < 1.0:
            raise AnalysisError(f"a test level of {alpha} is not between 0 and 1: 0.05 is usual")
        self.levels, self.difference, self.alpha = levels, abs(difference), alpha
        names = levels.names
        self.pairs = list(combinations(range(len(names)), 2))
        asked = [self._index(*pair) for pair in pairs or combinations(names, 2)]
        spread = [sum(levels.levels[names[i]]["between"] for i in self.pairs[pair]) for pair in asked]
        middle = asked[int(np.argsort(spread, kind="stable")[len(asked) // 2])]
        self._like = middle if len(asked) > _EACH else None
        self._studies, self._divided_studies = next(few for most, *few in _STUDIES if len(names) <= most)
        self._expected = cache(self._differences)
        self._drawn = cache(self._draw)
        self._plain = cache(self._plain_power)
        self._divided = cache(self._divided_power)
        self._moved = cache(self._moved_scores)
        self._undivided = cache(self._found)

    def power(self, a: str, b: str, tasks: int, seeds: int) -> float:
        """Compute the probability that two levels are called different.

        Parameters
        ----------
        a, b : str
            Levels.
        tasks : int
            At least 2.
        seeds : int
            Scores of every cell, at least 1.

        Returns
        -------
        float
            In [0, 1]. With one seed of levels that are trained: that their networks are told apart.

        Raises
        ------
        AnalysisError
            If there are fewer tasks or seeds, or nothing is known of so many seeds.
        """
        if tasks < 2 or seeds < 1:
            raise AnalysisError("a study needs at least 2 tasks and 1 score per cell")
        if seeds > 1 and not self.levels.seeds_known:
            raise AnalysisError(
                "the analysis has one score per cell, which says nothing of several: plan for 1, or analyse more seeds"
            )
        if len(self.levels.names) == 2 and seeds == 1 and not self.levels.natural:
            raise AnalysisError(
                "two levels with one score a cell are only signs once standardised, and are not analysed: plan for"
                " more scores per cell"
            )
        pair = self._index(a, b)
        if self._like is None:
            return self._drawn_power(pair, pair, tasks, seeds)
        place = int(np.searchsorted(_COARSE, tasks))
        around = sorted({_COARSE[max(0, place - 1)] if _COARSE[place] != tasks else tasks, _COARSE[place]})
        known = [_probit(self._drawn_power(pair, self._like, some, seeds)) for some in around]
        return float(stats.norm.cdf(np.interp(np.log(tasks), np.log(around), known)))

    def _drawn_power(self, pair: int, like: int, tasks: int, seeds: int) -> float:
        """Power of a pair, where what dividing scores changes is drawn for the one that it is like."""
        few = min(seeds, _DIVIDED_SEEDS)
        if self.levels.natural or tasks > _DIVIDED_TASKS:
            return self._plain(pair, tasks, seeds)
        if (like, few) == (pair, seeds):
            return self._divided(pair, tasks, seeds)
        change = _probit(self._divided(like, tasks, few)) - _probit(self._plain(like, tasks, few))
        return float(stats.norm.cdf(_probit(self._plain(pair, tasks, seeds)) + change))

    def tasks_needed(self, a: str, b: str, seeds: int, power: float = 0.8) -> int | None:
        """Find the smallest number of tasks with which two levels are called different.

        Parameters
        ----------
        a, b, seeds
            As of `power`.
        power : float
            Wanted probability, in (0, 1).

        Returns
        -------
        int or None
            None if even `MAX_TASKS` are not enough: the luck of training does not average out over tasks.
        """
        _check(power)
        return _fewest(
            lambda tasks: self.power(a, b, tasks, seeds) >= power,
            lambda tasks: (
                self._guess(a, b, tasks, seeds) >= power
                or (tasks >= _DIVIDED_TASKS and self.power(a, b, _DIVIDED_TASKS, seeds) >= power)
            ),
            2,
            MAX_TASKS,
        )

    def seeds_needed(self, a: str, b: str, tasks: int, power: float = 0.8) -> int | None:
        """Find the smallest number of seeds with which two levels are called different on given tasks.

        Returns
        -------
        int or None
            None if no number is enough, because the levels' effects vary too much over so few tasks, or if nothing is
            known of seeds. At least 2 where training plays a part and would be covered.
        """
        _check(power)
        if not self.levels.seeds_known:
            return None
        signs = len(self.levels.names) == 2 and not self.levels.natural
        covered = self.levels.trained(a, b) and self.levels.covers_training(a, b, 2)
        return _fewest(
            lambda seeds: self.power(a, b, tasks, seeds) >= power,
            lambda seeds: self._guess(a, b, tasks, seeds) >= power,
            2 if signs or covered else 1,
            MAX_SEEDS,
        )

    def _index(self, a: str, b: str) -> int:
        i, j = sorted((self.levels.names.index(a), self.levels.names.index(b)))
        return self.pairs.index((i, j))

    def _guess(self, a: str, b: str, tasks: int, seeds: int) -> float:
        """Power at Holm's first step if standard errors were what they are on average: about where to search."""
        se, df = self._expected(tasks, seeds)
        pair = self._index(a, b)
        limit = stats.t.isf(0.5 * self.alpha / len(self.pairs), df[pair])
        return float(stats.norm.sf(limit - self.difference / se[pair]))

    def _differences(self, tasks: int, seeds: int) -> tuple[Floats, Floats]:
        return planned_differences(self.levels.study(tasks, seeds))[1:]

    def _move(self, pair: int) -> tuple[int, int, float]:
        """Level that is moved, the one that it is moved from, and by how much it comes to lie above that."""
        a, b = self.pairs[pair]
        means = self.levels.means
        rest = np.delete(means, [a, b])
        moved, other = (a, b) if rest.size and abs(means[a] - rest.mean()) > abs(means[b] - rest.mean()) else (b, a)
        return moved, other, self.difference if means[moved] >= means[other] else -self.difference

    def _draw(self, tasks: int, seeds: int) -> tuple[PlannedStudy, Differences, Floats]:
        """Studies of equal levels, and p of all pairs with the means that the analysis found."""
        study = self.levels.study(tasks, seeds)
        drawn = simulated_differences(study, self._studies)
        return study, drawn, _p_values(drawn, self._apart(self.levels.means), np.arange(len(self.pairs)))

    def _apart(self, means: Floats) -> Floats:
        a, b = np.array(self.pairs).T
        return np.asarray(means[b] - means[a])

    def _plain_power(self, pair: int, tasks: int, seeds: int) -> float:
        """Power of scores that are not divided."""
        study, drawn, p = self._drawn(tasks, seeds)
        moved, other, by = self._move(pair)
        means = self.levels.means
        means[moved] = means[other] + by
        touched = np.flatnonzero([moved in each for each in self.pairs])
        p = p.copy()
        p[:, touched] = _p_values(drawn, self._apart(means), touched)
        # The first step given each study's standard error is a normal probability; what later steps add is counted.
        se, limit = drawn.se[:, pair], _limits(drawn.df[:, pair], self.alpha / len(self.pairs))
        sigma = float(np.sqrt(study.means[list(self.pairs[pair])].sum()))
        first = stats.norm.sf((limit * se - self.difference) / sigma) + stats.norm.cdf(
            (-limit * se - self.difference) / sigma
        )
        later = _rejected(p, self.alpha)[:, pair].mean() - (p[:, pair] < self.alpha / len(self.pairs)).mean()
        return float(np.clip(first.mean() + later, 0.0, 1.0))

    def _moved_scores(self, pair: int, seeds: int) -> Undivided:
        """Scores before they are divided, with the pair as far apart as is planned."""
        moved, other, by = self._move(pair)
        return moved_apart(self._undivided(), seeds, moved, other, by)

    def _found(self) -> Undivided:
        levels = self.levels
        return undivided(levels.means, levels.study(levels.tasks, levels.seeds), levels.unit)

    def _divided_power(self, pair: int, tasks: int, seeds: int) -> float:
        """Power of scores that are divided by their tasks' standard deviations."""
        scores = len(self.levels.names) * tasks * seeds
        studies = min(self._divided_studies, max(300, _MOST_SCORES // scores))
        drawn = divided_differences(self._moved(pair, seeds), self.levels.study(tasks, seeds), studies)
        p = _p_values(drawn, np.zeros(len(self.pairs)), np.arange(len(self.pairs)))
        return float(_rejected(p, self.alpha)[:, pair].mean())


def _p_values(drawn: Differences, apart: Floats, pairs: Ints) -> Floats:
    t = np.abs(drawn.estimate[:, pairs] + apart[pairs]) / drawn.se[:, pairs]
    return np.asarray(2.0 * stats.t.sf(t, drawn.df[:, pairs]))


def _rejected(p: Floats, alpha: float) -> Bools:
    """Which p values of each row Holm's method rejects: those below alpha over the number of tests that are left."""
    tests = p.shape[1]
    steps = np.zeros(len(p))
    while True:
        below = p < (alpha / np.maximum(tests - steps, 1.0))[:, None]
        further = below.sum(axis=1)
        if (further == steps).all():
            return np.asarray(below)
        steps = further


def _limits(df: Floats, alpha: float) -> Floats:
    """Two-sided limits of t, read off a fine grid: there are many."""
    grid = np.geomspace(1.0, max(2.0, float(df.max())), 300)
    return np.exp(np.interp(np.log(df), np.log(grid), np.log(stats.t.isf(0.5 * alpha, grid))))


def _probit(power: float) -> float:
    return float(stats.norm.ppf(np.clip(power, 1e-4, 1.0 - 1e-4)))


def _check(power: float) -> None:
    if not 0.0 < power < 1.0:
        raise AnalysisError(f"a power of {power} is not between 0 and 1: 0.8 is usual")


def _fewest(enough: Callable[[int], bool], roughly: Callable[[int], bool], least: int, most: int) -> int | None:
    """Smallest whole number from `least` on that is enough, sought from where it roughly is; None beyond `most`."""
    low, high = least - 1, least
    while not roughly(high) and high < most:
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if roughly(middle) else (middle, high)
    if enough(high):
        low = least - 1
        while high > least:
            lower = max(least, min(high - 1, int(0.9 * high)))
            if not enough(lower):
                low = lower
                break
            high = lower
    else:
        while not enough(high):
            if high >= most:
                return None
            low, high = high, min(most, max(high + 1, int(1.15 * high)))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
