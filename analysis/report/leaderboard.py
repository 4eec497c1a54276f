"""Who leads each task, and who cannot be told from the leader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from analysis.report.groups import Group, Run, Value, gather, over_seeds, pretraining, trained_once
from analysis.statistics.contrasts import ALPHA
from analysis.tables.direction import better

TIED = (
    "Tied with the best: the difference from the best has a p value of 0.05 or more by Tukey's test, which is corrected"
    " for all pairs of rows of a table in one metric, not for the number of metrics or tables (in the form of Games and"
    " Howell, for scores that vary differently), and whose standard error is that of both scores over test clips and"
    " seeds. The test takes the two scores as independent; they share their test clips, so"
    " it calls too many tied rather than too few, but of the luck of a row that has a single seed it knows nothing. The"
    " paired test of two encoders is bench compare."
)
TRAINED_ONCE = (
    "Trained once, or untrained weights drawn once: a single network stands for its recipe. Intervals and ties are of"
    " that network; how far from it another would come out, with another seed, is in none of them."
)
ONCE = "§"
"""Mark of what was trained once."""
_SURELY_NORMAL = 1e5
"""Degrees of freedom above which the studentised range has its limiting distribution."""


#: Of representations that were pretrained on test clips, and on their labels.
OVERLAP_MARK, LABELLED_MARK = "†", "‡"
#: Of weights that their publishers trained on the very dataset.
PUBLISHED_MARK = "¶"


@dataclass(frozen=True)
class Row:
    """One representation under one protocol.

    Attributes
    ----------
    values
        By metric; a metric that no run has is absent.
    best, tied
        Metrics in which the row has the best mean, or cannot be told from the row that has by the corrected p; none of
        what was pretrained on test clips.
    overlap
        Test clips that the encoder was pretrained on, at most over runs.
    labelled
        Of these, the clips whose labels it was trained on.
    published
        What its publishers trained it on of the dataset, ``"audio"`` or ``"labels"``; empty if on nothing of it.
    trained_once
        Whether a single trained network is behind all scores.
    lacking
        Clips that were used and those that the task has, where runs lack some; else empty.
    """

    representation: str
    encoder: str
    pretraining: str
    protocol: str
    seeds: int
    values: Mapping[str, Value]
    best: frozenset[str]
    tied: frozenset[str]
    parameters: int
    dim: int
    overlap: int
    labelled: int
    published: str
    trained_once: bool
    lacking: str

    @property
    def named(self) -> str:
        """The encoder, and what its scores lack."""
        return f"{self.encoder} ({self.lacking})" if self.lacking else self.encoder

    @property
    def mark(self) -> str:
        """``‡`` for labels of test clips, ``†`` for test clips without, ``¶`` for data of others' training, or none."""
        if self.overlap or self.labelled:
            return LABELLED_MARK if self.labelled else OVERLAP_MARK
        return PUBLISHED_MARK if self.published else ""

    @property
    def remark(self) -> str:
        """What the mark says."""
        if self.overlap or self.labelled:
            return overlap_words(self.overlap, self.labelled)
        return published_words(self.published)


@dataclass(frozen=True)
class Leaderboard:
    """Rows of a group, the best leading score first, and what a constant prediction reaches.

    What was pretrained on test clips stands behind all others.
    """

    group: Group
    rows: list[Row]
    floors: Mapping[str, float]
    level: float

    @property
    def rough(self) -> dict[str, str]:
        """Why intervals are rough, by metric; without metrics whose intervals are not."""
        found = [(metric, value.rough) for row in self.rows for metric, value in row.values.items() if value.rough]
        return dict(reversed(found))


def leaderboard(group: Group) -> Leaderboard | None:
    """Average over seeds and rank; ``None`` if the group has no plain run."""
    cells = list(gather(group.plain, "representation", "protocol", "recipe", "corpus").values())
    if not cells:
        return None
    values = [
        {metric: value for metric in group.metrics if (value := over_seeds(cell, metric)) is not None} for cell in cells
    ]
    # What was pretrained on test clips is ahead of nobody: it is neither best nor tied, and comes last.
    heard = [max(overlapping(run) for run in cell) for cell in cells]
    unheard = [{} if clips else row for clips, row in zip(heard, values, strict=True)]
    marks = {metric: _leading([row.get(metric) for row in unheard], better(metric)) for metric in group.metrics}
    rows = [
        Row(
            representation=cell[0]["representation"],
            encoder=cell[0]["encoder"],
            pretraining=pretraining(cell[0]["recipe"], cell[0]["corpus"]),
            protocol=cell[0]["protocol"],
            seeds=len({run["seed"] for run in cell}),
            values=values[i],
            best=frozenset(metric for metric in values[i] if i in marks[metric][0]),
            tied=frozenset(metric for metric in values[i] if i in marks[metric][1]),
            parameters=cell[0]["parameters"],
            dim=cell[0]["dim"],
            overlap=heard[i],
            labelled=max(run["overlap"]["labelled"] for run in cell),
            published=max(run["published"] for run in cell),
            trained_once=trained_once(cell),
            lacking="; ".join(sorted({run["lacking"] for run in cell} - {""})),
        )
        for i, cell in enumerate(cells)
    ]
    sign = better(group.lead)
    rows.sort(
        key=lambda row: (row.overlap > 0, -sign * row.values[group.lead].mean if group.lead in row.values else np.inf)
    )
    return Leaderboard(group, rows, _floors(group), _level(group.plain))


