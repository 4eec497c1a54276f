"""Encode every window of every clip of a dataset, once for each set of weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.console import Reporter
from benchmark.encoding.planned import FLOAT32, planned_audio, planned_encoder
from benchmark.store.step import Extent, Stage, Step, StepKind
from benchmark.store.store import Artifact


def compute(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Leave a file of rows for each layer, and `index.npz`, in `work`; goes on where an interrupted attempt stopped."""
    from benchmark.encoding.dataset_pass import embed_dataset

    return embed_dataset(step, inputs, work, reporter)


def _extent(step: Step) -> Extent:
    encoder = planned_encoder(step)
    clips, seconds = planned_audio(step.needs["pcm"])
    per_clip = max(1.0, seconds / clips * encoder.sample_rate // (encoder.window or encoder.max_window)) if clips else 0
    windows = int(clips * per_clip)
    layers = max(1, len(encoder.layers())) if step.spec["layers"] else 1
    size = windows * encoder.dim * FLOAT32 * layers
    return Extent(f"about {windows:,} windows", size, encoded=seconds * encoder.sample_rate)


def _libraries(step: Step) -> tuple[str, ...]:
    del step
    return ("torch",)


KIND = StepKind("embed", 3, Stage.WORK, compute, _extent, _libraries, on_gpu=True)
