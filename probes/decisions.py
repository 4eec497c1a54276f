"""From outputs for a clip's examples to one prediction for the clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from probes.kinds import Kind
from probes.objectives import objective_of
from probes.protocol import Decision, Loss

#: Decisions among which ``best`` chooses on validation, in order of precedence (Castellon et al. 2021).
CANDIDATES: Sequence[Decision] = ("mean_probability", "mean_logit", "vote", "max")


def link(outputs: NDArray[np.float32], kind: Kind, loss: Loss = "labels") -> NDArray[np.float32]:
    """Probabilities (sigmoid or softmax over the last axis), or values as they are."""
    return np.asarray(objective_of(kind, loss).link(torch.from_numpy(outputs)).numpy())


def decide(
    outputs: NDArray[np.float32],
    first: NDArray[np.integer],
    kind: Kind,
    decision: Decision,
    loss: Loss = "labels",
) -> NDArray[np.float32]:
    """Predictions of clips.

    Parameters
    ----------
    outputs : ndarray, shape [..., examples, C]
        Before the link function.
    first : ndarray, shape [clips + 1]
        Clip `c` has the examples ``first[c]`` to ``first[c + 1]``.
    kind, loss
        Decide the link function.
    decision
        ``mean_probability``: mean over the clip's examples after the link function; ``mean_logit``: link function of
        the mean; ``vote``: share of examples for which a class wins (a label is above one half); ``max``: link
        function of each output's maximum.

    Returns
    -------
    ndarray of float32, shape [..., clips, C]
    """
    alone = len(first) - 1 == outputs.shape[-2]
    if decision == "mean_probability":
        found = link(outputs, kind, loss)
        return found if alone else _means(found, first)
    if decision == "mean_logit":
        return link(outputs if alone else _means(outputs, first), kind, loss)
    if decision == "max":
        return link(np.maximum.reduceat(outputs, first[:-1], axis=-2), kind, loss)
    return _means(objective_of(kind).votes(outputs).astype(np.float32), first)


def _means(rows: NDArray[np.float32], first: NDArray[np.integer]) -> NDArray[np.float32]:
    sums = np.add.reduceat(rows, first[:-1], axis=-2, dtype=np.float64)
    return np.asarray(sums / np.diff(first)[:, None], dtype=np.float32)


def best_decision(values: Mapping[Decision, float]) -> Decision:
    """The decision of the highest value; the earlier one among equals."""
    return max(values, key=lambda name: values[name])
