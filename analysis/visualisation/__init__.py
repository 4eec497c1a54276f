"""One representation to look at and listen to: the page of `bench look`, drawn from a plain document.

Knows nothing of where the document comes from. Its keys:

``created``, ``bench``, ``command``
    Time, version of the program that collected it, and what makes the page again.
``shown``
    ``encoder``; ``recipe`` and ``changes`` (numbers replaced in it); ``corpus`` and ``corpus_dataset``, or null;
    ``seed``; ``dim``; ``weights`` (hash); ``pretrained``; ``descriptions`` of ``encoders``, ``recipes``, ``corpora``.
``tasks``
    Each with ``name, description, dataset, licence, standin, clips, windows``; ``domain`` (``in``, ``out``, or empty);
    ``clip_map`` and ``window_map``: ``x``, ``y`` and ``label`` of every point, ``labels``, ``neighbours``, ``chance``,
    or null; ``activations``, see `analysis.visualisation.drawings`.
``features``
    Each with ``feature`` (number), ``why``, and for each of ``tasks`` its name as ``task``; ``clips``, with ``clip``,
    ``path``, ``second``, ``activation``, ``deviation``, ``split``, ``labels``, ``audio`` (a data: address or empty) and
    ``audio_seconds``; ``prevalent``, with ``label``, ``count`` and ``share``.
``filters``, ``no_filters``
    Spectra of layers, see `analysis.visualisation.drawings`; why there are none, or empty.
``audio``
    Whether the page holds any.
"""

from __future__ import annotations

from typing import Any


def render(document: dict[str, Any]) -> str:
    """The page as text.

    Parameters
    ----------
    document : dict
        See the package's text.
    """
    from analysis.visualisation.page import html

    return html(document)
