"""The `bench` command in a fork of a process that has torch and the rest imported: what a call costs most is importing.

Run as a program it reads requests, one JSON line each: to start a command, answered with the number of its process, or
to say how one ended. A fork is a process of its own with its own session, working directory, environment, output and
normal end, as if it had been started from a shell.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

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
    "benchmark.forecast.resources",
    "benchmark.report.contents",
    "benchmark.data.status",
    "benchmark.steps.embed",
    "benchmark.steps.prepare",
    "benchmark.steps.pretrain",
    "benchmark.steps.probe",
    "benchmark.pretraining.training",
)

_server: subprocess.Popen[str] | None = None


class Started:
    """A `bench` under way, with what a `subprocess.Popen` has of the same names.

    Parameters
    ----------
    arguments
        Words after `bench`.
    out, err
        Files that its output goes to; a full pipe would stop it.
    cwd
        Where it starts; by default where the tests run.
    environment
        Its variables; by default those of the tests.
    """

    def __init__(
        self,
        arguments: Sequence[object],
        out: Path,
        err: Path,
        *,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.returncode: int | None = None
        self.pid = _ask(
            argv=[str(Path(sys.executable).with_name("bench")), *map(str, arguments)],
            out=str(out),
            err=str(err),
            cwd=str(cwd or Path.cwd()),
            environment=dict(os.environ if environment is None else environment),
        )

    def poll(self) -> int | None:
        """The exit code, or minus the signal that ended it; ``None`` while it runs."""
        if self.returncode is None:
            self.returncode = _ask(poll=self.pid)
        return self.returncode

    def wait(self, timeout: float) -> int:
        """The exit code, once there is one.

        Raises
        ------
        subprocess.TimeoutExpired
            After so many seconds; it is killed then, and all that it started.
        """
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                os.killpg(self.pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            time.sleep(0.003)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)


def call(arguments: list[str], cwd: str | None, environment: dict[str, str], timeout: float) -> tuple[int, str, str]:
    """Run `bench` with these arguments; returns exit code, standard output and standard error.

    Raises
    ------
    subprocess.TimeoutExpired
        After `timeout` seconds; the command and all that it started are killed.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        started = Started(arguments, out, err, cwd=None if cwd is None else Path(cwd), environment=environment)
        try:
            code = started.wait(timeout)
        except subprocess.TimeoutExpired:
            raise subprocess.TimeoutExpired(arguments, timeout, out.read_text(), err.read_text()) from None
        return code, out.read_text(), err.read_text()


def _ask(**request: object) -> Any:
    global _server
    if _server is None or _server.poll() is not None:
        command = [sys.executable, str(Path(__file__).resolve())]
        # A test that has called `cli.main` has this set, which would keep this folder from the server's path.
        own = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
        _server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True, cwd="/", env=own
        )
        atexit.register(_stop, _server)
    assert _server.stdin is not None and _server.stdout is not None
    _server.stdin.write(json.dumps(request) + "\n")
    _server.stdin.flush()
    return json.loads(_server.stdout.readline())


def _stop(server: subprocess.Popen[str]) -> None:
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _serve() -> None:
    """Fork at every request for a command; only a child returns."""
    for line in sys.stdin:
        request = json.loads(line)
        if pid := request.get("poll"):
            print(json.dumps(_code_of(pid)), flush=True)
            continue
        child = os.fork()
        if child:
            print(child, flush=True)
            continue
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which tests in the background are started to ignore
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


def _code_of(child: int) -> int | None:
    ended, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _end(main: Callable[[], object]) -> NoReturn:
    """Call `main` and end as the interpreter does, except that modules are not taken apart.

    That would copy every page that the imports share: four fifths of what a short command costs.
    """
    code: object = None
    try:
        main()
    except SystemExit as stop:
        code = stop.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if isinstance(code, str):
        print(code, file=sys.stderr)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    from importlib import import_module

    from loopback_only import refuse_others

    refuse_others()
    sys.path[0] = str(Path(sys.executable).parent)  # as for the installed command, not this folder
    for module in _PRELOADED:
        import_module(module)
    # Forecasts measure this machine for seconds, of which no test of a command asks more than that they do.
    sys.modules["benchmark.forecast.resources"].SEARCH_SECONDS = 0.0  # type: ignore[attr-defined]
    gc.collect()
    gc.freeze()  # or the first collection in a fork copies every page that the imports share
    _serve()
    _end(sys.modules["cli"].main)
