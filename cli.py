"""The `bench` command: its words, each a function of `benchmark.commands`."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from typer.main import get_command

from benchmark.commands import (
    data,
    doctor,
    encoders,
    export,
    listing,
    look,
    plug_in,
    probing,
    published,
    report,
    run,
    speed,
    statistics,
    status,
    store,
)
from benchmark.commands.app import App, UsageError, in_one_line
from benchmark.commands.common import print_document
from benchmark.console import Level, choose_level, chosen_level, complain, something_lost, writing_to
from benchmark.registry import modules_beside as beside

# Processes that `bench` starts import this file first, and may be sent objects of what it has imported.
beside.inherit()

app = App(name="bench", help="Pretrain, freeze, probe and compare music representations.", add_completion=True)

FIRST_WORDS = """\
bench compares music representations. To begin with:
  bench doctor                               is everything there that a run needs?
  bench run --encoder tune_plus --task mtt   the whole pipeline in minutes, on synthetic stand-ins
  bench report -o report.html                what the scores say, on one page
  bench list                                 encoders, tasks, corpora, recipes, protocols
  bench data status                          real datasets: what is missing, and the next command
  bench new encoder NAME                     an encoder of your own
bench --help lists all commands, bench COMMAND --help explains one."""


@app.callback(invoke_without_command=True)
def _bench(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        print_document(installed("bench-music"))
    elif context.invoked_subcommand is None:
        print_document(FIRST_WORDS)


app.command()(run.run)
app.command()(encoders.check)
app.command()(encoders.resources)
app.command()(encoders.encode)
app.command(name="export-encoder")(export.export_encoder)
app.command()(status.status)
app.command()(doctor.doctor)
app.command(name="list")(listing.list_entries)
app.command(name="import")(plug_in.import_weights)
app.command(name="fetch-weights")(published.fetch_weights)
app.command()(published.tag)
app.add_typer(plug_in.new, name="new")
app.command()(probing.compare)
app.command()(statistics.analyze)
app.command()(statistics.design)
app.command()(report.report)
app.command()(look.look)
app.add_typer(data.app, name="data")
app.add_typer(store.app, name="store")
app.add_typer(speed.app, name="speed")


def main() -> NoReturn:
    """Run the command line; exit 2 with one line for what the user can put right."""
    from benchmark.folder_settings import ignore_folder_settings

    # Threads that spin for long while they wait slow a shared machine, and themselves, down many times over; those that
    # sleep at once are woken too late for the small steps of a probe. A short spin serves both.
    ignore_folder_settings()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    # Where the shell has closed one of them, Python has none, and nothing is to be read there.
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    try:
        Path.cwd()
    except OSError:  # which libraries of numbers take for a reason to end the process
        sys.exit(_complain("the working directory is not there any more; change to one that is"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if "_BENCH_COMPLETE" in os.environ:  # a shell asks what could come next
        app(prog_name="bench")
    sys.exit(_exit_code(sys.argv[1:]))


def _exit_code(words: list[str]) -> int:
    from benchmark.errors import USER_ERRORS
    from benchmark.libraries import library_errors

    choose_level(Level.NORMAL)
    something_lost(forget=True)
    try:
        with library_errors(), get_command(app).make_context("bench", words) as context:
            context.command.invoke(context)
        with writing_to(sys.stdout, "standard output"):
            sys.stdout.flush()
    except typer.Exit as end:
        return end.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _complain("stopped", 130)
    except USER_ERRORS as error:
        return _complain(str(error))
    except UsageError as error:
        return _complain(in_one_line(error))
    except Exception:
        # A traceback quotes whatever a module from elsewhere raised.
        complain(traceback.format_exc().rstrip("\n"))
        return 1
    return int(something_lost())


def _complain(what: str, code: int = 2) -> int:
    """Say in one line what is wrong, and return the exit code."""
    with suppress(OSError):
        if chosen_level() == Level.VERBOSE:
            complain(traceback.format_exc().rstrip("\n"))
        complain(f"bench: {' '.join(what.split())}")
    return code


if __name__ == "__main__":
    main()
