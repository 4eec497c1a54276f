"""What the command line calls, one function a verb: paths and texts in, a JSON-able dict out, files in a folder.

`analyze` turns a long table into an analysis, `design` proposes runs and says how many tasks or seeds a difference
needs, `speed_analysis` measures the fits beside other tools. ``docs/analysis-schema.md`` describes what they return.
Whatever a user can cause is raised as `analysis.AnalysisError`, one line that says what, where, and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import AnalysisError

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
"""Version of the JSON that is returned and written; raised when a key changes its meaning."""


def analyze(
    table: str | Path | pd.DataFrame,
    *,
    output: str | Path | None = None,
    model: str = "factor",
    score: str = "score",
    group: str = "task",
    factor: str | None = None,
    covariate: str | None = None,
    size: str | None = None,
    derive: Sequence[str] = (),
    where: str | None = None,
    components: str | Sequence[str] = (),
    components_where: str | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    at: float | None = None,
    natural: bool = False,
    rank: str | None = None,
    protocol: str = "protocol",
    simplify: bool = True,
    figures: bool = True,
) -> dict[str, Any]:
    """Analyse a long table of scores (``bench analyze``).

    Parameters
    ----------
    table : path or DataFrame
        One row a score.
    output : path, optional
        Folder for ``analysis.json``, ``summary.txt``, CSV tables and figures; made if need be. Nothing is written
        without it.
    model : str
        ``"factor"`` or ``"ordinal"``.
    score, group : str
        Columns of scores and of tasks.
    factor : str, optional
        Column whose levels are compared; by default ``representation`` if the table has it and it is not the same as
        ``encoder``, else ``encoder``.
    covariate : str, optional
        Column of numbers with slopes.
    size : str, optional
        Column of numbers that orders the levels, for ``ordinal``.
    derive : sequence of str
        ``"name = expression"`` each, before anything else.
    where : str, optional
        Condition on rows; scores are standardised over the rows it keeps.
    components : str or sequence of str
        Columns whose variance components within each task are wanted, separated by commas if a text.
    components_where : str, optional
        Further condition on rows for these components only; scores stay standardised over all rows.
    bootstrap : int
        Refits; 0 for none.
    seed : int
        Of everything that is drawn at random.
    at : float, optional
        Value of the covariate at which levels are compared; by default 0, or the covariate's mean over the rows where 0
        lies outside its values.
    natural : bool
        Keep the metric's unit: scores lose only their task's own effect. For tasks that share one metric.
    rank : str, optional
        Column that agreement ranks; by default the factor.
    protocol : str
        Column of protocols; agreement between them is reported where the table has several.
    simplify : bool
        Fit the named simpler model where the table cannot carry the one asked for.
    figures : bool
        Whether to draw figures.

    Returns
    -------
    dict
        As ``docs/analysis-schema.md`` describes; ``files`` lists what was written.

    Raises
    ------
    AnalysisError
        For anything in the table or the options that cannot be analysed.
    """
    from analysis.output import write_analysis
    from analysis.study import analysis_result

    if bootstrap < 0:
        raise AnalysisError(f"--bootstrap {bootstrap}: give 0 for none, or a number of refits such as 1000")
    sources = _names(components)
    result, parts = analysis_result(
        table, model=model, score=score, group=group, factor=factor, covariate=covariate, size=size,
        derive=[derive] if isinstance(derive, str) else list(derive), where=where, sources=sources,
        components_where=components_where, bootstrap=bootstrap, seed=seed, at=at, natural=natural, rank=rank,
        protocol=protocol, simplify=simplify,
    )  # fmt: skip
    if output is not None:
        write_analysis(result, parts, _folder(output), figures=figures)
    return result


def _names(text: str | Sequence[str]) -> list[str]:
    parts = text.split(",") if isinstance(text, str) else text
    return [part.strip() for part in parts if part.strip()]


def _folder(output: str | Path) -> Path:
    folder = Path(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AnalysisError(f"-o {folder}: cannot be made a folder ({error.strerror}); name another") from error
    for path in folder.iterdir():
        if path.is_symlink():
            raise AnalysisError(f"{path}: is a link, and none is written through; remove it or name another -o")
    return folder


def design(
    factors: Sequence[str] = (),
    *,
    output: str | Path | None = None,
    candidates: str | Path | pd.DataFrame | None = None,
    derive: Sequence[str] = (),
    where: str | None = None,
    keep_out: str | Sequence[str] = (),
    start: str | Path | pd.DataFrame | None = None,
    runs: int = 1,
    seed: int = 0,
    replay: str | Path | pd.DataFrame | None = None,
    analysis: str | Path | None = None,
    difference: float | None = None,
    levels: str | Sequence[str] = (),
    power: float = 0.8,
    alpha: float = 0.05,
    tasks: int | None = None,
    repeats: float | None = None,
    figures: bool = True,
) -> dict[str, Any]:
    """Propose the next runs of a balanced fractional design, or say how large a study must be (``bench design``).

    Parameters
    ----------
    factors : sequence of str
        ``"name=level,level,..."`` each; all their combinations are candidates.
    output : path, optional
        Folder for ``design.json``, ``runs.csv``, ``alias.csv`` and the figure of the alias matrix.
    candidates : path or DataFrame, optional
        Candidate runs as a table, instead of `factors`.
    derive : sequence of str
        Further factors from the others, ``"name = expression"`` each; they are balanced too.
    where : str, optional
        Condition on candidates.
    keep_out : str or sequence of str
        Factors that are balanced but not kept apart from the others, such as a sum of them.
    start : path or DataFrame, optional
        Runs already made.
    runs : int
        How many runs to propose; 0 to only judge the runs of `start`.
    seed : int
        Of the random choice among equally good runs.
    replay : path or DataFrame, optional
        A sequence of runs to be judged choice by choice.
    analysis : path, optional
        An ``analysis.json`` with fitted components; then `difference` is planned for.
    difference : float, optional
        Difference to detect [standard deviations of a task's scores; of a natural analysis the metric's unit].
    levels : str or sequence of str
        Two levels to plan for; by default every pair.
    power, alpha : float
        Wanted probability of detection, and level of the test.
    tasks, repeats : optional
        Number of tasks, and scores per cell, to hold fixed while the other is varied; by default those of the analysis.
    figures : bool
        Whether to draw the alias matrix.

    Returns
    -------
    dict
        ``design`` and ``power`` (null where not asked for), ``files``; see ``docs/analysis-schema.md``.

    Raises
    ------
    AnalysisError
        For malformed factors, too few candidates, or an analysis without components.
    """
    from analysis.planning import design_result, power_result, write_design

    asked_power = analysis is not None or difference is not None
    asked_runs = bool(factors) or candidates is not None
    if not asked_power and not asked_runs:
        raise AnalysisError(
            "nothing to design: give --factor NAME=LEVEL,... or --candidates FILE for runs, or --analysis FILE with"
            " --difference D for the size of a study"
        )
    result: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "kind": "design", "design": None, "power": None}
    matrix = None
    if asked_runs:
        result["design"], matrix = design_result(
            [factors] if isinstance(factors, str) else list(factors), candidates=candidates,
            derive=[derive] if isinstance(derive, str) else list(derive), where=where, keep_out=_names(keep_out),
            start=start, runs=runs, seed=seed, replay_of=replay,
        )  # fmt: skip
    if asked_power:
        result["power"] = power_result(
            analysis, difference, _names(levels), power=power, alpha=alpha, tasks=tasks, repeats=repeats
        )
    result["files"] = []
    if output is not None:
        write_design(result, matrix, _folder(output), figures=figures)
    return result


def speed_analysis(
    table: str | Path | pd.DataFrame | None = None,
    *,
    bootstrap: int = 1000,
    seed: int = 0,
    statsmodels: bool = True,
    lme4: bool = True,
) -> dict[str, Any]:
    """Time a single fit and a bootstrap of model ``factor`` beside statsmodels and lme4 (``bench speed analysis``).

    Parameters
    ----------
    table : path or DataFrame, optional
        Columns ``dataset, strategy, n_star, score``; by default a simulated table of 2,975 rows.
    bootstrap : int
        Refits, at least 2.
    seed : int
        Of the simulated table and of the bootstrap.
    statsmodels, lme4 : bool
        Whether to time them too; lme4 only where ``Rscript`` has it, and 20 replicates of its bootstrap are run and
        scaled up.

    Returns
    -------
    dict
        ``analysis``, ``statsmodels``, ``lme4`` (null where not run): seconds, and each one's REML criterion;
        ``threads`` is 1, for linear algebra is held to one thread.
    """
    from analysis import speed
    from analysis.crossproducts import one_thread
    from analysis.tables import need, read_table

    data = speed.simulated_table(seed=seed) if table is None else read_table(table)
    need(data, ["dataset", "strategy", "n_star", "score"])
    with one_thread():
        model, ours = speed.time_ours(data, bootstrap, seed)
        other = speed.time_statsmodels(model, bootstrap) if statsmodels else None
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "speed",
        "threads": 1,
        "analysis": ours,
        "statsmodels": other,
        "lme4": speed.time_lme4(model, bootstrap) if lme4 else None,
    }
