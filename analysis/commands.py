"""What the command line calls, one function a verb: paths and texts in, a JSON-able dict out, files in a folder.

`analyze` turns a long table into an analysis, `design` proposes runs and says how many tasks or seeds a difference
needs, `speed_analysis` measures the fits beside other tools. `analysis.documents` says what they return.
Whatever a user can cause is raised as `analysis.AnalysisError`, one line that says what, where, and what to do.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from analysis.errors import AnalysisError
from analysis.options import AnalysisOptions, DesignOptions

if TYPE_CHECKING:
    import pandas as pd

    from analysis.documents.analysis import AnalysisDocument
    from analysis.documents.design import DesignDocument
    from analysis.speed import SpeedDocument

SCHEMA_VERSION = 1
"""Version of the JSON that is returned and written; raised when a key changes its meaning."""


def analyze(
    table: str | Path | pd.DataFrame,
    options: AnalysisOptions | None = None,
    *,
    output: str | Path | None = None,
    figures: bool = True,
) -> AnalysisDocument:
    """Analyse a long table of scores (``bench analyze``).

    Parameters
    ----------
    table : path or DataFrame
        One row a score.
    options : AnalysisOptions, optional
        How; by default as a plain `AnalysisOptions` says.
    output : path, optional
        Folder for ``analysis.json``, ``summary.txt``, CSV tables and figures; made if need be. Nothing is written
        without it.
    figures : bool
        Whether to draw figures.

    Returns
    -------
    AnalysisDocument
        ``files`` lists what was written.

    Raises
    ------
    AnalysisError
        For anything in the table or the options that cannot be analysed.
    """
    from analysis.output import write_analysis
    from analysis.study import analysis_result

    result, parts = analysis_result(table, options or AnalysisOptions())
    if output is not None:
        write_analysis(result, parts, _folder(output), figures=figures)
    return result


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


def design(options: DesignOptions, *, output: str | Path | None = None, figures: bool = True) -> DesignDocument:
    """Propose the next runs of a balanced fractional design, or say how large a study must be (``bench design``).

    Parameters
    ----------
    options : DesignOptions
        What is asked for.
    output : path, optional
        Folder for ``design.json``, ``runs.csv``, ``alias.csv`` and the figure of the alias matrix.
    figures : bool
        Whether to draw the alias matrix.

    Returns
    -------
    DesignDocument
        ``design`` and ``power`` are null where not asked for.

    Raises
    ------
    AnalysisError
        For malformed factors, too few candidates, or an analysis without components.
    """
    from analysis.design.planning import design_result, power_result, write_design

    asked_power = options.analysis is not None or options.difference is not None
    asked_runs = bool(options.factors) or options.candidates is not None
    if not asked_power and not asked_runs:
        raise AnalysisError(
            "nothing to design: give --factor NAME=LEVEL,... or --candidates FILE for runs, or --analysis FILE with"
            " --difference D for the size of a study"
        )
    result: DesignDocument = {
        "schema_version": SCHEMA_VERSION,
        "kind": "design",
        "design": None,
        "power": None,
        "files": [],
    }
    matrix = None
    if asked_runs:
        result["design"], matrix = design_result(options)
    if asked_power:
        result["power"] = power_result(options)
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
) -> SpeedDocument:
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
    SpeedDocument
    """
    from analysis import speed
    from analysis.statistics.crossproducts import one_thread
    from analysis.tables.long_tables import need, read_table

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
