"""One analysis, from a table to its result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

import numpy as np
import pandas as pd

from analysis.design.levels import level_planning
from analysis.documents.agreement import Agreement
from analysis.documents.analysis import AnalysedTable, AnalysisDocument, ModelFacts
from analysis.documents.shares import TaskShare
from analysis.errors import AnalysisError
from analysis.options import AnalysisOptions, listed, names
from analysis.statistics.agreement import protocol_agreement, task_agreement
from analysis.statistics.aliasing import alias_matrix
from analysis.statistics.bayesian import bayesian_check
from analysis.statistics.bootstrap import parametric_bootstrap
from analysis.statistics.components import grid_components, task_components
from analysis.statistics.contrasts import best_probability, covariate_value, pairwise_contrasts
from analysis.statistics.equivalence import check_margin
from analysis.statistics.inference import fixed_effects, random_effects
from analysis.statistics.models import MODELS, FittedModel, fit_model
from analysis.statistics.ranks import mean_ranks
from analysis.statistics.runs import AUTO, NONE
from analysis.statistics.scores import Scores, standardise
from analysis.summary import joined, sentences
from analysis.tables.expressions import derive as derive_columns
from analysis.tables.expressions import evaluate
from analysis.tables.expressions import where as keep_where
from analysis.tables.long_tables import GRID_COLUMNS, labels, need, number_text, numbers, read_table, truths
from analysis.tables.remarks import tidied
from analysis.tables.shapes import as_long, need_long
from analysis.tables.turning import told

SCHEMA_VERSION = 1
FEW_TASKS = 20
"""Below this many tasks a note warns that Wald and bootstrap intervals are too short."""
BOOTSTRAP_SECONDS = 60.0
"""About how long the bootstrap of a table may take [s]."""
_CONDITIONS = ("corpus", "recipe", "protocol", "layer", "labels", "draw", "shots", "deform", "limit")
"""Columns of a long table that say how a score came about; seeds are repeats, these are not."""
VERY_FEW_TASKS, VERY_FEW_STANDARDISED = 5, 7
"""Below this many tasks a note warns that the other intervals are too short as well: of natural and divided scores."""
FAR_FROM_ZERO = 0.5
"""Standard deviations that the mean of a column with random slopes may lie from 0 before a note warns."""


@dataclass(frozen=True)
class Parts:
    """What figures and tables need beside the result."""

    model: FittedModel
    alias: pd.DataFrame | None


def analysis_result(table: str | Path | pd.DataFrame, options: AnalysisOptions) -> tuple[AnalysisDocument, Parts]:
    """Analyse a table.

    Returns
    -------
    result : AnalysisDocument
    parts : Parts

    Raises
    ------
    AnalysisError
        For anything in the table or the options that cannot be analysed.
    """
    bootstrap, seed, at = options.bootstrap, options.seed, options.at
    if bootstrap < 0:
        raise AnalysisError(f"--bootstrap {bootstrap}: give 0 for none, or a number of refits such as 1000")
    if options.margin is not None:
        check_margin(options.margin)
    data, options, notes = _prepared(table, options)
    factor, sources = options.factor, names(options.components)
    compared = factor or options.size
    if factor and options.covariate:
        options, more = _covariate(data, factor, options)
        notes += more
    points = [name for name in (compared, options.covariate) if name]
    scores = standardise(data, options.score, options.group, points, natural=options.natural, levels=factor)
    fitted = fit_model(
        scores,
        options.model,
        factor=factor,
        covariate=options.covariate,
        size=options.size,
        run=options.run,
        tasks=options.tasks,
        simplify=options.simplify,
    )
    made, more = _affordable(fitted, bootstrap)
    notes += more
    draws = parametric_bootstrap(fitted, made, seed) if made else None
    contrasts = pairwise_contrasts(fitted, draws, at, options.margin)
    random, residual = random_effects(fitted, draws)
    notes += scores.notes
    within, more = _within_task(scores, options, sources)
    notes += more
    if factor:
        used = [name for name in (options.covariate, options.size, *sources) if name]
        notes += _pooled(scores.table, factor, options.group, used)
    columns, more = _grid_columns(scores.table, [name for name in (compared, options.group) if name])
    notes += more
    grid, more = grid_components(scores, columns, bootstrap, seed)
    notes += more + _caveats(fitted, draws is not None)
    result: AnalysisDocument = {
        "schema_version": SCHEMA_VERSION,
        "kind": "analysis",
        "table": _describe(table, scores, fitted),
        "model": _describe_model(fitted, options.model, covariate_value(fitted, at) if options.covariate else None),
        "standardisation": {
            name: {
                "mean": scale.mean,
                "sd": scale.sd,
                "n": scale.n,
                "metric": scale.metric,
                "lower_is_better": scale.lower_is_better,
            }
            for name, scale in scores.scales.items()
        },
        "fixed": fixed_effects(fitted, draws),
        "random": random,
        "residual_sd": residual,
        "reml": fitted.reml,
        "singular": bool(fitted.zero),
        "contrasts": contrasts,
        "best": {
            "method": "draws from the distribution that the intervals and tests rest on",
            "probability": best_probability(fitted, at, seed),
        },
        "bayes": bayesian_check(fitted, contrasts, at, seed) if options.bayes else None,
        "components": {"within_task": within, "grid": grid},
        "ranks": mean_ranks(scores, factor) if factor and not options.covariate else None,
        "agreement": _agreement(scores, options.rank or compared, options.protocol, bootstrap, seed),
        "planning": level_planning(fitted, at),
        "bootstrap": None
        if draws is None
        else {
            "replicates": draws.replicates,
            "seed": seed,
            "unconverged": draws.unconverged,
            "singular_share": draws.singular_share,
        },
        "seed": seed,
        "notes": notes,
        "files": [],
        "summary": [],
    }
    result["summary"] = sentences(result)
    return result, Parts(fitted, _alias(scores, options, sources))


def _prepared(
    table: str | Path | pd.DataFrame, options: AnalysisOptions
) -> tuple[pd.DataFrame, AnalysisOptions, list[str]]:
    """The rows that are analysed, the options with the factor that is meant, and what to say of the table."""
    if options.model not in MODELS:
        raise AnalysisError(f"unknown model {options.model!r}: choose --model factor or --model ordinal")
    run = None if options.run in (AUTO, NONE) else options.run
    factors = [options.factor, options.rank, options.protocol, run, *names(options.components)]
    named = [name for name in factors if name]
    data = read_table(table, [options.group, *named])
    data, factor, wide = as_long(data, options.score, options.group, options.factor, table)
    options = replace(options, factor=factor) if wide else options
    if options.derive:
        data = derive_columns(data, listed(options.derive))
    if options.where:
        data = keep_where(data, options.where)
    need_long(data, options.score, options.group, table)
    data = told(data, options.score, names(options.lower_is_better))
    if options.factor is None and options.model.startswith("factor"):
        options = replace(options, factor=_usual_factor(data))
    used = [options.factor, options.covariate, options.size, options.rank, *names(options.components)]
    need(data, [name for name in used if name])
    data, notes = tidied(data, options.score, options.group, [*([options.factor] if options.factor else []), *named])
    return data, options, wide + notes


def _affordable(model: FittedModel, replicates: int) -> tuple[int, list[str]]:
    """Refits that take a minute at most, but for the first hundred, and a note if they are fewer than asked for."""
    columns = model.problem.Z.shape[1]
    most = max(100, int(BOOTSTRAP_SECONDS / (1e-4 + 2e-8 * model.problem.groups * columns**3)))
    if replicates <= most:
        return replicates, []
    return most, [
        f"{most} of the {replicates} bootstrap refits were made: up to {columns} random effects vary together here, and"
        " all of them would take long."
    ]


def _covariate(table: pd.DataFrame, factor: str, options: AnalysisOptions) -> tuple[AnalysisOptions, list[str]]:
    """Take out a covariate that no level varies in, and name the levels that do not vary in one."""
    name = str(options.covariate)
    values = numbers(table, name)
    codes, levels = labels(table, factor)
    fixed = {level: values[codes == i][0] for i, level in enumerate(levels) if np.unique(values[codes == i]).size == 1}
    if len(fixed) == len(levels):
        return replace(options, covariate=None), [
            f"{name} takes one value within every level of {factor}, so what it does cannot be told from the levels"
            " themselves: it has no slope, and levels are compared as they are."
        ]
    if not fixed:
        return options, []
    parts = [f"{number_text(value)} in all scores of {level}" for level, value in fixed.items()]
    return options, [f"{name} is {joined(parts)}, so it has no slope there and is compared at that value."]


def _within_task(scores: Scores, options: AnalysisOptions, sources: Sequence[str]) -> tuple[list[TaskShare], list[str]]:
    """Variance components within each task, and notes; empty where none are asked for."""
    if not sources:
        return [], []
    chosen = scores
    if options.components_where:
        mask = evaluate(options.components_where, scores.table)
        if mask.dtype != np.bool_ or not mask.any():
            raise AnalysisError(f"--components-where {options.components_where!r} is no condition, or holds on no row")
        chosen = scores.keep(mask)
    return task_components(chosen, sources, options.bootstrap, options.seed)


def _usual_factor(table: pd.DataFrame) -> str | None:
    """What is compared if nobody says: representations, where an encoder is several of them; else encoders."""
    if "representation" not in table.columns or "encoder" not in table.columns:
        return "encoder" if "encoder" in table.columns else None
    return "encoder" if (table["representation"] == table["encoder"]).all() else "representation"


def _pooled(table: pd.DataFrame, factor: str, group: str, used: Sequence[str]) -> list[str]:
    """Say which columns differ within a cell, whose scores then count as repeats of one another."""
    several = [
        name
        for name in _CONDITIONS
        if name in table.columns
        and name not in (factor, group, *used)
        and table[[factor, group, name]].drop_duplicates().duplicated([factor, group]).any()
    ]
    if not several:
        return []
    example = table[several[0]].iloc[0]
    shown = f'"{example}"' if isinstance(example, str) else f"{example}"
    return [
        f"Scores of one {factor} on one {group} that differ in {joined(several)} count as repeats of it: keep to one of"
        f" them, e.g. --where '{several[0]} == {shown}', or name another --factor."
    ]


def _grid_columns(table: pd.DataFrame, asked: Sequence[str]) -> tuple[list[str], list[str]]:
    """Columns whose shares of the variance are told, and why one that nobody asked for is not among them."""
    columns, notes = [], []
    for name in GRID_COLUMNS:
        empty = int(table[name].isna().sum()) if name in table.columns and name not in asked else 0
        if empty:
            notes.append(
                f"{name} is empty in {empty} of {len(table)} rows, so it has no share in the division of the variance."
            )
        elif name in table.columns:
            columns.append(name)
    return list(dict.fromkeys([*columns, *asked])), notes


def _caveats(model: FittedModel, bootstrapped: bool) -> list[str]:
    tasks = len(model.layout.group)
    notes = []
    if tasks < FEW_TASKS and model.layout.random:
        which = "Wald and bootstrap" if bootstrapped else "Wald"
        notes.append(
            f"With few tasks {which} intervals are too short; the intervals and p values in these sentences are"
            " Satterthwaite's, p values of differences between levels adjusted by Holm's method."
        )
    if 1 < tasks < (VERY_FEW_TASKS if model.scores.natural else VERY_FEW_STANDARDISED):
        notes.append(
            f"With {tasks} tasks even the intervals in these sentences are too short, and their p values too small:"
            " docs/statistics.md tells how often equals are then called different."
        )
    notes += _far_from_zero(model)
    if not model.solution.converged.all():
        notes.append("The fit stopped before its gradient vanished: do not rely on it, and report the table.")
    return notes + _training(model)


def _training(model: FittedModel) -> list[str]:
    """Say which scores were taken for those of one trained network, and of what no score tells."""
    runs, layout = model.runs, model.layout
    key, group = model.columns.get("factor") or model.columns["size"], model.columns["group"]
    if not runs.name:
        return [
            f"Scores that one trained network has on several {group}s are treated as independent given the {group}s:"
            " a column run, or --run COLUMN, says which are of one network."
        ]
    if not (runs.code >= 0).any():
        return []
    notes = []
    if runs.guessed:
        notes.append(
            f"Scores of one {key} with the same seed are taken for one trained network; --run COLUMN names another"
            " column of networks, --run none says that training played no part."
        )
    once = model.single_runs
    if once and any(not model.covers_training(i, j) for j in range(len(layout.levels)) for i in range(j)):
        notes.append(
            f"{joined(once)} {'were' if len(once) > 1 else 'was'} trained once: no score here tells how far another"
            " training would come out, so nothing is said of what was trained but of these networks."
        )
    elif once:
        notes.append(
            f"{joined(once)} {'were' if len(once) > 1 else 'was'} trained once: the luck of that training is taken to"
            " spread as that of the others does."
        )
    return notes


def _far_from_zero(model: FittedModel) -> list[str]:
    """Warn of random slopes that turn about a point far from a column's values, and say how to centre it."""
    layout, columns = model.layout, model.columns
    if len(layout.fixed) > layout.main and "covariate" not in columns:
        return []  # where a task has an effect, one slope may turn about any point
    if not set(layout.random) & {name for i, name in enumerate(layout.fixed) if i not in layout.intercepts.values()}:
        return []
    far, options = [], []
    for role in ("size", "covariate"):
        if role not in columns:
            continue
        name = columns[role]
        values = numbers(model.scores.table, name)
        mean, sd = float(values.mean()), float(values.std())
        if abs(mean) <= FAR_FROM_ZERO * sd:
            continue
        # As many digits as leave nothing of the mean that counts beside the spread.
        short = number_text(round(mean, 2 - int(np.floor(np.log10(sd)))))
        plain = name if name.isidentifier() else f"`{name}`"
        far.append(f"{name} (mean {mean:.3g}, standard deviation {sd:.3g})")
        shift = f"- {short}" if mean > 0.0 else f"+ {short.lstrip('-')}"
        options.append(f"--derive {quote(f'{name}_c = {plain} {shift}')} --{role} {quote(f'{name}_c')}")
    if not far:
        return []
    return [
        f"Each task's slopes turn about 0, far from the values of {joined(far)}, while its scores, whose mean was"
        f" removed, turn about the mean: slopes are then called real too often. Centre with {' '.join(options)}."
    ]


