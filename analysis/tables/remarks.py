"""What is odd in a table of scores, said in one sentence each, and rows that would count for what they are not.

Repeated rows and tasks that tell nothing are left out by name. Names that differ in nothing that one sees, scores on
two scales and scores far below what a constant reaches are told, for only their owner knows what is right.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.tables import cells
from analysis.tables.long_tables import check_comparable, drop_missing_scores, labels, number_text, numbers
from analysis.tables.turning import turned_rows

NAMED = 5
"""Rows, tasks or names that one sentence lists at most."""
_R2 = frozenset({"r2", "r^2", "r\u00b2", "r2_score", "r_squared", "explained_variance", "nse"})
"""Metrics of which a constant prediction reaches 0 by definition."""
_GAP = 5.0
"""Where a task has scores in parts of 1 and in per cent, the least of these is so many times the largest of those."""
_SCALES = (30.0, 300.0)
"""Between these is then the ratio of their medians, which would be 100 if both were of the same runs."""


def tidied(table: pd.DataFrame, score: str, group: str, factors: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Leave out what would count for what it is not, and remark what is odd.

    Parameters
    ----------
    table : DataFrame
        One row a score.
    score, group : str
        Columns of scores and of tasks.
    factors : sequence of str
        Columns of names that the analysis uses.

    Returns
    -------
    table : DataFrame
        With scores as they were, without repeated rows and without tasks that have one score, or one value, alone.
    notes : list of str

    Raises
    ------
    AnalysisError
        If scores cannot be compared, a score is no number, or no task is left.
    """
    kept, notes = without_repeats(table, score)
    kept, more = drop_missing_scores(kept, score, group)
    notes += more
    check_comparable(kept, group)
    notes += alike_names(kept, [group, *factors])
    values = numbers(kept, score)
    codes, tasks = labels(kept, group)
    notes += two_scales(values, codes, tasks)
    notes += below_floor(kept, score, values, codes, tasks)
    kept, more = _without_flat_tasks(kept, values, codes, tasks, group)
    return kept, notes + more


def without_repeats(table: pd.DataFrame, score: str) -> tuple[pd.DataFrame, list[str]]:
    """Let rows that repeat another in every column count once, where they can be nothing but copies.

    Where other columns tell the scores apart (a seed, say), or every row stands there as often as every other, they are
    copies, as after joining two exports. Else they may be scores that are equal by chance, and are only told.
    """
    copies = table.duplicated().to_numpy()
    number = int(copies.sum())
    if not number:
        return table, _scored_again(table, score)
    one = number == 1
    rows = f"{_count(number, 'row')} that {'repeats' if one else 'repeat'} another in every column"
    once = table.loc[~copies].reset_index(drop=True)
    others = [column for column in table.columns if column != score]
    times = table.groupby(list(table.columns), dropna=False, observed=True, sort=False).size()
    if times.min() > 1 or not once.duplicated(others).any():
        return once, [f"{rows} {'is' if one else 'are'} left out."]
    return table, [
        f"{rows} {'counts' if one else 'count'} all the same, for no column tells repeats of a score apart: add one,"
        " such as seed, or take copies out."
    ]


def _scored_again(table: pd.DataFrame, score: str) -> list[str]:
    """Say how many rows have another score of the same seed and of everything else."""
    others = [column for column in table.columns if column != score]
    if "seed" not in table.columns or not others:
        return []
    again = int(table.duplicated(others).sum())
    if not again:
        return []
    return [
        f"{_count(again, 'row')} {'differs' if again == 1 else 'differ'} from another in nothing but {score}, though"
        " there is a column seed: they count as repeats of it."
    ]


def alike_names(table: pd.DataFrame, columns: Iterable[str]) -> list[str]:
    """Say which names differ only in blanks, in case, or in how a number is written."""
    notes = []
    for column in dict.fromkeys(columns):
        if column not in table.columns or table[column].dtype.kind in "biuf":
            continue
        alike: dict[str, list[str]] = {}
        for name in dict.fromkeys(str(value) for value in table[column].dropna()):
            number = cells.numbers_of([name])
            plain = "".join(name.split()).casefold() if number is None else number_text(number[name])
            alike.setdefault(plain, []).append(repr(name))
        found = [" and ".join(names) for names in alike.values() if len(names) > 1]
        if found:
            notes.append(
                f"Names of {column} that differ only in blanks, case or the way of writing a number count as different:"
                f" {_listed(found)}."
            )
    return notes


