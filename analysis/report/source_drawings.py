"""Figures of a study of sources of labels, after figures 8 to 16 of Kim, Urbano, Liem and Hanjalic 2020."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.pages.drawings import MARKERS, WIDTH, short
from analysis.pages.svg import SERIES
from analysis.report.document import TopicMap
from analysis.report.source_study import ALONE, NUMBER, SourceStudy, best_sources, line, parameters, shares

_PLAIN = "#666666"
_UNIT = "standardised score [SD]"
_ABSENT = "#cccccc"


def _panels(names: Sequence[str], height: float, legend: int = 0, square: bool = False) -> tuple[Figure, list[Axes]]:
    """A panel for each name, two beside one another; `legend` rows are left above."""
    rows = -(-len(names) // 2)
    figure = Figure(figsize=(WIDTH, height * rows + 0.22 * legend), layout="constrained")
    FigureCanvasAgg(figure)
    style = {"axes.facecolor": "none", "grid.color": _ABSENT, "axes.edgecolor": _ABSENT}
    with sns.axes_style("white" if square else "whitegrid", style):
        axes = list(figure.subplots(rows, 2, squeeze=False).ravel())
    for axis, name in zip(axes, names, strict=False):
        axis.set_title(short(name), fontsize=9)
        axis.tick_params(labelsize=8)
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    return figure, axes[: len(names)]


def _one(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    sns.despine(ax=axis)
    return figure, axis


def _style(strategies: Sequence[str], strategy: str) -> dict[str, Any]:
    place = strategies.index(strategy)
    return {"color": SERIES[place % len(SERIES)], "marker": MARKERS[place % len(MARKERS)]}


def _legend(figure: Figure, axis: Axes, columns: int) -> None:
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper left", ncols=columns, frameon=False, fontsize=8)


def _baselines(study: SourceStudy, axis: Axes, task: str) -> None:
    for i, (name, score) in enumerate(study.baselines.get(task, {}).items()):
        axis.axhline(score, color=_PLAIN, linewidth=0.9, linestyle=(0, (4 - i % 3, 1 + i % 3)), label=name)


def single_sources(study: SourceStudy) -> Figure:
    """Scores of networks for one source, a panel a task; large points are means (figure 8)."""
    figure, axes = _panels(study.tasks, 2.1, legend=len(study.baselines) and 1)
    for axis, task in zip(axes, study.tasks, strict=True):
        for x, source in enumerate(study.sources):
            scores = study.alone(task, source)
            axis.plot([x] * len(scores), scores, ".", color=SERIES[0], markersize=4, alpha=0.6)
            if scores:
                axis.plot([x], [np.mean(scores)], "o", color=SERIES[0], markersize=5)
        _baselines(study, axis, task)
        axis.set_xticks(range(len(study.sources)), study.sources, rotation=60, ha="right", fontsize=7)
        axis.set_ylabel(study.titles[task], fontsize=8)
    if study.baselines:
        _legend(figure, axes[0], 4)
    return figure


def strategies(study: SourceStudy) -> Figure:
    """Scores of each strategy, a panel a task: quartiles, extremes, and the mean as a point (figure 9)."""
    figure, axes = _panels(study.tasks, 2.1, legend=len(study.baselines) and 1)
    for axis, task in zip(axes, study.tasks, strict=True):
        scores = [study.of(task, strategy)["score"].to_numpy(dtype=np.float64) for strategy in study.strategies]
        boxes = axis.boxplot(scores, positions=range(len(scores)), whis=(0, 100), widths=0.6, showmeans=True,
                             meanprops={"marker": "o", "markersize": 4, "markeredgecolor": "none"})  # fmt: skip
        for place, name in enumerate(study.strategies):
            colour = _PLAIN if name == ALONE else SERIES[place % len(SERIES)]
            parts = [boxes["boxes"][place], boxes["medians"][place], *boxes["whiskers"][2 * place : 2 * place + 2]]
            for part in [*parts, *boxes["caps"][2 * place : 2 * place + 2]]:
                part.set_color(colour)
            boxes["means"][place].set_markerfacecolor(colour)
        _baselines(study, axis, task)
        axis.set_xticks(range(len(scores)), study.strategies, rotation=60, ha="right", fontsize=7)
        axis.set_ylabel(study.titles[task], fontsize=8)
    if study.baselines:
        _legend(figure, axes[0], 4)
    return figure


def numbers_of_sources(study: SourceStudy) -> Figure:
    """Standardised scores by number of sources, with a line a strategy, a panel a task (figure 10)."""
    figure, axes = _panels(study.tasks, 2.2, legend=2)
    several = [name for name in study.strategies if name != ALONE]
    for axis, task in zip(axes, study.tasks, strict=True):
        alone = study.of(task, ALONE)
        if len(alone):
            axis.plot(alone[NUMBER], alone["y"], ".", color=_PLAIN, markersize=3, label=ALONE)
            axis.axhline(alone["y"].mean(), color=_PLAIN, linewidth=0.9)
        for place, name in enumerate(several):
            rows, style = study.of(task, name), _style(study.strategies, name)
            # Strategies side by side: points at equal numbers would hide one another.
            shift = 0.1 * (place - (len(several) - 1) / 2)
            axis.plot(rows[NUMBER] + shift, rows["y"], linestyle="none", markersize=2.6, alpha=0.7, label=name, **style)
            if (fitted := line(rows)) is not None:
                ends = np.array([rows[NUMBER].min(), rows[NUMBER].max()], dtype=np.float64)
                axis.plot(ends, fitted.intercept + fitted.slope * ends, color=style["color"], linewidth=1.2)
        axis.set_xlabel("sources", fontsize=8)
        axis.set_ylabel(_UNIT, fontsize=8)
    _legend(figure, axes[0], 3)
    return figure


def with_or_without_the_best(study: SourceStudy) -> Figure:
    """Runs with the source that is best alone (filled, solid) and without it (open, dashed) (figure 13)."""
    best = best_sources(study)
    figure, axes = _panels([f"{task}: {best[task].source}" for task in best], 2.2, legend=1)
    for axis, (task, found) in zip(axes, best.items(), strict=True):
        rows = study.several(task)
        within = rows[found.source] == 1
        axis.axhline(found.alone, color=_PLAIN, linewidth=0.9, linestyle=(0, (1, 1.5)), label="the best source alone")
        for chosen, fitted, side in ((within, found.with_it, "with"), (~within, found.without_it, "without")):
            colour = SERIES[0] if side == "with" else SERIES[1]
            face = colour if side == "with" else "none"
            axis.plot(
                rows.loc[chosen, NUMBER] + (-0.08 if side == "with" else 0.08), rows.loc[chosen, "y"], "o",
                markersize=3, markeredgecolor=colour, markerfacecolor=face, label=f"{side} it",
            )  # fmt: skip
            if fitted is not None and len(fitted.numbers):
                x = np.array(fitted.numbers)
                style = "-" if side == "with" else (0, (5, 2))
                axis.plot(x, fitted.intercept + fitted.slope * x, color=colour, linewidth=1.2, linestyle=style)
                axis.fill_between(x, fitted.lower, fitted.upper, color=colour, alpha=0.15, linewidth=0)
        axis.set_xlabel("sources", fontsize=8)
        axis.set_ylabel(_UNIT, fontsize=8)
    _legend(figure, axes[0], 3)
    return figure


def score_against_component(study: SourceStudy) -> Figure:
    """Single score of every source on every task against its share of the task's variance in company (figure 14)."""
    found, _ = shares(study)
    figure, axis = _one(4.0)
    for place, source in enumerate(study.sources):
        own = [one for one in found if one.source == source]
        axis.plot(
            [one.alone for one in own], [one.percent for one in own], linestyle="none", markersize=5,
            color=SERIES[place % len(SERIES)], marker=MARKERS[place % len(MARKERS)], label=source,
        )  # fmt: skip
    axis.set_xlabel(f"mean score of {ALONE} [SD]")
    axis.set_ylabel("variance component, % of the sources'")
    _legend(figure, axis, 4)
    return figure


