"""What the units of a representation do on a task's clips: how much, how often, together or apart, for which classes.

Section 7.2 of Spijkervet, "Contrastive learning of musical representations" (thesis, 2021), shows mean activations;
the other numbers say what a reader would judge by eye. Each names its source at the attribute that holds it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta

from analysis.visualisation.document import UnitActivations
from benchmark.errors import UserError

#: Values up to this share of a unit's own root mean square count as zero: the units of hand-made features have scales
#: of their own, and a small one is not dead beside a large one.
NEAR_ZERO = 1e-3
#: A unit whose deviation is at most this share of its root mean square says the same of all windows, but for rounding.
CONSTANT = 1e-6
#: Units in the table of classes.
CHOSEN = 24
#: Chance that the best of units without any difference between classes lies above `ActivationProfile.chance_eta`.
CHANCE = 0.05
#: Rows read at once, at least those of one clip.
BLOCK = 4096


@dataclass(frozen=True)
class ActivationProfile:
    """Statistics of the units over all windows, and of their means over clips between classes.

    Numbers that are not defined (sparsity of a unit that is always 0, a ratio without two classes) are NaN.

    Attributes
    ----------
    windows, clips : int
        How many there are.
    mean, deviation : ndarray, shape [units]
        Over windows; the deviation is that of the windows themselves, not of a sample's population.
    zero_share : ndarray, shape [units]
        Share of windows at which the unit is at most `NEAR_ZERO` times its own root mean square.
    sparsity : ndarray, shape [units]
        Treves and Rolls, "What determines the capacity of autoassociative memories in the brain?" (1991), over
        windows, in the form of Vinje and Gallant (2000): 0 for a unit that does the same at all windows, 1 for one
        that answers one window alone. Of absolute values.
    population_sparsity : float
        The same over the units of a window, mean over windows: 1 if one unit alone answers each window.
    participation_ratio : float
        Effective number of dimensions: squared sum of the covariance's eigenvalues by the sum of their squares, from 1
        to the number of units; Gao et al., "A theory of multineuronal dimensionality, dynamics and measurement" (2017).
    classes
        Names of those that have clips.
    class_clips : ndarray of int64, shape [classes]
        How many each has.
    eta_squared, f_ratio : ndarray, shape [units]
        One-way analysis of variance over clips, each clip by the mean of its windows (Fisher, "Statistical methods
        for research workers", 1925): share of the variance that lies between classes, and the ratio of mean squares.
    chance_eta : float
        What the largest eta squared exceeds with probability `CHANCE` if classes do not differ in any unit, for normal
        clip means and units that are independent of one another.
    chosen : ndarray of int64, shape [chosen]
        Units of the largest eta squared, largest first.
    table : ndarray, shape [classes, chosen]
        Mean over a class's clips, less the mean of all labelled clips, by their deviation.
    """

    windows: int
    clips: int
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    zero_share: NDArray[np.float64]
    sparsity: NDArray[np.float64]
    population_sparsity: float
    participation_ratio: float
    classes: tuple[str, ...]
    class_clips: NDArray[np.int64]
    eta_squared: NDArray[np.float64]
    f_ratio: NDArray[np.float64]
    chance_eta: float
    chosen: NDArray[np.int64]
    table: NDArray[np.float64]

    @property
    def dead(self) -> int:
        """Number of units that say the same of every window: nothing, or a constant."""
        size = np.sqrt(self.deviation**2 + self.mean**2)
        return int((self.deviation <= CONSTANT * size).sum())

    def as_document(self) -> UnitActivations:
        """Plain lists and numbers under the attributes' names and ``dead``, to five digits; null for NaN."""
        return {
            "windows": self.windows,
            "clips": self.clips,
            "dead": self.dead,
            "mean": _plain(self.mean),
            "deviation": _plain(self.deviation),
            "zero_share": _plain(self.zero_share),
            "sparsity": _plain(self.sparsity),
            "population_sparsity": _plain([self.population_sparsity])[0],
            "participation_ratio": _plain([self.participation_ratio])[0],
            "classes": list(self.classes),
            "class_clips": self.class_clips.tolist(),
            "eta_squared": _plain(self.eta_squared),
            "f_ratio": _plain(self.f_ratio),
            "chance_eta": _plain([self.chance_eta])[0],
            "chosen": self.chosen.tolist(),
            "table": [_plain(row) for row in self.table],
        }


def activation_profile(
    rows: NDArray[np.float32],
    first: NDArray[np.int64],
    classes: NDArray[np.int64],
    names: Sequence[str],
    chosen: int = CHOSEN,
    block: int = BLOCK,
) -> ActivationProfile:
    """Describe the units of an encoder's output; read twice from beginning to end, a block at a time.

    Parameters
    ----------
    rows : ndarray, shape [windows, units]
        Usually memory-mapped; those of a clip are neighbours.
    first : ndarray of int64, shape [clips + 1]
        Clip `c` has the rows ``first[c]`` to ``first[c + 1]``.
    classes : ndarray of int64, shape [clips]
        Index into `names`; -1 for clips that are left out of the comparison of classes, and only of that.
    names
        Of the classes.
    chosen
        How many units the table of classes shows at most.
    block
        How many rows are in memory at once, or one clip's where it has more.

    Raises
    ------
    UserError
        If there are no windows, or one holds a value that is not finite.
    """
    if first[-1] == first[0]:
        raise UserError("no windows, so there are no activations to describe")
    moments = _Moments(rows, first, classes, len(names))
    for rows_of, clips in _blocks(first, block):
        moments.add(rows[rows_of], rows_of.start, clips)
    threshold = NEAR_ZERO * np.sqrt(moments.squares / moments.windows)
    zeros = np.zeros(rows.shape[1], np.int64)
    for rows_of, _ in _blocks(first, block):
        zeros += (np.abs(rows[rows_of]) <= threshold).sum(axis=0)
    covariance = moments.covariance()
    counts = moments.class_counts
    there = np.flatnonzero(counts)
    eta, ratio, table = moments.between_classes(there)
    best = np.argsort(-np.nan_to_num(eta, nan=-1.0), kind="stable")[:chosen]
    best = best[np.isfinite(eta[best])]
    return ActivationProfile(
        windows=moments.windows,
        clips=len(first) - 1,
        mean=moments.mean(),
        deviation=np.sqrt(covariance.diagonal()),
        zero_share=zeros / moments.windows,
        sparsity=_sparsity(moments.absolutes, moments.squares, moments.windows),
        population_sparsity=moments.population_sparsity(),
        participation_ratio=_participation_ratio(covariance),
        classes=tuple(names[k] for k in there.tolist()),
        class_clips=counts[there],
        eta_squared=eta,
        f_ratio=ratio,
        chance_eta=_chance_eta(len(there), int(counts.sum()), rows.shape[1]),
        chosen=best,
        table=table[:, best],
    )


class _Moments:
    """Sums from which the statistics follow. Values are taken from the first row, so that no offset costs digits."""

    def __init__(
        self, rows: NDArray[np.float32], first: NDArray[np.int64], classes: NDArray[np.int64], class_count: int
    ) -> None:
        dim = rows.shape[1]
        self._first, self._classes = first, classes
        self._origin = rows[int(first[0])].astype(np.float64)
        self.windows = 0
        self._sum = np.zeros(dim)
        self._products = np.zeros((dim, dim))
        self.absolutes, self.squares = np.zeros(dim), np.zeros(dim)
        self._population, self._answered = 0.0, 0
        self.class_counts = np.zeros(class_count, np.int64)
        self._class_sums = np.zeros((class_count, dim))
        self._clip_squares = np.zeros(dim)

    def add(self, block: NDArray[np.float32], start: int, clips: range) -> None:
        """Count the rows of some clips, which begin at row `start`."""
        values = block.astype(np.float64)
        if not np.isfinite(values).all():
            row = start + int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
            raise UserError(f"window {row} of the embeddings holds a value that is not finite")
        absolute, square = np.abs(values), values**2
        self.absolutes += absolute.sum(axis=0)
        self.squares += square.sum(axis=0)
        answered = square.any(axis=1)
        by_window = _sparsity(absolute[answered].sum(axis=1), square[answered].sum(axis=1), values.shape[1])
        self._population += float(by_window.sum())
        self._answered += int(answered.sum())
        values -= self._origin
        self.windows += len(values)
        self._sum += values.sum(axis=0)
        self._products += values.T @ values
        for clip in clips:
            own = values[self._first[clip] - start : self._first[clip + 1] - start]
            if self._classes[clip] >= 0 and len(own):
                mean = own.mean(axis=0)
                self.class_counts[self._classes[clip]] += 1
                self._class_sums[self._classes[clip]] += mean
                self._clip_squares += mean**2

    def mean(self) -> NDArray[np.float64]:
        """Over windows [units]."""
        return np.asarray(self._origin + self._sum / self.windows, np.float64)

    def covariance(self) -> NDArray[np.float64]:
        """Over windows [units, units]."""
        mean = self._sum / self.windows
        found = self._products / self.windows - np.outer(mean, mean)
        # Rounding must not leave a variance below 0.
        np.fill_diagonal(found, np.maximum(found.diagonal(), 0.0))
        return found

    def population_sparsity(self) -> float:
        """Mean over the windows that any unit answers."""
        return self._population / self._answered if self._answered else math.nan

    def between_classes(
        self, there: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Eta squared and F ratio [units], and standardised means [classes, units], of the classes that are there."""
        counts, sums = self.class_counts[there][:, None], self._class_sums[there]
        clips, classes = int(counts.sum()), len(there)
        if classes < 2 or clips <= classes:
            nothing = np.full(len(self._sum), math.nan)
            return nothing, nothing, np.full(sums.shape, math.nan)
        grand = sums.sum(axis=0) / clips
        total = self._clip_squares - clips * grand**2
        # What rounding leaves of a unit that is the same for all clips is no variance.
        total[total <= 1e-12 * self._clip_squares] = 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            between = np.minimum((counts * (sums / counts - grand) ** 2).sum(axis=0), total)
            eta = np.where(total > 0, between / total, math.nan)
            ratio = (between / (classes - 1)) / ((total - between) / (clips - classes))
            table = (sums / counts - grand) / np.sqrt(total / clips)
        return eta, np.where(total > 0, ratio, math.nan), np.where(total > 0, table, math.nan)


def _blocks(first: NDArray[np.int64], block: int) -> Iterator[tuple[slice, range]]:
    """Rows of whole clips, and the clips, at most `block` rows together unless one clip has more."""
    begin, clips = 0, len(first) - 1
    while begin < clips:
        end = int(np.searchsorted(first, first[begin] + block, side="right")) - 1
        end = min(max(end, begin + 1), clips)
        yield slice(int(first[begin]), int(first[end])), range(begin, end)
        begin = end


def _sparsity(absolutes: NDArray[np.float64], squares: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """From sums over `count` values: 0 where all are alike, 1 where one is alone, NaN where all are 0."""
    if count < 2:
        return np.full(len(squares), math.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.clip((1 - (absolutes / count) ** 2 / (squares / count)) / (1 - 1 / count), 0.0, 1.0)


def _participation_ratio(covariance: NDArray[np.float64]) -> float:
    # The eigenvalues' sum is the trace, the sum of their squares that of all squared entries.
    squares = float((covariance**2).sum())
    return float(np.trace(covariance)) ** 2 / squares if squares > 0 else math.nan


def _chance_eta(classes: int, clips: int, units: int) -> float:
    """Without differences eta squared of one unit has a beta distribution; this is of the largest of `units`."""
    if classes < 2 or clips <= classes:
        return math.nan
    return float(beta.ppf((1 - CHANCE) ** (1 / units), (classes - 1) / 2, (clips - classes) / 2))


def plain_rows(rows: NDArray[np.float64]) -> list[list[float | None]]:
    """Rows of numbers to five digits; null for NaN."""
    return [_plain(row) for row in rows]


def _plain(values: ArrayLike) -> list[float | None]:
    return [float(f"{value:.5g}") if math.isfinite(value) else None for value in np.asarray(values, float).tolist()]
