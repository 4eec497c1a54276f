"""The sources of labels of a corpus, as `bench data sources` tells of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypedDict

from analysis.report.document import FactorRow
from benchmark.store.file_names import FACTORS
from benchmark.store.store import Artifact
from benchmark.text import fitted


class LabelledSource(TypedDict):
    """A source of labels of a corpus.

    Attributes
    ----------
    source, description
        Its name, and what it is.
    clips, labelled, fitted
        Clips of the dataset, those that it says anything of, and those of them that are trained on.
    trouble
        Why nothing can be learnt from it; empty if it can.
    key
        Of the artifact.
    factors
        What its labels are reduced to; none of `self`.
    """

    source: str
    description: str
    clips: int
    labelled: int
    fitted: int
    trouble: str
    key: str
    factors: Sequence[FactorRow]


def labelled_source(name: str, description: str, artifact: Artifact) -> LabelledSource:
    """What the step of a source has left."""
    facts, listed = artifact.manifest["facts"], artifact / FACTORS
    return {
        "source": name,
        "description": description,
        "clips": facts["clips"],
        "labelled": facts["labelled"],
        "fitted": facts.get("fitted", facts["labelled"]),
        "trouble": "",
        "key": artifact.manifest["key"],
        "factors": json.loads(listed.read_text(encoding="utf-8")) if listed.exists() else [],
    }


def unusable_source(name: str, description: str, key: str, trouble: str) -> LabelledSource:
    """A source that nothing can be learnt from, and why."""
    return {
        "source": name,
        "description": description,
        "clips": 0,
        "labelled": 0,
        "fitted": 0,
        "trouble": trouble,
        "key": key,
        "factors": [],
    }


def as_text(rows: Sequence[LabelledSource], with_factors: bool) -> str:
    """A line a source and, if asked for, a table of the factors of each."""
    table = [["source", "labelled", "trained on", "what"]]
    for row in rows:
        counts = [f"{row['labelled']:,}", f"{row['fitted']:,}"] if not row["trouble"] else ["none", "none"]
        table.append([row["source"], *counts, row["trouble"] or row["description"]])
    parts = [fitted(table, None)]
    for row in rows if with_factors else ():
        lines = [["share", "strongest terms" if row["factors"] and row["factors"][0]["terms"] else "mean, deviation"]]
        lines += [[f"{factor['share']:.3f}", _meaning(factor)] for factor in row["factors"]]
        parts.append(f"{row['source']}\n{fitted(lines, None)}")
    return "\n\n".join(parts)


def _meaning(factor: FactorRow) -> str:
    if factor["mean"] is not None:
        return f"{factor['mean']:.4g}, {factor['deviation']:.3g}"
    return ", ".join(str(term) for term, _ in factor["terms"])
