"""The `bench` command: words to calls. Heavy libraries are imported by the commands that need them, never here."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from benchmark.console import Reporter

app = typer.Typer(
    name="bench",
    help="Pretrain, freeze, probe and compare music representations.",
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

RegistryOption = Annotated[
    list[Path] | None,
    typer.Option("--registry", help="Registry file or folder laid over the others; may be repeated.", metavar="FILE"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store",
        envvar="BENCH_STORE",
        help="Where results are kept.",
        show_default="~/.local/share/bench",
        metavar="DIR",
    ),
]


@app.callback(invoke_without_command=True)
def _bench(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("bench-music"))
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
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
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="BENCH_DATA",
            help="Folder with a subfolder for each dataset as published; without it, stand-ins are made.",
            metavar="DIR",
        ),
    ] = None,
    store: StoreOption = None,
    registry: RegistryOption = None,
    epochs: Annotated[
        int | None, typer.Option(help="Override the recipe's length: visits to each clip.", min=1)
    ] = None,
    pairs: Annotated[int | None, typer.Option(help="Override the recipe's length: pairs of views.", min=1)] = None,
    batch: Annotated[int | None, typer.Option(help="Override the recipe's pairs per step.", min=2)] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Override the recipe's learning rate.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Override the recipe's temperature.")] = None,
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
    from benchmark.plan import Planner, Request
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
        allow_missing=allow_missing,
        overrides={key: value for key, value in overrides.items() if value is not None},
    )
    reporter = Reporter()
    entries = load_registry(registry or [])
    place = Store(_store_folder(store))
    with storage_errors(place.root):
        runs = Planner(entries, place, reporter, data).runs(request)
    engine = Engine(place, reporter)
    if dry_run:
        from benchmark.sizes import planned_steps
        from benchmark.tables import plan_table

        steps = planned_steps(runs, engine)
        _print([vars(step) for step in steps] if as_json else plan_table(steps))
        return
    if data is None:
        reporter.say(
            "No --data given: using the STAND-IN, synthetic music whose scores mean nothing outside this program"
        )
    elif "demo" in request.recipes:
        reporter.say("Recipe demo is a short demonstration; --recipe tune is the published pretraining")
    with _interruptible(reporter), storage_errors(place.root):
        artifacts = engine.scores(runs)
    from benchmark.records import read_record
    from benchmark.tables import score_tables

    records = [read_record(artifact.path) for artifact in artifacts]
    _print([record.model_dump(mode="json") for record in records] if as_json else score_tables(records))
    if not as_json:
        for artifact in artifacts:
            reporter.say(f"record: {artifact / 'record.json'}")


@app.command(name="list")
def list_entries(registry: RegistryOption = None, as_json: JsonOption = False) -> None:
    """List encoders, tasks, corpora, recipes and protocols, and where each comes from.

    Example: bench list
    """
    from benchmark.registry import load_registry
    from benchmark.tables import aligned

    rows = [
        {
            "section": section,
            "name": named.name,
            "description": getattr(named.entry, "description", ""),
            "file": str(named.file),
            "line": named.line,
        }
        for section, entries in load_registry(registry or []).sections.items()
        for named in entries.values()
    ]
    if as_json:
        _print(rows)
        return
    for section in dict.fromkeys(str(row["section"]) for row in rows):
        lines = [
            ["  " + str(row["name"]), f"{_short(Path(str(row['file'])))}:{row['line']}", str(row["description"])]
            for row in rows
            if row["section"] == section
        ]
        _print(f"{section}\n{aligned(lines)}\n")


@app.command()
def analyze(
    table: Annotated[
        Path | None, typer.Argument(help="Long table of scores as CSV; without it, the scores of the store.")
    ] = None,
    store: StoreOption = None,
    metric: Annotated[
        str | None, typer.Option(help="Metric taken from the store.", show_default="each task's leading one")
    ] = None,
    model: Annotated[str, typer.Option(help="factor or ordinal.")] = "factor",
    score: Annotated[str, typer.Option(help="Column of scores.")] = "score",
    group: Annotated[str, typer.Option(help="Column of tasks.")] = "task",
    factor: Annotated[
        str | None, typer.Option(help="Column whose levels are compared.", show_default="encoder, if there")
    ] = None,
    covariate: Annotated[str | None, typer.Option(help="Column of numbers with a slope per level.")] = None,
    size: Annotated[str | None, typer.Option(help="Column of numbers that orders the levels, for ordinal.")] = None,
    derive: Annotated[
        list[str] | None, typer.Option(help="Add a column, e.g. 'n = log(runs)'; may be repeated.")
    ] = None,
    where: Annotated[str | None, typer.Option(help="Keep rows for which this holds, e.g. 'seed < 3'.")] = None,
    components: Annotated[str, typer.Option(help="Columns whose variance shares are wanted, e.g. a,b,c.")] = "",
    components_where: Annotated[str | None, typer.Option(help="Keep rows for --components only.")] = None,
    bootstrap: Annotated[int, typer.Option(help="Refits behind the intervals; 0 for none.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of everything drawn at random.", min=0)] = 0,
    natural: Annotated[bool, typer.Option("--natural", help="Do not standardise scores.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for JSON, CSV and figures.", metavar="DIR")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say which differences between scores are real.

    Example: bench analyze scores.csv --factor encoder -o analysis
    """
    from analysis.commands import analyze as call

    result = call(
        _scores(store, metric) if table is None else table,
        output=output,
        model=model,
        score=score,
        group=group,
        factor=factor,
        covariate=covariate,
        size=size,
        derive=derive or [],
        where=where,
        components=components,
        components_where=components_where,
        bootstrap=bootstrap,
        seed=seed,
        natural=natural,
    )
    _print(result if as_json else "\n".join(sentence["text"] for sentence in result["summary"]))


