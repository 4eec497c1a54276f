"""One bad thing costs itself, is named, and is in the score and in the exit code."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import bench
from report_store import fill, make_record
from small_corpus import Told

from benchmark.comparison.score_tables import score_tables
from benchmark.console import something_lost
from benchmark.errors import UserError
from benchmark.registry.registry import load_registry
from benchmark.report.contents import collect
from benchmark.scores.long_table import long_table
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
