"""`bench list`: what is plugged in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict, cast

import typer

from benchmark.commands.common import JsonOption, RegistryOption, open_registry, print_document, say_broken

if TYPE_CHECKING:
    from benchmark.registry.entries import EncoderEntry
    from benchmark.registry.registry import Named

#: What can be listed, as one and as many.
KINDS = {
    "encoder": "encoders",
    "dataset": "datasets",
    "corpus": "corpora",
    "task": "tasks",
    "recipe": "recipes",
    "protocol": "protocols",
    "study": "studies",
}


def _kinds(incomplete: str) -> list[str]:
    return [kind for kind in KINDS.values() if kind.startswith(incomplete)]


class ListedEntry(TypedDict):
    """An entry of the registry, or a study that ships.

    Attributes
    ----------
    section, name, description
        Of the entry.
    file, line
        Where it is defined.
    lacks
        What an encoder needs that is not on this machine, with the commands that bring it; empty if it can be used.
    """

    section: str
    name: str
    description: str
    file: str
    line: int
    lacks: list[str]


def list_entries(
    kind: Annotated[
        str | None,
        typer.Argument(
            help=f"What to list: {', '.join(KINDS.values())}.",
            show_default="all but studies",
            metavar="[KIND]",
            autocompletion=_kinds,
        ),
    ] = None,
    registry_files: RegistryOption = None,
    as_json: JsonOption = False,
) -> None:
    """List encoders, tasks, corpora, recipes and protocols, and where each comes from; or the studies that ship.

    Example: bench list tasks
    """
    from benchmark.console import Reporter
    from benchmark.errors import unknown_name
    from benchmark.registry.published import lacking
    from benchmark.text import fitted, terminal_width

    wanted = kind if kind is None else KINDS.get(kind, kind)
    if wanted is not None and wanted not in KINDS.values():
        raise unknown_name("kind of things to list", wanted, KINDS.values(), "bench list --help")
    registered = open_registry(registry_files)
    if left_out := registered.said_of_left_out():
        Reporter().warn(left_out)
    rows: list[ListedEntry] = [
        {
            "section": section,
            "name": named.name,
            "description": getattr(named.entry, "description", ""),
            "file": str(named.file),
            "line": named.line,
            "lacks": lacking(cast("Named[EncoderEntry]", named)) if section == "encoders" else [],
        }
        for section, entries in registered.sections.items()
        if wanted in (None, section)
        for named in entries.values()
    ]
    if wanted == "studies":
        rows = _studies()
    if as_json:
        print_document(rows)
    for section in [] if as_json else dict.fromkeys(str(row["section"]) for row in rows):
        lines = [
            ["  " + str(row["name"]), f"{_short(Path(str(row['file'])))}:{row['line']}", _described(row)]
            for row in rows
            if row["section"] == section
        ]
        print_document(f"{section}\n{fitted(lines, terminal_width())}\n")
    if say_broken(registered):
        raise typer.Exit(1)


def _described(row: ListedEntry) -> str:
    """The description of an entry, and what it lacks to be used."""
    return f"{row['description']}; NOT YET USABLE: {'; '.join(row['lacks'])}" if row["lacks"] else row["description"]


def _studies() -> list[ListedEntry]:
    """The studies that ship, as rows."""
    from benchmark.plan.studies import SHIPPED, load_study

    studies = {file: load_study(str(file)) for file in sorted(SHIPPED.glob("*.yaml"))}
    return [
        {
            "section": "studies",
            "name": file.stem,
            "description": ": ".join(filter(None, [study.source, study.description])),
            "file": str(file),
            "line": 1,
            "lacks": [],
        }
        for file, study in studies.items()
    ]


def _short(path: Path) -> str:
    from benchmark.registry.registry import built_in_registry

    own = built_in_registry()
    return "bench" if path == own or path.is_relative_to(own.parent / "benchmark") else os.path.relpath(path)
