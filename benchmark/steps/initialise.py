"""An encoder as it starts: random weights of a seed, or the weights that its entry names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.console import Reporter
from benchmark.encoding.windows import build_encoder
from benchmark.plan.steps_and_runs import Step
from benchmark.store.store import Artifact
from benchmark.store.weights import WEIGHTS
from encoders.weights import save_weights


def compute(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Leave `encoder.safetensors` in `work`."""
    del inputs, reporter
    encoder = build_encoder(step.context["encoder"], step.spec["seed"], step.context.get("weights"))
    save_weights(encoder, work / WEIGHTS)
    return {
        "parameters": encoder.parameter_count(),
        "dim": encoder.dim,
        "window": encoder.window,
        "provenance": dict(encoder.provenance),
    }
