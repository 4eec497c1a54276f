"""Weighted factorisation of plays in which factors of clips follow from their features, so that new clips are ranked.

Of plays ``R`` [clips, users] the preferences are ``P = [R > 0]`` and the confidences ``C = 1 + confidence R``.
Factors of users ``U`` [users, K] and of clips ``V`` [clips, K] and weights of features ``W`` [D, K] are to make half of

    sum C (P - V U')^2 + user_ridge |U|^2 + clip_ridge |V - X W|^2 + content_ridge |W|^2

small (Kim et al. 2020, equation 7; ridges as Hu et al. 2008 count them). A round of alternating least
squares solves for all users, then all clips, then the weights, each exactly, so that the sum falls at every step. A
clip that is in no training matrix is scored by ``X W U'`` alone, and so is any other.

Sources
-------
J. Kim, J. Urbano, C. C. S. Liem, A. Hanjalic: One deep music representation to rule them all? Neural Computing and
Applications 2020. Y. Hu, Y. Koren, C. Volinsky: Collaborative filtering for implicit feedback datasets. ICDM 2008.
A. van den Oord, S. Dieleman, B. Schrauwen: Deep content-based music recommendation. NeurIPS 2013.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Deviation of the factors and weights that the first round starts from.
START = 0.01
#: Bounds the memory of one block of normal equations, and of one of products of factors [numbers].
BLOCK = 2_000_000


@dataclass(frozen=True)
class Penalties:
    """The numbers of the sum above: `confidence` of a play, and the ridges of users, clips and content."""

    confidence: float
    users: float
    clips: float
    content: float


@dataclass(frozen=True)
class Factors:
    """Users [users, K], clips [clips, K] and weights of features [D, K]."""

    users: Floats
    clips: Floats
    content: Floats

    def scores(self, features: NDArray[np.floating]) -> Floats:
        """What content alone says of clips with these features [n, D]; shape [n, users]."""
        return np.asarray((features @ self.content) @ self.users.T)


def start(clips: int, features: int, factors: int, seed: int) -> Factors:
    """Normal factors of clips and weights, of deviation `START`; users are solved for first, and are zero."""
    rng = np.random.default_rng(seed)
    clip = START * rng.standard_normal((clips, factors))
    return Factors(np.zeros((0, factors)), clip, START * rng.standard_normal((features, factors)))


def factorise(
    plays: Any,
    features: NDArray[np.floating],
    penalties: Penalties,
    begin: Factors,
    rounds: int,
    released: bool = False,
) -> Factors:
    """Alternate least squares.

    Parameters
    ----------
    plays : scipy.sparse.csr_array, shape [clips, users]
        Counts above 0 of what was played.
    features : ndarray, shape [clips, D]
        Standardised.
    penalties
        Of the sum in the module's text.
    begin
        Where clips and weights start, see `start`.
    rounds
        How often users, clips and weights are solved for.
    released
        Compute what the authors' program does: factors of clips are drawn to their content by ``content`` instead of
        ``clips``; and a clip that nobody plays, with which that program holds the place of one held out, keeps the
        factors it started from and has its part in the weights.

    Returns
    -------
    Factors
        After the last round.
    """
    of_users = plays.T.tocsr()
    x = np.asarray(features, dtype=np.float64)
    played = np.diff(plays.indptr) > 0
    normal = penalties.clips * (x.T @ x)
    normal[np.diag_indices_from(normal)] += penalties.content
    inverse = _Cholesky(normal)
    drawn = penalties.content if released else penalties.clips
    clips, content = begin.clips, begin.content
    users = begin.users
    for _ in range(rounds):
        users = _solve(of_users, clips, penalties.confidence, penalties.users, None)
        found = _solve(plays, users, penalties.confidence, penalties.clips, drawn * (x @ content))
        clips = np.where(played[:, None], found, clips) if released else found
        content = inverse(penalties.clips * (x.T @ clips))
    return Factors(users, clips, content)


def objective(plays: Any, features: NDArray[np.floating], penalties: Penalties, factors: Factors) -> float:
    """Half of the sum in the module's text, without ever holding a matrix of clips by users."""
    rows = np.repeat(np.arange(plays.shape[0]), np.diff(plays.indptr))
    scores = np.einsum("nk,nk->n", factors.clips[rows], factors.users[plays.indices])
    # All scores squared as if nothing had been played, and what plays make of theirs.
    silent = float(np.sum((factors.users.T @ factors.users) * (factors.clips.T @ factors.clips)))
    heard = float(np.sum((1 + penalties.confidence * plays.data) * (1 - scores) ** 2 - scores**2))
    apart = factors.clips - features @ factors.content
    ridges = (
        (penalties.users, factors.users),
        (penalties.clips, apart),
        (penalties.content, factors.content),
    )
    return (silent + heard + sum(weight * float(np.sum(part**2)) for weight, part in ridges)) / 2


class _Cholesky:
    """Solves for one positive definite matrix again and again."""

    def __init__(self, matrix: Floats) -> None:
        from scipy.linalg import cho_factor

        self._factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)

    def __call__(self, right: Floats) -> Floats:
        from scipy.linalg import cho_solve

        return np.asarray(cho_solve(self._factor, right, check_finite=False))


def _solve(plays: Any, others: Floats, confidence: float, ridge: float, drawn: Floats | None) -> Floats:
    """Factors [n, K] of rows of `plays` [n, m] given the `others` [m, K], drawn to `drawn` [n, K].

    The matrix of a row is ``others' others`` and, for each play, a multiple of one product of a factor with itself:
    for many rows that is one sparse matrix times those products.
    """
    count, factors = plays.shape[0], others.shape[1]
    weighted = plays.copy()
    weighted.data = confidence * plays.data
    sure = plays.copy()
    sure.data = 1 + weighted.data
    right = sure @ others
    if drawn is not None:
        right += drawn
    gram = others.T @ others
    gram[np.diag_indices(factors)] += ridge
    place = _places(factors)
    found = np.empty((count, factors))

    def solve(rows: slice) -> None:
        products = _products(weighted[rows], others)
        left = np.take(products, place, axis=1).reshape(-1, factors, factors)
        left += gram
        found[rows] = np.linalg.solve(left, right[rows, :, None])[..., 0]

    size = max(1, BLOCK // factors**2)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(solve, [slice(first, first + size) for first in range(0, count, size)]))
    return found


def _products(weighted: Any, others: Floats) -> Floats:
    """Sum over the `others` [m, K] of their weight in each row [n, m] times their products [n, K (K + 1) / 2]."""
    factors = others.shape[1]
    width = factors * (factors + 1) // 2
    size = max(1, BLOCK // width)
    parts = [weighted]
    if weighted.shape[1] > size:
        by_column = weighted.tocsc()
        parts = [by_column[:, first : first + size].tocsr() for first in range(0, weighted.shape[1], size)]
    total = np.zeros((weighted.shape[0], width))
    for number, part in enumerate(parts):
        those = others[number * size : (number + 1) * size]
        products = np.empty((len(those), width))
        begin = 0
        for first in range(factors):
            end = begin + factors - first
            products[:, begin:end] = those[:, first, None] * those[:, first:]
            begin = end
        total += part @ products
    return total


def _places(factors: int) -> NDArray[np.intp]:
    """Where each cell of a symmetric matrix [K * K] stands among its products [K (K + 1) / 2]."""
    upper = np.triu_indices(factors)
    place = np.empty((factors, factors), dtype=np.intp)
    place[upper] = place.T[upper] = np.arange(len(upper[0]))
    return place.ravel()
