"""An encoder as it starts: random weights of a seed, or the weights that its entry names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.console import Reporter
from benchmark.encoding.planned import FLOAT32, planned_encoder
from benchmark.errors import UserError
from benchmark.registry.foreign_packages import in_words
from benchmark.store.file_names import WEIGHTS
from benchmark.store.step import Extent, Stage, Step, StepKind
from benchmark.store.store import Artifact, digest_file


def compute(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Leave `encoder.safetensors` in `work`.

    Raises
    ------
    UserError
        If the file of weights is not the one that the step was planned for.
    """
    from benchmark.encoding.windows import build_encoder
    from encoders.weights import save_weights

    del inputs, reporter
    encoder = build_encoder(step.context["encoder"], step.spec["seed"], step.context.get("weights"))
    if "weights" in step.context and digest_file(step.context["weights"]) != step.spec["weights"]:
        raise UserError(f"{step.context['weights']}: changed while it was read; run the same command again")
    save_weights(encoder, work / WEIGHTS)
    return {
        "parameters": encoder.parameter_count(),
        "dim": encoder.dim,
        "window": encoder.window,
        "provenance": {
            **encoder.provenance,
            **{f"package {name}": in_words(package) for name, package in step.spec.get("packages", {}).items()},
        },
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
