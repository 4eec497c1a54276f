"""Scores that mean nothing are refused, those that mean less are marked, and both before anything is decoded."""

import shutil

import numpy as np
import pytest
import soundfile
from conftest import bench, bench_json, tone

from benchmark.comparison.score_tables import score_tables
from benchmark.data.same_files import same_content
from benchmark.scores.records import Score, ScoreRecord
from tasks import DatasetError
from tasks.base import Clip, Task
from tasks.copies import copied, copies
from tasks.learnable import check_learnable, coverage, remarks
from tasks.targets import Classes, Tags, Values


def task_of(targets, splits, folds=None):
    ids = tuple(map(str, range(len(targets))))
    return Task(ids, np.array(splits), targets, np.array(ids), folds if folds is None else np.array(folds))


def refused(task, clips=()):
    with pytest.raises(DatasetError) as raised:
        check_learnable(task, lambda: clips, "here")
    assert str(raised.value).startswith("here: ")
    assert "\n" not in str(raised.value)
    return str(raised.value)


SPLITS = ["train", "train", "valid", "test", "test", "test"]


def test_classes_are_counted_by_what_the_split_holds():
    task = task_of(Classes(("a", "b", "c", "d"), [0, 1, 3, 0, 1, 2]), SPLITS)
    check_learnable(task, lambda: (), "here")
    assert coverage(task) == coverage(task.take(np.ones(6, dtype=bool)))
    assert (coverage(task).untested, coverage(task).untrained) == (("d",), ("c", "d"))
    assert remarks(task) == [
        "1 of 4 classes without a test clip: 'd'",
        "2 of 4 classes without a training clip: 'c', 'd'",
    ]
    assert remarks(task_of(Classes("ab", [0, 1, 1, 0, 0, 0]), SPLITS))[-1] == (
        "all test clips are of 'a': a constant answer scores as well"
    )


