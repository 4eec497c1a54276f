"""What holds over tasks: standardised scores, the hierarchical model, protocols beside encoders. All by `analysis`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.commands import analyze
from analysis.documents.agreement import ProtocolAgreement
from analysis.documents.analysis import AnalysisDocument
from analysis.documents.shares import GridShare
from analysis.errors import AnalysisError
from analysis.options import AnalysisOptions
from analysis.report.groups import Group, Run
from analysis.report.leaderboard import overlapping
from analysis.statistics.agreement import protocol_agreement
from analysis.statistics.components import grid_components
from analysis.statistics.scores import Scores, standardise

REFITS = 200
"""Bootstrap refits behind the page's intervals; ``bench analyze`` makes 1,000."""
MOST_LEVELS = 100
"""Representations that one model compares at most: its work grows with their third power, pairs with their second."""
_SEED = 0


@dataclass(frozen=True)
class HeatMap:
    """Mean standardised score of every representation on every task.

    Attributes
    ----------
    values : ndarray, shape [representations, tasks]
        In standard deviations of the task's scores; NaN where nothing was run. Rows by falling mean, those that lack a
        task below the others: a mean over easy tasks alone is no better mean.
    means : ndarray, shape [representations]
        Over the tasks that the representation has.
    once
        Representations of which a single trained network was scored.
    """

    representations: list[str]
    tasks: list[str]
    values: np.ndarray[Any, np.dtype[np.float64]]
    means: np.ndarray[Any, np.dtype[np.float64]]
    once: frozenset[str]

    @property
    def counts(self) -> list[int]:
        """Tasks of each representation."""
        return [int(count) for count in np.isfinite(self.values).sum(axis=1)]


@dataclass(frozen=True)
class OverTasks:
    """Everything over the tasks of one kind of data; a part is ``None`` where the table cannot carry it.

    Attributes
    ----------
    protocols
        By task, the one whose scores are analysed.
    flat
        Tasks without two different scores, which can be put on no common scale.
    other_clips
        Groups of a task that has a group of more representations: no task counts twice.
    left_out
        Representations that have one task of several, which says nothing over tasks.
    heard
        Representations that were pretrained on test clips of a task, whose scores there are left out.
    analysis
        As ``bench analyze`` returns it, with representations as levels of ``encoder``.
    reason
        Why there is no analysis.
    shares
        Parts of the variance of all scores, several protocols included.
    agreement
        Of protocols.
    protocol_reason
        Why there are no shares or no agreement though there are several protocols.
    """

    standin: bool
    protocols: dict[str, str]
    flat: list[str]
    other_clips: list[str]
    left_out: list[str]
    heard: list[str]
    heat: HeatMap | None
    analysis: AnalysisDocument | None
    reason: str
    shares: list[GridShare]
    agreement: ProtocolAgreement | None
    protocol_reason: str


def over_tasks(groups: Sequence[Group], standin: bool) -> OverTasks | None:
    """Analyse the groups of one kind of data; ``None`` if there are no plain runs of it."""
    there = [group for group in groups if group.standin == standin and _main(group)]
    if not there:
        return None
    fullest: dict[str, Group] = {}
    for group in sorted(there, key=_fullness, reverse=True):
        fullest.setdefault(group.task, group)
    chosen = [group for group in there if group is fullest[group.task]]
    tasks_of: dict[str, set[str]] = {}
    for group in chosen:
        for run in _main(group):
            tasks_of.setdefault(run["representation"], set()).add(group.label)
    shared = {name for name, tasks in tasks_of.items() if len(tasks) > 1}
    kept = shared if len(shared) > 1 else set(tasks_of)
    main = _table([(group, run) for group in chosen for run in _main(group) if run["representation"] in kept])
    varied = main.groupby("task")["score"].transform("nunique") > 1
    flat = list(dict.fromkeys(main.loc[~varied, "task"]))
    main = main[varied].reset_index(drop=True)
    heat, analysis, reason = None, None, ""
    if main.empty:
        reason = "no task has two different scores"
    elif (levels := main["encoder"].nunique()) > MOST_LEVELS:
        heat = _heat_map(standardise(main))
        reason = (
            f"a page cannot compare {levels:,} representations pair by pair; bench analyze --factor NAME compares what "
            "they have in common, such as a column of the study's table of runs"
        )
    else:
        heat = _heat_map(standardise(main))
        try:
            analysis = analyze(main, AnalysisOptions(factor="encoder", bootstrap=REFITS, seed=_SEED), figures=False)
        except (AnalysisError, np.linalg.LinAlgError) as error:
            reason = _why(error)
    shares, agreement, protocol_reason = _protocols(chosen)
    return OverTasks(
        standin,
        {group.label: group.protocol for group in chosen if group.label not in flat},
        flat,
        [group.label for group in there if group is not fullest[group.task]],
        [name for name in tasks_of if name not in kept],
        sorted({run["representation"] for group in there for run in group.main if overlapping(run)}),
        heat,
        analysis,
        reason,
        shares,
        agreement,
        protocol_reason,
    )


