"""`bench analyze` and `bench design`: what scores say, and which scores to get next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark.commands.common import (
    JsonOption,
    ScoresOfStudyOption,
    StoreOption,
    of_study,
    print_document,
    store_folder,
)


@dataclass(frozen=True)
class TableOptions:
    """Where the scores come from."""

    table: Annotated[
        Path | None, typer.Argument(help="Long table of scores as CSV; without it, the scores of the store.")
    ] = None
    store_path: StoreOption = None
    metric: Annotated[
        str | None, typer.Option(help="Metric taken from the store.", show_default="each task's leading one")
    ] = None
    study: ScoresOfStudyOption = None


@dataclass(frozen=True)
class ModelOptions:
    """Options of `analysis.options.AnalysisOptions` that `bench analyze` has; ``None`` for what that class says."""

    model: Annotated[str, typer.Option(help="factor or ordinal.")] = "factor"
    score: Annotated[str, typer.Option(help="Column of scores.")] = "score"
    group: Annotated[str, typer.Option(help="Column of tasks.")] = "task"
    factor: Annotated[
        str | None,
        typer.Option(help="Column whose levels are compared.", show_default="representation or encoder, if there"),
    ] = None
    covariate: Annotated[str | None, typer.Option(help="Column of numbers with a slope per level.")] = None
    size: Annotated[str | None, typer.Option(help="Column of numbers that orders the levels, for ordinal.")] = None
    at: Annotated[
        float | None,
        typer.Option(
            help="Value of the covariate at which levels are compared; some score must have it.",
            show_default="0, or the value nearest to the mean",
        ),
    ] = None
    lower_is_better: Annotated[
        str, typer.Option(help="Metrics of which less is better, a,b, where their names do not say it.")
    ] = ""
    derive: Annotated[list[str] | None, typer.Option(help="Add a column, e.g. 'n = log(runs)'; may be repeated.")] = (
        None
    )
    where: Annotated[str | None, typer.Option(help="Keep rows for which this holds, e.g. 'seed < 3'.")] = None
    components: Annotated[str, typer.Option(help="Columns whose variance shares are wanted, e.g. a,b,c.")] = ""
    components_where: Annotated[str | None, typer.Option(help="Keep rows for --components only.")] = None
    bootstrap: Annotated[int, typer.Option(help="Refits behind the intervals; 0 for none.")] = 1000
    seed: Annotated[int, typer.Option(help="Of everything drawn at random.", min=0)] = 0
    natural: Annotated[bool, typer.Option("--natural", help="Do not standardise scores.")] = False
    run: Annotated[
        str,
        typer.Option(
            help="Column of the trained networks behind scores; none: training played no part.",
            show_default="run, else seed, if there",
        ),
    ] = "auto"
    margin: Annotated[
        float | None,
        typer.Option(help="Difference too small to matter, in the scores' unit.", show_default="0.2 SD of a task"),
    ] = None
    bayes: Annotated[
        bool,
        typer.Option(
            "--bayes", help="Beside REML, sample the model with weak priors: P(better), P(within the margin)."
        ),
    ] = False
    tasks: Annotated[
        str, typer.Option(help="effects: tasks' effects are estimated; centred: the treatment of Kim et al. 2020.")
    ] = "effects"


def analyze(
    source: TableOptions,
    model: ModelOptions,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for JSON, CSV and figures.", metavar="DIR")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say which differences between scores are real.

    Example: bench analyze scores.csv --factor encoder -o analysis
    """
    from analysis.commands import analyze as call
    from analysis.options import AnalysisOptions
    from benchmark.console import printable
    from benchmark.errors import UserError

    if source.table is not None and source.study is not None:
        raise UserError(f"--study {source.study} takes scores from the store; leave out {source.table}, or the study")
    table = _scores(source, model) if source.table is None else source.table
    result = call(table, AnalysisOptions(**_given(model)), output=output)
    print_document(result if as_json else "\n".join(printable(sentence["text"]) for sentence in result["summary"]))


@dataclass(frozen=True)
class RunsOptions:
    """Options of `analysis.options.DesignOptions`, by the same names but `factor`; ``None`` for its own default."""

    factor: Annotated[
        list[str] | None, typer.Option(help="A factor and its levels, NAME=LEVEL,LEVEL,...; may be repeated.")
    ] = None
    candidates: Annotated[Path | None, typer.Option(help="Candidate runs as CSV, instead of --factor.")] = None
    derive: Annotated[list[str] | None, typer.Option(help="Add a factor made of the others; may be repeated.")] = None
    where: Annotated[str | None, typer.Option(help="Keep candidates for which this holds.")] = None
    keep_out: Annotated[str, typer.Option(help="Factors balanced but not kept apart from the others.")] = ""
    start: Annotated[Path | None, typer.Option(help="Runs already made, as CSV.")] = None
    runs: Annotated[int, typer.Option(help="How many runs to propose.", min=0)] = 1
    replay: Annotated[Path | None, typer.Option(help="A sequence of runs to judge choice by choice, as CSV.")] = None
    analysis: Annotated[
        Path | None, typer.Option(help="An analysis.json; with --difference, says how large a study must be.")
    ] = None
    difference: Annotated[float | None, typer.Option(help="Difference to detect [standard deviations].")] = None
    levels: Annotated[str, typer.Option(help="Two levels to plan for, A,B.", show_default="every pair")] = ""
    power: Annotated[float, typer.Option(help="Wanted probability of detection.")] = 0.8
    alpha: Annotated[float, typer.Option(help="What the adjusted p must be below.")] = 0.05
    tasks: Annotated[int | None, typer.Option(help="Hold the number of tasks at this.", min=2)] = None
    repeats: Annotated[int | None, typer.Option(help="Hold the scores per cell (seeds) at this.", min=1)] = None
    seed: Annotated[int, typer.Option(help="Of the choice among equally good runs.", min=0)] = 0


def design(
    options: RunsOptions,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for the design.", metavar="DIR")] = None,
    as_json: JsonOption = False,
) -> None:
    """Propose the next runs of a study, or say how large it must be.

    Example: bench design --factor encoder=a,b,c --factor seed=0,1,2 --runs 6
    """
    from analysis.commands import design as call
    from analysis.design.planning import sentences
    from analysis.options import DesignOptions
    from benchmark.console import printable

    given = _given(options)
    result = call(DesignOptions(factors=given.pop("factor", ()), **given), output=output)
    print_document(result if as_json else "\n".join(map(printable, sentences(result))))


def _given(options: ModelOptions | RunsOptions) -> dict[str, Any]:
    """Values of the options that have one, by their names."""
    return {name: value for name, value in vars(options).items() if value is not None}


def _scores(source: TableOptions, model: ModelOptions) -> Any:
    """Scores of a store that one analysis may pool, of those that `where` keeps."""
    import pandas as pd

    from analysis.tables.expressions import derive as add_columns
    from analysis.tables.expressions import where as keep_rows
    from benchmark.console import Reporter
    from benchmark.scores.long_table import long_table, poolable

    reporter = Reporter()
    derive = model.derive or []
    rows = of_study(long_table(store_folder(source.store_path), source.metric, reporter), source.study)
    if model.where:
        numbered = add_columns(pd.DataFrame(rows).reset_index(names="_row"), derive)
        rows = [rows[number] for number in keep_rows(numbered, model.where)["_row"]]
    columns = (model.group, model.factor, model.covariate, model.size, model.components, model.components_where)
    told = " ".join([*(text or "" for text in columns), *derive, model.where or ""])
    return pd.DataFrame(poolable(rows, told, reporter))
