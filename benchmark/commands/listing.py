"""`bench list`: what is plugged in."""

from __future__ import annotations

import os
from pathlib import Path

from benchmark.commands.common import JsonOption, RegistryOption, print_document


def list_entries(registry: RegistryOption = None, as_json: JsonOption = False) -> None:
    """List encoders, tasks, corpora, recipes and protocols, and where each comes from.

    Example: bench list
    """
    from benchmark.console import Reporter
    from benchmark.registry import load_registry
    from benchmark.tables import aligned

    registered = load_registry(registry or [])
    if left_out := registered.said_of_left_out():
        Reporter().say(left_out)
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
        return
    for section in dict.fromkeys(str(row["section"]) for row in rows):
        lines = [
            ["  " + str(row["name"]), f"{_short(Path(str(row['file'])))}:{row['line']}", str(row["description"])]
            for row in rows
            if row["section"] == section
        ]
        print_document(f"{section}\n{aligned(lines)}\n")


def _short(path: Path) -> str:
    from benchmark.registry import built_in_registry

    return "bench" if path == built_in_registry() else os.path.relpath(path)
