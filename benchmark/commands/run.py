"""`bench run`: pretrain if needed, embed, probe, score."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.commands.common import (
    BatchOption,
    DataOption,
    EpochsOption,
    JsonOption,
    LearningRateOption,
    PairsOption,
    RegistryOption,
    SampleRateOption,
    SettingOption,
    StoreOption,
    TemperatureOption,
    interruptible,
    names_of,
    open_registry,
    print_document,
    recipe_overrides,
    say_broken,
    say_lost,
    store_folder,
)

if TYPE_CHECKING:
    from benchmark.console import Reporter
    from benchmark.engine.engine import Engine
    from benchmark.engine.progress import Loss
    from benchmark.forecast.rates import Rates
    from benchmark.plan.steps_and_runs import Plan

#: Records whose paths are worth listing.
LISTED = 20


def run(
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            help="Encoder to compare, or several joined by +; may be repeated.",
            metavar="NAME",
            autocompletion=names_of("encoders"),
        ),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(help="Task to score it on; may be repeated.", metavar="NAME", autocompletion=names_of("tasks")),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(help="Study file, or the name of one that ships with bench, instead of the options above."),
    ] = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            help="Pretraining recipe; may be repeated.",
            show_default="demo",
            metavar="NAME",
            autocompletion=names_of("recipes"),
        ),
    ] = None,
    then: Annotated[
        str | None,
        typer.Option(
            help="Recipe that goes on from the weights of --recipe, on the same corpus, or on the task's labels.",
            metavar="NAME",
            autocompletion=names_of("recipes"),
        ),
    ] = None,
    corpus: Annotated[
        list[str] | None,
        typer.Option(
            help="Pretraining corpus, a folder of audio, or a task to learn the labels of; may be repeated.",
            show_default="the task's own",
            metavar="NAME|DIR",
            autocompletion=names_of("corpora"),
        ),
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            help="Probing protocol; may be repeated.",
            show_default="the task's own",
            metavar="NAME",
            autocompletion=names_of("protocols"),
        ),
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Seed; may be repeated.", show_default="0", min=0)] = None,
    data: DataOption = None,
    store: StoreOption = None,
    registry: RegistryOption = None,
    epochs: EpochsOption = None,
    pairs: PairsOption = None,
    batch: BatchOption = None,
    learning_rate: LearningRateOption = None,
    temperature: TemperatureOption = None,
    setting: SettingOption = None,
    sample_rate: SampleRateOption = None,
    probe_every: Annotated[
        int | None,
        typer.Option(help="While pretraining, score validation clips every so many epochs.", min=1, metavar="N"),
    ] = None,
    devices: Annotated[
        int | None, typer.Option(help="GPUs that one training spreads over.", show_default="all visible", min=1)
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="32-true or bf16-mixed.", show_default="bfloat16 where the device has it")
    ] = None,
    corpus_in: Annotated[
        str | None,
        typer.Option(help="Keep the corpus in `device` memory, or `stream` it.", show_default="device, if it fits"),
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(help="Folder for TensorBoard's event files of trainings.", metavar="DIR")
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
            help="Score on deformed test audio too: gain, noise, mp3, low_pass, reverb, pitch, tempo; may be repeated.",
            metavar="NAME=STRENGTH",
        ),
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Score the test clips that can be read; the record says how many.")
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(help="Worker processes on this machine.", show_default="one a GPU, else none", min=1),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="Dask scheduler to compute on, or `slurm`.", metavar="tls://HOST:PORT")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Options of dask-jobqueue for --cluster slurm, as YAML.", metavar="FILE")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and do nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Pretrain if needed, embed, probe, score.

    Example: bench run --encoder tune_plus --task mtt
    """
    from benchmark.console import Reporter
    from benchmark.engine.engine import Engine
    from benchmark.errors import UserError
    from benchmark.plan.origins import announce, in_use
    from benchmark.plan.planner import Planner
    from benchmark.plan.steps_and_runs import Request
    from benchmark.plan.studies import load_study
    from benchmark.plan.trainings import trained_then
    from benchmark.store.store import Store, storage_errors

    reporter = Reporter()
    training = _training(devices, precision, corpus_in, tensorboard)
    asked = None
    if study is not None:
        _leave_to_the_study(
            encoder=encoder,
            task=task,
            corpus=corpus,
            recipe=recipe,
            then=then,
            protocol=protocol,
            seed=seed,
            layer=layer,
            deform=deform,
            labels=None if labels == "1" else labels,
            set=setting,
            sample_rate=sample_rate,
            probe_every=probe_every,
            epochs=epochs,
            pairs=pairs,
            batch=batch,
            learning_rate=learning_rate,
            temperature=temperature,
        )
        asked = load_study(study)
        requests = asked.requests(allow_missing, training)
    elif encoder and task:
        requests = [
            Request(
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
                probe_every=probe_every,
                training=training,
                overrides=recipe_overrides(
                    setting,
                    epochs=epochs,
                    pairs=pairs,
                    batch=batch,
                    learning_rate=learning_rate,
                    temperature=temperature,
                ),
            )
        ]
    else:
        raise UserError(
            "say what to run: --encoder NAME --task NAME, or --study FILE; `bench list` shows the names, "
            "e.g. bench run --encoder tune_plus --task mtt"
        )
    entries = open_registry(registry)
    used = [*in_use(entries, requests), *([entries.recipe(then)] if then is not None else [])]
    announce(entries, used, reporter)
    if then is not None:
        requests = [after for request in requests for after in trained_then(request, then, entries)]
    place = Store(store_folder(store))
    with storage_errors(place.root):
        planner = Planner(entries, place, reporter, data)
        plan = planner.plan(requests) if asked is None else asked.planned(planner, allow_missing, training)
        runs = plan.runs
        if asked is not None and asked.matched_parameters is not None:
            from benchmark.forecast.sizes import parameter_counts
            from benchmark.plan.studies import check_matched

            check_matched(asked, parameter_counts(runs))
    if not say_lost(plan):
        raise typer.Exit(2)
    say_broken(entries)
    engine = Engine(place, reporter)
    if dry_run:
        from benchmark.forecast.rates import Rates

        _show_plan(plan, engine, Rates(place, reporter), reporter, None if cluster else jobs or 1, as_json)
        return
    if any(step.kind == "standin" for run in runs for step in run.probe.lineage()):
        reporter.warn(
            "No --data given: using the STAND-IN, synthetic music whose scores mean nothing outside this program"
        )
    elif any(run.recipe.startswith("demo") for run in runs):
        reporter.warn("Recipe demo is a short demonstration; --recipe tune is the published pretraining")
    from benchmark.engine.execution import Means, carry_out, sensible_jobs

    with interruptible(reporter), storage_errors(place.root):
        if jobs is None:
            jobs = sensible_jobs(runs, engine, reporter) if cluster is None and len(runs) > 1 else 1
        losses = carry_out(
            runs, place, engine, reporter, Means(jobs, cluster, config), " ".join(["bench", *sys.argv[1:]])
        )
    _show(plan, Engine(place, reporter), losses, reporter, as_json)


