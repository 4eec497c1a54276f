"""Matplotlib figures as SVG inside a page: text stays text, and colours are the page's own, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

#: Colours that figures are drawn in, and the page's variable for each. The series are seaborn's palette "colorblind".
SERIES = ("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9")
_COLOURS = {
    **{colour: f"var(--s{i})" for i, colour in enumerate(SERIES)},
    "#262626": "var(--ink)",
    "#000000": "var(--ink)",
    "#666666": "var(--soft)",
    "#cccccc": "var(--line)",
    "#ffffff": "var(--paper)",
}
SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "bench",
    "text.color": "#262626",
    "axes.labelcolor": "#262626",
    "xtick.color": "#262626",
    "ytick.color": "#262626",
    "axes.edgecolor": "#cccccc",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "legend.frameon": False,
    "font.size": 10.0,
    "axes.unicode_minus": True,
    "text.parse_math": False,
}
"""Of matplotlib, for a figure inside a page."""


_TAG = re.compile(r"<[^>]*>")
_REFERENCE = re.compile(r'(?:url\(#|href="#)([^)"]+)')


@contextmanager
def page_style() -> Iterator[None]:
    """Draw figures for `inline_svg` inside this block."""
    with mpl.rc_context(SETTINGS):
        yield


def inline_svg(figure: Figure, name: str, title: str, description: str) -> str:
    """An SVG element with a text alternative.

    Parameters
    ----------
    figure : Figure
        Drawn within `page_style`.
    name : str
        Unique on the page; begins the ids of what the figure refers to in itself.
    title, description : str
        What it shows, in a few words and in a sentence.
    """
    buffer = io.StringIO()
    with mpl.rc_context(SETTINGS):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    used = set(_REFERENCE.findall(text))
    # Only inside tags: names in the text stay as they are, whatever they hold.
    text = _TAG.sub(lambda tag: _restyle(tag[0], name, used), text)
    text = re.sub(r"\n\s*", "\n", text)
    head, body = text.split(">", 1)
    box = re.search(r'viewBox="[^"]+"', head)
    width = re.search(r'width="([0-9.]+)pt"', head)
    assert box is not None
    assert width is not None
    size = f'style="max-width:{float(width[1]) * 4 / 3:.0f}px"'
    return (
        f'<svg role="img" aria-labelledby="{name}-title {name}-desc" {box[0]} {size} '
        f'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>{body}'
    )


def _restyle(tag: str, name: str, used: set[str]) -> str:
    """A tag with ids of its own, or none where nothing refers to them, and with the page's colours and type."""
    tag = re.sub(r' id="([^"]+)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", tag)
    tag = re.sub(r'(url\(#|href="#)([^)"]+)', lambda found: f"{found[1]}{name}-{found[2]}", tag)
    tag = re.sub(r"#[0-9a-f]{6}\b", lambda found: _COLOURS.get(found[0], found[0]), tag)
    tag = re.sub(r"font-family: [^;\"]*", "font-family: var(--sans)", tag)
    return re.sub(r"font: ([0-9.]+)px [^;\"]*", r"font: \1px var(--sans)", tag)
