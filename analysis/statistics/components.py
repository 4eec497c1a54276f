"""Variance components: how much of the spread of scores each factor explains.

Two questions have the same answer machine, a REML fit with an intercept and one random effect per factor:

* `task_components`: within one task, how much of the variance is due to each of some factors (Kim et al. 2020, table 6,
  section 5.3: the eight learning sources). The table's percentages leave the residual out; both readings are given.
* `grid_components`: over a whole grid, how much is encoder, corpus, recipe, protocol, task, seed, and each of their
  two-way interactions.

A factor with two levels has one degree of freedom, so its component is very uncertain: read the intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from analysis.documents.shares import GridShare, TaskShare
from analysis.errors import AnalysisError
from analysis.statistics.bootstrap import simulate_and_refit
from analysis.statistics.crossproducts import Floats, Ints, make_problem
from analysis.statistics.inference import ratio_tests, spread
from analysis.statistics.reml import fit_reml
from analysis.statistics.scores import Scores
from analysis.tables.long_tables import labels, numbers

_BUDGET = 10.0
_MAX_GRID_COLUMNS = 1500


def _contrast_columns(codes: Ints, levels: int) -> Floats:
    """Random-effect columns of a factor without their constant part, shape [rows, levels - 1].

    The constant part of a random factor is a shift of all scores, which the intercept absorbs: under REML neither the
    criterion nor the components change (for two levels the column is +-1/sqrt(2)).
    """
    basis = np.linalg.qr(np.hstack([np.ones((levels, 1)), np.eye(levels)[:, : levels - 1]]))[0][:, 1:]
    return np.asarray(basis[codes], dtype=np.float64)


def _fit_components(
    y: Floats, factors: Sequence[tuple[str, Ints, int]], replicates: int, seed: int
) -> tuple[dict[str, Any], dict[str, Floats] | None]:
    """Fit ``y ~ 1 + one random effect per factor``; estimates, and bootstrap draws of the variances if asked for."""
    Z = np.hstack([_contrast_columns(codes, levels) for _, codes, levels in factors])
    component = np.repeat(np.arange(len(factors)), [levels - 1 for _, _, levels in factors])
    problem = make_problem(np.ones((y.size, 1)), Z, np.zeros(y.size, dtype=np.int64), component)
    solution = fit_reml(problem, y)
    fit = {
        "variance": solution.sd[0] ** 2,
        "residual": float(solution.residual_variance[0]),
        "reml": float(solution.criterion[0]),
        "p": ratio_tests(problem, y, solution),
        "converged": bool(solution.converged[0]),
    }
    if replicates < 2:
        return fit, None
    parts = simulate_and_refit(problem, np.full(y.size, solution.beta[0, 0]), solution, replicates, seed)
    variances = np.concatenate([part[1] for part in parts]) ** 2
    residual = np.concatenate([part[2] for part in parts]) ** 2
    return fit, {"variance": variances, "residual": residual}


def _percent(part: Floats, whole: Floats) -> Floats:
    return 100.0 * np.divide(part, whole, out=np.zeros_like(part), where=whole > 0.0)


def task_components(
    scores: Scores, sources: Sequence[str], replicates: int = 0, seed: int = 0
) -> tuple[list[TaskShare], list[str]]:
    """Divide the variance within each task among factors.

    Parameters
    ----------
    scores : Scores
        Rows to use; for the study's table 6 the multi-source runs only.
    sources : sequence of str
        Columns; each is a random factor with as many levels as it has values.
    replicates : int
        Bootstrap refits per task for the intervals; 0 for none.
    seed : int

    Returns
    -------
    records : list of TaskShare
        One per task and source: ``group``, ``source``, ``estimate`` (percent of the sources' total, residual excluded),
        ``se``, ``lower``, ``upper`` (of that percentage; null without replicates), ``p`` (likelihood ratio),
        ``variance``, ``percent_with_residual``, ``largest`` (in its task), and per task ``residual_variance``,
        ``reml``, ``n``.
    notes : list of str
        Sources that do not vary within some task, and tasks that were left out.

    Raises
    ------
    AnalysisError
        If no source is named, or none varies anywhere.
    """
    if not sources:
        raise AnalysisError("variance components need at least one column: name them with --components a,b,c")
    tasks, names = labels(scores.table, scores.group)
    coded = {source: labels(scores.table, source) for source in sources}
    records: list[TaskShare] = []
    notes: list[str] = []
    for d, task in enumerate(names):
        rows = tasks == d
        factors = []
        for source in sources:
            used, codes = np.unique(coded[source][0][rows], return_inverse=True)
            if used.size > 1:
                factors.append((source, np.asarray(codes.reshape(-1), dtype=np.int64), int(used.size)))
        fixed = [source for source in sources if source not in {name for name, _, _ in factors}]
        if fixed:
            notes.append(f"On {task} {', '.join(fixed)} takes one value only and has no component.")
        saturated = [name for name, _, levels in factors if levels >= int(rows.sum())]
        if not factors or int(rows.sum()) < 3 or saturated:
            notes.append(f"{task} has too few scores for variance components and is left out.")
            continue
        fit, draws = _fit_components(scores.y[rows], factors, replicates, seed + d)
        records += _task_records(task, [name for name, _, _ in factors], fit, draws, int(rows.sum()))
    if not records:
        raise AnalysisError(
            f"none of {', '.join(sources)} has a variance component: within every {scores.group} it is constant or has"
            " one score a value; name other --components"
        )
    return records, notes


def _task_records(
    task: str, names: list[str], fit: dict[str, Any], draws: dict[str, Floats] | None, rows: int
) -> list[TaskShare]:
    variance = fit["variance"]
    among = _percent(variance, np.full_like(variance, variance.sum()))
    total = 100.0 * variance / (variance.sum() + fit["residual"])
    shares = None
    if draws is not None:
        whole = draws["variance"].sum(axis=1, keepdims=True)
        shares = _percent(draws["variance"], np.broadcast_to(whole, draws["variance"].shape))
    top = int(np.argmax(variance)) if variance.max() > 0.0 else -1
    return [
        {
            "group": task,
            "source": name,
            "estimate": float(among[k]),
            **spread(None if shares is None else shares[:, k]),
            "p": fit["p"][k],
            "variance": float(variance[k]),
            "percent_with_residual": float(total[k]),
            "largest": k == top,
            "residual_variance": fit["residual"],
            "reml": fit["reml"],
            "n": rows,
        }
        for k, name in enumerate(names)
    ]


def _grid_terms(scores: Scores, columns: Sequence[str]) -> tuple[list[tuple[str, Ints, int]], list[str]]:
    """List main effects and two-way interactions that can be told apart, and say why others cannot."""
    rows = len(scores.y)
    terms: list[tuple[str, Ints, int]] = []
    notes: list[str] = []
    seen: dict[bytes, str] = {}
    main = []

    def consider(name: str, codes: Ints) -> bool:
        # Renumber by first appearance, so that equal partitions of the rows are equal arrays.
        _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
        order = np.argsort(np.argsort(first))
        partition = order[inverse.reshape(-1)].astype(np.int64)
        count = int(first.size)
        if count < 2:
            return False
        if count == rows:
            notes.append(f"{name} has one score a cell, so its component is part of the residual.")
            return False
        twin = seen.setdefault(partition.tobytes(), name)
        if twin != name:
            notes.append(f"{name} divides the rows exactly as {twin} does, so it has no component of its own.")
            return False
        terms.append((name, partition, count))
        return True

    for column in dict.fromkeys(columns):
        codes, levels = labels(scores.table, column)
        if consider(column, codes):
            main.append((column, codes, len(levels)))
    for (a, a_codes, _), (b, b_codes, b_levels) in combinations(main, 2):
        consider(f"{a} x {b}", a_codes * b_levels + b_codes)
    while len(terms) > 1 and sum(count - 1 for _, _, count in terms) > _MAX_GRID_COLUMNS:
        widest = max(terms, key=lambda term: term[2])
        notes.append(f"{widest[0]} has {widest[2]} cells and was left out of the division: too many for an exact fit.")
        terms.remove(widest)
    return terms, notes


def grid_components(
    scores: Scores, columns: Sequence[str], replicates: int = 0, seed: int = 0
) -> tuple[list[GridShare], list[str]]:
    """Divide the variance of a whole grid among its factors and their two-way interactions.

    Parameters
    ----------
    scores : Scores
        Standardised scores have no task component by construction; natural scores are divided as they were in the
        table, and show it.
    columns : sequence of str
        Factors of the grid; those with one level are passed over.
    replicates : int
        Bootstrap refits for the intervals; 0 for none. Fewer are made when the grid is so large that they would take
        more than some ten seconds, and none if fewer than 100 would fit.
    seed : int

    Returns
    -------
    records : list of GridShare
        One per term and one for the residual: ``term``, ``estimate`` (percent of the whole variance, residual
        included), ``se``, ``lower``, ``upper``, ``p``, ``variance``, ``levels``, ``replicates``.
    notes : list of str
        Terms that cannot be told apart, and why.
    """
    terms, notes = _grid_terms(scores, columns)
    if not terms:
        return [], [*notes, "No factor of the grid varies over several scores, so there is no variance to divide."]
    width = sum(count - 1 for _, _, count in terms)
    affordable = int(_BUDGET / (1e-3 + 1e-8 * width**3))
    wanted = min(replicates, affordable) if affordable >= 100 else 0
    if replicates and wanted < replicates:
        made = f"{wanted} replicates" if wanted else "no replicates"
        notes.append(f"The grid's division has {width} random columns, so its intervals come from {made}.")
    y = numbers(scores.table, scores.score) if scores.natural else scores.y
    fit, draws = _fit_components(y, terms, wanted, seed)
    variance = np.append(fit["variance"], fit["residual"])
    percent = 100.0 * variance / variance.sum()
    shares = None
    if draws is not None:
        every = np.column_stack([draws["variance"], draws["residual"]])
        shares = 100.0 * every / every.sum(axis=1, keepdims=True)
    names = [name for name, _, _ in terms] + ["residual"]
    counts: list[int | None] = [count for _, _, count in terms] + [None]
    tests: list[float | None] = [*fit["p"], None]
    return [
        {
            "term": name,
            "estimate": float(percent[k]),
            **spread(None if shares is None else shares[:, k]),
            "p": tests[k],
            "variance": float(variance[k]),
            "levels": counts[k],
            "replicates": wanted,
        }
        for k, name in enumerate(names)
    ], notes
