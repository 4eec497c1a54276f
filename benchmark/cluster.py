"""The same plan on many processes: Dask schedules the steps, the store on a shared file system carries the artifacts.

A step becomes one task of Dask's that needs the tasks of the steps before it. A worker computes it as `Engine` does
in one process, so two workers, two users or two clusters at the same step wait for one another at its lock, and
whoever comes second finds the artifact. Where workers offer a ``GPU`` resource, steps that train or encode hold it.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from benchmark.console import LogReporter
from benchmark.engine import Engine, workers
from benchmark.errors import USER_ERRORS, UserError
from benchmark.libraries import load
from benchmark.plan import CHECKS, Run, Step, unique_steps
from benchmark.progress import Loss, Progress
from benchmark.store import Store
from benchmark.worker_imports import KINDS

if TYPE_CHECKING:
    from distributed import Client

#: Steps that use a GPU where there is one.
GPU_KINDS = frozenset({"pretrain", "supervise", "embed", "probe"})
#: How often a step is handed out again after Dask has given it up, which it does when several workers died at it.
RETRIES = 5
#: How often an event loop looks whether it is late; as often as Dask does by itself, every process would wake up fifty
#: times a second beside the steps.
_TICK = "1s"
#: Environment of a worker: steps may start processes of their own, and a profiler that looks at a step a hundred times
#: a second costs it some per cent.
_WORKER_SETTINGS = {
    "DASK_DISTRIBUTED__WORKER__DAEMON": "False",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": _TICK,
}
#: A worker that does not report for this long is taken for lost [s].
_PATIENCE = "120s"


def compute_on(
    client: Client, store: Store, runs: Sequence[Run], engine: Engine, watch: Callable[[Progress], None]
) -> list[Loss]:
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
        Knows what the store already holds.
    watch
        Told at least every second where things stand.

    Returns
    -------
    list of Loss
        Failed steps, each once, with the cause, and the scheduler if it was lost; steps that rest on a failed one are
        not listed.
    """
    from distributed import CancelledError
    from distributed.comm import CommClosedError

    wanted = _wanted(runs, engine)
    every = unique_steps(runs)
    steps = [step for step in every if step.key in wanted]
    progress = Progress(total=len(every), cached=len(every) - len(steps))
    submission = _Submission(client, store, progress, watch)
    try:
        # Labels and splits first, so that a missing test clip is found before anything is trained.
        submission.compute([step for step in steps if step.kind in CHECKS])
        hopeless = {key for run in runs if submission.failed(run.probe) for key in _own_keys(run, runs)}
        progress.failed += len(hopeless & {step.key for step in steps if step.kind not in CHECKS})
        submission.compute([step for step in steps if step.kind not in CHECKS and step.key not in hopeless])
    except (CommClosedError, CancelledError, OSError, TimeoutError) as error:
        cause = f"lost: {' '.join(str(error).split())}; run the same command again, on this scheduler or another"
        lost = Loss("the Dask scheduler", cause, store.root / "logs")
        return [*submission.losses.values(), lost]
    return list(submission.losses.values())


def _own_keys(run: Run, runs: Sequence[Run]) -> set[str]:
    """Keys of the steps that only runs with the same labels rest on."""
    labels = run.probe.needs["labels"].key
    others = [other for other in runs if other.probe.needs["labels"].key != labels]
    shared = {step.key for other in others for step in other.probe.lineage()}
    return {step.key for step in run.probe.lineage()} - shared


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
            resources={"GPU": 1} if self._has_gpu and step.kind in GPU_KINDS else {},
        )
        return self._futures[step.key]

    def _to_try_again(self, future: Any) -> bool:
        """Whether the step, or one that it rests on, was given up only because workers died at it."""
        from distributed import KilledWorker

        error = future.exception() if future.status == "error" else None
        if not isinstance(error, KilledWorker):
            return False
        if error.task == future.key:
            self._deaths[future.key.split("-")[1]] += 1
        return self._deaths[future.key.split("-")[1]] <= RETRIES

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
    context = {name: value for name, value in step.context.items() if name != "extent"}
    needs = {name: _portable(need) for name, need in step.needs.items()}
    return Step(step.kind, step.spec, needs, step.title, context)


def _wanted(runs: Sequence[Run], engine: Engine) -> set[str]:
    """Keys of the steps without which the missing scores cannot be had."""
    wanted: set[str] = set()
    open_steps = [run.probe for run in runs]
    while open_steps:
        step = open_steps.pop()
        if step.key not in wanted and engine.current(step) is None:
            wanted.add(step.key)
            open_steps += step.needs.values()
    return wanted


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