def _fullness(group: Group) -> tuple[int, int]:
    return len({run["representation"] for run in _main(group)}), len(_main(group))


def _main(group: Group) -> list[Run]:
    """Plain runs of the main protocol whose encoder was pretrained on no test clip: one that was leads to nothing."""
    return [run for run in group.main if not overlapping(run)]


def _table(rows: Sequence[tuple[Group, Run]], protocol: bool = False) -> pd.DataFrame:
    """Long table of leading scores; a group is a task and a representation an encoder."""
    return pd.DataFrame(
        [
            {
                "encoder": run["representation"],
                "task": group.label,
                **({"protocol": run["protocol"]} if protocol else {}),
                "seed": run["seed"],
                "run": run["network"],
                "metric": group.lead,
                "fingerprint": group.fingerprint,
                "standin": group.standin,
                "score": run["metrics"][group.lead]["value"],
            }
            for group, run in rows
            if group.lead in run["metrics"]
        ]
    )


def _heat_map(scores: Scores) -> HeatMap:
    table = scores.table.assign(y=scores.y)
    grid = table.pivot_table(index="encoder", columns="task", values="y", aggfunc="mean", sort=False)
    grid = grid[list(scores.scales)]
    order = pd.DataFrame({"lacking": grid.isna().any(axis=1), "mean": grid.mean(axis=1)})
    grid = grid.loc[order.sort_values(["lacking", "mean"], ascending=[True, False], kind="stable").index]
    trained = scores.table[scores.table["run"] != ""].groupby("encoder")["run"].nunique()
    return HeatMap(
        [str(name) for name in grid.index],
        [str(name) for name in grid.columns],
        grid.to_numpy(dtype=np.float64),
        grid.mean(axis=1).to_numpy(dtype=np.float64),
        frozenset(str(name) for name in trained.index[trained == 1]),
    )


def _protocols(groups: Sequence[Group]) -> tuple[list[GridShare], ProtocolAgreement | None, str]:
    """Variance shares and agreement of the protocols that several tasks share, and why one is not there.

    Only representations that were probed by all of them count, so that no protocol has easier company than another.
    """
    several = [
        group
        for group in groups
        if len({run["protocol"] for run in group.plain}) > 1
        and len({run["metrics"][group.lead]["value"] for run in group.plain if group.lead in run["metrics"]}) > 1
    ]
    if not several:
        return [], None, ""
    protocols = set.intersection(*({run["protocol"] for run in group.plain} for group in several))
    probed = [
        {(run["representation"], run["protocol"]) for run in group.plain if run["protocol"] in protocols}
        for group in several
    ]
    complete = {
        name
        for name, _ in set.union(*probed)
        if all((name, protocol) in pairs for pairs in probed for protocol in protocols)
    }
    if len(protocols) < 2 or len(complete) < 2:
        return (
            [],
            None,
            "fewer than two representations were probed by the same protocols on all tasks that have several",
        )
    rows = [
        (group, run)
        for group in several
        for run in group.plain
        if run["representation"] in complete and run["protocol"] in protocols
    ]
    try:
        scores = standardise(_table(rows, protocol=True))
    except AnalysisError as error:
        return [], None, str(error)
    shares: list[GridShare] = []
    agreement, reason = None, ""
    try:
        shares, _ = grid_components(scores, ["encoder", "task", "protocol"], 0, _SEED)
    except (AnalysisError, np.linalg.LinAlgError) as error:
        reason = _why(error)
    try:
        agreement = protocol_agreement(scores, "encoder", "protocol", REFITS, _SEED)
    except AnalysisError as error:
        reason = str(error)
    return shares, agreement, reason


def _why(error: Exception) -> str:
    if isinstance(error, np.linalg.LinAlgError):
        return "the fit has no solution in numbers, as happens where scores repeat one another exactly"
    return str(error)
