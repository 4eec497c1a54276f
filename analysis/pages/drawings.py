"""Figures that several pages have, and how those of one look alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.pages.clip_map import ClipMap
from analysis.pages.svg import SERIES

MARKERS = "osD^vPXd<>"
#: Narrow enough that a telephone shows a figure whole with letters that can be read [inch].
WIDTH = 5.2
LONGEST_NAME = 48


def short(name: str) -> str:
    """A name that leaves room for what it names; tables have the whole."""
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def clip_maps(maps: Sequence[ClipMap], names: Sequence[str]) -> Figure:
    """Clips in the plane, a panel a representation, coloured by label; a panel's axes have no meaning."""
    columns = min(2, len(maps))
    rows = -(-len(maps) // columns)
    labels = maps[0]["labels"]
    figure = Figure(figsize=(WIDTH, 3.2 * rows + 0.2 * -(-len(labels) // 5)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, found, name in zip(panels, maps, names, strict=False):
        x, y, label = np.array(found["x"]), np.array(found["y"]), np.array(found["label"])
        for i in np.unique(label):
            own = label == i
            style = {"color": SERIES[i % len(SERIES)], "marker": MARKERS[(i + i // len(SERIES)) % len(MARKERS)]}
            panel.plot(x[own], y[own], linestyle="none", markersize=3.2, alpha=0.8, **style)
        panel.set_title(short(name), fontsize=9)
        panel.set(xticks=[], yticks=[])
    for panel in panels[len(maps) :]:
        panel.set_visible(False)
    handles = [
        panels[0].plot([], [], linestyle="none", color=SERIES[i % len(SERIES)],
                       marker=MARKERS[(i + i // len(SERIES)) % len(MARKERS)])[0]
        for i in range(len(labels))
    ]  # fmt: skip
    figure.legend(handles, labels, loc="outside upper left", ncols=5, frameon=False, fontsize=8)
    return figure
