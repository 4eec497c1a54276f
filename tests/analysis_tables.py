"""Tables that several tests of the analysis share."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import analysis

GOLDEN = Path(__file__).parent / "golden" / "multisource"
SOURCES = ["self", "year", "bpm", "taste", "tag", "lyrics", "cdr_tag", "artist"]
MULTI = ["MS-SR@FC", "MS-CR@6", "MS-CR@4", "MS-CR@2", "MSS-CR"]
DERIVE = [
    'n_star = (n_sources - 2) * (strategy != "SS-R")',
    'r_star = 0.2 * (strategy == "MS-SR@FC") + 0.4 * (strategy == "MS-CR@6") + 0.6 * (strategy == "MS-CR@4")'
    ' + 0.8 * (strategy == "MS-CR@2") + 1.0 * (strategy == "MSS-CR")',
]


def golden(name: str = "lme4_A.json") -> dict[str, Any]:
    return json.loads((GOLDEN / name).read_text())


def study() -> pd.DataFrame:
    return analysis.derive(analysis.read_table(GOLDEN / "scores_A.csv"), DERIVE)


def study_model(kind: str = "factor", tasks: str = "centred", run: str = "none") -> analysis.FittedModel:
    """The study's own treatment of tasks, whose lme4 values are golden, or ours."""
    scores = analysis.standardise(study(), "score", "dataset")
    if kind == "factor":
        return analysis.fit_model(scores, "factor", factor="strategy", covariate="n_star", tasks=tasks, run=run)
    return analysis.fit_model(scores, "ordinal", size="r_star", covariate="n_star", tasks=tasks, run=run)


def grid(
    encoders: int = 4, tasks: int = 6, seeds: int = 3, *, rng: int = 0, spread: float = 0.4, step: float = 0.3
) -> pd.DataFrame:
    """A complete simulated grid of encoders x tasks x seeds."""
    generator = np.random.default_rng(rng)
    effect = spread * generator.standard_normal((encoders, tasks))
    rows = [
        (
            f"e{e}",
            f"t{d}",
            s,
            0.5 + 0.1 * d + 0.02 * (d + 1) * (step * e + effect[e, d] + 0.5 * generator.standard_normal()),
        )
        for e in range(encoders)
        for d in range(tasks)
        for s in range(seeds)
    ]
    return pd.DataFrame(rows, columns=["encoder", "task", "seed", "score"])


def sizes(
    values: Sequence[float], tasks: int = 7, seeds: int = 3, *, rng: int = 0, spread: float = 0.3
) -> pd.DataFrame:
    """Scores along an ordinal size whose slope varies over tasks about 0, which is no effect."""
    generator = np.random.default_rng(rng)
    slope = spread * generator.standard_normal(tasks)
    centre = np.mean(values)
    rows = [
        (f"t{d}", value, s, 0.5 + 0.05 * d + 0.02 * (slope[d] * (value - centre) + 0.5 * generator.standard_normal()))
        for d in range(tasks)
        for value in values
        for s in range(seeds)
    ]
    return pd.DataFrame(rows, columns=["task", "size", "seed", "score"])


def networks(
    encoders: int,
    tasks: int,
    seeds: int,
    *,
    run: float = 0.3,
    rng: int = 0,
    spread: float = 0.5,
    step: float = 0.0,
    erratic: float = 1.0,
) -> pd.DataFrame:
    """A complete grid whose seeds are networks: each has luck of its own on all tasks; the first level may be erratic.

    All in units of 0.02, the residual's standard deviation is 0.5; an erratic level's own effects over tasks are that
    much wider, and with one seed its scores with them.
    """
    generator = np.random.default_rng(10_000 + rng)
    wide = np.where(np.arange(encoders) == 0, erratic, 1.0)
    effect = spread * wide[:, None] * generator.standard_normal((encoders, tasks))
    luck = run * generator.standard_normal((encoders, seeds))
    e, d, s = (each.reshape(-1) for each in np.indices((encoders, tasks, seeds)))
    rest = 0.5 * generator.standard_normal(e.size) * (wide[e] if seeds == 1 else 1.0)
    score = 0.5 + 0.1 * d + 0.02 * (step * e + effect[e, d] + luck[e, s] + rest)
    return pd.DataFrame({"encoder": [f"e{i}" for i in e], "task": [f"t{i}" for i in d], "seed": s, "score": score})


