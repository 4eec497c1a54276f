"""Representations of all windows of a dataset: one memory-mapped row a window, and where each clip's rows are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROWS = "embeddings.float32"
INDEX = "index.npz"


@dataclass(frozen=True)
class Embeddings:
    """Representations, opened for reading.

    Attributes
    ----------
    rows : ndarray of float32, shape [windows, dim]
        Windows of a clip are neighbours, in order of time.
    clip_ids
        One for each clip.
    first : ndarray of int64, shape [clips + 1]
        Clip `c` has the rows ``first[c]`` to ``first[c + 1]``.
    seconds : ndarray of float32, shape [windows]
        Where in its clip each window starts [s].
    """

    rows: NDArray[np.float32]
    clip_ids: tuple[str, ...]
    first: NDArray[np.int64]
    seconds: NDArray[np.float32]


def open_embeddings(folder: Path) -> Embeddings:
    """Open what the embed step left in `folder`."""
    with np.load(folder / INDEX, allow_pickle=False) as index:
        windows, dim = index["shape"].tolist()
        rows = np.memmap(folder / ROWS, dtype=np.float32, mode="r", shape=(windows, dim))
        return Embeddings(rows, tuple(index["clip_ids"].tolist()), index["first"], index["seconds"])
