"""`bench run`: pretrain if needed, embed, probe, score."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from benchmark.commands.common import (
    interruptible,
    open_registry,
    print_document,
    say_broken,
    say_lost,
    store_folder,
)
from benchmark.commands.run_options import RunOptions

if TYPE_CHECKING:
    from benchmark.console import Reporter
    from benchmark.engine.engine import Engine
    from benchmark.engine.progress import Loss
    from benchmark.plan.requests import Request
    from benchmark.plan.runs import Plan, Run
    from benchmark.plan.studies import Study
    from benchmark.registry.registry import Registry
    from benchmark.store.step import Step
    from benchmark.store.store import Store

#: Records whose paths are worth listing.
LISTED = 20


def run(options: RunOptions) -> None:
    """Pretrain if needed, embed, probe, score.

    Example: bench run --encoder tune_plus --task mtt
    """
    from benchmark.console import Reporter
    from benchmark.engine.engine import Engine
    from benchmark.store.storage_errors import storage_errors
    from benchmark.store.store import Store

    reporter = Reporter()
    options.training()  # before a study is read
    study = options.chosen_study()
    requests = options.requests(study)
    registry = open_registry(options.registry_files)
    store = Store(store_folder(options.store_path))
    plan = _planned(options, study, requests, registry, store, reporter)
    if not say_lost(plan):
        raise typer.Exit(2)
    say_broken(registry)
    anew = {step.key for step in _anew(plan.runs)} if options.force else set()
    engine = Engine(store, reporter, anew)
    if options.cluster is None:
        from benchmark.forecast.large_batches import say_memory

        say_memory(plan.runs, engine, reporter)
    if options.dry_run:
        _show_plan(options, plan, engine, store, reporter)
        return
    _remark(plan.runs, reporter)
    if anew:
        with storage_errors(store.root):
            for step in _anew(plan.runs):
                store.delete(step.kind, step.key)
        engine = Engine(store, reporter)
    losses = _computed(options, plan.runs, engine, store, reporter)
    _show(plan, Engine(store, reporter), losses, reporter, options)


def _planned(
    options: RunOptions,
    study: Study | None,
    requests: Sequence[Request],
    registry: Registry,
    store: Store,
    reporter: Reporter,
) -> Plan:
    """What can be had of what is asked for, and what cannot."""
    from benchmark.plan.contamination import contamination
    from benchmark.plan.origins import announce, in_use
    from benchmark.plan.planner import Planner
    from benchmark.plan.studies import check_matched
    from benchmark.plan.trainings import trained_then
    from benchmark.store.storage_errors import storage_errors

    then = options.then
    used = [*in_use(registry, requests), *([registry.recipe(then)] if then is not None else [])]
    announce(registry, used, reporter)
    if then is not None:
        requests = [trained_then(request, then, registry) for request in requests]
    with storage_errors(store.root):
        planner = Planner(registry, store, reporter, options.data)
        plan = planner.plan(requests)
        if study is not None:
            plan = study.chosen(plan)
            if study.matched_parameters is not None:
                from benchmark.forecast.sizes import parameter_counts

                check_matched(study, parameter_counts(plan.runs))
        for line in contamination(planner, plan.runs):
            reporter.warn(line)
    return plan


def _anew(runs: Sequence[Run]) -> list[Step]:
    """Steps that `--force` computes again: all but trainings, which took longest, and what these rest on."""
    from benchmark.plan.runs import unique_steps

    steps = unique_steps(runs)
    kept = {before.key for step in steps if step.of.trains for before in step.lineage()}
    return [step for step in steps if step.key not in kept and step.kind != "standin"]


def _remark(runs: Sequence[Run], reporter: Reporter) -> None:
    """Say what the scores will not be worth."""
    if any(step.kind == "standin" for run in runs for step in run.score.lineage()):
        reporter.warn(
            "No --data given: using the STAND-IN, synthetic music whose scores mean nothing outside this program"
        )
    elif any(run.cell.recipe_name.startswith("demo") for run in runs):
        reporter.warn("Recipe demo is a short demonstration; --recipe tune is the published pretraining")


def _computed(
    options: RunOptions, runs: Sequence[Run], engine: Engine, store: Store, reporter: Reporter
) -> Sequence[Loss]:
    """Compute what is missing of runs; returns what was lost."""
    from benchmark.engine.execution import ComputeTarget, carry_out, sensible_jobs
    from benchmark.store.storage_errors import storage_errors

    jobs = options.jobs
    with interruptible(reporter), storage_errors(store.root):
        if jobs is None:
            jobs = sensible_jobs(runs, engine, reporter) if options.cluster is None and len(runs) > 1 else 1
        target = ComputeTarget(jobs, options.cluster, options.config)
        return carry_out(runs, store, engine, reporter, target, " ".join(["bench", *sys.argv[1:]]))


def _show_plan(options: RunOptions, plan: Plan, engine: Engine, store: Store, reporter: Reporter) -> None:
    """Print the steps of what can be had; exit code 1 if something cannot, 2 if nothing can."""
    from benchmark.errors import UserError
    from benchmark.forecast.history import History
    from benchmark.forecast.plan_table import plan_table
    from benchmark.forecast.rates import Rates, gpu_name
    from benchmark.forecast.sizes import planned_steps

    jobs = None if options.cluster else options.jobs or 1
    history = History(store, gpu_name())
    steps, causes = planned_steps(plan.runs, engine, Rates(store, reporter), history, jobs)
    if not steps and len(causes) == 1 and not plan.lost:
        raise UserError(causes[0])
    for cause in causes:
        reporter.warn(f"failed: {cause}")
    if not steps:
        raise typer.Exit(2)
    print_document([vars(step) for step in steps] if options.as_json else plan_table(steps))
    if causes or plan.lost:
        raise typer.Exit(1)


def _say_unreadable(plan: Plan, engine: Engine, reporter: Reporter) -> None:
    """Name what the runs' audio lacks because it could not be read, also when it was prepared; exit code 1 follows."""
    from benchmark.plan.runs import unique_steps
    from benchmark.steps import prepare
    from benchmark.store.pcm import PROBLEMS

    for step in unique_steps(plan.runs):
        if step.kind != prepare.KIND.name or (artifact := engine.current(step)) is None:
            continue
        if files := prepare.unreadable_files(artifact):
            path, why = next(iter(files.items()))
            more = f" and {len(files) - 1:,} more" if len(files) > 1 else ""
            reporter.leave_out(f"{path}: {why}{more} ({step.title}); all are listed in {artifact / PROBLEMS}")


