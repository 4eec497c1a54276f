"""A study of sources of labels and of ways to share a network between them: what its figures and tables are made of.

Figures 8 to 15 of Kim, Urbano, Liem and Hanjalic 2020. A study is one of these where the table of its runs says of each
run its strategy and how many sources it learnt from, and has a column of 0 and 1 for each source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis.commands import analyze
from analysis.documents.analysis import AnalysisDocument
from analysis.documents.shares import TaskShare
from analysis.errors import AnalysisError
from analysis.options import AnalysisOptions
from analysis.report.groups import Group, gather
from analysis.statistics.scores import standardise

#: How much of the network each strategy has for each source alone, from 0 on (section 5.2, after equation 13).
SIZES: Mapping[str, float] = {
    "SS-R": 0.0,
    "MS-SR@FC": 0.2,
    "MS-CR@6": 0.4,
    "MS-CR@4": 0.6,
    "MS-CR@2": 0.8,
    "MSS-CR": 1.0,
}
ALONE = "SS-R"
STRATEGY, NUMBER = "strategy", "n_sources"
REFITS = 200
"""Bootstrap refits behind the page's intervals."""
_LEVEL = 0.95


@dataclass(frozen=True)
class Line:
    """A straight line through standardised scores against the number of sources, by least squares.

    Attributes
    ----------
    intercept, slope
        Of the line.
    numbers, lower, upper
        Where there are scores, and a 95 % interval of the line there; empty of fewer than three scores or one number.
    """

    intercept: float
    slope: float
    numbers: Sequence[float]
    lower: Sequence[float]
    upper: Sequence[float]


@dataclass(frozen=True)
class Best:
    """A task with and without the source that is best alone, among runs on several sources (figure 13).

    Attributes
    ----------
    source
        The best mean of single sources.
    alone
        Its mean standardised score.
    with_it, without_it
        Lines; ``None`` without scores.
    difference, lower, upper
        With less without at the same number of sources, and a 95 % interval [SD]; null where it cannot be told.
    """

    source: str
    alone: float
    with_it: Line | None
    without_it: Line | None
    difference: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True)
class Share:
    """A source on a task: how well it does alone, and how much of the variance it is in company (figure 14)."""

    task: str
    source: str
    alone: float
    percent: float


@dataclass(frozen=True)
class SourceStudy:
    """A study's runs, and both hierarchical models.

    Attributes
    ----------
    standin
        Whether the clips are stand-ins.
    sources, strategies, tasks
        Names, strategies by size.
    table
        A row a score: `task`, `strategy`, `n_sources`, a column a source, `score`, and `y`, the standardised score.
    titles
        Metric of each task.
    by_strategy, by_size
        Analyses with the strategy as a factor (equations 10 to 12; with the sources' components), and as a size
        (equations 13 to 16).
    reasons
        Why one of them is not there.
    baselines
        By task, mean scores of the report's representations that the table of runs says nothing of.
    """

    standin: bool
    sources: Sequence[str]
    strategies: Sequence[str]
    tasks: Sequence[str]
    table: pd.DataFrame
    titles: Mapping[str, str]
    by_strategy: AnalysisDocument | None
    by_size: AnalysisDocument | None
    reasons: Sequence[str]
    baselines: Mapping[str, Mapping[str, float]]

    @property
    def components(self) -> Sequence[TaskShare]:
        """Share of each source in each task's variance among runs on several sources (table 6)."""
        return self.by_strategy["components"]["within_task"] if self.by_strategy else []

    def of(self, task: str, strategy: str | None = None) -> pd.DataFrame:
        """Rows of a task, and of one strategy."""
        chosen = self.table["task"] == task
        return self.table[chosen if strategy is None else chosen & (self.table[STRATEGY] == strategy)]

    def alone(self, task: str, source: str, column: str = "score") -> list[float]:
        """Scores of the networks that learnt from one source alone (figure 8)."""
        rows = self.of(task, ALONE)
        return [float(score) for score in rows.loc[rows[source] == 1, column]]

    def several(self, task: str) -> pd.DataFrame:
        """Rows of a task of runs on several sources."""
        rows = self.of(task)
        return rows[rows[STRATEGY] != ALONE]


