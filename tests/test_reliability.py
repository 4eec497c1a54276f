"""A store that trusts no moment, no file system and no neighbour: what docs/reliability.md promises, attacked."""

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

import numpy as np
import pytest
import soundfile
from conftest import bench, tone
from hypothesis import given, settings
from hypothesis import strategies as st
from report_store import fill, make_record

from benchmark.audio import checked_file, decoding, worker_decoding
from benchmark.audio.audio_source import Undecodable
from benchmark.audio.checked_file import ChangedError, CheckedFile
from benchmark.audio.decoding import decode, decode_into
from benchmark.comparison.score_tables import score_tables
from benchmark.console import LogReporter, Reporter, something_lost
from benchmark.engine.engine import Engine
from benchmark.engine.housekeeping import UnreadableError, abandoned, problems, unwanted
from benchmark.engine.progress import Watcher
from benchmark.errors import UserError
from benchmark.pretraining import saved_state
from benchmark.registry.entries import DatasetEntry
from benchmark.registry.registry import Named, load_registry
from benchmark.report.contents import collect
from benchmark.scores.long_table import long_table
from benchmark.steps import KINDS, prepare
from benchmark.store import claims, digests, modes
from benchmark.store.digests import DigestCache, Unread
from benchmark.store.sample_journal import resume
from benchmark.store.storage_errors import storage_errors
from benchmark.store.store import JOURNAL, Store, digest_file

RATE = 16_000


class Told(Reporter):
    """Keeps what it is told, and does what it is to do when a number of clips is written."""

    def __init__(self, after: int = 0, act=lambda: None):
        super().__init__()
        self.lines: list[str] = []
        self._after, self._act = after, act

    def say(self, text):
        self.lines.append(text)

    def progress(self, title, total, unit, done=0):
        from contextlib import nullcontext

        if title.startswith("hash"):
            return nullcontext(lambda n: None)
        self.lines.append(f"from {done}")

        def advance(_):
            self._after -= 1
            if self._after == 0:
                self._act()

        return nullcontext(advance)


@pytest.fixture
def folder(tmp_path):
    """Ten short files."""
    root = tmp_path / "music"
    root.mkdir()
    for n in range(10):
        soundfile.write(root / f"{n}.wav", tone(1.1 + 0.1 * n, RATE, n), RATE)
    return root


def planned(root: Path, store: Store):
    """The step that decodes a folder as it is now."""
    entry = DatasetEntry.model_validate({"class": "tasks.folder:AudioFolder"})
    named = Named("music", entry, Path("r"), 1)
    from benchmark.registry.datasets import contents, dataset_at

    clips = contents(dataset_at(named, root), store, Told()).clips
    context = {"dataset": named, "root": root, "store": store.root}
    return KINDS["prepare"].step({"clips": clips, "sample_rate": RATE}, {}, "decode", context)


def samples_of(work: Path) -> bytes:
    return (work / "pcm.int16").read_bytes()


# What is decoded is what was hashed


def test_a_file_that_changes_or_vanishes_between_hashing_and_decoding_fails_the_step_by_name(tmp_path, folder):
    store, work = Store(tmp_path / "s"), tmp_path / "w"
    work.mkdir()
    step = planned(folder, store)
    contents = {path: path.read_bytes() for path in folder.iterdir()}
    for harm, said in (
        (lambda: (folder / "7.wav").unlink(), "7.wav: cannot be read any more (No such file or directory)"),
        (lambda: (folder / "7.wav").write_bytes(contents[folder / "8.wav"]), "7.wav: changed while it was read"),
    ):
        hashed = prepare.contents

        def then_harmed(*arguments, hashed=hashed, harm=harm):
            found = hashed(*arguments)
            harm()
            return found

        prepare.contents = then_harmed
        try:
            with pytest.raises(ChangedError) as error:
                prepare.compute(step, {}, work, Told())
        finally:
            prepare.contents = hashed
        assert said in str(error.value)
        (folder / "7.wav").write_bytes(contents[folder / "7.wav"])
    facts = prepare.compute(step, {}, work, Told())
    assert (facts["clips"], facts["unusable"]) == (10, 0)
    assert samples_of(work) == b"".join(decode(folder / f"{n}.wav", RATE).pcm.tobytes() for n in range(10))


