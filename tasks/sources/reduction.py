"""The labels of a source, reduced to a distribution over K factors for each clip.

Numbers become the responsibilities of a mixture of Gaussians, terms the topics of probabilistic latent semantic
analysis. Everything is fitted to the clips that are trained on; the others are folded into what was found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks import DatasetError
from tasks.sources import mixture, plsa
from tasks.sources.labels import Labels, Scalars, Terms

#: Steps of expectation maximisation, at most (Kim et al. 2020).
STEPS = 100
#: Terms that are kept of each topic, the strongest first.
STRONGEST = 10


@dataclass(frozen=True)
class Factor:
    """What one factor stands for.

    Attributes
    ----------
    share
        Mean over the clips that were fitted.
    terms
        Its strongest terms and their probability in the topic, the strongest first; none for numbers.
    mean, deviation
        Of its Gaussian, for numbers.
    """

    share: float
    terms: Sequence[tuple[str, float]] = ()
    mean: float | None = None
    deviation: float | None = None


@dataclass(frozen=True)
class Reduced:
    """Labels of a source after the reduction.

    Attributes
    ----------
    factors : ndarray of float32, shape [clips, K]
        Each row of a labelled clip sums to 1; zeros for the others.
    labelled : ndarray of bool, shape [clips]
        Which clips the source says anything of.
    meaning
        What each factor stands for [K].
    facts
        Counts, for whoever wants to know what was left out.
    """

    factors: NDArray[np.float32]
    labelled: NDArray[np.bool_]
    meaning: Sequence[Factor]
    facts: Mapping[str, Any]


def reduce(labels: Labels, fitted: NDArray[np.bool_], k: int, seed: int = 0, steps: int = STEPS) -> Reduced:
    """Reduce the labels of a source to `k` factors.

    Parameters
    ----------
    labels
        Of every clip.
    fitted : ndarray of bool, shape [clips]
        Clips that are trained on.
    k
        Number of factors, at least 2.
    seed
        Of the random start.
    steps
        Of expectation maximisation, at most.

    Raises
    ------
    DatasetError
        If the clips that are trained on have no labels, or none to be told apart; the message says what is wrong, not
        where.
    """
    known = int((labels.labelled & fitted).sum())
    if known == 0:
        raise DatasetError(f"it has no label for any of the {int(fitted.sum()):,} clips that are trained on")
    if known == 1:
        raise DatasetError("it has a label for a single clip that is trained on, which nothing can be learnt from")
    if isinstance(labels, Scalars):
        return _numbers(labels, fitted, k, seed, steps)
    return _terms(labels, fitted, k, seed, steps)


def _numbers(labels: Scalars, fitted: NDArray[np.bool_], k: int, seed: int, steps: int) -> Reduced:
    labelled = labels.labelled
    values = labels.values[labelled & fitted]
    if (values == values[0]).all():
        raise DatasetError(f"all {len(values):,} clips that are trained on have the same value, {values[0]:g}")
    if len(values) < k:
        raise DatasetError(f"only {len(values):,} clips that are trained on have a value, fewer than {k} factors")
    found = mixture.fit(values, k, seed, steps)
    factors = np.zeros((len(labels), k), dtype=np.float32)
    factors[labelled] = found.responsibilities(labels.values[labelled])
    shares = factors[labelled & fitted].mean(axis=0, dtype=np.float64)
    parts = zip(shares.tolist(), found.means.tolist(), np.sqrt(found.variances).tolist(), strict=True)
    meaning = [Factor(share, mean=mean, deviation=deviation) for share, mean, deviation in parts]
    return Reduced(factors, labelled, meaning, {"different_values": len(np.unique(values))})


def _terms(labels: Terms, fitted: NDArray[np.bool_], k: int, seed: int, steps: int) -> Reduced:
    counts, document, trained = _documents(labels, fitted)
    used = np.flatnonzero(np.asarray(counts[trained].sum(axis=0)).ravel() > 0)
    counts = counts[:, used]
    filled = np.diff(counts.indptr) > 0
    trained &= filled
    if labels.weighting == "tfidf":
        from sklearn.feature_extraction.text import TfidfTransformer

        counts = TfidfTransformer().fit(counts[trained]).transform(counts)
    mixtures = np.zeros((len(filled), k))
    start = plsa.random_start(int(trained.sum()), len(used), k, seed)
    found = plsa.fit(counts[trained], *start, steps)
    mixtures[trained] = found.mixtures
    others = filled & ~trained
    mixtures[others] = plsa.fold_in(counts[others], found.topics, steps)
    labelled = (document >= 0) & filled[document]
    factors = np.zeros((len(labels), k), dtype=np.float32)
    factors[labelled] = mixtures[document[labelled]]
    shares = factors[labelled & fitted].mean(axis=0, dtype=np.float64)
    strongest = np.argsort(-found.topics, axis=1, kind="stable")[:, :STRONGEST]
    meaning = [
        Factor(share, [(labels.names[used[term]], float(topic[term])) for term in best if topic[term] > 0])
        for share, topic, best in zip(shares.tolist(), found.topics, strongest, strict=True)
    ]
    facts = {
        "documents": int(trained.sum()),
        "terms": len(used),
        "terms_unused": len(labels.names) - len(used),
        "cells": int(counts[trained].nnz),
        "log_likelihood_first": found.log_likelihood[0],
        "log_likelihood_last": found.log_likelihood[-1],
    }
    return Reduced(factors, labelled, meaning, facts)


def _documents(labels: Terms, fitted: NDArray[np.bool_]) -> tuple[Any, NDArray[np.int64], NDArray[np.bool_]]:
    """Terms of documents [documents, terms], the document of each clip (-1 for none), and which are trained on.

    A group with a clip that is trained on has the terms of such clips alone; another one those of all its clips.
    """
    from scipy.sparse import csr_array

    counts = csr_array(labels.counts, copy=True)
    counts.eliminate_zeros()
    if labels.groups is None:
        return counts, np.arange(len(labels)), fitted.copy()
    names, document = np.unique(labels.groups, return_inverse=True)
    document[labels.groups == ""] = -1
    trained = np.zeros(len(names), dtype=bool)
    trained[document[fitted & (document >= 0)]] = True
    counted = np.flatnonzero((document >= 0) & (fitted | ~trained[document]))
    cells: Any = np.ones(len(counted)), (document[counted], counted)
    members = csr_array(cells, shape=(len(names), len(labels)))
    return csr_array(members @ counts), document, trained
