"""The line beside each row of a leaderboard: where its score, its interval and the floor lie on it."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.report.groups import Value
from analysis.report.leaderboard import Leaderboard

_NEAR = 1.0
"""The floor is on the line if it is no further below the intervals than so many times their common range."""


@dataclass(frozen=True)
class Track:
    """Ends of the line, in the unit of the score; `floor` is ``None`` where it lies too far off to be drawn."""

    low: float
    high: float
    floor: float | None

    def place(self, score: float) -> float:
        """Where a score lies, in percent of the line from its left end."""
        return 100.0 * (score - self.low) / ((self.high - self.low) or 1.0)

    def span(self, value: Value) -> tuple[float, float, float]:
        """Left end and width of the interval, and place of the score, in percent."""
        left, right = self.place(value.lower), self.place(value.upper)
        return left, right - left, self.place(value.mean)

    @property
    def floor_place(self) -> float | None:
        """Where the floor lies, in percent."""
        return None if self.floor is None else self.place(self.floor)


def track(board: Leaderboard) -> Track:
    """The line of all rows of a leaderboard, in its leading metric."""
    lead = board.group.lead
    values = [row.values[lead] for row in board.rows if lead in row.values]
    low, high = min(value.lower for value in values), max(value.upper for value in values)
    floor, near = board.floors[lead], _NEAR * (high - low)
    fits = low - near <= floor <= high + near
    ends = [low, high, *([floor] if fits else [])]
    pad = 0.02 * (max(ends) - min(ends))
    return Track(min(ends) - pad, max(ends) + pad, floor if fits else None)