def _describe(source: str | Path | pd.DataFrame, scores: Scores, model: FittedModel) -> AnalysedTable:
    table = scores.table
    standin = None
    if "standin" in table.columns:
        standin = bool(truths(table.head(1), "standin")[0])
    return {
        "source": None if isinstance(source, pd.DataFrame) else Path(source).name,
        "rows": len(table),
        "tasks": len(model.layout.group),
        "task_names": model.layout.group,
        "levels": model.layout.levels,
        "complete": model.complete,
        "trained_once": model.single_runs,
        "standin": standin,
    }


def _describe_model(model: FittedModel, requested: str, at: float | None) -> ModelFacts:
    return {
        "requested": requested,
        "fitted": model.layout.model,
        "reason": model.layout.reason,
        "formula": model.formula,
        "score": model.columns["score"],
        "group": model.columns["group"],
        "factor": model.columns.get("factor"),
        "covariate": model.columns.get("covariate"),
        "size": model.columns.get("size"),
        "run": model.layout.run or None,
        "at": at,
        "natural": model.scores.natural,
        "fixed_effects": model.problem.fixed,
        "components": model.problem.components,
        "singular_terms": model.zero,
        "converged": bool(model.solution.converged[0]),
        "gradient": float(model.solution.gradient[0]),
    }


