"""What may befall a study while it runs: nothing half-written is read, nothing finished is lost, the user is told."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import TINY_REGISTRY, bench, bench_json, make_mtt
from warm_command import Started

from benchmark.console import LogReporter
from benchmark.engine.engine import Engine
from benchmark.engine.progress import notes
from benchmark.file_lock import FileLock
from benchmark.scores.score_index import INDEX, score_rows
from benchmark.steps import KINDS
from benchmark.store.store import Store

BENCH = Path(sys.executable).with_name("bench")
#: What lets root write where permissions say no, and how Linux takes it from a process for good.
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, PR_CAPBSET_DROP = 1, 2, 24


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Arguments of a study of twelve probes on one embedding, its finished store, and its scores."""
    root = tmp_path_factory.mktemp("finished")
    make_mtt(root / "data" / "magnatagatune", {"0": 7, "b": 7, "c": 4, "d": 4, "f": 4})
    study = "name: faults\ngrid: {encoder: mfcc, task: [mtt, mtt-tagged], seed: [0, 1, 2, 3, 4, 5]}\n"
    (root / "study.yaml").write_text(study)
    arguments = ["run", "--study", root / "study.yaml", "--data", root / "data"]
    bench_json(*arguments, "--store", root / "store")
    return arguments, root / "store", exported(root / "store")


@pytest.fixture
def store(finished, tmp_path):
    """A copy of the finished store."""
    return Path(shutil.copytree(finished[1], tmp_path / "store"))


def exported(store: Path) -> dict[tuple, float]:
    return {(row["key"], row["metric"]): row["score"] for row in score_rows(store)}


def only(store: Path, kind: str) -> Path:
    (folder,) = (store / "artifacts" / kind).iterdir()
    return folder


def forget_probes(store: Path) -> None:
    for kind in ("probe", "score"):
        shutil.rmtree(store / "artifacts" / kind)


