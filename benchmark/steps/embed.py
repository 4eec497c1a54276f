"""Encode every window of every clip of a dataset, once for each set of weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.console import Reporter
from benchmark.encoding.planned import FLOAT32, planned_encoder, planned_lengths
from benchmark.store.step import Extent, Stage, Step, StepKind
from benchmark.store.store import Artifact


def compute(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Leave a file of rows for each layer, and `index.npz`, in `work`; goes on where an interrupted attempt stopped."""
    from benchmark.encoding.dataset_pass import embed_dataset

    return embed_dataset(step, inputs, work, reporter)


def _extent(step: Step) -> Extent:
    from benchmark.encoding.windows import Cutting, Taken, window_spans

    encoder, cutting = planned_encoder(step), Cutting.of(step.spec)
    taken = encoder.window
    if cutting.window_seconds is not None:
        taken = round(cutting.window_seconds * encoder.sample_rate)
    sizes = Taken(taken, encoder.max_window, encoder.sample_rate)
    samples = np.round(planned_lengths(step.needs["pcm"]) * encoder.sample_rate).astype(np.int64)
    windows = encoded = 0
    for length, count in zip(*np.unique(samples, return_counts=True), strict=True):
        spans = window_spans(int(length), sizes, cutting)
        windows += int(count) * len(spans)
        encoded += int(count) * sum(end - start for start, end in spans)
    layers = max(1, len(encoder.layers())) if step.spec["layers"] else 1
    size = windows * encoder.dim * FLOAT32 * layers
    return Extent(f"{windows:,} windows", size, encoded=encoded, amount=encoded)


def _libraries(step: Step) -> tuple[str, ...]:
    del step
    return ("torch",)


KIND = StepKind("embed", 3, Stage.WORK, compute, _extent, _libraries, on_gpu=True)
