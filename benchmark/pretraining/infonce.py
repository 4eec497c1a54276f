"""The loss of contrastive predictive coding: which latent comes k steps later, among others drawn at random.

Source: van den Oord, Li and Vinyals, 2018, equation 4; what negatives are, and the mean over k instead of the sum, as
in the released code of the CLMR thesis (branch v1, commit c6f4490).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def draw_permutations(negatives: int, rows: int, seed: int) -> Tensor:
    """Orders [negatives, rows] in which the latents of a batch serve as negatives, each drawn by itself."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.stack([rng.permutation(rows) for _ in range(negatives)]))


def draw_stretch(steps: int, wanted: int | None, seed: int) -> slice:
    """Steps of z and c that take part as anchors and positives: `wanted` in a row from a start drawn, or all.

    The last start that would fit is never drawn, as in the released code.
    """
    if wanted is None or steps <= wanted:
        return slice(None)
    start = int(np.random.default_rng(seed).integers(steps - wanted))
    return slice(start, start + wanted)


def infonce(z: Tensor, c: Tensor, weight: Tensor, permutations: Tensor, stretch: slice = slice(None)) -> Tensor:
    """Loss and hits of every distance k that is predicted over.

    Parameters
    ----------
    z : Tensor, shape [B, T, C]
        Latents.
    c : Tensor, shape [B, T, H]
        Contexts.
    weight : Tensor, shape [K C, H]
        Block k, from 1, predicts the latent k steps later from the context.
    permutations : Tensor of int, shape [N, B T]
        Orders of all latents. Of each, as many as there are predictions, from the end, are their negatives: of any
        sample and time, now and then the positive itself.
    stretch
        Steps that take part as anchors and positives; negatives are of all steps.

    Returns
    -------
    Tensor, shape [2, K]
        Mean over predictions of ``-log softmax([positive, negatives])``, by dot products without temperature, which is
        ``log(1 + N)`` at chance; and the share of predictions whose positive scores above all negatives.

    Raises
    ------
    ValueError
        If the stretch has no K + 1 steps.
    """
    rows, channels = z.shape[0] * z.shape[1], z.shape[2]
    later, distances = z[:, stretch], len(weight) // channels
    steps = later.shape[1]
    if steps <= distances:
        raise ValueError(f"{steps} steps are too few to predict {distances} ahead")
    predictions = F.linear(c[:, stretch], weight)
    flat, found = z.reshape(rows, channels), []
    for k in range(1, distances + 1):
        guess = predictions[:, : steps - k, (k - 1) * channels : k * channels].reshape(-1, channels)
        positive = later[:, k:].reshape(-1, channels)
        order = permutations[:, rows - len(guess) :].to(flat.device)
        scores = torch.cat(
            [(guess * positive).sum(dim=1)[:, None], torch.stack([(guess * flat[row]).sum(dim=1) for row in order], 1)],
            dim=1,
        )
        losses = -F.log_softmax(scores.float() if scores.dtype != torch.float64 else scores, dim=1)[:, 0]
        hits = (scores[:, :1] > scores[:, 1:]).all(dim=1)
        found.append(torch.stack([losses.mean(), hits.to(losses.dtype).mean()]))
    return torch.stack(found, dim=1)
