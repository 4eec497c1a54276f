"""`bench store`: what a store holds, and keeping it in order."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from benchmark.commands.app import App, need_command
from benchmark.commands.common import (
    DataOption,
    JsonOption,
    RegistryOption,
    ScoresOfStudyOption,
    StoreOption,
    check_output,
    interruptible,
    of_study,
    open_registry,
    print_document,
    store_folder,
    write_output,
)

if TYPE_CHECKING:
    from benchmark.plan.runs import Run

app = App(help="Look into the store, check it, tidy it, copy it.")

OtherStore = Annotated[Path, typer.Argument(help="The other store's folder.", metavar="DIR")]


class VerifiedStore(TypedDict):
    """What reading every byte of a store brought.

    Attributes
    ----------
    artifacts
        How many there are.
    problems
        By folder of an artifact, what is wrong with it.
    unreadable
        By folder of an artifact, why this user cannot tell whether anything is.
    """

    artifacts: int
    problems: dict[str, list[str]]
    unreadable: dict[str, str]


@app.callback(invoke_without_command=True)
def _store(context: typer.Context) -> None:
    need_command(context)


@app.command()
def ls(
    kind: Annotated[str | None, typer.Option(help="Only artifacts of this kind, e.g. probe.")] = None,
    store_path: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List artifacts with their size, cost and age.

    Example: bench store ls --kind pretrain
    """
    from benchmark.engine.housekeeping import holdings
    from benchmark.errors import unknown_name
    from benchmark.steps import KINDS
    from benchmark.store.store import Store
    from benchmark.text import readable_bytes, table

    if kind is not None and kind not in KINDS:
        raise unknown_name("kind of artifact", kind, KINDS, "bench store ls")
    found = [each for each in holdings(Store(store_folder(store_path))) if kind in (None, each.kind)]
    if as_json:
        print_document([vars(each) for each in found])
        return
    rows = [["kind", "key", "size", "seconds", "finished", "step"]]
    rows += [
        [each.kind, each.key[:12], readable_bytes(each.bytes), f"{each.seconds:.1f}", each.finished, each.title]
        for each in found
    ]
    total = readable_bytes(sum(each.bytes for each in found))
    print_document(f"{table(rows)}\n\n{len(found):,} artifacts, {total}")


@app.command()
def show(
    key: Annotated[str, typer.Argument(help="Key of an artifact, or its beginning.", metavar="KEY")],
    store_path: StoreOption = None,
) -> None:
    """Print an artifact's manifest as JSON: spec, inputs, files, costs, versions.

    Example: bench store show 0c7e5b42a1
    """
    from benchmark.engine.housekeeping import show as call
    from benchmark.store.store import Store

    print_document(call(Store(store_folder(store_path)), key))


@app.command()
def verify(store_path: StoreOption = None, as_json: JsonOption = False) -> None:
    """Read every byte and compare it with what was written; exit code 1 if something is wrong.

    Example: bench store verify
    """
    from benchmark.console import Reporter, printable
    from benchmark.engine.housekeeping import UnreadableError, folders, problems
    from benchmark.store.store import Store

    reporter = Reporter()
    every = list(folders(Store(store_folder(store_path))))
    wrong: dict[str, list[str]] = {}
    unreadable: dict[str, str] = {}
    with interruptible(reporter), reporter.progress("verify", len(every), "artifacts") as advance:
        for folder in every:
            try:
                if found := problems(folder):
                    wrong[str(folder)] = found
            except UnreadableError as error:
                unreadable[str(folder)] = str(error)
            advance(1)
    if as_json:
        document: VerifiedStore = {"artifacts": len(every), "problems": wrong, "unreadable": unreadable}
        print_document(document)
    else:
        for damaged, complaints in wrong.items():
            print_document(printable(f"{damaged}: {'; '.join(complaints)}"))
        for why in unreadable.values():
            print_document(printable(f"{why}; whether it is whole cannot be told, ask whom it belongs to"))
        advice = "; delete these folders, and what is needed of them is computed again" if wrong else ""
        advice = advice.replace("these folders", "the damaged ones") if unreadable else advice
        whole = len(every) - len(wrong) - len(unreadable)
        unknown = f", {len(unreadable):,} cannot be read" if unreadable else ""
        print_document(f"{whole:,} of {len(every):,} artifacts are whole{unknown}{advice}")
    if wrong or unreadable:
        raise typer.Exit(1)


