"""The `bench` command: words to calls. Heavy libraries are imported by the commands that need them, never here."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

app = typer.Typer(
    name="bench",
    help="Pretrain, freeze, probe and compare music representations.",
    no_args_is_help=True,
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


@app.callback()
def _bench(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("bench-music"))
        raise typer.Exit


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
    from benchmark.store import Store

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
    """Run the command line; exit 2 with one line for what the user can put right, 130 after Ctrl-C."""
    from benchmark.errors import USER_ERRORS

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        app()
    except USER_ERRORS as error:
        print(f"bench: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    except KeyboardInterrupt:
        print("bench: stopped; the same command goes on from here", file=sys.stderr)  # noqa: T201
        sys.exit(130)
    sys.exit(0)
