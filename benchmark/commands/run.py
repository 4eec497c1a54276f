"""`bench run`: pretrain if needed, embed, probe, score."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmark.commands.common import (
    DataOption,
    JsonOption,
    RegistryOption,
    StoreOption,
    interruptible,
    print_document,
    store_folder,
)


def run(
    encoder: Annotated[list[str], typer.Option(help="Encoder to compare; may be repeated.", metavar="NAME")],
    task: Annotated[list[str], typer.Option(help="Task to score it on; may be repeated.", metavar="NAME")],
    recipe: Annotated[
        list[str] | None,
        typer.Option(help="Pretraining recipe; may be repeated.", show_default="demo", metavar="NAME"),
    ] = None,
    corpus: Annotated[
        list[str] | None,
        typer.Option(help="Pretraining corpus; may be repeated.", show_default="the task's own", metavar="NAME"),
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(help="Probing protocol; may be repeated.", show_default="the task's own", metavar="NAME"),
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Seed; may be repeated.", show_default="0", min=0)] = None,
    data: DataOption = None,
    store: StoreOption = None,
    registry: RegistryOption = None,
    epochs: Annotated[
        int | None, typer.Option(help="Override the recipe's length: visits to each clip.", min=1)
    ] = None,
    pairs: Annotated[int | None, typer.Option(help="Override the recipe's length: pairs of views.", min=1)] = None,
    batch: Annotated[int | None, typer.Option(help="Override the recipe's pairs per step.", min=2)] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Override the recipe's learning rate.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Override the recipe's temperature.")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Override any number of the recipe, e.g. augmentation.pitch.probability=0.2; may be repeated.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    sample_rate: Annotated[
        int | None, typer.Option(help="Override the encoder's sample rate [Hz].", min=1000, metavar="HZ")
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(help="Layer to probe instead of the representation, or `all`; may be repeated.", metavar="NAME"),
    ] = None,
    labels: Annotated[
        str, typer.Option(help="Fractions of the training labels, separated by commas.", metavar="F,F,...")
    ] = "1",
    deform: Annotated[
        list[str] | None,
        typer.Option(
            help="Score on deformed test audio too, e.g. noise=20; `bench list` names them; may be repeated.",
            metavar="NAME=STRENGTH",
        ),
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Score the test clips that can be read; the record says how many.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and do nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Pretrain if needed, embed, probe, score.

    Example: bench run --encoder tune_plus --task mtt
    """
    from benchmark.console import Reporter
    from benchmark.engine import Engine
    from benchmark.overrides import parse_settings
    from benchmark.plan import Request
    from benchmark.planner import Planner
    from benchmark.registry import load_registry
    from benchmark.store import Store, storage_errors

    overrides = {
        "epochs": epochs,
        "pairs": pairs,
        "batch": batch,
        "learning_rate": learning_rate,
        "temperature": temperature,
    }
    request = Request(
        encoders=encoder,
        tasks=task,
        recipes=recipe or ["demo"],
        corpora=corpus or [],
        protocols=protocol or [],
        seeds=seed or [0],
        layers=layer or [],
        labels=_fractions(labels),
        deforms=[None, *(deform or [])],
        allow_missing=allow_missing,
        sample_rate=sample_rate,
        overrides={
            **{key: value for key, value in overrides.items() if value is not None},
            **parse_settings(setting or []),
        },
    )
    reporter = Reporter()
    entries = load_registry(registry or [])
    place = Store(store_folder(store))
    with storage_errors(place.root):
        runs = Planner(entries, place, reporter, data).runs(request)
    engine = Engine(place, reporter)
    if dry_run:
        from benchmark.sizes import planned_steps
        from benchmark.tables import plan_table

        steps = planned_steps(runs, engine)
        print_document([vars(step) for step in steps] if as_json else plan_table(steps))
        return
    if data is None:
        reporter.say(
            "No --data given: using the STAND-IN, synthetic music whose scores mean nothing outside this program"
        )
    elif "demo" in request.recipes:
        reporter.say("Recipe demo is a short demonstration; --recipe tune is the published pretraining")
    with interruptible(reporter), storage_errors(place.root):
        artifacts = engine.scores(runs)
    from benchmark.records import read_record
    from benchmark.tables import score_tables

    records = [read_record(artifact.path) for artifact in artifacts]
    print_document([record.model_dump(mode="json") for record in records] if as_json else score_tables(records))
    if not as_json:
        for artifact in artifacts:
            reporter.say(f"record: {artifact / 'record.json'}")


def _fractions(text: str) -> list[float]:
    """``0.01,0.1,1`` as numbers."""
    from benchmark.errors import UserError

    try:
        fractions = [float(part) for part in text.split(",")]
    except ValueError:
        fractions = [0.0]
    if not all(0 < fraction <= 1 for fraction in fractions):
        raise UserError(f"--labels {text}: must be fractions above 0 and up to 1, separated by commas, e.g. 0.01,0.1,1")
    return fractions