@contextmanager
def local_cluster(jobs: int, logs: Path, kinds: Collection[str]) -> Iterator[Client]:
    """`jobs` worker processes on this machine, one step each at a time; the first ones hold a GPU each.

    Each is watched by a process that starts it again should it die, and that ends itself should this one.

    Parameters
    ----------
    jobs
        Number of processes.
    logs
        Folder for what the processes print.
    kinds
        Of the steps to come, whose modules the processes import as they start.
    """
    from distributed import Client, LocalCluster

    gpus = _visible_gpus()
    threads = str(max(1, workers() // jobs))
    logs.mkdir(parents=True, exist_ok=True)
    processes = []
    with (
        _settings(),
        LocalCluster(n_workers=0, dashboard_address=None, host="127.0.0.1", silence_logs="CRITICAL") as cluster,
        Client(cluster) as client,
        tempfile.TemporaryDirectory(prefix="bench-workers-") as scratch,
        (logs / f"workers-{socket.gethostname()}-{os.getpid()}.log").open("ab") as log,
    ):
        try:
            for number in range(jobs):
                own_gpu = number < len(gpus)
                environment = {
                    **os.environ,
                    "OMP_NUM_THREADS": threads,
                    "MKL_NUM_THREADS": threads,
                    "BENCH_THREADS": threads,
                    KINDS: ",".join(kinds),
                    "CUDA_VISIBLE_DEVICES": gpus[number] if own_gpu else "",
                    **_WORKER_SETTINGS,
                    "DASK_LOGGING__DISTRIBUTED": "critical",
                }
                command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address]
                command += ["--nworkers", "1", "--nthreads", "1", "--no-dashboard", "--memory-limit", "0"]
                command += ["--local-directory", scratch, "--death-timeout", "60", "--name", f"worker {number + 1}"]
                command += ["--preload", "benchmark.worker_imports"]
                command += ["--resources", "GPU=1"] if own_gpu else []
                processes.append(
                    subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)  # noqa: S603
                )
            client.wait_for_workers(jobs, timeout=_PATIENCE)
            yield client
        finally:
            for process in processes:
                # The whole group: the watching process, the worker, and what its step has started.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextmanager
def remote_cluster(where: str, config: Path | None) -> Iterator[Client]:
    """A cluster that runs already (``tcp://HOST:PORT``), or jobs of a Slurm queue (``slurm``, with a configuration).

    Raises
    ------
    UserError
        If it cannot be reached or the configuration is wrong.
    """
    with _settings():
        if where == "slurm":
            with _slurm(config) as client:
                yield client
            return
        from distributed import Client

        # That a scheduler is lost is said once, in our own words.
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
        try:
            client = Client(where, timeout="15s")
        except (OSError, ValueError, TimeoutError) as error:
            raise UserError(f"--cluster {where}: cannot reach a Dask scheduler there: {error}") from None
        with client:
            yield client


@contextmanager
def _slurm(config: Path | None) -> Iterator[Client]:
    from distributed import Client

    cluster, count = slurm_cluster(config)
    with cluster, Client(cluster) as client:
        # Jobs that end, for their walltime is over or their node was lost, are asked for again.
        cluster.adapt(minimum_jobs=count, maximum_jobs=count)
        client.wait_for_workers(1)
        yield client


def slurm_cluster(config: Path | None) -> tuple[Any, int]:
    """A `dask_jobqueue.SLURMCluster` as `config` describes it, and how many jobs to ask for.

    Raises
    ------
    UserError
        If dask-jobqueue is not installed, or the file cannot be read or holds a wrong key.
    """
    slurm = load("dask_jobqueue")
    if config is None:
        raise UserError("--cluster slurm needs --config FILE: a YAML file with queue, cores, memory, walltime and jobs")
    try:
        options = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{config}: cannot read this configuration: {' '.join(str(error).split())}") from None
    if not isinstance(options, dict) or not isinstance(options.get("jobs"), int):
        raise UserError(f"{config}: must be a mapping with `jobs`, a number, beside the options of dask-jobqueue")
    count = options.pop("jobs")
    if options.get("processes", 1) != 1:
        raise UserError(f"{config}: processes: a job is one worker here; ask for more jobs instead")
    try:
        return slurm.SLURMCluster(**_one_step_a_job(options)), count
    except (TypeError, ValueError) as error:
        raise UserError(f"{config}: {' '.join(str(error).split())}") from None


def _one_step_a_job(options: dict[str, Any]) -> dict[str, Any]:
    """Options of dask-jobqueue, with which a job's cores and memory serve one step after another.

    By themselves they would start several workers a job, or several steps side by side, and end a worker for the
    pages of a corpus that it maps.
    """
    cores = options.get("cores", 1)
    settings = {**_WORKER_SETTINGS, "BENCH_THREADS": cores}
    setting_up = [f"export {name}={value}" for name, value in settings.items()]
    return {
        **options,
        "processes": 1,
        "cores": 1,
        "job_cpu": options.get("job_cpu", cores),
        "job_script_prologue": [*setting_up, *options.get("job_script_prologue", [])],
        "worker_extra_args": ["--memory-limit 0", *options.get("worker_extra_args", [])],
    }


@contextmanager
def _settings() -> Iterator[None]:
    import dask

    with dask.config.set(
        {
            "distributed.scheduler.worker-ttl": _PATIENCE,
            # A step is minutes of work: none is to wait behind another while a worker is free.
            "distributed.scheduler.worker-saturation": 1.0,
            "distributed.admin.tick.interval": _TICK,
            "distributed.admin.tick.limit": "1h",
            "distributed.comm.timeouts.connect": "60s",
        }
    ):
        yield


def _visible_gpus() -> list[str]:
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [gpu for gpu in named.split(",") if gpu]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]
