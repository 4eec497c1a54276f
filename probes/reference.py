"""The same probe trained alone, with PyTorch's modules, autograd and optimiser: what a sweep is checked and timed by.

It draws the same random numbers as `probes.sweep`, so that both end with the same weights but for rounding.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from probes.draws import dropout_uniforms, dropped_widths, initial_layers
from probes.kinds import Kind
from probes.objectives import objective_of
from probes.protocol import Member, Protocol
from probes.sweep import Judge, Network, Track, batches, rate_factor, standardisation, training_steps


def train_alone(
    features: NDArray[np.float32],
    targets: NDArray[np.float32],
    valid: NDArray[np.float32],
    judge: Judge,
    kind: Kind,
    member: Member,
    course: Protocol,
    seed: int,
    device: str = "cpu",
) -> Network:
    """Train one probe with a plain loop; parameters and result as of `probes.sweep.train_sweep`."""
    place = torch.device(device)
    generator = torch.Generator().manual_seed(seed)
    widths = [features.shape[1], *member.hidden, targets.shape[1]]
    layers = [nn.Linear(a, b) for a, b in pairwise(widths)]
    with torch.no_grad():
        for layer, (weight, bias) in zip(layers, initial_layers(widths, generator), strict=True):
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
            layer.to(place)
    scaling = None
    if member.standardise:
        mean, factor = standardisation(features)
        scaling = (mean.to(place), factor.to(place))
    x, y, x_valid = (torch.from_numpy(np.ascontiguousarray(array)).to(place) for array in (features, targets, valid))
    if scaling is not None:
        x, x_valid = (x - scaling[0]) * scaling[1], (x_valid - scaling[0]) * scaling[1]
    of_biases = member.weight_decay if course.decay_biases else 0.0
    parameters = [
        {"params": [layer.weight for layer in layers], "weight_decay": member.weight_decay},
        {"params": [layer.bias for layer in layers], "weight_decay": of_biases},
    ]
    optimiser_class = torch.optim.AdamW if course.decay == "decoupled" else torch.optim.Adam
    optimiser = optimiser_class(parameters, member.learning_rate, eps=course.epsilon)

    objective = objective_of(kind, course.loss).for_targets(y)
    track = Track()
    batch = min(member.batch, len(x))
    total = training_steps(course, len(x), batch)
    for step, (order, pass_ends) in enumerate(batches(len(x), batch, generator, total)):
        rows = order.to(place)
        for group in optimiser.param_groups:
            group["lr"] = member.learning_rate * track.factor * rate_factor(course, step, total)
        optimiser.zero_grad()
        objective.loss(_forward(layers, x[rows], member, course, seed, step), y[rows]).backward()
        optimiser.step()
        track.steps = step + 1
        if not (track.steps % course.evaluate_every == 0 if course.evaluate_every else pass_ends):
            continue
        with torch.no_grad():
            value = float(judge(_evaluate(layers, x_valid)[None])[0])
        if track.add(value, course) and course.keep == "best":
            track.layers = _weights(layers)
        if track.bored(course):
            break
    if not (course.keep == "best" and track.values):
        track.layers = _weights(layers)
    return Network(member, tuple(track.layers), scaling, tuple(track.values), track.best, track.steps)


def _forward(layers: list[nn.Linear], x: Tensor, member: Member, course: Protocol, seed: int, step: int) -> Tensor:
    widths = [*(layer.in_features for layer in layers), layers[-1].out_features]
    draws: list[Tensor] = []
    if member.dropout:
        draws = dropout_uniforms(seed, step, len(x), dropped_widths(widths, course), x.device)
    for i, layer in enumerate(layers):
        x = F.relu(x) if i else x
        if draws and (i or course.dropout_input):
            x = x * (draws.pop(0) >= member.dropout) / (1 - member.dropout)
        x = layer(x)
    return x * (draws.pop(0) >= member.dropout) / (1 - member.dropout) if draws else x


def _evaluate(layers: list[nn.Linear], x: Tensor) -> Tensor:
    for i, layer in enumerate(layers):
        x = layer(F.relu(x) if i else x)
    return x


def _weights(layers: list[nn.Linear]) -> list[tuple[Tensor, Tensor]]:
    return [(layer.weight.detach().clone(), layer.bias.detach().clone()) for layer in layers]
