"""Loads libraries in processes of their own, so that one that crashes or hangs takes nothing down.

Libraries that rest on the same large one are loaded one after another in one process, for it takes seconds by itself;
several such processes go side by side. Where a process dies or hangs, another goes on behind what killed it.
"""

from __future__ import annotations

import csv
import importlib
import importlib.metadata
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import IO, Any

from benchmark.libraries import LIBRARIES, Fault, fault_behind, mending

#: A library that has not been loaded after so long [s] is taken to hang.
PATIENCE = 120.0
#: Marks a function to be called, ``module:function``, among names of libraries.
_CALL = ":"

_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from benchmark.examination.loading import attempt; attempt(sys.argv[2:])"
)


@dataclass(frozen=True)
class Loaded:
    """What became of a library, or of a function that was called.

    Attributes
    ----------
    said
        What the function returned; empty for a library.
    reason
        Why it failed, in one line; empty if it did not.
    command
        What mends it, for a shell; empty if nothing is known to.
    module
        The library to blame, which may be one that it imports.
    missing
        Whether that one is not there at all.
    """

    said: str = ""
    reason: str = ""
    command: str = ""
    module: str = ""
    missing: bool = False


def load_apart(groups: Sequence[Sequence[str]]) -> dict[str, Loaded]:
    """Load libraries of the table, and call functions (``module:function``), a process for each group.

    What the first of a group is, the others rest on: if it crashes or hangs, they are not tried.
    """
    with ThreadPoolExecutor(len(groups)) as pool:
        return {name: found for part in pool.map(_load_group, groups) for name, found in part.items()}


def look_at(name: str) -> Loaded:
    """What can be told of a library of the table without loading it: its files are those that were installed.

    A file of another length than was installed, a missing one, or another module of that name is the reason why not.
    """
    library = LIBRARIES[name]
    try:
        installed = importlib.metadata.distribution(library.distribution)
    except importlib.metadata.PackageNotFoundError:
        return Loaded(reason="not installed", command=mending(name, True), module=name, missing=True)
    spec = PathFinder.find_spec(name)
    again = mending(name, False)
    if spec is None:
        return Loaded(reason="its files are not there", command=again, module=name)
    home = Path(str(installed.locate_file("")))
    if spec.origin is not None and not Path(spec.origin).is_relative_to(home):
        return Loaded(reason=f"{spec.origin} hides the installed one", command=again, module=name)
    # `installed.files` leaves out those that are missing.
    for file, _, size in csv.reader((installed.read_text("RECORD") or "").splitlines()):
        path = home / file
        if size and not (path.is_file() and path.stat().st_size == int(size)):
            return Loaded(reason=f"{path} is not as it was installed", command=again, module=name)
    return Loaded()


def _load_group(names: Sequence[str]) -> dict[str, Loaded]:
    found: dict[str, Loaded] = {}
    while len(found) < len(names):
        rest = names[len(found) :]
        end = "ends without a word"
        for message in _messages(rest):
            if isinstance(message, str):
                end = message
            else:
                found[rest[message[0]]] = Loaded(**message[1])
        if len(found) < len(names):
            culprit = names[len(found)]
            found[culprit] = Loaded(reason=end, module=culprit)
            if culprit == names[0]:
                first = Loaded(reason=f"not tried, for it rests on {culprit}", module=culprit)
                found |= dict.fromkeys(names[1:], first)
    return found


def _messages(names: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]] | str]:
    """Number and fields of each `Loaded` as it comes, and how the process ended, if not by itself."""
    command = [sys.executable, "-P", "-c", _PROGRAM, json.dumps(sys.path), *names]
    with subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        assert process.stdout is not None
        try:
            for number, line in enumerate(_lines(process.stdout)):
                yield number, json.loads(line)
            code = process.wait(PATIENCE)
        except (TimeoutError, subprocess.TimeoutExpired):
            os.killpg(process.pid, signal.SIGKILL)  # with all that a library may have started
            yield f"hangs: not done after {PATIENCE:.0f} s"
            return
    yield f"crashes, by {signal.Signals(-code).name}" if code < 0 else f"ends the process, with exit code {code}"


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Whole lines of a stream until it ends; `TimeoutError` if one takes longer than `PATIENCE`."""
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        until = time.monotonic() + PATIENCE
        while True:
            if not selector.select(max(0.0, until - time.monotonic())):
                raise TimeoutError
            some = os.read(stream.fileno(), 2**16)
            if not some:
                return
            *lines, rest = (rest + some).split(b"\n")
            if lines:
                until = time.monotonic() + PATIENCE
            yield from lines


def attempt(names: Sequence[str]) -> None:
    """What a process of its own does: load or call each, and write a line of JSON for it."""
    # Libraries print; what they print is no answer.
    answers = os.dup(1)
    os.dup2(2, 1)
    for name in names:
        os.write(answers, json.dumps(vars(_attempt(name))).encode() + b"\n")
    os._exit(0)


def _attempt(name: str) -> Loaded:
    try:
        if _CALL in name:
            module, function = name.split(_CALL)
            return Loaded(said=str(getattr(importlib.import_module(module), function)()))
        for part in LIBRARIES[name].parts:
            importlib.import_module(part)
    except Exception as error:
        fault = fault_behind(error)
        if fault is not None:
            return _told(fault)
        text = " ".join(str(error).split())
        return Loaded(reason=f"{type(error).__name__}: {text}".rstrip(": "), module=name)
    return Loaded()


def _told(fault: Fault) -> Loaded:
    return Loaded(reason=fault.reason, command=fault.command, module=fault.module, missing=fault.missing)
