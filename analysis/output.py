"""The files that show an analysis: JSON, sentences, CSV tables and figures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.documents.analysis import AnalysisDocument
from analysis.statistics.models import FittedModel
from analysis.study import Parts
from analysis.tables.long_tables import numbers
from analysis.tables.writing import write_csv


def write_analysis(result: AnalysisDocument, parts: Parts, folder: Path, *, figures: bool) -> None:
    """Write ``analysis.json``, ``summary.txt``, CSV tables and figures into a folder that exists.

    Parameters
    ----------
    result : AnalysisDocument
        Its ``files`` is filled.
    parts : Parts
    folder : Path
    figures : bool
    """
    protocols = result["agreement"]["protocols"]
    ranks = result["ranks"]
    files = {
        "fixed.csv": _flat({"name": name, **entry} for name, entry in result["fixed"].items()),
        "random.csv": _flat(
            [*({"name": name, **entry} for name, entry in result["random"].items()),
             {"name": "residual", **result["residual_sd"]}]
        ),
        "contrasts.csv": _flat(result["contrasts"]),
        "bayes.csv": _flat(result["bayes"]["pairs"] if result["bayes"] else ()),
        "ranks.csv": _flat({"level": name, **entry} for name, entry in (ranks["levels"] if ranks else {}).items()),
        "components.csv": pd.DataFrame(result["components"]["within_task"]),
        "grid.csv": pd.DataFrame(result["components"]["grid"]),
        "agreement.csv": _flat(
            [*({"between": "tasks", **pair} for pair in result["agreement"]["tasks"]),
             *({"between": "protocols", **pair} for pair in (protocols["pairs"] if protocols else ()))]
        ),
        "scores.csv": _scores_table(parts.model),
    }  # fmt: skip
    for name, frame in files.items():
        if len(frame.columns):
            write_csv(frame, folder / name)
            result["files"].append(name)
    if parts.alias is not None:
        write_csv(parts.alias, folder / "alias.csv", index=True)
        result["files"].append("alias.csv")
    (folder / "summary.txt").write_text("\n".join(entry["text"] for entry in result["summary"]) + "\n", "utf-8")
    result["files"] += ["summary.txt", "analysis.json"]
    # Before the figures: whatever goes wrong in drawing, the numbers are there.
    write_json(result, folder / "analysis.json")
    if figures:
        result["files"] += _draw(result, parts, folder)
        write_json(result, folder / "analysis.json")


def write_json(result: Mapping[str, Any], path: Path) -> None:
    """Write a result as JSON without NaN or infinity, which JSON does not know."""
    path.write_text(json.dumps(result, indent=1, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def _flat(entries: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Table of entries whose nested dicts become columns such as ``wald_lower``; values by task become JSON text."""
    rows = []
    for entry in entries:
        row: dict[str, Any] = {}
        for key, value in entry.items():
            if key == "natural":
                row[key] = json.dumps(value)
            elif isinstance(value, Mapping):
                row |= {f"{key}_{inner}": content for inner, content in value.items()}
            elif not (key == "bootstrap" and value is None):
                row[key] = value
        rows.append(row)
    return pd.DataFrame(rows)


def _scores_table(model: FittedModel) -> pd.DataFrame:
    table = model.scores.table.copy()
    table["standardised"] = model.scores.y
    table["fitted"] = model.fitted
    table["residual"] = model.scores.y - model.fitted
    return table


def _draw(result: AnalysisDocument, parts: Parts, folder: Path) -> list[str]:
    from analysis import figures as draw

    model = parts.model
    unit = model.columns["score"] if model.scores.natural else "standard deviations"
    if model.scores.natural and any(scale.lower_is_better for scale in model.scores.scales.values()):
        unit += ", turned"
    # By height, but where levels have an order of their own.
    ordered = sorted(result["fixed"].items(), key=lambda item: -item[1]["estimate"])
    fixed = result["fixed"] if result["model"]["size"] is not None else dict(ordered)
    drawn = {"effects.png": draw.effects(fixed, unit)}
    layout = model.layout
    frame = pd.DataFrame(
        {
            "task": [layout.group[d] for d in layout.group_code],
            "level": [layout.levels[r] for r in layout.level_code],
            "x": layout.covariate if "covariate" in model.columns else layout.level_code.astype(np.float64),
            "y": model.scores.y,
        }
    )
    label = (
        model.columns.get("covariate")
        or f"{model.columns.get('factor') or model.columns['size']} (in the order of the legend)"
    )
    drawn["scores.png"] = draw.scores_by_covariate(frame, _lines(model), (label, unit))
    for kind, name in (("level", "pairwise.png"), ("slope", "pairwise_slopes.png")):
        if any(entry["kind"] == kind for entry in result["contrasts"]):
            drawn[name] = draw.pairwise_matrix(result["contrasts"], kind)
    if result["ranks"]:
        drawn["ranks.png"] = draw.mean_ranks(result["ranks"])
    if result["components"]["within_task"] or result["components"]["grid"]:
        drawn["components.png"] = draw.components(result["components"]["within_task"], result["components"]["grid"])
    if parts.alias is not None:
        drawn["alias.png"] = draw.alias(parts.alias)
    drawn["residuals.png"] = draw.residuals(model.fitted, model.scores.y - model.fitted, list(frame["task"]))
    for name, figure in drawn.items():
        draw.save(figure, folder / name)
    return list(drawn)


def _lines(model: FittedModel) -> dict[str, tuple[float, float]]:
    """Overall intercept and slope of every level."""
    layout, beta = model.layout, model.beta
    if layout.intercepts:
        return {
            level: (float(beta[place]), float(beta[layout.slopes[level]]) if level in layout.slopes else 0.0)
            for level, place in layout.intercepts.items()
        }
    sizes = numbers(model.scores.table, model.columns["size"])
    lines = {}
    for i, level in enumerate(layout.levels):
        size = float(sizes[layout.level_code == i][0])
        slope = float(beta[2] + beta[3] * size) if len(beta) == 4 else 0.0
        lines[level] = (float(beta[0] + beta[1] * size), slope)
    return lines
