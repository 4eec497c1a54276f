"""What pages say of kept scores, made of these by the build: sentences of the shipped analysis, and tables of means."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis.commands import analyze
from analysis.options import AnalysisOptions
from analysis.report.findings import findings
from analysis.report.over_tasks import OverTasks
from tasks.metrics import METRICS

DOCS = Path(__file__).parent.parent
#: Rows of the plain runs under the first protocol, which the pages give as an option of `bench analyze`.
PLAIN = "protocol == 'linear' and labels == 1 and deform == 'none'"
OPTIONS = AnalysisOptions(factor="representation", where=PLAIN, bootstrap=0)


def sentences(study: str) -> str:
    """The findings of ``bench analyze docs/STUDY/scores.csv`` as a list in Markdown."""
    analysis = analyze(DOCS / study / "scores.csv", OPTIONS, figures=False)
    told = findings(OverTasks(True, {}, [], [], [], [], None, analysis, "", [], None, ""))
    assert told is not None
    return "\n".join(f"- {sentence}" for sentence in told.found)


def means(study: str) -> str:
    """Mean leading scores over seeds as a table in Markdown: the floor, then representations, best on average first."""
    table = pd.read_csv(DOCS / study / "scores.csv", keep_default_na=False).query(PLAIN)
    grid = table.pivot_table(index="representation", columns="task", values="score", sort=False)
    scaled = table.assign(
        y=table.groupby("task")["score"].transform(lambda score: (score - score.mean()) / score.std())
    )
    grid = grid.loc[scaled.groupby("representation")["y"].mean().sort_values(ascending=False).index]
    metrics, floors = (table.groupby("task")[column].first() for column in ("metric", "floor"))
    head = ["", *(f"{task}, {METRICS[metrics[task]].title}" for task in grid.columns)]
    lines = [head, ["---"] * len(head), ["floor", *(f"{floors[task]:.3f}" for task in grid.columns)]]
    for name, row in grid.iterrows():
        best = [f"**{value:.3f}**" if value == grid[task].max() else f"{value:.3f}" for task, value in row.items()]
        lines.append([f"`{name}`", *best])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
