"""The probe step through the command line: what it may see, and what its record says."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import bench, bench_json
from safetensors.numpy import save_file

from benchmark.console import Silent
from benchmark.scores.prediction import predict
from benchmark.steps import KINDS
from benchmark.store.embeddings import open_embeddings
from benchmark.store.labels import read_labels
from benchmark.store.store import Artifact

ENCODERS = """
encoders:
  tiny:
    class: encoders.tune:TUNe
    args: {filters: 2, contractive: 2, expansive: 2, tail: 4, dim: 16, window: 6561}
protocols:
  small-grid:
    source: tests
    examples: clip_mean
    standardise: [false, true]
    hidden: [[], [4]]
    batch: 8
    learning_rate: [1e-3, 1e-1]
    weight_decay: 0
    max_epochs: 10
    stop_on: metric
    patience: 5
  small-repeats:
    source: tests
    examples: clip_mean_std
    standardise: true
    hidden: [same]
    batch: 8
    learning_rate: 1e-2
    weight_decay: 0
    max_epochs: 10
    patience: 5
    repeats: 3
  small-both:
    source: tests
    examples: clip_mean
    standardise: true
    hidden: []
    batch: 8
    learning_rate: 1e-2
    weight_decay: 0
    max_epochs: 10
    keep: last
    train_on: train+valid
"""


@pytest.fixture
def run(mtt, tmp_path):
    """`bench run` on a small MagnaTagATune; returns records and the predictions beside them."""
    registry = tmp_path / "own.yaml"
    registry.write_text(ENCODERS)

    def call(*arguments, data=mtt[0], store="store"):
        place = tmp_path / store
        common = ("--task", "mtt", "--data", data, "--store", place, "--registry", registry)
        records = bench_json("run", *arguments, *common)
        found = {}
        for file in place.glob("artifacts/score/*/record.json"):
            with np.load(file.parent / "predictions.npz") as arrays:
                found[json.loads(file.read_text())["finished"], file.parent.name] = dict(arrays)
        keys = {record["steps"][-1]["key"]: record for record in records}
        return [(record, next(a for (_, name), a in found.items() if name == key)) for key, record in keys.items()]

    return call


def permuted(data: Path, target: Path) -> Path:
    """A copy of the data in which the tags of the test clips have changed hands."""
    shutil.copytree(data, target)
    file = target / "magnatagatune" / "annotations_final.csv"
    header, *lines = file.read_bytes().decode().split("\r\n")[:-1]
    rows = [line.split("\t") for line in lines]
    tested = [i for i, row in enumerate(rows) if row[-1].strip('"')[0] in "def"]
    tags = [rows[i][1:-1] for i in tested]
    for i, own in zip(tested, tags[3:] + tags[:3], strict=True):
        rows[i][1:-1] = own
    file.write_bytes("".join(line + "\r\n" for line in [header, *("\t".join(row) for row in rows)]).encode())
    return target


def test_permuted_test_labels_change_no_choice_and_no_prediction(run, mtt, tmp_path):
    names = ("--encoder", "mfcc", "--protocol", "small-grid", "--protocol", "ridge")
    honest = run(*names)
    other = run(*names, data=permuted(mtt[0], tmp_path / "permuted"), store="other")
    for (first, own), (second, permuted_arrays) in zip(honest, other, strict=True):
        assert not np.array_equal(own["labels"], permuted_arrays["labels"])
        assert first["fingerprint"] != second["fingerprint"]
        assert first["selection"] == second["selection"]
        assert np.array_equal(own["predictions"], permuted_arrays["predictions"])
    assert honest[0][0]["selection"]["configurations"] == 8


def test_fractions_of_labels_joint_encoders_and_repeats(run):
    names = ("--encoder", "mfcc+tiny", "--recipe", "untrained", "--protocol", "small-repeats", "--labels", "0.5,1")
    records = run(*names)
    assert sorted(record["selection"]["train_clips"] for record, _ in records) == [7, 14]
    for record, arrays in records:
        assert record["dim"] == 120 + 16
        assert record["selection"]["chosen"]["hidden"] == [136]
        assert arrays["repeats"].shape == (3, *arrays["predictions"].shape)
        assert np.array_equal(arrays["repeats"][0], arrays["predictions"])
        # The score is the mean of the repeats' scores.
        kept = [i for i, name in enumerate(arrays["label_names"]) if name in record["metrics"]["roc_auc"]["per_label"]]
        aucs = [_auc(arrays["labels"][:, kept], one[:, kept]) for one in arrays["repeats"]]
        assert record["metrics"]["roc_auc"]["value"] == pytest.approx(np.mean(aucs))


def test_where_validation_is_trained_on_it_is_divided_too(run):
    records = [record for record, _ in run("--encoder", "mfcc", "--protocol", "small-both", "--labels", "0.5,1")]
    half, whole = sorted(records, key=lambda record: record["labels"])
    valid = whole["n_scored"]["valid"]
    assert valid >= 4
    assert whole["selection"]["train_clips"] == 14 + valid
    assert half["selection"]["train_clips"] == 7 + round(valid / 2)


def _auc(labels, scores):
    from sklearn.metrics import roc_auc_score

    return roc_auc_score(labels, scores, average="macro")


def test_a_supervised_encoder_predicts_by_its_own_head(run, tmp_path):
    ((record, arrays),) = run("--encoder", "mfcc", "--protocol", "small-repeats")
    folders = {kind: next((tmp_path / "store" / "artifacts" / kind).iterdir()) for kind in ("embed", "label")}
    weights = tmp_path / "weights"
    weights.mkdir()
    rng = np.random.default_rng(0)
    head = {"weight": rng.normal(size=(50, 120)).astype(np.float32), "bias": rng.normal(size=50).astype(np.float32)}
    save_file(head, weights / "head.safetensors")
    step = KINDS["probe"].step({"protocol": "end-to-end"}, {}, "")
    inputs = {"embeddings": Artifact(folders["embed"], {}), "head": Artifact(weights, {})}
    probed, dim = predict(step, read_labels(folders["label"] / "labels.npz"), inputs, Silent())
    assert dim == 120
    embeddings = open_embeddings(folders["embed"])
    clips = embeddings.clip_ids
    for clip_id, predicted in zip(arrays["clip_ids"], probed.predictions[0], strict=True):
        row = clips.index(clip_id)
        own = embeddings.rows[embeddings.first[row] : embeddings.first[row + 1]]
        logits = own.astype(np.float64) @ head["weight"].T + head["bias"]
        np.testing.assert_allclose(predicted, (1 / (1 + np.exp(-logits))).mean(axis=0), atol=1e-5)
    assert record["protocol"] == "small-repeats"


def test_a_protocol_that_does_not_fit_is_one_line(mtt, tmp_path):
    registry = tmp_path / "own.yaml"
    registry.write_text(ENCODERS)
    result = bench(
        *("run", "--encoder", "mfcc+tiny", "--recipe", "untrained", "--protocol", "linear", "--task", "mtt"),
        *("--data", mtt[0], "--store", tmp_path / "store", "--registry", registry),
    )
    assert result.returncode != 0
    assert "windows start at the same times" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list((tmp_path / "store").glob("artifacts/score/*/record.json"))


READOUT = '''
import numpy as np


class Prevalence:
    """What the training clips have, and a little of the first feature."""

    def __init__(self, slope):
        self.slope = slope

    def fit(self, train, valid, task, seed, device, advance):
        advance(1)
        self.base = train.labels.mean(axis=0)
        self.selection = {"value": task.metric(valid.labels, self.predict(valid)), "by": task.metric_name}
        return self

    def predict(self, examples):
        return (self.base + self.slope * np.tanh(examples.features[:, :1])).astype(np.float32)
'''
OWN = """
protocols:
  prevalence:
    source: tests
    examples: clip_mean
    standardise: true
    readout: {class: my_readouts:Prevalence, args: {slope: 0.1}}
