"""What goes into the page of `bench look`, and the template that lays it out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from analysis import pages
from analysis.pages.drawings import clip_maps
from analysis.pages.svg import inline_svg, page_style
from analysis.visualisation.document import LookDocument, SeenTask
from analysis.visualisation.drawings import draw_activation_profile, draw_filter_spectra

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
        by_task={task["name"]: task for task in document["tasks"]},
        standins=[task["name"] for task in document["tasks"] if task["standin"]],
    )


def _maps(tasks: Sequence[SeenTask]) -> list[dict[str, Any]]:
    """One figure a task, with a panel of clips and one of windows."""
    parts = []
    for i, task in enumerate(tasks):
        both = (("clips", task["clip_map"]), ("windows", task["window_map"]))
        panels = [(kind, found) for kind, found in both if found is not None]
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
        parts.append({"task": task, "rows": panels, "svg": Markup(svg)})  # noqa: S704 - matplotlib escapes its texts
    return parts


def _part(name: str) -> str:
    return pages.part("analysis.visualisation", "template", name)
