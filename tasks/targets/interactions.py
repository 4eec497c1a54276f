"""Who listened to what: users by clips, as recommendation learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from tasks import DatasetError
from tasks.targets.base import Kind, Targets
from tasks.targets.matrices import tenths


class Interactions(Targets):
    """How often each user played each clip.

    Parameters
    ----------
    names
        Of the users.
    values
        Counts or weights above 0 where there is an interaction, as `scipy.sparse.csr_array` [clips, users], or what
        can be made one.

    Raises
    ------
    DatasetError
        If there is not a column a user.
    """

    kind: ClassVar[Kind] = "interactions"

    def __init__(self, names: Sequence[str], values: Any) -> None:
        from scipy.sparse import csr_array  # a tenth of a second, for the few who need it

        super().__init__(names)
        self._values = csr_array(values)
        self._values.sum_duplicates()
        if self._values.shape[1] != len(self.names):
            raise DatasetError(f"interactions {self._values.shape} must be [clips, {len(self.names)} users]")

    @property
    def values(self) -> Any:
        """Sparse counts [clips, users]."""
        return self._values

    def take(self, rows: NDArray[Any]) -> Self:
        """Those of the clips at `rows`, in that order."""
        return type(self)(self.names, self._values[rows])

    def strata(self, each: int = 1) -> NDArray[np.int64]:
        """The tenth of the number of users who played a clip, by rank."""
        return tenths(np.diff(self._values.indptr), each)

    def content(self) -> list[Any]:
        """Beginnings of rows, columns, and counts."""
        return [self._values.indptr.tolist(), self._values.indices.tolist(), self._values.data.tolist()]

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"data": self._values.data, "indices": self._values.indices, "indptr": self._values.indptr}

    @classmethod
    def from_arrays(cls, names: Sequence[str], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """What `arrays` was made of."""
        from scipy.sparse import csr_array

        parts = (arrays["data"], arrays["indices"], arrays["indptr"])
        return cls(names, csr_array(parts, shape=(len(arrays["indptr"]) - 1, len(names))))
