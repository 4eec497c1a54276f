"""The `bench` command in a fork of a process that has torch and the rest imported: what a call costs most is importing.

Run as a program it reads requests, one JSON line each, and answers every one with the exit code. A fork is a process of
its own with its own working directory, environment, output and normal end, as if it had been started from a shell.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

_PRELOADED = (
    "cli",
    "lightning.pytorch",
    "pandas",
    "scipy.signal",
    "sklearn.linear_model",
    "sklearn.metrics",
    "soundfile",
    "soxr",
    "torch",
    "torchaudio",
    "benchmark.plan.planner",
    "benchmark.engine.engine",
    "benchmark.engine.execution",
    "benchmark.report.contents",
    "benchmark.data.status",
    "benchmark.steps.embed",
    "benchmark.steps.prepare",
    "benchmark.steps.pretrain",
    "benchmark.steps.probe",
    "benchmark.pretraining.training",
)

_server: subprocess.Popen[str] | None = None


def call(arguments: list[str], cwd: str | None, environment: dict[str, str], timeout: float) -> tuple[int, str, str]:
    """Run `bench` with these arguments; returns exit code, standard output and standard error.

    Raises
    ------
    subprocess.TimeoutExpired
        After `timeout` seconds; the command and all that it started are killed.
    """
    global _server
    if _server is None or _server.poll() is not None:
        command = [sys.executable, str(Path(__file__).resolve())]
        # A test that has called `cli.main` has this set, which would keep this folder from the server's path.
        own = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
        _server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True, cwd="/", env=own
        )
        atexit.register(_stop, _server)
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        request = {
            "argv": [str(Path(sys.executable).with_name("bench")), *arguments],
            "cwd": cwd or os.getcwd(),
            "environment": environment,
            "out": str(out),
            "err": str(err),
        }
        assert _server.stdin is not None and _server.stdout is not None
        _server.stdin.write(json.dumps(request) + "\n")
        _server.stdin.flush()
        if not select.select([_server.stdout], [], [], timeout)[0]:
            _stop(_server)
            raise subprocess.TimeoutExpired(arguments, timeout, out.read_text(), err.read_text())
        return int(_server.stdout.readline()), out.read_text(), err.read_text()


def _stop(server: subprocess.Popen[str]) -> None:
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _serve() -> None:
    """Fork at every request; only a child returns."""
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child:
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
            continue
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["environment"])
        for number, name in ((0, os.devnull), (1, request["out"]), (2, request["err"])):
            file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(file, number)
            os.close(file)
        sys.argv = request["argv"]
        return
    os._exit(0)


if __name__ == "__main__":
    from importlib import import_module

    from loopback_only import refuse_others

    refuse_others()
    sys.path[0] = str(Path(sys.executable).parent)  # as for the installed command, not this folder
    for module in _PRELOADED:
        import_module(module)
    gc.collect()
    gc.freeze()  # or the first collection in a fork copies every page that the imports share
    _serve()
    sys.modules["cli"].main()
