"""How many clips of each split have each label: in `bench data status`, as charts, and in the report."""

from __future__ import annotations

import csv
import json
import re
import shutil

import numpy as np
from conftest import bench

from analysis.pages.label_counts import label_counts_told
from benchmark.report.label_counts import task_label_counts
from benchmark.store.labels import write_labels
from tasks.base import Task
from tasks.label_counts import label_counts
from tasks.magnatagatune import TOP_TAGS
from tasks.targets import Classes, Tags, Values


def task(targets, splits, folds=None) -> Task:
    names = tuple(str(number) for number in range(len(targets)))
    return Task(names, np.array(splits, dtype=np.str_), targets, np.array(names), folds)


def test_labels_are_counted_by_split_the_most_frequent_first():
    tags = Tags("abc", np.array([[1, 0, 1], [0, -1, 1], [0, 1, 1], [1, 1, 1], [1, 1, 1]]))
    splits = ["train", "train", "valid", "test", ""]  # the last is in none
    assert label_counts(task(tags, splits)) == (
        ["c", "a", "b"],
        {"train": 2, "valid": 1, "test": 1},
        {"train": [2, 1, 0], "valid": [1, 0, 1], "test": [1, 1, 1]},
    )
    classes = Classes("xy", np.array([1, 1, 0]))
    assert label_counts(task(classes, ["train", "test", "test"])) == (
        ["y", "x"],
        {"train": 1, "test": 2},
        {"train": [1, 0], "test": [1, 1]},
    )
    folds = np.array([["train", "valid", "test"]] * 3)
    assert label_counts(task(classes, ["test"] * 3, folds)) == (["y", "x"], {"all": 3}, {"all": [2, 1]})
    assert label_counts(task(Values(["v"], np.array([[0.5], [1.5]])), ["train", "test"])) is None


def test_labels_that_cannot_be_read_are_left_out_of_a_report(tmp_path):
    folder = tmp_path / "artifacts" / "label" / "abc"
    folder.mkdir(parents=True)
    run = {"task": "t", "fingerprint": "f", "standin": False, "steps": ["abc"]}
    steps = {"abc": {"kind": "label"}}
    whole = tmp_path / "labels.npz"
    write_labels(whole, task(Classes("xy", np.array([1, 1, 0])), ["train", "test", "test"]), np.ones(3, bool))
    content = whole.read_bytes()
    (folder / "labels.npz").write_bytes(content)
    (found,) = task_label_counts(tmp_path, [run], steps)
    assert found["counts"] == {"train": [1, 0], "test": [1, 1]}
    for damaged in (b"", b"PK\x03\x04", content[:-40], content[:90] + bytes(200) + content[290:]):
        (folder / "labels.npz").write_bytes(damaged)
        assert task_label_counts(tmp_path, [run], steps) == []
    (folder / "labels.npz").unlink()
    assert task_label_counts(tmp_path, [run], steps) == []


def test_what_is_said_of_them():
    counts = {"train": [5, *[2] * 69, 1], "test": [3, *[1] * 69, 0]}
    found = {"task": "t", "labels": [f"l{n}" for n in range(71)], "clips": {"train": 9, "test": 5}, "counts": counts}
    assert label_counts_told(found) == (
        "l0 is most frequent with 8 clips, l70 least with 1; the 60 most frequent of 71 labels are in the chart. "
        "1 of 71 have none in test."
    )


def test_the_command_and_the_report_count_alike(mtt, tmp_path):
    data = mtt[0]
    with (data / "magnatagatune" / "annotations_final.csv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    train = [row for row in rows if row["mp3_path"][0] in "0b"]
    done = bench("data", "status", "magnatagatune", "--data", data, "--plot", tmp_path / "charts", "--json")
    assert done.returncode == 0, done.stderr
    counted = {one["task"]: one for one in json.loads(done.stdout)["datasets"][0]["labels"]}
    assert set(counted) == {"mtt", "mtt-tagged", "mtt-pub"}
    found = dict(zip(counted["mtt"]["labels"], counted["mtt"]["counts"]["train"], strict=True))
    assert found == {tag: sum(row[tag] == "1" for row in train) for tag in TOP_TAGS}
    assert counted["mtt"]["clips"] == {"train": 14, "valid": 4, "test": 8}
    with (tmp_path / "charts" / "mtt-labels.csv").open(newline="") as file:
        table = list(csv.reader(file))
    assert table[0] == ["label", "train", "valid", "test"]
    assert [row[0] for row in table[1:]] == counted["mtt"]["labels"]
    assert {row[0]: int(row[1]) for row in table[1:]} == found
    chart = (tmp_path / "charts" / "mtt-labels.svg").read_text()
    assert chart.count("<svg") == 1
    assert "mtt-labels.svg: written" in done.stderr

    store = tmp_path / "store"
    ran = bench("run", "--encoder", "mfcc", "--task", "mtt", "--data", data, "--store", store)
    assert ran.returncode == 0, ran.stderr
    told = bench("report", "--store", store, "--format", "json", "-o", "-")
    (reported,) = json.loads(told.stdout)["label_counts"]
    assert {key: reported[key] for key in counted["mtt"]} == counted["mtt"]
    page = tmp_path / "r.html"
    assert bench("report", "--store", store, "-o", page).returncode == 0
    section = re.search(r'<section id="label-counts">.*?</section>', page.read_text(), re.DOTALL)
    assert section
    assert label_counts_told(counted["mtt"]) in section[0]

    # Tables are enough to count.
    for folder in (data / "magnatagatune").iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)
    bare = bench("data", "status", "magnatagatune", "--data", data, "--plot", tmp_path / "bare")
    assert bare.returncode == 0
    assert "magnatagatune: not found" in bare.stdout
    assert f"mtt: {label_counts_told(counted['mtt'])}" in bare.stdout
    assert (tmp_path / "bare" / "mtt-labels.csv").read_text() == (tmp_path / "charts" / "mtt-labels.csv").read_text()

    nothing = bench("data", "status", "--plot", tmp_path / "none")
    assert nothing.returncode == 2
    assert "there are no labels to count" in nothing.stderr
    assert not (tmp_path / "none").exists()