def without_half(table: pd.DataFrame, rng: int) -> pd.DataFrame:
    """The same with half of its cells of encoder x task, drawn at random."""
    kept = table[["encoder", "task"]].drop_duplicates().sample(frac=0.5, random_state=rng)
    return table.merge(kept, on=["encoder", "task"]).reset_index(drop=True)


def other_company(table: pd.DataFrame, rng: int) -> pd.DataFrame:
    """The same without the weak first encoder's half of tasks that the second has, and a strong third on that alone."""
    del rng
    task, tasks = table.task.str[1:].astype(int), table.task.nunique()
    table = table.assign(score=table.score + 0.06 * (table.encoder == "e2"))
    early = task < tasks // 2
    gone = (table.encoder == "e2") & early | (table.encoder == "e0") & early & (task > 0)
    gone |= (table.encoder == "e1") & ~early & (task < tasks - 1)
    return table[~gone].reset_index(drop=True)


def network_alarms(
    encoders: int,
    tasks: int,
    seeds: int,
    studies: int,
    *,
    luck: float = 0.3,
    run: str = "auto",
    erratic: float = 1.0,
    natural: bool = False,
    holes: Callable[[pd.DataFrame, int], pd.DataFrame] | None = None,
) -> dict[str, float]:
    """Share of studies of equal encoders in which the first two, or any, are called different; `networks` has the rest.

    Studies whose levels are not joined by tasks are refused, and not counted.
    """
    found = []
    for rng in range(studies):
        table = networks(encoders, tasks, seeds, run=luck, rng=rng, erratic=erratic)
        table = table if holes is None else holes(table, rng)
        try:
            model = analysis.fit_model(
                analysis.standardise(table, natural=natural, levels="encoder"), "factor", factor="encoder", run=run
            )
        except analysis.AnalysisError:
            continue
        contrasts = analysis.pairwise_contrasts(model)
        found.append([contrasts[0]["p"] < 0.05, any(c["different"] for c in contrasts)])
    shares = np.mean(found, axis=0).tolist()
    return dict(zip(("first pair", "any pair"), shares, strict=True)) | {"studies": float(len(found))}


def false_alarms(encoders: int, tasks: int, seeds: int, studies: int, spread: float = 0.5) -> dict[str, float]:
    """Share of studies of equal encoders, nothing trained, in which the first two, or any, are called different."""
    found = []
    for rng in range(studies):
        scores = analysis.standardise(grid(encoders, tasks, seeds, rng=rng, step=0.0, spread=spread))
        contrasts = analysis.pairwise_contrasts(analysis.fit_model(scores, "factor", factor="encoder", run="none"))
        found.append([contrasts[0]["p"] < 0.05, any(c["different"] for c in contrasts)])
    return dict(zip(("first pair", "any pair"), np.mean(found, axis=0).tolist(), strict=True))


def slope_alarms(values: Sequence[float], studies: int) -> dict[str, float]:
    """Share of studies of an ordinal size without effect whose slope is called real: as it is, and centred."""
    found = []
    for rng in range(studies):
        table = sizes(values, rng=rng)
        tables = (table, table.assign(size=table["size"] - np.mean(values)))
        models = [analysis.fit_model(analysis.standardise(each), "ordinal", size="size") for each in tables]
        found.append([analysis.fixed_effects(model)["size"]["p"] < 0.05 for model in models])
    return dict(zip(("as is", "centred"), np.mean(found, axis=0).tolist(), strict=True))
