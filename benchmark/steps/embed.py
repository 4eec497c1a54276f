"""Encode every window of every clip of a dataset, once for each set of weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.console import Reporter
from benchmark.encoding.planned import FLOAT32, planned_audio, planned_encoder
from benchmark.store.step import Extent, Stage, Step, StepKind
from benchmark.store.store import Artifact

if TYPE_CHECKING:
    from encoders.base import Encoder


def compute(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Leave a file of rows for each layer, and `index.npz`, in `work`; goes on where an interrupted attempt stopped."""
    from benchmark.encoding.dataset_pass import embed_dataset

    return embed_dataset(step, inputs, work, reporter)


def _extent(step: Step) -> Extent:
    encoder = planned_encoder(step)
    clips, seconds = planned_audio(step.needs["pcm"])
    length = round(step.spec.get("window_seconds", 0) * encoder.sample_rate) or encoder.window or encoder.max_window
    per_clip = _windows(seconds / clips * encoder.sample_rate, length, encoder, step) if clips else 0.0
    windows = int(clips * per_clip)
    layers = max(1, len(encoder.layers())) if step.spec["layers"] else 1
    size = windows * encoder.dim * FLOAT32 * layers
    sounding = seconds * encoder.sample_rate
    return Extent(f"about {windows:,} windows", size, encoded=sounding if _apart(step) is None else windows * length)


def _apart(step: Step) -> float | None:
    """Distance of windows that do not stand side by side [s]."""
    found: float | None = step.spec.get("hop_seconds")
    return found


def _windows(samples: float, length: int, encoder: Encoder, step: Step) -> float:
    """Windows of a clip."""
    if (hop := _apart(step)) is None:
        return max(1.0, samples // length)
    return 1.0 + max(0.0, math.ceil((samples - length) / (hop * encoder.sample_rate)))


def _libraries(step: Step) -> tuple[str, ...]:
    del step
    return ("torch",)


KIND = StepKind("embed", 3, Stage.WORK, compute, _extent, _libraries, on_gpu=True)
