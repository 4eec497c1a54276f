"""Optimisers and the course of their learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler

from benchmark.registry.recipes import AdamEntry, AdamWEntry, LarsEntry, RecipeEntry


class Lars(torch.optim.Optimizer):
    """Layer-wise adaptive rate scaling: every tensor moves by a share of its own length.

    Source: You, Gitman and Ginsburg, "Large batch training of convolutional networks", 2017. With weights w, their
    gradient g, weight decay b and momentum m, the update v of a tensor is m v + rate * trust * |w| / |g + b w| *
    (g + b w), and w becomes w - v. A tensor of zeros, or with a gradient of zeros, moves at the plain rate. No tensor
    is exempt: CLMR's code lists biases and batch norms as exempt from weight decay, but hands the optimiser tensors
    without names, so that its list matches none.

    Parameters
    ----------
    parameters
        Tensors to train.
    lr
        Global learning rate.
    momentum, trust, weight_decay
        m, trust and b of the formula.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, momentum: float, trust: float, weight_decay: float
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "trust": trust, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every tensor once; never waits for the device."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weights in group["params"]:
                if weights.grad is not None:
                    self._move(weights, weights.grad, group)
        return loss

    def _move(self, weights: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        direction = gradient.add(weights, alpha=group["weight_decay"])
        length, slope = weights.norm(), direction.norm()
        ratio = torch.where((length > 0) & (slope > 0), group["trust"] * length / slope, torch.ones_like(length))
        state = self.state[weights]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weights)
        state["momentum"].mul_(group["momentum"]).add_(direction * (ratio * group["lr"]))
        weights.sub_(state["momentum"])


def build_optimiser(
    settings: AdamEntry | AdamWEntry | LarsEntry, parameters: Iterable[nn.Parameter], rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """The optimiser that a recipe names, starting at a learning rate of `rate`."""
    if isinstance(settings, LarsEntry):
        return Lars(parameters, rate, settings.momentum, settings.trust, weight_decay)
    if isinstance(settings, AdamWEntry):
        return torch.optim.AdamW(parameters, lr=rate, betas=settings.betas, weight_decay=weight_decay)
    return torch.optim.Adam(parameters, lr=rate, weight_decay=weight_decay)


def configured(recipe: RecipeEntry, parameters: Iterable[nn.Parameter], steps: int, steps_per_epoch: int) -> Any:
    """A recipe's optimiser, with the course of its learning rate if that changes, as Lightning wants them.

    Parameters
    ----------
    recipe
        Names the optimiser, its rate, warm-up and schedule.
    parameters
        Tensors to train.
    steps, steps_per_epoch
        Length of the training, at most, and of an epoch.
    """
    optimiser = build_optimiser(recipe.optimiser, parameters, recipe.step_size, recipe.weight_decay)
    warmup = recipe.warmup_steps or recipe.warmup_epochs * steps_per_epoch
    if warmup:
        schedule: LRScheduler = warmed_up(optimiser, warmup, steps if recipe.schedule == "cosine" else None)
    elif recipe.schedule == "cosine":
        schedule = half_cosine(optimiser, steps)
    else:
        return optimiser
    return {"optimizer": optimiser, "lr_scheduler": schedule}


def half_cosine(optimiser: torch.optim.Optimizer, steps: int) -> LRScheduler:
    """Let the learning rate fall to zero over `steps` steps; to be stepped after each."""
    return CosineAnnealingLR(optimiser, T_max=steps)


def warmed_up(optimiser: torch.optim.Optimizer, warmup: int, steps: int | None) -> LRScheduler:
    """Let the learning rate rise from 0 in a line, over `warmup` steps; to be stepped after each.

    Then it stays, or, if `steps` are given, falls by half a cosine to zero at the last of them.
    """

    def share(step: int) -> float:
        if step < warmup:
            return step / warmup
        return 1.0 if steps is None else 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

    return LambdaLR(optimiser, share)
