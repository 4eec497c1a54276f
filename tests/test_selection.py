"""What is chosen is chosen on validation: never on the test set, and the best, not the last."""

import numpy as np
import pytest
from probe_data import class_splits, clips_of, probe_task, small, tagged_splits

from probes.protocols import LabelledClips, run_protocol

TAGS = probe_task("multilabel", 3, "roc_auc")
CLASSES = probe_task("multiclass", 4, "accuracy")


def test_the_best_configuration_on_validation_is_chosen():
    train, valid, test, labels = class_splits()
    grid = small(learning_rate=[1e-7, 3e-2], hidden=[[], [8]], stop_on="metric")
    found = run_protocol(grid, train, valid, test, CLASSES, 0)
    values = found.selection["values"]
    assert len(values) == found.selection["configurations"] == 4
    assert found.selection["value"] == max(values)
    assert found.selection["by"] == "accuracy"
    # A learning rate of 1e-7 leaves the initial weights as they are.
    assert found.selection["chosen"]["learning_rate"] == 3e-2
    assert (found.predictions[0].argmax(axis=1) == labels[:, 0]).mean() > 0.8


@pytest.mark.parametrize("stop_on", ["loss", "metric"])
def test_each_configuration_alone_scores_as_it_did_in_the_grid(stop_on):
    train, valid, test, _ = tagged_splits()
    rates = [1e-3, 1e-2, 1e-1]
    grid = run_protocol(small(learning_rate=rates, stop_on=stop_on), train, valid, test, TAGS, 0)
    for rate, value in zip(rates, grid.selection["values"], strict=True):
        alone = run_protocol(small(learning_rate=rate, stop_on=stop_on), train, valid, test, TAGS, 0)
        assert alone.selection["value"] == pytest.approx(value, abs=1e-5)
        if rate == grid.selection["chosen"]["learning_rate"]:
            np.testing.assert_allclose(alone.predictions, grid.predictions, atol=1e-5)


def test_the_test_clips_have_no_part_in_the_choice():
    """Other test clips, other order: the same probe is chosen, and each clip is predicted as before."""
    train, valid, test, _ = class_splits()
    grid = small(learning_rate=[1e-3, 3e-2], dropout=[0.0, 0.5], stop_on="metric")
    found = run_protocol(grid, train, valid, test, CLASSES, 0)
    order = np.random.default_rng(1).permutation(len(test[0].first) - 1)
    again = run_protocol(grid, train, valid, (test[0].take(order),), CLASSES, 0)
    assert again.selection == found.selection
    np.testing.assert_allclose(again.predictions[0], found.predictions[0][order], atol=1e-6)


def test_the_choice_follows_the_validation_labels():
    train, valid, test, _ = class_splits()
    grid = small(learning_rate=[1e-7, 3e-2], stop_on="metric")
    honest = run_protocol(grid, train, valid, test, CLASSES, 0)
    shuffled = np.random.default_rng(0).permutation(valid.labels)
    misled = run_protocol(grid, train, LabelledClips(valid.encoders, shuffled), test, CLASSES, 0)
    assert honest.selection["value"] > 0.8 > misled.selection["value"]


def noisy():
    """Labels that are pure noise and more features than clips: the validation loss rises after its minimum."""
    rng = np.random.default_rng(0)

    def clips(n):
        return clips_of(rng.normal(size=(n, 60)), rng.integers(0, 2, (n, 1)))

    return clips(40), clips(40), clips(10).encoders


def test_best_epoch_is_kept_not_the_last():
    train, valid, test = noisy()
    task = probe_task("multilabel", 1, "roc_auc")
    protocol = small(max_epochs=60, patience=10)
    found = run_protocol(protocol, train, valid, valid.encoders, task, 0)
    assert found.selection["evaluations"] == found.selection["best_evaluation"] + 10
    p = found.predictions[0].astype(np.float64)
    loss = -(valid.labels * np.log(p) + (1 - valid.labels) * np.log(1 - p)).mean()
    assert -loss == pytest.approx(found.selection["value"], abs=1e-5)

    last = run_protocol(small(max_epochs=60, patience=10, keep="last"), train, valid, valid.encoders, task, 0)
    p = last.predictions[0].astype(np.float64)
    worse = -(valid.labels * np.log(p) + (1 - valid.labels) * np.log(1 - p)).mean()
    assert worse > loss + 0.05
    assert last.selection["value"] == pytest.approx(-worse, abs=1e-5)
    # What was kept is what as many epochs alone lead to.
    short = small(max_epochs=found.selection["best_evaluation"], patience=None, keep="last")
    again = run_protocol(short, train, valid, test, task, 0)
    np.testing.assert_allclose(
        again.predictions, run_protocol(protocol, train, valid, test, task, 0).predictions, atol=1e-5
    )


def test_stopping_on_the_metric_and_on_the_loss_differ():
    train, valid, test, _ = tagged_splits()
    by_loss = run_protocol(small(max_epochs=100), train, valid, test, TAGS, 0).selection
    by_metric = run_protocol(small(max_epochs=100, stop_on="metric"), train, valid, test, TAGS, 0).selection
    assert by_loss["by"] == "-loss"
    assert by_loss["value"] < 0 < by_metric["value"] <= 1
    assert by_loss["best_evaluation"] != by_metric["best_evaluation"]


def test_where_validation_is_trained_on_nothing_is_chosen():
    train, valid, test, _ = tagged_splits()
    both = small(train_on="train+valid", keep="last", patience=None, max_epochs=8)
    found = run_protocol(both, train, valid, test, TAGS, 0)
    assert found.selection["by"] is None
    assert found.selection["evaluations"] == 0
    alone = run_protocol(both.model_copy(update={"train_on": "train"}), train, valid, test, TAGS, 0)
    assert np.abs(found.predictions - alone.predictions).max() > 1e-3


def test_repeats_have_seeds_of_their_own():
    train, valid, test, _ = tagged_splits()
    found = run_protocol(small(repeats=3, hidden=[4]), train, valid, test, TAGS, 5)
    assert found.predictions.shape[0] == 3
    assert len({repeat.tobytes() for repeat in found.predictions}) == 3
    single = run_protocol(small(hidden=[4]), train, valid, test, TAGS, 5)
    # Trained beside the others, and the same.
    np.testing.assert_allclose(found.predictions[0], single.predictions[0], atol=1e-5)
    assert found.selection["repeats"][0] == pytest.approx(single.selection["value"], abs=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rate": [1e-7, 1e-2, 1e-1], "hidden": [[], [8]], "repeats": 2},
        {"examples": "random_window", "repeats": 3},
        {"train_on": "train+valid", "keep": "last", "patience": None, "repeats": 2},
        {"estimator": {"kind": "ridge", "parameters": {"alpha": [0.1, 1.0]}}, "repeats": 2},
    ],
)
def test_every_probe_is_counted_once_as_it_is_trained(changes):
    train, valid, test, _ = tagged_splits()
    protocol, counted = small(**changes), []
    run_protocol(protocol, train, valid, test, TAGS, 0, advance=counted.append)
    assert sum(counted) == protocol.probes
    assert min(counted) > 0
