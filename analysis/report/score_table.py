"""Representations by tasks: the leading score of each on each, with what a heat map is coloured by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.report.groups import Value
from analysis.report.leaderboard import Leaderboard, Row
from analysis.report.over_tasks import OverTasks
from analysis.tables.direction import better


@dataclass(frozen=True)
class ScoreTable:
    """Leading scores under each task's main protocol.

    Attributes
    ----------
    standin
        Whether the clips are stand-ins'.
    representations
        Rows, by falling mean of standardised scores; those that lack a task below the others.
    boards
        Columns.
    rows
        The leaderboard's row by representation and the label of the task; absent where nothing was run.
    deviations
        Standardised score [SD of the task's scores], likewise; absent where a task has no two different scores.
    means
        Of these, by representation.
    once
        Representations of which a single trained network was scored.
    """

    standin: bool
    representations: list[str]
    boards: list[Leaderboard]
    rows: Mapping[tuple[str, str], Row]
    deviations: Mapping[tuple[str, str], float]
    means: Mapping[str, float]
    once: frozenset[str]

    def value(self, representation: str, board: Leaderboard) -> Value | None:
        """The leading score of a cell over seeds."""
        row = self.rows.get((representation, board.group.label))
        return row.values.get(board.group.lead) if row else None

    def best(self, board: Leaderboard) -> str | None:
        """The representation with the best score of a column, of those that have not heard its test clips."""
        there = {
            name: value.mean
            for name in self.representations
            if (value := self.value(name, board)) is not None and not self.rows[name, board.group.label].mark
        }
        return max(there, key=lambda name: better(board.group.lead) * there[name], default=None)

    @property
    def seeds(self) -> list[int]:
        """The numbers of seeds that there are, rising."""
        values = [self.value(name, board) for name in self.representations for board in self.boards]
        return sorted({value.n for value in values if value is not None})


def score_table(boards: Sequence[Leaderboard], part: OverTasks | None, standin: bool) -> ScoreTable | None:
    """Put leaderboards side by side; ``None`` if there is none of this kind of data.

    Parameters
    ----------
    boards : sequence of Leaderboard
    part : OverTasks or None
        What holds over their tasks; its heat map orders the rows and says what is left out.
    standin : bool
        Which kind of data to take.
    """
    own = [board for board in boards if board.group.standin == standin]
    other = set(part.other_clips) if part is not None else set()
    own = [board for board in own if board.group.label not in other]
    if not own:
        return None
    rows = {
        (row.representation, board.group.label): row
        for board in own
        for row in board.rows
        if row.protocol == board.group.protocol
    }
    heat = part.heat if part is not None else None
    if heat is None:
        names = list(dict.fromkeys(name for name, _ in rows))
        once = frozenset(name for (name, _), row in rows.items() if row.trained_once)
        return ScoreTable(standin, names, own, rows, {}, {}, once)
    deviations = {
        (name, task): float(value)
        for name, values in zip(heat.representations, heat.values, strict=True)
        for task, value in zip(heat.tasks, values, strict=True)
        if np.isfinite(value)
    }
    means = dict(zip(heat.representations, map(float, heat.means), strict=True))
    # What has heard test clips has no part in what holds over tasks, and stands below what has.
    heard = [name for (name, _), row in rows.items() if row.overlap and name not in means]
    names = [*heat.representations, *dict.fromkeys(heard)]
    once = heat.once | {name for (name, _), row in rows.items() if name in heard and row.trained_once}
    return ScoreTable(standin, names, own, rows, deviations, means, once)