"""


def test_a_readout_beside_the_registry_predicts_and_is_in_the_key(mtt, tmp_path):
    (tmp_path / "own.yaml").write_text(OWN)
    names = ("run", "--encoder", "mfcc", "--protocol", "prevalence", "--task", "mtt", "--data", mtt[0])
    places = ("--store", tmp_path / "store", "--registry", tmp_path / "own.yaml")
    missing = bench(*names, *places)
    assert missing.returncode == 2
    assert "own.yaml:3: protocols.prevalence.readout: there is no module 'my_readouts'" in missing.stderr
    keys = []
    for version in (READOUT, READOUT.replace("np.tanh", "np.sin")):
        (tmp_path / "my_readouts.py").write_text(version)
        (record,) = bench_json(*names, *places)
        keys.append(record["steps"][-1]["key"])
        assert record["selection"]["by"] == "roc_auc"
        with np.load(tmp_path / "store" / "artifacts" / "score" / keys[-1] / "predictions.npz") as arrays:
            # One number a clip, whatever the tag.
            assert np.ptp(arrays["predictions"] - arrays["predictions"][:, :1], axis=0).max() < 1e-6
    assert keys[0] != keys[1]
    (tmp_path / "own.yaml").write_text(OWN.replace("slope: 0.1", "steepness: 1"))
    wrong = bench(*names, *places)
    assert wrong.returncode != 0
    assert "own.yaml:3: protocols.prevalence.readout.args: " in wrong.stderr
    assert "steepness" in wrong.stderr
    assert "Traceback" not in wrong.stderr
