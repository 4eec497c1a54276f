"""What a representation is called: by its encoder, and by how it was pretrained where there are several ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def representation_names(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name each run's representation: the encoder, and what its pretraining differs in from its others'.

    Parameters
    ----------
    runs
        Each with ``encoder``, ``recipe`` and ``corpus``, which is ``None`` where nothing was pretrained.
    """
    variants: dict[str, set[tuple[str, str | None]]] = {}
    for run in runs:
        variants.setdefault(run["encoder"], set()).add((run["recipe"], run["corpus"]))
    return [_name(run, variants[run["encoder"]]) for run in runs]


def _name(run: Mapping[str, Any], known: set[tuple[str, str | None]]) -> str:
    encoder = str(run["encoder"])
    if len(known) == 1:
        return encoder
    corpora = {corpus for recipe, corpus in known if recipe == run["recipe"]}
    recipes = {recipe for recipe, corpus in known if corpus is not None}
    parts = []
    if run["corpus"] is None or len(recipes) > 1 or len(corpora) == 1:
        parts.append(run["recipe"])
    if len(corpora) > 1 and run["corpus"]:
        parts.append(run["corpus"])
    return f"{encoder} · {', '.join(parts)}"
