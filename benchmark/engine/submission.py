"""The steps of a plan handed out to the workers of a cluster, and what became of them.

Dask schedules the steps, the store on a shared file system carries the artifacts; `clusters` has the workers.

A step becomes one task of Dask's that needs the tasks of the steps before it. A worker computes it as `Engine` does
in one process, so two workers, two users or two clusters at the same step wait for one another at its lock, and
whoever comes second finds the artifact. Where workers offer a ``GPU`` resource, steps that train or encode hold it.
"""

from __future__ import annotations

import os
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.console import LogReporter
from benchmark.engine.engine import Engine
from benchmark.engine.progress import Loss, Progress
from benchmark.errors import USER_ERRORS
from benchmark.plan.runs import Run, staged, unique_steps
from benchmark.store.step import Step
from benchmark.store.store import Store

if TYPE_CHECKING:
    from distributed import Client

#: How often a step is handed out again after Dask has given it up, which it does when several workers died at it.
RETRIES = 5


def compute_on(
    client: Client,
    store: Store,
    runs: Sequence[Run],
    engine: Engine,
    watch: Callable[[Progress], None],
    after_stage: Callable[[Mapping[str, Loss]], None],
) -> Mapping[str, Loss]:
    """Compute what is missing of `runs` on a cluster.

    Parameters
    ----------
    client
        Of the cluster; its workers see the store under the same path.
    store
        Where artifacts go.
    runs
        What is wanted.
    engine
        Knows what the store already holds, and which steps are known to fail.
    watch
        Told at least every second where things stand.
    after_stage
        Told after each of `benchmark.store.step.Stage` what is lost so far, by the key of the step.

    Returns
    -------
    mapping of str to Loss
        Failed steps by their keys, with the cause, and the scheduler if it was lost; steps that rest on a failed one
        are not among them.
    """
    from distributed import CancelledError
    from distributed.comm import CommClosedError

    wanted = engine.wanted(runs)
    every = unique_steps(runs)
    steps = [step for step in every if step.key in wanted]
    progress = Progress(total=len(every), cached=len(every) - len(steps))
    submission = _Submission(client, store, progress, watch)
    submission.losses.update((failure.step.key, Loss.of(failure)) for failure in engine.failures)
    try:
        for stage, hopeless in staged(runs, submission.failed):
            progress.failed += sum(step.key in wanted for step in hopeless)
            submission.compute([step for step in stage if step.key in wanted])
            after_stage(submission.losses)
    except (CommClosedError, CancelledError, OSError, TimeoutError) as error:
        cause = f"lost: {' '.join(str(error).split())}; run the same command again, on this scheduler or another"
        return {**submission.losses, "": Loss("the Dask scheduler", cause, store.root / "logs")}
    return submission.losses