def sizes(study: SourceStudy) -> Figure:
    """Parameters of encoders by number of sources (figure 15)."""
    figure, axis = _one(3.2)
    for strategy, points in parameters(study).items():
        x, y = zip(*points, strict=True)
        axis.plot(
            x, np.array(y) / 1e6, markersize=4, linewidth=1.2, label=strategy, **_style(study.strategies, strategy)
        )
    axis.set_xlabel("sources")
    axis.set_ylabel("parameters [million]")
    axis.set_ylim(bottom=0)
    _legend(figure, axis, 3)
    return figure


def topics(found: TopicMap) -> Figure:
    """Clips in the plane, a panel a source, coloured by the topic that the source's head expects most (figure 16).

    A topic's strongest terms stand in the middle of its clips; panels' axes have no meaning.
    """
    figure, axes = _panels([source["source"] for source in found["sources"]], 2.6, square=True)
    x, y = np.array(found["x"]), np.array(found["y"])
    for axis, source in zip(axes, found["sources"], strict=True):
        strongest = np.array(source["topic"])
        for place, topic in enumerate(np.unique(strongest).tolist()):
            own = strongest == topic
            style: Mapping[str, Any] = {"color": SERIES[place % len(SERIES)], "marker": MARKERS[place % len(MARKERS)]}
            axis.plot(x[own], y[own], linestyle="none", markersize=3, alpha=0.7, **style)
            paper = {"facecolor": "#ffffff", "edgecolor": "none", "pad": 0.6, "alpha": 0.8}
            axis.text(
                np.median(x[own]), np.median(y[own]), source["names"][topic], fontsize=6.5, ha="center", bbox=paper
            )
        axis.set(xticks=[], yticks=[])
    return figure
