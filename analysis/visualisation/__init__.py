"""One representation to look at and listen to: the page of `bench look`, drawn from a plain document.

Knows nothing of where the document comes from, whose keys `analysis.visualisation.document` lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.visualisation.document import LookDocument


def render(document: LookDocument) -> str:
    """The page as text.

    Parameters
    ----------
    document : LookDocument
    """
    from analysis.visualisation.page import html

    return html(document)
