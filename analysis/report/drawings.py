"""The page's own figures; those of a single analysis are in `analysis.figures`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from matplotlib.transforms import Bbox

from analysis.pages.drawings import MARKERS, WIDTH, short
from analysis.pages.svg import SERIES
from analysis.report.costs import AXES, Price, comparable
from analysis.report.curves import Curve

_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (5, 1.5, 1.5, 1.5)))
_LONG_NAME = 26


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    style = {
        "axes.facecolor": "none", "grid.color": "#cccccc", "axes.edgecolor": "#cccccc", "text.color": "#262626",
        "axes.labelcolor": "#262626", "xtick.color": "#262626", "ytick.color": "#262626",
    }  # fmt: skip
    with sns.axes_style("whitegrid", style):
        axis = figure.subplots()
    sns.despine(ax=axis, left=True)
    return figure, axis


def curve(found: Curve, title: str) -> Figure:
    """Series with intervals along what was varied."""
    names = list(found.series)
    columns = 2 if max(len(name) for name in names) <= _LONG_NAME else 1
    figure, axis = _figure(3.2 + 0.2 * -(-len(names) // columns) + (0.6 if found.categories else 0.0))
    places = sorted({x for points in found.series.values() for x, _ in points})
    for i, name in enumerate(names):
        points = found.series[name]
        x = np.array([place for place, _ in points])
        mean = np.array([value.mean for _, value in points])
        ends = np.array([[value.lower for _, value in points], [value.upper for _, value in points]])
        bars = np.maximum(np.array([mean - ends[0], ends[1] - mean]), 0.0)
        colour = SERIES[i % len(SERIES)]
        style = {"color": colour, "marker": MARKERS[i % len(MARKERS)], "linestyle": _DASHES[i % len(_DASHES)]}
        axis.errorbar(x, mean, yerr=bars, markersize=4.5, linewidth=1.5, elinewidth=0.9, label=short(name), **style)
        if name in found.references:
            axis.axhline(found.references[name], color=colour, linewidth=0.8, linestyle=_DASHES[i % len(_DASHES)])
    if found.floor_fits:
        axis.axhline(found.floor, color="#666666", linestyle=(0, (4, 3)), linewidth=1)
    if found.categories:
        axis.set_xticks(range(len(found.categories)), list(found.categories), rotation=45, ha="right")
    elif found.logarithmic:
        axis.set_xscale("log")
        axis.set_xticks(places, [f"{place:g}" for place in places])
        axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel(found.axis)
    axis.set_ylabel(title)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper left", ncols=columns, frameon=False)
    return figure


def against_cost(prices: Sequence[Price], axis: str, title: str) -> Figure:
    """Score against one of `AXES`, the Pareto front joined; what costs nothing stands at the left edge."""
    points = comparable(prices, axis)
    costs = [float(getattr(price, axis)) for price in points]
    edge = min((cost for cost in costs if cost > 0), default=1.0) / 4.0
    figure, panel = _figure(4.2)
    label, sign = AXES[axis]
    front = sorted(
        (max(cost, edge), price.score) for price, cost in zip(points, costs, strict=True) if axis in price.fronts
    )
    steps = "steps-post" if sign < 0 else "steps-pre"
    panel.plot(*zip(*front, strict=True), color=SERIES[0], linewidth=1, drawstyle=steps, alpha=0.7)
    for price, cost in zip(points, costs, strict=True):
        face = SERIES[0] if axis in price.fronts else "none"
        panel.plot([max(cost, edge)], [price.score], "o", mec=SERIES[0], mfc=face, markersize=7)
    panel.margins(x=0.25, y=0.12)
    if min(costs) * 10 < max(costs):
        panel.set_xscale("log")
        panel.set_xlim(max(min(costs), edge) / 1.8, max(costs) * 1.8)
    panel.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: _readable(value) + ("B" if axis == "peak_bytes" else ""))
    )
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_xlabel(label + (" (none: at the left edge)" if min(costs) == 0 else ""))
    panel.set_ylabel(title)
    named = sorted(zip(points, costs, strict=True), key=lambda one: axis not in one[0].fronts)
    _name_points(panel, [(max(cost, edge), price.score, short(price.representation)) for price, cost in named])
    return figure


def _name_points(axis: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """Write names beside points, in order; a name that would lie on another or on a point is left out."""
    figure = axis.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    frame = axis.get_window_extent()
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in axis.transData.transform([point[:2] for point in points])]
    for i, (x, y, name) in enumerate(points):
        for dx, dy, side in ((7, 4, "left"), (-7, 4, "right"), (7, -11, "left"), (-7, -11, "right")):
            note = axis.annotate(name, (x, y), (dx, dy), textcoords="offset points", fontsize=8, ha=side)
            box = note.get_window_extent()
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not any(box.overlaps(other) for k, other in enumerate(taken) if k != i):
                taken.append(box)
                break
            note.remove()


def _readable(count: float) -> str:
    """E.g. ``2 M``."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:g} {unit}"
    return f"{count:g}"
