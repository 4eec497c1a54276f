"""The page: what goes into its sections, and the template that lays them out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from analysis import AnalysisError
from analysis.report import drawings
from analysis.report.costs import kind_costs, prices
from analysis.report.curves import (
    Curve,
    deformation_curves,
    label_curves,
    label_scores,
    layer_curves,
    length_curves,
    transfer_tables,
)
from analysis.report.groups import Group, Value, form_groups, gather
from analysis.report.leaderboard import TIED, Leaderboard, as_records, leaderboard
from analysis.report.over_tasks import OverTasks, over_tasks
from analysis.report.published import compare, published_numbers
from analysis.report.svg import inline_svg, page_style

MOST_RUNS = 1000
"""Runs listed one by one at most."""
MANY_LEVELS = 6
"""Above so many levels, sentences on pairs are folded away but for the first."""
SHOWN_PAIRS = 2
MOST_MATRIX = 30
"""Levels shown in the matrix of all pairs at most."""


def html(document: dict[str, Any]) -> str:
    """The whole page as text.

    Parameters
    ----------
    document : dict
        See `analysis.report`.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "score": score_text,
        "interval": interval_text,
        "signed": lambda value, digits=3: _minus(f"{value:+.{digits}f}"),
        "number": lambda value, digits=2: _minus(f"{value:.{digits}f}"),
        "count": lambda value: f"{value:,}",
        "bytes": bytes_text,
        "duration": duration_text,
        "p": lambda p: "< 0.001" if p < 0.001 else f"{p:.3f}",
        "tint": tint,
    }
    template = environment.from_string(_part("page.html"))
    return template.render(**context(document))


def context(document: dict[str, Any]) -> dict[str, Any]:
    """Everything that the template shows."""
    groups = form_groups(document["runs"])
    titles: Mapping[str, str] = document["metrics"]
    boards = [board for group in groups if (board := leaderboard(group)) is not None]
    across = [found for standin in (False, True) if (found := over_tasks(groups, standin)) is not None]
    curves = {
        "labels": label_curves(groups),
        "length": length_curves(groups),
        "layers": layer_curves(groups, document["layers"]),
        "deformations": deformation_curves(groups),
    }
    numbers = published_numbers()
    with page_style():
        figures = _figures(boards, curves, across, groups, document, titles)
    return {
        "document": document,
        "style": Markup(_part("style.css")),  # noqa: S704 - shipped with the package
        "script": Markup(_part("page.js")),  # noqa: S704
        "data": script_json({"leaderboards": as_records(boards)}),
        "groups": groups,
        "titles": titles,
        "standin": [group for group in groups if group.standin],
        "real": [group for group in groups if not group.standin],
        "overview": [_overview(group, document) for group in groups],
        "boards": boards,
        "tied_note": TIED,
        "across": across,
        "findings": [_findings(found) for found in across],
        "several_protocols": any(found.shares or found.agreement or found.protocol_reason for found in across),
        "matrices": [_matrix(found) for found in across],
        "most_matrix": MOST_MATRIX,
        "most_rows": drawings.MOST_ROWS,
        "transfers": transfer_tables(groups),
        "curves": curves,
        "tags": label_scores(groups),
        "published": [(group, beside) for group in groups if (beside := compare(group, numbers))],
        "maps": _maps(groups, document),
        "costs": kind_costs(document["steps"]),
        "figures": figures,
        "runs": [run for group in groups for run in group.runs][:MOST_RUNS],
        "all_runs": len(document["runs"]),
    }


def _overview(group: Group, document: Mapping[str, Any]) -> dict[str, Any]:
    runs = group.runs
    most = max(run["n_expected"] for run in runs)
    overlapping = gather([run for run in runs if run["overlap"]["clips"]], "representation")
    return {
        "group": group,
        "description": document["tasks"].get(group.task, {}).get("description", ""),
        "clips": runs[0]["n_test"],
        "expected": most,
        "representations": len({run["representation"] for run in runs}),
        "protocols": sorted({run["protocol"] for run in runs}),
        "seeds": len({run["seed"] for run in runs}),
        "runs": len(runs),
        "overlap": {name: max(run["overlap"]["clips"] for run in own) for (name,), own in overlapping.items()},
        "repeated": _repeated(group),
        "unscored": sorted({label for run in runs for label in run["unscored"]}),
    }


