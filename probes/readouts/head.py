"""The linear head that an encoder was trained with end to end; there is nothing left to fit."""

from __future__ import annotations

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
    kind
        Of the labels.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    kind: Kind
    selection: dict[str, Any] = field(default_factory=lambda: {"by": None, "decision": "mean_probability"})

    def predict(self, examples: Examples) -> NDArray[np.float32]:
        """Mean over each clip's windows of what the head says of them [clips, L]."""
        return clip_means(link(examples.features @ self.weight.T + self.bias, self.kind), examples.first)
