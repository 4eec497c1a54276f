"""Collects from a store what a report shows: runs, costs, failures, what is missing of a study, what to cite."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from analysis.report.document import (
    Document,
    FailureRow,
    MetricRow,
    RunMap,
    RunRow,
    SourceRow,
    StepRow,
    StudyRow,
    TaskRow,
    TopicMap,
)
from benchmark.audio.deformations import DEFORMATIONS, parse_deformation
from benchmark.comparison.reproduce import commands
from benchmark.console import Reporter, Silent
from benchmark.errors import UserError
from benchmark.factors import COLUMNS, in_cells
from benchmark.plain_files import read_plain, read_within
from benchmark.plan.run_tables import carried_by
from benchmark.plan.runs import Lost, Plan, Run
from benchmark.plan.studies import Study
from benchmark.pretraining.curve_file import read_probe_scores
from benchmark.registry.overrides import in_words
from benchmark.registry.registry import Registry
from benchmark.report.citations import citations
from benchmark.report.label_counts import task_label_counts
from benchmark.report.label_sources import label_sources
from benchmark.scores.records import (
    NO_RECORD,
    SCORE,
    Score,
    ScoreRecord,
    StepCost,
    newest,
    no_record,
    read_record,
    run_name,
    trained_network,
)
from benchmark.steps import KINDS
from benchmark.store.store import UNREADABLE, check_store

SCHEMA_VERSION = 1
_FAILED = re.compile(r"^\S+ \S+ failed: (?P<cause>.*)$", re.MULTILINE)


def collect(
    store: Path,
    registry: Registry,
    study: Study | None = None,
    plan: Plan | None = None,
    study_given: str = "",
    look: bool = False,
    reporter: Reporter | None = None,
    limited: bool = False,
) -> Document:
    """Everything a report shows, as `analysis.report` takes it.

    Parameters
    ----------
    store
        The store's folder; nothing in it is changed or run.
    registry
        Says what names mean; names that it does not hold are shown without description.
    study, plan
        Keep to a study's runs, and say which are missing or cannot be had.
    study_given
        How the user named the study.
    look
        Add maps of test clips.
    reporter
        Shows progress, and is told what cannot be read and is left out; ``None`` shows none, and that is an error.
    limited
        Show runs on a few clips alone too.

    Returns
    -------
    Document
        Which JSON can hold.

    Raises
    ------
    UserError
        If there is no score to report, or the store is of another format.
    """
    check_store(store)
    planned = None if plan is None else plan.runs
    folder = store / "artifacts" / SCORE
    there = {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()
    wanted = sorted(there) if planned is None else [run.score.key for run in planned if run.score.key in there]
    if not wanted:
        which = f" of study {study.name}" if study else ""
        raise UserError(f"{store}: holds no score record{which}; `bench run` makes some")
    reporter = reporter or Silent()
    read: list[tuple[str, ScoreRecord, RunRow]] = []
    tried = 0
    with ThreadPoolExecutor(4) as pool, reporter.progress("read scores", len(wanted), "records") as advance:
        for key, found in zip(wanted, pool.map(_read, [folder / key for key in wanted]), strict=True):
            if isinstance(found, str):
                reporter.leave_out(found)
            elif found[0].limit is not None and not limited:
                tried += 1
            else:
                read.append((key, *found))
            advance(1)
    if tried:
        reporter.warn(f"{tried:,} scores of runs with --limit are left out; --limited shows them")
    if not read and tried:
        raise UserError(f"{store}: holds scores of runs with --limit alone, which say nothing; run without it")
    if not read:
        raise UserError(
            f"{store}: not one of {len(wanted):,} score records can be read; `bench store verify` finds damaged "
            "artifacts, and `bench run` makes them anew"
        )
    last = newest(read, lambda found: run_name(found[1]), lambda found: folder / found[0])
    records = [record for _, record, _ in last]
    runs = [row for _, _, row in last]
    if planned is None:
        runs.sort(key=_place)
    if study is not None:
        for row, carried in carried_by([{**_in_tables(run), "row": run} for run in runs], study.tabled):
            if carried:
                row["row"]["carried"] = dict(carried)
    # Keys become paths further on; a stranger's record may name anything.
    steps = {step.key: _step(step) for record in records for step in record.steps if step.key.isalnum()}
    sources = label_sources(store, steps)
    layers = _embeddings(store, runs, steps)
    tasks = _tasks(registry, sorted({run["task"] for run in runs}))
    real = any(not run["standin"] for run in runs)
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "report",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "bench": importlib.metadata.version("bench-music"),
        "study": _study(study, plan, there),
        "runs": runs,
        "older": len(read) - len(last),
        "steps": steps,
        "layers": layers,
        "tasks": tasks,
        "metrics": _metric_titles(runs),
        "descriptions": _descriptions(registry, runs),
        "trainings": _trainings(store, steps),
        "sources": sources,
        "deformations": _deformation_units(runs),
        "label_counts": task_label_counts(store, runs, steps),
        "maps": _maps(store, runs, steps, reporter) if look else [],
        "topics": _topics(store, runs, steps, sources) if look else [],
        "failures": [*(_unplanned(plan.lost) if plan else []), *_failures(store, planned, reporter)],
        "commands": _study_commands(study_given, real) if study else _run_commands(records),
        "versions": _versions(records),
        "citations": citations(
            registry,
            _names(part for record in records for part in record.encoders),
            _names(run["recipe_name"] for run in runs),
            _names(run["protocol"] for run in runs),
            _names([*(task["dataset"] for task in tasks.values()), *_corpora(registry, runs)]),
        ),
    }


def _place(run: RunRow) -> tuple[str, ...]:
    return run["task"], run["encoder"], run["recipe"], run["protocol"], str(run["corpus"])


def _read(folder: Path) -> tuple[ScoreRecord, RunRow] | str:
    """A record and its row, or why it has none."""
    try:
        record = read_record(folder)
        return record, _run(folder.name, record)
    except NO_RECORD as error:
        return no_record(folder, error)


def _run(key: str, record: ScoreRecord) -> RunRow:
    leading = next(iter(record.metrics))
    departs = list(record.departures())
    metrics = {
        name: _metric(score, name == leading and not departs and len(score.per_label) > 1)
        for name, score in record.metrics.items()
    }
    epochs, pairs = _length(record)
    if record.deform is not None:
        parse_deformation(record.deform)
    row = {
        **record.columns(),  # those of a row, and a further factor's beside them
        "key": key,
        "departs": departs,
        "encoders": list(record.encoders),
        "recipe_name": record.recipe_name,
        "overrides": {key: in_words(value) for key, value in record.settings.items()},
        "epochs": epochs,
        "pairs": pairs,
        "standin": record.data == "stand-in",
        "fingerprint": record.fingerprint,
        "n_test": record.n_scored["test"],
        "n_expected": record.n_expected["test"],
        "lacking": record.lacking_in_words(),
        "overlap": {
            "clips": record.overlap.clips,
            "recordings": record.overlap.recordings,
            "artists": record.overlap.artists,
            "labelled": record.overlap.labelled,
        },
        "published": max((weights.trained_on for weights in record.published), default=""),
        "unscored": record.unscored_labels,
        "parameters": record.parameters,
        "dim": record.dim,
        "weights": record.weights_sha256,
        "network": trained_network(record.recipe_name, record.weights_sha256),
        "finished": record.finished,
        "steps": [step.key for step in record.steps],
        "metrics": metrics,
    }
    return cast(RunRow, row)


def _metric(score: Score, by_label: bool) -> MetricRow:
    row: MetricRow = {
        "value": score.value,
        "lower": score.lower,
        "upper": score.upper,
        "level": score.level,
        "rough": score.rough,
        "floor": score.floor,
        "n_labels": score.n_labels,
        "n_clips": score.n_clips,
        "folds": score.folds,
    }
    if by_label:
        row["per_label"] = score.per_label
    return row


def _step(step: StepCost) -> StepRow:
    return {
        "kind": step.kind,
        "key": step.key,
        "seconds": step.seconds,
        "peak_memory_bytes": step.peak_memory_bytes,
        "device": step.device,
        "peak_gpu_memory_bytes": step.peak_gpu_memory_bytes,
    }


def _length(record: ScoreRecord) -> tuple[int | None, int | None]:
    """Epochs and pairs of the pretraining, as its own step's spec says."""
    for entry in record.spec.get("lineage", {}).values():
        if entry.get("kind") in ("pretrain", "supervise"):
            recipe = entry["spec"].get("recipe", {})
            return recipe.get("epochs"), recipe.get("pairs")
    return None, None


