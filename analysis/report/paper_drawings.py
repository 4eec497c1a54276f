"""Figures that the page shows as tables, drawn for papers: the heat map and the leaderboards side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.pages import score_text
from analysis.pages.drawings import MARKERS, short
from analysis.pages.for_paper import BOTH, COLUMN, TALLEST
from analysis.pages.svg import SERIES
from analysis.report.leaderboard import Leaderboard
from analysis.report.score_table import ScoreTable
from analysis.report.tracks import track

_MOST_ROWS = 40
"""Representations drawn at most."""
_FARTHEST = 2.0
"""Standardised score of the darkest and, negative, of the lightest colour [SD]."""
_LUMINANCE = (0.299, 0.587, 0.114)
"""Of red, green and blue in a copy in grey."""
_DARK = 0.57
"""Luminance below which numbers are white."""
_FEW = 3
"""Tasks whose heat map fits one column."""
_PANELS = 4
"""Panels side by side at most."""


def heat_map(table: ScoreTable, titles: Mapping[str, str]) -> Figure:
    """Leading scores, the darker the better in comparison: one hue, so that a copy in grey says the same.

    Parameters
    ----------
    table : ScoreTable
    titles : mapping
        Of metrics.
    """
    names = table.representations[:_MOST_ROWS]
    values = np.array(
        [[table.deviations.get((name, board.group.label), np.nan) for board in table.boards] for name in names]
    )
    width = COLUMN if len(table.boards) <= _FEW else BOTH
    figure, (axis,) = _figure(width, 0.9 + 0.2 * len(names), 1, 1)
    axis.grid(visible=False)
    shown = axis.pcolormesh(values, cmap="Blues", vmin=-_FARTHEST, vmax=_FARTHEST, edgecolors="#ffffff", linewidth=0.8)
    for y, name in enumerate(names):
        for x, board in enumerate(table.boards):
            value = table.value(name, board)
            if value is not None:
                shade = float(np.dot(shown.to_rgba(values[y, x])[:3], _LUMINANCE)) if np.isfinite(values[y, x]) else 1.0
                ink = "#ffffff" if shade < _DARK else "#262626"
                axis.text(x + 0.5, y + 0.5, score_text(value.mean), ha="center", va="center", color=ink, fontsize=7)
    heads = [f"{short(board.group.label)}\n{titles.get(board.group.lead, board.group.lead)}" for board in table.boards]
    axis.set_xticks(np.arange(len(heads)) + 0.5, heads, fontsize=7)
    axis.set_yticks(np.arange(len(names)) + 0.5, [short(name) for name in names], fontsize=7)
    axis.invert_yaxis()
    axis.tick_params(length=0)
    bar = figure.colorbar(shown, ax=axis, label="SD of a task's scores", pad=0.01, aspect=30)
    bar.outline.set_visible(False)
    return figure


def small_multiples(table: ScoreTable, titles: Mapping[str, str]) -> Figure:
    """A panel a task: leading scores with intervals, rows in one order; dashed, where near, a constant prediction.

    Parameters
    ----------
    table : ScoreTable
    titles : mapping
        Of metrics.
    """
    names = table.representations[:_MOST_ROWS]
    columns = min(_PANELS, len(table.boards))
    lines = -(-len(table.boards) // columns)
    height = min(TALLEST, lines * (0.75 + 0.19 * len(names)))
    figure, panels = _figure(BOTH if columns > 1 else COLUMN, height, lines, columns)
    for place, (panel, board) in enumerate(zip(panels, table.boards, strict=False)):
        _panel(panel, board, table, names)
        panel.set_title(short(board.group.label), fontsize=8)
        panel.set_xlabel(titles.get(board.group.lead, board.group.lead), fontsize=7)
        panel.set_yticks(range(len(names)), [short(name) for name in names] if place % columns == 0 else [], fontsize=7)
    for panel in panels[len(table.boards) :]:
        panel.set_visible(False)
    return figure


def _panel(panel: Axes, board: Leaderboard, table: ScoreTable, names: list[str]) -> None:
    values = {name: value for name in names if (value := table.value(name, board)) is not None}
    best = table.best(board)
    for y, name in enumerate(names):
        if name in values:
            value = values[name]
            panel.plot([value.lower, value.upper], [y, y], color=SERIES[0], linewidth=1.6, solid_capstyle="butt")
            face = SERIES[0] if name == best else "#ffffff"
            panel.plot([value.mean], [y], MARKERS[0], mec=SERIES[0], mfc=face, markersize=4)
    line = track(board)
    if line.floor is not None:
        panel.axvline(line.floor, color="#666666", linestyle=(0, (4, 3)), linewidth=0.8)
    panel.set_xlim(line.low, line.high)
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.tick_params(axis="x", labelsize=7)
    panel.locator_params(axis="x", nbins=4)


def _figure(width: float, height: float, rows: int, columns: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    style: dict[str, Any] = {"axes.facecolor": "none", "grid.color": "#cccccc", "axes.edgecolor": "#cccccc"}
    with sns.axes_style("whitegrid", style):
        axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.ravel():
        sns.despine(ax=axis, left=True)
    return figure, list(axes.ravel())
