"""Protocols of the registry: released numbers, examples, decisions, targets, estimators."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import bench
from probe_data import class_splits, clips_of, probe_task, protocol, small, tagged_splits
from sklearn.neural_network import MLPRegressor

from probes.decisions import decide
from probes.protocols import LabelledClips, cut, run_protocol
from probes.readouts.head import Head
from probes.windows import Windows
from tasks.metrics import METRICS, macro

GOLDEN = json.loads((Path(__file__).parent / "golden" / "protocols.json").read_text())
TAGS = probe_task("multilabel", 3, "roc_auc")
CLASSES = probe_task("multiclass", 4, "accuracy")


@pytest.mark.parametrize("case", GOLDEN)
def test_released_protocols_score_what_they_always_did(case):
    name, seed = case.split("/")
    train, valid, test, _ = tagged_splits()
    found = run_protocol(protocol(name), train, valid, test, TAGS, int(seed))
    np.testing.assert_allclose(found.predictions[0], GOLDEN[case]["predictions"], atol=2e-5)
    assert found.selection["value"] == pytest.approx(-GOLDEN[case]["valid_loss"], abs=1e-5)
    assert found.selection["best_evaluation"] == GOLDEN[case]["best"] + 1
    assert found.selection["evaluations"] == GOLDEN[case]["epochs"]


def test_jukemir_is_216_configurations():
    jukemir = protocol("jukemir")
    members = jukemir.members(512)
    assert len(members) == len(set(members)) == 216
    assert {member.hidden for member in members} == {(), (512,)}
    assert {member.dropout for member in members} == {0.25, 0.5, 0.75}
    assert {member.weight_decay for member in members} == {0, 1e-4, 1e-3}
    assert jukemir.stop_on == "metric"
    assert (jukemir.evaluate_every, jukemir.patience) == (8, 256)


def test_hidden_layers_as_wide_as_the_representation():
    assert protocol("tune-mlp").members(37)[0].hidden == (37,)
    assert protocol("kim").members(37)[0].hidden == (256, 256)


SHORT = {"max_epochs": 8}
QUICK = {
    "clmr-linear": SHORT,
    "clmr-mlp": SHORT,
    "clmr-v2-linear": SHORT,
    "clmr-v2-mlp": SHORT,
    "tune-linear": SHORT,
    "tune-mlp": SHORT,
    "jukemir": {"max_epochs": 300, "hidden": [[], [8]]},
    "kim": {"max_epochs": 20, "repeats": 2},
    "mule": {"max_steps": 60, "warmup_steps": 5, "learning_rate": 1e-2},
    "logistic": {},
    "ridge": {},
    "knn": {},
    "svm": {},
}


@pytest.mark.parametrize("name", QUICK)
def test_every_protocol_hears_something(name):
    train, valid, test, labels = tagged_splits()
    found = run_protocol(protocol(name, **QUICK[name]), train, valid, test, TAGS, 0)
    assert found.predictions.shape[1:] == (20, 3)
    assert np.isfinite(found.predictions).all()
    assert ((found.predictions >= 0) & (found.predictions <= 1)).all()
    # Eight epochs at 3e-4 hardly move; the others rank test clips better than chance.
    if QUICK[name] is not SHORT:
        assert float(macro(METRICS["roc_auc"](labels, found.predictions[0]))) > 0.7
    json.dumps(found.selection, allow_nan=False)


@pytest.mark.parametrize("name", ["logistic", "ridge", "knn", "svm"])
def test_estimators_tell_classes_apart_and_choose_on_validation(name):
    train, valid, test, labels = class_splits()
    found = run_protocol(protocol(name), train, valid, test, CLASSES, 0)
    assert (found.predictions[0].argmax(axis=1) == labels[:, 0]).mean() > 0.8
    assert found.selection["value"] == max(found.selection["values"])
    assert found.selection["chosen"]["estimator"] == name


def test_scaling_is_fitted_on_training_clips_alone():
    train, valid, test, _ = class_splits()
    shifted = (replace(test[0], rows=test[0].rows + 100),)
    plain = run_protocol(protocol("ridge"), train, valid, test, CLASSES, 0)
    moved = run_protocol(protocol("ridge"), train, valid, shifted, CLASSES, 0)
    assert moved.selection == plain.selection
    assert np.abs(moved.predictions - plain.predictions).max() > 0.1


def values(n, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4))
    y = np.stack([1000 + 50 * x[:, 0], x[:, 1] - x[:, 2]], axis=1) + 0.01 * rng.normal(size=(n, 2))
    return clips_of(x, y)


@pytest.mark.parametrize("name", ["ridge", "knn", "svm", "network"])
def test_values_on_any_scale_are_regressed(name):
    train, valid, test = values(300, 0), values(100, 1), values(100, 2)
    chosen = protocol(name) if name != "network" else small(standardise_targets=True, max_epochs=60, stop_on="metric")
    found = run_protocol(chosen, train, valid, test.encoders, probe_task("regression", 2, "r2"), 0)
    r2 = METRICS["r2"](test.labels, found.predictions[0])
    assert (r2 > (0.7 if name == "knn" else 0.95)).all()


def test_wrong_kinds_are_refused_in_words():
    train, valid, test = values(30, 0), values(30, 1), values(30, 2)
    task = probe_task("regression", 2, "r2")
    with pytest.raises(ValueError, match="logistic cannot be used for regression tasks; these can: ridge, knn, svm"):
        run_protocol(protocol("logistic"), train, valid, test.encoders, task, 0)
    with pytest.raises(ValueError, match="the decision vote needs a task of classes"):
        run_protocol(small(decision="vote"), train, valid, test.encoders, task, 0)
    train, valid, test, _ = class_splits()
    bad = small(estimator={"kind": "knn", "parameters": {"neighbours": 3}})
    with pytest.raises(ValueError, match="knn: .*neighbours"):
        run_protocol(bad, train, valid, test, CLASSES, 0)


def test_neighbours_that_there_are_not_are_passed_over():
    train, valid, test = values(30, 0), values(30, 1), values(30, 2)
    task = probe_task("regression", 2, "r2")
    some = small(estimator={"kind": "knn", "parameters": {"n_neighbors": [31, 3]}})
    found = run_protocol(some, train, valid, test.encoders, task, 0)
    assert found.selection["chosen"]["n_neighbors"] == 3
    assert found.selection["values"][0] is None
    none = small(estimator={"kind": "knn", "parameters": {"n_neighbors": [31]}})
    with pytest.raises(ValueError, match="30 training examples are fewer than the neighbours of every setting"):
        run_protocol(none, train, valid, test.encoders, task, 0)


def test_classes_without_a_training_clip_are_never_predicted():
    train, valid, test, _ = class_splits()
    few = LabelledClips(train.encoders, np.minimum(train.labels, 2))
    found = run_protocol(protocol("logistic"), few, valid, test, CLASSES, 0)
    assert found.predictions[0][:, 3].max() == 0
    np.testing.assert_allclose(found.predictions[0].sum(axis=1), 1, atol=1e-5)


OUTPUTS = np.array([[[3.0, 0, 0], [0, 1, 0], [0, 1.1, 0.2], [0, 0, 2]]], dtype=np.float32)
FIRST = np.array([0, 3, 4])


@pytest.mark.parametrize(("decision", "winner"), [("mean_probability", 0), ("mean_logit", 0), ("vote", 1), ("max", 0)])
def test_decisions_by_hand(decision, winner):
    found = decide(OUTPUTS, FIRST, "multiclass", decision)[0]
    assert found.shape == (2, 3)
    assert found.argmax(axis=1).tolist() == [winner, 2]
    own, softmax = OUTPUTS[0, :3], np.exp(OUTPUTS[0]) / np.exp(OUTPUTS[0]).sum(axis=1, keepdims=True)
    expected = {
        "mean_probability": softmax[:3].mean(axis=0),
        "mean_logit": np.exp(own.mean(axis=0)) / np.exp(own.mean(axis=0)).sum(),
        "vote": np.array([1, 2, 0]) / 3,
        "max": np.exp(own.max(axis=0)) / np.exp(own.max(axis=0)).sum(),
    }[decision]
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


def test_the_best_decision_is_chosen_on_validation():
    """One loud wrong window in each clip: means are misled, the vote is not."""
    rng = np.random.default_rng(0)

    def clips(n):
        labels = rng.integers(0, 2, n)
        side = np.where(labels[:, None] == 1, 1.0, -1.0) * np.array([1.0, 1.0, -9.0])
        rows = (side + 0.1 * rng.normal(size=(n, 3))).reshape(-1, 1).astype(np.float32)
        windows = Windows(rows, np.arange(n + 1) * 3, np.tile(np.arange(3.0), n), np.full(n, 3.0))
        return LabelledClips((windows,), labels[:, None])

    train, valid, test = clips(200), clips(60), clips(60)
    task = probe_task("multiclass", 2, "accuracy")
    numbers = dict(examples="windows", standardise=False, stop_on="metric", learning_rate=0.1, max_epochs=3)
    scores = {}
    for decision in ("mean_logit", "vote", "best"):
        found = run_protocol(small(**numbers, decision=decision), train, valid, test.encoders, task, 0)
        scores[decision] = (found.predictions[0].argmax(axis=1) == test.labels[:, 0]).mean()
        if decision == "best":
            chosen = found.selection["decision"]
    assert scores["best"] == max(scores.values())
    assert chosen in ("vote", "mean_logit", "max", "mean_probability")


def test_kim_is_near_scikit_learns_network():
    """Other initial weights and no early end, but the same model, optimiser and decay."""
    train, valid, test = values(300, 0), values(60, 1), values(200, 2)
    scaled = [LabelledClips(part.encoders, part.labels[:, 1:]) for part in (train, valid, test)]
    kim = protocol("kim", repeats=1, examples="clip_mean")
    task = probe_task("regression", 1, "r2")
    ours = run_protocol(kim, *scaled[:2], test.encoders, task, 0).predictions[0]
    x = np.concatenate([part.encoders[0].rows for part in scaled[:2]])
    y = np.concatenate([part.labels[:, 0] for part in scaled[:2]])
    theirs = MLPRegressor(hidden_layer_sizes=(256, 256), random_state=0).fit(x, y).predict(test.encoders[0].rows)
    truth = scaled[2].labels[:, 0]
    r2 = [1 - ((guess - truth) ** 2).mean() / truth.var() for guess in (ours[:, 0], theirs)]
    assert min(r2) > 0.95
    assert abs(r2[0] - r2[1]) < 0.03


def test_a_head_trained_end_to_end_predicts_by_its_link():
    windows = Windows(np.array([[1.0, 0], [0, 2], [1, 1]], np.float32), np.array([0, 2, 3]), np.zeros(3), np.ones(2))
    weight, bias = np.array([[1.0, -1.0]], np.float32), np.array([0.5], np.float32)
    logits = np.array([1.5, -1.5, 0.5])
    found = Head(weight, bias, "multilabel").predict(cut((windows,), None, "windows", None, 0))
    p = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(found[:, 0], [(p[0] + p[1]) / 2, p[2]], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("batch: 3\n    estimator: {kind: knn}", "give one or the other"),
        ("max_steps: 7", "either max_epochs or max_steps"),
        ("examples: segments", "segment_seconds"),
        ("train_on: train+valid", "train+valid needs keep: last"),
        ("train_on: train+valid\n    learning_rate: [1e-3, 1e-2]", "nothing can be chosen"),
        ("schedule: plateau\n    stop_on: metric", "plateau schedule follows the validation loss"),
        ("dropout: 1.0", "less than 1"),
    ],
)
def test_what_does_not_fit_together_is_named_with_its_line(tmp_path, change, message):
    lines = {
        "examples": "examples: clip_mean",
        "batch": "batch: 8",
        "learning_rate": "learning_rate: 1e-3",
        "max_epochs": "max_epochs: 5",
    }
    for key in list(lines):
        if f"{key}:" in change:
            del lines[key]
    body = [
        "source: tests",
        "standardise: true",
        "hidden: []",
        "weight_decay: 0",
        "patience: 2",
        *lines.values(),
        change,
    ]
    file = tmp_path / "own.yaml"
    file.write_text("protocols:\n  mine:\n" + "".join(f"    {line}\n" for line in body))
    result = bench("list", "--registry", file)
    assert result.returncode == 1
    assert message in result.stderr
    assert f"{file}:" in result.stderr
