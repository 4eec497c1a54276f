"""Results of ``bench design``: proposed runs with their balance and aliasing, and the size of a study."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.design.fractional import Candidates, level_text, next_runs, replay
from analysis.design.levels import PlannedLevels
from analysis.design.power import MAX_TASKS, PlannedTests
from analysis.documents.design import DesignDocument, PlannedPair, ProposedRuns, StudySize
from analysis.errors import AnalysisError
from analysis.options import DesignOptions, listed, names
from analysis.output import write_json
from analysis.statistics.aliasing import alias_matrix, worst_alias
from analysis.tables import cells
from analysis.tables.expressions import derive as derive_columns
from analysis.tables.expressions import where as keep_where
from analysis.tables.long_tables import need, read_table
from analysis.tables.writing import write_csv


def parse_factors(texts: list[str]) -> dict[str, list[Any]]:
    """Read ``name=level,level,...`` texts; levels that are all numbers become numbers.

    Raises
    ------
    AnalysisError
        If a text has no name, or a name comes twice.
    """
    result: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        levels: list[Any] = [value.strip() for value in values.split(",") if value.strip()]
        if not equals or not name.strip() or not levels:
            raise AnalysisError(f"--factor {text!r}: write NAME=LEVEL,LEVEL,... for example self=0,1")
        if name.strip() in result:
            raise AnalysisError(f"--factor {name.strip()!r} is given twice: list all its levels once")
        result[name.strip()] = cells.values(levels).tolist()
    return result


def design_result(options: DesignOptions) -> tuple[ProposedRuns, pd.DataFrame | None]:
    """Propose runs, judge a sequence, and describe the design.

    Returns
    -------
    result : ProposedRuns
    matrix : DataFrame or None
        Alias matrix of the design, earlier runs included; None while it has fewer than two runs.

    Raises
    ------
    AnalysisError
        For malformed factors, or too few candidates.
    """
    possible = _candidates(options)
    before = _earlier_runs(options)
    result: ProposedRuns = {
        "factors": possible.factors,
        "kept_apart": possible.alias_factors,
        "candidates": len(possible.table),
        "start": 0 if before is None else len(before),
        "runs": [],
        "steps": [],
        "unbalance": None,
        "levels": None,
        "worst_alias": None,
        "replay": None,
    }
    chosen = None
    if options.runs:
        picks = next_runs(possible, options.runs, before, options.seed)
        chosen = picks.runs
        result["runs"] = [
            {str(name): _plain(value) for name, value in row.items()} for row in picks.runs.to_dict("records")
        ]
        result["steps"] = [
            {"unbalance": unbalance, "n_optimal": optimal, "aliasing": aliasing}
            for unbalance, optimal, aliasing in zip(picks.unbalance, picks.optimal, picks.aliasing, strict=True)
        ]
        result["unbalance"] = picks.unbalance[-1]
        result["levels"] = picks.levels
    if options.replay is not None:
        steps = replay(possible, read_table(options.replay), before)
        result["replay"] = {"runs": len(steps), "optimal": sum(step["optimal"] for step in steps), "steps": steps}
    made = [frame[possible.factors] for frame in (before, chosen) if frame is not None]
    matrix = None
    if sum(len(frame) for frame in made) > 1:
        whole = pd.concat([frame.map(level_text) for frame in made], ignore_index=True)
        varied = [name for name in possible.factors if len(set(whole[name])) > 1]
        if len(varied) > 1:
            matrix = alias_matrix(whole, varied)
            apart = [i for i, name in enumerate(matrix.attrs["owner"]) if name in possible.alias_factors]
            value, a, b = worst_alias(matrix.iloc[apart, apart])
            result["worst_alias"] = {"value": value, "a": a, "b": b}
    return result, matrix


def _candidates(options: DesignOptions) -> Candidates:
    factors, derive, keep_out = listed(options.factors), listed(options.derive), names(options.keep_out)
    if factors and options.candidates is not None:
        raise AnalysisError("give either --factor or --candidates, not both: candidates already list every run")
    if options.candidates is not None:
        table = read_table(options.candidates)
        table = derive_columns(table, derive) if derive else table
        table = keep_where(table, options.where) if options.where else table
        return Candidates.from_table(table, keep_out=keep_out)
    possible = Candidates.from_levels(parse_factors(factors), derive, options.where, keep_out)
    need(possible.table, keep_out)
    return possible


def _earlier_runs(options: DesignOptions) -> pd.DataFrame | None:
    if options.start is None:
        return None
    before = read_table(options.start)
    missing = [text for text in listed(options.derive) if text.partition("=")[0].strip() not in before.columns]
    return derive_columns(before, missing) if missing else before


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    return int(value) if isinstance(value, float) and value.is_integer() else value


def power_result(options: DesignOptions) -> StudySize:
    """Say how many tasks, or scores per cell, it takes until levels of an analysis are called different.

    Raises
    ------
    AnalysisError
        If there is no analysis or no difference, or the analysis has no such levels.
    """
    source, difference, chosen = options.analysis, options.difference, names(options.levels)
    if source is None or difference is None:
        raise AnalysisError("planning needs both --analysis FILE (an analysis.json) and --difference D, say 0.2")
    levels, unit = _analysed(source)
    if not levels.levels:
        raise AnalysisError(
            f"--analysis {source}: model ordinal has no levels to plan for; analyse with --model factor"
        )
    unknown = [level for level in chosen if level not in levels.levels]
    if unknown or len(set(chosen)) not in (0, 2):
        known = ", ".join(levels.levels)
        raise AnalysisError(f"--levels {','.join(chosen)!r}: name two of the analysis's levels ({known}), or none")
    pairs = [(chosen[0], chosen[1])] if chosen else list(combinations(levels.names, 2))
    tests = PlannedTests(levels, difference, options.alpha, pairs)
    tasks, repeats = options.tasks or levels.tasks, options.repeats or levels.seeds
    every: list[PlannedPair] = [
        {
            "a": a,
            "b": b,
            "tasks": tasks,
            "repeats": repeats,
            "power_now": tests.power(a, b, tasks, repeats),
            "tasks_needed": tests.tasks_needed(a, b, repeats, options.power),
            "repeats_needed": tests.seeds_needed(a, b, tasks, options.power),
            "seeds_known": levels.seeds_known,
            "covers_training": levels.covers_training(a, b, repeats),
        }
        for a, b in pairs
    ]
    result: StudySize = {
        "difference": difference,
        "power": options.power,
        "alpha": options.alpha,
        "levels": len(levels.levels),
        "comparisons": len(tests.pairs),
        "pairs": every,
        "summary": [],
    }
    result["summary"] = [_heading(result, levels, unit), *(_say(pair, levels) for pair in every)]
    return result


def _analysed(source: str | Path) -> tuple[PlannedLevels, str]:
    """Levels of an analysis that was written, and its unit."""
    try:
        fitted = json.loads(Path(source).read_text(encoding="utf-8"))
        levels = PlannedLevels.from_json(fitted)
        metrics = [str(scale["metric"]) for scale in fitted["standardisation"].values()]
        return levels, metrics[0] if levels.natural else "SD"
    except AnalysisError as error:
        raise AnalysisError(f"--analysis {source}: {error}") from error
    except OSError as error:
        raise AnalysisError(f"--analysis {source}: cannot be read ({error.strerror}); name an analysis.json") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise AnalysisError(f"--analysis {source}: is no analysis.json of bench analyze; make one first") from error


def _heading(result: StudySize, levels: PlannedLevels, unit: str) -> str:
    """Say what is planned for: the test, and what it covers."""
    count = result["comparisons"]
    holm = f", adjusted for all {count} pairs (Holm)," if count > 1 else ""
    pairs = result["pairs"]
    covered = [pair["covers_training"] for pair in pairs if levels.trained(pair["a"], pair["b"])]
    if not covered:
        luck = ""
    elif all(covered):
        luck = "; the luck of training is counted"
    else:
        luck = (
            "; one network a level does not show the luck of training: only that these networks differ is planned for,"
            " and bench analyze calls nothing that was trained different"
        )
    return (
        f"Planned for a probability of {result['power']:.0%} that p{holm} is below {result['alpha']:g} where two of"
        f" {result['levels']} levels truly differ by {result['difference']:g} {unit}{luck}."
    )


def _say(pair: PlannedPair, levels: PlannedLevels) -> str:
    tasks, repeats, seeds = pair["tasks_needed"], pair["repeats"], pair["repeats_needed"]
    more = f"needs {tasks} tasks" if tasks else f"cannot be had with {MAX_TASKS} tasks or fewer"
    if not pair["seeds_known"]:
        same = "what more seeds would bring is not known from one score per cell"
    elif not seeds:
        same = "no number of scores per cell is enough"
    else:
        same = f"{_scores(seeds)} per cell would do"
    if levels.trained(pair["a"], pair["b"]) and not pair["covers_training"]:
        what = f"To tell the networks of {pair['a']} and {pair['b']} apart"
    else:
        what = f"To tell {pair['a']} from {pair['b']}"
    return f"{what} {more} at {_scores(repeats)} per cell; on {pair['tasks']} tasks the power is" + (
        f" {pair['power_now']:.0%} and {same}."
    )


def _scores(count: int) -> str:
    return "1 score" if count == 1 else f"{count} scores"


def sentences(result: DesignDocument) -> list[str]:
    """Put a result of `analysis.commands.design` into words, one line a run.

    Parameters
    ----------
    result : DesignDocument
    """
    lines: list[str] = []
    design = result["design"]
    if design is not None:
        for run, step in zip(design["runs"], design["steps"], strict=True):
            levels = ", ".join(f"{name}={value}" for name, value in run.items())
            lines.append(f"{levels} (one of {step['n_optimal']} equally good; unbalance then {step['unbalance']:g})")
        if design["replay"] is not None:
            lines.append(f"{design['replay']['optimal']} of {design['replay']['runs']} choices were balance-optimal.")
        if design["worst_alias"] is not None:
            worst = design["worst_alias"]
            lines.append(f"Hardest to tell apart: {worst['a']} and {worst['b']}, correlation {worst['value']:.3f}.")
    if result["power"] is not None:
        lines += result["power"]["summary"]
    return lines


def write_design(result: DesignDocument, matrix: pd.DataFrame | None, folder: Path, *, figures: bool) -> None:
    """Write ``design.json`` and, as far as they were asked for, runs, alias matrix and power as tables and figure."""
    if result["design"] and result["design"]["runs"]:
        write_csv(pd.DataFrame(result["design"]["runs"]), folder / "runs.csv")
        result["files"].append("runs.csv")
    if matrix is not None:
        write_csv(matrix, folder / "alias.csv", index=True)
        result["files"].append("alias.csv")
        if figures:
            from analysis import figures as draw

            draw.save(draw.alias(matrix), folder / "alias.png")
            result["files"].append("alias.png")
    if result["power"]:
        write_csv(pd.DataFrame(result["power"]["pairs"]), folder / "power.csv")
        result["files"].append("power.csv")
    result["files"].append("design.json")
    write_json(result, folder / "design.json")
