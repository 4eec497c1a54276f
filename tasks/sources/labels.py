"""Labels of a source, for every clip of a dataset."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tasks import DatasetError

#: How terms are weighted before they are reduced: as they are, or by term frequency and inverse document frequency.
Weighting = Literal["counts", "tfidf"]


@dataclass(frozen=True)
class Scalars:
    """A number a clip, such as its tempo.

    Attributes
    ----------
    values : ndarray of float64, shape [clips]
        NaN where it is not known.
    unit
        Of the numbers, for tables.
    """

    values: NDArray[np.float64]
    unit: str = ""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Which clips have a number [clips]."""
        return np.isfinite(self.values)

    def take(self, rows: NDArray[np.int64]) -> Scalars:
        """Those of the clips at `rows`; a row of -1 is a clip of which nothing is known."""
        return Scalars(np.where(rows < 0, np.nan, self.values[rows]), self.unit)


@dataclass(frozen=True)
class Terms:
    """Terms and their weights: of each clip, or of all clips of a group, such as an artist, together.

    Attributes
    ----------
    names
        Of the terms.
    counts
        Weights of at least 0, as `scipy.sparse.csr_array` [clips, terms].
    weighting
        What is done with them before they are reduced.
    groups : ndarray of str, shape [clips]
        Whose clips' terms are added up, and whose factors each of its clips gets; empty where a clip is in none, and
        then nothing is known of it. ``None`` if every clip stands for itself.

    Raises
    ------
    DatasetError
        If a weight is negative or no number, or there is not a column a name.
    """

    names: Sequence[str]
    counts: Any
    weighting: Weighting = "counts"
    groups: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        if self.counts.shape[1] != len(self.names):
            raise DatasetError(f"terms {self.counts.shape} must be [clips, {len(self.names)} terms]")
        if not (self.counts.data >= 0).all():
            row = int(np.flatnonzero(~(self.counts.data >= 0))[0])
            raise DatasetError(f"weights of terms must be numbers of at least 0, not {self.counts.data[row]:g}")

    def __len__(self) -> int:
        return int(self.counts.shape[0])

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Which clips have a term, or are in a group that has one [clips]."""
        own = np.asarray(self.counts.sum(axis=1)).ravel() > 0
        if self.groups is None:
            return own
        return np.isin(self.groups, np.unique(self.groups[own & (self.groups != "")]))

    def take(self, rows: NDArray[np.int64]) -> Terms:
        """Those of the clips at `rows`; a row of -1 is a clip of which nothing is known."""
        from scipy.sparse import diags_array

        counts = diags_array((rows >= 0).astype(np.float64)) @ self.counts[np.maximum(rows, 0)]
        groups = None if self.groups is None else np.where(rows < 0, "", self.groups[rows])
        return Terms(self.names, counts.tocsr(), self.weighting, groups)


#: What a source can be.
Labels = Scalars | Terms


def terms_of(
    clips: int,
    cells: Iterable[tuple[int, Hashable, float]],
    weighting: Weighting = "counts",
    groups: NDArray[np.str_] | None = None,
) -> Terms:
    """Terms from triplets of a clip's row, a term and its weight, in any order; weights of one cell are added up."""
    from array import array

    from scipy.sparse import csr_array

    places: dict[Hashable, int] = {}
    rows, columns, weights = array("q"), array("q"), array("d")
    for row, term, weight in cells:
        rows.append(row)
        columns.append(places.setdefault(term, len(places)))
        weights.append(weight)
    at = (np.asarray(rows, dtype=np.int64), np.asarray(columns, dtype=np.int64))
    counts = csr_array((np.asarray(weights, dtype=np.float64), at), shape=(clips, len(places)))
    counts.sum_duplicates()
    return Terms(tuple(str(term) for term in places), counts, weighting, groups)
