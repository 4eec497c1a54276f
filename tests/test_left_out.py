"""One bad thing costs itself, is named, and is in the score and in the exit code."""

from __future__ import annotations

import copy
import errno
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import bench, tone
from report_store import TAGS, fill, make_record
from small_corpus import Told

from analysis.report import render
from benchmark.comparison.compare import compare
from benchmark.comparison.score_tables import score_tables
from benchmark.console import something_lost
from benchmark.errors import UserError
from benchmark.registry.registry import load_registry
from benchmark.report.contents import collect
from benchmark.scores.long_table import as_csv, long_table
from benchmark.scores.records import NO_RECORD, read_record
from benchmark.store.storage_errors import storage_errors

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


def places(value: Any, above: tuple = ()) -> Iterator[tuple]:
    """Every place in a document but its root, as the keys that lead there."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield (*above, key)
        yield from places(below, (*above, key))


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


ODD = [
    *(float("nan"), float("inf"), -1, 0, -0.0, 1e308, 1e-320, 2**63, 10**400, True, None, [], {}, [None], {"": 0.5}),
    *("", "=1+1", "../../x", "x" * 9999, "\x1b]0;x\x07", "\ud800", "\n\0", {"a": {"b": 1}}, nested(50), nested(900)),
]


def changed(document: Any, rng: random.Random) -> Any:
    """A document in which something is other, missing or renamed."""
    *above, last = rng.choice(list(places(document)))
    holder = document
    for key in above:
        holder = holder[key]
    how = rng.random()
    if how < 0.6:
        holder[last] = copy.copy(rng.choice(ODD))
    else:
        value = holder.pop(last)
        if how < 0.75 and isinstance(holder, dict):
            holder[rng.choice(["", "x" * 300, "=a", "../x", "\x1b"])] = value
    return document


def test_whatever_a_record_holds_it_costs_no_more_than_itself(tmp_path):
    """NaN, infinity, huge integers, missing and strange keys, wrong types, depth: for all that reads records."""
    registry = load_registry()
    records = [make_record(encoder, "mtt", 0) for encoder in ("a", "b")]
    document = json.loads(records[0].model_dump_json())
    for seed in range(60):
        rng = random.Random(seed)
        store = fill(tmp_path / str(seed), records)
        file = store / "artifacts" / "score" / records[0].steps[-1].key / "record.json"
        other = changed(copy.deepcopy(document), rng)
        file.write_bytes(json.dumps(other, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        told = Told()
        report = collect(store, registry, reporter=told)
        assert 1 <= len(report["runs"]) <= 2, seed
        for form in ("md", "csv"):
            render(report, form)
        rows = long_table(store, reporter=told)
        assert 1 <= len({row["key"] for row in rows}) <= 2, seed
        as_csv(rows)
        read = [records[1]]
        with suppress(*NO_RECORD):
            read.append(read_record(file.parent))
        score_tables(read)
        assert all("\n" not in line and len(line) < 1000 for line in told.lines), seed
    assert something_lost(forget=True)


DAMAGED_PREDICTIONS = {
    "absent": None,
    "no archive": b"PK nothing",
    "of other clips": {"predictions": np.zeros((3, 12), np.float32)},
    "of other labels": {"label_names": np.array(["x"] * 12)},
    "no numbers": {"predictions": np.full((40, 12), np.nan, np.float32)},
    "texts": {"predictions": np.full((40, 12), "x")},
    "no labels": {"labels": np.zeros(0, np.int8)},
    "of a kind that there is none of": {"kind": np.array("x")},
    "pickled": {"groups": np.array([{}] * 40, dtype=object)},
}


def predictions(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "predictions": rng.random((40, 12)).astype(np.float32),
        "labels": (np.random.default_rng(9).random((40, 12)) < 0.4).astype(np.int8),
        "groups": np.array([f"group {n}" for n in range(40)]),
        "label_names": np.array(TAGS),
    }


@pytest.mark.parametrize("name", DAMAGED_PREDICTIONS)
def test_predictions_that_cannot_be_read_cost_themselves(tmp_path, name):
    store = fill(tmp_path / "s", [make_record(encoder, "mtt", seed) for encoder in ("a", "b") for seed in (0, 1)])
    folders = {}
    for number, folder in enumerate(sorted(store.glob("artifacts/score/*"))):
        np.savez(folder / "predictions.npz", **predictions(number))
        folders[read_record(folder).encoder, read_record(folder).seed] = folder
    assert compare(store, "a", "b")[0].seeds == (2, 2)
    harmed, damage = folders["b", 1] / "predictions.npz", DAMAGED_PREDICTIONS[name]
    harmed.unlink()
    if isinstance(damage, bytes):
        harmed.write_bytes(damage)
    elif damage:
        np.savez(harmed, **{**predictions(0), **damage})
    told = Told()
    found = compare(store, "a", "b", reporter=told)
    assert {one.seeds for one in found} == {(2, 1)}
    assert len(told.lines) == 1
    assert told.lines[0].startswith("left out: ")
    assert str(harmed) in told.lines[0]
    harmed.with_name("record.json").unlink()
    (folders["b", 0] / "predictions.npz").unlink()
    with pytest.raises(UserError, match="the predictions of a or b cannot be read"):
        compare(store, "a", "b", reporter=told)
    something_lost(forget=True)


def test_a_record_of_a_later_version_says_so(tmp_path):
    store = fill(tmp_path / "s", [make_record(encoder, "gtzan", 0) for encoder in ("a", "b")])
    file = sorted(store.glob("artifacts/score/*/record.json"))[0]
    file.write_text(json.dumps({**json.loads(file.read_text()), "schema_version": 3}))
    told = Told()
    assert len(collect(store, load_registry(), reporter=told)["runs"]) == len(long_table(store, reporter=told)) == 1
    left = [line for line in told.lines if line.startswith("left out: ")]
    assert len(left) == 2
    assert all("schema_version: Value error, is 3, and this version of bench reads 2" in line for line in left)
    something_lost(forget=True)


def test_what_is_left_out_ends_a_command_with_exit_code_1(tmp_path):
    store = fill(tmp_path / "s", [make_record(encoder, "gtzan", 0) for encoder in ("a", "b")])
    folder = sorted((store / "artifacts" / "score").iterdir())[0]
    (folder / "record.json").write_text("{")
    result = bench("store", "export", "-", "--store", store)
    assert (result.returncode, len(result.stdout.splitlines())) == (1, 2)
    assert result.stderr.startswith(f"left out: {folder}/record.json: not a score record of this version: ")


def test_a_training_file_that_cannot_be_read_ends_a_run_with_exit_code_1(tmp_path):
    """Now, and when all is cached; once it can be read, its corpus has another key, and the run succeeds."""
    rows = ["path,split,label"]
    for number in range(18):
        soundfile.write(tmp_path / f"{number:02}.wav", tone(1.2, 16_000, number), 16_000)
        rows.append(f"{number:02}.wav,{['train', 'valid', 'test'][number % 3]},{'hi' if number % 2 else 'lo'}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "own.yaml").write_text(
        f"datasets:\n  mine: {{class: tasks.folder:LabelledFolder, root: {tmp_path}}}\n"
        "tasks:\n  mood: {dataset: mine, metrics: [accuracy], corpus: magnatagatune, protocol: linear}\n"
    )
    own, read = tmp_path / "03.wav", (tmp_path / "03.wav").read_bytes()
    own.unlink()
    own.symlink_to("/proc/self/mem")  # a read fails as of a bad sector
    words = ["run", "--encoder", "chroma", "--task", "mood", "--registry", tmp_path / "own.yaml"]
    for _ in range(2):
        result = bench(*words, "--store", tmp_path / "s")
        assert result.returncode == 1, result.stderr
        assert "left out: 03.wav: cannot be read: Input/output error (decode mine" in result.stderr
        assert "train 5 of 6" in result.stdout
    own.unlink()
    own.write_bytes(read)
    result = bench(*words, "--store", tmp_path / "s")
    assert (result.returncode, "left out" in result.stderr, "train 5 of 6" in result.stdout) == (0, False, False)


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