def test_only_what_was_not_there_or_not_readable_when_it_was_hashed_is_left_out(tmp_path, folder):
    store, work = Store(tmp_path / "s"), tmp_path / "w"
    work.mkdir()
    (folder / "eio.wav").symlink_to("/proc/self/mem")  # a read fails as of a bad sector
    step = planned(folder, store)
    facts = prepare.compute(step, {}, work, Told())
    assert (facts["clips"], facts["unusable"]) == (10, 1)
    (problem,) = map(json.loads, (work / "problems.jsonl").read_text().splitlines())
    assert (problem["path"], problem["reason"]) == ("eio.wav", "cannot be read: Input/output error")
    (folder / "eio.wav").unlink()
    assert planned(folder, store).key != step.key  # once it can be read, or is gone, all is looked at again


@settings(max_examples=20)
@given(st.binary(min_size=1, max_size=700), st.data())
def test_a_checked_file_gives_the_bytes_of_its_digest_or_none(tmp_path_factory, content, data):
    path = tmp_path_factory.mktemp("f") / "f"
    path.write_bytes(content)
    digest = digest_file(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checked_file, "BLOCK_BYTES", 64)
        patch.setattr(checked_file, "KEPT_BLOCKS", 3)
        patch.setattr(checked_file, "_last", None)
        with CheckedFile(path, digest) as file:
            at, size = data.draw(st.integers(0, len(content))), data.draw(st.integers(0, 200))
            file.seek(at)
            assert file.read(size) == content[at : at + size]
            assert file.seek(0, os.SEEK_END) == len(content)
            other = bytearray(content)
            other[data.draw(st.integers(0, len(content) - 1))] ^= 1
            path.write_bytes(other)
            file.seek(0)
            found = file.read()
            if found != content:
                assert content.startswith(found)
                with pytest.raises(ChangedError, match="changed while it was read"):
                    file.check()
        with pytest.raises(ChangedError, match="changed while it was read"):
            CheckedFile(path, digest)


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
def test_samples_of_a_checked_file_are_those_of_any(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(checked_file, "KEPT_BLOCKS", 0)  # as of a file of gigabytes
    monkeypatch.setattr(checked_file, "BLOCK_BYTES", 4096)
    path = tmp_path / f"x.{suffix}"
    soundfile.write(path, np.stack([tone(4, 44_100, 1), tone(4, 44_100, 2)], axis=1), 44_100)
    for excerpt in (None, (1.25, 2.5)):
        blocks: list[bytes] = []
        decode_into(lambda b, blocks=blocks: blocks.append(b.tobytes()), path, RATE, None, excerpt, digest_file(path))
        assert b"".join(blocks) == decode(path, RATE, None, excerpt).pcm.tobytes()


def test_a_digest_is_remembered_only_of_a_file_that_had_aged_and_whose_times_all_agree(tmp_path, monkeypatch):
    store, file = Store(tmp_path / "s"), tmp_path / "f"
    file.write_bytes(b"one")
    asked = []
    real = digests.digest_file
    monkeypatch.setattr(digests, "digest_file", lambda path: asked.append(path) or real(path))

    def found():
        from contextlib import nullcontext

        (digest,) = DigestCache(store).digests([file], lambda n: nullcontext(lambda n: None))
        return digest

    first = found()
    times = file.stat()
    # Written again in the same step of the clock: same size, and the old time put back.
    file.write_bytes(b"two")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert found() != first
    assert len(asked) == 2
    monkeypatch.setattr(digests, "YOUNG", 0)  # it has aged
    monkeypatch.setattr(digests, "time_there", lambda folder: time.time() + 1)
    second = found()  # remembered with its new time, if it has not been
    known = len(asked)
    assert (found(), len(asked)) == (second, known)
    file.write_bytes(b"one")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (found(), len(asked)) == (first, known + 1)
    file.unlink()
    assert found() == Unread("")
    os.mkfifo(file)
    assert found() == Unread("is a named pipe, not a file")


def test_tables_and_weights_that_change_meanwhile_fail_their_steps(tmp_path):
    from benchmark.registry.datasets import check_tables, contents, dataset_at

    (tmp_path / "m").mkdir()
    soundfile.write(tmp_path / "m" / "a.wav", tone(1.1, RATE, 0), RATE)
    (tmp_path / "m" / "labels.csv").write_text("path,split,mood\na.wav,train,glad\n")
    entry = DatasetEntry.model_validate({"class": "tasks.folder:LabelledFolder"})
    dataset = dataset_at(Named("m", entry, Path("r"), 1), tmp_path / "m")
    tables = contents(dataset, Store(tmp_path / "s"), Told()).tables
    check_tables(dataset, tables)
    (tmp_path / "m" / "labels.csv").write_text("path,split,mood\na.wav,train,sad\n")
    with pytest.raises(UserError, match="its tables were changed while this command ran"):
        check_tables(dataset, tables)


# Without locks


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


# Resuming checks what it resumes


def test_an_attempt_that_was_killed_as_it_finished_leaves_nothing_in_the_artifact(tmp_path, monkeypatch):
    store = Store(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Store, "adopt", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with store.claim("embed", "k", print, True) as claim:
            (claim.work / "a").write_text("x")
            store.finish("embed", "k", {"inputs": {}}, claim)
    with store.claim("embed", "k", print, True) as claim:
        assert {path.name for path in claim.work.iterdir()} == {"a", "manifest.json"}
        (claim.work / ".manifest.json-half").write_text("{")
        folder = store.finish("embed", "k", {"inputs": {}}, claim).path
    assert store.find("embed", "k") is not None
    assert {path.name for path in folder.iterdir()} == {"a", "manifest.json"}


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A corpus, its step, the files of a work folder after eight of ten clips, and the samples of all."""
    place = tmp_path_factory.mktemp("interrupted")
    root = place / "music"
    root.mkdir()
    for n in range(10):
        soundfile.write(root / f"{n}.wav", tone(1.1, RATE, n), RATE)
    store = Store(place / "s")
    step = planned(root, store)

    def stop():
        raise KeyboardInterrupt

    (place / "part").mkdir()
    with pytest.raises(KeyboardInterrupt):
        prepare.compute(step, {}, place / "part", Told(8, stop))
    (place / "whole").mkdir()
    prepare.compute(step, {}, place / "whole", Told())
    left = {name: (place / "part" / name).read_bytes() for name in ("pcm.int16", JOURNAL)}
    return left, samples_of(place / "whole"), [path.stem + ".wav" for path in sorted(root.iterdir())]


@settings(max_examples=200)
@given(st.data())
def test_a_power_cut_while_decoding_costs_what_the_journal_cannot_prove(interrupted, tmp_path_factory, data):
    """Pages are zeroed, torn or never written; what resuming keeps is what was decoded, to the byte."""
    left, whole, ids = interrupted
    work = tmp_path_factory.mktemp("w")
    for name, content in left.items():
        changed = bytearray(content)
        for _ in range(data.draw(st.integers(0, 2))):
            at, size = data.draw(st.integers(0, len(changed))), data.draw(st.integers(1, 5000))
            how = data.draw(st.sampled_from(["zero", "tear", "cut"]))
            if how == "cut":
                del changed[at:]
            else:
                page = len(changed[at : at + size])
                changed[at : at + size] = bytes(page) if how == "zero" else os.urandom(page)
        (work / name).write_bytes(changed)
    done = resume(work / JOURNAL, work / "pcm.int16", ids)
    kept = samples_of(work)
    assert kept == whole[: len(kept)]
    lines = (work / JOURNAL).read_bytes()
    assert (len(lines.splitlines()), left[JOURNAL].startswith(lines)) == (done, True)
    if all((work / name).read_bytes() == content for name, content in left.items()):
        assert done == 8


def test_a_corpus_that_lost_power_is_what_it_would_have_been(tmp_path, folder):
    store, work = Store(tmp_path / "s"), tmp_path / "w"
    work.mkdir()
    step = planned(folder, store)

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare.compute(step, {}, work, Told(6, stop))
    (work / "pcm.int16").write_bytes(bytes((work / "pcm.int16").stat().st_size))
    (work / "spilt-left").write_bytes(b"x")
    told = Told()
    prepare.compute(step, {}, work, told)
    assert "from 0" in told.lines
    assert samples_of(work) == b"".join(decode(folder / f"{n}.wav", RATE).pcm.tobytes() for n in range(10))
    assert {path.name for path in work.iterdir()} == {"pcm.int16", "clips.jsonl", "problems.jsonl", JOURNAL}


@pytest.mark.parametrize("harmed", ["last.ckpt", "epoch-00001.safetensors", JOURNAL, None])
def test_a_training_state_is_gone_on_from_only_if_it_is_what_was_saved(tmp_path, harmed):
    state, kept = tmp_path / "last.ckpt", tmp_path / "epoch-00001.safetensors"
    for file, content in ((kept, b"weights"), (state, b"one"), (state, b"two")):
        saved_state.part_of(file).write_bytes(content)
        saved_state.keep(file)
    if harmed:
        file = tmp_path / harmed
        file.write_bytes(bytes(file.stat().st_size))
    damage = saved_state.drop_damaged(state, [kept, tmp_path / "epoch-00002.safetensors"])
    assert bool(damage) == (harmed is not None)
    assert state.exists() == (harmed is None)


# Bounds


def header(path: Path, rate: int, channels: int) -> Path:
    """A WAV file whose header claims these."""
    data = tone(1.2, RATE, 0)
    soundfile.write(path, data, RATE)
    content = bytearray(path.read_bytes())
    content[22:24] = channels.to_bytes(2, "little")
    content[24:28] = rate.to_bytes(4, "little")
    content[32:34] = (2 * channels).to_bytes(2, "little")
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("rate", "channels", "said"),
    [(1, 1, "a rate of 1 Hz"), (2_000_000_000, 1, "a rate of 2,000,000,000 Hz"), (RATE, 400, "400 channels")],
)
def test_a_header_that_claims_what_takes_memory_is_a_problem_with_a_reason(tmp_path, rate, channels, said):
    with pytest.raises(Undecodable, match=f"out of bounds: its header claims {said}"):
        decode(header(tmp_path / "x.wav", rate, channels), 22_050)


def test_what_a_table_promises_takes_no_memory_and_a_file_has_a_longest_length(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "x.wav", tone(2, RATE, 0), RATE)
    with pytest.raises(Undecodable, match="stub"):
        decode(tmp_path / "x.wav", RATE, 1e300)
    monkeypatch.setattr(decoding, "LONGEST_SECONDS", 1)
    with pytest.raises(Undecodable, match="out of bounds: is longer than the 0 h that are read"):
        decode(tmp_path / "x.wav", RATE)


@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
def test_nothing_waits_for_a_pipe_or_reads_a_device(tmp_path, kind):
    path = tmp_path / "x.wav"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        import socket

        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path))
    for ask in (lambda: decode(path, RATE), lambda: decode(path, RATE, 1.0, (0.0, 1.0))):
        with pytest.raises(Undecodable, match="not readable as audio"):
            ask()
    assert decoding.header_seconds(path) is None
    assert decoding.header_problem(path).startswith("not readable as audio")


def test_long_clips_go_through_files_and_leave_none(tmp_path, folder, monkeypatch):
    """Where a worker may hold nothing, the artifact is the same."""
    whole = []
    for name, held in (("a", 2**24), ("b", 0)):
        monkeypatch.setattr(worker_decoding, "HELD_BYTES", held)
        monkeypatch.setattr(worker_decoding, "_pool", lambda size: _InThisProcess())
        work = tmp_path / name
        work.mkdir()
        prepare.compute(planned(folder, Store(tmp_path / f"s{name}")), {}, work, Told())
        whole.append({path.name: path.read_bytes() for path in work.iterdir()})
    assert whole[0] == whole[1]


class _InThisProcess:
    """A pool that has none."""

    def submit(self, function, *arguments):
        from concurrent.futures import Future

        future: Future = Future()
        future.set_result(function(*arguments))
        return future

    def shutdown(self, **_):
        pass


@pytest.mark.slow
def test_ten_hours_take_the_memory_of_a_block(tmp_path):
    import tracemalloc

    path = tmp_path / "long.flac"
    with soundfile.SoundFile(path, "w", 8_000, 1, format="FLAC") as file:
        for _ in range(600):
            file.write(np.zeros(60 * 8_000, np.float32))
    digest, count = digest_file(path), [0]
    tracemalloc.start()
    decode_into(lambda block: count.__setitem__(0, count[0] + len(block)), path, 8_000, sha256=digest)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == [36_000 * 8_000]
    assert peak < 2**26


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_an_archive_that_unpacks_to_far_more_than_it_is_is_refused(tmp_path, monkeypatch, kind):
    import tarfile
    import zipfile

    from benchmark.data import unpack

    monkeypatch.setattr(unpack, "ANY_SIZE", 2**20)
    (tmp_path / "zeros").write_bytes(bytes(2**24))
    archive, into = tmp_path / f"a.{kind}", tmp_path / "into"
    into.mkdir()
    if kind == "zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            file.write(tmp_path / "zeros", "zeros")
    else:
        with tarfile.open(archive, "w:gz") as file:
            file.add(tmp_path / "zeros", "zeros")
    with pytest.raises(UserError, match="unpacks to over 200 times its size"):
        unpack.unpack([archive], "a", into, lambda n: None)
    assert sum(path.stat().st_size for path in into.rglob("*")) < 2**23


# One bad thing costs itself

STRANGE = {
    "n_scored empty": lambda d: d.update(n_scored={}),
    "no metrics": lambda d: d.update(metrics={}),
    "lineage text": lambda d: d.update(spec={"lineage": "x"}),
    "no spec": lambda d: d.update(spec={"lineage": {"a": {"kind": "pretrain"}}}),
    "deform odd": lambda d: d.update(deform="noise=abc"),
    "NaN": lambda d: next(iter(d["metrics"].values())).update(value=float("nan")),
    "Infinity": lambda d: next(iter(d["metrics"].values())).update(upper=float("inf")),
    "beyond measure": lambda d: next(iter(d["metrics"].values())).update(value=1e308, upper=1e308),
    "seconds NaN": lambda d: d["steps"][0].update(seconds=float("nan")),
    "bytes huge": lambda d: d["steps"][0].update(peak_memory_bytes=1e400),
    "not a mapping": lambda d: d.clear(),
}
#: What only a report looks at.
REPORTED = {"lineage text", "no spec", "deform odd", "seconds NaN", "bytes huge"}


@pytest.mark.parametrize("name", [*STRANGE, "empty folder", "a pipe", "not text"])
def test_a_record_that_cannot_be_read_costs_itself(tmp_path, name):
    store = fill(tmp_path / "s", [make_record(encoder, "gtzan", 0) for encoder in ("a", "b", "c")])
    folder = sorted((store / "artifacts" / "score").iterdir())[1]
    record = folder / "record.json"
    if name in STRANGE:
        document = json.loads(record.read_text())
        STRANGE[name](document)
        record.write_text(json.dumps(document))
    else:
        record.unlink()
        if name == "a pipe":
            os.mkfifo(record)
        elif name == "not text":
            record.write_bytes(b"\xff\xfe\0")
    told = Told()
    something_lost(forget=True)
    assert len(collect(store, load_registry(), reporter=told)["runs"]) == 2
    (line,) = (line for line in told.lines if line.startswith("left out: "))
    assert str(folder) in line
    assert something_lost(forget=True)
    if name not in REPORTED:
        assert len(long_table(store, reporter=told)) == 2
        with pytest.raises(UserError):
            long_table(store)
    something_lost(forget=True)


def test_what_is_left_out_ends_a_command_with_exit_code_1(tmp_path):
    store = fill(tmp_path / "s", [make_record(encoder, "gtzan", 0) for encoder in ("a", "b")])
    folder = sorted((store / "artifacts" / "score").iterdir())[0]
    (folder / "record.json").write_text("{")
    result = bench("store", "export", "-", "--store", store)
    assert (result.returncode, len(result.stdout.splitlines())) == (1, 2)
    assert result.stderr.startswith(f"left out: {folder}/record.json: not a score record of this version: ")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EFBIG, "File too large"), "File too large; files may not be so large here"),
        (OSError(errno.EDQUOT, "Quota"), "no space left"),
        (OSError(errno.EIO, "I/O"), "the same command goes on from here"),
        (OSError(errno.EMFILE, "files"), "raise the limit of open files"),
        (RuntimeError("Error while serializing: I/O error: File too large (os error 27)"), "File too large; files"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "no space left"),
    ],
)
def test_what_the_machine_refuses_is_one_line(tmp_path, error, said):
    with pytest.raises(UserError) as found, storage_errors(tmp_path):
        raise error
    assert said in str(found.value)
    assert "\n" not in str(found.value)


def test_a_working_directory_that_is_gone_is_one_line(tmp_path):
    (tmp_path / "gone").mkdir()
    command = (
        f"cd {tmp_path}/gone && rmdir {tmp_path}/gone && exec {Path(sys.executable).with_name('bench')} list tasks"
    )
    result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (
        2,
        "bench: the working directory is not there any more; change to one that is\n",
    )


# Shared stores


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


# What was lost is in the score


def test_every_row_says_what_it_lacks(tmp_path):
    whole = make_record("a", "gtzan", 0)
    part = make_record("b", "gtzan", 0).model_copy(update={"n_scored": {"train": 690, "valid": 100, "test": 300}})
    head, *_ = [line for line in score_tables([whole, part]).splitlines() if line.startswith("encoder")]
    assert head.endswith("clips used")
    rows = {line.split()[0]: line for line in score_tables([whole, part]).splitlines() if line[:2] in ("a ", "b ")}
    assert rows["a"].rstrip().endswith("all")
    assert rows["b"].endswith("train 690 of 700")
    assert "clips used" not in score_tables([whole])

    store = fill(tmp_path / "s", [whole, part])
    lacking = {row["encoder"]: row["lacking_train"] for row in long_table(store)}
    assert lacking == {"a": 0, "b": 10}
    from analysis.report import render

    document = collect(store, load_registry())
    assert {run["encoder"]: run["lacking"] for run in document["runs"]} == {"a": "", "b": "train 690 of 700"}
    for form in ("html", "md", "latex", "csv", "json"):
        assert "train 690 of 700" in render(document, form), form
