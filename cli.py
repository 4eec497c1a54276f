"""The `bench` command: its words, each a function of `benchmark.commands`."""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
from typing import Annotated, NoReturn

import typer

from benchmark import beside
from benchmark.commands import (
    data,
    doctor,
    encoders,
    listing,
    look,
    plug_in,
    probing,
    report,
    run,
    speed,
    statistics,
    status,
    store,
)
from benchmark.commands.common import print_document

# Processes that `bench` starts import this file first, and may be sent objects of what it has imported.
beside.inherit()

app = typer.Typer(
    name="bench",
    help="Pretrain, freeze, probe and compare music representations.",
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

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
app.command()(status.status)
app.command()(doctor.doctor)
app.command(name="list")(listing.list_entries)
app.command(name="import")(plug_in.import_weights)
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
    from benchmark.console import complain
    from benchmark.errors import USER_ERRORS
    from benchmark.folder_settings import ignore_folder_settings

    # Threads that spin for long while they wait slow a shared machine, and themselves, down many times over; those that
    # sleep at once are woken too late for the small steps of a probe. A short spin serves both.
    ignore_folder_settings()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except USER_ERRORS as error:
        complain(f"bench: {' '.join(str(error).split())}")
        sys.exit(2)
    except Exception as error:
        # Typer's own errors quote the command line, and a traceback whatever a module from elsewhere raised.
        told = io.StringIO()
        if hasattr(error, "show"):
            error.show(file=told)
        else:
            told.write("Aborted!" if isinstance(error, typer.Abort) else traceback.format_exc())
        complain(told.getvalue().rstrip("\n"))
        sys.exit(getattr(error, "exit_code", 1))


if __name__ == "__main__":
    main()
