"""`bench export-encoder`: a trained encoder as a folder that other projects load without bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.commands.common import RegistryOption, StoreOption, open_registry
from benchmark.commands.factors import ArgumentsOption, SampleRateOption, name_argument
from benchmark.commands.weights import (
    ChangesOption,
    TrainedByOption,
    TrainedOnOption,
    TrainedWithOption,
    UntrainedOption,
    WeightsFileOption,
    WeightsOptions,
)


def export_encoder(
    encoder: Annotated[str, name_argument("encoders", "Encoder to export.", "ENCODER")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write.", metavar="FOLDER")],
    recipe: TrainedByOption = None,
    corpus: TrainedOnOption = None,
    seed: TrainedWithOption = None,
    changes: ChangesOption = None,
    weights: WeightsFileOption = None,
    untrained: UntrainedOption = False,
    sample_rate: SampleRateOption = None,
    argument: ArgumentsOption = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write encoder.onnx too.")] = False,
    torchscript: Annotated[bool, typer.Option("--torchscript", help="Write encoder.torchscript.pt too.")] = False,
    store_path: StoreOption = None,
    registry_files: RegistryOption = None,
) -> None:
    """Write a folder that another project loads without bench: weights, source, a loader and a card.

    Example: bench export-encoder tune_plus --recipe demo --corpus magnatagatune -o tune_plus
    """
    from benchmark.console import Reporter
    from benchmark.export.encoder_folder import Origin
    from benchmark.export.encoder_folder import export_encoder as call
    from benchmark.plan.origins import announce
    from benchmark.registry.overrides import parse_settings, with_arguments

    registry = open_registry(registry_files)
    named = with_arguments(registry.encoder(encoder), parse_settings(argument or [], "--arg"), sample_rate)
    reporter = Reporter()
    announce(registry, [named], reporter)
    chosen = WeightsOptions(recipe, corpus, seed, changes, weights, untrained, store_path).chosen(named, reporter)
    origin = Origin(chosen.file, seed or 0, chosen.training, chosen.words)
    found = call(named, origin, output, onnx=onnx, torchscript=torchscript)
    tried = ", ".join(f"{form} {difference:.1g}" for form, difference in found.items())
    reporter.say(f"{output}: loaded without bench; largest difference, of the largest value: {tried}")
