"""The small multi-source study in the documentation: its tables are what the shipped command says of its scores.

``PYTHONPATH=tests:. python -m tests.test_kim_demo`` writes the page's tables anew.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.commands import analyze
from analysis.options import AnalysisOptions
from analysis.report.source_study import SIZES, best_sources, source_study
from benchmark.plan.studies import load_study

FOLDER = Path(__file__).parents[1] / "docs" / "kim-demo"
PAGE = FOLDER / "index.md"
TASKS = ("gtzan-all", "fma-medium", "extended-ballroom", "irmas", "arousal", "valence", "lastfm")
SOURCES = ("self", "bpm", "year", "taste", "tag", "lyrics", "cdr_tag", "artist")
N_STAR = 'n_star=(n_sources-2)*(strategy!="SS-R")'
R_STAR = "r_star=" + "+".join(f'{size:g}*(strategy=="{name}")' for name, size in SIZES.items() if size)
MARK = "<!-- {} -->"
#: What the stand-in has each source tell, and tasks that ask for it (docs/sources.md has the shares of variance).
PLANTED = {
    "gtzan-all": ("tag", "cdr_tag"),
    "fma-medium": ("tag", "cdr_tag"),
    "extended-ballroom": ("bpm",),
    "irmas": ("tag",),
    "arousal": ("taste",),
    "valence": ("taste", "lyrics"),
    "lastfm": ("taste", "tag"),
}
#: Where single sources show it: by more than this [SD].
FOUND, CLEARLY = ("gtzan-all", "fma-medium", "irmas", "lastfm"), 0.5


@cache
def scores() -> pd.DataFrame:
    return pd.read_csv(FOLDER / "scores.csv")


@cache
def by_strategy(refits: int = 0) -> Any:
    """What the page's first command computes, its bootstrap left out unless asked for."""
    return analyze(
        scores(),
        AnalysisOptions(factor="strategy", covariate="n_star", derive=[N_STAR], components=SOURCES,
                        components_where='strategy != "SS-R"', tasks="centred", bootstrap=refits),
        figures=False,
    )  # fmt: skip


@cache
def by_size(refits: int = 0) -> Any:
    """What its second one does."""
    return analyze(
        scores(),
        AnalysisOptions(model="ordinal", size="r_star", covariate="n_star", derive=[N_STAR, R_STAR], tasks="centred",
                        bootstrap=refits),
        figures=False,
    )  # fmt: skip


def signed(value: float) -> str:
    return f"{value:+.2f}"


def lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def alone() -> str:
    """Mean score of the networks of each source alone; the best of a task bold."""
    rows = scores()[scores()["strategy"] == "SS-R"]
    means = {(s, t): rows[(rows[s] == 1) & (rows["task"] == t)]["score"].mean() for s in SOURCES for t in TASKS}
    best = {t: max(SOURCES, key=lambda s: means[s, t]) for t in TASKS}
    cells = [[f"`{s}`", *(f"**{means[s, t]:.3f}**" if best[t] == s else f"{means[s, t]:.3f}" for t in TASKS)]
             for s in SOURCES]  # fmt: skip
    floors = scores().groupby("task")["floor"].first()
    return lines(["source", *TASKS], [*cells, ["floor", *(f"{floors[t]:.3f}" for t in TASKS)]])


def strategies() -> str:
    """Mean score of each strategy."""
    means = scores().pivot_table(index="strategy", columns="task", values="score")
    counts = Counter(scores()[scores()["task"] == TASKS[0]]["strategy"])
    return lines(
        ["strategy", "runs", *TASKS],
        [[name, str(counts[name]), *(f"{means.loc[name, task]:.3f}" for task in TASKS)] for name in SIZES],
    )


def effects(analysis: Any) -> str:
    """Fixed effects, with Satterthwaite's intervals."""
    rows = [
        [f"`{name}`", signed(entry["estimate"]), f"[{signed(entry['lower'])}, {signed(entry['upper'])}]"]
        for name, entry in analysis["fixed"].items()
    ]
    return lines(["effect", "estimate [SD]", "95 % interval"], rows)


def pairs() -> str:
    """Differences of strategies at two sources."""
    rows = [
        [f"{pair['a']} less {pair['b']}", signed(pair["estimate"]),
         f"[{signed(pair['lower'])}, {signed(pair['upper'])}]", f"{pair['p_holm']:.3f}"]
        for pair in by_strategy()["contrasts"] if pair["kind"] == "level"
    ]  # fmt: skip
    return lines(["strategies", "difference [SD]", "95 % interval", "p, Holm"], rows)


