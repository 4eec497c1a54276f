"""Representations of all windows of a dataset: one memory-mapped row a window, and where each clip's rows are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

#: Stands for the representation itself among the names of layers.
REPRESENTATION = ""
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
    durations : ndarray of float32, shape [clips], optional
        Of the clips' audio [s]; ``None`` in artifacts that were made before they were kept.
    digests : tuple of str
        Hash of each clip's audio; empty in artifacts that were made before they were kept.
    """

    rows: NDArray[np.float32]
    clip_ids: tuple[str, ...]
    first: NDArray[np.int64]
    seconds: NDArray[np.float32]
    durations: NDArray[np.float32] | None
    digests: tuple[str, ...] = ()


def rows_file(number: int) -> str:
    """Name of the file with the rows of the `number`-th layer of an artifact; one of the representation alone is 0."""
    return f"embeddings.{number}.float32"


def open_embeddings(folder: Path, layer: str | None = None) -> Embeddings:
    """Open what the embed step left in `folder`: the representation, or one `layer` of those it has.

    Raises
    ------
    KeyError
        If the artifact was not made for that layer.
    """
    with np.load(folder / INDEX, allow_pickle=False) as index:
        names = index["layers"].tolist()
        if (layer or REPRESENTATION) not in names:
            raise KeyError(f"{folder}: has no layer {layer!r}")
        number = names.index(layer or REPRESENTATION)
        rows = np.memmap(
            folder / rows_file(number),
            dtype=np.float32,
            mode="r",
            shape=(int(index["first"][-1]), int(index["dims"][number])),
        )
        clip_ids = tuple(index["clip_ids"].tolist())
        digests = tuple(index["digests"].tolist()) if "digests" in index else ()
        return Embeddings(rows, clip_ids, index["first"], index["seconds"], index.get("durations"), digests)
