"""Sequential fractional designs: which run to make next, so that a design stays balanced and its factors apart.

This is the study's greedy procedure (Kim et al. 2020, section 4.3, algorithm 2) with the two words it leaves open made
precise. From the runs not yet made, those that keep the design's *unbalance* smallest are kept; of these, those that
keep its *aliasing* smallest; one of them is drawn at random.

* Unbalance: the largest, over factors, of the range of level counts, in the design with the candidate added. A level
  that no remaining candidate has is left out of its factor's range (the paper's "except for those already exhausted").
  The published 600-run sequence picks a run of least unbalance, so defined and from an empty design, at every step.
* Aliasing: the largest absolute Pearson correlation between columns of different factors: the column itself for a
  factor with two levels, one indicator per level otherwise. A correlation with a constant column is undefined and
  counts 1. Factors may be kept out (a count that is the sum of others cannot be separated from them). Ties within
  1e-12. The paper's own definition cannot be recovered from its sequence; this one is ours.

Counts and cross-products are kept as they grow, and all candidates are judged at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from analysis.documents.design import ReplayedStep
from analysis.errors import AnalysisError
from analysis.statistics.crossproducts import Bools, Floats, Ints
from analysis.tables import cells
from analysis.tables.expressions import derive, where
from analysis.tables.long_tables import need, number_text

MAX_CANDIDATES = 2_000_000
"""Most combinations of levels that are written out."""

TIE = 1e-12
"""Aliasings that differ by less are equal."""


def level_text(value: Any) -> Any:
    """Write a level so that 1, 1.0, True and "1" are one level, and 01 is another."""
    if not isinstance(value, str):
        return number_text(float(value)) if isinstance(value, Real | np.bool_) else str(value)
    found = cells.number(value)
    return value.strip() if found is None else number_text(found)


@dataclass(frozen=True)
class Candidates:
    """Runs that could be made.

    Attributes
    ----------
    table : DataFrame
        One row a run, one column a factor.
    factors : list of str
        Columns whose levels are balanced.
    alias_factors : list of str
        Those of them that are kept apart.
    """

    table: pd.DataFrame
    factors: list[str]
    alias_factors: list[str]

    @classmethod
    def from_levels(
        cls,
        levels: Mapping[str, Sequence[Any]],
        derived: Iterable[str] = (),
        condition: str | None = None,
        keep_out: Iterable[str] = (),
    ) -> Candidates:
        """Write out all combinations of levels.

        Parameters
        ----------
        levels : mapping of str to sequence
            Levels of each factor, at least two.
        derived : iterable of str
            Further factors, ``"name = expression"`` each, such as the number of sources.
        condition : str, optional
            Combinations to keep.
        keep_out : iterable of str
            Factors to balance but not to keep apart from the others.

        Raises
        ------
        AnalysisError
            If there is no factor, a factor has one level, or there are too many combinations.
        """
        if not levels:
            raise AnalysisError("a design needs factors: give --factor NAME=LEVEL,LEVEL,...")
        for name, values in levels.items():
            if len(set(map(level_text, values))) < 2:
                raise AnalysisError(f"factor {name!r} has fewer than two levels: give --factor {name}=LEVEL,LEVEL,...")
        size = int(np.prod([float(len(values)) for values in levels.values()]))
        if size > MAX_CANDIDATES:
            raise AnalysisError(
                f"{size} combinations are more than {MAX_CANDIDATES}: drop a factor, or give candidates"
            )
        table = pd.DataFrame(list(product(*levels.values())), columns=list(levels))
        definitions = list(derived)
        table = derive(table, definitions)
        if condition:
            table = where(table, condition)
        factors = [*levels, *(definition.partition("=")[0].strip() for definition in definitions)]
        return cls.from_table(table, factors, keep_out)

    @classmethod
    def from_table(
        cls, table: pd.DataFrame, factors: Sequence[str] | None = None, keep_out: Iterable[str] = ()
    ) -> Candidates:
        """Take runs that are listed.

        Parameters
        ----------
        table : DataFrame
            One row a run.
        factors : sequence of str, optional
            Columns to balance; by default all.
        keep_out : iterable of str
            Factors to balance but not to keep apart from the others.

        Raises
        ------
        AnalysisError
            If a named column is missing.
        """
        names = [str(name) for name in (factors or list(table.columns))]
        out = list(keep_out)
        need(table, [*names, *out])
        kept = table[names].drop_duplicates().reset_index(drop=True)
        return cls(kept, names, [name for name in names if name not in out])

    def coding(self) -> _Coding:
        """Code levels as numbers."""
        return _Coding(self)


class _Coding:
    """Candidates as level codes and as columns for correlations."""

    def __init__(self, candidates: Candidates) -> None:
        self.factors = candidates.factors
        self.levels: list[list[str]] = []
        codes = []
        for name in self.factors:
            texts = [level_text(value) for value in candidates.table[name]]
            levels = list(dict.fromkeys(texts))
            self.levels.append(levels)
            place = {level: i for i, level in enumerate(levels)}
            codes.append([place[text] for text in texts])
        self.codes: Ints = np.array(codes, dtype=np.int64).T
        self.alias_factors = candidates.alias_factors
        self.columns, self.owner = self._columns(self.codes)
        a, b = np.triu_indices(self.columns.shape[1], 1)
        apart = self.owner[a] != self.owner[b]
        self.pairs: tuple[Ints, Ints] = (a[apart], b[apart])

    def _columns(self, codes: Ints) -> tuple[Floats, Ints]:
        blocks, owner = [], []
        for f, name in enumerate(self.factors):
            if name not in self.alias_factors:
                continue
            count = len(self.levels[f])
            block = (codes[:, [f]] == np.arange(count)).astype(np.float64)
            block = block[:, 1:] if count == 2 else block
            blocks.append(block)
            owner += [f] * block.shape[1]
        whole = np.hstack(blocks) if blocks else np.zeros((len(codes), 0))
        return whole, np.array(owner, dtype=np.int64)

    def names(self) -> list[str]:
        """Names of the columns that are kept apart."""
        result = []
        for f, name in enumerate(self.factors):
            if name in self.alias_factors:
                levels = self.levels[f]
                result += [name] if len(levels) == 2 else [f"{name}[{level}]" for level in levels]
        return result

    def encode(self, runs: pd.DataFrame) -> Ints:
        """Level codes of given runs, shape [runs, factors]; -1 for a level that no candidate has."""
        need(runs, self.factors)
        columns = []
        for name, levels in zip(self.factors, self.levels, strict=True):
            place = {level: i for i, level in enumerate(levels)}
            columns.append([place.get(level_text(value), -1) for value in runs[name]])
        return np.array(columns, dtype=np.int64).T.reshape(len(runs), len(self.factors))

    def columns_of(self, codes: Ints) -> Floats:
        """Correlation columns of runs given by their codes."""
        return self._columns(codes)[0]


class _State:
    """A growing design: which candidates remain, level counts, cross-products."""

    def __init__(self, coding: _Coding, start: Ints) -> None:
        self.coding = coding
        self.open: Bools = np.ones(len(coding.codes), dtype=np.bool_)
        self.counts = [np.zeros(len(levels), dtype=np.int64) for levels in coding.levels]
        self.remaining = [
            np.bincount(coding.codes[:, f], minlength=len(levels)) for f, levels in enumerate(coding.levels)
        ]
        width = coding.columns.shape[1]
        self.n = 0
        self.sums = np.zeros(width)
        self.products = np.zeros((width, width))
        keys = {tuple(row): i for i, row in enumerate(coding.codes.tolist())}
        for row, column in zip(start, coding.columns_of(start), strict=True):
            self.add(row, column, keys.get(tuple(row.tolist())))

    def add(self, row: Ints, column: Floats, candidate: int | None) -> None:
        """Make one run; it is no longer a candidate."""
        for f, code in enumerate(row):
            if code >= 0:
                self.counts[f][code] += 1
        self.n += 1
        self.sums += column
        self.products += np.outer(column, column)
        if candidate is not None and self.open[candidate]:
            self.open[candidate] = False
            for f, code in enumerate(self.coding.codes[candidate]):
                self.remaining[f][code] -= 1

    def take(self, candidate: int) -> None:
        """Make one of the remaining candidates."""
        self.add(self.coding.codes[candidate], self.coding.columns[candidate], candidate)

    def unbalance_after(self) -> Ints:
        """Unbalance with each candidate added, shape [candidates]."""
        worst = np.zeros(len(self.open), dtype=np.int64)
        for f, counts in enumerate(self.counts):
            active = self.remaining[f] > 0
            if not active.any():
                continue
            trial = counts[None, :] + np.eye(len(counts), dtype=np.int64)
            spread = trial[:, active].max(axis=1) - trial[:, active].min(axis=1)
            worst = np.maximum(worst, spread[self.coding.codes[:, f]])
        return worst

    def unbalance(self) -> dict[str, int]:
        """Range of level counts of each factor, over the levels that candidates still have."""
        result = {}
        for name, counts, remaining in zip(self.coding.factors, self.counts, self.remaining, strict=True):
            active = counts[remaining > 0]
            result[name] = int(active.max() - active.min()) if active.size else 0
        return result

    def aliasing_after(self, candidates: Ints) -> Floats:
        """Largest correlation with each of some candidates added, shape [candidates]."""
        a, b = self.coding.pairs
        if a.size == 0:
            return np.zeros(len(candidates))
        x = self.coding.columns[candidates]
        n = self.n + 1
        sums = self.sums + x
        diagonal = np.diag(self.products) + x * x
        spread = n * diagonal - sums * sums
        cross = n * (self.products[a, b] + x[:, a] * x[:, b]) - sums[:, a] * sums[:, b]
        scale = spread[:, a] * spread[:, b]
        defined = scale > 0.5
        r = np.where(defined, np.abs(cross) / np.sqrt(np.where(defined, scale, 1.0)), 1.0)
        return np.asarray(r.max(axis=1), dtype=np.float64)


@dataclass(frozen=True)
class Picks:
    """Runs that were chosen.

    Attributes
    ----------
    runs : DataFrame
        In the order they should be made.
    unbalance : list of int
        Of the design after each run.
    optimal : list of int
        How many candidates shared the least unbalance when each run was chosen.
    aliasing : list of float
        Of the design after each run.
    levels : dict of str to int
        Final range of level counts by factor.
    """

    runs: pd.DataFrame
    unbalance: list[int]
    optimal: list[int]
    aliasing: list[float]
    levels: dict[str, int]


def next_runs(
    candidates: Candidates, runs: int = 1, start: pd.DataFrame | None = None, seed: int = 0, *, aliasing: bool = True
) -> Picks:
    """Choose the next runs of a design.

    Parameters
    ----------
    candidates : Candidates
    runs : int
        How many to choose, one after another.
    start : DataFrame, optional
        Runs already made, with the same columns; a level that no candidate has counts for nothing, and a candidate that
        was made is not chosen again.
    seed : int
        Of the random choice among equals.
    aliasing : bool
        Whether to look at aliasing, or at balance alone.

    Raises
    ------
    AnalysisError
        If fewer candidates remain than runs are asked for.
    """
    coding = candidates.coding()
    state = _State(coding, coding.encode(start) if start is not None else np.zeros((0, len(coding.factors)), np.int64))
    available = int(state.open.sum())
    if not 1 <= runs <= available:
        raise AnalysisError(f"{runs} runs were asked for and {available} candidates remain: ask for 1 to {available}")
    generator = np.random.default_rng(seed)
    chosen, unbalance, optimal, aliasings = [], [], [], []
    for _ in range(runs):
        worst = state.unbalance_after()
        least = int(worst[state.open].min())
        best = np.flatnonzero(state.open & (worst == least))
        optimal.append(int(best.size))
        r = state.aliasing_after(best)
        among = best[r <= r.min() + TIE] if aliasing else best
        pick = int(generator.choice(among))
        aliasings.append(float(r[best == pick][0]))
        unbalance.append(least)
        chosen.append(pick)
        state.take(pick)
    return Picks(candidates.table.iloc[chosen].reset_index(drop=True), unbalance, optimal, aliasings, state.unbalance())


def replay(candidates: Candidates, sequence: pd.DataFrame, start: pd.DataFrame | None = None) -> list[ReplayedStep]:
    """Follow a given order of runs and judge every choice.

    Parameters
    ----------
    candidates : Candidates
    sequence : DataFrame
        Runs in the order they were made, each one of the candidates.
    start : DataFrame, optional
        Runs made before.

    Returns
    -------
    list of ReplayedStep
        Per run: ``unbalance`` (after it), ``least`` (that any candidate would have given), ``n_optimal`` (candidates
        that give the least) and ``optimal``.

    Raises
    ------
    AnalysisError
        If a run is not among the remaining candidates.
    """
    coding = candidates.coding()
    state = _State(coding, coding.encode(start) if start is not None else np.zeros((0, len(coding.factors)), np.int64))
    keys = {tuple(row): i for i, row in enumerate(coding.codes.tolist())}
    result: list[ReplayedStep] = []
    for step, row in enumerate(coding.encode(sequence)):
        place = keys.get(tuple(row.tolist()))
        if place is None or not state.open[place]:
            problem = "is not a candidate" if place is None else "was made before"
            raise AnalysisError(f"run {step + 1} of the sequence {problem}: check factors, levels and conditions")
        worst = state.unbalance_after()
        least = int(worst[state.open].min())
        result.append(
            {
                "unbalance": int(worst[place]),
                "least": least,
                "n_optimal": int((state.open & (worst == least)).sum()),
                "optimal": bool(worst[place] == least),
            }
        )
        state.take(place)
    return result
