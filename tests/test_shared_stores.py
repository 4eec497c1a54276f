"""A store of several users: modes, what one may not read, and what tidying spares."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest
from small_corpus import Told

from benchmark.console import LogReporter
from benchmark.engine.engine import Engine
from benchmark.engine.housekeeping import UnreadableError, problems, unwanted
from benchmark.engine.progress import Watcher
from benchmark.errors import UserError
from benchmark.steps import KINDS
from benchmark.store import modes
from benchmark.store.store import Store


def test_what_is_made_in_a_groups_store_is_the_groups_whatever_the_umask(tmp_path, monkeypatch):
    monkeypatch.setattr(modes, "UMASK", 0o077)
    for mode, files, folders in ((0o2775, 0o660, 0o2770), (0o755, 0o600, 0o700)):
        root = tmp_path / oct(mode)
        root.mkdir()
        root.chmod(mode)
        old = os.umask(0o077)
        try:
            store = Store(root)
            with store.claim("embed", "k", print, True) as claim:
                (claim.work / "sub").mkdir()
                for name in ("encoder.safetensors", "sub/b"):
                    (claim.work / name).touch(0o600)
                store.finish("embed", "k", {"inputs": {}}, claim)
        finally:
            os.umask(old)
        for path in [root / "format", *(root / "artifacts").rglob("*")]:
            expected = folders if path.is_dir() else files
            assert path.stat().st_mode & 0o7777 == expected, (oct(path.stat().st_mode), path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")
def test_two_members_of_a_group_share_a_store(tmp_path_factory):
    """One begins a step, fails and dies, the other goes on from it; both with a umask that keeps others out."""
    import shutil
    import tempfile
    import traceback

    place = Path(tempfile.mkdtemp(prefix="bench-shared-"))  # where pytest's own folders are is for root alone
    root = place / "store"
    root.mkdir()
    os.chown(root, 54_001, 54_000)
    root.chmod(0o2775)
    place.chmod(0o755)

    def by(user, what):
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([54_000])
                os.setgid(user)
                os.setuid(user)
                os.umask(0o077)
                modes.UMASK = 0o077
                what()
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    class Failing(Engine):
        def run_step(self, step, inputs, work, reporter):
            reporter.say("begins")
            if not (work / "half").exists():
                (work / "half").touch(0o600)
                raise UserError("no luck")
            (work / "whole").write_text("more")
            return {}

    step = KINDS["embed"].step({}, {}, "a step")

    def fail():
        (failure,) = Failing(Store(root), Told()).compute([step])
        assert failure.cause == "no luck"

    def go_on():
        assert (Failing(Store(root), Told()).ensure(step) / "whole").read_text() == "more"
        assert problems(Store(root).folder("embed", step.key)) == []

    def see():
        store = Store(root)
        assert (store.find("embed", step.key) / "half").read_text() == ""
        with store.claim("copy", "x", print, True):
            pass
        store.delete("embed", step.key)

    try:
        by(54_001, fail)
        by(54_002, go_on)
        by(54_001, see)
        log = Store(root).log_file("embed", step.key).read_text()
        assert (log.count("begins"), log.count("no luck")) == (2, 1)
    finally:
        shutil.rmtree(place)


def test_what_this_user_may_not_read_is_not_called_damaged(tmp_path, monkeypatch):
    store = Store(tmp_path)
    with store.claim("embed", "k", print, True) as claim:
        (claim.work / "a").write_text("x")
        folder = store.finish("embed", "k", {"inputs": {}}, claim).path
    assert problems(folder) == []

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("benchmark.engine.housekeeping.digest_file", refuse)
    with pytest.raises(UnreadableError, match=r"a cannot be read: Permission denied"):
        problems(folder)


def test_tidying_spares_what_is_recent_and_what_a_command_under_way_needs(tmp_path):
    store = Store(tmp_path)
    for key in ("a" * 40, "b" * 40):
        with store.claim("embed", key, print, True) as claim:
            (claim.work / "x").write_text("x")
            folder = store.finish("embed", key, {"inputs": {}}, claim).path
        os.utime(folder, (time.time() - 7200, time.time() - 7200))
    assert len(unwanted(store, [], 3600)) == 2
    os.utime(folder)
    assert [path.name for path in unwanted(store, [], 3600)] == ["a" * 40]
    watcher = Watcher(store, "bench run", LogReporter(tmp_path / "log"), ["a" * 40])
    with watcher.watching(table=False):
        deadline = time.monotonic() + 30
        while not list((tmp_path / "running").glob("*.json")) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert unwanted(store, [], 3600) == []
    assert len(unwanted(store, [])) == 2