def _leave_to_the_study(**options: object) -> None:
    """Refuse options that a study file says itself; they would otherwise be ignored."""
    from benchmark.errors import UserError

    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value]
    if given:
        raise UserError(
            f"--study says what to run; leave out {' and '.join(given)}, or write it into a copy of the file"
        )


def _show_plan(plan: Plan, engine: Engine, rates: Rates, reporter: Reporter, jobs: int | None, as_json: bool) -> None:
    """Print the steps of what can be had; exit code 1 if something cannot, 2 if nothing can."""
    from benchmark.errors import UserError
    from benchmark.forecast.plan_table import plan_table
    from benchmark.forecast.sizes import planned_steps

    steps, causes = planned_steps(plan.runs, engine, rates, jobs)
    if not steps and len(causes) == 1 and not plan.lost:
        raise UserError(causes[0])
    for cause in causes:
        reporter.warn(f"failed: {cause}")
    if not steps:
        raise typer.Exit(2)
    print_document([vars(step) for step in steps] if as_json else plan_table(steps))
    if causes or plan.lost:
        raise typer.Exit(1)


def _show(plan: Plan, engine: Engine, losses: Sequence[Loss], reporter: Reporter, as_json: bool) -> None:
    """Print the scores that there are, and end with exit code 1 if some are missing, or 2 if all are."""
    from benchmark.comparison.score_tables import score_tables
    from benchmark.scores.records import mark_used, read_record

    found = {run.probe.key: engine.current(run.probe) for run in plan.runs}
    artifacts = [artifact for artifact in found.values() if artifact is not None]
    for artifact in artifacts:
        mark_used(artifact.path)
    records = [read_record(artifact.path) for artifact in artifacts]
    print_document([record.model_dump(mode="json") for record in records] if as_json else score_tables(records))
    if not as_json and len(artifacts) <= LISTED:
        for artifact in artifacts:
            reporter.say(f"record: {artifact / 'record.json'}")
    asked = len(plan.runs) + len(plan.lost)
    if len(artifacts) < asked:
        reporter.warn(f"{asked - len(artifacts)} of {asked} runs are missing; the same command tries them again")
        # Where nothing that was asked for can be had and the user has to put it right, the command is wrong.
        some = any(found[run.probe.key] is not None for run in plan.without_twins().runs)
        raise typer.Exit(1 if some or not all(loss.by_user for loss in losses) else 2)


def _training(
    devices: int | None, precision: str | None, corpus_in: str | None, tensorboard: Path | None
) -> dict[str, Any]:
    """How to train, as the context of a step has it."""
    from benchmark.errors import UserError

    for option, value, known in (
        ("--precision", precision, ("32-true", "bf16-mixed")),
        ("--corpus-in", corpus_in, ("device", "stream")),
    ):
        if value is not None and value not in known:
            raise UserError(f"{option} {value}: must be {' or '.join(known)}")
    folder = None if tensorboard is None else tensorboard.absolute()
    given = {"devices": devices, "precision": precision, "residence": corpus_in, "tensorboard": folder}
    return {name: value for name, value in given.items() if value is not None}


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
