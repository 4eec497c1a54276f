"""`bench list`: what is plugged in."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from benchmark.commands.common import JsonOption, RegistryOption, open_registry, print_document, say_broken


def list_entries(registry: RegistryOption = None, as_json: JsonOption = False) -> None:
    """List encoders, tasks, corpora, recipes and protocols, and where each comes from; exit code 1 if one is broken.

    Example: bench list
    """
    from benchmark.tables import aligned

    registered = open_registry(registry)
    rows = [
        {
            "section": section,
            "name": named.name,
            "description": getattr(named.entry, "description", ""),
            "file": str(named.file),
            "line": named.line,
        }
        for section, entries in registered.sections.items()
        for named in entries.values()
    ]
    if as_json:
        print_document(rows)
    for section in [] if as_json else dict.fromkeys(str(row["section"]) for row in rows):
        lines = [
            ["  " + str(row["name"]), f"{_short(Path(str(row['file'])))}:{row['line']}", str(row["description"])]
            for row in rows
            if row["section"] == section
        ]
        print_document(f"{section}\n{aligned(lines)}\n")
    if say_broken(registered):
        raise typer.Exit(1)


def _short(path: Path) -> str:
    from benchmark.registry import built_in_registry

    return "bench" if path == built_in_registry() else os.path.relpath(path)
