"""Where a plan stands: on the terminal that computes it, and for anybody who asks from another."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

from benchmark.console import LINE_EVERY, Reporter, Silent, clock, printable
from benchmark.errors import USER_ERRORS, UserError
from benchmark.plain_files import read_plain
from benchmark.store.claims import time_there
from benchmark.store.store import Store, write_atomically

if TYPE_CHECKING:
    from benchmark.engine.engine import Failure

#: Seconds between two notes for other shells.
NOTE_EVERY = 2.0
#: A note that is older than this is of a process that has died [s].
STALE = 60.0
#: What a note says at least.
_FIELDS = {"command": str, "host": str, "pid": int, "words": str, "running": dict}


@dataclass
class Progress:
    """Counts of steps, and what is being computed.

    Attributes
    ----------
    total, cached, done, failed
        Numbers of steps: all, there from the start, computed since, failed or resting on a failed one.
    running
        Title of the step that each busy worker is at.
    began
        When it began, on the monotonic clock [s].
    """

    total: int
    cached: int
    done: int = 0
    failed: int = 0
    running: dict[str, str] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    @property
    def rate(self) -> float:
        """Steps computed a minute."""
        return 60 * self.done / max(time.monotonic() - self.began, 1e-9)

    @property
    def left(self) -> float | None:
        """Time left at the rate so far [s]; ``None`` before the first step is done."""
        todo = self.total - self.cached - self.done - self.failed
        return 60 * todo / self.rate if self.done else None

    def words(self) -> str:
        """E.g. ``12 of 60 steps done (4 cached, 1 failed), 2 running, 3.1 a minute, 0:03:20 left``."""
        notes = [f"{count} {name}" for name, count in (("cached", self.cached), ("failed", self.failed)) if count]
        text = f"{self.cached + self.done} of {self.total} steps done"
        text += f" ({', '.join(notes)})" if notes else ""
        text += f", {len(self.running)} running"
        return text if self.left is None else f"{text}, {self.rate:.3g} a minute, {clock(self.left)} left"


@dataclass(frozen=True)
class Loss:
    """A step that could not be computed: title, cause in one line, log, and whether the user can mend it."""

    title: str
    cause: str
    log: Path
    by_user: bool = False

    @property
    def reason(self) -> str:
        """What it has in common with other losses: a cause that says itself whose fault it is; else nothing."""
        return self.cause if self.by_user else f"{self.title}: {self.cause}"

    @classmethod
    def of(cls, failure: Failure) -> Loss:
        """What `benchmark.engine.engine` knows of a step that failed."""
        return cls(failure.step.title, failure.cause, failure.log, isinstance(failure.error, USER_ERRORS))


def in_words(losses: Iterable[Loss]) -> list[str]:
    """A line for each reason, however many steps it has made fail."""
    of_reason: dict[str, list[Loss]] = {}
    for loss in losses:
        of_reason.setdefault(loss.reason, []).append(loss)
    return [
        f"failed: {first.title}{f' and {len(rest)} more' if rest else ''}: {first.cause} (log: {first.log})"
        for first, *rest in of_reason.values()
    ]


class Watcher:
    """Shows a `Progress` as a live table on a terminal, as plain lines elsewhere, and notes it in the store.

    Parameters
    ----------
    store, command, reporter
        Where notes lie, how the user called the command, and what is shown.
    keys
        Of the steps that the command needs, which nobody is to delete meanwhile.
    """

    def __init__(self, store: Store, command: str, reporter: Reporter, keys: Iterable[str] = ()) -> None:
        self._store = store
        self._keys = sorted(keys)
        self.progress = Progress(0, 0)
        self._reporter = reporter
        self._file = store.root / "running" / f"{socket.gethostname()}-{os.getpid()}.json"
        self._command = command
        self._started = time.time()
        self._stop = threading.Event()
        self._last_line = 0.0
        self._lines = False

    def update(self, progress: Progress) -> None:
        """Take note of where things stand."""
        self.progress = progress
        now = time.monotonic()
        if self._lines and now - self._last_line >= LINE_EVERY:
            self._last_line = now
            self._reporter.say(progress.words())

    @contextmanager
    def watching(self, table: bool = True, lines: bool = True) -> Iterator[None]:
        """Until the block ends, keep the note fresh and show a live `table` on a terminal, or `lines` now and then."""
        table = table and self._reporter.live
        self._lines = lines and not table
        self._store.make("running")
        thread = threading.Thread(target=self._keep_noting, daemon=True)
        thread.start()
        try:
            if table:
                with self._live():
                    yield
            else:
                yield
        finally:
            self._stop.set()
            thread.join()
            # Nor must a note that cannot be removed, from a store that was made read-only, hide how the work ended.
            with suppress(OSError):
                self._file.unlink(missing_ok=True)

    def _keep_noting(self) -> None:
        while True:
            document = {
                **asdict(self.progress),
                "words": self.progress.words(),
                "command": self._command,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "started": self._started,
                "noted": time.time(),
                "keys": self._keys,
            }
            # A note that cannot be written, on a full disk say, must not end the work.
            with suppress(OSError):
                write_atomically(self._file, json.dumps(document).encode())
            if self._stop.wait(NOTE_EVERY):
                return

    @contextmanager
    def _live(self) -> Iterator[None]:
        from rich.console import Console
        from rich.live import Live
        from rich.table import Table
        from rich.text import Text

        since: dict[tuple[str, str], float] = {}

        def table() -> Table:
            rows = Table(title=self.progress.words(), title_justify="left", box=None)
            rows.add_column("worker", no_wrap=True)
            rows.add_column("for", no_wrap=True)
            rows.add_column("step", no_wrap=True, overflow="ellipsis", ratio=1)
            now = time.monotonic()
            for worker, title in sorted(self.progress.running.items()):
                waited = clock(now - since.setdefault((worker, title), now))
                # As Text, for a name may look like the markup of a table.
                rows.add_row(Text(printable(worker)), waited, Text(printable(title)))
            return rows

        with Live(get_renderable=table, console=Console(stderr=True), refresh_per_second=2, transient=True):
            yield


class Note(TypedDict):
    """What a `bench run` is at.

    Attributes
    ----------
    command, host, pid
        What was called, where, and its process.
    total, cached, done, failed, running
        As of `Progress`.
    began
        When, by the monotonic clock of its machine [s].
    started, noted
        When it began and when it was last heard of, in seconds since 1970.
    words
        All of it in a sentence.
    age
        Time since it was last heard of, by the clock of the store [s].
    alive
        False if it has not been heard of for a minute.
    """

    command: str
    host: str
    pid: int
    total: int
    cached: int
    done: int
    failed: int
    running: dict[str, str]
    began: float
    started: float
    noted: float
    words: str
    age: float
    alive: bool


def notes(store: Store, reporter: Reporter | None = None) -> list[Note]:
    """What every `bench run` on a store is at.

    Parameters
    ----------
    store
        Which one.
    reporter
        Told what in the folder of notes is none, and is left out; without one, it is an error.
    """
    return [note for note, _ in _notes(store, reporter or Silent())]


def _notes(store: Store, reporter: Reporter) -> list[tuple[Note, Any]]:
    """Every note, and the keys that it names."""
    files = sorted((store.root / "running").glob("*.json"))
    now = time_there(store.root / "running") if files else 0.0
    found: list[tuple[Note, Any]] = []
    for file in files:
        try:
            document = {**json.loads(read_plain(file))}
            age = now - file.stat().st_mtime
        except FileNotFoundError:
            continue  # the command has ended
        except (UserError, OSError) as error:
            reporter.leave_out(str(error))
            continue
        except (ValueError, TypeError, RecursionError):
            continue
        if not all(isinstance(document.get(name), kind) for name, kind in _FIELDS.items()):
            continue
        if not all(isinstance(title, str) for title in document["running"].values()):
            continue
        # A note from the future was written before somebody turned the clock back, and not since.
        keys = document.pop("keys", [])
        found.append((cast("Note", {**document, "age": age, "alive": abs(age) < STALE}), keys))
    return found


def keys_in_use(store: Store) -> set[str]:
    """Keys of the steps that commands which are alive have said they need."""
    return {
        key
        for note, keys in _notes(store, Silent())
        if note["alive"] and isinstance(keys, list)
        for key in keys
        if isinstance(key, str)
    }
