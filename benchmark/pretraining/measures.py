"""What is watched while a contrastive training runs, beside its loss.

Source: Wang and Isola, "Understanding contrastive representation learning through alignment and uniformity on the
hypersphere", ICML 2020, for alignment and uniformity (exponents 2 and 2).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.pretraining.ntxent import similarities

#: What `measure` returns, in order.
MEASURES = ("positive", "negative", "alignment", "uniformity", "spread")
#: A spread below this, or a uniformity above that, is what rounding leaves where all inputs give one point.
COLLAPSED_SPREAD = 1e-5
COLLAPSED_UNIFORMITY = -2e-6


@torch.no_grad()
def measure(representations: Tensor, z_i: Tensor, z_j: Tensor) -> Tensor:
    """How far a batch has been pulled together and spread out.

    Parameters
    ----------
    representations : Tensor, shape [M, R]
        Of any views of the batch.
    z_i, z_j : Tensor, shape [N, D]
        Projections of the two views; N is at least 2, or there are no different items.

    Returns
    -------
    Tensor, shape [5]
        *positive*, *negative*: mean cosine similarity of views of one item, and of different items. *alignment*:
        mean squared distance of the views of an item on the unit sphere, 0 at best. *uniformity*: logarithm of the
        mean of exp(-2 d^2) over the distances d of different items, 0 if all are one point, lower is better.
        *spread*: standard deviation of normalised representations, 0 if all are alike, at most 1.
    """
    n = len(z_i)
    cosine = similarities(z_i.float(), z_j.float())
    positive = cosine.diagonal(n).mean()
    others = _different_items(cosine)
    uniformity = torch.logsumexp(4 * others - 4, 0) - math.log(len(others))
    directions = F.normalize(representations.float(), dim=1)
    spread = directions.var(dim=0, unbiased=False).sum().sqrt()
    return torch.stack([positive, others.mean(), 2 - 2 * positive, uniformity, spread])


def _different_items(cosine: Tensor) -> Tensor:
    """Similarities [2N (2N - 2)] of views of different items, row by row.

    They are picked out by their places alone: a mask would have the processor wait until the device has counted it.
    """
    n = len(cosine) // 2
    blocks = cosine.view(2, n, 2, n).transpose(1, 2).reshape(4, n * n)
    # Without its first element, the diagonal of a matrix is the last column of one that is one column wider.
    off_diagonal = blocks[:, 1:].reshape(4, n - 1, n + 1)[..., :-1]
    return off_diagonal.reshape(2, 2, n, n - 1).transpose(1, 2).flatten()


def collapse(measured: Mapping[str, float]) -> str | None:
    """Which collapse a batch shows, in words; ``None`` if it shows none."""
    if measured.get("spread", 1.0) < COLLAPSED_SPREAD:
        return "the encoder maps all windows to one representation (collapse); lower --learning-rate"
    if measured.get("uniformity", -1.0) > COLLAPSED_UNIFORMITY:
        return "all projections are one point (collapse); lower --learning-rate or raise --temperature"
    return None
