"""`bench doctor`, which looks whether everything is there that a run needs."""

from __future__ import annotations

import typer

from benchmark.commands.common import DataOption, JsonOption, StoreOption, print_document, store_folder


def doctor(store: StoreOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Look at Python, torch, GPU, memory, disk, decoders, data and store; exit code 1 if something is wrong.

    Example: bench doctor
    """
    from benchmark.doctor import examine
    from benchmark.tables import aligned

    findings = examine(store_folder(store), data)
    if as_json:
        print_document([vars(finding) for finding in findings])
    else:
        print_document(
            aligned(
                [
                    ["ok" if each.ok else "WRONG", each.what, each.found + ("" if each.ok else f" - {each.advice}")]
                    for each in findings
                ]
            )
        )
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
