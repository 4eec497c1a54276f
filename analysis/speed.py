"""How fast the fits are, measured here and now beside statsmodels, and lme4 where R has it."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from time import perf_counter
from typing import TypedDict

import numpy as np
import pandas as pd

from analysis.statistics.bootstrap import parametric_bootstrap
from analysis.statistics.models import FittedModel, fit_model
from analysis.statistics.scores import standardise

STRATEGIES = ("SS-R", "MS-SR@FC", "MS-CR@6", "MS-CR@4", "MS-CR@2", "MSS-CR")
"""Strategy names of the study; the simulated table has its shape and none of its scores."""

_INTERCEPTS = (-1.0, -0.5, -0.2, -0.2, 0.0, 0.1)
_SLOPES = (0.0, 0.02, 0.15, 0.15, 0.15, 0.15)


class OurTimes(TypedDict):
    """What the analysis here takes.

    Attributes
    ----------
    fit_s, bootstrap_s
        One fit, the median of five, and the bootstrap [s].
    replicates, unconverged
        Refits, and those that did not converge.
    rows
        Of the table.
    reml
        REML criterion: minus twice the restricted log-likelihood.
    """

    fit_s: float
    bootstrap_s: float
    replicates: int
    unconverged: int
    rows: int
    reml: float


class StatsmodelsTimes(TypedDict):
    """What statsmodels takes.

    Attributes
    ----------
    build_s, fit_s
        Making the model, and fitting it [s].
    bootstrap_implied_s
        One fit times the replicates [s].
    converged
        Whether the fit did.
    reml
        REML criterion.
    """

    build_s: float
    fit_s: float
    bootstrap_implied_s: float
    converged: bool
    reml: float


class Lme4Times(TypedDict):
    """What lme4 takes.

    Attributes
    ----------
    fit_s
        One fit [s].
    bootstrap_implied_s, bootstrap_sample
        The bootstrap, scaled up from so many replicates of bootMer [s].
    reml
        REML criterion.
    version
        Of lme4.
    """

    fit_s: float
    bootstrap_implied_s: float
    bootstrap_sample: int
    reml: float
    version: str


class SpeedDocument(TypedDict):
    """A fit and a bootstrap beside other tools.

    Attributes
    ----------
    schema_version, kind
        Raised when a key changes its meaning; ``"speed"``.
    threads
        1, for linear algebra is held to one thread.
    analysis, statsmodels, lme4
        Each tool; null where it was not run, lme4 without Rscript and the package.
    """

    schema_version: int
    kind: str
    threads: int
    analysis: OurTimes
    statsmodels: StatsmodelsTimes | None
    lme4: Lme4Times | None


def simulated_table(runs: int = 425, tasks: int = 7, seed: int = 0) -> pd.DataFrame:
    """Simulate a table of the multi-source study's shape: 425 runs x 7 tasks are its 2,975 rows.

    Parameters
    ----------
    runs, tasks, seed : int

    Returns
    -------
    DataFrame
        Columns ``run, dataset, strategy, n_star, score``; every number in it is made up.
    """
    generator = np.random.default_rng(seed)
    strategy = np.arange(runs) % len(STRATEGIES)
    n_star = np.where(strategy == 0, 0, generator.integers(0, 7, runs)).astype(np.float64)
    intercepts = np.array(_INTERCEPTS)[:, None] + 0.3 * generator.standard_normal((len(STRATEGIES), tasks))
    slopes = np.array(_SLOPES)[:, None] + 0.06 * generator.standard_normal((len(STRATEGIES), tasks))
    y = intercepts[strategy] + slopes[strategy] * n_star[:, None] + 0.7 * generator.standard_normal((runs, tasks))
    score = 0.5 + 0.03 * y
    return pd.DataFrame(
        {
            "run": np.repeat(np.arange(runs), tasks),
            "dataset": np.tile([f"task{d}" for d in range(tasks)], runs),
            "strategy": np.repeat([STRATEGIES[s] for s in strategy], tasks),
            "n_star": np.repeat(n_star, tasks),
            "score": score.reshape(-1),
        }
    )


def time_ours(table: pd.DataFrame, replicates: int, seed: int, repeats: int = 5) -> tuple[FittedModel, OurTimes]:
    """Time a single fit (median, from standardised scores to estimates) and a bootstrap.

    Returns
    -------
    model : FittedModel
    times : OurTimes
    """
    scores = standardise(table, "score", "dataset")

    def fit() -> FittedModel:
        return fit_model(scores, "factor", factor="strategy", covariate="n_star", tasks="centred")

    model = fit()
    spans = []
    for _ in range(repeats):
        start = perf_counter()
        model = fit()
        spans.append(perf_counter() - start)
    start = perf_counter()
    draws = parametric_bootstrap(model, replicates, seed)
    bootstrap = perf_counter() - start
    return model, {
        "fit_s": float(np.median(spans)),
        "bootstrap_s": bootstrap,
        "replicates": draws.replicates,
        "unconverged": draws.unconverged,
        "rows": len(table),
        "reml": model.reml,
    }


def time_statsmodels(model: FittedModel, replicates: int) -> StatsmodelsTimes:
    """Time the same fit in statsmodels' MixedLM; its bootstrap is the fit's time multiplied, not run.

    Returns
    -------
    StatsmodelsTimes
    """
    import warnings

    from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

    layout, groups = model.layout, model.layout.group_code
    start = perf_counter()
    place = [np.flatnonzero(groups == d) for d in range(len(layout.group))]
    # Every component is a fixed-effect column's slope over tasks: a one-column design for every task.
    own = [layout.fixed.index(name) for name in layout.random]
    columns = [[model.problem.X[rows][:, [k]] for rows in place] for k in own]
    names = [[["slope"] for _ in place] for _ in layout.random]
    spec = VCSpec(list(layout.random), names, columns)
    problem = MixedLM(model.scores.y, model.problem.X, groups=groups, exog_vc=spec)
    built = perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = problem.fit(reml=True)
    done = perf_counter()
    return {
        "build_s": built - start,
        "fit_s": done - built,
        "bootstrap_implied_s": (done - built) * replicates,
        "converged": bool(result.converged),
        "reml": float(-2.0 * result.llf),
    }


_R_SCRIPT = """
suppressMessages(library(lme4)); suppressMessages(library(jsonlite))
args <- commandArgs(TRUE)
d <- read.csv(args[1]); columns <- grep("^c", names(d), value=TRUE)
f <- as.formula(paste("y ~ 0 +", paste(columns, collapse="+"), "+",
                      paste(sprintf("(0+%s|g)", columns), collapse="+")))
