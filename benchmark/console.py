"""All that is written to a terminal: progress and remarks on standard error, results on standard output.

What is written may quote anybody: file names, entries of a registry, records of a stranger's store. A terminal obeys
control characters in them, so nothing is written here before these are escapes, and nothing is written elsewhere.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from benchmark.plain_files import append_to, make_folder

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

#: Seconds between progress lines where standard error is no terminal.
LINE_EVERY = 10.0

#: Letters of a bar's title that are worth more than the bar, of the bar, and of the time that has passed.
_TITLE, _BAR, _ELAPSED = 24, 10, 7

Advance = Callable[[int], None]


class Level(IntEnum):
    """How much is said: warnings alone, remarks and progress too, or how it was done as well."""

    QUIET = 0
    NORMAL = 1
    VERBOSE = 2


#: What the user chose for this process.
_chosen = Level.NORMAL
#: Whether this process had to leave something out.
_lost = False


def choose_level(level: Level) -> None:
    """Let every reporter that is made from now on say as much as this."""
    global _chosen
    _chosen = level


def chosen_level() -> Level:
    """How much the user wants to be told."""
    return _chosen


def something_lost(forget: bool = False) -> bool:
    """Whether anything was left out since it was last asked to forget; the command then ends with exit code 1."""
    global _lost
    found = _lost
    _lost = _lost and not forget
    return found


class Reporter:
    """Writes progress bars to a terminal, and plain lines now and then to anything else."""

    def __init__(self) -> None:
        self.level = chosen_level()
        self.live = self.level > Level.QUIET and sys.stderr.isatty()

    def say(self, text: str) -> None:
        """One line, unless the user wants warnings alone."""
        if self.level > Level.QUIET:
            self._write(text)

    def warn(self, text: str) -> None:
        """One line without which the result would be misunderstood; said at every level."""
        if self.level > Level.QUIET:
            self.say(text)
        else:
            self._write(text)

    def leave_out(self, text: str) -> None:
        """Name what could not be read and is left out of the result: the command goes on, and ends with exit code 1."""
        global _lost
        _lost = True
        self.warn(f"left out: {text}")

    def detail(self, text: str) -> None:
        """One line for those who want to know how it was done."""
        if self.level == Level.VERBOSE:
            self.say(text)

    def _write(self, text: str) -> None:
        with writing_to(sys.stderr, "standard error"):
            print(printable(text), file=sys.stderr, flush=True)  # noqa: T201

    def logged(self, file: Path) -> Reporter:
        """A reporter that writes what is said into `file` too."""
        return _Logged(self, file)

    @contextmanager
    def progress(self, title: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        """Show progress until the block ends.

        Parameters
        ----------
        title
            What is being done.
        total
            How much there is to do, in `unit`s.
        unit
            Plural noun, e.g. ``"clips"``.
        done
            How much an earlier, interrupted attempt has left done; the rate leaves it out.

        Yields
        ------
        advance
            Call it with the number of units just finished.
        """
        with (_bar if self.live else self._lines)(title, total, unit, done) as advance:
            yield advance

    @contextmanager
    def counted(self, title: str, total: int, unit: str) -> Iterator[Callable[[int, int], None]]:
        """As `progress`, for who counts what is finished so far: yields a function of that number and the total."""
        done = 0
        with self.progress(title, total, unit) as advance:

            def reached(count: int, total: int) -> None:
                nonlocal done
                del total
                advance(count - done)
                done = count

            yield reached

    @contextmanager
    def _lines(self, title: str, total: int, unit: str, done: int) -> Iterator[Advance]:
        began = last = time.monotonic()
        count = done
        self.say(f"{title}: {total:,} {unit}" + (f", going on from {done:,}" if done else ""))

        def advance(n: int) -> None:
            nonlocal count, last
            count += n
            now = time.monotonic()
            if now - last >= LINE_EVERY and count < total:
                last = now
                rate = (count - done) / (now - began)
                left = (total - count) / rate if rate else float("inf")
                self.say(f"{title}: {count:,} of {total:,} {unit}, {rate:.3g}/s, {clock(left)} left")

        yield advance
        seconds = time.monotonic() - began
        rate = (count - done) / seconds if seconds else 0.0
        self.say(f"{title}: done, {count:,} {unit} in {seconds:.1f} s, {rate:.3g}/s")


class Silent(Reporter):
    """Shows nothing, for calls from other code; what would be left out is an error there."""

    def __init__(self) -> None:
        self.level = Level.NORMAL
        self.live = False

    def say(self, text: str) -> None:
        """Nothing."""

    def leave_out(self, text: str) -> None:
        """Raise `UserError`, for nobody would know."""
        from benchmark.errors import UserError

        raise UserError(text)


class LogReporter(Reporter):
    """Writes into a file alone, with the time, for steps that run where nobody watches."""

    def __init__(self, file: Path) -> None:
        self.level = Level.NORMAL
        self.live = False
        self._file = file
        make_folder(file.parent)

    def say(self, text: str) -> None:
        """One line, or several of a traceback; people look at logs in a terminal too."""
        with append_to(self._file) as file:
            file.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {printable_lines(text)}\n".encode())


class _Logged(LogReporter):
    def __init__(self, shown: Reporter, file: Path) -> None:
        super().__init__(file)
        self.level = shown.level
        self.live = shown.live
        self._shown = shown

    def say(self, text: str) -> None:
        self._shown.say(text)
        super().say(text)

    def warn(self, text: str) -> None:
        self._shown.warn(text)
        super().say(text)


@contextmanager
def _bar(title: str, total: int, unit: str, done: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    columns = bar_columns(title, total, unit, console.width)
    with Progress(*columns, console=console, speed_estimate_period=60) as bars:
        task = bars.add_task(printable(title), total=total, completed=done)
        yield lambda n: bars.advance(task, n)


def bar_columns(title: str, total: int, unit: str, width: int) -> list[ProgressColumn]:
    """What a bar shows on a line of `width` letters: count, rate and time left always, the title as far as it fits."""
    from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.table import Column
    from rich.text import Text

    class Count(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.completed:,.0f}/{total:,} {unit}")

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.3g}/s" if speed else "-/s")

    def column(letters: int | None = None) -> Column:
        return Column(no_wrap=True, overflow="ellipsis", max_width=letters)

    told = len(f"{total:,}/{total:,} {unit}") + len("1.23e+04/s") + len("left 0:00:00") + 3  # and the spaces between
    room = width - told
    bar, elapsed = room >= _TITLE + _BAR + 1, room >= _TITLE + _BAR + _ELAPSED + 2
    room -= (_BAR + 1) * bar + (_ELAPSED + 1) * elapsed
    return [
        TextColumn("{task.description}", markup=False, table_column=column(max(room, 1))),  # names may have brackets
        *([BarColumn(bar_width=max(_BAR, room - len(printable(title)) + _BAR))] if bar else []),
        Count(table_column=column()),
        Rate(table_column=column()),
        *([TimeElapsedColumn(table_column=column())] if elapsed else []),
        TextColumn("left", table_column=column()),
        TimeRemainingColumn(table_column=column()),
    ]


@contextmanager
def writing_to(stream: TextIO, name: str) -> Iterator[None]:
    """What is written to a stream that nobody reads any more ends the process, quietly, as it ends other programs.

    Raises
    ------
    SystemExit
        With the code of a program that SIGPIPE ended, if the reader has gone.
    UserError
        If nothing can be written for another reason, such as a full disk.
    """
    try:
        yield
    except OSError as error:
        # What is left in the buffer would fail once more when Python flushes it at its end.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        if isinstance(error, BrokenPipeError):
            raise SystemExit(141) from None
        from benchmark.errors import UserError

        raise UserError(f"cannot write to {name}: {error.strerror}") from None


def clock(seconds: float) -> str:
    """Hours, minutes and seconds; in words if it cannot be told."""
    if seconds == float("inf"):
        return "unknown time"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def show(text: str) -> None:
    """Lines of text on standard output."""
    _write_out(printable_lines(text))


def show_json(document: Any) -> None:
    """A JSON document on standard output, which may hold instances of dataclasses.

    Letters of every alphabet stay as they are, what a terminal would obey is escaped.
    """
    text = json.dumps(document, indent=1, ensure_ascii=False, default=asdict)
    _write_out(_UNPRINTABLE.sub(lambda found: _json_escapes(found[0]), text))


def _write_out(text: str) -> None:
    with writing_to(sys.stdout, "standard output"):
        print(text, flush=True)  # noqa: T201


def complain(text: str) -> None:
    """Lines of text on standard error: what a usage error or a traceback says."""
    print(printable_lines(text), file=sys.stderr, flush=True)  # noqa: T201


def printable(text: str) -> str:
    """`text` on one line, without what a terminal would obey: control characters are written as escapes."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def printable_lines(text: str) -> str:
    """`text` with its line ends, each line as `printable` has it."""
    return "\n".join(map(printable, text.split("\n")))


#: Beyond ASCII and line ends: what may be a control character.
_UNPRINTABLE = re.compile(r"[^\n -~]+")


def _json_escapes(text: str) -> str:
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
