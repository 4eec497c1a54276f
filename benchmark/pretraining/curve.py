"""What a training measured over its steps: a table that stays small however long the training is.

The first thousand steps have a row each; after that, every doubling of the length doubles the steps a row stands
for, and a row is the mean over them. Which steps have rows depends on their number alone, so a training that is
stopped, or made longer later, has the same rows as one that went through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

#: Steps with a row each; every later doubling of the length has half as many rows.
FINE = 1000


def rows_end_at(step: int) -> bool:
    """Whether a row ends with a step, counted from 0."""
    return (step + 1) % stride(step) == 0


def stride(step: int) -> int:
    """How many steps a row at `step` stands for."""
    return 1 << (step // FINE).bit_length()


class Curve:
    """Means of what is measured at each step.

    Values stay on their device until they are asked for, so that no step waits for it.

    Parameters
    ----------
    columns
        Names of the values.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        self._steps: list[int] = []
        self._rows: list[Tensor] = []
        self._sum: Tensor | None = None
        self._count = 0

    def add(self, step: int, values: Tensor) -> None:
        """Take the values [columns] of a step; steps come in order."""
        self._sum = values if self._sum is None else self._sum.to(values.device) + values
        self._count += 1
        if rows_end_at(step):
            self._steps.append(step)
            self._rows.append(self._sum / self._count)
            self._sum, self._count = None, 0

    def table(self) -> list[tuple[int, dict[str, float]]]:
        """Last step and mean values of every row."""
        self._rows = [row.cpu() for row in self._rows]
        return [
            (step, dict(zip(self.columns, row.tolist(), strict=True)))
            for step, row in zip(self._steps, self._rows, strict=True)
        ]

    def state(self) -> dict[str, Any]:
        """All that has been taken, as tensors and numbers."""
        self._rows = [row.cpu() for row in self._rows]
        rows = torch.stack(self._rows) if self._rows else torch.empty(0, len(self.columns))
        return {"steps": list(self._steps), "rows": rows, "sum": self._sum, "count": self._count}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        self._steps = [int(step) for step in state["steps"]]
        self._rows = list(state["rows"])
        self._sum = state["sum"]
        self._count = int(state["count"])
