"""Bars of how many clips of each split have each label."""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.pages.drawings import WIDTH, short
from analysis.pages.label_counts import MOST_LABELS, LabelCounts
from analysis.pages.svg import SERIES


def label_chart(found: LabelCounts) -> Figure:
    """A bar a label, the most frequent on top, with a part for each split."""
    labels = found["labels"][:MOST_LABELS]
    figure = Figure(figsize=(WIDTH, 1.0 + 0.19 * len(labels)), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    left = np.zeros(len(labels))
    for place, (split, counts) in enumerate(found["counts"].items()):
        width = np.asarray(counts[: len(labels)], float)
        name = f"{split} ({found['clips'][split]:,} clips)"
        axis.barh(range(len(labels)), width, left=left, height=0.72, color=SERIES[place], label=name)
        left += width
    axis.set_yticks(range(len(labels)), [short(label) for label in labels], fontsize=8)
    axis.set_ylim(len(labels) - 0.4, -0.6)
    axis.tick_params(length=0, axis="y")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axis.set_xlabel("clips")
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper left", ncols=3, frameon=False, fontsize=8)
    return figure
