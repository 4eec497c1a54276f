"""Figures of what an encoder's units do: spectra of what excites them, and their activations on a task's clips.

Cells are pictures of a few pixels inside the SVG, coloured by opacity, so that they fit a light page and a dark one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray

from analysis.pages.drawings import short
from analysis.pages.svg import SERIES, inline_svg, page_style
from analysis.visualisation.document import ExcitedLabels, FactorAnalysis, LayerSpectra, UnitActivations

MOST_CLASSES = 40
"""Classes drawn at most, those with the most clips."""
_WIDTH = 5.2
#: Below this the spectra are drawn as nothing [dB].
_FAINTEST_DB = -40.0
#: Cells' colours, none of the page's own: a picture cannot change with the page, so these must do on light and dark.
_ABOVE, _BELOW = "#2b8cd6", "#d9822b"
#: Rows of the picture of spectra, evenly spaced in mel.
_MEL_ROWS = 160
_TICKS_HZ = (50, 200, 500, 1000, 2000, 4000, 8000, 16_000)
#: Where the text alternative counts peaks [Hz].
_COUNTED_HZ = (500, 2000)
#: Standardised means from which on cells are drawn at full strength.
_STRONGEST = 2.0
#: Histograms of shares in [0, 1] have so many bars.
_BARS = 20
_WHOLE = 0.9995
"""Shares that a rounded document means by 1."""


def draw_filter_spectra(document: LayerSpectra, name: str | None = None) -> str:
    """An SVG element: one column a unit, sorted by the frequency of its peak, on a mel-scaled frequency axis.

    Parameters
    ----------
    document
        One spectrum a unit, sorted by peaks.
    name
        Unique on the page; by default from the layer's name.
    """
    frequencies = np.asarray(document["frequencies_hz"], float)
    units = len(document["units"])
    top = _mel(frequencies[-1])
    strength = np.zeros((_MEL_ROWS, units))
    for column, spectrum in enumerate(document["magnitude_db"]):
        if spectrum is not None:
            strength[:, column] = 1 - _mel_rows(frequencies, np.asarray(spectrum, float), top) / _FAINTEST_DB
    layer = document["layer"] or "representation"
    with page_style():
        figure = _figure(3.4)
        axis = figure.subplots()
        _picture(axis, _shaded(strength, _ABOVE), (0, units, 0, top), origin="lower")
        shown = [tick for tick in _TICKS_HZ if tick <= frequencies[-1]]
        axis.set_yticks(_mel(shown), [f"{tick:,}" for tick in shown])
        axis.set_ylabel("frequency (Hz, mel scale)")
        axis.set_xticks([])
        axis.set_xlabel(f"{units:,} units, sorted by the frequency of their peak")
        _key(figure, {"none": f"−{-_FAINTEST_DB:g} dB or less", _ABOVE: "the unit's peak"})
        title = f"What excites the units of {layer}"
        return inline_svg(figure, name or f"filter-spectra-{_slug(layer)}", title, _spectra_told(document))


def _spectra_told(document: LayerSpectra) -> str:
    peaks = np.array([peak for peak in document["peak_hz"] if peak is not None])
    count = len(document["units"])
    told = f"Spectra of the waveforms that excite {count:,} {_plural('unit', count)} most, sorted by their peaks."
    if len(peaks):
        low, middle, high = (f"{found:,.0f} Hz" for found in (peaks.min(), np.median(peaks), peaks.max()))
        below = [f"{int((peaks < hertz).sum()):,} below {hertz:,} Hz" for hertz in _COUNTED_HZ]
        told += f" Peaks lie between {low} and {high}, the median at {middle}; {' and '.join(below)}."
    silent = count - len(peaks)
    return told + (f" Nothing excited {silent:,} {_plural('unit', silent)}, left blank on the right." if silent else "")


def draw_activation_profile(document: UnitActivations, name: str = "activation-profile") -> str:
    """An SVG element: classes by units where classes differ most, and how often and how selectively units answer.

    Parameters
    ----------
    document
        Without classes to compare, the shares alone are drawn.
    name
        Unique on the page.
    """
    rows = np.argsort(-np.asarray(document["class_clips"], float), kind="stable")[:MOST_CLASSES]
    chosen = document["chosen"]
    heights = [0.9 + 0.2 * len(rows), 1.7] if chosen else [1.7]
    with page_style():
        figure = _figure(sum(heights) + 0.4)
        parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        if chosen:
            table = np.asarray(document["table"], float)[rows]
            axis = parts[0].subplots()
            _picture(axis, _diverging(table / _STRONGEST), (0, len(chosen), len(rows), 0), origin="upper")
            axis.set_yticks(np.arange(len(rows)) + 0.5, [short(document["classes"][row]) for row in rows])
            axis.set_xticks(np.arange(len(chosen)) + 0.5, [str(unit) for unit in chosen], rotation=90, fontsize=7)
            axis.tick_params(length=0)
            axis.set_xlabel("units between whose class means is most variance, most first")
            away = f"{_STRONGEST:g} deviations"
            _key(parts[0], {"none": "mean of all clips", _ABOVE: f"{away} above", _BELOW: f"{away} below"})
        left, right = parts[-1].subplots(1, 2)
        _histogram(left, document["zero_share"], "share of windows at zero")
        _histogram(right, document["sparsity"], "sparsity (0: alike at all windows)")
        left.set_ylabel("units")
        return inline_svg(figure, name, "What the units do on a task's clips", _profile_told(document, len(rows)))


def _profile_told(document: UnitActivations, drawn: int) -> str:
    share = np.asarray(document["zero_share"], float)
    count = len(share)
    often = int(((share > 0.5) & (share < _WHOLE)).sum())
    told = (
        f"Over {document['windows']:,} windows {document['dead']:,} of {count:,} {_plural('unit', count)} say the "
        f"same of every window, and {often:,} more {'is' if often == 1 else 'are'} zero at over half of them."
    )
    sparsity = [value for value in document["sparsity"] if value is not None]
    if sparsity:
        told += f" Sparsity has its median at {np.median(sparsity):.2f}."
    if document["participation_ratio"] is not None:
        told += f" They vary in {document['participation_ratio']:,.1f} effective dimensions."
    if not document["chosen"]:
        return told + " There are no classes to compare."
    best, classes = document["chosen"][0], document["classes"]
    column = np.asarray([row[0] for row in document["table"]], float)
    high, low = classes[int(np.argmax(column))], classes[int(np.argmin(column))]
    shown = f", of which {drawn} are drawn" if drawn < len(classes) else ""
    return told + (
        f" Of {len(classes)} classes{shown}, most variance lies between the means of unit {best}: eta squared is "
        f"{document['eta_squared'][best]:.2f}, highest for {high} and lowest for {low}."
    )


def draw_curves(curves: Sequence[Sequence[float | None]], task: str, name: str) -> str:
    """An SVG element: every feature's mean activations of clips, sorted from the highest; one line a feature.

    Parameters
    ----------
    curves
        Of each feature, at even places from the first clip to the last.
    task
        Whose clips they are.
    name
        Unique on the page.
    """
    lines = np.array(curves, dtype=float)
    places = np.linspace(0, 100, lines.shape[1])
    with page_style():
        figure = _figure(3.0)
        axis = figure.subplots()
        segments = [np.column_stack([places, line]) for line in lines if np.isfinite(line).all()]
        axis.add_collection(LineCollection(segments, colors=SERIES[0], linewidths=0.5, alpha=0.35))
        axis.autoscale_view()
        axis.set_xlim(0, 100)
        axis.set_xlabel("clips, sorted for each feature [%]")
        axis.set_ylabel("mean activation")
        spread = np.ptp(lines, axis=1)
        told = (
            f"Mean activations of {len(lines):,} features on the clips of {task}, each sorted from its highest clip to "
            f"its lowest. They range over {np.nanmin(spread):.3g} to {np.nanmax(spread):.3g}, half of them over more "
            f"than {np.nanmedian(spread):.3g}."
        )
        return inline_svg(figure, name, f"Sorted activations on {task}", told)


def draw_excited_labels(found: ExcitedLabels, task: str, name: str) -> str:
    """An SVG element: labels by features, as strong as often the windows that excite a feature most have a label."""
    counts = np.array(found["counts"], dtype=float).T / found["windows"]
    rows, columns = counts.shape
    with page_style():
        figure = _figure(1.0 + 0.16 * rows)
        axis = figure.subplots()
        _picture(axis, _shaded(counts, _ABOVE), (0, columns, rows, 0), origin="upper")
        axis.set_yticks(np.arange(rows) + 0.5, [short(label) for label in found["labels"]], fontsize=7)
        axis.tick_params(length=0, axis="y")
        axis.set_xlabel("features")
        _key(figure, {"none": "none", _ABOVE: f"all {found['windows']:,} windows"})
        over = counts - np.array(found["share"])[:, None]
        label, feature = np.unravel_index(int(over.argmax()), over.shape)
        told = (
            f"Of the {found['windows']:,} windows of {task} that excite each of {columns:,} features most, how many "
            f"are of clips with each of {rows} labels. Furthest above its share is {found['labels'][label]}, with "
            f"{100 * counts[label, feature]:.0f} % of the windows of feature {feature}, against "
            f"{100 * found['share'][label]:.0f} % of all."
        )
        return inline_svg(figure, name, f"Labels of what excites each feature on {task}", told)


def draw_loadings(found: FactorAnalysis, task: str, name: str) -> str:
    """An SVG element: the strongest features of each factor, a panel a factor, by their signed loading."""
    factors = found["factors"]
    height = max(len(factor["features"]) for factor in factors)
    with page_style():
        figure = _figure((1.0 + 0.16 * height) * len(factors))
        for axis, (number, factor) in zip(
            figure.subplots(len(factors), 1, squeeze=False)[:, 0], enumerate(factors, 1), strict=True
        ):
            colours = [_ABOVE if value >= 0 else _BELOW for value in factor["loadings"]]
            axis.barh(range(len(colours)), factor["loadings"], color=colours, height=0.7)
            axis.set_yticks(range(len(colours)), [str(feature) for feature in factor["features"]], fontsize=7)
            axis.set_ylim(len(colours) - 0.4, -0.6)
            axis.set_xlim(-1, 1)
            axis.axvline(0, color="#666666", linewidth=0.8)
            axis.set_title(f"factor {number}, {100 * factor['share']:.1f} % of the variance", fontsize=9)
        figure.supxlabel("loading", fontsize=10)
        told = "; ".join(
            f"factor {number}: feature {factor['features'][0]} most, with a loading of {factor['loadings'][0]:.2f}"
            for number, factor in enumerate(factors, 1)
        )
        return inline_svg(figure, name, f"Strongest features of each factor on {task}", f"{told.capitalize()}.")


def _figure(height: float) -> Figure:
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _picture(axis: Axes, cells: NDArray[np.uint8], extent: tuple[float, float, float, float], origin: Any) -> None:
    """Coloured cells [rows, columns, RGBA] as they are, without interpolation."""
    axis.imshow(cells, extent=extent, origin=origin, aspect="auto", interpolation="none")


def _shaded(strength: ArrayLike, colour: str) -> NDArray[np.uint8]:
    """One colour, as opaque as `strength` in [0, 1] says; 0 shows the page."""
    alpha = np.clip(np.nan_to_num(np.asarray(strength, float)), 0.0, 1.0)
    rgb = np.broadcast_to(to_rgb(colour), (*alpha.shape, 3))
    return np.round(255 * np.dstack([rgb, alpha])).astype(np.uint8)


def _diverging(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """One colour above 0, another below, opaque at 1 and -1."""
    above = (values >= 0)[:, :, None]
    return np.where(above, _shaded(values, _ABOVE), _shaded(-values, _BELOW))


def _key(figure: Figure | SubFigure, meanings: Mapping[str, str]) -> None:
    """What cells of each colour mean, above the figure."""
    patches = [Patch(facecolor=colour, edgecolor="#cccccc", label=text) for colour, text in meanings.items()]
    figure.legend(handles=patches, loc="outside upper left", ncols=3, frameon=False, fontsize=8)


def _histogram(axis: Axes, values: Sequence[float | None], label: str) -> None:
    """How many units have which share."""
    known = [value for value in values if value is not None]
    axis.hist(known, bins=_BARS, range=(0.0, 1.0), color=SERIES[0])
    axis.set_xlabel(label, fontsize=8.5)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)


def _mel(hertz: ArrayLike) -> Any:
    """Mel of O'Shaughnessy, "Speech communication" (1987)."""
    return 2595.0 * np.log10(1.0 + np.asarray(hertz, float) / 700.0)


def _mel_rows(frequencies: NDArray[np.float64], spectrum: NDArray[np.float64], top: float) -> NDArray[np.float64]:
    """Greatest magnitude in each of evenly spaced rows; interpolated where the rows are finer than the bins."""
    edges = np.linspace(0.0, top, _MEL_ROWS + 1)
    mel = _mel(frequencies)
    rows = np.interp((edges[:-1] + edges[1:]) / 2, mel, spectrum)
    place = np.minimum(np.searchsorted(edges, mel, side="right") - 1, _MEL_ROWS - 1)
    np.maximum.at(rows, place, spectrum)
    return rows


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def _slug(text: str) -> str:
    """A name that an id may hold."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()
