"""Tasks without a split: how folds are made, what they must not share, how they are scored, and a run from a table."""

import csv

import numpy as np
import pytest
import soundfile
from conftest import bench, bench_json, tone
from hypothesis import given, settings
from hypothesis import strategies as st
from resampling import drawn
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score

from benchmark.scores.scoring import in_folds, mean_of_folds, score
from probes.delong import compare_areas
from tasks import DatasetError
from tasks.base import Clip, Task
from tasks.folder import LabelledFolder
from tasks.folds import divide
from tasks.metrics import METRICS
from tasks.targets import Tags, matrix_targets

GROUPS = ("artist", "album", "recording")


class Named:
    """As much of a dataset as making folds needs."""

    root = "music"

    def __init__(self, clips):
        self._clips = clips

    def clips(self):
        return self._clips


def plain(labels, kind="multiclass", clips=None, groups=None):
    """A task without a split, and its dataset."""
    ids = tuple(map(str, range(len(labels))))
    clips = clips or [Clip(one, one, None) for one in ids]
    names = tuple(map(str, range(labels.max() + 1 if kind == "multiclass" else labels.shape[1])))
    own = np.array(ids if groups is None else groups)
    return Task(ids, np.full(len(ids), ""), matrix_targets(kind, names, labels), own), Named(clips)


def check_parts(task, folds):
    """Each clip is tested once, validates once and trains otherwise."""
    assert task.folds.shape == (folds, len(task.clip_ids))
    for name, times in (("test", 1), ("valid", 1), ("train", folds - 2)):
        assert ((task.folds == name).sum(axis=0) == times).all()
        assert (task.folds == name).any(axis=1).all()
    assert (task.splits == "test").all()
    assert (task.folds[task.tested_in, np.arange(len(task.clip_ids))] == "test").all()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), folds=st.integers(3, 5), known=st.sampled_from(["artist", "album", "all", "some"]))
def test_no_group_lies_in_two_parts_of_a_fold(seed, folds, known):
    rng = np.random.default_rng(seed)
    n = 90
    artist = rng.integers(0, 30, n)
    # Albums and recordings mostly lie within artists; now and then two artists share one.
    names = {"artist": artist, "album": artist * 2 + rng.integers(0, 2, n), "recording": rng.permutation(n) // 2}
    names["recording"] = np.where(rng.random(n) < 0.1, names["recording"], 100 + np.arange(n))
    told = {group: np.char.add(group, names[group].astype(str)) for group in GROUPS}
    for group in GROUPS:
        if known not in (group, "all", "some"):
            told[group] = np.full(n, "")
        if known == "some":
            told[group] = np.where(rng.random(n) < 0.5, told[group], "")
    clips = [Clip(str(i), str(i), None, *(str(told[group][i]) for group in GROUPS)) for i in range(n)]
    labels = rng.integers(0, 3, (n, 1))
    task, dataset = plain(labels, clips=clips, groups=[f"pair {i // 2}" for i in range(n)] if known == "some" else None)
    try:
        divided = divide(task, dataset, folds)
    except DatasetError as error:
        # Sharing can link nearly everything; then there is nothing to divide, and that is said.
        assert known in ("all", "some")
        assert "groups" in str(error)
        return
    check_parts(divided, folds)
    for fold in divided.folds:
        for values in (*told.values(), divided.groups):
            parts = [set(values[fold == split]) - {""} for split in ("train", "valid", "test")]
            assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    again = divide(task, dataset, folds)
    assert np.array_equal(again.folds, divided.folds)


def test_parts_hold_the_same_labels():
    rng = np.random.default_rng(0)
    classes = rng.permutation(np.repeat([0, 1, 2], [60, 30, 12]))[:, None]
    divided = divide(*plain(classes), 5)
    counts = np.array([np.bincount(classes[part == "test", 0], minlength=3) for part in divided.folds])
    assert (abs(counts - np.array([60, 30, 12]) / 5) <= 1).all()

    values = rng.normal(size=(100, 2))
    tested = [values[part == "test", 0] for part in divide(*plain(values, "regression"), 5).folds]
    assert all(((np.quantile(values[:, 0], 0.4) >= own).sum()) == pytest.approx(8, abs=1) for own in tested)

    few = rng.normal(size=(13, 1))
    sizes = [(part == "test").sum() for part in divide(*plain(few, "regression"), 5).folds]
    assert (sum(sizes), min(sizes)) == (13, 2)

    tags = (rng.random((200, 6)) < [0.5, 0.4, 0.3, 0.2, 0.1, 0.05]).astype(np.uint8)
    rare = [tags[part == "test", 5].sum() for part in divide(*plain(tags, "multilabel"), 5).folds]
    assert max(rare) - min(rare) <= 1


def test_a_clip_stands_for_its_rarest_tag():
    tags = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 1, 1], [1, 0, 0]])
    assert Tags("abc", tags).strata(5).tolist() == [1, 0, -1, 2, 0]


