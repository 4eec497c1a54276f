"""`bench speed`: every claim on speed, measured beside a reference in one run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.commands.app import App, need_command
from benchmark.commands.common import JsonOption, RegistryOption, open_registry, print_document

if TYPE_CHECKING:
    from benchmark.speed.results import ForwardSpeed

app = App(help="Measure speed beside a reference, in one run.")


@app.callback(invoke_without_command=True)
def _speed(context: typer.Context) -> None:
    need_command(context)


@app.command(name="decode")
def speed_decode(
    repeats: Annotated[int, typer.Option(help="Times each file is decoded by each.", min=1)] = 10,
    as_json: JsonOption = False,
) -> None:
    """Time decoding and resampling beside librosa, worker processes, and crops from the store.

    Example: bench speed decode
    """
    from benchmark.console import Reporter
    from benchmark.speed.decode import measure, table

    result = measure(Reporter(), repeats=repeats)
    print_document(result if as_json else table(result))


@app.command(name="analysis")
def speed_analysis(
    bootstrap: Annotated[int, typer.Option(help="Refits.", min=2)] = 1000,
    seed: Annotated[int, typer.Option(help="Of the simulated table.", min=0)] = 0,
    as_json: JsonOption = False,
) -> None:
    """Time a fit and a bootstrap of mixed models beside statsmodels, and lme4 where R has it.

    Example: bench speed analysis
    """
    from analysis.commands import speed_analysis as call
    from analysis.speed import table

    result = call(bootstrap=bootstrap, seed=seed)
    print_document(result if as_json else table(result))


@app.command(name="forward")
def speed_forward(
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            help="Encoder to time; may be repeated.", show_default="tune_plus, tune_tail_5, sample_cnn", metavar="NAME"
        ),
    ] = None,
    registry_files: RegistryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Time a forward pass beside plain torch layers with the same weights; `ratio` is the worst of ours / plain.

    Example: bench speed forward --encoder tune_plus
    """
    from benchmark.console import Reporter
    from benchmark.encoding.windows import build_encoder
    from benchmark.plan.origins import announce
    from benchmark.speed.forward import ENCODERS, LIMIT, forward_ratio, forward_table

    registry = open_registry(registry_files)
    named = [registry.encoder(name) for name in encoder or ENCODERS]
    announce(registry, named, Reporter())
    rows = [forward_ratio(each.name, build_encoder(each, 0)) for each in named]
    result: ForwardSpeed = {"ratio": max(row["ratio"] for row in rows), "limit": LIMIT, "encoders": rows}
    print_document(result if as_json else forward_table(rows))


@app.command(name="probe")
def speed_probe(
    share: Annotated[float, typer.Option(help="Scales the length of the measurement.", min=0.1)] = 1.0,
    as_json: JsonOption = False,
) -> None:
    """Time the 216 probes of the jukemir protocol trained at once beside a plain loop over them.

    Example: bench speed probe
    """
    from benchmark.console import Reporter
    from benchmark.speed.probe import measure, table

    result = measure(Reporter(), share)
    print_document(result if as_json else table(result))


@app.command(name="pretrain")
def speed_pretrain(
    encoder: Annotated[
        list[str] | None,
        typer.Option(help="Encoder to train; may be repeated.", show_default="tune_plus, sample_cnn", metavar="NAME"),
    ] = None,
    recipe: Annotated[str, typer.Option(help="Contrastive recipe to train by.", metavar="NAME")] = "tune",
    batch: Annotated[
        int | None, typer.Option(help="Pairs a step.", show_default="96 on a GPU, 8 on a CPU", min=2)
    ] = None,
    rounds: Annotated[int, typer.Option(help="Turns of each, whose medians are shown.", min=1)] = 5,
    registry_files: RegistryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Time pretraining, with crops and augmentation, beside the bare model's step; `ratio` is the worst of theirs.

    Example: bench speed pretrain --encoder tune_plus
    """
    from benchmark.console import Reporter
    from benchmark.errors import UserError
    from benchmark.plan.origins import announce
    from benchmark.registry.augmentation_plugins import load_augmentations
    from benchmark.registry.methods import ContrastiveRecipe
    from benchmark.speed.pretrain import measure, table

    registry = open_registry(registry_files)
    names = [registry.encoder(name) for name in encoder or ("tune_plus", "sample_cnn")]
    named = registry.recipe(recipe)
    announce(registry, [*names, named], Reporter())
    if not isinstance(named.entry, ContrastiveRecipe):
        raise UserError(
            f"{named.file}:{named.line}: recipes.{recipe} is not contrastive, which this measures; name another"
        )
    load_augmentations(named)
    result = measure(Reporter(), names, named.entry, batch, rounds)
    print_document(result if as_json else table(result))


@app.command(name="engine")
def speed_engine(
    records: Annotated[int, typer.Option(help="Score records in the generated store.", min=1)] = 100_000,
    as_json: JsonOption = False,
) -> None:
    """Time what the harness itself costs: a cached step, a step that does nothing, a store of many records.

    Example: bench speed engine --records 10000
    """
    from benchmark.console import Reporter
    from benchmark.speed.engine import measure, table

    found = measure(Reporter(), records)
    print_document(found if as_json else table(found))
