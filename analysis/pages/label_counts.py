"""How many clips of each split have each label, and what of it is worth a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np

MOST_LABELS = 60
"""Labels drawn at most, those that most clips have."""


class LabelCounts(TypedDict):
    """Clips by label and split.

    Attributes
    ----------
    task
        Whose labels they are.
    labels
        Their names, the most frequent first.
    clips
        Number of clips of each split, in the order ``train``, ``valid``, ``test``, without splits that are empty; of a
        task with folds, whose clips are all tested once, ``all``.
    counts
        Of each split, how many of its clips have each label.
    """

    task: str
    labels: Sequence[str]
    clips: Mapping[str, int]
    counts: Mapping[str, Sequence[int]]


def label_counts_told(found: LabelCounts) -> str:
    """The counts in a sentence or two."""
    totals = np.sum([*found["counts"].values()], axis=0)
    names, count = found["labels"], len(found["labels"])
    told = f"{names[0]} is most frequent with {totals[0]:,} clips, {names[-1]} least with {totals[-1]:,}"
    if count > MOST_LABELS:
        told += f"; the {MOST_LABELS} most frequent of {count:,} labels are in the chart"
    lacking = {
        split: sum(not number for number in counts) for split, counts in found["counts"].items() if not all(counts)
    }
    without = [f"{number:,} of {count:,} have none in {split}" for split, number in lacking.items()]
    return ". ".join([told, *([", ".join(without)] if without else [])]) + "."
