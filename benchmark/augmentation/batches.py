"""Small helpers of all augmentations: parameters beside the batch, lengths of transforms, pieces of rows."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


def beside(parameter: Tensor, x: Tensor) -> Tensor:
    """Bring parameters from the CPU to the device of a batch, without waiting for what the device is doing.

    Parameters
    ----------
    parameter
        On the CPU. Real numbers take the precision of `x`; integers and truth values keep their type.
    x
        The batch.

    Returns
    -------
    Tensor, shape of `parameter`
    """
    dtype = x.dtype if parameter.is_floating_point() else parameter.dtype
    return parameter.to(x.device, dtype, non_blocking=True)


@lru_cache(maxsize=256)
def fast_length(n: int) -> int:
    """Return the smallest even length of at least `n` samples whose only prime factors are 2, 3 and 5.

    Parameters
    ----------
    n
        Length needed [samples], at least 1.

    Examples
    --------
    >>> fast_length(59_049)
    60000
    """
    best = 2
    while best < n:
        best *= 2
    fives = 1
    while fives < best:
        threes = fives
        while threes < best:
            twos = 2 * threes
            while twos < n:
                twos *= 2
            best = min(best, twos)
            threes *= 3
        fives *= 5
    return best


def pieces(x: Tensor, start: Tensor, length: int) -> Tensor:
    """Cut pieces of one length out of each row, without an index for every sample.

    Parameters
    ----------
    x : Tensor, shape [B, N]
        Contiguous rows.
    start : Tensor of int64, shape [B, K]
        First sample of each piece; ``start + length <= N``.
    length
        Samples a piece.

    Returns
    -------
    Tensor, shape [B, K, length]
    """
    rows, samples = x.shape
    first = start + samples * torch.arange(rows, device=x.device)[:, None]
    # Overlapping rows of one flat buffer: selecting rows copies runs of memory, which a gather would not.
    windows = x.reshape(-1).unfold(0, length, 1)
    return windows.index_select(0, first.reshape(-1)).view(rows, -1, length)
