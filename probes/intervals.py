"""Intervals of scores and of their differences, by leaving out test clips, or groups of clips that belong together.

Each replicate leaves out one unit: a clip, a group of clips or a user; of more than `MOST` units, one of `MOST` parts
of them. What the score loses says how far it varies with the choice of units and how biased it is (the jackknife:
Quenouille 1956, Tukey 1958; parts of unequal size: Busing, Meijer and van der Leeden 1999, Statistics and Computing 9).
Unlike the bootstrap's, its replicates hold no clip twice; that clip would find its own copy among the positives, which
is why the bootstrap takes average precision for four times as biased as it is.

A bounded score is less certain in the middle of its range than at its ends. Its interval holds the values that the
score would not be unlikely for, if variance went with ``p (1 - p)`` (Wilson 1927, JASA 22): so it stays in the range
and has a width where every clip is right, and for single clips that are right or wrong it is Wilson's, but for a
quantile of Student's t. The number of clips that it is of follows from the jackknife's variance (Korn and Graubard
1998, Survey Methodology 24, for clusters). A score without a lowest value is taken on the scale of
``log(highest - score)``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

#: Probability that intervals are made for.
LEVEL = 0.95
#: Parts that many units are left out in; from twice as many on.
MOST = 250
#: Bounds the memory of one block of replicates [counts].
BLOCK = 2_000_000
#: Fixed, so that the parts of all runs on the same clips are the same.
SEED = 0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """Bounds, and the probability that they are made for."""

    lower: float
    upper: float
    level: float = LEVEL


@dataclass(frozen=True)
class Parts:
    """What replicates leave out.

    Attributes
    ----------
    part : ndarray of int, shape [clips or users]
        The replicate that leaves each one out; -1 for what no score speaks of, which all hold.
    sizes : ndarray of int, shape [J]
        Units that each replicate leaves out.
    """

    part: NDArray[np.intp]
    sizes: NDArray[np.intp]

    @property
    def units(self) -> int:
        """Clips, groups or users in all."""
        return int(self.sizes.sum())

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the variance."""
        return len(self.sizes) - 1

    def kept(self) -> Iterator[NDArray[np.float32]]:
        """How often each replicate holds each clip or user, 0 or 1: blocks [clips or users, J of the block]."""
        block = max(1, BLOCK // max(1, len(self.part)))
        for first in range(0, len(self.sizes), block):
            yield (self.part[:, None] != np.arange(len(self.sizes))[first : first + block]).astype(np.float32)

    def bias(self, replicates: Floats, value: Floats) -> Floats:
        """How far `value` [...] lies too high, from replicates [J, ...].

        A value that a replicate does not have (NaN) has lost nothing there.
        """
        lost = np.nan_to_num(replicates - value) * self._share(replicates.ndim)
        return np.asarray(np.where(np.isnan(value), np.nan, lost.sum(axis=0)))

    def deviations(self, replicates: Floats, value: float) -> Floats:
        """What each replicate's units add to the score's error [J]: the sum of their squares is its variance.

        Replicates without a value are taken to vary as the others do.
        """
        times = self.units / self.sizes
        pseudo = times * value - (times - 1) * replicates
        count = len(replicates)
        found = ~np.isnan(pseudo)
        if found.sum() < 2:
            return np.full(count, np.nan)
        centred = (pseudo - pseudo[found].mean()) / np.sqrt((times - 1) * found.sum())
        return np.where(found, centred, 0.0)

    def _share(self, dimensions: int) -> Floats:
        return (1 - self.sizes / self.units).reshape(-1, *[1] * (dimensions - 1))


def leave_out(unit: NDArray[np.generic], counted: NDArray[np.bool_] | None = None) -> Parts:
    """Parts of the test clips or users to be left out.

    Parameters
    ----------
    unit : ndarray, shape [clips or users]
        Those with the same value are left out together.
    counted : ndarray of bool, shape [clips or users], optional
        What scores speak of, if not of all.
    """
    if counted is not None and not counted.all():
        parts = leave_out(unit[counted])
        place = np.full(len(unit), -1, dtype=np.intp)
        place[counted] = parts.part
        return Parts(place, parts.sizes)
    names, own = np.unique(unit, return_inverse=True)
    count = len(names)
    if count < 2 * MOST:
        return Parts(own.astype(np.intp), np.ones(count, dtype=np.intp))
    part = np.random.default_rng(SEED).permutation(count) % MOST
    return Parts(part[own], np.bincount(part, minlength=MOST).astype(np.intp))


def bounded_interval(
    value: float, variance: float, freedom: int, lowest: float, highest: float, fewest: float, most: float
) -> Interval:
    """Wilson's interval of a score with a range.

    Parameters
    ----------
    value, variance
        The score, its bias taken off, and its variance; NaN if that is not known, which makes the interval the range.
    freedom
        Degrees of freedom of the variance.
    lowest, highest
        Range of the score.
    fewest
        Clips that a score at an end of its range speaks of, where no variance says it.
    most
        Clips that no score can speak of more than, however small its variance; infinite where a clip may be right in
        part.
    """
    if freedom < 1 or np.isnan(variance):
        return Interval(lowest, highest)
    width = highest - lowest
    share = min(max((value - lowest) / width, 0.0), 1.0)
    spread = share * (1 - share)
    clips = min(spread * width**2 / variance if variance > 0 else np.inf if spread else fewest, most)
    if not clips or np.isinf(clips):
        clips = min(fewest, most)
    square = float(student.ppf((1 + LEVEL) / 2, freedom)) ** 2 / clips
    centre = (share + square / 2) / (1 + square)
    half = np.sqrt(square * (spread + square / 4)) / (1 + square)
    ends = lowest + width * np.clip([centre - half, centre + half], 0.0, 1.0)
    return Interval(float(ends[0]), float(ends[1]))


def open_interval(value: float, variance: float, freedom: int, bound: float) -> Interval:
    """Interval of a score with one end of its range, `bound`, on the scale of the logarithm of its distance from it."""
    distance = abs(bound - value)
    half = float(student.ppf((1 + LEVEL) / 2, freedom)) * np.sqrt(variance) / distance
    ends = sorted(float(bound + np.copysign(distance, value - bound) * np.exp(sign * half)) for sign in (-1, 1))
    return Interval(*ends)


@dataclass(frozen=True)
class DifferenceTest:
    """A difference of two scores of the same clips, tested against zero.

    Attributes
    ----------
    difference, standard_error, freedom
        Estimate, its standard error, and the degrees of freedom of that; the error is 0 where all units are alike, and
        NaN where there is but one.
    lower, upper
        95 % interval.
    p
        Two-sided.
    """

    difference: float
    standard_error: float
    freedom: int
    lower: float
    upper: float
    p: float


def compare_paired(difference: float, replicates: Floats, parts: Parts, span: float) -> DifferenceTest:
    """Test a difference by the t distribution, with the jackknife's variance.

    For a mean over clips that is the paired t test. No p value is below ``2^(1 - units)``, the least that an exchange
    of the two encoders within units can give, however alike the units are.

    Parameters
    ----------
    difference
        First score minus second.
    replicates : ndarray, shape [J]
        The same without each part of the units.
    parts
        Those parts.
    span
        The most that one unit can differ by. Where all replicates are alike, the interval is that of a share of units
        of which none was seen (Clopper and Pearson 1934), times this.
    """
    variance = float((parts.deviations(replicates, difference) ** 2).sum())
    freedom = parts.freedom
    if freedom < 1 or np.isnan(variance):
        return DifferenceTest(difference, float("nan"), max(freedom, 0), -span, span, 1.0)
    error = float(np.sqrt(variance))
    quantile = float(student.ppf((1 + LEVEL) / 2, freedom))
    # What rounding leaves of no variance is far below this.
    alike = error <= 1e-9 * abs(difference) or error == 0
    if alike:
        error = 0.0
        half = span * (1 - ((1 - LEVEL) / 2) ** (1 / parts.units))
        p = 0.0 if difference else 1.0
    else:
        half = quantile * error
        p = float(2 * student.sf(abs(difference) / error, freedom))
    p = max(p, min(1.0, 2.0 ** (1 - min(parts.units, 1000))))
    return DifferenceTest(difference, error, freedom, difference - half, difference + half, p)
