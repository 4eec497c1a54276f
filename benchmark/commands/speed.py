"""`bench speed`: every claim on speed, measured beside a reference in one run."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmark.commands.common import JsonOption, print_document

app = typer.Typer(help="Measure speed beside a reference, in one run.", rich_markup_mode=None)


@app.command(name="analysis")
def speed_analysis(
    bootstrap: Annotated[int, typer.Option(help="Refits.", min=2)] = 1000,
    seed: Annotated[int, typer.Option(help="Of the simulated table.", min=0)] = 0,
    as_json: JsonOption = False,
) -> None:
    """Time a fit and a bootstrap of mixed models beside statsmodels, and lme4 where R has it.

    Example: bench speed analysis
    """
    from analysis.commands import speed_analysis as call
    from analysis.speed import table

    result = call(bootstrap=bootstrap, seed=seed)
    print_document(result if as_json else table(result))
