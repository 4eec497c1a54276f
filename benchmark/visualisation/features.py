"""All features of a representation at once: their sorted activations, and labels of what excites each of them.

Source: Spijkervet, "Contrastive learning of musical representations" (thesis, 2021), Figures 7.4 and 7.8.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.visualisation.document import ExcitedLabels
from benchmark.store.embeddings import Embeddings
from benchmark.visualisation.exciting import embedded_clips
from tasks.base import Task

#: Windows that are taken as the most exciting of each feature, and labels that are counted at most.
WINDOWS, LABELS = 100, 60
#: Places of a curve of sorted activations.
PLACES = 33
#: Features that are looked at together, so that not all activations lie in memory.
BLOCK = 64


def sorted_activations(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean activations of clips [clips, dim], sorted from the highest, at `PLACES` even places [dim, places]."""
    ordered = -np.sort(-means, axis=0)
    places = np.linspace(0, len(means) - 1, min(PLACES, len(means))).round().astype(int)
    return np.asarray(ordered[places].T)


def excited_labels(task: Task, embeddings: Embeddings) -> ExcitedLabels | None:
    """How many of the windows that excite each feature most are of clips with each label.

    ``None`` where labels are numbers, or no window has any.
    """
    held = task.targets.holders()
    if held is None:
        return None
    clips = embedded_clips(task, embeddings)
    held = held[[row for row, _ in clips]]
    often = np.argsort(-held.sum(axis=0), kind="stable")
    chosen = [int(label) for label in often[:LABELS] if held[:, label].any()]
    if not chosen:
        return None
    sizes = [int(embeddings.first[at + 1] - embeddings.first[at]) for _, at in clips]
    windows = np.concatenate([np.arange(embeddings.first[at], embeddings.first[at + 1]) for _, at in clips])
    of_window = np.repeat(np.arange(len(clips)), sizes)
    taken = min(WINDOWS, len(windows))
    dim = int(embeddings.rows.shape[1])
    counts = np.zeros((dim, len(chosen)), np.int64)
    for begin in range(0, dim, BLOCK):
        columns = np.asarray(embeddings.rows[:, begin : begin + BLOCK])[windows]
        top = np.argsort(-columns, axis=0, kind="stable")[:taken]
        for place in range(columns.shape[1]):
            counts[begin + place] = held[of_window[top[:, place]]][:, chosen].sum(axis=0)
    share = held[of_window][:, chosen].mean(axis=0)
    return {
        "windows": taken,
        "labels": [task.label_names[label] for label in chosen],
        "share": [float(f"{value:.4g}") for value in share.tolist()],
        "counts": counts.tolist(),
    }
