"""Projections of all processes in each of them, with gradients that find their way back."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, distributed


def world_size() -> int:
    """Processes that train together; 1 outside of such a group."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def gather(z: Tensor) -> Tensor:
    """Rows of all processes, in order of rank: [N, D] in each -> [world * N, D] in all.

    The gradient of a process's rows is the sum of what the losses of all processes say of them. Where gradients of
    parameters are then averaged over processes, as data-parallel training does, the sum of the processes' losses
    divided by their number is what is descended.
    """
    return cast(Tensor, _Gather.apply(z))  # type: ignore[no-untyped-call, unused-ignore]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        parts = [torch.empty_like(z) for _ in range(world_size())]
        distributed.all_gather(parts, z.contiguous())
        ctx.rows = len(z)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        first = distributed.get_rank() * ctx.rows
        return total[first : first + ctx.rows]


def gather_pairs(z_i: Tensor, z_j: Tensor) -> tuple[Tensor, Tensor]:
    """Projections of both views [N, D] of all processes, in one message: [world * N, D] each; no gradient."""
    if world_size() == 1:
        return z_i.detach(), z_j.detach()
    everyone = gather(torch.cat([z_i, z_j], dim=1).detach())
    return everyone[:, : z_i.shape[1]], everyone[:, z_i.shape[1] :]


def mean_over_processes(values: Tensor) -> Tensor:
    """Mean of a tensor over all processes, in all of them; no gradient."""
    if world_size() == 1:
        return values
    total = values.clone()
    distributed.all_reduce(total)
    return total / world_size()