@app.command()
def design(
    factor: Annotated[
        list[str] | None, typer.Option(help="A factor and its levels, NAME=LEVEL,LEVEL,...; may be repeated.")
    ] = None,
    candidates: Annotated[Path | None, typer.Option(help="Candidate runs as CSV, instead of --factor.")] = None,
    derive: Annotated[list[str] | None, typer.Option(help="Add a factor made of the others; may be repeated.")] = None,
    where: Annotated[str | None, typer.Option(help="Keep candidates for which this holds.")] = None,
    keep_out: Annotated[str, typer.Option(help="Factors balanced but not kept apart from the others.")] = "",
    start: Annotated[Path | None, typer.Option(help="Runs already made, as CSV.")] = None,
    runs: Annotated[int, typer.Option(help="How many runs to propose.", min=0)] = 1,
    replay: Annotated[Path | None, typer.Option(help="A sequence of runs to judge choice by choice, as CSV.")] = None,
    analysis: Annotated[
        Path | None, typer.Option(help="An analysis.json; with --difference, says how large a study must be.")
    ] = None,
    difference: Annotated[float | None, typer.Option(help="Difference to detect [standard deviations].")] = None,
    levels: Annotated[str, typer.Option(help="Two levels to plan for, A,B.", show_default="every pair")] = "",
    power: Annotated[float, typer.Option(help="Wanted probability of detection.")] = 0.8,
    alpha: Annotated[float, typer.Option(help="Level of the test.")] = 0.05,
    tasks: Annotated[int | None, typer.Option(help="Hold the number of tasks at this.")] = None,
    repeats: Annotated[float | None, typer.Option(help="Hold the scores per cell at this.")] = None,
    seed: Annotated[int, typer.Option(help="Of the choice among equally good runs.", min=0)] = 0,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for the design.", metavar="DIR")] = None,
    as_json: JsonOption = False,
) -> None:
    """Propose the next runs of a study, or say how large it must be.

    Example: bench design --factor encoder=a,b,c --factor seed=0,1,2 --runs 6
    """
    from analysis.commands import design as call
    from analysis.planning import sentences

    result = call(
        factor or [],
        output=output,
        candidates=candidates,
        derive=derive or [],
        where=where,
        keep_out=keep_out,
        start=start,
        runs=runs,
        seed=seed,
        replay=replay,
        analysis=analysis,
        difference=difference,
        levels=levels,
        power=power,
        alpha=alpha,
        tasks=tasks,
        repeats=repeats,
    )
    _print(result if as_json else "\n".join(sentences(result)))


speed = typer.Typer(help="Measure speed beside a reference, in one run.", rich_markup_mode=None)
app.add_typer(speed, name="speed")


@speed.command(name="analysis")
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
    _print(result if as_json else table(result))


def _scores(store: Path | None, metric: str | None) -> Any:
    import pandas as pd

    from benchmark.long_table import long_table

    return pd.DataFrame(long_table(_store_folder(store), metric))


@contextmanager
def _interruptible(reporter: Reporter) -> Iterator[None]:
    """End long work on Ctrl-C with a word and exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        reporter.say("bench: stopped; the same command goes on from here")
        raise typer.Exit(130) from None


def _short(path: Path) -> str:
    from benchmark.registry import built_in_registry

    return "bench" if path == built_in_registry() else os.path.relpath(path)


def _store_folder(given: Path | None) -> Path:
    if given is not None:
        return given.expanduser()
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "bench"


def _print(document: Any) -> None:
    typer.echo(document if isinstance(document, str) else json.dumps(document, indent=1, ensure_ascii=False))


def main() -> NoReturn:
    """Run the command line; exit 2 with one line for what the user can put right."""
    from benchmark.errors import USER_ERRORS

    # Threads that spin while they wait slow a shared machine, and themselves, down many times over.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        app()
    except USER_ERRORS as error:
        print(f"bench: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    sys.exit(0)
