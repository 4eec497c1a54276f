"""Intervals by resampling test clips, or groups of clips that belong together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

#: Bounds the memory of one block of replicates [counts].
BLOCK = 2_000_000
#: So many values at an end of a bootstrap's are too few to say where a bound lies.
SPARSE = 5


@dataclass(frozen=True)
class Interval:
    """An interval from bootstrap values."""

    lower: float
    upper: float
    level: float


def replicate_counts(groups: NDArray[np.generic], replicates: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """How often each bootstrap replicate holds each clip, in blocks of replicates.

    Parameters
    ----------
    groups : ndarray, shape [clips]
        Clips with the same value are drawn together.
    replicates
        How many in all.
    seed
        Same seed, same replicates, whatever is scored: differences of two encoders can be paired.

    Yields
    ------
    ndarray of float32, shape [clips, replicates of this block]
    """
    names, group = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(seed)
    block = max(1, BLOCK // max(1, len(groups)))
    for first in range(0, replicates, block):
        size = min(block, replicates - first)
        drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=size)
        yield drawn.T[group].astype(np.float32)


def percentile_interval(values: NDArray[np.float64], level: float = 0.95) -> Interval:
    """Central interval that holds the share `level` of bootstrap `values` [replicates]."""
    tail = (1 - level) / 2
    lower, upper = np.quantile(values, [tail, 1 - tail])
    return Interval(float(lower), float(upper), level)


def bias_corrected_interval(values: NDArray[np.float64], estimate: float, level: float = 0.95) -> Interval:
    """Interval of bootstrap `values` [replicates], moved by how far their median lies from `estimate` (Efron 1981).

    For skewed scores such as R2 on few clips, whose percentile interval holds the truth too seldom. Where a bound would
    lie among the last few values or beyond them all, because the score itself is biased (average precision on few
    positives), it is that of a normal distribution with the values' mean and deviation. The estimate always lies in
    the interval.
    """
    share = (values < estimate).mean() + 0.5 * (values == estimate).mean()
    tail = (1 - level) / 2
    wanted = norm.ppf([tail, 1 - tail])
    places = norm.cdf(2 * norm.ppf(share) + wanted)
    few = min(SPARSE / len(values), tail / 2)
    if few < places[0] and places[1] < 1 - few:
        lower, upper = np.quantile(values, places)
    else:
        # With z0 = (estimate - mean) / deviation, mean + (2 z0 + z) deviation.
        lower, upper = 2 * estimate - values.mean() + wanted * values.std()
    return Interval(min(float(lower), estimate), max(float(upper), estimate), level)