t0 <- proc.time()[["elapsed"]]; m <- lmer(f, d); t1 <- proc.time()[["elapsed"]]
n <- as.integer(args[2])
if (n > 0) invisible(suppressMessages(suppressWarnings(bootMer(m, fixef, nsim=n, seed=1))))
t2 <- proc.time()[["elapsed"]]
cat(toJSON(list(fit_s=t1-t0, bootstrap_s=t2-t1, reml=REMLcrit(m), version=as.character(packageVersion("lme4"))),
           auto_unbox=TRUE, digits=NA))
"""


def time_lme4(model: FittedModel, replicates: int, sample: int = 20) -> Lme4Times | None:
    """Time the same fit in lme4, if Rscript with lme4 and jsonlite is installed.

    Parameters
    ----------
    model : FittedModel
        Of the ``factor`` kind.
    replicates : int
        Bootstrap size to scale to.
    sample : int
        Replicates that bootMer really makes.

    Returns
    -------
    Lme4Times or None
        None without R.
    """
    program = shutil.which("Rscript")
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        data, script = Path(folder, "table.csv"), Path(folder, "fit.R")
        table = pd.DataFrame(model.problem.X, columns=[f"c{k}" for k in range(model.problem.fixed)])
        table["y"], table["g"] = model.scores.y, model.layout.group_code
        table.to_csv(data, index=False, float_format="%.17g")
        script.write_text(_R_SCRIPT, encoding="utf-8")
        command = [program, "--vanilla", str(script), str(data), str(sample)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own script
    if done.returncode != 0:
        return None
    found = json.loads(done.stdout)
    return {
        "fit_s": float(found["fit_s"]),
        "bootstrap_implied_s": float(found["bootstrap_s"]) / sample * replicates,
        "bootstrap_sample": sample,
        "reml": float(found["reml"]),
        "version": str(found["version"]),
    }


def table(result: SpeedDocument) -> str:
    """Lay out a result of `analysis.commands.speed_analysis` in columns, one line a tool."""
    replicates = result["analysis"]["replicates"]
    lines = [f"{'':12}{'one fit [s]':>12}{f'{replicates:,} refits [s]':>20}{'REML criterion':>18}"]
    ours = result["analysis"]
    lines.append(f"{'analysis':12}{ours['fit_s']:12.4f}{ours['bootstrap_s']:20.2f}{ours['reml']:18.6f}")
    for tool, found in (("statsmodels", result["statsmodels"]), ("lme4", result["lme4"])):
        if found is None:
            lines.append(f"{tool:12}{'not run':>12}")
        else:
            implied = found["bootstrap_implied_s"]
            lines.append(f"{tool:12}{found['fit_s']:12.4f}{implied:20.2f}{found['reml']:18.6f} scaled up")
    rows = result["analysis"]["rows"]
    return "\n".join([f"model factor on {rows:,} rows, {result['threads']} thread", "", *lines])
