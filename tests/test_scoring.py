"""Scores of all kinds of tasks, with intervals, floors and what they leave out."""

import csv
import gzip
import json
from dataclasses import replace
from pathlib import Path

import mir_eval
import numpy as np
import pytest
from conftest import bench_json, tone, write_mp3
from scipy.sparse import csr_array
from sklearn.metrics import f1_score, r2_score, roc_auc_score

from benchmark.errors import UserError
from benchmark.scores import scoring
from benchmark.scores.records import Score
from benchmark.scores.scoring import score
from tasks.base import Task
from tasks.magnatagatune import MagnaTagATune
from tasks.metrics import METRICS, macro
from tasks.metrics.key import KEYS
from tasks.metrics.metric import Metric, mean_over_clips
from tasks.targets import Interactions, matrix_targets

GENUINE = Path(__file__).parents[2] / "shared" / "datasets"


def make(kind, labels, names, n_train, groups=None):
    n = len(labels)
    ids = tuple(str(i) for i in range(n))
    splits = np.array(["train"] * n_train + ["test"] * (n - n_train))
    own = np.array(ids if groups is None else groups, dtype=np.str_)
    return Task(ids, splits, matrix_targets(kind, names, labels), own)


def tagging(seed=0, n=120, n_train=60, tags=5):
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, tags)) < 0.3).astype(np.int8)
    scores = (labels + rng.normal(size=labels.shape)).astype(np.float32)
    return make("multilabel", labels, [f"tag {i}" for i in range(tags)], n_train), scores[n_train:]


def test_tags():
    task, scores = tagging()
    task.labels[60:, 3] = 0
    task.labels[60:, 4] = 1
    found, unscored = score(task, scores, ["roc_auc", "average_precision", "roc_auc_clipwise"])
    truth = task.labels[60:]
    expected = [roc_auc_score(truth[:, i], scores[:, i]) for i in range(3)]
    area = found["roc_auc"]
    assert unscored == ["tag 3", "tag 4"]
    assert area.per_label == pytest.approx(dict(zip(["tag 0", "tag 1", "tag 2"], expected, strict=True)))
    assert area.value == pytest.approx(np.mean(expected))
    assert (area.n_labels, area.n_clips, area.floor, area.replicates) == (3, 60, 0.5, 60)
    assert area.lower < area.value < area.upper
    precision = found["average_precision"]
    assert precision.n_labels == 3
    assert precision.floor == pytest.approx(truth[:, :3].mean())

    by_clip = found["roc_auc_clipwise"]
    assert by_clip.value == pytest.approx(
        np.mean([roc_auc_score(t, s) for t, s in zip(truth, scores, strict=True) if 0 < t.sum() < 5])
    )
    assert by_clip.per_label == {"roc_auc_clipwise": by_clip.value}
    assert by_clip.n_labels == 1
    assert by_clip.n_clips == sum(0 < t.sum() < 5 for t in truth)


def test_clip_wise_scores_count_tagged_clips_only():
    task, scores = tagging()
    task.labels[60:75] = 0
    task.labels[75:, 0] = 1
    task.labels[75:, 1] = 0
    found, _ = score(task, scores, ["roc_auc", "average_precision_clipwise"])
    assert found["roc_auc"].n_clips == 60
    assert found["average_precision_clipwise"].n_clips == 45


