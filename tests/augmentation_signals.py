"""Signals that augmentations are tested on, the numbers of the released chain, and small measures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.augmentation.config import AugmentationStep

Array = NDArray[np.float64]

RATE = 22_050
WINDOW = 59_049

# The numbers of the released code of contrastive learning of musical representations.
V2: dict[str, dict[str, Any]] = {
    "polarity": {"probability": 0.8},
    "noise": {"probability": 0.01, "level": (1e-4, 1e-2), "reference": "std", "clamp": False},
    "gain": {"probability": 0.3, "db": (-20.0, -1.0)},
    "filter": {
        "probability": 0.8,
        "high_pass_probability": 0.5,
        "high_pass_hz": (200.0, 1200.0),
        "low_pass_hz": (2200.0, 4000.0),
    },
    "delay": {"probability": 0.3, "choices_ms": (200, 250, 300, 350, 400, 450), "factor": 0.5, "halve": True},
    "pitch": {"probability": 0.6, "cents": (-700, 700)},
    "reverb": {"probability": 0.6, "reverberance": (0, 99), "hf_damping": (0, 99), "room_scale": (0, 99)},
}
STEPS = tuple(V2)


def chain_with(probability: float | None = None, **steps: dict[str, Any]) -> tuple[AugmentationStep, ...]:
    """The v2 recipe with one probability for all steps, and with some numbers of some steps changed."""
    return tuple(
        AugmentationStep.model_validate(
            {name: step | ({} if probability is None else {"probability": probability}) | steps.get(name, {})}
        )
        for name, step in V2.items()
    )


def music(batch: int, length: int = WINDOW, seed: int = 0) -> torch.Tensor:
    """Decaying harmonic notes over a little noise, different in every example."""
    rng = np.random.default_rng(seed)
    time = np.arange(length) / RATE
    rows = []
    for _ in range(batch):
        row = 0.003 * rng.standard_normal(length)
        for onset in np.arange(0.0, length / RATE, 0.31):
            f0 = 110.0 * 2 ** (rng.integers(0, 24) / 12)
            age = np.clip(time - onset, 0.0, None)
            envelope = np.exp(-4 * age) * (age > 0)
            for k in range(1, 6):
                row += 0.1 / k * envelope * np.sin(2 * np.pi * k * f0 * age + rng.uniform(0, 6))
        rows.append(row)
    return torch.from_numpy(np.array(rows)).float()


def tone(hz: float, length: int = WINDOW, amplitude: float = 0.3) -> Array:
    return amplitude * np.sin(2 * np.pi * hz * np.arange(length) / RATE + 0.4)


def tensor(x: Array) -> torch.Tensor:
    return torch.from_numpy(np.atleast_2d(x)).float()


def rms(x: Array) -> float:
    return float(np.sqrt(np.mean(np.square(x))))


def db(x: float) -> float:
    return 20 * math.log10(max(x, 1e-12))


def peak_hz(x: Array, near: float) -> float:
    """Frequency of the spectral peak within a semitone of `near`, between bins by a parabola through dB."""
    power = np.log(np.abs(np.fft.rfft(x * np.hanning(len(x)), 8 * len(x))) + 1e-20)
    hz = np.fft.rfftfreq(8 * len(x), 1 / RATE)
    band = np.flatnonzero((hz > near * 2 ** (-1 / 12)) & (hz < near * 2 ** (1 / 12)))
    k = band[np.argmax(power[band])]
    a, b, c = power[k - 1 : k + 2]
    return float(hz[1] * (k + 0.5 * (a - c) / (a - 2 * b + c)))


def room(*values: tuple[int, int, int]) -> list[torch.Tensor]:
    return [torch.tensor(column) for column in zip(*values, strict=True)]