def test_what_cannot_be_divided_is_said():
    task, dataset = plain(np.arange(12)[:, None] % 2)
    with pytest.raises(DatasetError, match="music: the source gives no split; add a column split, or `folds: 5`"):
        divide(task, dataset, None)
    clips = [Clip(str(i), str(i), None, f"artist {i % 4}") for i in range(12)]
    with pytest.raises(DatasetError, match="12 clips in 4 groups, .* cannot be divided into 5 folds"):
        divide(*plain(np.arange(12)[:, None] % 2, clips=clips), 5)
    with pytest.raises(DatasetError, match="no label has as many clips as there are folds, 5"):
        divide(*plain(np.arange(12)[:, None] // 2), 5)


def test_a_split_that_is_there_stays(tmp_path):
    (tmp_path / "labels.csv").write_text("path,split,l\na,train,x\nb,valid,y\nc,test,x\n")
    dataset = LabelledFolder(tmp_path)
    task = divide(dataset.task(), dataset, None)
    assert task.folds is None
    assert task.divisions.tolist() == [["train", "valid", "test"]]
    assert task.tested_in.tolist() == [0]


def folded(labels, kind, fold, folds=3):
    task, _ = plain(labels, kind)
    names = np.array(
        [np.select([fold == k, fold == (k + 1) % folds], ["test", "valid"], "train") for k in range(folds)]
    )
    return Task(task.clip_ids, np.full(len(fold), "test"), task.targets, task.groups, names)


def test_a_score_is_the_mean_of_the_folds():
    rng = np.random.default_rng(0)
    fold = rng.permutation(np.repeat([0, 1, 2], [40, 30, 30]))
    tags = (rng.random((100, 4)) < 0.3).astype(np.uint8)
    tags[fold == 1, 3] = 0  # a tag that one fold cannot score
    task = folded(tags, "multilabel", fold)
    predictions = (tags + rng.normal(size=tags.shape)).astype(np.float32)
    scores, unscored = score(task, predictions, ["roc_auc"])
    own = scores["roc_auc"]
    areas = np.full((3, 4), np.nan)
    for k in range(3):
        for tag in range(4 if k != 1 else 3):
            areas[k, tag] = roc_auc_score(tags[fold == k, tag], predictions[fold == k, tag])
    assert own.folds == pytest.approx(np.nanmean(areas, axis=1))
    assert own.value == pytest.approx(np.nanmean(areas, axis=1).mean())
    assert list(own.per_label.values()) == pytest.approx(np.nanmean(areas, axis=0))
    assert (own.n_labels, own.n_clips, own.floor, unscored) == (4, 100, 0.5, [])
    assert own.lower < own.value < own.upper
    # Outputs of two trainings have no common scale, and need none.
    (moved,) = score(task, (predictions + 10 * fold[:, None]).astype(np.float32), ["roc_auc"])[0].values()
    assert moved.value == pytest.approx(own.value, abs=1e-6)
    assert (moved.lower, moved.upper) == pytest.approx((own.lower, own.upper), abs=1e-6)


def test_floors_are_those_of_the_folds():
    rng = np.random.default_rng(1)
    fold = np.arange(90) % 3
    values = rng.normal(size=(90, 1)) + fold[:, None]
    task = folded(values, "regression", fold)
    (own,) = score(task, values.astype(np.float32), ["r2"])[0].values()
    expected = []
    for k in range(3):
        tested, trained = values[fold == k], values[task.folds[k] == "train"]
        expected.append(r2_score(tested, np.full_like(tested, trained.mean())))
    assert own.floor == pytest.approx(np.mean(expected))
    assert own.value == pytest.approx(1)


def test_delong_within_folds_agrees_with_the_bootstrap():
    rng = np.random.default_rng(2)
    fold = np.arange(300) % 3
    labels = (rng.random((300, 2)) < 0.4).astype(np.uint8)
    first, second = (
        (strength * labels + rng.normal(size=labels.shape) + 5 * fold[:, None]).astype(np.float32)
        for strength in (1.0, 0.6)
    )
    test = compare_areas(labels, first[None], second[None], np.arange(300), fold)
    own = [[roc_auc_score(labels[fold == k], one[fold == k]) for k in range(3)] for one in (first, second)]
    assert test.difference == pytest.approx(np.mean(own[0]) - np.mean(own[1]))
    task = folded(labels, "multilabel", fold)
    assert score(task, first, ["roc_auc"])[0]["roc_auc"].value == pytest.approx(np.mean(own[0]))
    counts = drawn(np.arange(300), 1000, 0)
    differences = np.subtract(
        *(mean_of_folds(in_folds(METRICS["roc_auc"], labels, one, fold, counts)) for one in (first, second))
    )
    assert test.standard_error == pytest.approx(differences.std(), rel=0.1)


REGISTRY = """
datasets:
  mine: {class: tasks.folder:LabelledFolder, root: music}
tasks:
  register: {dataset: mine, FOLDS options: {columns: register}, metrics: [accuracy], corpus: mine, protocol: quick}
corpora:
  mine: {dataset: mine}
protocols:
  quick:
    source: tests
    examples: clip_mean
    standardise: true
    estimator: {kind: ridge, parameters: {alpha: [1.0, 100.0]}}
"""


@pytest.fixture
def music(tmp_path):
    """A folder of 40 WAVs by ten artists, and a table without a column split."""
    rows = [["path", "artist", "register"]]
    for number in range(40):
        hz = 200 + 20 * number
        wave = np.sin(2 * np.pi * hz * np.arange(33_075) / 22_050).astype(np.float32)
        (tmp_path / "music").mkdir(exist_ok=True)
        soundfile.write(tmp_path / "music" / f"{number}.wav", 0.2 * wave + 0.2 * tone(1.5, 22_050, number), 22_050)
        rows.append([f"{number}.wav", f"artist {number % 10}", "high" if number >= 20 else "low"])
    with (tmp_path / "music" / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    (tmp_path / "registry.yaml").write_text(REGISTRY.replace("FOLDS", "folds: 5,"))
    return tmp_path


def test_a_table_without_a_split_is_cross_validated(music):
    names = ("--encoder", "mfcc", "--encoder", "chroma", "--task", "register", "--store", music / "store")
    records = bench_json("run", *names, cwd=music)
    assert [record["encoder"] for record in records] == ["mfcc", "chroma"]
    artist = {f"{number}.wav": number % 10 for number in range(40)}
    tested = []
    for record in records:
        key = record["steps"][-1]["key"]
        with np.load(music / "store" / "artifacts" / "score" / key / "predictions.npz") as arrays:
            fold, labels, clips = arrays["folds"], arrays["labels"], arrays["clip_ids"].tolist()
            guess = arrays["predictions"].argmax(axis=1)
        assert sorted(clips) == sorted(artist)
        assert np.bincount(fold).tolist() == [8] * 5
        for one in range(10):
            assert len({fold[row] for row, clip in enumerate(clips) if artist[clip] == one}) == 1
        accuracies = [accuracy_score(labels[fold == k, 0], guess[fold == k]) for k in range(5)]
        found = record["metrics"]["accuracy"]
        assert found["folds"] == pytest.approx(accuracies)
        assert found["value"] == pytest.approx(np.mean(accuracies))
        assert found["lower"] <= found["value"] <= found["upper"]
        assert record["n_scored"] == record["n_expected"] == {"test": 40}
        assert [own["train_clips"] for own in record["selection"]["folds"]] == [24] * 5
        tested.append(fold.tolist())
    assert tested[0] == tested[1]
    assert records[0]["fingerprint"] == records[1]["fingerprint"]
    assert records[0]["metrics"]["accuracy"]["value"] > 0.7
    (compared,) = bench_json("compare", "mfcc", "chroma", "--store", music / "store", cwd=music)
    means = [record["metrics"]["accuracy"]["value"] for record in records]
    assert compared["scores"] == pytest.approx(means)


def test_without_folds_the_table_needs_a_split(music):
    (music / "registry.yaml").write_text(REGISTRY.replace("FOLDS", ""))
    result = bench("run", "--encoder", "mfcc", "--task", "register", "--store", music / "store", cwd=music)
    assert result.returncode == 2
    assert "music: the source gives no split; add a column split, or `folds: 5` to the task's entry" in result.stderr
    (music / "registry.yaml").write_text(REGISTRY.replace("FOLDS", "folds: 2,"))
    result = bench("run", "--encoder", "mfcc", "--task", "register", "--store", music / "store", cwd=music)
    assert result.returncode == 2
    assert "registry.yaml:5: tasks.register.folds: " in result.stderr


def test_a_recipe_of_a_single_split_is_refused(music):
    result = bench(
        *("run", "--encoder", "tune_plus", "--recipe", "supervised", "--task", "register", "--store", music / "store"),
        cwd=music,
    )
    assert result.returncode == 2
    assert "task register has folds, and recipe supervised needs a single split" in result.stderr
