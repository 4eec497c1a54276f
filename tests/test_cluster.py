"""Many processes on one plan: the same scores as one process, whatever happens to the processes."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from conftest import bench, bench_json
from dawdling import Run, saved
from distributed import Security
from fake_slurm import Queue
from listening import Lookout, wait_for
from warm_command import Started

from benchmark.engine.clusters import local_cluster
from benchmark.engine.slurm import _scheduler_options, slurm_cluster
from benchmark.errors import UserError

GRID = ["--encoder", "dawdling", "--encoder", "mfcc", "--task", "mtt", "--recipe", "short"]
BIN = Path(sys.executable).parent


def scores(records: list[dict]) -> dict[tuple, dict]:
    return {(r["encoder"], r["recipe"], r["task"], r["seed"]): r["metrics"] for r in records}


def workers_of(process: Started) -> list[psutil.Process]:
    """Worker processes: those that the processes which watch over them have spawned."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if "multiprocessing.spawn" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


def test_a_worker_imports_what_is_to_come_before_it_is_given_a_step(tmp_path):
    # Nested, so that it travels as it is: workers cannot import this file.
    def imported(module: str) -> bool:
        return module in sys.modules

    with local_cluster(1, tmp_path / "logs", ["soundfile", "scipy.signal"]) as client:
        deadline = time.monotonic() + 60
        while not all(client.run(imported, "scipy.signal").values()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert not any(client.run(imported, "sklearn").values())


def seen_elsewhere(store: Path) -> dict:
    """What another shell is told of the only run, once it has said something."""
    return next(iter(bench_json("status", "--store", store)), {"running": {}})


@pytest.mark.parametrize("kills", [1, pytest.param(6, marks=pytest.mark.slow)])
def test_workers_killed_at_random_change_no_score(mtt, dawdling, tmp_path, kills):
    arguments = [*GRID, "--data", mtt[0], "--registry", dawdling.file, "--jobs", 2, "--json"]
    dawdling.go()
    undisturbed = scores(bench_json("run", *arguments[:-3], "--store", tmp_path / "one"))
    assert len(undisturbed) == 3
    dawdling.dawdle()

    store = tmp_path / "many"
    started = Run(tmp_path, *arguments, "--store", store)
    rng, killed = random.Random(0), 0
    deadline = time.monotonic() + 240
    while started.poll() is None:
        assert time.monotonic() < deadline, started.err
        time.sleep(0.1)
        # Not before there is something to lose, and not so often that nothing can be finished.
        if killed < kills and saved(store) and (alive := workers_of(started)):
            with suppress(psutil.Error):
                rng.choice(alive).send_signal(signal.SIGKILL)
                killed += 1
                time.sleep(1.0)
        if killed == kills:
            dawdling.go()
    assert started.returncode == 0, started.err
    assert killed == kills
    assert scores(json.loads(started.out)) == undisturbed
    assert list((store / "running").iterdir()) == []


def test_what_fails_takes_nothing_else_with_it_and_is_tried_again(mtt, tiny_registry, tmp_path):
    data, _ = mtt
    (tmp_path / "broken.py").write_text(
        "from encoders.base import Encoder\n\nclass Broken(Encoder):\n"
        "    sample_rate, window, max_window, dim = 22_050, 4_096, 4_096, 8\n"
        "    def layers(self):\n        return ()\n"
        "    def represent(self, waveform, layers=()):\n        raise RuntimeError('no such luck')\n"
    )
    (tmp_path / "registry.yaml").write_text("encoders:\n  broken: {class: 'broken:Broken', pretrain: false}\n")
    arguments = ["run", "--encoder", "broken", "--encoder", "mfcc", "--task", "mtt", "--data", data]
    for extra, store in (([], "one"), (["--jobs", 2], "many")):
        result = bench(*arguments, *extra, "--store", tmp_path / store, cwd=tmp_path)
        assert result.returncode == 1, result.stderr
        assert "mfcc" in result.stdout
        (line,) = [line for line in result.stderr.splitlines() if line.startswith("failed: ")]
        assert "embed magnatagatune with broken (as-given): RuntimeError: no such luck" in line
        log = Path(line.split("log: ")[1].rstrip(")"))
        assert "in represent" in log.read_text()
        assert "1 of 2 runs are missing" in result.stderr
    (tmp_path / "broken.py").write_text((tmp_path / "broken.py").read_text().replace(
        "raise RuntimeError('no such luck')", "return waveform[:, 0].view(-1, 8, 512).std(dim=2), {}"
    ))  # fmt: skip
    repaired = bench_json(*arguments, "--store", tmp_path / "many", cwd=tmp_path)
    assert [record["encoder"] for record in repaired] == ["broken", "mfcc"]


def certificates(folder: Path) -> dict[str, str]:
    """Environment with which Dask's own programs, and `bench`, speak TLS, as docs/slurm.md has it."""
    made = Security.temporary()
    (folder / "cert.pem").write_text(made.tls_ca_file)
    (folder / "key.pem").write_text(made.tls_client_key)
    tls = "DASK_DISTRIBUTED__COMM__TLS__"
    environment = {"DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True", f"{tls}CA_FILE": str(folder / "cert.pem")}
    for role in ("CLIENT", "SCHEDULER", "WORKER"):
        environment[f"{tls}{role}__CERT"] = str(folder / "cert.pem")
        environment[f"{tls}{role}__KEY"] = str(folder / "key.pem")
    return environment


def test_a_scheduler_that_is_lost_ends_the_run_and_the_same_command_goes_on(mtt, dawdling, tmp_path):
    data, _ = mtt
    address = tmp_path / "scheduler.json"
    environment = {**os.environ, **certificates(tmp_path)}
    environment |= {"DASK_LOGGING__DISTRIBUTED": "critical", "DASK_DISTRIBUTED__WORKER__DAEMON": "False"}
    scheduler = subprocess.Popen(
        [
            BIN / "dask",
            "scheduler",
            "--scheduler-file",
            address,
            "--port",
            "0",
            "--no-dashboard",
            "--dashboard-address",
            "127.0.0.1:0",
            "--host",
            "127.0.0.1",
        ],
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    worker = subprocess.Popen(
        [BIN / "dask", "worker", "--scheduler-file", address, "--nworkers", "1", "--nthreads", "1",
         "--worker-class", "benchmark.engine.dask_nodes.Worker", "--no-dashboard",
         "--local-directory", tmp_path / "dask"],
        env=environment,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(lambda: address.exists() and address.read_text())
        store = tmp_path / "store"
        where = json.loads(address.read_text())["address"]
        arguments = ["--encoder", "dawdling", "--task", "mtt", "--recipe", "short", "--data", data]
        arguments += ["--registry", dawdling.file, "--store", store]
        assert where.startswith("tls://127.0.0.1:")
        started = Run(tmp_path, *arguments, "--cluster", where, environment=environment)
        deadline = time.monotonic() + 120
        while not saved(store):
            assert started.poll() is None and time.monotonic() < deadline, started.err
            time.sleep(0.05)
        while "pretrain dawdling" not in json.dumps((note := seen_elsewhere(store))["running"]):
            assert time.monotonic() < deadline, note
        assert note["alive"]
        assert note["total"] == 10
        scheduler.send_signal(signal.SIGKILL)
        assert started.wait(timeout=120) == 1, started.err
        (line,) = [line for line in started.err.splitlines() if line.startswith("failed: ")]
        assert line.startswith("failed: the Dask scheduler: lost: ")
        assert "distributed" not in started.err
    finally:
        for process in (worker, scheduler):
            process.kill()
            process.wait()
    dawdling.go()
    assert len(bench_json("run", *arguments)) == 2


def test_no_scheduler_at_an_address_is_one_line(mtt, tmp_path):
    result = bench("run", "--encoder", "mfcc", "--task", "mtt", "--data", mtt[0], "--store", tmp_path / "s",
                   "--cluster", "tcp://127.0.0.1:9")  # fmt: skip
    assert result.returncode == 2
    assert result.stderr.strip().splitlines()[-1].startswith("bench: --cluster tcp://127.0.0.1:9: cannot reach")


def test_slurm_jobs_are_written_from_the_configuration(tmp_path):
    config = tmp_path / "slurm.yaml"
    config.write_text(
        "jobs: 3\nqueue: gpu\ncores: 4\nmemory: 32GB\nwalltime: '08:00:00'\njob_extra_directives: ['--gres=gpu:1']\n"
        "worker_extra_args: ['--resources GPU=1']\ninterface: lo\n"
    )
    with slurm_cluster(config, tmp_path / "shared") as (cluster, count):
        script = cluster.job_script()
        (keys,) = (tmp_path / "shared").glob("keys-*[!k]")
        assert (keys.stat().st_mode & 0o777, (keys / "key.pem").stat().st_mode & 0o777) == (0o700, 0o600)
        assert cluster.scheduler_address.startswith("tls://127.0.0.1:")
        assert f"export DASK_DISTRIBUTED__COMM__TLS__WORKER__KEY={keys / 'key.pem'}\n" in script
    assert list((tmp_path / "shared").iterdir()) == []
    assert count == 3
    for line in ("#SBATCH -p gpu", "#SBATCH --mem=30G", "#SBATCH -t 08:00:00", "#SBATCH --gres=gpu:1"):
        assert line in script
    assert "--nthreads 1 " in script
    assert "--memory-limit 0" in script
    assert "--resources GPU=1" in script
    assert "#SBATCH --cpus-per-task=4" in script
    assert "export BENCH_THREADS=4" in script
    assert "--worker-class benchmark.engine.dask_nodes.Worker --no-dashboard" in script
    assert "export PYTHONSAFEPATH=1" in script
    assert "--protocol tls://" in script
    assert "export DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED=False" in script
    for text, message in (
        ("queue: gpu\n", "`jobs`"),
        ("jobs: 1\ncores: 1\nmemory: 1GB\nqeue: x\n", "qeue"),
        ("jobs: 1\ncores: 8\nprocesses: 2\nmemory: 1GB\n", "ask for more jobs"),
        ("jobs: 1\ncores: 8\nmemory: 1GB\nprotocol: tcp://\n", "leave out security and protocol"),
        ("jobs: 1\ncores: 8\nmemory: 1GB\nsecurity: false\n", "leave out security and protocol"),
        ("jobs: 1\ncores: 8\nmemory: 1GB\nscheduler_options: {protocol: tcp}\n", "leave out security and protocol"),
        ("jobs: 1\ncores: 8\nmemory: 1GB\ninterface: none7\n", "'none7' is not a valid network interface"),
    ):
        config.write_text(text)
        with pytest.raises(UserError, match=message), slurm_cluster(config, tmp_path / "shared"):
            pass
    with pytest.raises(UserError, match="--config FILE"), slurm_cluster(None, tmp_path / "shared"):
        pass
    assert list((tmp_path / "shared").iterdir()) == []


@pytest.mark.slow
def test_jobs_of_a_queue_that_end_are_asked_for_again(mtt, dawdling, tmp_path, monkeypatch):
    queue = Queue(tmp_path / "queue", monkeypatch)
    config = tmp_path / "slurm.yaml"
    config.write_text("jobs: 1\ncores: 1\nmemory: 1GB\ninterface: lo\nworker_extra_args: [--resources GPU=1]\n")
    store = tmp_path / "store"
    arguments = ["--encoder", "dawdling", "--task", "mtt", "--recipe", "short"]
    arguments += ["--registry", dawdling.file, "--data", mtt[0], "--store", store]
    started = Run(tmp_path, *arguments, "--cluster", "slurm", "--config", config, "--json")
    deadline = time.monotonic() + 200
    with Lookout(lambda: [started.pid, *queue.jobs()]) as lookout:
        while started.poll() is None:
            assert time.monotonic() < deadline, started.err
            time.sleep(0.1)
            if len(queue.jobs()) == 1 and saved(store):
                with suppress(ProcessLookupError):
                    os.killpg(queue.jobs()[0], signal.SIGKILL)  # as at the end of its walltime
                dawdling.go()
    assert started.returncode == 0, started.err
    assert len(queue.jobs()) > 1
    assert {record["recipe"] for record in json.loads(started.out)} == {"short", "untrained"}
    for job in queue.jobs():  # none is left behind
        wait_for(lambda job=job: not psutil.pid_exists(job) or psutil.Process(job).status() == psutil.STATUS_ZOMBIE)
    lookout.check(at_least=3)  # the scheduler and two workers
    assert all("BEGIN CERTIFICATE" in script and "PRIVATE KEY" not in script for script in queue.scripts())
    assert list(store.glob("unfinished/keys-*")) == []


@pytest.mark.parametrize(
    ("sinfo", "host"),
    [
        (None, "127.0.0.1"),
        ('echo "$(hostname)"', "127.0.0.1"),
        ('echo "$(hostname).cluster"; echo "$(hostname)"', "127.0.0.1"),
        ('echo "$(hostname)"; echo node2', "elsewhere"),
        ("exit 1", "elsewhere"),
    ],
)
def test_a_queue_of_this_machine_alone_stays_on_loopback(tmp_path, monkeypatch, sinfo, host):
    for name in ("hostname", "sh"):
        (tmp_path / name).symlink_to(shutil.which(name))
    if sinfo is not None:
        (tmp_path / "sinfo").write_text(f"#!/bin/sh\n{sinfo}\n")
        (tmp_path / "sinfo").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("distributed.utils.get_ip", lambda *_: "elsewhere")
    assert _scheduler_options({})["host"] == host
    assert "host" not in _scheduler_options({"interface": "ib0"})