def test_what_was_cut_short_is_named_and_computed_again(finished, store):
    arguments, _, scores = finished
    forget_probes(store)
    rows = only(store, "embed") / "embeddings.0.float32"
    size = rows.stat().st_size
    os.truncate(rows, size // 2)
    labels = sorted((store / "artifacts" / "label").iterdir())[0] / "manifest.json"
    os.truncate(labels, labels.stat().st_size // 2)
    verified = bench("store", "verify", "--store", store)
    assert (verified.returncode, "3 of 5 artifacts are whole" in verified.stdout) == (1, True)

    result = bench(*arguments, "--store", store)
    assert result.returncode == 0, result.stderr
    lines = [line for line in result.stderr.splitlines() if "damaged in the store, and not used" in line]
    assert any(f"embeddings.0.float32 has {size // 2:,} bytes instead of {size:,}" in line for line in lines)
    assert any(line.startswith("labels and split of") and "its manifest cannot be read" in line for line in lines)
    assert all("`bench store verify`" in line for line in lines)
    assert exported(store) == scores
    assert bench("store", "verify", "--store", store).returncode == 0


def test_an_input_that_is_cut_while_it_is_read_is_the_cause_that_is_named(tmp_path):
    class Cut(Engine):
        def run_step(self, step, inputs, work, reporter):
            for artifact in inputs.values():
                os.truncate(artifact / "file", 1)
                raise ValueError("mmap length is greater than file size")
            (work / "file").write_text("whole")
            return {}

    before = KINDS["embed"].step({}, {}, "the step before")
    engine = Cut(Store(tmp_path / "store"), LogReporter(tmp_path / "log"))
    (failure,) = engine.compute([KINDS["probe"].step({}, {"embeddings": before}, "the step after")])
    assert failure.step.title == "the step after"
    assert failure.cause.startswith("the step before: was damaged or deleted in the store while it was used")
    assert "`bench store verify`" in failure.cause


def test_a_store_made_read_only_costs_what_is_missing_and_no_more(finished, store):
    arguments, _, scores = finished
    forget_probes(store)
    steps = bench_json(*arguments, "--store", store, "--dry-run")
    # Held at one of twelve, so that some are done and some are missing.
    held = Store(store).lock_file("score", [step["key"] for step in steps if step["kind"] == "score"][6])
    said, done = store.with_name("said.txt"), store / "artifacts" / "score"
    with FileLock(held), said.open("w") as errors_file:
        command = [BENCH, *map(str, arguments), "--store", str(store)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors_file, text=True, preexec_fn=_obey_permissions
        )
        while not (done.is_dir() and any(done.iterdir()) and "another process is at it" in said.read_text()):
            assert process.poll() is None, said.read_text()
            time.sleep(0.02)
        for folder in [store, *(path for path in store.rglob("*") if path.is_dir())]:
            folder.chmod(0o555)
    try:
        out, _ = process.communicate(timeout=120)
    finally:
        for folder in [store, *(path for path in store.rglob("*") if path.is_dir())]:
            folder.chmod(0o755)
    errors = said.read_text()
    assert process.returncode == 1, errors
    assert "Traceback" not in errors
    kept = exported(store)
    assert 0 < len(kept) < len(scores)
    assert kept.items() <= scores.items()
    assert "mfcc" in out
    lost = [line for line in errors.splitlines() if line.startswith("failed: ")]
    assert lost
    assert all("cannot write: Permission denied" in line for line in lost)
    assert f"{12 - len(list(done.iterdir()))} of 12 runs are missing; the same command tries them again" in errors

    assert bench(*arguments, "--store", store).returncode == 0
    assert exported(store) == scores
    assert bench("store", "verify", "--store", store).returncode == 0


def _obey_permissions() -> None:
    """Make root a user like any other, whom a read-only folder stops."""
    if os.getuid() == 0:
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a few megabytes, and a function that gives it another size."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(kilobytes: int, *options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", ",".join([f"size={kilobytes}k", *options]), "tmpfs", str(place)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    if shutil.which("mount") is None or not mount(64_000):
        pytest.skip("only root can mount a small file system")
    yield place, lambda kilobytes: mount(kilobytes, "remount")
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_costs_what_is_missing_and_no_more(finished, small_disk):
    arguments, whole, scores = finished
    disk, resize = small_disk
    store = Path(shutil.copytree(whole, disk / "store"))
    forget_probes(store)
    assert resize((shutil.disk_usage(disk).used >> 10) + 96)
    result = bench(*arguments, "--store", store)
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    kept = exported(store)
    assert 0 < len(kept) < len(scores)
    assert kept.items() <= scores.items()
    lost = [line for line in result.stderr.splitlines() if line.startswith("failed: ")]
    assert lost
    assert all("no space left; free some and run the same command again" in line for line in lost)
    done = len(list((store / "artifacts" / "score").iterdir()))
    both = done + len(list((store / "artifacts" / "probe").iterdir()))
    assert f"{5 + both} of 29 steps done (5 cached, {24 - both} failed), 0 running" in result.stderr

    assert resize(64_000)
    assert bench("store", "verify", "--store", store).returncode == 0
    assert bench(*arguments, "--store", store).returncode == 0
    assert exported(store) == scores


def test_two_commands_at_once_compute_each_step_once(mtt, tmp_path):
    """Both are held at the first step until both have come to it."""
    (tmp_path / "tiny.yaml").write_text(TINY_REGISTRY)
    (tmp_path / "study.yaml").write_text("name: two\ngrid: {encoder: [tiny, chroma], recipe: short, task: mtt}\n")
    store = tmp_path / "store"
    arguments = ["run", "--study", tmp_path / "study.yaml", "--data", mtt[0], "--registry", tmp_path / "tiny.yaml"]
    arguments += ["--store", store]
    steps = bench_json(*arguments, "--dry-run")
    first = Store(store).lock_file("prepare", next(step["key"] for step in steps if step["kind"] == "prepare"))
    first.parent.mkdir(exist_ok=True)
    said = [tmp_path / "first.txt", tmp_path / "second.txt"]
    printed = [tmp_path / "first.json", tmp_path / "second.json"]
    with FileLock(first):
        both = [Started([*arguments, "--json"], out, err) for out, err in zip(printed, said, strict=True)]
        deadline = time.monotonic() + 120
        while not all("another process is at it; waiting" in file.read_text() for file in said):
            assert time.monotonic() < deadline, [file.read_text() for file in said]
            time.sleep(0.02)
    assert [started.wait(timeout=120) for started in both] == [0, 0]
    scores, others = (json.loads(file.read_text()) for file in printed)
    assert scores == others
    assert len(scores) == 3

    lines = [line for file in said for line in file.read_text().splitlines()]
    for step in steps:
        if step["kind"] in ("prepare", "pretrain", "embed"):
            assert sum(line.startswith(f"{step['title']}: done") for line in lines) == 1, step["title"]
        elif step["kind"] == "probe":
            assert lines.count(step["title"]) == 1
    assert sorted(path.name for path in (store / "unfinished").iterdir() if path.suffix != ".lock") == []


def test_clocks_that_jump_lose_nothing_and_hide_nothing(finished, store):
    arguments, _, scores = finished
    (store / "unfinished" / "copy-left-by-a-machine-of-tomorrow").mkdir()
    before = {path: path.stat().st_ino for path in store.glob("artifacts/*/*/*")}
    for number, path in enumerate(sorted(store.rglob("*"))):
        os.utime(path, (4e9, 4e9) if number % 2 else (1, 1))
    assert bench(*arguments, "--store", store).returncode == 0
    assert {path: path.stat().st_ino for path in store.glob("artifacts/*/*/*")} == before
    assert exported(store) == scores

    # A record that replaces another within one tick of the clock, or under a clock that was set back, is read again.
    record = sorted((store / "artifacts" / "score").iterdir())[0] / "record.json"
    times = record.stat()
    document = json.loads(record.read_text())
    document["metrics"]["roc_auc"]["value"] = 0.123
    replaced = record.with_name("replaced")
    replaced.write_text(json.dumps(document))
    replaced.rename(record)
    os.utime(record, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert exported(store)[record.parent.name, "roc_auc"] == 0.123

    # As is one that was cut, whatever its time says.
    (store / INDEX).unlink()
    exported(store)
    os.truncate(record, record.stat().st_size // 2)
    os.utime(record, ns=(times.st_atime_ns, times.st_mtime_ns))
    export = bench("store", "export", "-", "--store", store)
    assert (export.returncode, "`bench store verify` finds damaged artifacts" in export.stderr) == (1, True)
    assert len(export.stdout.splitlines()) == 12  # a header, and all but one
    assert bench(*arguments, "--store", store).returncode == 0
    assert exported(store) == scores


def test_notes_from_the_future_are_of_the_dead(tmp_path):
    store = Store(tmp_path)
    (tmp_path / "running").mkdir()
    note = {"command": "bench run", "host": "h", "pid": 1, "words": "", "running": {}}
    for name, seconds in (("dead", 3_600.0), ("gone", -3_600.0), ("alive", 0.0)):
        file = tmp_path / "running" / f"{name}.json"
        file.write_text(json.dumps({**note, "command": name}))
        os.utime(file, (time.time() + seconds, time.time() + seconds))
    (tmp_path / "running" / "strange.json").write_text("[1]")
    (tmp_path / "running" / "empty.json").write_text("{}")
    assert {note["command"]: note["alive"] for note in notes(store)} == {"dead": False, "gone": False, "alive": True}
