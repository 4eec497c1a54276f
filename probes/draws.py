"""Every random number of a probe, such that a probe draws the same alone as beside others in a sweep.

Initial weights and the order of examples come from one stream a seed. Dropout has a stream for every step, so that
its numbers do not depend on who else is being trained; they are drawn on the device that trains.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from probes.protocol import Protocol

#: An odd constant that spreads seeds apart (2 to the 64 over the golden ratio; Knuth, TAOCP 3, section 6.4).
_SPREAD = 0x9E3779B97F4A7C15


def initial_layers(widths: Sequence[int], generator: torch.Generator) -> list[tuple[Tensor, Tensor]]:
    """Weights [out, in] and biases [out] of fully connected layers, drawn as PyTorch does by default.

    Parameters
    ----------
    widths
        Of the representation, the hidden layers and the output.
    generator
        The stream of the probe's seed.
    """
    layers = []
    for width_in, width_out in pairwise(widths):
        bound = width_in**-0.5
        weight = torch.empty(width_out, width_in).uniform_(-bound, bound, generator=generator)
        bias = torch.empty(width_out).uniform_(-bound, bound, generator=generator)
        layers.append((weight, bias))
    return layers


def dropped_widths(widths: Sequence[int], course: Protocol) -> list[int]:
    """Widths of the layers that dropout acts on, in their order, of those of a probe from input to output."""
    return [*widths[:1]] * course.dropout_input + [*widths[1:-1]] + [*widths[-1:]] * course.dropout_output


def dropout_uniforms(seed: int, step: int, rows: int, widths: Sequence[int], device: torch.device) -> list[Tensor]:
    """Uniform numbers in [0, 1) of one step, [rows, width] for each of `widths`.

    A unit is dropped at rate p where its number is below p, so that probes of different rates share the numbers.
    """
    mixed = ((seed + 1) * _SPREAD + (step + 1) * 0xD1B54A32D192ED03) % 2**63
    generator = torch.Generator(device).manual_seed(mixed)
    return [torch.rand(rows, width, generator=generator, device=device) for width in widths]