def test_classes():
    rng = np.random.default_rng(1)
    labels = rng.choice(4, (200, 1), p=[0.5, 0.3, 0.2, 0.0])
    labels[0] = 3  # a class of one training clip
    probabilities = rng.dirichlet(np.ones(4), 100).astype(np.float32)
    probabilities[:, 3] = 0
    task = make("multiclass", labels, ["rock", "pop", "jazz", "polka"], 100)
    found, unscored = score(task, probabilities, ["accuracy", "macro_f1"])
    truth, guess = labels[100:, 0], probabilities.argmax(axis=1)
    assert found["accuracy"].value == pytest.approx((truth == guess).mean())
    assert found["accuracy"].per_label == {"accuracy": found["accuracy"].value}
    assert found["accuracy"].floor == pytest.approx((truth == 0).mean())
    assert found["macro_f1"].value == pytest.approx(f1_score(truth, guess, average="macro"))
    assert set(found["macro_f1"].per_label) == {"rock", "pop", "jazz"}
    assert found["macro_f1"].floor == pytest.approx(f1_score(truth, np.zeros(100), average="macro"))
    assert unscored == ["polka"]
    # A binomial interval of 100 clips.
    accuracy = found["accuracy"]
    assert accuracy.upper - accuracy.lower == pytest.approx(2 * 1.96 * np.sqrt(0.33 * 0.67 / 100), rel=0.2)


def test_targets_and_their_mean():
    rng = np.random.default_rng(2)
    labels = rng.uniform(1, 9, (160, 2))
    estimates = (labels[80:] + rng.normal(size=(80, 2))).astype(np.float32)
    task = make("regression", labels, ["arousal", "valence"], 80)
    found, unscored = score(task, estimates, ["r2", "r2.valence", "r2.arousal"])
    each = r2_score(labels[80:], estimates, multioutput="raw_values")
    assert list(found) == ["r2", "r2.valence", "r2.arousal"]
    assert found["r2"].value == pytest.approx(each.mean())
    assert found["r2"].per_label == pytest.approx({"arousal": each[0], "valence": each[1]})
    assert found["r2.valence"].value == pytest.approx(each[1])
    assert found["r2.valence"].per_label == pytest.approx({"valence": each[1]})
    assert found["r2.arousal"].n_labels == 1
    assert found["r2.arousal"].lower < each[0] < found["r2.arousal"].upper
    floor = r2_score(labels[80:], np.broadcast_to(labels[:80].mean(axis=0), (80, 2)), multioutput="raw_values")
    assert found["r2.valence"].floor == pytest.approx(floor[1])
    assert found["r2"].floor == pytest.approx(floor.mean())
    assert unscored == []


def test_keys():
    rng = np.random.default_rng(3)
    labels = np.concatenate([np.full((50, 1), 12), rng.integers(0, 24, (50, 1)), np.array([[0], [7], [9], [12]])])
    guesses = np.concatenate([labels[50:100, 0], [7, 0, 0, 0]])
    task = make("multiclass", labels, KEYS, 50)
    found, _ = score(task, np.eye(24, dtype=np.float32)[guesses], ["key_weighted", "key_weighted_mirex", "accuracy"])
    # Right 50 times; then a fifth above, a fifth below, A major answered with C major, and the parallel key.
    assert found["key_weighted"].value == pytest.approx((50 + 0.5 + 0 + 0 + 0.2) / 54)
    assert found["key_weighted_mirex"].value == pytest.approx((50 + 0.5 + 0.5 + 0 + 0.2) / 54)
    assert found["accuracy"].value == pytest.approx(50 / 54)
    assert found["accuracy"].floor == pytest.approx((labels[50:] == 12).mean())


def test_whole_groups_are_resampled():
    """Clips in twos that are alike hold half the information, so the interval is wider by the root of two."""
    rng = np.random.default_rng(4)
    labels = np.repeat(rng.integers(0, 2, (400, 1)), 2, axis=0)
    hits = np.repeat(rng.random(400) < 0.7, 2)
    probabilities = np.eye(2, dtype=np.float32)[np.where(hits, labels[:, 0], 1 - labels[:, 0])][100:]
    alone = make("multiclass", labels, ["a", "b"], 100)
    grouped = make("multiclass", labels, ["a", "b"], 100, np.repeat(np.arange(400), 2))
    widths = [
        found.upper - found.lower
        for found in (score(task, probabilities, ["accuracy"])[0]["accuracy"] for task in (alone, grouped))
    ]
    assert widths[1] / widths[0] == pytest.approx(2**0.5, rel=0.12)