def _embeddings(store: Path, runs: Sequence[RunRow], steps: Mapping[str, StepRow]) -> dict[str, list[str]]:
    """Put window counts beside the embed steps; returns, in order, the layers of encoders whose layers were probed."""
    layers: dict[str, list[str]] = {}
    facts: dict[str, Any] = {}
    for key, step in steps.items():
        if step["kind"] == "embed":
            try:
                facts[key] = json.loads(read_within(store / "artifacts" / "embed" / key, "manifest.json"))["facts"]
                step["windows"] = int(facts[key]["windows"])
            except UNREADABLE:
                continue  # deleted or damaged: its cost is still in the records
    for run in runs:
        if run["layer"] is not None:
            for key in run["steps"]:
                if run["layer"] in facts.get(key, {}).get("dims", {}):
                    layers[run["encoder"]] = list(facts[key]["dims"])
    return layers


def _trainings(store: Path, steps: Mapping[str, StepRow]) -> dict[str, list[tuple[float, float]]]:
    """Epochs and validation scores of the pretrainings that were probed on the way."""
    folder = store / "artifacts" / "pretrain"
    found = {key: read_probe_scores(folder / key) for key, step in steps.items() if step["kind"] == "pretrain"}
    # Of one deleted or damaged, the scores on test clips are still in the records.
    return {key: points for key, points in found.items() if len(points) > 1}


