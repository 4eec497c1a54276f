"""Random effects as they are thought of, one term each, turned into the blocks of columns that a fit works on.

A term is a set of units (tasks, cells, runs, ...), each with one random effect of one variance, which enters every row
of the unit times the row's value. Rows that share a unit vary together, and so do rows that share units with a common
third: blocks are the connected parts of this graph of rows and units. Where every level of a factor has an effect
of its own on every task, they are the cells of level x task; a run that was scored on all tasks ties the cells of its
level together; a run that many levels share ties all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from analysis.statistics.crossproducts import Floats, Ints


@dataclass(frozen=True)
class Term:
    """One random effect a unit, all of one variance.

    Attributes
    ----------
    name : str
        Of the variance component.
    unit : ndarray of int, shape [rows]
        Unit of each row, counted from 0.
    value : ndarray, shape [rows]
        What the unit's effect is multiplied with in each row; a row with 0 is none of the unit's.
    """

    name: str
    unit: Ints
    value: Floats


@dataclass(frozen=True)
class Blocks:
    """Columns of random effects, by block of rows.

    Attributes
    ----------
    Z : ndarray, shape [rows, columns]
    group : ndarray of int, shape [rows]
        Block of each row.
    component : ndarray of int, shape [blocks, columns]
        Number of the term of each column of each block; 0 for columns of zeros that fill a block up.
    block, column : list of ndarray of int, each of shape [units]
        By term, where each unit's column is; -1 for a unit without rows.
    """

    Z: Floats
    group: Ints
    component: Ints
    block: list[Ints]
    column: list[Ints]


def make_blocks(terms: Sequence[Term], rows: int) -> Blocks:
    """Find the blocks of some terms.

    Parameters
    ----------
    terms : sequence of Term
    rows : int
        Number of rows; those that no term touches make one block.
    """
    sizes = [int(term.unit.max()) + 1 for term in terms]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    touched = [np.flatnonzero(term.value) for term in terms]
    row = np.concatenate([*touched, np.zeros(0, np.int64)]).astype(np.int64)
    node = np.concatenate(
        [start + term.unit[own] for start, term, own in zip(starts, terms, touched, strict=False)]
        + [np.zeros(0, np.int64)]
    ).astype(np.int64)
    used = np.unique(node)
    graph = coo_matrix((np.ones(row.size), (row, rows + node)), shape=(rows + int(starts[-1]),) * 2)
    part = connected_components(graph, directed=False)[1]
    if row.size:
        part[np.setdiff1d(np.arange(rows), row)] = -1
    else:
        part[:rows] = 0
    group = np.unique(part[:rows], return_inverse=True)[1].reshape(-1).astype(np.int64)
    # A unit is in the block of any of its rows; within it, units are numbered in the order of terms.
    block_of = np.full(int(starts[-1]), -1, dtype=np.int64)
    block_of[node] = group[row]
    column_of = np.full(int(starts[-1]), -1, dtype=np.int64)
    filled = np.zeros(int(group.max()) + 1, dtype=np.int64)
    for unit in used:
        column_of[unit] = filled[block_of[unit]]
        filled[block_of[unit]] += 1
    Z = np.zeros((rows, int(filled.max())))
    component = np.zeros((filled.size, Z.shape[1]), dtype=np.int64)
    for k, (start, term, own) in enumerate(zip(starts, terms, touched, strict=False)):
        Z[own, column_of[start + term.unit[own]]] = term.value[own]
        units = used[(used >= start) & (used < starts[k + 1])]
        component[block_of[units], column_of[units]] = k
    spans = [slice(start, stop) for start, stop in pairwise(starts)]
    return Blocks(Z, group, component, [block_of[span] for span in spans], [column_of[span] for span in spans])
