"""What goes into the page of `bench look`, and the template that lays it out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from analysis import pages
from analysis.pages.clip_map import ClipMap
from analysis.pages.drawings import clip_maps, short
from analysis.pages.svg import inline_svg, page_style
from analysis.visualisation.document import LookDocument, SeenTask
from analysis.visualisation.drawings import (
    draw_activation_profile,
    draw_curves,
    draw_excited_labels,
    draw_filter_spectra,
    draw_loadings,
)

#: A label is named beside a feature if it is this many times as frequent as among all windows, and so often at least.
OVER, FEWEST = 2.0, 3
DOMAINS = {"in": "in domain", "out": "out of domain"}


def html(document: LookDocument) -> str:
    """The whole page as text.

    Parameters
    ----------
    document : LookDocument
    """
    template = pages.environment().from_string(_part("look.html"))
    shown = document["shown"]
    return template.render(
        document=document,
        shown=shown,
        title=f"{shown['encoder']}, looked at",
        style=pages.style() + Markup(_part("look.css")),  # noqa: S704 - shipped with the package
        script=Markup(_part("look.js")),  # noqa: S704
        sorting=Markup(pages.part("analysis.pages", "sorting.js")),  # noqa: S704
        domains=DOMAINS,
        maps=_maps(document["tasks"]),
        filters=[
            (spectra, Markup(draw_filter_spectra(spectra, f"filters{i}")))  # noqa: S704 - texts are escaped there
            for i, spectra in enumerate(document["filters"])
        ],
        activations=[
            (task, Markup(draw_activation_profile(task["activations"], f"activations{i}")))  # noqa: S704
            for i, task in enumerate(document["tasks"])
        ],
        curves=[
            Markup(draw_curves(task["curves"], task["name"], f"curves{i}"))  # noqa: S704
            for i, task in enumerate(document["tasks"])
        ],
        excited=[
            (task, task["excited_labels"], Markup(draw_excited_labels(found, task["name"], f"excited{i}")))  # noqa: S704
            for i, task in enumerate(document["tasks"])
            if (found := task["excited_labels"]) is not None
        ],
        factors=[
            (task, analysed, Markup(draw_loadings(analysed, task["name"], f"factors{i}")))  # noqa: S704
            for i, task in enumerate(document["tasks"])
            if (analysed := task["factors"]) is not None
        ],
        feature_tables=[(task, _feature_rows(task)) for task in document["tasks"]],
        by_task={task["name"]: task for task in document["tasks"]},
        standins=[task["name"] for task in document["tasks"] if task["standin"]],
    )


def _maps(tasks: Sequence[SeenTask]) -> list[dict[str, Any]]:
    """One figure a task, with a panel of clips and one of windows."""
    parts = []
    for i, task in enumerate(tasks):
        both = (("clips", task["clip_map"]), ("windows", task["window_map"]))
        panels = [(kind, found) for kind, found in both if found is not None]
        items = task["item_map"]
        if items is not None:
            parts.append(_item_map(items, task, i))
        if not panels:
            continue
        told = "; ".join(
            f"{len(found['x'])} {kind}, of which {100 * found['neighbours']:.0f} % have a nearest neighbour with the"
            f" same label, against {100 * found['chance']:.0f} % by chance"
            for kind, found in panels
        )
        with page_style():
            figure = clip_maps([found for _, found in panels], [kind for kind, _ in panels])
            svg = inline_svg(figure, f"map{i}", f"Maps of {task['name']}", told + ".")
        also = " and their windows" if len(panels) > 1 else ""
        caption = f"Test clips of {task['name']}{also}, coloured by label"
        parts.append({"task": task, "rows": panels, "svg": Markup(svg), "caption": caption})  # noqa: S704 - escaped
    return parts


def _item_map(found: ClipMap, task: SeenTask, number: int) -> dict[str, Any]:
    """Windows of a few songs or clips, each a colour."""
    share, chance = (f"{100 * value:.0f} %" for value in (found["neighbours"], found["chance"]))
    told = (
        f"{len(found['x'])} windows of {len(found['labels'])} songs or clips, of which {share} have a nearest "
        f"neighbour of the same one, against {chance} by chance."
    )
    with page_style():
        figure = clip_maps([{**found, "labels": [short(name) for name in found["labels"]]}], ["windows"])
        svg = inline_svg(figure, f"items{number}", f"Windows of songs or clips of {task['name']}", told)
    caption = f"Windows of songs or clips of {task['name']}, each a colour"
    rows = [("windows by song or clip", found)]
    return {"task": task, "rows": rows, "svg": Markup(svg), "caption": caption}  # noqa: S704


def _feature_rows(task: SeenTask) -> list[dict[str, Any]]:
    """Every feature with its statistics, and the labels that what excites it has more often than all windows."""
    found, excited = task["activations"], task["excited_labels"]
    rows = []
    for feature in range(len(found["mean"])):
        over: list[tuple[float, str, int]] = []
        if excited is not None:
            for label, share, count in zip(
                excited["labels"], excited["share"], excited["counts"][feature], strict=True
            ):
                if count / excited["windows"] > OVER * share and count >= FEWEST:
                    over.append((count / excited["windows"] / share, label, count))
        rows.append(
            {
                "feature": feature,
                "mean": found["mean"][feature],
                "deviation": found["deviation"][feature],
                "zero": found["zero_share"][feature],
                "eta": found["eta_squared"][feature],
                "labels": [(label, count) for _, label, count in sorted(over, reverse=True)],
            }
        )
    return rows


def _part(name: str) -> str:
    return pages.part("analysis.visualisation", "template", name)
