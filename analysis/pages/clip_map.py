"""A map of clips, or of windows, as pages take it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict


class ClipMap(TypedDict):
    """Points of a plane in which those that a representation finds alike lie together.

    Attributes
    ----------
    x, y
        Coordinates of each point.
    label
        Index into `labels` of each point.
    labels
        Names.
    neighbours
        Share of points whose nearest neighbour in the representation has the same label.
    chance
        That share if neighbours were drawn at random.
    """

    x: Sequence[float]
    y: Sequence[float]
    label: Sequence[int]
    labels: Sequence[str]
    neighbours: float
    chance: float
