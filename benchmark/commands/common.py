"""Options that several commands share, and how they print, end and find the store."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from benchmark.console import Reporter
    from benchmark.plan.runs import Plan
    from benchmark.registry.registry import Registry

RegistryOption = Annotated[
    list[Path] | None,
    typer.Option("--registry", help="Registry file or folder laid over the others; may be repeated.", metavar="FILE"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
ScoresOfStudyOption = Annotated[
    str | None,
    typer.Option(
        "--study",
        help="Keep to the scores of a study, with the columns that its table of runs carries.",
        metavar="STUDY",
    ),
]
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
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        envvar="BENCH_DATA",
        help="Folder with a subfolder for each dataset as published; without it, stand-ins are made.",
        metavar="DIR",
    ),
]


def open_registry(given: Sequence[Path] | None) -> Registry:
    """The registry with the files of ``--registry``.

    As the command ends at the latest, standard error says which entries cannot be used, but for those that the command
    asked for, which are its own to tell.
    """
    from benchmark.registry.registry import load_registry

    registry = load_registry(given or [])
    atexit.register(say_broken, registry)
    return registry


def say_broken(registry: Registry) -> bool:
    """Say, once, which entries that nobody has asked for cannot be used, and whether there are any."""
    from benchmark.console import Reporter

    lines = registry.untold()
    for line in lines:
        Reporter().warn(f"not used: {line}")
    return bool(lines)


def say_lost(plan: Plan) -> bool:
    """Say why parts of a plan cannot be had, each cause once, and whether anything that was asked for is left.

    Raises
    ------
    UserError
        If nothing is left, for a single cause.
    """
    from benchmark.console import Reporter
    from benchmark.errors import UserError

    left = bool(plan.without_twins().runs)
    if not left and len(plan.causes) == 1:
        raise UserError(plan.causes[0])
    for cause in plan.causes:
        Reporter().warn(f"failed: {cause}")
    return left


def store_folder(given: Path | None) -> Path:
    """The store that the user named, or the one in their home."""
    try:
        if given is not None:
            return given.expanduser()
        return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "bench"
    except RuntimeError:  # a user whom the system does not know, as in a container
        from benchmark.errors import UserError

        raise UserError("there is no home folder for results; name a folder with --store, or set HOME") from None


def print_document(document: Any) -> None:
    """A text as it is, anything else as JSON, on standard output."""
    from benchmark.console import show, show_json

    if isinstance(document, str):
        show(document)
    else:
        show_json(document)


def check_output(file: Path) -> None:
    """Raise `UserError` if a text cannot be written to `file`, which may be `-`; better known before the work."""
    from benchmark.errors import UserError

    if str(file) == "-":
        return
    if file.is_dir():
        raise UserError(f"{file}: is a folder; name the file to write")
    if not file.parent.is_dir():
        raise UserError(f"{file}: there is no folder {file.parent}; make it, or name another file")


def write_output(file: Path, text: str) -> None:
    """Write a text to `file` at once, or to standard output if that is `-`."""
    from benchmark.store.storage_errors import storage_errors
    from benchmark.store.store import write_atomically

    if str(file) == "-":
        print_document(text.rstrip("\n"))
        return
    with storage_errors(file.parent):
        write_atomically(file, text.encode())


def check_folder(folder: Path) -> None:
    """Raise `UserError` if `folder` neither is a folder nor can become one; better known before the work."""
    from benchmark.errors import UserError

    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; name a folder, which is made if need be")
    if not folder.exists() and not folder.parent.is_dir():
        raise UserError(f"{folder}: there is no folder {folder.parent}; make it, or name another folder")


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, each at once; those of the same names are replaced."""
    from benchmark.store.storage_errors import storage_errors
    from benchmark.store.store import write_atomically

    with storage_errors(folder):
        folder.mkdir(exist_ok=True)
        for name, content in files.items():
            write_atomically(folder / name, content)


@contextmanager
def interruptible(reporter: Reporter) -> Iterator[None]:
    """End long work on Ctrl-C with a word and exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        reporter.warn("bench: stopped; the same command goes on from here")
        raise typer.Exit(130) from None


def of_study(rows: list[dict[str, Any]], study: str | None) -> list[dict[str, Any]]:
    """Rows of a table of scores that are of a study, with what its table of runs carries; all of them without one.

    Raises
    ------
    UserError
        If there is no such study, or no row is of it.
    """
    if study is None:
        return rows
    from benchmark.plan.run_tables import carry
    from benchmark.plan.studies import load_study

    asked = load_study(study)
    return carry(rows, asked.tabled, asked.untrained, f"study {asked.name}")
