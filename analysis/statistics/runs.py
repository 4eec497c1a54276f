"""Which scores come from one trained network: its luck in training goes with it from task to task.

A network that is scored on all tasks is one draw of what its recipe may give, however many tasks there are. A column
names the networks (a cell that is empty has no such luck: a network with given weights, or features that nothing
trained); where a table has none, what was trained is told by its seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.statistics.crossproducts import Ints
from analysis.tables.long_tables import columns_instead

AUTO, NONE = "auto", "none"
"""Words for a column of runs: the one that the table has, or none."""

RUN, SEED = "run", "seed"
_NETWORK = ("representation", "encoder", "corpus", "recipe")
"""Columns that tell networks of one seed apart."""
PROBING = ("protocol", "layer", "labels", "draw", "shots", "deform")
"""Columns whose levels are ways to look at one network."""


@dataclass(frozen=True)
class Runs:
    """The trained network behind every row.

    Attributes
    ----------
    name : str
        Of the variance component, and of what made it, in words; empty where nothing tells networks.
    code : ndarray of int, shape [rows]
        Number of the row's network; -1 where training played no part.
    guessed : bool
        Whether networks are told by a column of seeds.
    """

    name: str
    code: Ints
    guessed: bool = False

    def of_levels(self, level_code: Ints, levels: int) -> list[set[int]]:
        """Networks behind each level; none where training played no part."""
        return [set(self.code[(level_code == i) & (self.code >= 0)].tolist()) for i in range(levels)]


def find_runs(table: pd.DataFrame, key: str, run: str = AUTO) -> Runs:
    """Tell which rows come from one trained network.

    Parameters
    ----------
    table : DataFrame
    key : str
        Column of levels (or sizes) that are compared.
    run : str
        A column; ``"none"``; or ``"auto"``: column ``run``, else what was trained and column ``seed``, else none.

    Raises
    ------
    AnalysisError
        If the column is not there.
    """
    if run == AUTO:
        if RUN in table.columns and key != RUN:
            return _coded(table, [RUN], RUN)
        if SEED in table.columns and key != SEED:
            network = [name for name in _NETWORK if name in table.columns and name != key]
            own = [] if key in PROBING and network else [key]
            return _coded(table, [*own, *network, SEED], f"{key if own else network[0]} x {SEED}", guessed=True)
        return Runs("", np.full(len(table), -1, dtype=np.int64))
    if run == NONE:
        return Runs("", np.full(len(table), -1, dtype=np.int64))
    if run not in table.columns:
        raise AnalysisError(
            f"--run {run}: the table has no such column.{columns_instead(run, [str(c) for c in table.columns])}"
        )
    return _coded(table, [run], run)


def _coded(table: pd.DataFrame, columns: list[str], name: str, *, guessed: bool = False) -> Runs:
    last = table[columns[-1]]
    empty = (last.isna() | (last.astype(str).str.strip() == "")).to_numpy()
    code = table.groupby(columns, sort=False, dropna=False, observed=True).ngroup().to_numpy(dtype=np.int64)
    return Runs(name, np.where(empty, -1, code), guessed)
