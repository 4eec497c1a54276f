"""An encoder as it starts: random weights of a seed, or the weights that its entry names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.console import Reporter
from benchmark.encoding.planned import FLOAT32, planned_encoder
from benchmark.store.file_names import WEIGHTS
from benchmark.store.step import Extent, Stage, Step, StepKind
from benchmark.store.store import Artifact


def compute(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Leave `encoder.safetensors` in `work`."""
    from benchmark.encoding.windows import build_encoder
    from encoders.weights import save_weights

    del inputs, reporter
    encoder = build_encoder(step.context["encoder"], step.spec["seed"], step.context.get("weights"))
    save_weights(encoder, work / WEIGHTS)
    return {
        "parameters": encoder.parameter_count(),
        "dim": encoder.dim,
        "window": encoder.window,
        "provenance": dict(encoder.provenance),
    }


def _extent(step: Step) -> Extent:
    encoder = planned_encoder(step)
    if "weights" in step.context:
        from benchmark.encoding.windows import fill

        fill(encoder, step.context["encoder"], step.context["weights"])  # whether they fit
    parameters = encoder.parameter_count()
    return Extent(f"{parameters:,} parameters", parameters * FLOAT32)


def _libraries(step: Step) -> tuple[str, ...]:
    del step
    return ("torch",)


KIND = StepKind("initialise", 1, Stage.ENCODERS, compute, _extent, _libraries)
