"""What labels can do, whatever they are: be taken, drawn from, divided alike and kept in a file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from tasks.targets.draws import in_turn, of_each_set

Kind = Literal["multilabel", "multiclass", "regression", "distribution", "interactions", "events"]


class Targets(ABC):
    """Labels of some clips, in the order of the clips; read-only.

    Parameters
    ----------
    names
        Of what is told of a clip: tags, classes, columns of values, users or sorts of events.
    """

    #: What they are, as metrics and protocols name it.
    kind: ClassVar[Kind]

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    @property
    @abstractmethod
    def values(self) -> Any:
        """The labels as metrics take them; shape and meaning are those that the class states."""

    def __len__(self) -> int:
        return int(self.values.shape[0])

    @abstractmethod
    def take(self, rows: NDArray[Any]) -> Self:
        """Those of the clips at `rows` (indices, or a mask of all clips), in that order."""

    @abstractmethod
    def strata(self, each: int = 1) -> NDArray[np.int64]:
        """What the parts of a division are to hold alike [clips].

        Parameters
        ----------
        each
            Values are cut into fewer strata than ten where one would have fewer clips than this.
        """

    def subset(self, fraction: float, seed: int) -> NDArray[np.int64]:
        """Rows of a stratified fraction of the clips, ascending; smaller fractions lie inside larger ones of a seed.

        All clips are put into one order, of which every fraction takes the beginning; see `order`.

        Parameters
        ----------
        fraction
            Above 0, up to 1; at least one clip is taken.
        seed
            Of the order.

        Raises
        ------
        ValueError
            If the fraction does not lie in its range.
        """
        if not 0 < fraction <= 1:
            raise ValueError(f"the fraction of labels must lie above 0 and up to 1, not {fraction:g}")
        return np.sort(self.order(seed)[: max(1, round(fraction * len(self)))])

    def order(self, seed: int) -> NDArray[np.int64]:
        """All rows in a random order in which strata take turns in proportion to their size [clips]."""
        return in_turn(self.strata(), _shuffled(len(self), seed))

    def windows(self, counts: NDArray[np.integer], fraction: float, seed: int) -> NDArray[np.bool_]:
        """Which windows of the clips are drawn if every distinct set of labels gives the same fraction of its own.

        See `tasks.targets.draws.of_each_set`; smaller fractions lie inside larger ones of a seed.

        Parameters
        ----------
        counts : ndarray of int, shape [clips]
            Windows of each clip, which lie clip by clip in the result [windows].
        fraction
            Above 0, up to 1.
        seed
            Of the draw.

        Raises
        ------
        ValueError
            If the labels are no sets, or the fraction does not lie in its range.
        """
        if not 0 < fraction <= 1:
            raise ValueError(f"the fraction of labels must lie above 0 and up to 1, not {fraction:g}")
        sets = np.repeat(self._sets(), counts)
        return of_each_set(sets, fraction, _shuffled(len(sets), seed))

    def _sets(self) -> NDArray[np.int64]:
        raise ValueError(f"{self.kind} labels are no sets of which to draw windows; draw clips")

    def shots(self, k: int, seed: int) -> NDArray[np.int64]:
        """Rows of `k` clips a class, ascending; a class with fewer gives all. Fewer shots lie inside more of a seed.

        Raises
        ------
        ValueError
            If the labels know no classes, or `k` is not at least 1.
        """
        if k < 1:
            raise ValueError(f"the number of clips a class must be at least 1, not {k}")
        return np.sort(self._shots(k, _shuffled(len(self), seed)))

    def _shots(self, k: int, shuffled: NDArray[np.int64]) -> NDArray[np.int64]:
        raise ValueError(f"{self.kind} labels have no classes of which to take {k} clips each; take a fraction of them")

    def holders(self) -> NDArray[np.bool_] | None:
        """Which clip is known to have which label [clips, labels]; ``None`` where labels are numbers or plays."""
        return None

    def classes(self, limit: int) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """One class a clip [clips] of the `limit` most frequent, -1 where it has none or several, and their names."""
        del limit
        return np.full(len(self), -1, dtype=np.int64), ()

    @abstractmethod
    def content(self) -> list[Any]:
        """All labels as nested lists of numbers, such as a fingerprint is made of."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything that `targets_from` needs, as arrays that no pickle is needed for."""
        return {"kind": np.array(self.kind), "label_names": np.array(self.names, dtype=np.str_), **self._arrays()}

    @abstractmethod
    def _arrays(self) -> dict[str, NDArray[Any]]: ...

    @classmethod
    @abstractmethod
    def from_arrays(cls, names: Sequence[str], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """What `arrays` was made of."""

    def save(self, path: Path) -> None:
        """Write them to an ``.npz`` file."""
        np.savez_compressed(path, allow_pickle=False, **self.arrays())


def _shuffled(count: int, seed: int) -> NDArray[np.int64]:
    return np.asarray(np.random.default_rng(seed).permutation(count))
