"""Carry out a plan in this process or on many, and say how it went."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.console import Level, Reporter
from benchmark.engine.engine import Engine, computed_in_words
from benchmark.engine.foreseen import foreseen
from benchmark.engine.progress import Loss, Progress, Watcher, in_words
from benchmark.environment import workers
from benchmark.errors import USER_ERRORS, UserError
from benchmark.libraries import load
from benchmark.plan.runs import Run, unique_steps
from benchmark.store.step import Step
from benchmark.store.store import Artifact, Store

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True)
class ComputeTarget:
    """What may be used for the work.

    Attributes
    ----------
    jobs
        Worker processes on this machine; 1 for none but this one.
    cluster
        ``tls://HOST:PORT`` of a Dask scheduler, or ``slurm``; ``None`` for this machine.
    config
        Configuration of a Slurm cluster.
    """

    jobs: int = 1
    cluster: str | None = None
    config: Path | None = None


def carry_out(
    runs: Sequence[Run], store: Store, engine: Engine, reporter: Reporter, target: ComputeTarget, command: str
) -> list[Loss]:
    """Compute what is missing of `runs`, and say what is lost: before long work for the others, or at its end.

    Parameters
    ----------
    runs
        What is wanted.
    store, engine, reporter
        Where artifacts go, what computes them here, and what is shown.
    target
        What may be used.
    command
        How the user called it, for other shells to see.

    Returns
    -------
    list of Loss
        Steps that failed, each once; all runs that do not need them are done.

    Raises
    ------
    Exception
        If a plan of a single run fails, or all of it for one reason that the user can put right, what made it fail.
    UserError
        If a cluster cannot be reached or is lost.
    """
    there = _tell_cached(runs, engine, reporter)
    if all(engine.current(run.score) is not None for run in runs):
        return []
    for step, error in foreseen(runs, engine, target.jobs if target.cluster is None else None):
        engine.refuse(step, error)
    watcher = Watcher(store, command, reporter, [step.key for step in unique_steps(runs)])
    said = _Said(reporter)
    alone = target.jobs == 1 and target.cluster is None
    if alone or all(engine.failure(run.score) is not None for run in runs):
        losses = _here(runs, engine, watcher, reporter, said)
        said.say(losses)
        return list(losses.values())
    from benchmark.engine.submission import compute_on

    if target.cluster == "slurm":
        reporter.say("waiting for the first job of the queue")
    missing = [step for step in unique_steps(runs) if engine.current(step) is None]
    modules = dict.fromkeys(module for step in missing for module in step.of.libraries(step))

    def after_stage(losses: Mapping[str, Loss]) -> None:
        if not all(_lost(run, losses) for run in runs):
            said.say(losses)

    with _client(target, store, modules) as client, watcher.watching():
        count = len(client.scheduler_info(n_workers=-1)["workers"])
        reporter.say(f"{len(runs)} runs on {count} workers of {target.cluster or 'this machine'}")
        found = compute_on(client, store, runs, engine, watcher.update, after_stage)
    _tell_computed(runs, store, there, reporter)
    reporter.say(watcher.progress.words())
    said.say(found)
    return list(found.values())


def _tell_cached(runs: Sequence[Run], engine: Engine, reporter: Reporter) -> set[str]:
    """Tell those who want to know which steps need not be computed; returns the keys of these."""
    if reporter.level < Level.VERBOSE:
        return set()
    cached = {step.key: (step, artifact) for step in unique_steps(runs) if (artifact := engine.current(step))}
    for step, artifact in cached.values():
        reporter.detail(computed_in_words(step, _seconds(artifact), "cached"))
    return set(cached)


def _tell_computed(runs: Sequence[Run], store: Store, before: Collection[str], reporter: Reporter) -> None:
    if reporter.level < Level.VERBOSE:
        return
    for step in unique_steps(runs):
        if step.key not in before and (artifact := store.find(step.kind, step.key)) is not None:
            reporter.detail(computed_in_words(step, _seconds(artifact)))


def _seconds(artifact: Artifact) -> float:
    key = artifact.manifest["key"]
    return float(artifact.manifest["lineage"][key]["resources"]["seconds"])


def _lost(run: Run, losses: Mapping[str, Loss]) -> bool:
    return any(step.key in losses for step in run.score.lineage())


class _Said:
    """Says each loss once: when it is known, or at the end."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._reasons: set[str] = set()

    def say(self, losses: Mapping[str, Loss]) -> None:
        """Say those whose reason was not said before."""
        for line in in_words(loss for loss in losses.values() if loss.reason not in self._reasons):
            self._reporter.warn(line)
        self._reasons |= {loss.reason for loss in losses.values()}


def _here(runs: Sequence[Run], engine: Engine, watcher: Watcher, reporter: Reporter, said: _Said) -> Mapping[str, Loss]:
    steps = unique_steps(runs)
    cached = {step.key for step in steps if engine.current(step) is not None}
    progress = Progress(total=len(steps), cached=len(cached))
    begun: set[str] = set()
    lost: set[str] = set()

    def losses() -> dict[str, Loss]:
        return {failure.step.key: Loss.of(failure) for failure in engine.failures}

    def count(running: Step | None) -> None:
        if len(engine.failures) > len(lost):
            lost.update(failure.step.key for failure in engine.failures)
            needed = {step.key for run in runs if engine.failure(run.score) is None for step in run.score.lineage()}
            progress.failed = len({step.key for step in steps} - needed - cached - (begun - lost))
        progress.done = len(begun - lost)
        progress.running = {} if running is None else {"this process": running.title}

    def watch(step: Step) -> None:
        count(step)
        begun.add(step.key)
        watcher.update(progress)

    def after_stage() -> None:
        if not all(_missed(run, engine) for run in runs):
            said.say(losses())

    watcher.progress = progress
    with watcher.watching(table=False, lines=len(runs) > 1):
        failures = engine.scores(runs, watch, after_stage)
    if len(runs) > 1:
        count(None)
        reporter.say(progress.words())
    if failures and all(_missed(run, engine) for run in runs):
        first = failures[0]
        if len(runs) == 1 or (
            isinstance(first.error, USER_ERRORS) and {one.cause for one in failures} == {first.cause}
        ):
            raise first.error
    return losses()


def _missed(run: Run, engine: Engine) -> bool:
    return engine.current(run.score) is None and engine.failure(run.score) is not None


@contextmanager
def _client(target: ComputeTarget, store: Store, modules: Collection[str]) -> Iterator[Client]:
    load("distributed")
    from benchmark.engine.clusters import local_cluster, remote_cluster

    with (
        remote_cluster(target.cluster, target.config, store.root / "unfinished")
        if target.cluster
        else local_cluster(target.jobs, store.root / "logs", modules) as client
    ):
        yield client


def sensible_jobs(runs: Sequence[Run], engine: Engine, reporter: Reporter) -> int:
    """Worker processes worth their start: one for each pretraining or training that could go side by side.

    One encoder's training already uses all cores of a machine without GPU, so there the default is this process alone.
    So it is, with a word, where Dask cannot be loaded, which nobody has asked for.
    """
    missing = [step for step in unique_steps(runs) if engine.current(step) is None]
    parallel = sum(step.of.trains for step in missing)
    if parallel < 2:
        return 1
    import torch

    jobs = max(1, min(torch.cuda.device_count(), parallel, workers()))
    if jobs > 1:
        try:
            load("distributed")
        except UserError as error:
            reporter.say(f"only one GPU is used, for {error}")
            return 1
    return jobs
