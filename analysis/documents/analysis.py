"""The document that an analysis is: what `bench analyze` prints with ``--json`` and writes as ``analysis.json``.

Every number is a JSON number or null; there is no NaN. Five keys mean the same wherever they stand: ``estimate``;
``se``, its standard error; ``lower`` and ``upper``, its 95 % interval; ``p``, of the hypothesis that the quantity is
zero. Where one has no meaning, or needs a bootstrap that was not asked for, it is null. Unless the model's ``natural``
is true, scores are in standard deviations of their task's scores.
"""

from __future__ import annotations

from typing import TypedDict

from analysis.documents.agreement import Agreement
from analysis.documents.bayes import BayesianCheck
from analysis.documents.estimates import BestLevel, Contrast, FixedEffect, RandomEffect, ResidualSpread
from analysis.documents.ranks import MeanRanks
from analysis.documents.shares import VarianceShares


class AnalysedTable(TypedDict):
    """The rows that were analysed.

    Attributes
    ----------
    source
        Name of the file; null for a table that was in memory, such as the scores of a store.
    rows, tasks
        How many.
    task_names, levels
        Tasks, and levels of the factor or sizes, in order.
    complete
        Whether every cell of level x covariate has as many scores in each task.
    trained_once
        Levels behind whose scores there is one trained network.
    standin
        Whether the data are a stand-in's; null if the table does not say.
    """

    source: str | None
    rows: int
    tasks: int
    task_names: list[str]
    levels: list[str]
    complete: bool
    trained_once: list[str]
    standin: bool | None


class ModelFacts(TypedDict):
    """The model that was fitted.

    Attributes
    ----------
    requested, fitted, reason
        Models; a sentence if they differ.
    formula
        What was fitted, in lme4's notation.
    score, group, factor, covariate, size
        Columns; null where the model has none.
    run
        Name of the random effect of trained networks; null without one.
    at
        Value of the covariate at which levels are compared; null without one, or where it takes one value within every
        level.
    natural
        Whether scores kept their metric's unit.
    fixed_effects, components
        How many, effects of tasks among the first.
    singular_terms
        Components that were estimated as zero.
    converged, gradient
        Whether the fit did, and the largest gradient left, scaled.
    """

    requested: str
    fitted: str
    reason: str | None
    formula: str
    score: str
    group: str
    factor: str | None
    covariate: str | None
    size: str | None
    run: str | None
    at: float | None
    natural: bool
    fixed_effects: int
    components: int
    singular_terms: list[str]
    converged: bool
    gradient: float


class TaskScale(TypedDict):
    """How the scores of a task were standardised.

    Attributes
    ----------
    mean, sd
        Of the task's scores, in the metric's unit; the standard deviation with n - 1.
    n
        How many scores.
    metric
        Their metric.
    lower_is_better
        Whether they are turned, for less of it is better.
    """

    mean: float
    sd: float
    n: int
    metric: str
    lower_is_better: bool


class LevelPlanning(TypedDict):
    """What `bench design` needs to know of a level, where levels are compared.

    Attributes
    ----------
    mean
        Its expected score.
    between
        Variance of its effect over tasks.
    single
        Variance that one score per cell adds; 0 where every cell has one score, which does not tell seeds from tasks.
    run
        Variance of a network's luck, which goes with it through all tasks; null where the model has no such effect of
        this level's networks.
    networks
        Trained networks behind it; 0 where training plays no part in its differences from the others.
    repeats
        Scores per cell in this table; networks, where each has several.
    unit
        Whether its scores have a part in tasks' standard deviations.
    """

    mean: float
    between: float
    single: float
    run: float | None
    networks: int
    repeats: float
    unit: bool


class BootstrapFacts(TypedDict):
    """The parametric bootstrap.

    Attributes
    ----------
    replicates, seed
        How many refits, and the seed of their draws.
    unconverged
        Refits that stopped early; their estimates count.
    singular_share
        Share of the refits in which some component is zero.
    """

    replicates: int
    seed: int
    unconverged: int
    singular_share: float


class SummaryNumber(TypedDict):
    """A number in a sentence, and where it comes from.

    Attributes
    ----------
    path
        Keys from the top of this document.
    sign
        -1 where the difference is told the other way round.
    form
        Python format, or ``p``.
    text
        As it stands in the sentence.
    """

    path: list[str | int]
    sign: int
    form: str
    text: str


class SummarySentence(TypedDict):
    """A sentence of the summary.

    Attributes
    ----------
    text
        The sentence.
    numbers
        Every number in it; null for sentences taken from `notes` or `reason`.
    """

    text: str
    numbers: list[SummaryNumber] | None


class AnalysisDocument(TypedDict):
    """An analysis of a table of scores.

    Attributes
    ----------
    schema_version, kind
        Raised when a key changes its meaning; ``"analysis"``.
    table, model
        What was analysed, and by what.
    standardisation
        By task.
    fixed
        Fixed effects by name: ``factor[level]``, ``factor[level]:covariate``, or a column.
    random
        Variance components by name.
    residual_sd
        What the model leaves unexplained.
    reml
        REML criterion: minus twice the restricted log-likelihood.
    singular
        Whether some component is zero: information, no error.
    contrasts
        Differences between all pairs of levels, and of slopes.
    best
        Which level leads.
    bayes
        The same model with weak priors; null if it was not asked for.
    components
        The variance of scores, divided.
    agreement
        Of rankings.
    ranks
        Mean ranks of the levels; null with a covariate, or where no two tasks have all levels.
    planning
        By level, for `bench design`.
    bootstrap
        Null if none was asked for.
    seed
        Of everything drawn at random.
    notes
        Sentences a reader needs: rows left out, incomplete tables, stand-in data, limits of the method.
    files
        What was written beside this document.
    summary
        What was found, in sentences.
    """

    schema_version: int
    kind: str
    table: AnalysedTable
    model: ModelFacts
    standardisation: dict[str, TaskScale]
    fixed: dict[str, FixedEffect]
    random: dict[str, RandomEffect]
    residual_sd: ResidualSpread
    reml: float
    singular: bool
    contrasts: list[Contrast]
    best: BestLevel
    bayes: BayesianCheck | None
    components: VarianceShares
    agreement: Agreement
    ranks: MeanRanks | None
    planning: dict[str, LevelPlanning]
    bootstrap: BootstrapFacts | None
    seed: int
    notes: list[str]
    files: list[str]
    summary: list[SummarySentence]
