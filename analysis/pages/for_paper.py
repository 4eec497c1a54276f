"""Figures as papers take them: as wide as one column of a two-column page or as both, fonts embedded, SVG and PDF."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.text import Text

from analysis.pages.svg import SETTINGS

COLUMN, BOTH = 3.4, 7.0
"""Widths of one column and of both [inch]."""
TALLEST = 9.0
"""Height of a page's text [inch]."""
SMALLEST = 6.5
"""Size of the smallest type [pt]."""
_SHRINK = 0.8
"""What type and rows are multiplied by, that were drawn for a screen."""
_SETTINGS: Any = {
    **SETTINGS,
    # Type 42: publishers refuse Type 3. In the SVG letters are paths, for no program embeds fonts in it alike.
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "font.size": 8.0,
}


@dataclass(frozen=True)
class ForPaper:
    """A figure as two files.

    Attributes
    ----------
    svg, pdf
        Contents.
    width, height
        Size [inch].
    """

    svg: bytes
    pdf: bytes
    width: float
    height: float


@contextmanager
def paper_style() -> Iterator[None]:
    """Draw figures for `as_drawn` inside this block."""
    with mpl.rc_context(_SETTINGS):
        yield


def shrunk(figure: Figure) -> ForPaper:
    """Make a figure that was drawn for a screen fit a paper; it is changed.

    Parameters
    ----------
    figure : Figure
        With a constrained layout. It becomes one column wide, or as wide as both where words need the place.
    """
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_fontsize(max(SMALLEST, _SHRINK * float(text.get_fontsize())))
    height = min(TALLEST, _SHRINK * figure.get_figheight())
    figure.set_size_inches(COLUMN if figure.get_figwidth() < BOTH else BOTH, height)
    with mpl.rc_context(_SETTINGS):
        figure.draw_without_rendering()
        _shift_labels(figure)
        words = [*figure.legends, *(axis.xaxis.label for axis in figure.axes)]
        if any(word.get_window_extent().width > figure.bbox.width for word in words):
            figure.set_size_inches(BOTH, height)
    return as_drawn(figure)


def _shift_labels(figure: Figure) -> None:
    """End labels of horizontal axes that long names push over the edge where their axis ends."""
    for axis in figure.axes:
        if axis.xaxis.label.get_window_extent().x1 > figure.bbox.x1:
            axis.set_xlabel(axis.get_xlabel(), loc="right")


def as_drawn(figure: Figure) -> ForPaper:
    """Save a figure that was drawn for papers.

    Parameters
    ----------
    figure : Figure
        Drawn within `paper_style`.
    """
    svg, pdf = io.BytesIO(), io.BytesIO()
    with mpl.rc_context(_SETTINGS):
        # Laid out once: solving again for each file takes longer than writing it.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        figure.savefig(pdf, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
    return ForPaper(svg.getvalue(), pdf.getvalue(), float(figure.get_figwidth()), float(figure.get_figheight()))
