"""Labels as objects: each kind knows how to be taken, drawn from, divided alike and kept in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.targets.base import Kind, Targets
from tasks.targets.events import Events
from tasks.targets.interactions import Interactions
from tasks.targets.matrices import UNKNOWN, Classes, Distributions, Tags, Values

__all__ = [
    "KINDS",
    "UNKNOWN",
    "Classes",
    "Distributions",
    "Events",
    "Interactions",
    "Kind",
    "Tags",
    "Targets",
    "Values",
    "load_targets",
    "matrix_targets",
    "targets_from",
]

#: Class of each kind.
KINDS: Mapping[Kind, type[Targets]] = {
    one.kind: one for one in (Tags, Classes, Values, Distributions, Interactions, Events)
}
_MATRICES = {one.kind: one for one in (Tags, Classes, Values, Distributions)}


def targets_from(arrays: Mapping[str, NDArray[Any]]) -> Targets:
    """Targets of any kind from what their `Targets.arrays` gave."""
    names = tuple(arrays["label_names"].tolist())
    return KINDS[str(arrays["kind"])].from_arrays(names, arrays)  # type: ignore[index]


def load_targets(path: Path) -> Targets:
    """Targets of any kind from a file that `Targets.save` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return targets_from(dict(arrays))


def matrix_targets(kind: Kind, names: Sequence[str], values: NDArray[Any]) -> Targets:
    """Targets of a kind whose labels are a row of numbers a clip, where the kind is known at run time only.

    Raises
    ------
    DatasetError
        If the numbers are none of that kind.
    """
    return _MATRICES[kind](names, values)
