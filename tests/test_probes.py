"""Probe training, selection on validation, and the way between windows and clips."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from probes.training import Examples, ProbeSettings, train_probe
from probes.windows import clip_means, per_window, take_clips

LINEAR = ProbeSettings((), standardise=False, batch=64, learning_rate=1e-2, weight_decay=0, max_epochs=60, patience=10)


def tagged(n, seed, noise=0.5):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 12)).astype(np.float32)
    directions = np.random.default_rng(99).normal(size=(12, 3))
    return Examples(features, (features @ directions + noise * rng.normal(size=(n, 3)) > 0).astype(np.uint8))


def test_linear_probe_learns_what_is_linear():
    probe = train_probe(tagged(600, 0), tagged(200, 1), "multilabel", 3, LINEAR, seed=0)
    test = tagged(500, 2)
    predicted = probe.predict(test.features)
    assert predicted.shape == (500, 3)
    assert ((predicted > 0.5) == test.labels).mean() > 0.9


def test_same_seed_same_probe():
    first, again, other = (
        train_probe(tagged(100, 0), tagged(50, 1), "multilabel", 3, LINEAR, seed=s) for s in (4, 4, 5)
    )
    x = tagged(20, 2).features
    assert np.array_equal(first.predict(x), again.predict(x))
    assert not np.array_equal(first.predict(x), other.predict(x))


def test_matches_a_plain_loop():
    """One epoch by hand: the same batches, the same Adam, the same weights."""
    train, valid = tagged(96, 0), tagged(40, 1)
    settings = ProbeSettings((), False, batch=32, learning_rate=1e-2, weight_decay=1e-3, max_epochs=1, patience=1)
    probe = train_probe(train, valid, "multilabel", 3, settings, seed=7)

    g = torch.Generator().manual_seed(7)
    weight = torch.empty(3, 12).uniform_(-(12**-0.5), 12**-0.5, generator=g).requires_grad_()
    bias = torch.empty(3).uniform_(-(12**-0.5), 12**-0.5, generator=g).requires_grad_()
    adam = torch.optim.Adam([weight, bias], 1e-2, weight_decay=1e-3)
    x, y = torch.from_numpy(train.features), torch.from_numpy(train.labels).float()
    for batch in torch.randperm(96, generator=g).split(32):
        adam.zero_grad()
        p = torch.sigmoid(x[batch] @ weight.T + bias)
        (-(y[batch] * p.log() + (1 - y[batch]) * (1 - p).log()).mean()).backward()
        adam.step()
    expected = torch.sigmoid(torch.from_numpy(valid.features) @ weight.T + bias).detach()
    np.testing.assert_allclose(probe.predict(valid.features), expected, atol=1e-5)


def test_best_epoch_is_kept_not_the_last():
    """Noise labels and many features: the probe overfits, and validation loss rises after its minimum."""
    rng = np.random.default_rng(0)
    train = Examples(rng.normal(size=(40, 60)).astype(np.float32), rng.integers(0, 2, (40, 1)))
    valid = Examples(rng.normal(size=(40, 60)).astype(np.float32), rng.integers(0, 2, (40, 1)))
    probe = train_probe(train, valid, "multilabel", 1, LINEAR, seed=0)
    assert len(probe.valid_losses) == probe.best_epoch + 1 + LINEAR.patience
    assert probe.valid_losses[probe.best_epoch] == min(probe.valid_losses)
    p = probe.predict(valid.features).astype(np.float64)
    loss = -(valid.labels * np.log(p) + (1 - valid.labels) * np.log(1 - p)).mean()
    assert loss == pytest.approx(min(probe.valid_losses), abs=1e-5)


def test_standardising_makes_scale_irrelevant():
    train, valid = tagged(300, 0), tagged(100, 1)
    scale = np.geomspace(1e-3, 1e3, 12).astype(np.float32)
    settings = ProbeSettings((8,), True, 64, 1e-2, 0, 20, 5)
    plain = train_probe(train, valid, "multilabel", 3, settings, seed=0)
    scaled = train_probe(
        Examples(train.features * scale + 5, train.labels),
        Examples(valid.features * scale + 5, valid.labels),
        "multilabel",
        3,
        settings,
        seed=0,
    )
    np.testing.assert_allclose(scaled.predict(valid.features * scale + 5), plain.predict(valid.features), atol=0.02)


def test_multiclass_and_regression():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4)).astype(np.float32)
    classes = x[:, :3].argmax(axis=1)[:, None]
    probe = train_probe(Examples(x[:300], classes[:300]), Examples(x[300:], classes[300:]), "multiclass", 3, LINEAR, 0)
    predicted = probe.predict(x[300:])
    np.testing.assert_allclose(predicted.sum(axis=1), 1, atol=1e-5)
    assert (predicted.argmax(axis=1) == classes[300:, 0]).mean() > 0.85
    values = (x @ np.array([1.0, -2, 0, 0.5]))[:, None]
    settings = replace(LINEAR, learning_rate=5e-2)
    probe = train_probe(Examples(x[:300], values[:300]), Examples(x[300:], values[300:]), "regression", 1, settings, 0)
    assert np.abs(probe.predict(x[300:]) - values[300:]).mean() < 0.05


def test_features_that_never_vary_do_no_harm():
    x = np.ones((50, 3), np.float32)
    labels = np.random.default_rng(0).integers(0, 2, (50, 2))
    settings = ProbeSettings((), True, 16, 1e-2, 0, 5, 5)
    assert np.isfinite(
        train_probe(Examples(x, labels), Examples(x, labels), "multilabel", 2, settings, 0).predict(x)
    ).all()


def test_no_examples_is_an_error():
    empty = Examples(np.zeros((0, 12), np.float32), np.zeros((0, 3)))
    with pytest.raises(ValueError, match="needs training and validation"):
        train_probe(tagged(10, 0), empty, "multilabel", 3, LINEAR, 0)


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=8), data=st.data())
def test_windows_find_their_clips(sizes, data):
    first = np.concatenate([[0], np.cumsum(sizes)])
    rows = np.arange(first[-1] * 2, dtype=np.float32).reshape(-1, 2)
    chosen = np.array(data.draw(st.lists(st.sampled_from(range(len(sizes))), min_size=1)))
    taken, starts = take_clips(rows, first, chosen)
    means = clip_means(taken, starts)
    for k, clip in enumerate(chosen):
        own = rows[first[clip] : first[clip + 1]]
        assert np.array_equal(taken[starts[k] : starts[k + 1]], own)
        np.testing.assert_allclose(means[k], own.mean(axis=0), rtol=1e-6)
    assert per_window(chosen[:, None], starts)[:, 0].tolist() == [c for c in chosen for _ in range(sizes[c])]


def test_a_clip_without_windows_is_an_error():
    with pytest.raises(ValueError, match="at least one window"):
        clip_means(np.zeros((2, 3), np.float32), np.array([0, 2, 2]))
