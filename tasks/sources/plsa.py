"""Probabilistic latent semantic analysis: documents of counted terms as mixtures of a few topics (Hofmann 1999).

A document d draws a topic z from p(z|d), its mixture, and a term w from the topic's p(w|z). Expectation maximisation
fits both to counts n(d, w), over the cells that are not zero::

    E  p(z|d, w)  ~  p(z|d) p(w|z)
    M  p(z|d)  ~  sum_w n(d, w) p(z|d, w)        p(w|z)  ~  sum_d n(d, w) p(z|d, w)

No tempering and no smoothing, as Kim et al. (2020) use it. What is summed in M is, with r(d, w) = n(d, w) / p(w|d),
the product of a sparse and a dense matrix times what was there before; so nothing of the size cells x topics is ever
held, but for a block of cells at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Cells that a thread works on before the next one may, and whose topics are in hand at a time.
BLOCK, PIECE = 1 << 16, 1 << 12
#: Threads: more wait for memory.
MOST_THREADS = 4

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Topics:
    """A fitted model.

    Attributes
    ----------
    mixtures : ndarray of float64, shape [documents, K]
        p(z|d); each row sums to 1.
    topics : ndarray of float64, shape [K, terms]
        p(w|z); each row sums to 1.
    log_likelihood
        Sum over cells of n(d, w) ln p(w|d): before each step, and after the last.
    """

    mixtures: Numbers
    topics: Numbers
    log_likelihood: tuple[float, ...]


def random_start(documents: int, terms: int, k: int, seed: int) -> tuple[Numbers, Numbers]:
    """Mixtures [documents, K] and topics [K, terms]: uniform numbers, each row divided by its sum."""
    rng = np.random.default_rng(seed)
    mixtures, topics = rng.random((documents, k)), rng.random((k, terms))
    return mixtures / mixtures.sum(axis=1, keepdims=True), topics / topics.sum(axis=1, keepdims=True)


def fit(counts: Any, mixtures: Numbers, topics: Numbers, steps: int) -> Topics:
    """Fit a model by `steps` of expectation maximisation.

    Parameters
    ----------
    counts
        Counts or weights of at least 0, sparse [documents, terms].
    mixtures, topics
        Where to start, see `random_start`.
    steps
        How many.

    Notes
    -----
    A document without terms keeps the mixture that it starts with, for it has none. The result does not depend on
    the number of threads.
    """
    by_document, by_term = _Cells(counts), _Cells(counts.T)
    turned = by_term.places_in(by_document)
    mixtures, likely = mixtures.copy(), []
    of_terms = np.ascontiguousarray(topics.T)
    ratios = np.empty(len(by_document.values))
    with _threads() as each:
        for _ in range(steps):
            likely.append(_ratios(by_document, mixtures, of_terms, ratios, each))
            updated = _sums(by_document, ratios, of_terms, mixtures, each)
            of_terms = _sums(by_term, ratios[turned], mixtures, of_terms, each)
            of_terms /= _never_zero(of_terms.sum(axis=0))
            mixtures = _mixtures(updated, mixtures)
        likely.append(_ratios(by_document, mixtures, of_terms, ratios, each))
    return Topics(mixtures, np.ascontiguousarray(of_terms.T), tuple(likely))


def fold_in(counts: Any, topics: Numbers, steps: int) -> Numbers:
    """Mixtures [documents, K] of other documents under fitted topics, which stay as they are.

    Every mixture starts uniform. A document none of whose terms any topic has keeps that: it tells nothing.

    Parameters
    ----------
    counts
        Sparse [documents, terms], of the terms that the topics [K, terms] are of.
    topics
        p(w|z) of a fitted model.
    steps
        Of expectation maximisation.
    """
    cells = _Cells(counts)
    of_terms = np.ascontiguousarray(topics.T)
    mixtures = np.full((counts.shape[0], len(topics)), 1 / len(topics))
    ratios = np.empty(len(cells.values))
    with _threads() as each:
        for _ in range(steps):
            _ratios(cells, mixtures, of_terms, ratios, each)
            mixtures = _mixtures(_sums(cells, ratios, of_terms, mixtures, each), mixtures)
    return mixtures


class _Cells:
    """A sparse matrix by rows, and its rows in blocks of about `BLOCK` cells."""

    def __init__(self, counts: Any) -> None:
        from scipy.sparse import csr_array

        matrix = csr_array(counts, dtype=np.float64, copy=True)
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        self.shape: tuple[int, int] = matrix.shape
        self.begins, self.columns, self.values = matrix.indptr, matrix.indices, matrix.data
        ends = np.searchsorted(self.begins, np.arange(BLOCK, self.begins[-1] + BLOCK, BLOCK)).clip(1, self.shape[0])
        self.blocks: Sequence[tuple[int, int]] = tuple(
            (first, last) for first, last in zip([0, *ends.tolist()], ends.tolist(), strict=False) if first < last
        )

    def places_in(self, by_columns: _Cells) -> NDArray[np.int64]:
        """Where each of these cells lies in the transposed matrix."""
        # A stable sort of the other's cells by column has them row by row of this one.
        return np.argsort(by_columns.columns, kind="stable")


Each = Callable[[Callable[[tuple[int, int]], float], Sequence[tuple[int, int]]], list[float]]


class _threads:  # noqa: N801
    """Calls a function with every block, in threads: NumPy and SciPy let go of the interpreter meanwhile."""

    def __enter__(self) -> Each:
        self._pool = ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_THREADS))
        return lambda work, blocks: list(self._pool.map(work, blocks))

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()


def _ratios(cells: _Cells, mixtures: Numbers, of_terms: Numbers, out: Numbers, each: Each) -> float:
    """Put n(d, w) / p(w|d) of every cell into `out` and return the log-likelihood."""

    def work(block: tuple[int, int]) -> float:
        likelihood = 0.0
        for rows, part in _pieces(cells, *block):
            given = np.einsum("ck,ck->c", of_terms.take(cells.columns[part], axis=0), mixtures.take(rows, axis=0))
            counted = cells.values[part]
            known = given > 0
            out[part] = np.divide(counted, given, out=np.zeros(len(given)), where=known)
            likelihood += float(counted[known] @ np.log(given[known]))
        return likelihood

    return float(sum(each(work, cells.blocks)))


def _pieces(cells: _Cells, first: int, last: int) -> Iterator[tuple[NDArray[np.int64], slice]]:
    """Document of each cell, and where the cells lie, of the rows of a block, piece by piece."""
    begin, end = int(cells.begins[first]), int(cells.begins[last])
    rows = np.repeat(np.arange(first, last), np.diff(cells.begins[first : last + 1]))
    for start in range(begin, end, PIECE):
        stop = min(start + PIECE, end)
        yield rows[start - begin : stop - begin], slice(start, stop)


def _sums(cells: _Cells, ratios: Numbers, other: Numbers, before: Numbers, each: Each) -> Numbers:
    """`before` [rows, K] times the sums over each row's cells of the ratio and the column's numbers in `other`."""
    from scipy.sparse import csr_array

    out = np.empty_like(before)

    def work(block: tuple[int, int]) -> float:
        first, last = block
        part = slice(int(cells.begins[first]), int(cells.begins[last]))
        begins = cells.begins[first : last + 1] - part.start
        rows = csr_array((ratios[part], cells.columns[part], begins), shape=(last - first, cells.shape[1]))
        sums: Numbers = np.asarray(rows @ other)
        np.multiply(sums, before[first:last], out=out[first:last])
        return 0.0

    each(work, cells.blocks)
    return out


def _mixtures(sums: Numbers, before: Numbers) -> Numbers:
    """Rows divided by their sums; those that sum to 0 as they were."""
    total = sums.sum(axis=1, keepdims=True)
    return np.where(total > 0, sums / _never_zero(total), before)


def _never_zero(sums: Numbers) -> Numbers:
    return np.where(sums > 0, sums, 1.0)
