"""Intervals by resampling test clips, or groups of clips that belong together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Bounds the memory of one block of replicates [counts].
BLOCK = 2_000_000


@dataclass(frozen=True)
class Interval:
    """A central percentile interval."""

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
