"""`bench report`: one page with everything that scores say, and tables for papers."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from benchmark.commands.common import (
    DataOption,
    RegistryOption,
    StoreOption,
    check_folder,
    check_output,
    open_registry,
    print_document,
    say_lost,
    store_folder,
    write_files,
    write_output,
)


class Form(StrEnum):
    """What a report may be written as."""

    HTML = "html"
    MARKDOWN = "md"
    CSV = "csv"
    LATEX = "latex"
    JSON = "json"


def report(
    store_path: StoreOption = None,
    study: Annotated[
        str | None, typer.Option(help="Keep to the runs of a study, and say what is missing of it.", metavar="STUDY")
    ] = None,
    data: DataOption = None,
    registry_files: RegistryOption = None,
    form: Annotated[
        Form, typer.Option("--format", help="html is one page that needs nothing else; the others are tables.")
    ] = Form.HTML,
    look: Annotated[
        bool, typer.Option("--look", help="Add maps of test clips (t-SNE), which take a second or two each.")
    ] = False,
    limited: Annotated[bool, typer.Option("--limited", help="Show runs with --limit, which say nothing, too.")] = False,
    figures: Annotated[
        Path | None,
        typer.Option(help="Folder for every figure as SVG and PDF, as wide as a paper's columns.", metavar="DIR"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write; `-` for standard output.", show_default="report.FORMAT"),
    ] = None,
) -> None:
    """Write what all scores of a store say as one self-contained page; exit code 1 if a study cannot be had whole.

    Example: bench report -o report.html
    """
    from analysis.report import render
    from benchmark.console import Reporter
    from benchmark.errors import UserError
    from benchmark.plan.origins import announce, announce_unimported, in_use
    from benchmark.report.contents import collect
    from benchmark.store.storage_errors import storage_errors

    reporter = Reporter()
    folder = store_folder(store_path)
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such store; `bench run` makes one, --store names another")
    target = output or Path(f"report.{'tex' if form is Form.LATEX else form.value}")
    check_output(target)
    if figures is not None:
        check_folder(figures)
    registry = open_registry(registry_files)
    asked = plan = None
    if study is None:
        announce_unimported(registry, [], reporter)
    else:
        from benchmark.plan.planner import Planner
        from benchmark.plan.studies import load_study
        from benchmark.store.store import Store

        asked = load_study(study)
        announce(registry, in_use(registry, asked.requests(False)), reporter)
        with storage_errors(folder):
            store = Store(folder)
            plan = asked.scored(Planner(registry, store, reporter, data), store)
        if not say_lost(plan):
            raise typer.Exit(2)
    document = collect(folder, registry, asked, plan, study or "", look, reporter, limited)
    text = render(document, form.value)
    if str(target) == "-" and form is Form.JSON:
        print_document(json.loads(text))
    else:
        write_output(target, text)
    if str(target) != "-":
        reporter.say(f"{target}: {len(text.encode()) / 1e6:.1f} MB")
    if figures is not None:
        from analysis.report.page import paper_figures

        files = paper_figures(document)
        write_files(figures, files)
        reporter.say(f"{figures}: {len(files) // 2} figures, each as SVG and PDF")
    if plan is not None and plan.lost:
        raise typer.Exit(1)
