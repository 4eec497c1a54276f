"""The document that a design is: what `bench design` prints with ``--json`` and writes as ``design.json``."""

from __future__ import annotations

from typing import TypedDict

Level = str | float | bool
"""A level of a factor; numbers that are whole are written as integers."""


class DesignStep(TypedDict):
    """A run that is proposed, and the design with it.

    Attributes
    ----------
    unbalance
        Of the worst factor, the range of its levels' counts.
    n_optimal
        Candidates that leave the design as well balanced.
    aliasing
        Largest correlation between columns of different factors.
    """

    unbalance: int
    n_optimal: int
    aliasing: float


class WorstAlias(TypedDict):
    """The two effects that are hardest to tell apart, earlier runs included.

    Attributes
    ----------
    value
        Absolute correlation of their columns.
    a, b
        The columns.
    """

    value: float
    a: str
    b: str


class ReplayedStep(TypedDict):
    """A run of a sequence, judged.

    Attributes
    ----------
    unbalance, least
        After it, and the least that any candidate would have given.
    n_optimal
        Candidates that would have given the least.
    optimal
        Whether it is one of these.
    """

    unbalance: int
    least: int
    n_optimal: int
    optimal: bool


class Replay(TypedDict):
    """A sequence of runs, judged choice by choice.

    Attributes
    ----------
    runs, optimal
        How many there are, and how many were balance-optimal.
    steps
        Of each run.
    """

    runs: int
    optimal: int
    steps: list[ReplayedStep]


class ProposedRuns(TypedDict):
    """Runs to make next.

    Attributes
    ----------
    factors, kept_apart
        Factors, and those whose aliasing counts.
    candidates, start
        How many runs are possible, and how many were made before.
    runs
        Level by factor of each run, in order.
    steps
        Of each run.
    unbalance, levels
        After the last run, and the range of level counts by factor; null where no run is proposed.
    worst_alias
        Null while fewer than two factors vary.
    replay
        Null unless a sequence is given.
    """

    factors: list[str]
    kept_apart: list[str]
    candidates: int
    start: int
    runs: list[dict[str, Level]]
    steps: list[DesignStep]
    unbalance: int | None
    levels: dict[str, int] | None
    worst_alias: WorstAlias | None
    replay: Replay | None


class PlannedPair(TypedDict):
    """What it takes until two levels are called different; null where no number is enough.

    Attributes
    ----------
    a, b
        The levels.
    tasks, repeats
        Tasks, and scores per cell (seeds), each held fixed while the other is sought.
    power_now
        Probability that they are called different with both.
    tasks_needed
        Tasks for the wanted power.
    repeats_needed
        Scores per cell for the wanted power; at least 2 where these are needed to cover the luck of training.
    seeds_known
        False where every cell of the analysis has one score, which says nothing of more.
    covers_training
        Whether a study with so many scores per cell says something of what the levels' recipes give; if not, that their
        networks are told apart is all that is planned for.
    """

    a: str
    b: str
    tasks: int
    repeats: int
    power_now: float
    tasks_needed: int | None
    repeats_needed: int | None
    seeds_known: bool
    covers_training: bool


class StudySize(TypedDict):
    """How large a study of all levels of an analysis must be, complete, until two of them are called different.

    Attributes
    ----------
    difference
        To detect, in the unit of the analysis.
    power, alpha
        Wanted probability of detection, and what the adjusted p must be below.
    levels, comparisons
        Levels of the study, and pairs of them, over all of which p is adjusted by Holm's method, whichever are asked
        for.
    pairs
        Of levels.
    summary
        The same in sentences.
    """

    difference: float
    power: float
    alpha: float
    levels: int
    comparisons: int
    pairs: list[PlannedPair]
    summary: list[str]


class DesignDocument(TypedDict):
    """Runs to make next, and how large a study must be.

    Attributes
    ----------
    schema_version, kind
        Raised when a key changes its meaning; ``"design"``.
    design
        Null unless runs were asked for.
    power
        Null unless a difference was given.
    files
        What was written beside this document.
    """

    schema_version: int
    kind: str
    design: ProposedRuns | None
    power: StudySize | None
    files: list[str]
