"""`bench data`: what of the datasets is there, and how to get, check and prepare the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypedDict

import typer

from benchmark.commands import label_sources
from benchmark.commands.app import App, need_command
from benchmark.commands.common import (
    DataOption,
    JsonOption,
    RegistryOption,
    StoreOption,
    interruptible,
    open_registry,
    print_document,
    store_folder,
)

app = App(help="See, fetch, check and prepare datasets.")

NameArgument = Annotated[str, typer.Argument(help="Dataset of the registry.", metavar="NAME")]


class PreparedRow(TypedDict):
    """A dataset decoded at one sample rate.

    Attributes
    ----------
    dataset, sample_rate
        Its name, and the rate [Hz].
    key, path, bytes
        The artifact.
    clips, seconds
        Decodable clips, and their duration in all [s].
    unusable, odd
        Files that could not be used, and those that could though they are odd.
    reasons
        Files by the kind of their problem.
    problems
        File that lists them.
    """

    dataset: str
    sample_rate: int
    key: str
    path: str
    bytes: int
    clips: int
    seconds: float
    unusable: int
    odd: int
    reasons: dict[str, int]
    problems: str


@app.callback(invoke_without_command=True)
def _data(context: typer.Context) -> None:
    need_command(context)


@app.command()
def status(
    name: Annotated[
        list[str] | None, typer.Argument(help="Datasets to look at.", show_default="all", metavar="[NAME]...")
    ] = None,
    data: DataOption = None,
    store_path: StoreOption = None,
    registry_files: RegistryOption = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Folder for charts of how many clips have each label, and their numbers.", metavar="DIR"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what of each dataset is there, missing, broken or leaking, and what to do next.

    Example: bench data status --data DIR
    """
    from benchmark.console import Reporter
    from benchmark.data.status import as_document, not_looked_at, statuses
    from benchmark.data.status_text import as_text
    from benchmark.plan.origins import announce

    registry = open_registry(registry_files)
    reporter = Reporter()
    asked = registry if name else registry.asked()
    names = name or list(asked.sections["datasets"])
    announce(registry, [asked.dataset(each) for each in names], reporter)
    with interruptible(reporter):
        found, overlaps = statuses(asked, names, data, store_folder(store_path), reporter)
    if not name:
        found += [not_looked_at(registry.dataset(each)) for each in registry.not_asked("datasets")]
    print_document(as_document(found, overlaps, data) if as_json else as_text(found, overlaps, data))
    if plot is not None:
        from benchmark.data.label_charts import write_label_charts

        for chart in write_label_charts(plot, [counted for status in found for counted in status.labels]):
            reporter.say(f"{chart}: written")


