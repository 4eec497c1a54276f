"""Who works on an unfinished step: a folder has one owner, by a rename that succeeds once, whatever locks do.

Layout::

    unfinished/KIND-KEY/                    left for anybody to go on from
    unfinished/KIND-KEY@HOST-PID-RANDOM/    of one process, which alone writes in it
    unfinished/KIND-KEY@HOST-PID-RANDOM.json    its owner, who touches it every few seconds

Who wants to go on from a folder renames it to a name of their own; of several who try, one succeeds, and the others
begin afresh in folders of their own. An owner that has died is known by its process, on the machine that it ran on, or
by a note that nobody touches. On another machine the owner may be asleep rather than dead, so there its folder is
copied: what it writes when it wakes is written into its own.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmark.errors import UserError
from benchmark.plain_files import check_folder, check_work, make_folder, read_plain, write_anew

#: Seconds between two touches of a note, and after how many an owner that has not touched it counts as dead.
TOUCHED_EVERY = 5.0
STALE = 30.0
OWNED = "@"
NOTE = ".json"


@dataclass(frozen=True)
class Process:
    """A process, told from every other that there was or will be.

    Attributes
    ----------
    host, boot, space, pid
        Where it runs, since which start of the machine, among which processes, and its number there.
    started
        When it began, in ticks since the machine did; a number that is used again has another.
    """

    host: str
    boot: str
    space: str
    pid: int
    started: str

    def is_dead(self) -> bool | None:
        """Whether it has ended; ``None`` if that cannot be told from here."""
        here = this_process()
        if (self.host, self.space) != (here.host, here.space):
            return None
        return self.boot != here.boot or _start_of(self.pid) != self.started


def this_process() -> Process:
    """The process that asks; another one in a fork."""
    return _process(os.getpid())


@cache
def _process(pid: int) -> Process:
    boot = _text(Path("/proc/sys/kernel/random/boot_id"))
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = ""
    return Process(socket.gethostname(), boot, space, pid, _start_of(pid))


def _start_of(pid: int) -> str:
    """When a process began; empty if there is none."""
    fields = _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] not in ("Z", "X") else ""


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""


@dataclass(frozen=True)
class Claim:
    """The work folder of a step that this process alone writes in.

    Attributes
    ----------
    work
        The folder.
    note
        Says so.
    identity
        Device and inode of the folder.
    """

    work: Path
    note: Path
    identity: tuple[int, int]

    def check(self) -> None:
        """Raise `UserError` if the folder is no longer this process's."""
        try:
            own = _identity(self.work) == self.identity and _owner(self.note) == this_process()
        except OSError:
            own = False
        if not own:
            raise UserError(
                f"{self.work}: was taken from this process while it worked in it; run the same command again"
            )


@contextmanager
def claimed(parked: Path, root: Path, say: Callable[[str], None], locked: bool) -> Iterator[Claim]:
    """A work folder of one's own, with what an earlier attempt has left; if not finished, it is left for others.

    Parameters
    ----------
    parked
        ``unfinished/KIND-KEY`` of a store.
    root
        The store's folder.
    say
        Told in a line what is waited for.
    locked
        Whether this process holds the step's lock, on a file system that has locks. Then another machine's process
        that seems to be at the step has either died a moment ago or sees other locks, and a while is waited to tell.

    Raises
    ------
    PlantedError
        If what lies there cannot be gone on from: links, devices, or the files of another user.
    """
    make_folder(parked.parent)
    me = this_process()
    work = parked.with_name(f"{parked.name}{OWNED}{me.host}-{me.pid}-{secrets.token_hex(4)}")
    note = work.with_name(f"{work.name}{NOTE}")
    with write_anew(note) as file:
        file.write(json.dumps(asdict(me)).encode())
    stop = threading.Event()
    touching = threading.Thread(target=_keep_touching, args=(note, stop), daemon=True)
    touching.start()
    try:
        _take(parked, work, root, say, locked)
        check_work(work, root)
        yield Claim(work, note, _identity(work))
    finally:
        stop.set()
        touching.join()
        # Where another folder waits already, this one stays beside it.
        with suppress(OSError):
            work.rename(parked)
        note.unlink(missing_ok=True)


def _keep_touching(note: Path, stop: threading.Event) -> None:
    while not stop.wait(TOUCHED_EVERY):
        with suppress(OSError):
            os.utime(note)


def _take(parked: Path, work: Path, root: Path, say: Callable[[str], None], locked: bool) -> None:
    """Make `work` of what is there to go on from, or of nothing."""
    if os.path.lexists(parked):
        _check(parked, root)
        with suppress(FileNotFoundError):  # another process was faster
            parked.rename(work)
            return
    for other in _owned(parked):
        if other == work:
            continue
        dead = is_dead(other)
        if dead is None and _is_stale(other, say if locked else None):
            _check(other, root)
            shutil.copytree(other, work, symlinks=True)
            return
        if dead:
            _check(other, root)
            with suppress(FileNotFoundError):
                other.rename(work)
                note_of(other).unlink(missing_ok=True)
                return
    work.mkdir()


def _check(folder: Path, root: Path) -> None:
    """Raise `PlantedError` if what lies there cannot be gone on from."""
    check_folder(folder)
    check_work(folder, root)


def _owned(parked: Path) -> list[Path]:
    """Folders of the step that have owners, the one that was changed last first."""
    found = []
    for path in parked.parent.glob(f"{parked.name}{OWNED}*"):
        with suppress(FileNotFoundError):
            if path.suffix != NOTE:
                found.append((path.lstat().st_mtime_ns, path))
    return [path for _, path in sorted(found, reverse=True)]


def note_of(work: Path) -> Path:
    """Where the owner of a work folder is named."""
    return work.with_name(f"{work.name}{NOTE}")


def is_dead(work: Path) -> bool | None:
    """Whether the owner of a work folder has ended; ``None`` if it ran on another machine."""
    owner = _owner(note_of(work))
    if owner is None:
        return None if note_of(work).exists() else True
    return owner.is_dead()


def is_abandoned(work: Path) -> bool:
    """Whether nobody is at a work folder that has, or had, an owner."""
    dead = is_dead(work)
    return _is_stale(work, None) if dead is None else dead


def _is_stale(work: Path, say: Callable[[str], None] | None) -> bool:
    """Whether a note has not been touched for a while; one that was lately is watched if somebody is to be told so."""
    note = note_of(work)
    try:
        touched = note.stat().st_mtime
        age = time_there(note.parent) - touched
        if abs(age) > STALE:
            return True
        if say is None:
            return False
        say(
            f"{work.name.partition(OWNED)[2]} was at this step {max(age, 0):.0f} s ago; waiting to see "
            "whether it is still"
        )
        deadline = time.monotonic() + STALE
        while time.monotonic() < deadline:
            time.sleep(0.5)
            if note.stat().st_mtime != touched:
                return False
    except FileNotFoundError:
        return False  # it has ended, and left what it had for anybody
    return True


def time_there(folder: Path) -> float:
    """The time by the clock of a folder's file system [s], for machines disagree; this one's if it is read-only."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            return os.fstat(probe.fileno()).st_mtime
    except OSError:
        return time.time()


def _owner(note: Path) -> Process | None:
    try:
        document: Any = json.loads(read_plain(note))
        found = Process(**document)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return found if isinstance(found.pid, int) else None


def _identity(folder: Path) -> tuple[int, int]:
    facts = folder.lstat()
    return facts.st_dev, facts.st_ino