def test_a_score_survives_json():
    task, scores = tagging()
    found, _ = score(task, scores, ["roc_auc"])
    assert Score.model_validate_json(found["roc_auc"].model_dump_json()) == found["roc_auc"]


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("accuracy", "metric 'accuracy' is for multiclass tasks, and this task is multilabel"),
        ("roc_auk", "unknown metric 'roc_auk'. Did you mean 'roc_auc'?"),
        ("roc_auc.tag 9", "unknown part of metric 'roc_auc' 'tag 9'. Did you mean"),
        ("roc_auc.tag 3", "roc_auc.tag 3: 'tag 3' cannot be scored on these 60 test clips"),
    ],
)
def test_a_metric_that_does_not_fit_is_one_line(metric, message):
    task, scores = tagging()
    task.labels[60:, 3] = 0
    with pytest.raises(UserError) as raised:
        score(task, scores, [metric])
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_nothing_to_score_is_an_error():
    task, scores = tagging()
    task.labels[60:] = 0
    for metric in ("roc_auc", "average_precision_clipwise"):
        with pytest.raises(UserError, match=f"{metric}: not one label can be scored"):
            score(task, scores, [metric])


def test_predictions_must_be_numbers():
    task, scores = tagging()
    scores[7, 2] = np.nan
    with pytest.raises(UserError, match="predictions for 1 of 60 test clips are not finite numbers"):
        score(task, scores, ["roc_auc"])


def test_scores_of_mtt_size():
    rng = np.random.default_rng(0)
    labels = (rng.random((6_000, 50)) < 0.05).astype(np.int8)
    task = make("multilabel", labels, [f"t{i}" for i in range(50)], 671)
    scores = rng.normal(size=(5_329, 50)).astype(np.float32)
    metrics = ["roc_auc", "average_precision", "roc_auc_clipwise", "average_precision_clipwise"]
    found, _ = score(task, scores, metrics)
    assert found["roc_auc"].lower < 0.5 < found["roc_auc"].upper


def floor(metric, train, test, outputs):
    constant = METRICS[metric].constant(train, outputs)
    return macro(METRICS[metric](test, np.broadcast_to(constant, (len(test), outputs)))), constant


def read_classes(rows):
    names = sorted({label for _, label in rows})
    splits = {split: [[names.index(label)] for other, label in rows if other == split] for split in ("train", "test")}
    return names, {split: np.array(labels) for split, labels in splits.items()}


@pytest.mark.skipif(not GENUINE.is_dir(), reason="the genuine annotations are not at hand")
class TestFloorsOfGenuineTables:
    """What a constant predictor reaches; EmoMusic's and GiantSteps' floors are in the tests of those."""

    @pytest.mark.parametrize(("untagged", "precision"), [("keep", 0.0531), ("drop", 0.0653)])
    def test_magnatagatune(self, tmp_path, untagged, precision):
        with gzip.open(GENUINE / "magnatagatune/annotations_final.csv.gz") as file:
            (tmp_path / "annotations_final.csv").write_bytes(file.read())
        task = MagnaTagATune(tmp_path).task(untagged=untagged)
        train, test = (task.labels[task.splits == split] for split in ("train", "test"))
        assert floor("roc_auc", train, test, 50)[0] == 0.5
        assert floor("average_precision", train, test, 50)[0] == pytest.approx(precision, abs=5e-5)
        # Within clips a constant order of tags says much: 0.70 and 0.26 are the floors of the clip-wise metrics.
        assert floor("roc_auc_clipwise", train, test, 50)[0] == pytest.approx(0.701, abs=1e-3)
        assert floor("average_precision_clipwise", train, test, 50)[0] == pytest.approx(0.261, abs=1e-3)
        # Clips without any of the 50 tags have no order, so it does not matter whether they are kept.
        assert METRICS["roc_auc_clipwise"].clips(test).sum() == 4_332

    def test_gtzan(self):
        """The most frequent genre of the test clips is rock, 0.110; that of the training clips is classical."""
        rows = [
            (split, line.partition("/")[0])
            for split in ("train", "test")
            for line in (GENUINE / f"gtzan/{split}_filtered.txt").read_text().split()
        ]
        genres, labels = read_classes(rows)
        found, constant = floor("accuracy", labels["train"], labels["test"], 10)
        assert genres[int(constant.argmax())] == "classical"
        assert found == pytest.approx(31 / 290)
        assert np.bincount(labels["test"][:, 0]).max() / 290 == pytest.approx(0.1103, abs=5e-5)

    def test_fma_medium(self):
        with gzip.open(GENUINE / "fma/fma_medium_splits.csv.gz", "rt") as file:
            rows = [(row["split"], row["genre_top"]) for row in csv.DictReader(file)]
        genres, labels = read_classes(rows)
        found, constant = floor("accuracy", labels["train"], labels["test"], 16)
        assert genres[int(constant.argmax())] == "Rock"
        assert found == pytest.approx(0.276, abs=5e-4)


