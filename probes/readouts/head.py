"""The linear head that an encoder was trained with end to end; there is nothing left to fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probes.decisions import link
from probes.kinds import Kind
from probes.readouts.base import Examples
from probes.windows import clip_means


@dataclass(frozen=True)
class Head:
    """A fitted readout.

    Attributes
    ----------
    weight, bias : ndarray of float32, shapes [L, D] and [L]
        Of the logits, or of values in the labels' own units.
    hidden
        Weight and bias of the layers with ReLUs before it.
    kind
        Of the labels.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    kind: Kind
    hidden: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]] = ()
    selection: dict[str, Any] = field(default_factory=lambda: {"by": None, "decision": "mean_probability"})

    def predict(self, examples: Examples) -> NDArray[np.float32]:
        """Mean over each clip's windows of what the head says of them [clips, L]."""
        x = examples.features
        for weight, bias in self.hidden:
            x = np.maximum(x @ weight.T + bias, 0)
        return clip_means(link(x @ self.weight.T + self.bias, self.kind), examples.first)