def _show(plan: Plan, engine: Engine, losses: Sequence[Loss], reporter: Reporter, options: RunOptions) -> None:
    """Print the scores that there are, and end with exit code 1 if some are missing, or 2 if all are."""
    from benchmark.commands.next_steps import next_steps
    from benchmark.comparison.score_tables import score_tables
    from benchmark.scores.records import NO_RECORD, mark_used, no_record, read_record

    found = {run.score.key: engine.current(run.score) for run in plan.runs}
    artifacts = [artifact for artifact in found.values() if artifact is not None]
    for artifact in artifacts:
        mark_used(artifact.path)
    records = []
    for artifact in artifacts:
        try:
            records.append(read_record(artifact.path))
        except NO_RECORD as error:
            reporter.leave_out(no_record(artifact.path, error))
    print_document([record.model_dump(mode="json") for record in records] if options.as_json else score_tables(records))
    if not options.as_json:
        for artifact in artifacts if len(artifacts) <= LISTED else []:
            reporter.say(f"record: {artifact / 'record.json'}")
        for line in next_steps(records, options.store_path, options.data, options.registry_files):
            reporter.say(f"next: {line}")
    _say_unreadable(plan, engine, reporter)
    asked = len(plan.runs) + len(plan.lost)
    if len(artifacts) < asked:
        reporter.warn(f"{asked - len(artifacts)} of {asked} runs are missing; the same command tries them again")
        # Where nothing that was asked for can be had and the user has to put it right, the command is wrong.
        some = any(found[run.score.key] is not None for run in plan.without_twins().runs)
        raise typer.Exit(1 if some or not all(loss.by_user for loss in losses) else 2)
