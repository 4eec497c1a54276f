"""What the hierarchical analysis found, as sentences for a page: few and short ones first, however many the levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from analysis.pages import minus_sign
from analysis.report.headline import lead, some
from analysis.report.over_tasks import OverTasks
from analysis.statistics.contrasts import ALPHA
from analysis.summary import joined
from analysis.tables import direction

MANY_LEVELS = 6
"""Above so many levels, the sentences on pairs are folded away behind a digest."""


@dataclass(frozen=True)
class Findings:
    """Sentences of an analysis.

    Attributes
    ----------
    found
        What it found, a digest of the pairs first where they are many.
    pairs
        Sentences on pairs that the digest stands for.
    notes
        How it was done, and caveats.
    """

    found: list[str] = field(default_factory=list)
    pairs: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def findings(part: OverTasks) -> Findings | None:
    """Sort the analysis' sentences; ``None`` where there is no analysis."""
    if part.analysis is None:
        return None
    many = len(part.analysis["table"]["levels"]) > MANY_LEVELS
    told = Findings(found=_digest(part) if many else [])
    for sentence in part.analysis["summary"]:
        numbers = sentence["numbers"]
        path = numbers[0]["path"] if numbers else []
        if numbers is None or path[:1] == ["table"]:
            told.notes.append(sentence["text"])
        elif many and (not path or (path[0] == "contrasts" and "natural" not in path)):
            told.pairs.append(sentence["text"])
        else:
            told.found.append(sentence["text"])
    return told


def _digest(part: OverTasks) -> list[str]:
    """How many pairs differ, and how the highest of the levels with all tasks stands to the rest."""
    found = lead(part)
    if found is None or part.analysis is None:
        return []
    analysis: Mapping[str, Any] = part.analysis
    pairs = [entry for entry in analysis["contrasts"] if entry["kind"] == "level"]
    rule = "p < 0.05 after Holm's adjustment for their number"
    if found.differ:
        verb = "differs" if found.differ == 1 else "differ"
        sentences = [f"Of {found.pairs:,} pairs {found.differ:,} {verb} ({rule})."]
    else:
        sentences = [f"No pair can be told apart: of {found.pairs:,} pairs none differs ({rule})."]
    networks = sum(not entry["covers_training"] and entry["p_holm"] < ALPHA for entry in pairs)
    if networks:
        sentences.append(
            f"{networks:,} more {'is' if networks == 1 else 'are'} apart as the networks that were trained here, once"
            " each: of what was trained that says nothing."
        )
    same = [entry for entry in pairs if entry["equivalence"]["answer"] == "equivalent"]
    if same:
        margin = same[0]["equivalence"]["margin"]
        sentences.append(
            f"{len(same):,} {'is' if len(same) == 1 else 'are'} equivalent within {margin:g} SD (two one-sided tests, p"
            " < 0.05 after the same adjustment)."
        )
    scales = analysis["standardisation"]
    others = len(found.beaten) + len(found.equal) + len(found.undecided)
    clauses = [f"{direction.exceeds(scales)} {len(found.beaten)} of the {others} others"] if found.beaten else []
    if found.equal:
        clauses.append(f"is equivalent to {some(found.equal, 'and')}")
    if found.undecided:
        clauses.append(f"cannot be told from {some(found.undecided)}")
    height = minus_sign(f"{found.estimate:+.2f}")
    among = f" of the {found.among} with all tasks" if found.among else ""
    sentences.append(f"{found.name} has the {direction.summit(scales)}{among} ({height} SD); it {joined(clauses)}.")
    return sentences


def matrix(part: OverTasks) -> dict[str, Any] | None:
    """Pairwise differences between levels as the analysis has them, a row less a column."""
    if part.analysis is None:
        return None
    contrasts = [entry for entry in part.analysis["contrasts"] if entry["kind"] == "level"]
    if not contrasts:
        return None
    effects = {entry["level"]: entry["estimate"] for entry in part.analysis["fixed"].values() if entry["level"]}
    names = sorted(effects, key=lambda name: -effects[name])
    cells: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in contrasts:
        reading = entry["equivalence"]
        for row, column, sign in ((entry["a"], entry["b"], 1), (entry["b"], entry["a"], -1)):
            low, high = sorted((sign * entry["lower"], sign * entry["upper"]))
            cells[row, column] = {
                "estimate": sign * entry["estimate"], "lower": low, "upper": high, "p": entry["p_holm"],
                "different": entry["different"], "answer": reading["answer"] if reading else "cannot tell",
                "networks": not entry["covers_training"] and entry["p_holm"] < ALPHA,
            }  # fmt: skip
    limit = max(abs(cell["estimate"]) for cell in cells.values()) or 1.0
    return {
        "names": names, "cells": cells, "limit": limit,
        "networks": any(cell["networks"] for cell in cells.values()),
        "differ": any(cell["different"] for cell in cells.values()),
    }  # fmt: skip
