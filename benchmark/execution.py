"""Carry out a plan in this process or on many, and say how it went."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.engine import Engine, workers
from benchmark.errors import USER_ERRORS, UserError
from benchmark.libraries import load
from benchmark.plan import Run, Step, unique_steps
from benchmark.progress import Loss, Progress, Watcher
from benchmark.store import Store

if TYPE_CHECKING:
    from distributed import Client

    from benchmark.console import Reporter


@dataclass(frozen=True)
class Means:
    """What may be used for the work.

    Attributes
    ----------
    jobs
        Worker processes on this machine; 1 for none but this one.
    cluster
        ``tcp://HOST:PORT`` of a Dask scheduler, or ``slurm``; ``None`` for this machine.
    config
        Configuration of a Slurm cluster.
    """

    jobs: int = 1
    cluster: str | None = None
    config: Path | None = None


def carry_out(
    runs: Sequence[Run], store: Store, engine: Engine, reporter: Reporter, means: Means, command: str
) -> list[Loss]:
    """Compute what is missing of `runs`.

    Parameters
    ----------
    runs
        What is wanted.
    store, engine, reporter
        Where artifacts go, what computes them here, and what is shown.
    means
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
        If a plan of a single run fails, what made it fail.
    UserError
        If a cluster cannot be reached or is lost.
    """
    if all(engine.current(run.probe) is not None for run in runs):
        return []
    watcher = Watcher(store, command)
    if means.jobs == 1 and means.cluster is None:
        return _here(runs, engine, watcher, reporter)
    from benchmark.cluster import compute_on

    if means.cluster == "slurm":
        reporter.say("waiting for the first job of the queue")
    kinds = dict.fromkeys(step.kind for step in unique_steps(runs) if engine.current(step) is None)
    with _client(means, store, kinds) as client, watcher.watching():
        count = len(client.scheduler_info(n_workers=-1)["workers"])
        reporter.say(f"{len(runs)} runs on {count} workers of {means.cluster or 'this machine'}")
        losses = compute_on(client, store, runs, engine, watcher.update)
    reporter.say(watcher.progress.words())
    return losses


def _here(runs: Sequence[Run], engine: Engine, watcher: Watcher, reporter: Reporter) -> list[Loss]:
    steps = unique_steps(runs)
    progress = Progress(total=len(steps), cached=sum(engine.current(step) is not None for step in steps))
    begun: set[str] = set()
    lost: set[str] = set()

    def count(running: Step | None) -> None:
        if len(engine.failures) > len(lost):
            lost.update(failure.step.key for failure in engine.failures)
            progress.failed = sum(engine.failure(step) is not None for step in steps)
        progress.done = len(begun - lost)
        progress.running = {} if running is None else {"this process": running.title}

    def watch(step: Step) -> None:
        count(step)
        begun.add(step.key)
        watcher.update(progress)

    watcher.progress = progress
    with watcher.watching(table=False, lines=len(runs) > 1):
        failures = engine.scores(runs, watch)
    if len(runs) > 1:
        count(None)
        reporter.say(progress.words())
    if failures and (len(runs) == 1 or _all_for_one_reason(runs, engine)):
        raise failures[0].error
    return [
        Loss(failure.step.title, failure.cause, failure.log, isinstance(failure.error, USER_ERRORS))
        for failure in failures
    ]


def _all_for_one_reason(runs: Sequence[Run], engine: Engine) -> bool:
    """Whether no run could be done and one thing that the user can put right explains it."""
    reasons = [engine.failure(run.probe) for run in runs]
    first = reasons[0]
    return first is not None and isinstance(first.error, USER_ERRORS) and all(reason == first for reason in reasons)


@contextmanager
def _client(means: Means, store: Store, kinds: Collection[str]) -> Iterator[Client]:
    load("distributed")
    from benchmark.cluster import local_cluster, remote_cluster

    with (
        remote_cluster(means.cluster, means.config)
        if means.cluster
        else local_cluster(means.jobs, store.root / "logs", kinds) as client
    ):
        yield client


def sensible_jobs(runs: Sequence[Run], engine: Engine, reporter: Reporter) -> int:
    """Worker processes worth their start: one for each pretraining or training that could go side by side.

    One encoder's training already uses all cores of a machine without GPU, so there the default is this process alone.
    So it is, with a word, where Dask cannot be loaded, which nobody has asked for.
    """
    missing = [step for step in unique_steps(runs) if engine.current(step) is None]
    parallel = sum(step.kind in ("pretrain", "supervise") for step in missing)
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