def _repeated(group: Group) -> list[str]:
    """Representations of which several runs agree in every factor, so that their specs must differ elsewhere."""
    cells = gather(group.runs, "representation", "protocol", "layer", "labels", "deform", "seed")
    return list(dict.fromkeys(str(key[0]) for key, cell in cells.items() if len(cell) > 1))


def _figures(
    boards: Sequence[Leaderboard],
    curves: Mapping[str, Sequence[Curve]],
    across: Sequence[OverTasks],
    groups: Sequence[Group],
    document: Mapping[str, Any],
    titles: Mapping[str, str],
) -> dict[str, Any]:
    """SVG elements by section, in the order of the section's parts."""
    from analysis.figures import effects

    found: dict[str, Any] = {"boards": [], "effects": [], "prices": []}
    for i, board in enumerate(boards):
        title = titles[board.group.lead]
        best = board.rows[0]
        told = (
            f"Points with intervals, best first: {best.representation} leads with"
            f" {score_text(best.values[board.group.lead].mean)}; a constant prediction reaches"
            f" {score_text(board.floors[board.group.lead])}. The table holds all numbers."
        )
        figure = drawings.dots(board, title)
        found["boards"].append(_svg(figure, f"board{i}", f"{title} on {board.group.label}", told))
    for i, part in enumerate(across):
        svg = None
        if part.analysis is not None:
            fixed = part.analysis["fixed"]
            ordered = sorted(fixed.items(), key=lambda item: -item[1]["estimate"])
            figure = effects(
                {name: {**entry, "level": drawings.short(entry["level"] or name)} for name, entry in ordered}
            )
            told = (
                "Expected standardised score of every representation with 95 % intervals. The table holds all numbers."
            )
            svg = _svg(figure, f"effects{i}", "Hierarchical effects", told)
        found["effects"].append(svg)
        own = [group for group in groups if group.standin == part.standin and group.main]
        priced, title = prices(own, part.heat, document["steps"])
        title = titles.get(title, title)
        told = f"{title} against parameters. On the Pareto front: " + ", ".join(
            p.representation for p in priced if p.front
        )
        drawn = (
            _svg(drawings.against_parameters(priced, title), f"prices{i}", "Score against parameters", told + ".")
            if len(priced) > 1
            else None
        )
        found["prices"].append({"standin": part.standin, "rows": priced, "title": title, "svg": drawn})
    for kind, parts in curves.items():
        found[kind] = [
            _svg(
                drawings.curve(part, titles[part.metric]),
                f"{kind}{i}",
                f"{titles[part.metric]} on {part.group.label} by {part.axis}",
                f"{len(part.series)} lines with intervals: {', '.join(part.series)}. The table holds all numbers.",
            )
            for i, part in enumerate(parts)
        ]
    return found