def _agreement(scores: Scores, rank: str | None, protocol: str, bootstrap: int, seed: int) -> Agreement:
    found: Agreement = {"ranked": rank, "protocols": None, "protocols_reason": None, "tasks": []}
    if rank is None:
        return found
    need(scores.table, [rank])
    replicates = max(bootstrap, 200)
    if len(scores.scales) > 1:
        found["tasks"] = task_agreement(scores, rank, replicates, seed)
    if protocol in scores.table.columns and len(set(scores.table[protocol])) > 1:
        try:
            found["protocols"] = protocol_agreement(scores, rank, protocol, replicates, seed)
        except AnalysisError as error:
            found["protocols_reason"] = str(error)
    return found


def _alias(scores: Scores, options: AnalysisOptions, sources: Sequence[str]) -> pd.DataFrame | None:
    numeric = [name for name in (options.size, options.covariate) if name]
    factors = [options.factor] if options.factor else []
    columns = [name for name in dict.fromkeys([*factors, *sources]) if name not in numeric]
    if len(columns) + len(numeric) < 2:
        columns += [name for name in GRID_COLUMNS if name in scores.table.columns and name not in columns]
    wide = [name for name in columns if scores.table[name].astype(str).unique().size > 40]
    columns = [name for name in columns if name not in wide]
    return alias_matrix(scores.table, columns, numeric) if columns or numeric else None
