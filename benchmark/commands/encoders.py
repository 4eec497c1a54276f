"""`bench check`, `bench resources` and `bench encode`: one encoder, without a task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.commands.common import (
    JsonOption,
    RegistryOption,
    StoreOption,
    interruptible,
    open_registry,
    print_document,
)
from benchmark.commands.factors import ArgumentsOption, SampleRateOption, name_argument, name_option
from benchmark.commands.weights import (
    ChangesOption,
    TrainedByOption,
    TrainedOnOption,
    TrainedWithOption,
    UntrainedOption,
    WeightsFileOption,
    WeightsOptions,
)


def check(
    encoder: Annotated[str, name_argument("encoders", "Encoder to check.", "ENCODER")],
    quick: Annotated[
        bool, typer.Option("--quick", help="Encode a handful of windows only: seconds, and less certain.")
    ] = False,
    registry_files: RegistryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether an encoder is fit to be compared, the cheapest checks first; exit code 1 if it is not.

    Example: bench check mfcc
    """
    from benchmark.console import Reporter
    from benchmark.examination.fitness import QUICK, THOROUGH, Check, Fitness, fitness_line, verdict
    from benchmark.plan.origins import announce
    from benchmark.registry.published import weights_file

    registry = open_registry(registry_files)
    named = registry.encoder(encoder)
    reporter = Reporter()
    announce(registry, [named], reporter)

    def tell(row: Check) -> None:
        if not as_json:
            print_document(fitness_line(row))

    with interruptible(reporter):
        fitness = Fitness(named, weights_file(named), QUICK if quick else THOROUGH)
        if not as_json:
            print_document(fitness_line())
        rows = fitness.run(reporter, tell)
    print_document([vars(row) for row in rows] if as_json else f"\n{verdict(rows)}")
    if any(row.outcome == "fail" for row in rows):
        raise typer.Exit(1)


def resources(
    encoder: Annotated[
        list[str] | None, name_option("encoders", "Encoder to measure; may be repeated.", "all of them")
    ] = None,
    registry_files: RegistryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what encoders cost: parameters, multiply-adds, memory, and windows per second on this device.

    Exit code 1 if one cannot be built.

    Example: bench resources --encoder tune_plus --encoder sample_cnn
    """
    from benchmark.console import Reporter
    from benchmark.errors import UserError
    from benchmark.forecast.resources import Unbuilt, measure_all, resources_table
    from benchmark.plan.origins import announce
    from benchmark.registry.published import lacking

    registry = open_registry(registry_files)
    asked = registry if encoder else registry.asked()
    named, broken = [], []
    for name in encoder or [*asked.sections["encoders"], *asked.broken["encoders"]]:
        asked.check_name("encoders", name)
        try:
            named.append(asked.encoder(name))
        except UserError as error:
            broken.append(Unbuilt(name, f"cannot be measured: {error}"))
    reporter = Reporter()
    announce(registry, named, reporter)
    with interruptible(reporter):
        rows = [*measure_all(named, reporter), *broken]
    failed = [row for row in rows if isinstance(row, Unbuilt)]
    if len(rows) == 1 and failed:
        raise UserError(failed[0].error)
    if not encoder:
        why = "not looked at, for only the working directory's registry.yaml has it; name it with --encoder"
        rows += [Unbuilt(name, why) for name in registry.not_asked("encoders")]
    print_document([vars(row) for row in rows] if as_json else resources_table(rows))
    # An entry that waits for a file of the user's is no failure, unless it was asked for.
    waits = [one.name for one in named if None in one.entry.files.values() or lacking(one, weights=False)]
    waiting = set(waits) if encoder is None else set()
    if any(row.encoder not in waiting for row in failed):
        raise typer.Exit(2 if len(failed) == len(rows) else 1)


def encode(
    files: Annotated[list[Path], typer.Argument(help="Audio files, of any format and length.", metavar="FILE...")],
    encoder: Annotated[str, name_option("encoders", "Encoder that maps them to embeddings.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The npz file to write.", metavar="FILE")],
    layer: Annotated[
        str | None,
        typer.Option(help="Use this layer's output, averaged over time unless --frames.", metavar="NAME"),
    ] = None,
    frames: Annotated[
        bool, typer.Option("--frames", help="Embeddings in time: a row for each frame instead of each window.")
    ] = False,
    window: Annotated[
        float | None,
        typer.Option(help="Length of windows [s], of encoders that can take other ones than theirs.", min=0.01),
    ] = None,
    hop: Annotated[
        float | None,
        typer.Option(
            help="Distance of windows [s], the last of which ends with the file.", show_default="side by side", min=0.01
        ),
    ] = None,
    recipe: TrainedByOption = None,
    corpus: TrainedOnOption = None,
    seed: TrainedWithOption = None,
    changes: ChangesOption = None,
    weights: WeightsFileOption = None,
    untrained: UntrainedOption = False,
    sample_rate: SampleRateOption = None,
    argument: ArgumentsOption = None,
    store_path: StoreOption = None,
    registry_files: RegistryOption = None,
) -> None:
    """Write the embeddings of audio files: embeddings, clip, seconds and files of an npz.

    The weights are those that `bench run` trained, as the options name them, if there is more than one training.

    Example: bench encode song.mp3 --encoder mfcc --output song.npz
    """
    from benchmark.console import Reporter
    from benchmark.encoding.encode_files import check_layer, check_output, encode_files, open_files
    from benchmark.encoding.windows import Cutting, build_encoder
    from benchmark.plan.origins import announce
    from benchmark.registry.overrides import parse_settings, with_arguments

    check_output(output)
    registry = open_registry(registry_files)
    named = with_arguments(registry.encoder(encoder), parse_settings(argument or [], "--arg"), sample_rate)
    reporter = Reporter()
    announce(registry, [named], reporter)
    chosen = WeightsOptions(recipe, corpus, seed, changes, weights, untrained, store_path).chosen(named, reporter)
    built = build_encoder(named, seed or 0, chosen.file)
    check_layer(built, encoder, layer)
    cutting = Cutting(window_seconds=window, hop_seconds=hop)
    cutting.prepare(built, encoder)
    with interruptible(reporter):
        rows, dim = encode_files(
            open_files(files, built, reporter), built, output, reporter, layer=layer, frames=frames, cutting=cutting
        )
    reporter.say(f"{output}: {rows:,} embeddings of size {dim}")
