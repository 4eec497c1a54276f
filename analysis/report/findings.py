"""What the hierarchical analysis found, as sentences for a page: few and short ones first, however many the levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analysis.pages import minus_sign
from analysis.report.over_tasks import OverTasks
from analysis.statistics.contrasts import ALPHA
from analysis.summary import joined

MANY_LEVELS = 6
"""Above so many levels, the sentences on pairs are folded away behind a digest."""
NAMED = 4
"""Levels that the digest names one by one at most."""


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
    analysis: Mapping[str, Any] = part.analysis or {}
    pairs = [entry for entry in analysis["contrasts"] if entry["kind"] == "level"]
    estimates = {entry["level"]: entry["estimate"] for entry in analysis["fixed"].values() if entry["level"]}
    if not pairs or not estimates:
        return []
    differ = sum(entry["different"] for entry in pairs)
    count = "none differs" if not differ else f"{differ:,} {'differs' if differ == 1 else 'differ'}"
    sentences = [f"Of {len(pairs):,} pairs {count} (p < 0.05 after Holm's adjustment for their number)."]
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
    counts = dict(zip(part.heat.representations, part.heat.counts, strict=True)) if part.heat else {}
    whole = [name for name in estimates if counts.get(name, 0) == max(counts.values(), default=0)] or list(estimates)
    leader = max(whole, key=lambda name: estimates[name])
    own = [entry for entry in pairs if leader in (entry["a"], entry["b"])]
    answers = {entry["b"] if entry["a"] == leader else entry["a"]: entry["equivalence"]["answer"] for entry in own}
    by_height = sorted(answers, key=lambda name: -estimates[name])
    equal = [name for name in by_height if answers[name] == "equivalent"]
    open_ = [name for name in by_height if answers[name] == "cannot tell"]
    beaten = len(own) - len(open_) - len(equal)
    clauses = [f"exceeds {beaten} of the {len(own)} others"] if beaten else []
    if equal:
        clauses.append(f"is equivalent to {_some(equal, 'and')}")
    if open_:
        clauses.append(f"cannot be told from {_some(open_)}")
    height = minus_sign(f"{estimates[leader]:+.2f}")
    among = "" if len(whole) == len(estimates) else f" of the {len(whole)} with all tasks"
    sentences.append(f"{leader} has the highest expected score{among} ({height} SD); it {joined(clauses)}.")
    return sentences


def _some(names: Sequence[str], word: str = "or") -> str:
    if len(names) <= NAMED + 1:
        return joined(list(names), word)
    return joined([*names[:NAMED], f"{len(names) - NAMED} more"], word)


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
        for row, column, sign in ((entry["a"], entry["b"], 1), (entry["b"], entry["a"], -1)):
            low, high = sorted((sign * entry["lower"], sign * entry["upper"]))
            cells[row, column] = {
                "estimate": sign * entry["estimate"], "lower": low, "upper": high, "p": entry["p_holm"],
                "different": entry["different"], "answer": entry["equivalence"]["answer"],
                "networks": not entry["covers_training"] and entry["p_holm"] < ALPHA,
            }  # fmt: skip
    limit = max(abs(cell["estimate"]) for cell in cells.values()) or 1.0
    networks = any(cell["networks"] for cell in cells.values())
    return {"names": names, "cells": cells, "limit": limit, "networks": networks}
