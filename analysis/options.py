"""What an analysis, or a design, is asked for: every option of `analysis.commands`, gathered once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class AnalysisOptions:
    """How a long table of scores is analysed.

    Attributes
    ----------
    model : str
        ``"factor"`` or ``"ordinal"``.
    score, group : str
        Columns of scores and of tasks.
    factor : str, optional
        Column whose levels are compared; by default ``representation`` if the table has it and it is not the same as
        ``encoder``, else ``encoder``.
    covariate : str, optional
        Column of numbers with slopes.
    size : str, optional
        Column of numbers that orders the levels, for ``ordinal``.
    at : float, optional
        Value of the covariate at which levels are compared, which some score must have; by default 0 if one has it,
        else the one that is nearest to their mean.
    lower_is_better : str or sequence of str
        Metrics of which less is better, separated by commas if a text; for those whose names do not say it.
    derive : str or sequence of str
        ``"name = expression"`` each, before anything else.
    where : str, optional
        Condition on rows; scores are standardised over the rows it keeps.
    components : str or sequence of str
        Columns whose variance components within each task are wanted, separated by commas if a text.
    components_where : str, optional
        Further condition on rows for these components only; scores stay standardised over all rows.
    bootstrap : int
        Refits; 0 for none.
    seed : int
        Of everything that is drawn at random.
    natural : bool
        Keep the metric's unit: scores lose only their task's own effect. For tasks that share one metric.
    run : str
        Column that names the trained network behind each score (empty where training played no part), ``"none"``, or
        ``"auto"``: column ``run``, else ``seed`` with what was trained.
    tasks : str
        ``"effects"``: every task has an effect that is estimated; or ``"centred"``, as Kim et al. 2020 have it.
    margin : float, optional
        Difference between levels that is too small to matter [standard deviations of a task's scores; of natural scores
        their unit]; by default 0.2 standard deviations of an average task.
    rank : str, optional
        Column that agreement ranks; by default the factor.
    bayes : bool
        Also sample the posterior distribution of the same model with weak priors (`analysis.statistics.bayesian`).
    protocol : str
        Column of protocols; agreement between them is reported where the table has several.
    simplify : bool
        Fit the named simpler model where the table cannot carry the one asked for.
    """

    model: str = "factor"
    score: str = "score"
    group: str = "task"
    factor: str | None = None
    covariate: str | None = None
    size: str | None = None
    at: float | None = None
    lower_is_better: str | Sequence[str] = ()
    derive: str | Sequence[str] = ()
    where: str | None = None
    components: str | Sequence[str] = ()
    components_where: str | None = None
    bootstrap: int = 1000
    seed: int = 0
    natural: bool = False
    run: str = "auto"
    tasks: str = "effects"
    margin: float | None = None
    bayes: bool = False
    rank: str | None = None
    protocol: str = "protocol"
    simplify: bool = True


@dataclass(frozen=True)
class DesignOptions:
    """Which runs are proposed, and which difference a study is to detect.

    Attributes
    ----------
    factors : str or sequence of str
        ``"name=level,level,..."`` each; all their combinations are candidates.
    candidates : path or DataFrame, optional
        Candidate runs as a table, instead of `factors`.
    derive : str or sequence of str
        Further factors from the others, ``"name = expression"`` each; they are balanced too.
    where : str, optional
        Condition on candidates.
    keep_out : str or sequence of str
        Factors that are balanced but not kept apart from the others, such as a sum of them.
    start : path or DataFrame, optional
        Runs already made.
    runs : int
        How many runs to propose; 0 to only judge the runs of `start`.
    replay : path or DataFrame, optional
        A sequence of runs to be judged choice by choice.
    analysis : path, optional
        An ``analysis.json`` with fitted components; then `difference` is planned for.
    difference : float, optional
        Difference to detect [standard deviations of a task's scores; of a natural analysis the metric's unit].
    levels : str or sequence of str
        Two levels to plan for; by default every pair. The study is one of all levels of the analysis either way.
    power, alpha : float
        Wanted probability of detection, and what p must be below, adjusted over all pairs of the analysis.
    tasks, repeats : int, optional
        Number of tasks, and scores per cell, to hold fixed while the other is varied; by default those of the analysis.
    seed : int
        Of the random choice among equally good runs.
    """

    factors: str | Sequence[str] = ()
    candidates: str | Path | pd.DataFrame | None = None
    derive: str | Sequence[str] = ()
    where: str | None = None
    keep_out: str | Sequence[str] = ()
    start: str | Path | pd.DataFrame | None = None
    runs: int = 1
    replay: str | Path | pd.DataFrame | None = None
    analysis: str | Path | None = None
    difference: float | None = None
    levels: str | Sequence[str] = ()
    power: float = 0.8
    alpha: float = 0.05
    tasks: int | None = None
    repeats: int | None = None
    seed: int = 0


def listed(texts: str | Sequence[str]) -> list[str]:
    """A text as a list of one, or a list of texts."""
    return [texts] if isinstance(texts, str) else list(texts)


def names(text: str | Sequence[str]) -> list[str]:
    """Names separated by commas, or listed, without those that are empty."""
    parts = text.split(",") if isinstance(text, str) else text
    return [part.strip() for part in parts if part.strip()]