class _Submission:
    """Steps handed to a cluster, and what became of them."""

    def __init__(self, client: Client, store: Store, progress: Progress, watch: Callable[[Progress], None]) -> None:
        #: By the key of the step that failed.
        self.losses: dict[str, Loss] = {}
        self._client = client
        self._store = store
        self._progress = progress
        self._watch = watch
        self._futures: dict[str, Any] = {}
        self._steps: dict[str, Step] = {}
        # Asked once: a study has thousands of steps, and the answer lists all workers.
        described = client.scheduler_info(n_workers=-1)["workers"].values()
        self._has_gpu = any("GPU" in worker["resources"] for worker in described)
        self._deaths: Counter[str] = Counter()
        self._names: dict[str, str] = {}

    def failed(self, step: Step) -> bool:
        """Whether the step, or one that it rests on, is known to have failed."""
        return any(before.key in self.losses for before in step.lineage())

    def compute(self, steps: Sequence[Step]) -> None:
        """Submit steps, in an order in which they can be computed, and wait for all of them."""
        from distributed import as_completed

        pending = {self._submit(step) for step in steps}
        waiting = as_completed(pending, raise_errors=False)
        again: list[Step] = []
        while pending or again:
            for future in _arrived(waiting, pending, 1.0):
                pending.discard(future)
                if future.status == "cancelled":
                    raise TimeoutError("the connection broke and could not be made again")
                if future.status == "finished":
                    self._progress.done += 1
                elif self._to_try_again(future):
                    again.append(self._steps[future.key])
                else:
                    self._progress.failed += 1
                    self._note(future)
            for step in [step for step in again if not self._waits(step)]:
                again.remove(step)
                if self.failed(step):
                    self._progress.failed += 1
                    continue
                future = self._submit(step)
                pending.add(future)
                waiting.add(future)
            self._progress.running = self._running()
            self._watch(self._progress)

    def _submit(self, step: Step) -> Any:
        name = f"{step.kind}-{step.key}-{uuid.uuid4().hex[:8]}"
        self._steps[name] = step
        self._futures[step.key] = self._client.submit(
            _compute,
            _portable(step),
            self._store.root.absolute(),
            [self._futures[need.key] for need in step.needs.values() if need.key in self._futures],
            key=name,
            pure=False,
            resources={"GPU": 1} if self._has_gpu and step.of.on_gpu else {},
        )
        return self._futures[step.key]

    def _to_try_again(self, future: Any) -> bool:
        """Whether the step, or one that it rests on, was given up only because workers died at it."""
        from distributed import KilledWorker

        error = future.exception() if future.status == "error" else None
        if not isinstance(error, KilledWorker):
            return False
        if error.task == future.key:
            self._deaths[self._steps[future.key].key] += 1
        return self._deaths[self._steps[future.key].key] <= RETRIES

    def _waits(self, step: Step) -> bool:
        """Whether a step that this one rests on was given up and is not yet tried again, nor known to have failed."""
        gone = [need for need in step.needs.values() if need.key in self._futures]
        return not self.failed(step) and any(self._futures[need.key].status == "error" for need in gone)

    def _note(self, future: Any) -> None:
        step = self._steps[future.key]
        error = future.exception() if future.status == "error" else None
        if isinstance(error, StepFailedError):
            key, title, cause, log, by_user = error.args
            self.losses.setdefault(key, Loss(title, cause, Path(log), by_user))
            return
        if type(error).__name__ == "KilledWorker":
            cause = "workers died at it again and again; out of memory, perhaps"
        else:
            cause = f"{type(error).__name__}: {' '.join(str(error).split())}"
        self.losses.setdefault(step.key, Loss(step.title, cause, self._store.log_file(step.kind, step.key)))

    def _running(self) -> dict[str, str]:
        """Titles of the steps that each busy worker holds; all but one of them wait for it."""
        found = {}
        for address, keys in self._client.processing().items():
            titles = [self._steps[key].title for key in keys if key in self._steps]
            if titles:
                found[self._name(address)] = ", ".join(titles)
        return found

    def _name(self, address: str) -> str:
        """What the worker at an address is called; a worker that is replaced gets another address."""
        if address not in self._names:
            workers = self._client.scheduler_info(n_workers=-1)["workers"]
            self._names |= {where: str(worker["name"]) for where, worker in workers.items()}
        return self._names.setdefault(address, address)


def _portable(step: Step) -> Step:
    """The step without what only a dry run needs, which may hold objects of a user's own modules."""
    context = {name: value for name, value in step.context.items() if name != "lengths"}
    needs = {name: _portable(need) for name, need in step.needs.items()}
    return step.of.step(step.spec, needs, step.title, context)


def _arrived(waiting: Any, pending: set[Any], seconds: float) -> list[Any]:
    """Futures that ended within some seconds, at least one if any does."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if batch := waiting.next_batch(block=False):
            return [future for future in batch if future in pending]
        time.sleep(0.1)
    return []


def _compute(step: Step, root: Path, before: Sequence[str]) -> str:
    """Run on a worker: compute one step whose needs are in the store, and say its key."""
    del before
    _share_processors()
    store = Store(root)
    reporter = LogReporter(store.log_file(step.kind, step.key))
    engine = Engine(store, reporter)
    failures = engine.compute([step])
    if failures:
        first = failures[0]
        by_user = isinstance(first.error, USER_ERRORS)
        raise StepFailedError(first.step.key, first.step.title, first.cause, str(first.log), by_user)
    return step.key


class StepFailedError(Exception):
    """Travels from a worker to the client: key and title of the step, and the fields of a `Loss`."""


def _share_processors() -> None:
    """Let the workers of one machine use its cores side by side rather than all at once."""
    threads = os.environ.get("BENCH_THREADS")
    if threads:
        import torch

        torch.set_num_threads(int(threads))