def _maps(store: Path, runs: Sequence[RunRow], steps: Mapping[str, StepRow], reporter: Reporter) -> Sequence[RunMap]:
    from benchmark.visualisation.maps import clip_maps  # scikit-learn takes a while to import

    return clip_maps(store, runs, steps, reporter)


def _topics(
    store: Path, runs: Sequence[RunRow], steps: Mapping[str, StepRow], sources: Sequence[SourceRow]
) -> Sequence[TopicMap]:
    from benchmark.visualisation.topics import topic_maps  # as maps

    return topic_maps(store, runs, steps, sources)


def _in_tables(run: RunRow) -> dict[str, Any]:
    """A run as tables of scores have it."""
    row = cast(Mapping[str, Any], run)
    return {column: in_cells(row[column]) for column in COLUMNS}


def _study(study: Study | None, plan: Plan | None, there: set[str]) -> StudyRow | None:
    if study is None or plan is None:
        return None
    missing = [run.cell.title() for run in plan.runs if run.score.key not in there]
    missing += [lost.cell.title() for lost in plan.lost]
    return {
        "name": study.name,
        "description": study.description,
        "source": study.source,
        "planned": len(plan.runs) + len(plan.lost),
        "missing": missing,
    }


def _tasks(registry: Registry, names: Iterable[str]) -> dict[str, TaskRow]:
    found: dict[str, TaskRow] = {}
    for name in names:
        entry = registry.sections["tasks"].get(name)
        found[name] = {
            "description": getattr(entry.entry, "description", "") if entry else "",
            "dataset": getattr(entry.entry, "dataset", name) if entry else name,
        }
    return found


