"""A figure of the page with the files that a paper takes of it."""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from analysis.pages.for_paper import ForPaper, as_drawn, shrunk
from analysis.pages.svg import inline_svg

_LONGEST_NAME = 80


@dataclass(frozen=True)
class PageFigure:
    """A figure that a template writes into the page.

    Attributes
    ----------
    file_name
        Of its files, without suffix; of small letters, digits and hyphens only.
    inline
        The SVG element; empty where the page shows the same as a table.
    paper
        Its files.
    """

    file_name: str
    inline: Markup
    paper: ForPaper

    def __html__(self) -> str:
        """What a template writes."""
        return str(self.inline)

    @property
    def pdf_address(self) -> str:
        """The PDF as an address that holds it."""
        return "data:application/pdf;base64," + base64.b64encode(self.paper.pdf).decode()

    @property
    def packed_svg(self) -> str:
        """The SVG, gzip in base64, for the page's script to unpack."""
        return base64.b64encode(gzip.compress(self.paper.svg, mtime=0)).decode()


def page_figure(figure: Figure, name: str, title: str, description: str) -> PageFigure:
    """Keep a figure for the page and for papers; it is changed.

    Parameters
    ----------
    figure : Figure
        Drawn within `analysis.pages.svg.page_style`.
    name, title, description : str
        As `inline_svg` takes them.
    """
    inline = Markup(inline_svg(figure, name, title, description))  # noqa: S704 - matplotlib escapes its texts
    return PageFigure(_slug(title), inline, shrunk(figure))


def paper_figure(figure: Figure, title: str, *, screen: bool = False) -> PageFigure:
    """Keep a figure for papers alone.

    Parameters
    ----------
    figure : Figure
        Drawn within `analysis.pages.for_paper.paper_style`.
    title : str
        What it shows.
    screen : bool
        Whether it was laid out for a screen, and is to be shrunk.
    """
    return PageFigure(_slug(title), Markup(), shrunk(figure) if screen else as_drawn(figure))


def find_figures(shown: Any) -> Iterator[PageFigure]:
    """Every figure in nested mappings, sequences and dataclasses, in order."""
    if isinstance(shown, PageFigure):
        yield shown
    elif isinstance(shown, Mapping):
        for value in shown.values():
            yield from find_figures(value)
    elif isinstance(shown, Sequence) and not isinstance(shown, str):
        for value in shown:
            yield from find_figures(value)
    elif is_dataclass(shown) and not isinstance(shown, type):
        for field in fields(shown):
            yield from find_figures(getattr(shown, field.name))


def paper_files(figures: Iterator[PageFigure]) -> dict[str, bytes]:
    """Files by name, two a figure; of figures of one name the second is numbered 2."""
    found: dict[str, bytes] = {}
    for figure in figures:
        name, number = figure.file_name, 2
        while f"{name}.pdf" in found:
            name, number = f"{figure.file_name}-{number}", number + 1
        found |= {f"{name}.pdf": figure.paper.pdf, f"{name}.svg": figure.paper.svg}
    return found


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:_LONGEST_NAME].strip("-") or "figure"