def _maps(groups: Sequence[Group], document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Maps of clips, one figure a group."""
    by_key = {found["key"]: found for found in document["maps"]}
    parts = []
    for i, group in enumerate(groups):
        runs = [run for run in group.plain if run["key"] in by_key]
        runs.sort(key=lambda run: -next(iter(run["metrics"].values()))["value"])
        if not runs:
            continue
        found = [by_key[run["key"]] for run in runs]
        names = [run["representation"] for run in runs]
        told = "Clips that a representation finds alike lie together. Nearest neighbours share a label in " + "; ".join(
            f"{name}: {100 * one['neighbours']:.0f} %" for name, one in zip(names, found, strict=True)
        )
        with page_style():
            svg = _svg(drawings.clip_maps(found, names), f"map{i}", f"Test clips of {group.label}", told + ".")
        parts.append({"group": group, "rows": list(zip(names, found, strict=True)), "svg": svg})
    return parts


def _svg(figure: Any, name: str, title: str, description: str) -> Markup:
    return Markup(inline_svg(figure, name, title, description))  # noqa: S704 - matplotlib escapes its texts


def _findings(found: OverTasks) -> dict[str, list[str]] | None:
    """The analysis' sentences: what it found, all but the first pairs apart where they are many, and caveats."""
    if found.analysis is None:
        return None
    parts: dict[str, list[str]] = {"found": [], "pairs": [], "caveats": []}
    many = len(found.analysis["table"]["levels"]) > MANY_LEVELS
    pairs = 0
    for sentence in found.analysis["summary"]:
        told = sentence["numbers"]
        of_pairs = told is not None and (
            not told or (told[0]["path"][0] == "contrasts" and "natural" not in told[0]["path"])
        )
        pairs += of_pairs
        folded = of_pairs and many and pairs > SHOWN_PAIRS
        parts["caveats" if told is None else "pairs" if folded else "found"].append(sentence["text"])
    return parts


def _matrix(found: OverTasks) -> dict[str, Any] | None:
    """Pairwise differences between levels as the analysis has them, a row less a column."""
    if found.analysis is None:
        return None
    contrasts = [entry for entry in found.analysis["contrasts"] if entry["kind"] == "level"]
    if not contrasts:
        return None
    effects = {entry["level"]: entry["estimate"] for entry in found.analysis["fixed"].values() if entry["level"]}
    names = sorted(effects, key=lambda name: -effects[name])
    cells: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in contrasts:
        careful = entry["careful"]
        for row, column, sign in ((entry["a"], entry["b"], 1), (entry["b"], entry["a"], -1)):
            low, high = sorted((sign * careful["lower"], sign * careful["upper"]))
            cells[row, column] = {
                "estimate": sign * entry["estimate"], "lower": low, "upper": high, "p": careful["p_holm"],
                "different": entry["different"],
            }  # fmt: skip
    limit = max(abs(cell["estimate"]) for cell in cells.values()) or 1.0
    return {"names": names, "cells": cells, "limit": limit}


def _part(name: str) -> str:
    return files("analysis.report").joinpath("template", name).read_text(encoding="utf-8")


def script_json(value: Any) -> Markup:
    """JSON that may stand in a script element, whatever texts it holds.

    Raises
    ------
    AnalysisError
        If the value holds NaN or infinity.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise AnalysisError(f"a score is no finite number: {error}") from None
    for character, code in (
        ("<", "\\u003c"),
        (">", "\\u003e"),
        ("&", "\\u0026"),
        ("\u2028", "\\u2028"),
        ("\u2029", "\\u2029"),
    ):
        text = text.replace(character, code)
    return Markup(text)  # noqa: S704 - escaped just above


def _minus(text: str) -> str:
    """Text with a minus sign instead of a hyphen, and none before a zero."""
    if text[:1] in "+-" and not any(digit in text for digit in "123456789"):
        text = text[1:]
    return text.replace("-", "−")


def score_text(value: float) -> str:
    """Three decimals."""
    return _minus(f"{value:.3f}")


def interval_text(value: Value) -> str:
    """The bounds in brackets."""
    return f"[{score_text(value.lower)}, {score_text(value.upper)}]"


def bytes_text(count: float | None) -> str:
    """E.g. ``1.3 GB``; empty for ``None``."""
    if count is None:
        return ""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit in ("B", "kB", "MB") else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration_text(seconds: float | None) -> str:
    """E.g. ``0.4 s``, ``3 min 20 s`` or ``2 h 05 min``; empty for ``None``."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def tint(value: float | None, limit: float) -> str:
    """Style of a cell between two colours, at 0 none; the text on it keeps its contrast."""
    if value is None or value != value or limit <= 0:
        return ""
    share = min(1.0, abs(value) / limit)
    side = "high" if value >= 0 else "low"
    return f"background:color-mix(in srgb, var(--{side}) {share * 62:.0f}%, var(--paper))"