def source_studies(groups: Sequence[Group]) -> list[SourceStudy]:
    """The study of sources that some groups are, for real data and for stand-ins; none where columns are missing."""
    found = []
    for standin in (False, True):
        rows = [
            {
                **run["carried"],
                "task": group.label,
                "metric": group.lead,
                "run": run["network"],
                "seed": run["seed"],
                "fingerprint": group.fingerprint,
                "standin": standin,
                "parameters": run["parameters"],
                "score": run["metrics"][group.lead]["value"],
            }
            for group in groups
            if group.standin == standin
            for run in group.main
            if STRATEGY in run.get("carried", {}) and group.lead in run["metrics"]
        ]
        study = source_study(pd.DataFrame(rows), standin, _baselines(groups, standin)) if rows else None
        if study is not None:
            found.append(study)
    return found


def _baselines(groups: Sequence[Group], standin: bool) -> dict[str, dict[str, float]]:
    """By task, mean scores of representations that no table of runs says anything of."""
    found = {}
    for group in groups:
        others = [run for run in group.main if STRATEGY not in run.get("carried", {}) and group.lead in run["metrics"]]
        if group.standin == standin and others:
            found[group.label] = {
                name: float(np.mean([run["metrics"][group.lead]["value"] for run in own]))
                for (name,), own in gather(others, "representation").items()
            }
    return found


def source_study(
    table: pd.DataFrame,
    standin: bool = False,
    baselines: Mapping[str, Mapping[str, float]] | None = None,
    refits: int = REFITS,
) -> SourceStudy | None:
    """A study of sources from a long table of scores.

    Parameters
    ----------
    table : DataFrame
        Columns ``task``, ``metric``, ``score``, ``strategy``, ``n_sources`` and a column of 0 and 1 for each source;
        ``run`` names networks, ``parameters`` counts them.
    standin : bool
        Whether the clips are stand-ins.
    baselines : mapping of str to mapping, optional
        By task, scores to compare with.
    refits : int
        Bootstrap refits.

    Returns
    -------
    SourceStudy or None
        If the table has no such columns, a strategy that the study has not, or scores of one strategy alone.
    """
    sources = _sources(table)
    strategies = [name for name in SIZES if sources and name in set(table[STRATEGY])]
    if len(strategies) < 2 or not set(table[STRATEGY]) <= set(SIZES):
        return None
    varied = table[table.groupby("task")["score"].transform("nunique") > 1].reset_index(drop=True)
    if varied.empty:
        return None
    columns = {"n_star": (varied[NUMBER] - 2) * (varied[STRATEGY] != ALONE), "r_star": varied[STRATEGY].map(SIZES)}
    varied = varied.assign(**columns)
    scores = standardise(varied)
    named = {name: scale.metric for name, scale in scores.scales.items()}
    common: dict[str, Any] = {"covariate": "n_star", "bootstrap": refits, "tasks": "centred"}
    reasons: list[str] = []
    several = f'{STRATEGY} != "{ALONE}"'
    factor = AnalysisOptions(factor=STRATEGY, components=sources, components_where=several, **common)
    by_strategy = _analysis(varied, factor, reasons)
    by_size = _analysis(varied, AnalysisOptions(model="ordinal", size="r_star", **common), reasons)
    return SourceStudy(
        standin,
        sources,
        strategies,
        list(dict.fromkeys(varied["task"])),
        scores.table.assign(y=scores.y),
        {task: metric or "score" for task, metric in named.items()},
        by_strategy,
        by_size,
        reasons,
        baselines or {},
    )


def _analysis(table: pd.DataFrame, options: AnalysisOptions, reasons: list[str]) -> AnalysisDocument | None:
    try:
        return analyze(table, options, figures=False)
    except (AnalysisError, np.linalg.LinAlgError) as error:
        reasons.append(str(error) if isinstance(error, AnalysisError) else "the fit has no solution in numbers")
        return None


