"""What one source of labels says of the clips of a corpus: factors to be predicted, or pairs to be told apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: The source that learns from the audio alone: whether two crops are of one clip (Kim et al. 2020, section 2.2.1).
SELF = "self"


@dataclass(frozen=True)
class SourceLabels:
    """One source of labels, for the clips of a corpus in their order.

    Attributes
    ----------
    name
        What recipes call it.
    factors : ndarray of float32, shape [clips, K], or None
        Distribution over K factors of every labelled clip, zeros for the others; ``None`` for `SELF`.
    labelled : ndarray of bool, shape [clips]
        Which clips the source says anything of.
    """

    name: str
    factors: NDArray[np.float32] | None
    labelled: NDArray[np.bool_]


def write_source_labels(path: Path, labels: SourceLabels) -> None:
    """Keep the labels of a source in one file of arrays."""
    arrays: dict[str, Any] = {"name": np.array(labels.name), "labelled": labels.labelled}
    if labels.factors is not None:
        arrays["factors"] = labels.factors
    np.savez_compressed(path, **arrays)


def read_source_labels(path: Path) -> SourceLabels:
    """The labels that `write_source_labels` kept."""
    with np.load(path, allow_pickle=False) as arrays:
        return SourceLabels(str(arrays["name"]), arrays.get("factors"), arrays["labelled"])