@app.command()
def prepare(
    name: NameArgument,
    sample_rate: Annotated[
        list[int] | None,
        typer.Option(help="Rate to decode to [Hz]; may be repeated.", show_default="22050", min=1000, metavar="HZ"),
    ] = None,
    data: DataOption = None,
    store_path: StoreOption = None,
    registry_files: RegistryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decode a dataset into the store, as `bench run` would; exit code 1 if a file cannot be read.

    Interrupted, it goes on.

    Example: bench data prepare magnatagatune --data DIR
    """
    from benchmark.audio.unused_files import by_kind, summary
    from benchmark.console import Reporter
    from benchmark.engine.engine import Engine
    from benchmark.plan.origins import announce
    from benchmark.plan.planner import Planner
    from benchmark.steps.prepare import UNREADABLE
    from benchmark.store.pcm import PROBLEMS, read_lines
    from benchmark.store.storage_errors import storage_errors
    from benchmark.store.store import Store

    reporter = Reporter()
    store = Store(store_folder(store_path))
    rows: list[PreparedRow] = []
    lines: list[str] = []
    with interruptible(reporter), storage_errors(store.root):
        registry = open_registry(registry_files)
        announce(registry, [registry.dataset(name)], reporter)
        planner = Planner(registry, store, reporter, data)
        for rate in sample_rate or [22_050]:
            step = planner.prepare_step(name, rate)
            if "standin" in step.needs and not rows:
                reporter.warn("No --data given: using the STAND-IN, synthetic music")
            artifact = Engine(store, reporter).ensure(step)
            problems = {problem["path"]: problem["reason"] for problem in read_lines(artifact.path / PROBLEMS)}
            facts = artifact.manifest["facts"]
            row: PreparedRow = {
                "dataset": name,
                "sample_rate": rate,
                "key": artifact.manifest["key"],
                "path": str(artifact.path),
                "bytes": artifact.bytes,
                "clips": facts["clips"],
                "seconds": facts["seconds"],
                "unusable": facts["unusable"],
                "odd": facts["odd"],
                "reasons": {kind: len(files) for kind, files in by_kind(problems).items()},
                "problems": str(artifact.path / PROBLEMS),
            }
            rows.append(row)
            lines.append(
                f"{row['path']}: {row['clips']:,} clips, {row['seconds'] / 3600:,.1f} h at {rate:,} Hz, "
                f"{row['bytes'] / 1e9:,.2f} GB, {row['unusable']} unusable, {row['odd']} odd"
            )
            lines += [f"  {line}" for line in summary(problems)]
            if problems:
                lines.append(f"  all are listed in {row['problems']}")
    print_document(rows if as_json else "\n".join(lines))
    if any(kind == UNREADABLE for row in rows for kind in row["reasons"]):
        raise typer.Exit(1)


app.command()(label_sources.sources)


@app.command()
def verify(
    name: NameArgument,
    data: DataOption = None,
    registry_files: RegistryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare files with the checksums that are published of them; exit 1 if something differs or is missing.

    Example: bench data verify giantsteps --data DIR
    """
    from dataclasses import asdict

    from benchmark.console import Reporter, printable
    from benchmark.data.verify import verify as call
    from benchmark.errors import UserError
    from benchmark.plan.origins import announce
    from benchmark.registry.datasets import dataset_in

    registry = open_registry(registry_files)
    reporter = Reporter()
    announce(registry, [registry.dataset(name)], reporter)
    dataset = dataset_in(registry.dataset(name), data)
    if dataset is None:
        raise UserError("there is nothing to verify without --data DIR or BENCH_DATA")
    with interruptible(reporter):
        verdict = call(dataset, reporter)
    lines = [printable(f"{path}: {what}") for path, what in verdict.differing.items()]
    lines += [printable(f"{path}: missing") for path in verdict.missing]
    lines.append(
        f"{name}: {verdict.matching:,} files are as published, {len(verdict.differing):,} differ, "
        f"{len(verdict.missing):,} are missing; of {verdict.unpublished:,} no checksum is published"
    )
    print_document({**asdict(verdict), "sound": verdict.sound} if as_json else "\n".join(lines))
    if not verdict.sound:
        raise typer.Exit(1)


@app.command()
def download(
    name: Annotated[list[str], typer.Argument(help="Datasets to fetch.", metavar="NAME...")],
    data: DataOption = None,
    registry_files: RegistryOption = None,
) -> None:
    """Fetch what a dataset's distributor offers; interrupted, it goes on.

    Example: bench data download magnatagatune --data DIR
    """
    from benchmark.console import Reporter
    from benchmark.data.download import download as call
    from benchmark.errors import UserError
    from benchmark.plan.origins import announce
    from benchmark.registry.datasets import dataset_in

    registry = open_registry(registry_files)
    reporter = Reporter()
    announce(registry, [registry.dataset(one) for one in name], reporter)
    datasets = [dataset_in(registry.dataset(one), data) for one in name]
    with interruptible(reporter):
        for dataset in datasets:
            if dataset is None:
                raise UserError("name the folder to download into: --data DIR or BENCH_DATA")
            call(dataset, reporter)


@app.command()
def standin(
    name: NameArgument,
    folder: Annotated[Path, typer.Argument(help="New or empty folder.", metavar="DIR")],
    seed: Annotated[int, typer.Option(help="Of the music.", min=0)] = 0,
    registry_files: RegistryOption = None,
) -> None:
    """Write the stand-in of a dataset, to look at and listen to.

    Example: bench data standin magnatagatune /tmp/standin
    """
    from benchmark.console import Reporter
    from benchmark.data.standin import write_standin
    from benchmark.plan.origins import announce

    reporter = Reporter()
    registry = open_registry(registry_files)
    announce(registry, [registry.dataset(name)], reporter)
    with interruptible(reporter):
        write_standin(registry.dataset(name), folder, seed, reporter)
