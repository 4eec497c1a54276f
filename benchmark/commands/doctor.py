"""`bench doctor`, which looks whether everything is there that a run needs."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmark.commands.common import DataOption, JsonOption, StoreOption, print_document, store_folder


def doctor(
    store_path: StoreOption = None,
    data: DataOption = None,
    full: Annotated[
        bool, typer.Option("--full", help="Train one step, multiply on the GPU, and compare mel filters, too.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Load all libraries, decode, look at GPU, memory, disk, data and store; exit code 1 if a run would fail.

    Example: bench doctor
    """
    from benchmark.examination.installation import examine_installation
    from benchmark.text import fitted, terminal_width

    findings = examine_installation(store_folder(store_path), data, full)
    if as_json:
        print_document([vars(finding) for finding in findings])
    else:
        print_document(
            fitted(
                [
                    [
                        each.verdict.ljust(len("WRONG")),
                        each.what,
                        each.found + (f" - {each.advice}" if each.advice and each.verdict != "ok" else ""),
                    ]
                    for each in findings
                ],
                terminal_width(),
            )
        )
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
