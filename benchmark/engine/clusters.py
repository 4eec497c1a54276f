"""Clusters that compute the steps of a plan: processes of this machine, a running scheduler, jobs of a queue."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.engine.dask_nodes import TICK, WORKER_OPTIONS, WORKER_SETTINGS, Scheduler
from benchmark.engine.slurm import slurm_cluster
from benchmark.engine.tls import check_address, keys_of_a_run
from benchmark.engine.worker_imports import MODULES
from benchmark.environment import workers
from benchmark.errors import UserError
from benchmark.plain_files import append_to, make_folder

if TYPE_CHECKING:
    from distributed import Client

#: A worker that does not report for this long is taken for lost [s].
_PATIENCE = "120s"


@contextmanager
def local_cluster(jobs: int, logs: Path, modules: Collection[str]) -> Iterator[Client]:
    """`jobs` worker processes on this machine, one step each at a time; the first ones hold a GPU each.

    Each is watched by a process that starts it again should it die, and that ends itself should this one. All listen
    on 127.0.0.1 alone, and speak only to who holds the key of this run.

    Parameters
    ----------
    jobs
        Number of processes.
    logs
        Folder for what the processes print.
    modules
        Of the steps to come, whose modules the processes import as they start.

    Raises
    ------
    UserError
        If the package that makes the key is not installed.
    """
    from distributed import Client, SpecCluster

    make_folder(logs)
    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "port": 0, "protocol": "tls://"}}
    processes: list[subprocess.Popen[bytes]] = []
    with (
        _settings() as scratch,
        keys_of_a_run(scratch) as keys,
        SpecCluster(scheduler=scheduler, silence_logs="CRITICAL") as cluster,
        Client(cluster) as client,
        append_to(logs / f"workers-{socket.gethostname()}-{os.getpid()}.log") as log,
    ):
        shared = {**os.environ, **_environment(jobs, modules), **keys}
        gpus = _visible_gpus()
        try:
            for number in range(jobs):
                own_gpu = number < len(gpus)
                environment = {**shared, "CUDA_VISIBLE_DEVICES": gpus[number] if own_gpu else ""}
                command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address]
                command += ["--host", "127.0.0.1", *WORKER_OPTIONS, "--nworkers", "1", "--nthreads", "1"]
                command += ["--memory-limit", "0", "--local-directory", str(scratch), "--death-timeout", "60"]
                command += ["--name", f"worker {number + 1}", "--preload", "benchmark.engine.worker_imports"]
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


def _environment(jobs: int, modules: Collection[str]) -> dict[str, str]:
    threads = str(max(1, workers() // jobs))
    return {
        **WORKER_SETTINGS,
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "BENCH_THREADS": threads,
        MODULES: ",".join(modules),
        "DASK_LOGGING__DISTRIBUTED": "critical",
    }


@contextmanager
def remote_cluster(where: str, config: Path | None, folder: Path) -> Iterator[Client]:
    """A cluster that runs already (``tls://HOST:PORT``), or jobs of a Slurm queue (``slurm``, with a configuration).

    Parameters
    ----------
    where, config
        As the command line has them.
    folder
        For the key of jobs of a queue: one that all nodes see.

    Raises
    ------
    UserError
        If it cannot be reached or is open to others, or the configuration is wrong.
    """
    from distributed import Client

    with _settings():
        if where == "slurm":
            with slurm_cluster(config, folder) as (cluster, count), Client(cluster) as client:
                # Jobs that end, for their walltime is over or their node was lost, are asked for again.
                cluster.adapt(minimum_jobs=count, maximum_jobs=count)
                client.wait_for_workers(1)
                yield client
            return
        check_address(where)
        # That a scheduler is lost is said once, in our own words.
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
        try:
            client = Client(where, timeout="15s")
        except (OSError, ValueError, TimeoutError) as error:
            raise UserError(f"--cluster {where}: cannot reach a Dask scheduler there: {error}") from None
        with client:
            yield client


@contextmanager
def _settings() -> Iterator[Path]:
    """Dask's settings for as long as the block lasts, and a folder for it that no other user can write to.

    Dask imports what lies in its folder, by itself one of a well-known name in `/tmp`, before all that is installed.
    """
    import dask

    with (
        tempfile.TemporaryDirectory(prefix="bench-workers-") as scratch,
        dask.config.set(
            {
                "temporary-directory": scratch,
                "distributed.scheduler.worker-ttl": _PATIENCE,
                # A step is minutes of work: none is to wait behind another while a worker is free.
                "distributed.scheduler.worker-saturation": 1.0,
                "distributed.admin.tick.interval": TICK,
                "distributed.admin.tick.limit": "1h",
                "distributed.comm.timeouts.connect": "60s",
            }
        ),
    ):
        yield Path(scratch)


def _visible_gpus() -> list[str]:
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [gpu for gpu in named.split(",") if gpu]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]