def make_emomusic(root):
    (root / "annotations").mkdir(parents=True)
    columns = "song_id,file_name,Artist,Song title,start of the segment (min.sec),end of the segment (min.sec),Genre"
    songs, ratings = [f'{columns},"Mediaeval 2013 set"'], ["song_id,mean_arousal,std_arousal,mean_valence,std_valence"]
    for number in range(2, 42):
        part = "evaluation" if number % 4 == 0 else "development"
        songs.append(f'{number},"\t{number}.mp3","Artist {chr(97 + number % 26)}\t",T{number},0.2,0.22,Pop,"{part}"')
        ratings.append(f"{number},{1 + number % 9},1,{1 + number * 7 % 5},1")
        write_mp3(root / "clips_45seconds" / f"{number}.mp3", tone(2, 22_050, number), 22_050)
    (root / "annotations/songs_info.csv").write_text("\n".join(songs))
    (root / "annotations/static_annotations.csv").write_text("\n".join(ratings))


def make_giantsteps(root):
    tested, trained = root / "giantsteps-key-dataset", root / "giantsteps-mtg-key-dataset"
    table, metadata = ["ID\tMANUAL KEY\tC"], ["ID\tARTIST\tSONG TITLE"]
    for folder in (tested, trained):
        (folder / "annotations/key").mkdir(parents=True)
    for number in range(12):
        (tested / f"annotations/key/{number}.LOFI.key").write_text(KEYS[number * 5 % 24])
        write_mp3(tested / f"audio/{number}.LOFI.mp3", tone(1.5, 22_050, number), 22_050)
    for number in range(100, 148):
        table.append(f"{number}\t{KEYS[number % 24]}\t{2 if number % 8 else 1}")
        metadata.append(f"{number}\tArtist {number}\tT")
        write_mp3(trained / f"audio/{number}.LOFI.mp3", tone(1.5, 22_050, number), 22_050)
    (trained / "annotations/annotations.txt").write_text("\n".join(table) + "\n")
    (trained / "annotations/beatport_metadata.txt").write_text("\n".join(metadata) + "\n")


