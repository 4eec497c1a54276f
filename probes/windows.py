"""From windows to examples and back from windows to clips.

`first` [clips + 1] says which rows belong to a clip: ``first[c]`` up to ``first[c + 1]``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def clip_means(rows: NDArray[np.floating], first: NDArray[np.integer]) -> NDArray[np.float32]:
    """Mean of each clip's rows [windows, D]; shape [clips, D], summed in float64."""
    sizes = np.diff(first)
    if (sizes <= 0).any():
        raise ValueError("every clip must have at least one window")
    sums = np.add.reduceat(rows, first[:-1], axis=0, dtype=np.float64)
    return np.asarray(sums / sizes[:, None], dtype=np.float32)


def take_clips(
    rows: NDArray[np.float32], first: NDArray[np.integer], clips: NDArray[np.integer]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Rows of the chosen `clips`, in their order, and the `first` that goes with them."""
    sizes = np.diff(first)[clips]
    chosen = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    index = np.arange(chosen[-1]) + np.repeat(first[:-1][clips] - chosen[:-1], sizes)
    return np.asarray(rows[index]), chosen


def per_window(labels: NDArray[np.generic], first: NDArray[np.integer]) -> NDArray[np.generic]:
    """Each clip's labels [clips, L] once for each of its windows; shape [windows, L]."""
    return np.repeat(labels, np.diff(first), axis=0)
