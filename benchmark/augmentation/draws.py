"""The random part of augmentation: which examples each step changes, and with what parameters.

Everything is drawn for every example, selected or not, in one fixed order and on the CPU: a draw then depends on the
seed alone, never on another step's probability, and the device is never asked how many examples were selected.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.augmentation.config import AugmentationConfig


@dataclass(frozen=True)
class Draws:
    """Parameters of one application of the chain to a batch; tensors on the CPU, shape [B].

    Attributes
    ----------
    polarity, noise, gain, filter, delay, pitch, reverb
        Whether the step changes the example; bool.
    noise_level
        Standard deviation of the noise, in the unit that the recipe names.
    noise_seed
        Seed of the noise samples, one for the batch.
    gain_db
        Gain [dB].
    filter_high
        Whether the filter is a high-pass; bool.
    filter_hz
        Cutoff [Hz].
    delay_ms
        Delay of the echo [ms].
    pitch_cents
        Interval [cents]; int64.
    reverberance, hf_damping, room_scale
        The room [%]; int64.
    """

    polarity: Tensor
    noise: Tensor
    noise_level: Tensor
    noise_seed: int
    gain: Tensor
    gain_db: Tensor
    filter: Tensor
    filter_high: Tensor
    filter_hz: Tensor
    delay: Tensor
    delay_ms: Tensor
    pitch: Tensor
    pitch_cents: Tensor
    reverb: Tensor
    reverberance: Tensor
    hf_damping: Tensor
    room_scale: Tensor


def draw(config: AugmentationConfig, batch: int, generator: torch.Generator) -> Draws:
    """Draw the parameters of a batch.

    Parameters
    ----------
    config
        Probabilities and ranges.
    batch
        Number of examples.
    generator
        Source of randomness, on the CPU; the same state gives the same draws.
    """

    def chance(probability: float) -> Tensor:
        return torch.rand(batch, generator=generator, dtype=torch.float64) < probability

    def uniform(limits: tuple[float, float]) -> Tensor:
        low, high = limits
        return low + (high - low) * torch.rand(batch, generator=generator, dtype=torch.float64)

    def integer(limits: tuple[int, int]) -> Tensor:
        return torch.randint(limits[0], limits[1] + 1, (batch,), generator=generator)

    # Keyword arguments are evaluated in this order, which is part of what a seed means.
    high_hz, low_hz = uniform(config.filter.high_pass_hz), uniform(config.filter.low_pass_hz)
    high = chance(config.filter.high_pass_probability)
    choices = torch.tensor(config.delay.choices_ms, dtype=torch.float64)
    return Draws(
        polarity=chance(config.polarity.probability),
        noise=chance(config.noise.probability),
        noise_level=uniform(config.noise.level),
        noise_seed=int(torch.randint(2**62, (1,), generator=generator)),
        gain=chance(config.gain.probability),
        gain_db=uniform(config.gain.db),
        filter=chance(config.filter.probability),
        filter_high=high,
        filter_hz=torch.where(high, high_hz, low_hz),
        delay=chance(config.delay.probability),
        delay_ms=choices[integer((0, len(choices) - 1))],
        pitch=chance(config.pitch.probability),
        pitch_cents=integer(config.pitch.cents),
        reverb=chance(config.reverb.probability),
        reverberance=integer(config.reverb.reverberance),
        hf_damping=integer(config.reverb.hf_damping),
        room_scale=integer(config.reverb.room_scale),
    )
