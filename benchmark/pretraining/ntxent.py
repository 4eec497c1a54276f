"""NT-Xent, the normalised temperature-scaled cross entropy between two views of a batch.

Source: Chen et al., "A simple framework for contrastive learning of visual representations", ICML 2020,
equation 1, averaged over all 2N anchors; CLMR thesis, equation 3.1.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.pretraining.gathering import gather, world_size


def ntxent(z_i: Tensor, z_j: Tensor, temperature: float) -> Tensor:
    """Mean over the 2N anchors of the cross entropy of finding the positive among the 2N - 1 others.

    Parameters
    ----------
    z_i, z_j : Tensor, shape [N, D]
        Projections of the two views; row n of one is the positive of row n of the other.
    temperature : float
        Divides the cosine similarities.

    Returns
    -------
    Tensor, scalar
    """
    logits = similarities(z_i, z_j) / temperature
    n = len(z_i)
    positive = torch.arange(2 * n, device=logits.device).roll(n)
    itself = torch.eye(2 * n, dtype=torch.bool, device=logits.device)
    return F.cross_entropy(logits.masked_fill(itself, float("-inf")), positive)


def ntxent_over_processes(z_i: Tensor, z_j: Tensor, temperature: float) -> Tensor:
    """Share that a process has in `ntxent` of the projections of all processes.

    Each process has the anchors of its own N pairs, and the views of all processes as candidates. The mean of the
    shares over the processes is the loss of the whole batch, and data-parallel training, which averages gradients
    over processes, descends exactly that. CLMR's released code compared within a device only.

    Parameters
    ----------
    z_i, z_j : Tensor, shape [N, D]
        This process's projections; N is the same in all.
    temperature : float
        Divides the cosine similarities.

    Returns
    -------
    Tensor, scalar
    """
    if world_size() == 1:
        return ntxent(z_i, z_j, temperature)
    n, rank, world = len(z_i), torch.distributed.get_rank(), world_size()
    own = F.normalize(torch.cat([z_i, z_j]), dim=1, eps=1e-8)
    everyone = torch.cat([gather(own[:n]), gather(own[n:])])
    itself = rank * n + torch.arange(n, device=own.device)
    itself = torch.cat([itself, itself + world * n])
    with torch.autocast(own.device.type, enabled=False):
        cosine = own @ everyone.T
    logits = (cosine / temperature).scatter(1, itself[:, None], float("-inf"))
    return F.cross_entropy(logits, itself.roll(n))


def similarities(z_i: Tensor, z_j: Tensor) -> Tensor:
    """Cosine similarities [2N, 2N] of all projections, the views stacked; in their own precision, never a lower one."""
    z = F.normalize(torch.cat([z_i, z_j]), dim=1, eps=1e-8)
    with torch.autocast(z.device.type, enabled=False):
        return z @ z.T


def retrieval(z_i: Tensor, z_j: Tensor) -> float:
    """Share of the 2N views whose most similar view, among the N of the other kind, is their own positive.

    Chance is 1 / N.
    """
    n = len(z_i)
    across = similarities(z_i, z_j)[:n, n:]
    own = torch.arange(n, device=across.device)
    found = (across.argmax(dim=1) == own).sum() + (across.argmax(dim=0) == own).sum()
    return float(found) / (2 * n)
