"""Readouts beside networks: nearest neighbours, a class of one's own, and tags that are not known of every clip."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from probe_data import class_splits, clips_of, probe_task, small, tagged_splits
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from torch.nn import functional as F

from benchmark.scores.scoring import score
from probes.kinds import SERVED
from probes.objectives import OBJECTIVES, objective_of
from probes.protocols import LabelledClips, run_protocol
from probes.readouts.base import ProbeTask
from tasks.base import Task
from tasks.metrics import METRICS, macro
from tasks.targets import Tags

CLASSES = probe_task("multiclass", 4, "accuracy")
TAGS = probe_task("multilabel", 3, "roc_auc")


def nearest(**numbers):
    return small(standardise=False, readout={"kind": "nearest", **numbers})


@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("neighbours", [1, 7])
def test_nearest_neighbours_are_scikit_learns(weights, neighbours):
    train, valid, test, labels = class_splits(noise=1.5)
    found = run_protocol(nearest(neighbours=neighbours, weights=weights), train, valid, test, CLASSES, 0)
    theirs = KNeighborsClassifier(neighbours, metric="cosine", weights=weights)
    theirs.fit(train.encoders[0].rows.astype(float), train.labels[:, 0])
    expected = theirs.predict_proba(test[0].rows.astype(float))
    np.testing.assert_allclose(found.predictions[0], expected, atol=1e-6)
    assert (found.predictions[0].argmax(axis=1) == labels[:, 0]).mean() > 0.6
    valid_accuracy = theirs.score(valid.encoders[0].rows.astype(float), valid.labels[:, 0])
    assert found.selection["value"] == pytest.approx(valid_accuracy)


def test_nearest_neighbours_of_values_are_scikit_learns():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(90, 5)).astype(np.float32), rng.normal(size=(90, 2))
    train, valid, test = (clips_of(x[rows], y[rows]) for rows in (slice(50), slice(50, 70), slice(70, 90)))
    found = run_protocol(
        nearest(neighbours=5, weights="distance"), train, valid, test.encoders, probe_task("regression", 2, "r2"), 0
    )
    theirs = KNeighborsRegressor(5, metric="cosine", weights="distance").fit(x[:50].astype(float), y[:50])
    np.testing.assert_allclose(found.predictions[0], theirs.predict(x[70:].astype(float)), atol=1e-5)


def test_how_many_neighbours_is_chosen_on_validation():
    train, valid, test, _ = class_splits(noise=2)
    found = run_protocol(nearest(neighbours=[1, 15, 10_000]), train, valid, test, CLASSES, 0)
    alone = [run_protocol(nearest(neighbours=k), train, valid, test, CLASSES, 0).selection["value"] for k in (1, 15)]
    assert found.selection["values"] == [*alone, None]
    assert found.selection["chosen"]["neighbours"] == (1, 15)[int(np.argmax(alone))]
    with pytest.raises(ValueError, match="120 training examples are fewer than the neighbours of every setting"):
        run_protocol(nearest(neighbours=[121]), train, valid, test, CLASSES, 0)


def unknown(clips, column, seed, share=0.3):
    """The same clips, of some of which one tag is not known."""
    labels = clips.labels.astype(np.int8)
    labels[np.random.default_rng(seed).random(len(labels)) < share, column] = -1
    return LabelledClips(clips.encoders, labels)


def known_alone(clips, column):
    """The clips of which a tag is known, and that tag alone."""
    rows = np.flatnonzero(clips.labels[:, column] >= 0)
    encoders = tuple(one.take(rows) for one in clips.encoders)
    return LabelledClips(encoders, clips.labels[rows, column, None])


@pytest.mark.parametrize(
    "changes",
    [
        {"readout": {"kind": "nearest", "neighbours": 5}, "standardise": False},
        {"estimator": {"kind": "logistic", "parameters": {"C": 1.0}}, "standardise": False},
        {"estimator": {"kind": "ridge", "parameters": {"alpha": 1.0}}, "standardise": False},
    ],
)
def test_unknown_tags_are_as_if_their_clips_were_not_there(changes):
    train, valid, test, _ = tagged_splits()
    train, valid = unknown(unknown(train, 0, 1), 2, 2), unknown(valid, 1, 3)
    found = run_protocol(small(**changes), train, valid, test, TAGS, 0)
    one = probe_task("multilabel", 1, "roc_auc")
    values = []
    for column in range(3):
        alone = run_protocol(small(**changes), known_alone(train, column), known_alone(valid, column), test, one, 0)
        np.testing.assert_allclose(found.predictions[0][:, column], alone.predictions[0][:, 0], atol=1e-6)
        values.append(alone.selection["value"])
    # Selection is by the mean over tags of what each can be judged by.
    assert found.selection["value"] == pytest.approx(np.mean(values))


@pytest.mark.parametrize("stop_on", ["loss", "metric"])
def test_a_network_does_not_see_unknown_tags(stop_on):
    """One tag known of all, two of half the clips each: what stands in the unknown cells is of no meaning."""
    train, valid, test, _ = tagged_splits()
    masked_train, masked_valid = unknown(unknown(train, 0, 1), 2, 2), unknown(unknown(valid, 0, 4), 1, 3)
    network = small(max_epochs=10, stop_on=stop_on, hidden=[4])
    found = run_protocol(network, masked_train, masked_valid, test, TAGS, 0)
    plain = run_protocol(network, train, valid, test, TAGS, 0)
    assert np.abs(found.predictions - plain.predictions).max() > 1e-3
    # The validation value is that of the known cells alone, by scikit-learn.
    again = run_protocol(
        network.model_copy(update={"patience": None, "keep": "best"}),
        masked_train,
        masked_valid,
        masked_valid.encoders,
        TAGS,
        0,
    )
    guess, truth = again.predictions[0].astype(float), masked_valid.labels
    if stop_on == "metric":
        value = np.mean([roc_auc_score(truth[own, i], guess[own, i]) for i, own in enumerate((truth >= 0).T)])
    else:
        cells = truth >= 0
        value = (np.log(guess) * (truth == 1) + np.log(1 - guess) * (truth == 0))[cells].mean()
    assert again.selection["value"] == pytest.approx(value, abs=1e-5)


@settings(max_examples=25)
@given(seed=st.integers(0, 999), ties=st.booleans())
def test_scores_with_unknown_tags_are_scikit_learns_label_by_label(seed, ties):
    rng = np.random.default_rng(seed)
    labels = (rng.random((60, 4)) < 0.4).astype(np.int8)
    scores = (labels + rng.normal(size=labels.shape)).astype(np.float32)
    scores = np.round(scores) if ties else scores
    labels[rng.random(labels.shape) < 0.3] = -1
    labels[:, 3] = -1
    # A replicate that holds each clip so many times is the same as repeating it.
    counts = rng.integers(0, 3, (60, 2)).astype(np.float32)
    for name, reference in (("roc_auc", roc_auc_score), ("average_precision", average_precision_score)):
        plain, replicates = METRICS[name](labels, scores), METRICS[name](labels, scores, counts)
        for column in range(3):
            own = labels[:, column] >= 0
            assert plain[column] == pytest.approx(reference(labels[own, column], scores[own, column]))
            for number in range(2):
                rows = np.repeat(np.flatnonzero(own), counts[own, number].astype(int))
                expected = reference(labels[rows, column], scores[rows, column])
                assert replicates[number, column] == pytest.approx(expected)
        assert np.isnan(plain[3])
        by_clip = [
            reference(own[own >= 0], guess[own >= 0])
            for own, guess in zip(labels, scores, strict=True)
            if (own == 1).sum() > 0 and (own == 0).sum() > 0
        ]
        assert METRICS[f"{name}_clipwise"](labels, scores)[0] == pytest.approx(np.mean(by_clip))


def test_a_task_with_unknown_tags_is_scored_and_has_floors():
    rng = np.random.default_rng(0)
    labels = (rng.random((120, 3)) < 0.4).astype(np.int8)
    scores = (labels + rng.normal(size=labels.shape)).astype(np.float32)
    labels[rng.random(labels.shape) < 0.3] = -1
    ids = tuple(map(str, range(120)))
    task = Task(ids, np.array(["train"] * 60 + ["test"] * 60), Tags("abc", labels), np.array(ids))
    found, unscored = score(task, scores[60:], ["roc_auc", "average_precision", "roc_auc_clipwise"])
    truth, guess = labels[60:], scores[60:]
    expected = [roc_auc_score(truth[own, i], guess[own, i]) for i, own in enumerate((truth >= 0).T)]
    assert found["roc_auc"].value == pytest.approx(np.mean(expected))
    assert found["roc_auc"].floor == 0.5
    positive = [(truth[:, i] == 1).sum() / (truth[:, i] >= 0).sum() for i in range(3)]
    assert found["average_precision"].floor == pytest.approx(np.mean(positive))
    assert found["roc_auc_clipwise"].lower < found["roc_auc_clipwise"].value
    assert unscored == []


def test_distributions_are_learnt_by_their_divergence():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 5)).astype(np.float32)
    logits = x @ rng.normal(size=(5, 3))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    train, valid, test = (clips_of(x[rows], shares[rows]) for rows in (slice(200), slice(200, 250), slice(250, 300)))
    task = ProbeTask("distribution", 3, "none", lambda *_: float("nan"))
    found = run_protocol(small(max_epochs=150, patience=None), train, valid, test.encoders, task, 0)
    assert np.abs(found.predictions[0] - test.labels).max() < 0.05
    assert found.selection["value"] == pytest.approx(0, abs=0.01)
    objective = OBJECTIVES["distribution"]
    outputs, targets = torch.from_numpy(logits[:9] + 1).float(), torch.from_numpy(shares[9:18]).float()
    expected = F.kl_div(F.log_softmax(outputs, 1), targets, reduction="sum") / 9
    assert float(objective.loss(outputs, targets)) == pytest.approx(float(expected), rel=1e-5)
    assert float(objective.prediction_loss(objective.link(outputs), targets)) == pytest.approx(
        float(expected), rel=1e-5
    )


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_an_objectives_derivative_is_its_losss(kind):
    rng = np.random.default_rng(3)
    labels = {
        "multilabel": rng.integers(-1, 2, (12, 4)),
        "multiclass": rng.integers(0, 4, (12, 1)),
        "regression": rng.normal(size=(12, 4)),
        "distribution": rng.dirichlet(np.ones(4), 12),
    }[kind]
    targets = torch.from_numpy(OBJECTIVES[kind].targets(labels, 4))
    objective = OBJECTIVES[kind].for_targets(targets)
    outputs = torch.randn(12, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = objective.loss(outputs, targets)
    loss.backward()
    found = objective.residual_(outputs.detach().clone(), targets)
    np.testing.assert_allclose(found, outputs.grad, atol=1e-7, rtol=1e-5)
    linked = objective.link(outputs.detach()).double()
    assert float(objective.prediction_loss(linked, targets)) == pytest.approx(float(loss.detach()), rel=1e-4)


def test_what_is_served_has_an_objective():
    assert SERVED.keys() == OBJECTIVES.keys()


def test_labels_without_an_objective_need_a_readout_of_their_own():
    with pytest.raises(ValueError, match="predicts interactions: what is missing is a factorisation"):
        objective_of("interactions")


class Centroids:
    """The nearest class mean: as much as a readout needs."""

    def __init__(self, sharpness):
        self.sharpness = sharpness

    def fit(self, train, valid, task, seed, device, advance):
        advance(1)
        labels = train.example_labels[:, 0]
        self.means = np.stack([train.features[labels == k].mean(axis=0) for k in range(task.outputs)])
        self.selection = {"value": task.metric(valid.labels, self.predict(valid)), "seed": seed}
        return self

    def predict(self, examples):
        distances = ((examples.features[:, None] - self.means) ** 2).sum(axis=2)
        scores = np.exp(-self.sharpness * distances)
        return (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


def test_a_readout_of_ones_own_is_all_that_is_asked():
    train, valid, test, labels = class_splits()
    own = small(readout={"class": "my_readouts:Centroids", "args": {"sharpness": 0.5}})
    counted = []
    found = run_protocol(own, train, valid, test, CLASSES, 3, advance=counted.append, own=Centroids(0.5))
    accuracy = float(macro(METRICS["accuracy"](labels, found.predictions[0])))
    assert accuracy > 0.9
    assert found.selection["value"] > 0.9
    assert (sum(counted), own.probes, found.selection["seed"]) == (1, 1, 3)
    with pytest.raises(ValueError, match="my_readouts:Centroids was not loaded"):
        run_protocol(own, train, valid, test, CLASSES, 0)
