"""`bench run --limit`: a few clips of every split and class, marked wherever they are kept and in no report."""

import json

import numpy as np
from conftest import bench, bench_json
from hypothesis import given
from hypothesis import strategies as st

from benchmark.scores.long_table import long_table
from tasks.base import Task
from tasks.limited import LEAST, limited
from tasks.targets import Classes


def task_of(sizes: dict[str, int], classes: int, folds: int | None = None) -> Task:
    splits = np.array([split for split, size in sizes.items() for _ in range(size)])
    count = len(splits)
    labels = (np.arange(count) % classes)[:, None]
    ids = tuple(f"clip {n}" for n in range(count))
    parts = None
    if folds is not None:
        parts = np.full((folds, count), "train", dtype="<U5")
        for fold in range(folds):
            parts[fold, np.arange(count) % folds == fold] = "test"
            parts[fold, np.arange(count) % folds == (fold + 1) % folds] = "valid"
        splits = np.full(count, "test")
    names = tuple(f"class {n}" for n in range(classes))
    return Task(ids, splits, Classes(names, labels), np.array(ids), parts)


@given(
    st.integers(3, 60), st.integers(3, 40), st.integers(3, 40), st.integers(1, 7), st.integers(1, 150), st.booleans()
)
def test_every_split_and_class_keeps_its_share(train, valid, test, classes, clips, folded):
    whole = task_of({"train": train, "valid": valid, "test": test}, classes, 3 if folded else None)
    found = limited(whole, clips)
    assert found.clip_ids == limited(whole, clips).clip_ids
    assert [one for one in whole.clip_ids if one in set(found.clip_ids)] == list(found.clip_ids)  # in order, no other
    for division, before in zip(found.divisions, whole.divisions, strict=True):
        for split in ("train", "valid", "test"):
            left, there = (division == split).sum(), (before == split).sum()
            assert min(LEAST, there) <= left <= there
            if not folded:
                assert left == min(there, max(LEAST, round(clips * there / len(whole.clip_ids))))
    if not folded:  # no class has a second clip in a split that lacks one of another
        for split in ("train", "valid", "test"):
            own = found.labels[found.splits == split, 0]
            before = whole.labels[whole.splits == split, 0]
            counts = np.array([(own == one).sum() for one in np.unique(before)])
            assert counts.max() <= counts.min() + 1 or counts.min() == min(
                (before == one).sum() for one in np.unique(before)
            )


def test_a_limited_run_is_marked_and_in_no_report(mtt, tiny_registry, tmp_path):
    data, _ = mtt
    store = tmp_path / "store"
    arguments = ["--encoder", "chroma", "--task", "mtt", "--data", data, "--store", store]
    tried = bench("run", *arguments, "--limit", 13)
    assert tried.returncode == 0, tried.stderr
    assert tried.stderr.splitlines()[-1] == "next: the same command without --limit, for scores that mean something"
    assert "scores on a few clips alone (--limit) say whether all works, and nothing else" in tried.stdout
    assert "decode 13 clips of magnatagatune" in tried.stderr
    (record,) = bench_json("run", *arguments, "--limit", 13)
    assert record["limit"] == 13
    assert record["n_expected"] == {"train": 7, "valid": 2, "test": 4}
    for words in (["report", "-o", tmp_path / "r.html"], ["store", "export", tmp_path / "x.csv"]):
        nothing = bench(*words, "--store", store)
        assert nothing.returncode == 2
        assert "scores of runs with --limit alone, which say nothing; run without it" in nothing.stderr
    assert bench("compare", "chroma", "chroma", "--store", store).returncode == 2

    (whole,) = bench_json("run", *arguments)
    assert (whole["limit"], whole["n_expected"]["test"]) == (None, 8)
    assert [row["n"] for row in long_table(store)] == [8]
    shown = bench("report", "--store", store, "--format", "json", "-o", "-")
    assert "1 scores of runs with --limit are left out; --limited shows them" in shown.stderr
    assert [run["n_test"] for run in json.loads(shown.stdout)["runs"]] == [8]
    shown = bench("report", "--store", store, "--format", "json", "-o", "-", "--limited")
    assert sorted(run["n_test"] for run in json.loads(shown.stdout)["runs"]) == [4, 8]

    # The same score, computed again of the same audio; what is trained and decoded stays.
    before = {path: path.stat().st_mtime_ns for path in (store / "artifacts").rglob("manifest.json")}
    steps = bench_json("run", *arguments, "--force", "--dry-run")
    assert {step["kind"] for step in steps if step["state"] == "cached"} == set()
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    (again,) = bench_json("run", *arguments, "--force")
    assert again["metrics"] == whole["metrics"]
    assert again["finished"] >= whole["finished"]
    kept = {path for path, time in before.items() if path.stat().st_mtime_ns == time}
    redone = {path.parent.parent.name for path in before.keys() - kept}
    assert redone == {"prepare", "label", "initialise", "embed", "probe", "score"}
