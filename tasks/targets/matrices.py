"""Labels that are a row of numbers a clip: tags, a class, values, or a distribution over classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from tasks import DatasetError
from tasks.targets.base import Kind, Targets
from tasks.targets.draws import every_label

#: Strata that values are cut into, where there are clips enough.
TENTHS = 10
#: State of a tag that nobody has judged.
UNKNOWN = -1


class _Matrix(Targets):
    """Numbers [clips, L]."""

    def __init__(self, names: Sequence[str], values: NDArray[Any]) -> None:
        super().__init__(names)
        self._values = values

    @property
    def values(self) -> NDArray[Any]:
        """The labels [clips, L]."""
        return self._values

    def take(self, rows: NDArray[Any]) -> Self:
        """Those of the clips at `rows`, in that order."""
        return type(self)(self.names, self._values[rows])

    def content(self) -> list[Any]:
        """Rows of numbers."""
        return list(self._values.tolist())

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"labels": self._values}

    @classmethod
    def from_arrays(cls, names: Sequence[str], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """What `arrays` was made of."""
        return cls(names, arrays["labels"])

    def _check_columns(self) -> None:
        if self._values.ndim != 2 or self._values.shape[1] != len(self.names):
            raise DatasetError(f"{self.kind} labels {self._values.shape} must be [clips, {len(self.names)} names]")


class Tags(_Matrix):
    """Any number of tags a clip.

    Parameters
    ----------
    names
        Of the tags.
    values : ndarray, shape [clips, tags]
        1 where a clip has a tag, 0 where it has not, -1 where nobody knows: such a cell is neither trained on nor
        scored. Kept as int8.

    Raises
    ------
    DatasetError
        If there is another number, or not a column a name.
    """

    kind: ClassVar[Kind] = "multilabel"

    def __init__(self, names: Sequence[str], values: NDArray[Any]) -> None:
        if not np.isin(values, (0, 1, UNKNOWN)).all():
            raise DatasetError("tags must be 1 (has it), 0 (has it not) or -1 (not known)")
        super().__init__(names, np.asarray(values, dtype=np.int8))
        self._check_columns()

    def strata(self, each: int = 1) -> NDArray[np.int64]:
        """The rarest tag that each clip is known to have, -1 for none."""
        del each
        return rarest(self._values == 1)

    def order(self, seed: int) -> NDArray[np.int64]:
        """A clip for every tag, rarest first, as far as clips of rarer tags do not have it; then all others."""
        return _labels_first(self._values == 1, seed)

    def holders(self) -> NDArray[np.bool_]:
        """Where a tag is 1."""
        return np.asarray(self._values == 1)

    def _sets(self) -> NDArray[np.int64]:
        return np.asarray(np.unique(self._values, axis=0, return_inverse=True)[1].reshape(-1), dtype=np.int64)

    def _shots(self, k: int, shuffled: NDArray[np.int64]) -> NDArray[np.int64]:
        return every_label(self._values == 1, shuffled, k)

    def classes(self, limit: int) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """The tag of each clip that has one and only one of the `limit` most frequent."""
        held = self._values == 1
        top = np.argsort(-held.sum(axis=0), kind="stable")[:limit]
        chosen = held[:, top]
        single = np.where(chosen.sum(axis=1) == 1, chosen.argmax(axis=1) if len(top) else -1, -1)
        return single, tuple(self.names[tag] for tag in top)


class Classes(_Matrix):
    """One class a clip.

    Parameters
    ----------
    names
        Of all classes, also of those without a clip.
    values : ndarray of int, shape [clips] or [clips, 1]
        Index of each clip's class. Kept as int64 [clips, 1].

    Raises
    ------
    DatasetError
        If an index is none of a name.
    """

    kind: ClassVar[Kind] = "multiclass"

    def __init__(self, names: Sequence[str], values: NDArray[Any]) -> None:
        indices = np.asarray(values, dtype=np.int64).reshape(-1, 1)
        if len(indices) and not 0 <= indices.min() <= indices.max() < len(names):
            raise DatasetError(f"classes must be indices of {len(names)} names, not {indices.min()} to {indices.max()}")
        super().__init__(names, indices)

    def strata(self, each: int = 1) -> NDArray[np.int64]:
        """The class."""
        del each
        return self._values[:, 0]

    def holders(self) -> NDArray[np.bool_]:
        """The class of each clip."""
        return np.asarray(self._values == np.arange(len(self.names)))

    def _sets(self) -> NDArray[np.int64]:
        return self._values[:, 0]

    def _shots(self, k: int, shuffled: NDArray[np.int64]) -> NDArray[np.int64]:
        return every_label(self._values == np.arange(len(self.names)), shuffled, k)

    def classes(self, limit: int) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """The class, whatever `limit` is."""
        del limit
        return self._values[:, 0], self.names


class Values(_Matrix):
    """Real numbers, such as arousal and valence.

    Parameters
    ----------
    names
        Of the columns.
    values : ndarray of float64, shape [clips, columns]
        In the units of the source.

    Raises
    ------
    DatasetError
        If a value is no finite number, or there is not a column a name.
    """

    kind: ClassVar[Kind] = "regression"

    def __init__(self, names: Sequence[str], values: NDArray[Any]) -> None:
        super().__init__(names, np.asarray(values, dtype=np.float64))
        self._check_columns()
        if not np.isfinite(self._values).all():
            raise DatasetError("values must be finite numbers")

    def strata(self, each: int = 1) -> NDArray[np.int64]:
        """The tenth of the first column, or a larger part where tenths have fewer clips than `each`."""
        return tenths(self._values[:, 0], each)


class Distributions(_Matrix):
    """Shares of classes, such as the votes of several listeners.

    Parameters
    ----------
    names
        Of the classes.
    values : ndarray of float64, shape [clips, classes]
        Probabilities; every row sums to 1.

    Raises
    ------
    DatasetError
        If a row is no distribution, or there is not a column a name.
    """

    kind: ClassVar[Kind] = "distribution"

    def __init__(self, names: Sequence[str], values: NDArray[Any]) -> None:
        super().__init__(names, np.asarray(values, dtype=np.float64))
        self._check_columns()
        if not (self._values >= 0).all() or not np.allclose(self._values.sum(axis=1), 1, atol=1e-6):
            raise DatasetError("distributions must be shares of at least 0 that sum to 1")

    def strata(self, each: int = 1) -> NDArray[np.int64]:
        """The most probable class."""
        del each
        return np.asarray(self._values.argmax(axis=1), dtype=np.int64)

    def _shots(self, k: int, shuffled: NDArray[np.int64]) -> NDArray[np.int64]:
        return every_label(self.strata()[:, None] == np.arange(len(self.names)), shuffled, k)


def rarest(held: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Index of the rarest label that each clip has, -1 for none [clips], of what each has [clips, labels]."""
    order = np.argsort(held.sum(axis=0, dtype=np.int64), kind="stable")
    ordered = held[:, order]
    return np.where(ordered.any(axis=1), order[ordered.argmax(axis=1)], -1)


def tenths(values: NDArray[Any], each: int) -> NDArray[np.int64]:
    """Part of the range that each value lies in, by rank [n]: ten parts, or fewer that hold `each` values."""
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    count = max(1, min(TENTHS, len(ranks) // each))
    return np.asarray(ranks * count // max(1, len(ranks)), dtype=np.int64)


def _labels_first(held: NDArray[np.bool_], seed: int) -> NDArray[np.int64]:
    shuffled = np.random.default_rng(seed).permutation(len(held))
    chosen = every_label(held, shuffled, 1)
    return np.concatenate([chosen, shuffled[~np.isin(shuffled, chosen)]])