@app.command()
def gc(
    keep: Annotated[list[str], typer.Option(help="Study whose artifacts stay; may be repeated.", metavar="STUDY")],
    data: DataOption = None,
    store_path: StoreOption = None,
    registry_files: RegistryOption = None,
    recent: Annotated[
        float, typer.Option(help="Artifacts stay that were made in the last so many hours.", min=0.0)
    ] = 1.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and delete nothing.")] = False,
) -> None:
    """Delete what no study named rests on, no command under way needs, and interrupted steps have left.

    Example: bench store gc --keep study.yaml --dry-run
    """
    from benchmark.console import Reporter
    from benchmark.engine.housekeeping import abandoned, remove, size_of, stood_in_for, unwanted
    from benchmark.errors import UserError
    from benchmark.plan.origins import announce, in_use
    from benchmark.plan.planner import Planner
    from benchmark.plan.studies import load_study
    from benchmark.store.storage_errors import storage_errors
    from benchmark.store.store import Store
    from benchmark.text import readable_bytes

    store = Store(store_folder(store_path))
    registry = open_registry(registry_files)
    studies = [load_study(name) for name in keep]
    requests = [request for study in studies for request in study.requests(False)]
    announce(registry, in_use(registry, requests), Reporter())
    planner = Planner(registry, store, Reporter(), data)
    runs: list[Run] = []
    for study in studies:
        # Scores of some and of all test clips are both the study's.
        for planned in (study.planned(planner, False), study.planned(planner, True)):
            for cause in planned.causes:
                raise UserError(f"{cause}; what rests on it cannot be told from what may go")
            runs += planned.runs
    with storage_errors(store.root):
        paths = [*unwanted(store, runs, 3600 * recent), *abandoned(store)]
        if lost := stood_in_for(unwanted(store, runs), runs):
            raise UserError(
                f"{store.root}: holds results of the genuine {', '.join(lost)}, and without --data a study rests on "
                "stand-ins; name the folder of the data with --data or BENCH_DATA, or these results would be deleted"
            )
        sizes = {path: size_of(path) for path in paths}
        gone = paths if dry_run else remove(store, paths)
    freed = readable_bytes(sum(sizes[path] for path in gone))
    print_document(f"{'would delete' if dry_run else 'deleted'} {len(gone):,} folders, {freed}")


@app.command()
def export(
    output: Annotated[Path, typer.Argument(help="File to write; `-` for standard output.", metavar="OUT.csv")],
    metric: Annotated[str | None, typer.Option(help="Which metric.", show_default="each task's leading one")] = None,
    study: ScoresOfStudyOption = None,
    store_path: StoreOption = None,
) -> None:
    """Write all scores as one long table, ready for `bench analyze` or any other program.

    Example: bench store export scores.csv
    """
    from benchmark.console import Reporter
    from benchmark.scores.long_table import as_csv, long_rows

    check_output(output)
    rows = long_rows(store_folder(store_path), metric, Reporter())
    write_output(output, as_csv(rows if study is None else of_study(list(rows), study)))


@app.command()
def push(other: OtherStore, store_path: StoreOption = None) -> None:
    """Copy into another store what it lacks.

    Example: bench store push /mnt/shared/bench
    """
    _copy(store_folder(store_path), other)


@app.command()
def pull(other: OtherStore, store_path: StoreOption = None) -> None:
    """Copy from another store what this one lacks; nothing of what it holds is run.

    Example: bench store pull /mnt/shared/bench
    """
    if not other.is_dir():
        from benchmark.errors import UserError

        raise UserError(f"{other}: there is no such store; name the folder that another `bench --store` had")
    _copy(other, store_folder(store_path))


@app.command()
def migrate(store: StoreOption = None) -> None:
    """Bring the scores of a store of the last release along; what else it holds stays, and no step uses it.

    Example: bench store migrate --store bench-store
    """
    from benchmark.console import Reporter
    from benchmark.engine.migration import migrate as bring_along
    from benchmark.engine.migration import old_records
    from benchmark.store.storage_errors import storage_errors

    folder = store_folder(store)
    reporter = Reporter()
    with interruptible(reporter), storage_errors(folder):
        count = len(old_records(folder))
        with reporter.progress(f"migrate {folder}", count, "records") as advance:
            migrated, refused = bring_along(folder, advance)
    for line in refused:
        reporter.warn(f"not migrated, {line}")
    lines = [f"{migrated:,} score records migrated; other artifacts stay, and no step uses them"]
    trained = sorted(folder.glob("artifacts/pretrain/*/encoder.safetensors"))
    if trained:
        lines += [
            f"{len(trained):,} pretrained weights are among them; to go on with one, as an encoder of your own:",
            f"bench import {shlex.quote(str(trained[0]))} --encoder ENCODER --as NAME",
        ]
    print_document("\n".join(lines))
    if refused:
        raise typer.Exit(1)


def _copy(source: Path, target: Path) -> None:
    from benchmark.console import Reporter
    from benchmark.engine.housekeeping import copy_missing, folders
    from benchmark.store.storage_errors import storage_errors
    from benchmark.store.store import Store

    reporter = Reporter()
    origin, goal = Store(source), Store(target)
    count = sum(1 for _ in folders(origin))
    with (
        interruptible(reporter),
        storage_errors(goal.root),
        reporter.progress(f"copy to {target}", count, "artifacts") as advance,
    ):
        copied, refused = copy_missing(origin, goal, advance)
    for line in refused:
        reporter.warn(f"not copied, {line}")
    print_document(f"{copied:,} artifacts copied, {count - copied - len(refused):,} were there already")
    if refused:
        raise typer.Exit(1)
