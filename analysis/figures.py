"""Figures of an analysis: each function takes tables and returns a matplotlib Figure, and draws on no screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

from analysis.documents.ranks import MeanRanks
from analysis.statistics.contrasts import ALPHA

DOTS_PER_INCH = 130
"""Resolution of saved figures."""

_PALETTE = "colorblind"
# A name may hold a "$", which is no formula; tick labels are made as late as when a figure is saved.
_PLAIN_TEXT = mpl.rc_context({"text.parse_math": False})


def _figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Make an empty figure that belongs to no window system; sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    with sns.axes_style("whitegrid"):
        axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.ravel())


@_PLAIN_TEXT
def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    figure.savefig(path, dpi=DOTS_PER_INCH)


@_PLAIN_TEXT
def effects(fixed: Mapping[str, Mapping[str, Any]], unit: str = "standard deviations") -> Figure:
    """Fixed effects with 95 % intervals: Satterthwaite (thick), bootstrap (thin) where present; cf. figures 11, 12.

    Parameters
    ----------
    fixed : mapping
        The ``fixed`` entry of an analysis.
    unit : str
        Of the horizontal axes.
    """
    kinds = [kind for kind in ("intercept", "slope") if any(entry["kind"] == kind for entry in fixed.values())]
    most = max(sum(entry["kind"] == kind for entry in fixed.values()) for kind in kinds)
    figure, axes = _figure(5.5 * len(kinds), 1.2 + 0.4 * most, columns=len(kinds))
    colours = sns.color_palette(_PALETTE)
    for axis, kind in zip(axes, kinds, strict=True):
        entries = [(name, entry) for name, entry in fixed.items() if entry["kind"] == kind]
        for y, (_, entry) in enumerate(entries):
            axis.plot([entry["lower"], entry["upper"]], [y, y], color=colours[0], linewidth=3, solid_capstyle="butt")
            if entry["bootstrap"]:
                limits = [entry["bootstrap"]["lower"], entry["bootstrap"]["upper"]]
                axis.plot(limits, [y + 0.22, y + 0.22], color=colours[1], linewidth=1.5)
            axis.plot([entry["estimate"]], [y], "o", color=colours[0])
        axis.set_yticks(range(len(entries)), [entry["level"] or name for name, entry in entries])
        axis.invert_yaxis()
        axis.axvline(0.0, color="0.4", linewidth=0.8)
        axis.set_xlabel(f"{kind} [{unit}]")
    axes[0].plot([], [], color=colours[0], linewidth=3, label="95 % Satterthwaite")
    if any(entry["bootstrap"] for entry in fixed.values()):
        axes[0].plot([], [], color=colours[1], linewidth=1.5, label="95 % bootstrap")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return figure


@_PLAIN_TEXT
def scores_by_covariate(
    table: pd.DataFrame, lines: Mapping[str, tuple[float, float]], labels: tuple[str, str], most_tasks: int = 12
) -> Figure:
    """Scores against the covariate, one panel a task, with each level's overall fit; cf. figure 10.

    Parameters
    ----------
    table : DataFrame
        Columns ``task``, ``level``, ``x`` and ``y``.
    lines : mapping of str to (intercept, slope)
        The overall fit of each level.
    labels : (str, str)
        Of the axes.
    most_tasks : int
        Panels at most.
    """
    tasks = list(dict.fromkeys(table["task"]))[:most_tasks]
    columns = min(4, len(tasks))
    rows = -(-len(tasks) // columns)
    figure, axes = _figure(3.4 * columns, 2.9 * rows + 0.6, rows, columns)
    levels = list(lines)
    colours = dict(zip(levels, sns.color_palette(_PALETTE, len(levels)), strict=True))
    spread = float(np.ptp(table["x"].to_numpy(dtype=np.float64))) or 1.0
    for axis, task in zip(axes, tasks, strict=False):
        here = table[table["task"] == task]
        for k, level in enumerate(levels):
            rows_of = here[here["level"] == level]
            x, y = rows_of["x"].to_numpy(dtype=np.float64), rows_of["y"].to_numpy(dtype=np.float64)
            # Levels side by side: points at equal covariates would hide one another.
            shift = 0.012 * spread * (k - 0.5 * (len(levels) - 1))
            axis.plot(x + shift, y, ".", color=colours[level], markersize=3, alpha=0.5)
            if x.size:
                ends = np.array([x.min(), x.max()])
                axis.plot(ends, lines[level][0] + lines[level][1] * ends, color=colours[level], label=level)
                if np.ptp(ends) == 0.0:
                    axis.plot(ends[:1], [lines[level][0] + lines[level][1] * ends[0]], "D", color=colours[level])
        axis.set_title(str(task), fontsize=10)
    for axis in axes[len(tasks) :]:
        axis.set_visible(False)
    figure.supxlabel(labels[0])
    figure.supylabel(labels[1])
    found = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(
        list(found.values()), list(found), loc="outside upper center", ncols=min(6, max(1, len(found))), frameon=False
    )
    return figure


@_PLAIN_TEXT
def pairwise_matrix(contrasts: Sequence[Mapping[str, Any]], kind: str = "level") -> Figure:
    """Matrix of differences, row minus column, with adjusted p values; undecided ones are grey.

    Of these, what is shown to be *equivalent* says so, and so does what holds of single *networks* alone.

    Parameters
    ----------
    contrasts : sequence of mapping
        The ``contrasts`` entry of an analysis.
    kind : str
        ``"level"`` or ``"slope"``.
    """
    chosen = [entry for entry in contrasts if entry["kind"] == kind]
    names = list(dict.fromkeys(name for entry in chosen for name in (entry["b"], entry["a"])))
    place = {name: i for i, name in enumerate(names)}
    values = np.full((len(names), len(names)), np.nan)
    text = np.full(values.shape, "", dtype=object)
    undecided = np.zeros(values.shape, dtype=np.bool_)
    for entry in chosen:
        i, j = place[entry["a"]], place[entry["b"]]
        for row, column, sign in ((i, j, 1.0), (j, i, -1.0)):
            values[row, column] = sign * entry["estimate"]
            text[row, column] = f"{sign * entry['estimate']:+.2f}\np {_short(entry['p_holm'])}"
            if entry["p_holm"] < ALPHA and not entry["different"]:
                text[row, column] += "\nnetworks"
            elif kind == "level" and entry["equivalence"]["answer"] == "equivalent":
                text[row, column] += "\nequivalent"
            undecided[row, column] = not entry["different"]
    size = 1.8 + 0.95 * len(names)
    figure, (axis,) = _figure(size + 1.2, size)
    axis.grid(visible=False)
    limit = float(np.nanmax(np.abs(values))) if chosen else 1.0
    style: dict[str, Any] = {"vmin": -limit, "vmax": limit, "cmap": "vlag", "annot_kws": {"size": 8}}
    sns.heatmap(
        values, annot=text, fmt="", mask=undecided | np.isnan(values), ax=axis, square=True, **style,
        cbar_kws={"label": f"{kind} difference, row minus column"},
    )  # fmt: skip
    for i, j in zip(*np.nonzero(undecided), strict=True):
        axis.text(j + 0.5, i + 0.5, text[i, j], ha="center", va="center", color="0.45", fontsize=8)
    axis.set_xticks(np.arange(len(names)) + 0.5, names, rotation=35, ha="right")
    axis.set_yticks(np.arange(len(names)) + 0.5, names, rotation=0)
    return figure


def _short(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


@_PLAIN_TEXT
def mean_ranks(ranks: MeanRanks) -> Figure:
    """Mean ranks with 95 % intervals, best on top; black bars join what lies within the critical difference.

    Parameters
    ----------
    ranks : MeanRanks
        The ``ranks`` entry of an analysis.
    """
    levels, alike = ranks["levels"], ranks["alike"]
    means = {name: entry["estimate"] for name, entry in levels.items()}
    top = -1.2 - 0.35 * len(alike)
    figure, (axis,) = _figure(6.5, 1.3 + 0.33 * (len(levels) - top))
    colour, ink = sns.color_palette(_PALETTE)[0], "#262626"
    for y, (name, entry) in enumerate(levels.items()):
        axis.plot([means[name]] * 2, [top + 0.9, y], color="#949494", linestyle=":", linewidth=0.9, zorder=1)
        axis.plot([entry["lower"], entry["upper"]], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt")
        axis.plot([means[name]], [y], "o", color=colour)
    for i, group in enumerate(alike):
        # A little longer than from mean to mean, so that equal means still show a bar.
        ends = [means[group[0]] - 0.02 * len(levels), means[group[-1]] + 0.02 * len(levels)]
        axis.plot(ends, [top + 0.9 + 0.35 * i] * 2, color=ink, linewidth=3.5, solid_capstyle="butt")
    widest = ranks["critical_difference"]
    ruler = {"arrowstyle": "|-|,widthA=0.4,widthB=0.4", "color": ink, "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", (1.0, top), (min(1.0 + widest, float(len(levels))), top), arrowprops=ruler)
    beyond = " (more than all ranks)" if widest > len(levels) - 1 else ""
    axis.text(1.0, top - 0.35, f"critical difference {widest:.2f}{beyond}", va="bottom", fontsize=9, color=ink)
    axis.set_yticks(range(len(levels)), list(levels))
    axis.set_ylim(len(levels) - 0.5, top - 1.0)
    axis.set_xlim(1.0 - 0.03 * len(levels), len(levels) * 1.03)
    axis.grid(visible=False, axis="y")
    axis.set_xlabel(f"mean rank over {ranks['tasks']} tasks, 1 is best (95 % interval)")
    return figure


@_PLAIN_TEXT
def components(within: Sequence[Mapping[str, Any]], grid: Sequence[Mapping[str, Any]]) -> Figure:
    """Variance components: percent of the sources' total by task (cf. table 6), and shares of the whole grid.

    Parameters
    ----------
    within, grid : sequence of mapping
        The two parts of the ``components`` entry of an analysis; either may be empty.
    """
    panels = int(bool(within)) + int(bool(grid))
    tall = max(len({r["source"] for r in within}), len(grid), 3)
    figure, axes = _figure(6.5 * max(1, panels), 1.6 + 0.42 * tall, columns=max(1, panels))
    place = 0
    if within:
        sources = list(dict.fromkeys(record["source"] for record in within))
        tasks = list(dict.fromkeys(record["group"] for record in within))
        values = np.full((len(sources), len(tasks)), np.nan)
        for record in within:
            values[sources.index(record["source"]), tasks.index(record["group"])] = record["estimate"]
        sns.heatmap(
            values, annot=True, fmt=".0f", cmap="rocket_r", vmin=0, vmax=100, ax=axes[0], xticklabels=tasks,
            yticklabels=sources, cbar_kws={"label": "percent, residual excluded"},
        )  # fmt: skip
        axes[0].tick_params(axis="x", rotation=35)
        axes[0].tick_params(axis="y", rotation=0)
        place = 1
    if grid:
        axis = axes[place]
        for y, record in enumerate(grid):
            axis.barh(y, record["estimate"], color=sns.color_palette(_PALETTE)[0], alpha=0.7)
            if record["lower"] is not None:
                axis.plot([record["lower"], record["upper"]], [y, y], color="0.25")
        axis.set_yticks(range(len(grid)), [record["term"] for record in grid])
        axis.invert_yaxis()
        axis.set_xlabel("percent of all variance (line: 95 % bootstrap)")
    return figure


@_PLAIN_TEXT
def alias(matrix: pd.DataFrame) -> Figure:
    """Absolute correlations between columns of different factors, 0 (apart) to 1 (one effect); cf. figure 7.

    Parameters
    ----------
    matrix : DataFrame
        From `analysis.alias_matrix`.
    """
    values = np.abs(matrix.to_numpy(dtype=np.float64))
    size = 1.8 + 0.42 * len(values)
    figure, (axis,) = _figure(size + 2.5, size + 0.8)
    axis.grid(visible=False)
    sns.heatmap(
        values, vmin=0, vmax=1, cmap="mako_r", square=True, ax=axis, xticklabels=list(matrix.columns),
        yticklabels=list(matrix.index), annot=len(values) <= 20, fmt=".2f", annot_kws={"size": 6},
        cbar_kws={"label": "absolute correlation"},
    )  # fmt: skip
    axis.tick_params(axis="x", rotation=90)
    axis.tick_params(axis="y", rotation=0)
    return figure


@_PLAIN_TEXT
def residuals(fitted: NDArray[np.float64], residual: NDArray[np.float64], task: Sequence[str]) -> Figure:
    """Residual diagnostics: against fitted values, against the normal distribution, and by task.

    Parameters
    ----------
    fitted, residual : ndarray, shape [rows]
        Expected scores with predicted random effects, and what is left; in the model's unit.
    task : sequence of str, length rows
    """
    figure, (left, middle, right) = _figure(13.0, 3.8, columns=3)
    colour = sns.color_palette(_PALETTE)[0]
    left.plot(fitted, residual, ".", color=colour, markersize=3, alpha=0.5)
    left.axhline(0.0, color="0.4", linewidth=0.8)
    left.set(xlabel="fitted", ylabel="residual")
    ordered = np.sort(residual)
    normal = stats.norm.ppf((np.arange(ordered.size) + 0.5) / ordered.size) * residual.std(ddof=1)
    middle.plot(normal, ordered, ".", color=colour, markersize=3)
    middle.plot(normal[[0, -1]], normal[[0, -1]], color="0.4", linewidth=0.8)
    middle.set(xlabel="normal quantile", ylabel="residual")
    names = list(dict.fromkeys(task))
    groups = np.array(list(task))
    right.boxplot([residual[groups == name] for name in names], flierprops={"markersize": 2})
    right.set_xticks(range(1, len(names) + 1), names, rotation=35, ha="right")
    right.set(ylabel="residual")
    return figure