def test_emotion_and_key_from_files_to_record(tmp_path):
    make_emomusic(tmp_path / "data/emomusic")
    make_giantsteps(tmp_path / "data/giantsteps")
    store = tmp_path / "store"
    tasks = ["--task", "emotion", "--task", "key"]
    emotion, key = bench_json("run", "--encoder", "mfcc", *tasks, "--data", tmp_path / "data", "--store", store)
    assert emotion["data"] == key["data"] == "real"
    assert emotion["n_scored"]["test"] == 10
    assert emotion["n_scored"]["train"] + emotion["n_scored"]["valid"] == 30
    assert key["n_scored"]["test"] == 12
    assert key["n_scored"]["train"] + key["n_scored"]["valid"] == 42
    kept = {}
    for folder in (store / "artifacts/score").iterdir():
        record = json.loads((folder / "record.json").read_text())
        kept[record["task"]] = np.load(folder / "predictions.npz")

    truth, estimates = kept["emotion"]["labels"], kept["emotion"]["predictions"]
    assert truth[0].tolist() == [5.0, 4.0]  # song 4, on the published scale
    each = r2_score(truth, estimates, multioutput="raw_values")
    assert emotion["metrics"]["r2"]["value"] == pytest.approx(each.mean())
    assert emotion["metrics"]["r2.arousal"]["value"] == pytest.approx(each[0])
    assert emotion["metrics"]["r2.valence"]["value"] == pytest.approx(each[1])

    truth, guess = kept["key"]["labels"][:, 0], kept["key"]["predictions"].argmax(axis=1)
    assert kept["key"]["label_names"].tolist() == list(KEYS)
    assert [KEYS[index] for index in truth] == [KEYS[number * 5 % 24] for number in range(12)]
    scores = [mir_eval.key.weighted_score(KEYS[true], KEYS[one]) for true, one in zip(truth, guess, strict=True)]
    assert key["metrics"]["key_weighted"]["value"] == pytest.approx(np.mean(scores))
    assert key["metrics"]["accuracy"]["value"] == pytest.approx((truth == guess).mean())


def _hits(labels, predictions, counts):
    """Share of a user's three best clips that they played: the mean over users."""
    best = np.argsort(-predictions, axis=0, kind="stable")[:3]
    played = np.asarray(labels.todense()) > 0
    values = np.take_along_axis(played, best, axis=0).mean(axis=0)
    return mean_over_clips(values, counts)


def test_replicates_draw_what_a_metric_says(monkeypatch):
    rng = np.random.default_rng(0)
    played = csr_array((rng.random((80, 30)) < 0.3).astype(float))
    ids = tuple(map(str, range(80)))
    splits = np.array(["train"] * 40 + ["test"] * 40)
    hits = Metric(
        *(
            "hits",
            "hits",
            "interactions",
            _hits,
            lambda _, labels, outputs: np.zeros(outputs),
            False,
            0.0,
            1.0,
            "tests",
        ),
        unit="user",
    )
    monkeypatch.setattr(scoring, "METRICS", {"hits": hits})
    task = Task(ids, splits, Interactions(map(str, range(30)), played), np.array(ids))
    predictions = (0.7 * played.toarray()[40:] + rng.normal(size=(40, 30))).astype(np.float32)
    (found,) = score(task, predictions, ["hits"])[0].values()
    best = np.argsort(-predictions, axis=0)[:3]
    values = np.take_along_axis(played.toarray()[40:], best, axis=0).mean(axis=0)
    assert found.value == pytest.approx(values.mean())
    # The standard error of a mean over thirty users.
    assert found.standard_error == pytest.approx(values.std(ddof=1) / np.sqrt(30))
    assert (found.units, found.rough) == (30, "")


def test_single_clips_are_drawn_where_a_metric_says_so(monkeypatch):
    task, scores = tagging()
    grouped = Task(task.clip_ids, task.splits, task.targets, np.array([str(int(i) // 20) for i in task.clip_ids]))
    plain = score(task, scores, ["roc_auc"])[0]["roc_auc"]
    assert score(grouped, scores, ["roc_auc"])[0]["roc_auc"].lower != plain.lower
    monkeypatch.setattr(scoring, "METRICS", {"roc_auc": replace(METRICS["roc_auc"], unit="clip")})
    alone = score(grouped, scores, ["roc_auc"])[0]["roc_auc"]
    assert (alone.lower, alone.upper, alone.units) == (plain.lower, plain.upper, plain.n_clips)
