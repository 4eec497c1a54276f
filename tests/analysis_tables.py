"""Tables that several tests of the analysis share."""

from __future__ import annotations

import json
from collections.abc import Sequence
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


def study_model(kind: str = "factor", tasks: str = "centred") -> analysis.FittedModel:
    """The study's own treatment of tasks, whose lme4 values are golden, or ours."""
    scores = analysis.standardise(study(), "score", "dataset")
    if kind == "factor":
        return analysis.fit_model(scores, "factor", factor="strategy", covariate="n_star", tasks=tasks)
    return analysis.fit_model(scores, "ordinal", size="r_star", covariate="n_star", tasks=tasks)


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


def false_alarms(encoders: int, tasks: int, seeds: int, studies: int, spread: float = 0.5) -> dict[str, float]:
    """Share of studies of equal encoders in which two of them, or any, are called different."""
    found = []
    for rng in range(studies):
        scores = analysis.standardise(grid(encoders, tasks, seeds, rng=rng, step=0.0, spread=spread))
        contrasts = analysis.pairwise_contrasts(analysis.fit_model(scores, "factor", factor="encoder"))
        first = contrasts[0]
        found.append([first["p"] < 0.05, first["careful"]["p"] < 0.05, any(c["different"] for c in contrasts)])
    return dict(zip(("plain", "careful", "any pair"), np.mean(found, axis=0).tolist(), strict=True))


def slope_alarms(values: Sequence[float], studies: int) -> dict[str, float]:
    """Share of studies of an ordinal size without effect whose slope is called real: as it is, and centred."""
    found = []
    for rng in range(studies):
        table = sizes(values, rng=rng)
        tables = (table, table.assign(size=table["size"] - np.mean(values)))
        models = [analysis.fit_model(analysis.standardise(each), "ordinal", size="size") for each in tables]
        found.append([analysis.fixed_effects(model)["size"]["p"] < 0.05 for model in models])
    return dict(zip(("as is", "centred"), np.mean(found, axis=0).tolist(), strict=True))