def overlapping(run: Run) -> int:
    """Test clips of a run that its encoder was trained on, with labels or without."""
    return max(run["overlap"]["clips"], run["overlap"]["labelled"])


def overlap_words(clips: int, labelled: int) -> str:
    """E.g. ``pretrained on 3 of the test clips, on 2 of them with their labels``."""
    return f"pretrained on {clips:,} of the test clips" + (
        f", on {labelled:,} of them with their labels" if labelled else ""
    )


def published_words(trained_on: str) -> str:
    """E.g. ``trained by its publishers with labels of this dataset``; empty if on nothing of it."""
    if not trained_on:
        return ""
    return f"trained by its publishers {'with labels' if trained_on == 'labels' else 'on audio'} of this dataset"


def _floors(group: Group) -> dict[str, float]:
    return {
        metric: float(np.mean([run["metrics"][metric]["floor"] for run in group.plain if metric in run["metrics"]]))
        for metric in group.metrics
    }


def _level(runs: list[Run]) -> float:
    return float(next(iter(runs[0]["metrics"].values()))["level"])


def _leading(values: list[Value | None], sign: int) -> tuple[set[int], set[int]]:
    """Places of the best value, which several may share, and places of those that cannot be told from it."""
    if all(value is None for value in values):
        return set(), set()
    first, tied = _compare(values, sign)
    best = {
        i for i, value in enumerate(values) if value is not None and _mean(value, sign) == _mean(values[first], sign)
    }
    return best, tied - best


def _compare(values: list[Value | None], sign: int = 1) -> tuple[int, set[int]]:
    """Place of the best value, the lowest if `sign` is -1, and places of those that cannot be told from it."""
    there = [i for i, value in enumerate(values) if value is not None]
    best = max(there, key=lambda i: _mean(values[i], sign))
    return best, {i for i in there if i != best and _p(values[best], values[i], len(there)) >= ALPHA}


def _mean(value: Value | None, sign: int) -> float:
    return -np.inf if value is None else sign * value.mean


def _p(a: Value | None, b: Value | None, rows: int) -> float:
    """Of a difference between two of so many rows: studentised range, degrees of freedom by Welch's rule."""
    assert a is not None
    assert b is not None
    difference = abs(a.mean - b.mean)
    variance = sum(value.clips_se**2 + value.seeds_se**2 for value in (a, b))
    if variance == 0.0:
        return 1.0 if difference == 0.0 else 0.0
    unsure = sum(value.seeds_se**4 / (value.n - 1) for value in (a, b) if value.n > 1)
    freedom = min(_SURELY_NORMAL, variance**2 / unsure) if unsure else np.inf
    range_ = float(difference * np.sqrt(2.0 / variance))
    # The range lies between that of one pair and the sum of all pairs (Bonferroni), which are quick: most need no more.
    pair = float(2.0 * stats.t.sf(range_ / np.sqrt(2.0), freedom))
    if pair >= ALPHA or rows == 2:
        return pair
    every = pair * rows * (rows - 1) / 2
    return every if every < ALPHA else float(stats.studentized_range.sf(range_, rows, freedom))


def as_records(boards: list[Leaderboard]) -> list[dict[str, Any]]:
    """Leaderboards as a long table: a dict a row and metric."""
    return [
        {
            "task": board.group.task,
            "data": "stand-in" if board.group.standin else "real",
            "fingerprint": board.group.fingerprint,
            "representation": row.representation,
            "encoder": row.encoder,
            "pretraining": row.pretraining,
            "protocol": row.protocol,
            "metric": metric,
            "score": value.mean,
            "lower": value.lower,
            "upper": value.upper,
            "rough": value.rough,
            "sd_seeds": value.sd,
            "seeds": value.n,
            "trained_once": row.trained_once,
            "floor": board.floors[metric],
            "best": metric in row.best,
            "tied": metric in row.tied,
            "tied_among": sum(metric in other.values for other in board.rows),
            "parameters": row.parameters,
            "dim": row.dim,
            "overlap": row.overlap,
            "overlap_labelled": row.labelled,
            "published": row.published,
            "lacking": row.lacking,
        }
        for board in boards
        for row in board.rows
        for metric, value in row.values.items()
    ]
