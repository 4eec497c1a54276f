"""Workers that are jobs of a Slurm queue, as a configuration describes them, behind TLS."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmark.engine.dask_nodes import WORKER_OPTIONS, WORKER_SETTINGS, Scheduler
from benchmark.engine.tls import keys_of_a_run
from benchmark.errors import UserError
from benchmark.file_lock import FileLock
from benchmark.libraries import load
from benchmark.registry.yaml_dialect import read_document

#: Lines of a job's script: Dask imports what lies in its folder, by itself one of a well-known name in `/tmp`.
_OWN_FOLDER = (
    "DASK_TEMPORARY_DIRECTORY=$(mktemp -dt bench-worker.XXXXXX) || exit 1",
    "export DASK_TEMPORARY_DIRECTORY",
    "trap 'rm -rf \"$DASK_TEMPORARY_DIRECTORY\"' EXIT TERM",
)
#: What `protocol` may be: the jobs always speak TLS.
_TLS = (None, "tls", "tls://")


@contextmanager
def slurm_cluster(config: Path | None, folder: Path) -> Iterator[tuple[Any, int]]:
    """A `dask_jobqueue.SLURMCluster` as `config` describes it, and how many jobs to ask for.

    Its scheduler runs in this process as long as the block lasts, and listens on the interface or the host that the
    configuration names; where it names none, on loopback if the queue has this machine alone, else on the address by
    which this machine reaches others.

    Parameters
    ----------
    config
        YAML file: options of dask-jobqueue, and ``jobs``.
    folder
        On a file system of all nodes. The key of the run lies in a private folder below it, or below
        ``shared_temp_directory`` of the configuration.

    Raises
    ------
    UserError
        If a package is not installed, the file cannot be read or holds a wrong key, or the scheduler cannot start.
    """
    jobqueue = load("dask_jobqueue")
    options = _read(config)
    count = options.pop("jobs")
    place = options.pop("shared_temp_directory", None) or _configured(options, "shared-temp-directory") or folder
    with _private_folder(Path(os.path.expandvars(place)).expanduser()) as private, keys_of_a_run(private) as keys:
        try:
            cluster = jobqueue.SLURMCluster(scheduler_cls=Scheduler, **_one_step_a_job(options, keys))
        except (OSError, RuntimeError, TypeError, ValueError) as error:
            raise UserError(f"{config}: {' '.join(str(error).split())}") from None
        with cluster:
            yield cluster, count


def _read(config: Path | None) -> dict[str, Any]:
    if config is None:
        raise UserError("--cluster slurm needs --config FILE: a YAML file with queue, cores, memory, walltime and jobs")
    options = read_document(config).value
    if not isinstance(options, dict) or not isinstance(options.get("jobs"), int):
        raise UserError(f"{config}: must be a mapping with `jobs`, a number, beside the options of dask-jobqueue")
    if options.get("processes", 1) != 1:
        raise UserError(f"{config}: processes: a job is one worker here; ask for more jobs instead")
    protocols = (options.get("protocol"), (options.get("scheduler_options") or {}).get("protocol"))
    if options.pop("security", True) is not True or not set(protocols) <= set(_TLS):
        raise UserError(f"{config}: jobs speak TLS with a key of the run; leave out security and protocol")
    return options


def _one_step_a_job(options: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
    """Options of dask-jobqueue, with which a job's cores and memory serve one step after another.

    By themselves they would start several workers a job, or several steps side by side, and end a worker for the
    pages of a corpus that it maps.
    """
    cores = options.get("cores", 1)
    settings = {**WORKER_SETTINGS, **keys, "BENCH_THREADS": str(cores)}
    setting_up = [f"export {name}={shlex.quote(value)}" for name, value in settings.items()]
    return {
        **options,
        "processes": 1,
        "cores": 1,
        "job_cpu": options.get("job_cpu", cores),
        "job_script_prologue": [*setting_up, *_OWN_FOLDER, *options.get("job_script_prologue", [])],
        "worker_extra_args": ["--memory-limit 0", *WORKER_OPTIONS, *options.get("worker_extra_args", [])],
        "protocol": "tls://",
        "scheduler_options": _scheduler_options(options),
    }


def _scheduler_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """What the configuration says, without what Dask does by itself: a dashboard, and listening on every address."""
    from distributed.utils import get_ip

    asked = dict(options.get("scheduler_options") or _configured(options, "scheduler-options") or {})
    asked.setdefault("dashboard_address", "127.0.0.1:8787" if asked.get("dashboard") else None)
    if not (options.get("interface") or _configured(options, "interface") or {"host", "interface"} & asked.keys()):
        asked["host"] = "127.0.0.1" if _is_single_node() else get_ip()
    return asked


def _is_single_node() -> bool:
    """Whether the queue has no node but this machine, as `sinfo` lists them; so it is taken where there is no sinfo."""
    command = ["sinfo", "--noheader", "--Node", "--format=%N"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    except FileNotFoundError:
        return True
    except (OSError, subprocess.TimeoutExpired):
        return False
    here = socket.gethostname().partition(".")[0]
    return listed.returncode == 0 and {name.partition(".")[0] for name in listed.stdout.split()} <= {here}


def _configured(options: Mapping[str, Any], name: str) -> Any:
    """An option as the files of dask-jobqueue have it."""
    import dask

    return dask.config.get(f"jobqueue.{options.get('config_name', 'slurm')}.{name}", None)


@contextmanager
def _private_folder(parent: Path) -> Iterator[Path]:
    """A folder that only this user can read, and that `bench store gc` clears away should this process be killed."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent.absolute() / f"keys-{uuid.uuid4().hex[:12]}"
    lock_file = Path(f"{folder}.lock")
    try:
        with FileLock(lock_file):
            folder.mkdir(mode=0o700)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock_file.unlink(missing_ok=True)