def components() -> str:
    """Percent of each source in the variance of runs on several; the largest of a task bold."""
    found = {(share["source"], share["group"]): share for share in by_strategy()["components"]["within_task"]}
    rows = []
    for source in SOURCES:
        shares = [found[source, task] for task in TASKS]
        rows.append([f"`{source}`", *(f"**{s['estimate']:.0f}**" if s["largest"] else f"{s['estimate']:.0f}"
                                      for s in shares)])  # fmt: skip
    return lines(["source", *TASKS], rows)


@cache
def study() -> Any:
    return source_study(scores(), standin=True, refits=0)


def helps(task: str, sources: Sequence[str]) -> tuple[float, float]:
    """By how much the best of some sources is above the mean of the others, alone and as an effect in company [SD]."""
    rows = study().of(task)
    single = {source: float(np.mean(study().alone(task, source, "y"))) for source in SOURCES}
    company = rows[rows["strategy"] != "SS-R"]
    design = np.column_stack([np.ones(len(company)), company[list(SOURCES)].to_numpy(float)])
    effect = dict(zip(SOURCES, np.linalg.lstsq(design, company["y"].to_numpy(float), rcond=None)[0][1:], strict=True))
    found: list[float] = []
    values: Mapping[str, float]
    for values in (single, effect):
        others = [value for source, value in values.items() if source not in sources]
        found.append(max(values[source] for source in sources) - float(np.mean(others)))
    return found[0], found[1]


def company() -> str:
    """What the best source brings beside others."""
    rows = []
    for task, found in best_sources(study()).items():
        interval = f"[{signed(found.lower)}, {signed(found.upper)}]"
        rows.append([task, f"`{found.source}`", signed(found.alone), signed(found.difference), interval])
    return lines(["task", "best alone", "alone [SD]", "with less without it [SD]", "95 % interval"], rows)


def planted() -> str:
    """What the sources that should help a target are above the others."""
    rows = []
    for task, sources in PLANTED.items():
        single, company = helps(task, sources)
        rows.append([task, ", ".join(f"`{source}`" for source in sources), signed(single), signed(company)])
    return lines(["target", "planted", "alone [SD]", "in company [SD]"], rows)


def tables() -> dict[str, str]:
    """Every table of the page, by its mark."""
    return {
        "alone": alone(),
        "strategies": strategies(),
        "by strategy": effects(by_strategy()),
        "pairs": pairs(),
        "by size": effects(by_size()),
        "components": components(),
        "company": company(),
        "planted": planted(),
    }


def standing(text: str) -> dict[str, str]:
    """Tables as they stand on the page, by the mark before them."""
    return {name: body.strip() for name, body in re.findall(r"<!-- (.+?) -->\n((?:\|.*\n)*)", text)}


def test_the_scores_are_those_of_the_study():
    demo = load_study("kim-demo")
    runs = Counter()
    for run in demo.tabled:
        runs[run.carried["strategy"]] += len(run.grid.task)
    assert Counter(scores()["strategy"]) == runs
    assert len(scores()) == len(set(scores()["key"])) == 61 * len(TASKS)
    assert set(scores()["task"]) == set(TASKS)
    assert scores()["standin"].all()
    assert (scores()[list(SOURCES)].sum(axis=1) == scores()["n_sources"]).all()


@pytest.mark.parametrize(
    "name", ["alone", "strategies", "by strategy", "pairs", "by size", "components", "company", "planted"]
)
def test_the_tables_of_the_page_are_what_the_command_computes(name):
    assert standing(PAGE.read_text())[name] == tables()[name]


def test_the_page_names_the_commands():
    text = PAGE.read_text()
    assert N_STAR in text
    assert R_STAR in text
    assert ",".join(SOURCES) in text


@pytest.mark.parametrize("task", FOUND)
def test_what_was_planted_is_found(task):
    """The best of the sources that tell what the target asks for is above the mean of the others."""
    assert helps(task, PLANTED[task])[0] > CLEARLY


@pytest.mark.slow
def test_bootstrap_intervals_are_near_the_others():
    for analysis in (by_strategy(200), by_size(200)):
        for entry in analysis["fixed"].values():
            wide = entry["upper"] - entry["lower"]
            assert 0 < entry["bootstrap"]["upper"] - entry["bootstrap"]["lower"] < 1.5 * wide


if __name__ == "__main__":
    found, page = tables(), PAGE.read_text()
    for mark, table in found.items():
        page, count = re.subn(
            rf"({re.escape(MARK.format(mark))}\n)(?:\|.*\n)*", lambda match, table=table: f"{match[1]}{table}\n", page
        )
        assert count == 1, mark
    PAGE.write_text(page)