def two_scales(values: NDArray[np.float64], codes: NDArray[np.int64], tasks: Sequence[str]) -> list[str]:
    """Say which tasks have some scores in parts of 1 and others in per cent."""
    found = []
    for d, task in enumerate(tasks):
        own = values[codes == d]
        small, large = own[own <= 1.0], own[own > 1.0]
        if own.min() < 0.0 or not len(small) or not len(large) or large.max() > 100.0 or not small.any():
            continue
        ratio = float(np.median(large)) / max(float(np.median(small)), 1e-300)
        if large.min() >= _GAP * small.max() and _SCALES[0] < ratio < _SCALES[1]:
            found.append(f"{task} ({number_text(small.max())} and {number_text(large.min())})")
    if not found:
        return []
    return [
        f"Scores of {_listed(found)} seem to lie on two scales, parts of 1 and per cent: bring them to one before"
        " anything here is believed."
    ]


def below_floor(
    table: pd.DataFrame, score: str, values: NDArray[np.float64], codes: NDArray[np.int64], tasks: Sequence[str]
) -> list[str]:
    """Say which scores lie further below their floor, which a constant prediction reaches, than the best lies above it.

    The floor is that of a column ``floor``, and 0 for R2.
    """
    turned, _ = turned_rows(table, score, values)
    sign = np.where(turned, -1.0, 1.0)
    floors = _floors(table, score) * sign
    better = values * sign - floors
    found = []
    for d, task in enumerate(tasks):
        own = np.flatnonzero(codes == d)
        known = own[np.isfinite(better[own])]
        if not len(known):
            continue
        lowest = known[np.argmin(better[known])]
        far = known[better[known] < -max(float(better[known].max()), 0.0)]
        if len(far):
            floor = float(floors[lowest] * sign[lowest])
            more = f", {len(far) - 1} more such" if len(far) > 1 else ""
            found.append(f"{values[lowest]:.3g} on {task} (floor {floor:.3g}{more})")
    if not found:
        return []
    return [
        f"Scores far below their floor, which a constant prediction reaches: {_listed(found)}. Such a probe has failed"
        " and stretches its task's standard deviation: mend it, or leave it out with --where."
    ]


def _floors(table: pd.DataFrame, score: str) -> NDArray[np.float64]:
    """What a constant prediction reaches, shape [rows]; NaN where nobody says."""
    if "floor" in table.columns and table["floor"].dtype.kind in "iuf":
        return table["floor"].to_numpy(dtype=np.float64)
    metrics = table["metric"].astype(str) if "metric" in table.columns else pd.Series([score] * len(table))
    base = metrics.str.casefold().str.replace(" ", "_").str.split(".").str[0]
    return np.where(base.isin(_R2).to_numpy(), 0.0, np.nan)


def _without_flat_tasks(
    table: pd.DataFrame, values: NDArray[np.float64], codes: NDArray[np.int64], tasks: Sequence[str], group: str
) -> tuple[pd.DataFrame, list[str]]:
    flat = []
    keep = np.ones(len(table), dtype=np.bool_)
    for d, task in enumerate(tasks):
        own = values[codes == d]
        if len(own) < 2 or np.ptp(own) <= 1e-12 * max(float(np.abs(own).max()), 1e-300):
            flat.append(f"{task} ({_count(len(own), 'score')})")
            keep[codes == d] = False
    if not flat:
        return table, []
    if not keep.any():
        raise AnalysisError(
            f"no {group} has two different scores ({_listed(flat)}), so nothing can be compared: add scores, or name"
            " the column of tasks with --group"
        )
    verb = "has" if len(flat) == 1 else "have"
    note = f"{_listed(flat)} {verb} no two different scores and {'is' if len(flat) == 1 else 'are'} left out."
    return table.loc[keep].reset_index(drop=True), [note]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _listed(names: Sequence[str]) -> str:
    more = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
    parts = [*names[:NAMED], *more]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
