"""The page: what goes into its sections, and the template that lays them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from analysis import pages
from analysis.pages import score_text, script_json
from analysis.pages.drawings import clip_maps, short
from analysis.pages.for_paper import paper_style
from analysis.pages.label_chart import label_chart
from analysis.pages.label_counts import label_counts_told
from analysis.pages.svg import page_style
from analysis.report import drawings, paper_drawings
from analysis.report.costs import AXES, comparable, kind_costs, prices
from analysis.report.curves import (
    Curve,
    deformation_curves,
    label_curves,
    label_scores,
    layer_curves,
    length_curves,
    training_curves,
    transfer_tables,
)
from analysis.report.document import Document
from analysis.report.findings import findings, matrix
from analysis.report.groups import Group, Value, form_groups, gather
from analysis.report.headline import headline
from analysis.report.leaderboard import (
    ONCE,
    TIED,
    TRAINED_ONCE,
    as_records,
    leaderboard,
    overlap_words,
    overlapping,
    published_words,
)
from analysis.report.over_tasks import OverTasks, over_tasks
from analysis.report.page_figures import PageFigure, find_figures, page_figure, paper_figure, paper_files
from analysis.report.published import compare, published_numbers
from analysis.report.score_table import ScoreTable, score_table
from analysis.report.source_section import source_section
from analysis.report.tracks import track

MOST_RUNS = 1000
"""Runs listed one by one at most."""
MOST_DRAWN_PAIRS = 12
"""Levels whose pairs are drawn for papers at most."""
MOST_MATRIX = 30
"""Levels shown in the matrix of all pairs at most."""


def html(document: Document) -> str:
    """The whole page as text.

    Parameters
    ----------
    document : Document
    """
    environment = pages.environment("analysis.report")
    environment.filters |= {
        "interval": interval_text,
        "p": lambda p: "< 0.001" if p < 0.001 else f"{p:.3f}",
        "tint": tint,
        "rate": lambda value: f"{value:,.0f}" if value >= 100 else f"{value:.3g}",
    }
    return environment.get_template("page.html").render(**context(document))


def paper_figures(document: Document) -> dict[str, bytes]:
    """Every figure of the page for papers, an SVG and a PDF each, by file name.

    Parameters
    ----------
    document : Document
    """
    shown = context(document)
    return paper_files(find_figures([shown[part] for part in ("figures", "maps", "label_charts", "source_study")]))


def context(document: Document) -> dict[str, Any]:
    """Everything that the template shows."""
    groups = form_groups(document["runs"])
    titles: Mapping[str, str] = document["metrics"]
    boards = [board for group in groups if (board := leaderboard(group)) is not None]
    across = [found for standin in (False, True) if (found := over_tasks(groups, standin)) is not None]
    curves = {
        "labels": label_curves(groups),
        "length": [*length_curves(groups), *training_curves(groups, document["trainings"])],
        "layers": layer_curves(groups, document["layers"]),
        "deformations": deformation_curves(groups, document["deformations"]),
    }
    numbers = published_numbers()
    tables = [
        table for standin in (False, True) if (table := score_table(boards, _of(across, standin), standin)) is not None
    ]
    with paper_style():
        figures = _paper_figures(tables, across, titles)
    with page_style():
        figures |= _figures(curves, across, groups, document, titles)
    return {
        "document": document,
        "style": pages.style(),
        "sorting": Markup(pages.part("analysis.pages", "sorting.js")),  # noqa: S704 - shipped with the package
        "script": Markup(_part("page.js")),  # noqa: S704 - shipped with the package
        "data": script_json({"leaderboards": as_records(boards)}),
        "groups": groups,
        "titles": titles,
        "standin": [group for group in groups if group.standin],
        "real": [group for group in groups if not group.standin],
        "overview": [_overview(group, document) for group in groups],
        "boards": boards,
        "tracks": [track(board) for board in boards],
        "tables": tables,
        "headlines": [
            headline(_of(across, table.standin), [board for board in boards if board.group.standin == table.standin])
            for table in tables
        ],
        "tied_note": TIED,
        "once_mark": ONCE,
        "once_note": TRAINED_ONCE,
        "across": across,
        "findings": [findings(found) for found in across],
        "several_protocols": any(found.shares or found.agreement or found.protocol_reason for found in across),
        "matrices": [matrix(found) for found in across],
        "most_matrix": MOST_MATRIX,
        "transfers": transfer_tables(groups),
        "curves": curves,
        "tags": label_scores(groups),
        "published": [(group, beside) for group in groups if (beside := compare(group, numbers))],
        "label_charts": _label_charts(groups, document),
        "maps": _maps(groups, document),
        "costs": kind_costs(document["steps"]),
        "figures": figures,
        "source_study": source_section(groups, document["topics"]),
        "runs": [run for group in groups for run in group.runs][:MOST_RUNS],
        "all_runs": len(document["runs"]),
        "representations": len({run["representation"] for group in groups for run in group.runs}),
        "seeds": len({run["seed"] for run in document["runs"]}),
    }


def _overview(group: Group, document: Document) -> dict[str, Any]:
    runs = group.runs
    most = max(run["n_expected"] for run in runs)
    overlapped = gather([run for run in runs if overlapping(run)], "representation")
    return {
        "group": group,
        "description": document["tasks"][group.task]["description"] if group.task in document["tasks"] else "",
        "clips": runs[0]["n_test"],
        "expected": most,
        "representations": len({run["representation"] for run in runs}),
        "protocols": sorted({run["protocol"] for run in runs}),
        "seeds": len({run["seed"] for run in runs}),
        "runs": len(runs),
        "overlap": {
            name: overlap_words(max(map(overlapping, own)), max(run["overlap"]["labelled"] for run in own))
            for (name,), own in overlapped.items()
        },
        "labelled": any(run["overlap"]["labelled"] for run in runs),
        "trained_on": {
            name: published_words(max(run["published"] for run in own))
            for (name,), own in gather([run for run in runs if run["published"]], "representation").items()
        },
        "unscored": sorted({label for run in runs for label in run["unscored"]}),
    }


def _of(across: Sequence[OverTasks], standin: bool) -> OverTasks | None:
    return next((part for part in across if part.standin == standin), None)


def _paper_figures(
    tables: Sequence[ScoreTable], across: Sequence[OverTasks], titles: Mapping[str, str]
) -> dict[str, list[PageFigure | None]]:
    """What the page shows as tables, drawn for papers."""
    from analysis.figures import pairwise_matrix

    found: dict[str, list[PageFigure | None]] = {"heat": [], "multiples": [], "pairs": []}
    for table in tables:
        data = "stand-ins" if table.standin else "real data"
        found["heat"].append(paper_figure(paper_drawings.heat_map(table, titles), f"Heat map {data}"))
        drawn = paper_drawings.small_multiples(table, titles)
        found["multiples"].append(paper_figure(drawn, f"Leaderboards {data}"))
    for part in across:
        contrasts = part.analysis["contrasts"] if part.analysis else []
        levels = {name for entry in contrasts if entry["kind"] == "level" for name in (entry["a"], entry["b"])}
        title = f"All pairs {'stand-ins' if part.standin else 'real data'}"
        fits = 1 < len(levels) <= MOST_DRAWN_PAIRS
        found["pairs"].append(paper_figure(pairwise_matrix(contrasts), title, screen=True) if fits else None)
    return found


def _figures(
    curves: Mapping[str, Sequence[Curve]],
    across: Sequence[OverTasks],
    groups: Sequence[Group],
    document: Document,
    titles: Mapping[str, str],
) -> dict[str, Any]:
    """Figures by section, in the order of the section's parts."""
    from analysis.figures import effects, mean_ranks

    found: dict[str, Any] = {"effects": [], "ranks": [], "prices": []}
    for i, part in enumerate(across):
        svg = None
        if part.analysis is not None:
            fixed = part.analysis["fixed"]
            ordered = sorted(fixed.items(), key=lambda item: -item[1]["estimate"])
            figure = effects({name: {**entry, "level": short(entry["level"] or name)} for name, entry in ordered})
            figure.axes[0].set_xlabel("expected standardised score [SD]")
            told = (
                "Expected standardised score of every representation with 95 % intervals. The table holds all numbers."
            )
            svg = page_figure(figure, f"effects{i}", "Hierarchical effects", told)
        found["effects"].append(svg)
        ranks = part.analysis and part.analysis["ranks"]
        svg = None
        if ranks and len(ranks["levels"]) <= MOST_MATRIX:
            told = (
                f"Mean rank of every representation over {ranks['tasks']} tasks with 95 % intervals, the best first:"
                f" {', '.join(ranks['levels'])}. The table holds all numbers."
            )
            figure = mean_ranks(ranks)
            figure.axes[0].set_yticks(range(len(ranks["levels"])), [short(name) for name in ranks["levels"]])
            svg = page_figure(figure, f"ranks{i}", "Mean ranks", told)
        found["ranks"].append(svg)
        own = [group for group in groups if group.standin == part.standin and group.main]
        priced, title = prices(own, part.heat, document["steps"])
        title = titles.get(title, title)
        drawn = []
        for axis, (label, _) in AXES.items():
            if len({getattr(price, axis) for price in comparable(priced, axis)}) > 1:
                told = f"{title} against {label}. On the Pareto front: " + ", ".join(
                    price.representation for price in priced if axis in price.fronts
                )
                svg = page_figure(
                    drawings.against_cost(priced, axis, title), f"{axis}{i}", f"Score against {label}", f"{told}."
                )
                drawn.append((label, svg))
        tasks = max((price.tasks for price in priced), default=0)
        found["prices"].append({"standin": part.standin, "rows": priced, "title": title, "tasks": tasks, "svgs": drawn})
    for kind, parts in curves.items():
        found[kind] = [
            page_figure(
                drawings.curve(part, part.shown or titles[part.metric]),
                f"{kind}{i}",
                f"{part.shown or titles[part.metric]} on {part.group.label} by {part.axis}",
                f"{_lines(part)}: {', '.join(part.series)}. The table holds all numbers.",
            )
            for i, part in enumerate(parts)
        ]
    return found


