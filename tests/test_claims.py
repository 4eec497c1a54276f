"""Two commands on one store where locks work, are refused or granted to all, and what the dead have left."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from small_corpus import Told

from benchmark.engine.engine import Engine
from benchmark.engine.housekeeping import abandoned
from benchmark.errors import UserError
from benchmark.steps import KINDS
from benchmark.store import claims
from benchmark.store.store import Store


def every_errno():
    def refusing(number):
        def refuse(handle, operation):
            raise OSError(number, os.strerror(number))

        return refuse

    return {errno.errorcode[number]: refusing(number) for number in sorted(errno.errorcode)} | {
        "granted to all": lambda handle, operation: None
    }


@pytest.mark.parametrize("batch", range(4))
def test_pairs_of_commands_without_locks_leave_what_one_alone_does(tmp_path, monkeypatch, batch):
    """A step that appends, as decoding does, by two at once: for every error of `flock`, and where it grants all."""

    class Appending(Engine):
        def run_step(self, step, inputs, work, reporter):
            for number in range(6):
                with (work / "rows").open("ab") as file:
                    file.write(bytes([number]) * 5)
                time.sleep(0.0005)
            return {}

    for name, flock in list(every_errno().items())[batch::4]:
        monkeypatch.setattr(fcntl, "flock", flock)
        root, errors, lines = tmp_path / name, [], []
        step = KINDS["embed"].step({}, {}, "append")
        Store(root)
        meet = threading.Barrier(2)

        def one(root=root, errors=errors, lines=lines, meet=meet, step=step):
            try:
                told = Told()
                engine = Appending(Store(root), told)
                meet.wait()
                engine.ensure(step)
                lines.extend(told.lines)
            except BaseException as error:
                errors.append(error)

        both = [threading.Thread(target=one) for _ in range(2)]
        [thread.start() for thread in both]
        [thread.join() for thread in both]
        assert errors == [], name
        found = Store(root).find("embed", step.key)
        assert (found / "rows").read_bytes() == b"".join(bytes([n]) * 5 for n in range(6)), name
        assert any("locks do not work here" in line for line in lines), name
        assert list((root / "unfinished").iterdir()) == [], name


def test_where_locks_work_the_second_waits_and_nothing_is_left(tmp_path):
    store = Store(tmp_path)
    assert store.no_locks == ""
    from benchmark.file_lock import Busy, FileLock

    file = store.lock_file("embed", "k")
    with FileLock(file), pytest.raises(Busy):
        FileLock(file).acquire(timeout=0.1)
    assert list((tmp_path / "unfinished").iterdir()) == []
    order: list[int] = []

    def hold(number):
        for _ in range(30):
            with FileLock(file):
                order.append(number)
                order.append(number)

    threads = [threading.Thread(target=hold, args=(n,)) for n in range(3)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(order) == 180
    assert order[::2] == order[1::2]  # nobody came in between


def claim_and_die(root: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from benchmark.store.store import Store\n"
        "with Store(Path(sys.argv[1])).claim('embed', 'k', print, True) as claim:\n"
        "    (claim.work / 'half').write_text('half'); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, root], check=False).returncode == 9


def test_what_a_killed_process_has_left_is_gone_on_from(tmp_path):
    store = Store(tmp_path)
    claim_and_die(tmp_path)
    (left,) = abandoned(store)[:1]
    assert left.name.startswith("embed-k@")
    with store.claim("embed", "k", print, True) as claim:
        assert (claim.work / "half").read_text() == "half"
        assert abandoned(store) == []
    assert [path.name for path in abandoned(store)] == ["embed-k"]


def test_what_another_machine_has_left_is_copied_once_nobody_touches_it(tmp_path, monkeypatch):
    """Its owner may be asleep: what it writes when it wakes goes into its own folder."""
    store = Store(tmp_path)
    claim_and_die(tmp_path)
    (work,) = (path for path in (tmp_path / "unfinished").iterdir() if path.is_dir())
    note = claims.note_of(work)
    note.write_text(json.dumps({**json.loads(note.read_text()), "host": "elsewhere"}))
    with store.claim("embed", "k", print, False) as claim:  # no locks, and touched a moment ago: at work
        assert list(claim.work.iterdir()) == []
    (tmp_path / "unfinished" / "embed-k").rmdir()
    assert abandoned(store) == []
    said: list[str] = []
    monkeypatch.setattr(claims, "STALE", 0.3)
    os.utime(note)
    with store.claim("embed", "k", said.append, True) as claim:
        assert (claim.work / "half").read_text() == "half"
        assert not (claim.work / "half").samefile(work / "half")
    assert len(said) <= 1
    assert work in abandoned(store)


def test_finishing_checks_the_claim(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(UserError, match="was taken from this process"), store.claim("embed", "k", print, True) as claim:
        (claim.work / "a").write_text("x")
        claim.note.write_text(json.dumps({**json.loads(claim.note.read_text()), "pid": 1}))
        store.finish("embed", "k", {"inputs": {}}, claim)
    assert store.find("embed", "k") is None


def test_of_two_that_finish_the_first_stays(tmp_path):
    store = Store(tmp_path)
    with store.claim("embed", "k", print, True) as one, store.claim("embed", "k", print, True) as other:
        (one.work / "a").write_text("first")
        (other.work / "a").write_text("second")
        first = store.finish("embed", "k", {"inputs": {}}, one)
        assert store.finish("embed", "k", {"inputs": {}}, other).digest == first.digest
        assert (first / "a").read_text() == "first"
    with store.claim("embed", "k", print, True) as again:
        (again.work / "a").write_text("of other inputs")
        assert (store.finish("embed", "k", {"inputs": {"x": "y"}}, again) / "a").read_text() == "of other inputs"