def test_what_was_mostly_never_trained_on_is_refused_with_its_class_and_the_way_out():
    message = refused(task_of(Classes("abcd", [0, 1, 2, 3, 2, 0]), SPLITS))
    assert message == (
        "here: no training clip of class 'c', nor of 1 more that are tested: correct the split, so that what is tested "
        "was trained on"
    )
    folds = [[("test", "valid", "train", "train")[(n // 2 + k) % 4] for n in range(8)] for k in range(4)]
    bands = task_of(Classes("abcd", [0, 0, 1, 1, 2, 2, 3, 3]), ["test"] * 8, folds)
    clips = [Clip(str(n), str(n), None, artist=f"band {n // 2}") for n in range(8)]
    assert refused(bands, clips) == (
        "here: no training clip of class 'a' in fold 1, nor of 3 more in others: all its clips are of one artist "
        "(band 0), and folds keep those together; drop the column `artist` or name another class"
    )
    assert "take fewer folds" in refused(bands, [Clip(str(n), str(n), None) for n in range(8)])


def test_labels_that_do_not_vary_are_refused():
    assert "all 2 training clips are labelled alike" in refused(task_of(Classes("ab", [0, 0, 1, 1, 0, 1]), SPLITS))
    tags = Tags("xy", np.array([[1, 0], [0, 1], [1, 1], [1, 0], [1, 0], [1, 0]]))
    assert "not one of 2 tags has a test clip with it and one without" in refused(task_of(tags, SPLITS))
    values = Values("v", np.array([[1.0], [2.0], [3.0], [5.0], [5.0], [5.0]]))
    assert "not one column varies among the test clips" in refused(task_of(values, SPLITS))
    # A tag that nobody judged is neither there nor lacking.
    tags = Tags("xy", np.array([[1, 0], [0, 1], [1, 1], [1, -1], [0, 1], [0, -1]]))
    assert coverage(task_of(tags, SPLITS)).untested == ("y",)


def test_copies_are_told_from_clips_that_train_in_another_fold():
    task = task_of(Classes("ab", [0, 1, 0, 1, 0, 1]), SPLITS)
    content = {"0": "p", "1": "q", "3": "q", "4": "r", "5": "p"}
    assert copies(task, content) == {"3": "1", "5": "0"}
    assert list(copied(task, content)) == ["2 of 3 test clips are, byte for byte, training clips: 3 is 1, 5 is 0"]
    folds = [["test", "train", "valid"], ["train", "valid", "test"], ["valid", "test", "train"]]
    of_folds = task_of(Classes("ab", [0, 1, 0]), ["test"] * 3, folds)
    assert copies(of_folds, {"0": "p", "2": "p"}) == {"2": "0"}
    assert list(copied(task, {})) == []


def test_files_of_the_same_content_are_found(tmp_path):
    contents = {"a": b"1" * 99, "b": b"1" * 99, "c": b"2" * 99, "d": b"1" * 98, "e": b"1" * 200_000}
    contents["f"] = contents["e"][:-1] + b"2"
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    found = same_content([*(tmp_path / name for name in contents), tmp_path / "none"])
    assert {file.name for file in found} == {"a", "b"}
    assert len(set(found.values())) == 1


@pytest.fixture(scope="module")
def bands(tmp_path_factory):
    """Eight classes of one artist each; the last one has clips in `valid` only; a test clip is a training clip."""
    root = tmp_path_factory.mktemp("bands")
    rows = []
    for n in range(48):
        own, split = n % 8, ("train", "train", "train", "valid", "test", "test")[n // 8]
        (root / "sounds").mkdir(exist_ok=True)
        soundfile.write(root / f"sounds/{n}.wav", tone(1, 8_000, n), 8_000)
        rows.append((f"{n}.wav", "valid" if own == 7 else split, f"band {own}", f"class {own}"))
    shutil.copy(root / "sounds/0.wav", root / "sounds/32.wav")
    soundfile.write(root / "sounds/40.wav", np.zeros(8_000), 8_000)
    soundfile.write(root / "sounds/41.wav", np.full(8_000, 0.25), 8_000)
    for name, columns in (("labels", (0, 1, 3)), ("artists", (0, 2, 3)), ("plain", (0, 3))):
        header = [("path", "split", "artist", "sort")[column] for column in columns]
        lines = [header, *([row[column] for column in columns] for row in rows)]
        (root / f"sounds/{name}.csv").write_text("\n".join(map(",".join, lines)))
    (root / "registry.yaml").write_text(
        "datasets:\n"
        + "".join(
            f"  {name}: {{class: tasks.folder:LabelledFolder, root: sounds, args: {{table: {name}.csv}}}}\n"
            for name in ("labels", "artists", "plain")
        )
        + "tasks:\n"
        "  split: {dataset: labels, metrics: [accuracy, macro_f1], corpus: magnatagatune, protocol: logistic}\n"
        "  folds: {dataset: artists, folds: 5, metrics: [accuracy], corpus: magnatagatune, protocol: logistic}\n"
        "  none: {dataset: plain, metrics: [accuracy], corpus: magnatagatune, protocol: logistic}\n"
        "  wrong: {dataset: labels, metrics: [r2], corpus: magnatagatune, protocol: logistic}\n"
    )
    return root


UNTESTED = "1 of 8 classes without a test clip: 'class 7'"
UNTRAINED = "1 of 8 classes without a training clip: 'class 7'"


def test_it_is_said_before_anything_is_decoded(bands, tmp_path):
    places = ("--store", tmp_path / "store", "--dry-run")
    fault = {
        "folds": "no training clip of class 'class 0' in fold 1",
        "none": "the source gives no split; add a column split, or `folds: 5`",
        "wrong": "registry.yaml:9: tasks.wrong.metrics: metric 'r2' is for regression tasks, and this task is",
    }
    for task, message in fault.items():
        done = bench("run", "--encoder", "mfcc", "--task", task, *places, cwd=bands)
        assert (done.returncode, message in done.stderr, "decode" in done.stderr) == (2, True, False), done.stderr
    planned = bench("run", "--encoder", "mfcc", "--task", "split", *places, cwd=bands)
    said = planned.stderr.splitlines()
    assert planned.returncode == 0
    assert f"split: {UNTESTED}" in said
    assert f"split: {UNTRAINED}" in said
    assert "split: 1 of 14 test clips are, byte for byte, training clips: 32.wav is 0.wav" in said

    document = bench_json("data", "status", "labels", "artists", "plain", cwd=bands)
    found = {row["name"]: row for row in document["datasets"]}
    assert [found[name]["state"] for name in ("labels", "artists", "plain")] == ["faulty", "faulty", "faulty"]
    assert fault["wrong"] in found["labels"]["faults"][0]
    assert fault["folds"] in found["artists"]["faults"][0]
    assert fault["none"] in found["plain"]["faults"][0]
    assert found["labels"]["remarks"][:2] == [f"split: {UNTESTED}", f"split: {UNTRAINED}"]
    assert found["labels"]["next"] == "correct what is said above"


def test_it_is_said_beside_the_score(bands, tmp_path):
    rate = ("--sample-rate", 8_000)  # resampled, what is constant has edges
    done = bench("run", "--encoder", "mfcc", "--task", "split", "--store", tmp_path / "store", *rate, cwd=bands)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1] == "14 of 14 test clips, 7 of 8 classes, 95% intervals over test clips"
    assert {UNTESTED, UNTRAINED, "1 of 14 test clips are the same audio as training clips"} <= set(lines)
    assert "2 of 14 test clips are silent" in lines


def record(recipe, value, error=0.02, floor=0.5, metric="accuracy", **score):
    found = Score(
        value=value, lower=value - 2 * error, upper=value + 2 * error, level=0.95, standard_error=error, replicates=9,
        floor=floor, n_labels=1, n_clips=50, per_label={"x": value}, **score,
    )  # fmt: skip
    cell = {"encoders": ("net",), "corpus": None if recipe == "untrained" else "songs", "recipe_name": recipe}
    return ScoreRecord(
        **cell, protocol="linear", task="t", seed=0, data="real", metrics={metric: found}, unscored_labels=[],
        n_expected={"test": 50}, n_scored={"test": 50}, test_clips_lost={}, fingerprint="f",
        overlap={"clips": 0, "recordings": 0, "artists": 0}, selection={}, pretraining=None, spec={},
        weights_sha256="w", parameters=1, dim=1, steps=[], versions={}, finished="now",
    )  # fmt: skip


def test_a_training_that_hardly_shows_and_a_score_far_below_its_floor_are_marked():
    def notes(*records):
        return [line for line in score_tables(records).splitlines() if line.startswith("net (")]

    hardly = "net (clmr, linear, seed 0) scores 0.620, and untrained 0.600: what it learnt hardly shows here"
    assert notes(record("clmr", 0.62), record("untrained", 0.60)) == [hardly]
    assert notes(record("clmr", 0.64), record("untrained", 0.60)) == []
    assert notes(record("clmr", 0.62)) == []
    below = "net (clmr, linear, seed 0) scores -0.400, below the 0.000 of a constant prediction: the probe failed"
    assert notes(record("clmr", -0.4, error=0.4, floor=0.0, metric="r2")) == [below]
    assert notes(record("clmr", -0.1, error=0.4, floor=0.0, metric="r2")) == []
    loss = {"metric": "kl_divergence", "lower_is_better": True}
    assert notes(record("clmr", 1.4, error=0.4, floor=1.0, **loss)) != []
    assert notes(record("clmr", 1.1, error=0.4, floor=1.0, **loss)) == []