def _lines(part: Curve) -> str:
    return f"{len(part.series)} lines{'' if part.shown else ' with intervals'}"


def _maps(groups: Sequence[Group], document: Document) -> list[dict[str, Any]]:
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
            svg = page_figure(clip_maps(found, names), f"map{i}", f"Test clips of {group.label}", told + ".")
        parts.append({"group": group, "rows": list(zip(names, found, strict=True)), "svg": svg})
    return parts


def _label_charts(groups: Sequence[Group], document: Document) -> list[dict[str, Any]]:
    """How many clips have each label, a chart a group."""
    counts = {(one["task"], one["fingerprint"], one["standin"]): one for one in document["label_counts"]}
    parts = []
    for i, group in enumerate(groups):
        run = group.runs[0]
        if (found := counts.get((run["task"], run["fingerprint"], run["standin"]))) is not None:
            told = label_counts_told(found)
            with page_style():
                svg = page_figure(label_chart(found), f"labels-of-{i}", f"Clips by label of {group.label}", told)
            parts.append({"group": group, "told": told, "svg": svg})
    return parts


def _part(name: str) -> str:
    return pages.part("analysis.report", "template", name)


def interval_text(value: Value) -> str:
    """The bounds in brackets."""
    return f"[{score_text(value.lower)}, {score_text(value.upper)}]"


def tint(value: float | None, limit: float) -> str:
    """Style of a cell between two colours, at 0 none; the text on it keeps its contrast."""
    if value is None or value != value or limit <= 0:
        return ""
    share = min(1.0, abs(value) / limit)
    side = "high" if value >= 0 else "low"
    return f"background:color-mix(in srgb, var(--{side}) {share * 62:.0f}%, var(--paper))"