def _metric_titles(runs: Sequence[RunRow]) -> dict[str, str]:
    from tasks.metrics import METRICS, split_name

    titles = {}
    for name in _names(name for run in runs for name in run["metrics"]):
        base, part = split_name(name)
        title = METRICS[base].title if base in METRICS else base
        titles[name] = f"{title}, {part}" if part else title
    return titles


def _descriptions(registry: Registry, runs: Sequence[RunRow]) -> dict[str, dict[str, str]]:
    """One sentence an encoder, recipe, protocol and corpus, where the registry has it."""
    wanted = {
        "encoders": [part for run in runs for part in run["encoders"]],
        "recipes": [run["recipe_name"] for run in runs],
        "protocols": [run["protocol"] for run in runs],
        "corpora": [run["corpus"] for run in runs if run["corpus"]],
    }
    found: dict[str, dict[str, str]] = {}
    for section, names in wanted.items():
        entries = registry.sections[section]
        found[section] = {
            name: str(getattr(entries[name].entry, "description", "")) for name in _names(names) if name in entries
        }
    return found


def _deformation_units(runs: Sequence[RunRow]) -> dict[str, str]:
    names = _names(run["deform"].partition("=")[0] for run in runs if run["deform"])
    return {name: DEFORMATIONS[name].unit for name in names if name in DEFORMATIONS}


def _run_commands(records: Sequence[ScoreRecord]) -> list[str]:
    """Commands for real data and, apart, for stand-ins, which come when no folder of data is named."""
    return [
        command
        for data in ("real", "stand-in")
        for command in commands(
            [record for record in records if record.data == data],
            data == "real",
            lambda record: record.overlap.labelled > 0,
        )
    ]


def _unplanned(lost: Sequence[Lost]) -> list[FailureRow]:
    """Why runs of a study cannot be had, each cause once, with the first of the runs."""
    first = {each.cause: each.cell for each in reversed(lost)}
    found: list[FailureRow] = [{"title": cell.title(), "cause": cause, "log": ""} for cause, cell in first.items()]
    return found[::-1]


def _failures(store: Path, planned: Sequence[Run] | None, reporter: Reporter) -> list[FailureRow]:
    """Steps whose log ends in a failure and that have not been computed since."""
    titles = {}
    if planned is not None:
        titles = {(step.kind, step.key): step.title for run in planned for step in run.score.lineage()}
    found: list[FailureRow] = []
    for log in sorted((store / "logs").glob("*-*.log")):
        kind, _, key = log.stem.partition("-")
        if kind not in KINDS or (store / "artifacts" / kind / key).exists():
            continue
        if planned is not None and (kind, key) not in titles:
            continue
        try:
            causes = _FAILED.findall(read_plain(log).decode(errors="replace"))
        except (UserError, OSError) as error:
            reporter.leave_out(str(error))
            continue
        if causes:
            title = titles.get((kind, key), f"{kind} {key[:12]}")
            found.append({"title": title, "cause": causes[-1].replace(str(store), "STORE"), "log": f"logs/{log.name}"})
    return found


def _study_commands(study: str, real: bool) -> list[str]:
    options = ["--study", study, *(["--data", "DIR"] if real else [])]
    return [shlex.join(["bench", "run", *options]), shlex.join(["bench", "report", *options, "-o", "report.html"])]


def _versions(records: Sequence[ScoreRecord]) -> dict[str, list[str]]:
    """Every version of each package that some score was computed with, the most frequent first."""
    counts: dict[str, Counter[str]] = {}
    for record in records:
        for package, version in record.versions.items():
            counts.setdefault(package, Counter())[version] += 1
    return {package: [version for version, _ in counter.most_common()] for package, counter in counts.items()}


def _corpora(registry: Registry, runs: Sequence[RunRow]) -> list[str]:
    entries = registry.sections["corpora"]
    names = _names(run["corpus"] for run in runs if run["corpus"])
    return [str(getattr(entries[name].entry, "dataset", name)) for name in names if name in entries]


def _names(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