def _sources(table: pd.DataFrame) -> list[str]:
    """Columns of 0 and 1 that add up to the number of sources; none if there are no such columns."""
    if not {STRATEGY, NUMBER, "task", "score"} <= set(table.columns):
        return []
    binary = [
        str(name)
        for name in table.columns
        if name not in (STRATEGY, NUMBER, "standin", "seed", "score") and set(table[name].unique()) == {0, 1}
    ]
    return binary if binary and (table[binary].sum(axis=1) == table[NUMBER]).all() else []


def line(rows: pd.DataFrame) -> Line | None:
    """A line through the standardised scores of some rows against the number of sources; ``None`` without rows."""
    x, y = (rows[name].to_numpy(dtype=np.float64) for name in (NUMBER, "y"))
    if not x.size:
        return None
    centre, spread = x.mean(), float(((x - x.mean()) ** 2).sum())
    slope = float(((x - centre) * y).sum() / spread) if spread else 0.0
    intercept = float(y.mean() - slope * centre)
    places = np.unique(x)
    if x.size < 3 or not spread:
        return Line(intercept, slope, [], [], [])
    rest = float(((y - intercept - slope * x) ** 2).sum()) / (x.size - 2)
    half = stats.t.ppf(0.5 + _LEVEL / 2, x.size - 2) * np.sqrt(rest * (1 / x.size + (places - centre) ** 2 / spread))
    middle = intercept + slope * places
    return Line(intercept, slope, places.tolist(), (middle - half).tolist(), (middle + half).tolist())


def best_sources(study: SourceStudy) -> dict[str, Best]:
    """By task, the source that is best alone, and what runs on several sources reach with and without it."""
    found = {}
    for task in study.tasks:
        means = {
            source: float(np.mean(scores)) for source in study.sources if (scores := study.alone(task, source, "y"))
        }
        if not means:
            continue
        source = max(means, key=lambda name: means[name])
        rows = study.several(task)
        within = rows[source] == 1
        difference = _difference(rows, within.to_numpy(dtype=np.float64))
        found[task] = Best(source, means[source], line(rows[within]), line(rows[~within]), *difference)
    return found


def _difference(rows: pd.DataFrame, within: np.ndarray[Any, Any]) -> tuple[float | None, float | None, float | None]:
    """Effect of a column of 0 and 1 on standardised scores beside that of the number of sources, with its interval."""
    design = np.column_stack([np.ones(len(rows)), rows[NUMBER].to_numpy(dtype=np.float64), within])
    free = len(rows) - design.shape[1]
    if free < 1 or np.linalg.matrix_rank(design) < design.shape[1]:
        return None, None, None
    y = rows["y"].to_numpy(dtype=np.float64)
    effects = np.linalg.lstsq(design, y, rcond=None)[0]
    rest = float(((y - design @ effects) ** 2).sum()) / free
    half = stats.t.ppf(0.5 + _LEVEL / 2, free) * np.sqrt(rest * np.linalg.inv(design.T @ design)[2, 2])
    estimate = float(effects[2])
    return estimate, float(estimate - half), float(estimate + half)


def shares(study: SourceStudy) -> tuple[list[Share], float | None]:
    """Single score and variance component of every source on every task, and Pearson's correlation of the two."""
    found = [
        Share(part["group"], part["source"], float(np.mean(scores)), part["estimate"])
        for part in study.components
        if (scores := study.alone(part["group"], part["source"], "y"))
    ]
    pairs = np.array([[one.alone, one.percent] for one in found]).reshape(-1, 2)
    if len(found) < 3 or (np.ptp(pairs, axis=0) == 0).any():
        return found, None
    return found, float(np.corrcoef(pairs.T)[0, 1])


def parameters(study: SourceStudy) -> dict[str, list[tuple[int, int]]]:
    """By strategy, the number of sources and the encoder's parameters (figure 15)."""
    if "parameters" not in study.table:
        return {}
    found = {}
    for strategy in study.strategies:
        rows = study.table[study.table[STRATEGY] == strategy]
        numbers = sorted(set(rows[NUMBER].tolist()))
        found[strategy] = [
            (int(number), int(rows.loc[rows[NUMBER] == number, "parameters"].median())) for number in numbers
        ]
    return found
