"""Intervals by resampling test clips, or groups of clips that belong together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

#: Bounds the memory of one block of replicates [counts].
BLOCK = 2_000_000


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

    For skewed scores such as R2 on few clips, whose percentile interval holds the truth too seldom. It always holds
    the estimate, which lies beyond nearly all values where the score itself is biased, such as average precision on a
    handful of positives.
    """
    share = (values < estimate).mean() + 0.5 * (values == estimate).mean()
    shift = norm.ppf(np.clip(share, 1 / len(values), 1 - 1 / len(values)))
    tail = (1 - level) / 2
    lower, upper = np.quantile(values, norm.cdf(2 * shift + norm.ppf([tail, 1 - tail])))
    return Interval(min(float(lower), estimate), max(float(upper), estimate), level)
