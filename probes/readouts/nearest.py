"""Nearest neighbours by cosine distance, without any training: what similar examples are labelled.

Agrees with scikit-learn's `KNeighborsClassifier(metric="cosine")` where distances differ. A tag's neighbours are
those of which the tag is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probes.objectives import objective_of
from probes.protocol import Nearest, several
from probes.readouts.base import Advance, Examples, ProbeTask
from probes.readouts.judgement import finite, highest
from probes.validation import stacked_metric
from probes.windows import clip_means

#: Distances held at a time.
BLOCK = 1 << 24


@dataclass(frozen=True)
class Gallery:
    """Training examples that others are compared with.

    Attributes
    ----------
    directions : ndarray of float64, shape [examples, D]
        Features of length 1, or 0 where they all are.
    targets : ndarray of float32, shape [examples, outputs]
        One-hot classes, tags, values or shares; -1 for a tag that nobody knows.
    partial
        Whether there are such tags.
    neighbours
        How many are asked.
    by_distance
        Whether they count by the reciprocal of their distance.
    selection
        What was chosen on validation.
    """

    directions: NDArray[np.float64]
    targets: NDArray[np.float32]
    partial: bool
    neighbours: int
    by_distance: bool
    selection: dict[str, Any]

    def predict(self, examples: Examples) -> NDArray[np.float32]:
        """Mean over a clip's examples of their neighbours' mean targets [clips, outputs]."""
        return clip_means(self.of_examples(examples.features), examples.first)

    def of_examples(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Weighted mean of the nearest examples' targets, for features [n, D]; shape [n, outputs]."""
        queries = _directions(features)
        found = np.empty((len(queries), self.targets.shape[1]), dtype=np.float32)
        size = max(1, BLOCK // max(1, len(self.directions)))
        for start in range(0, len(queries), size):
            part = slice(start, start + size)
            distances = np.clip(1 - queries[part] @ self.directions.T, 0, 2)
            if not self.partial:
                found[part] = self._mean(distances, self.targets)
                continue
            for column in range(self.targets.shape[1]):
                known = self.targets[:, column] >= 0
                # Of a tag that nobody knows of any clip, nothing can be said.
                found[part, column] = 0.5
                if known.any():
                    found[part, column] = self._mean(distances[:, known], self.targets[known, column, None])[:, 0]
        return found

    def _mean(self, distances: NDArray[np.float64], targets: NDArray[np.float32]) -> NDArray[np.float64]:
        count = min(self.neighbours, len(targets))
        nearest = np.argsort(distances, axis=1, kind="stable")[:, :count]
        weights = np.ones(nearest.shape)
        if self.by_distance:
            own = np.take_along_axis(distances, nearest, axis=1)
            same = own == 0
            # An example that is there itself says all, as in scikit-learn.
            with np.errstate(divide="ignore"):
                weights = np.where(same.any(axis=1, keepdims=True), same, 1 / own)
        weights = weights / weights.sum(axis=1, keepdims=True)
        return np.asarray(np.einsum("nk,nkc->nc", weights, targets[nearest].astype(np.float64)))


class NearestReadout:
    """Nearest neighbours; how many is chosen on validation where there is a choice."""

    def __init__(self, numbers: Nearest) -> None:
        self._numbers = numbers

    def fit(
        self, train: Examples, valid: Examples, task: ProbeTask, seed: int, device: str, advance: Advance
    ) -> Gallery:
        """Remember the training examples; see `probes.readouts.base.Readout`."""
        del seed, device
        targets = objective_of(task.kind).targets(train.example_labels, task.outputs)
        directions = _directions(train.features)
        partial = task.kind == "multilabel" and bool((targets < 0).any())
        by_distance = self._numbers.weights == "distance"
        choices = several(self._numbers.neighbours)

        def gallery(neighbours: int, selection: dict[str, Any]) -> Gallery:
            return Gallery(directions, targets, partial, neighbours, by_distance, selection)

        values = []
        for neighbours in choices:
            advance(1)
            if neighbours > len(directions):
                values.append(math.nan)
                continue
            predictions = gallery(neighbours, {}).predict(valid)
            values.append(float(stacked_metric(task.metric_name, task.metric, valid.labels, predictions[None])[0]))
        if not any(neighbours <= len(directions) for neighbours in choices):
            raise ValueError(f"{len(directions)} training examples are fewer than the neighbours of every setting")
        chosen = highest(values)
        selection = {
            "by": task.metric_name,
            "value": finite(values[chosen]),
            "configurations": len(choices),
            "chosen": {"neighbours": choices[chosen], "weights": self._numbers.weights},
            "decision": "mean_probability",
            "values": [finite(value) for value in values],
        }
        return gallery(choices[chosen], selection)


def _directions(features: NDArray[np.float32]) -> NDArray[np.float64]:
    rows = features.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1))
