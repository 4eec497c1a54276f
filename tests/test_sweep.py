"""Probes trained together end exactly where each would end alone."""

import threading
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from benchmark.console import Silent
from benchmark.speed import probe as probe_speed
from probes import sweep
from probes.draws import initial_layers
from probes.objectives import objective_of
from probes.protocol import Member, Protocol
from probes.reference import _forward, train_alone
from probes.stack import Stack
from probes.sweep import Track, rate_factor, train_seeds, train_sweep
from probes.validation import negative_losses

rng = np.random.default_rng(0)
X = (rng.normal(size=(150, 12)) * np.geomspace(0.3, 3, 12)).astype(np.float32)
X_VALID = rng.normal(size=(60, 12)).astype(np.float32)
DIRECTIONS = rng.normal(size=(12, 5))


def targets(features, kind, seed):
    found = features @ DIRECTIONS + np.random.default_rng(seed).normal(size=(len(features), 5))
    if kind == "multilabel":
        return (found > 0).astype(np.float32)
    if kind == "multiclass":
        return np.eye(5, dtype=np.float32)[found.argmax(axis=1)]
    return found.astype(np.float32)


def judge_for(kind):
    y = torch.from_numpy(targets(X_VALID, kind, 2))
    return lambda outputs: negative_losses(outputs, y, objective_of(kind))


def grid(hidden):
    return [
        Member(standardise, hidden, dropout, batch, rate, decay)
        for standardise in (False, True)
        for dropout in (0.0, 0.25, 0.75)
        for batch in (64, 32)
        for rate in (1e-3, 1e-1)
        for decay in (0.0, 1e-2)
    ]


def course_of(**numbers):
    """How training proceeds; what a member says is of no meaning here."""
    length = {} if {"max_steps", "max_epochs"} & numbers.keys() else {"max_epochs": 1}
    member = dict(standardise=False, hidden=(), batch=1, learning_rate=1.0, weight_decay=0.0)
    return Protocol(examples="windows", **member, **length, **numbers)


COURSES = {
    "linear, stopped early": ("multilabel", (), course_of(max_epochs=8, patience=2)),
    "hidden, evaluated within epochs": ("multilabel", (16,), course_of(max_epochs=8, patience=2, evaluate_every=3)),
    "two layers, cosine, decoupled decay": (
        "multiclass",
        (8, 8),
        course_of(dropout_input=False, max_epochs=6, schedule="cosine", warmup_steps=5, decay="decoupled"),
    ),
    "outputs dropped, each class by itself, biases kept": (
        "multiclass",
        (),
        course_of(
            max_steps=20,
            dropout_input=False,
            dropout_output=True,
            loss="binary",
            decay_biases=False,
            schedule="cosine",
            warmup_steps=5,
            warmup_to=4.0,
            epsilon=1e-3,
        ),
    ),
    "hidden, outputs dropped": (
        "regression",
        (8,),
        course_of(max_epochs=4, dropout_output=True, decay_biases=False, decay="decoupled"),
    ),
    "plateau, last weights": (
        "regression",
        (8,),
        course_of(max_epochs=25, schedule="plateau", patience=12, keep="last"),
    ),
}


@pytest.mark.parametrize("name", COURSES)
def test_every_member_is_what_it_would_be_alone(name):
    kind, hidden, course = COURSES[name]
    members, judge = grid(hidden), judge_for(kind)
    y = targets(X, kind, 1)
    together = train_sweep(X, y, X_VALID, judge, kind, members, course, seed=3)
    # Configurations end at different times; that is what the stack must survive.
    if course.patience is not None:
        assert len({probe.steps for probe in together}) > 3
    for member, probe in list(zip(members, together, strict=True))[::3]:
        alone = train_alone(X, y, X_VALID, judge, kind, member, course, seed=3)
        assert (probe.member, probe.best, probe.steps) == (member, alone.best, alone.steps)
        np.testing.assert_allclose(probe.values, alone.values, atol=1e-4)
        np.testing.assert_allclose(probe.outputs(X_VALID), alone.outputs(X_VALID), atol=1e-4)


def test_a_sweep_in_several_threads_is_the_same(monkeypatch):
    members, course, judge = grid((16,)), course_of(max_epochs=4, patience=2), judge_for("multilabel")
    y = targets(X, "multilabel", 1)
    alone = train_sweep(X, y, X_VALID, judge, "multilabel", members, course, seed=1)
    seen = set()

    def watched(outputs):
        seen.add((threading.get_ident(), torch.get_num_threads()))
        return judge(outputs)

    monkeypatch.setattr(sweep, "PER_THREAD", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        found = train_sweep(X, y, X_VALID, watched, "multilabel", members, course, seed=1)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert threading.get_ident() not in {thread for thread, _ in seen}
    assert {threads for _, threads in seen} == {1}
    for one, other in zip(alone, found, strict=True):
        assert (one.member, one.steps, one.best) == (other.member, other.steps, other.best)
        np.testing.assert_allclose(one.outputs(X_VALID), other.outputs(X_VALID), atol=1e-5)


def test_a_sweep_too_large_for_one_stack_is_the_same(monkeypatch):
    members, course, judge = grid((16,)), course_of(max_epochs=2), judge_for("multilabel")
    y = targets(X, "multilabel", 1)
    whole = train_sweep(X, y, X_VALID, judge, "multilabel", members, course, seed=1)
    monkeypatch.setattr(sweep, "STACKED", 3 * (12 * 16 + 16 * 5))
    parts = train_sweep(X, y, X_VALID, judge, "multilabel", members, course, seed=1)
    for one, other in zip(whole, parts, strict=True):
        assert one.member == other.member
        np.testing.assert_allclose(one.outputs(X_VALID), other.outputs(X_VALID), atol=1e-5)


def test_the_speed_is_measured_beside_a_loop_that_ends_the_same(monkeypatch):
    for name, value in {"TRAIN": 300, "VALID": 60, "DIM": 8, "TAGS": 3}.items():
        monkeypatch.setattr(probe_speed, name, value)

    def timed(train, *arguments):
        """A second for each step, of one probe or of many at once."""
        course = next(each for each in arguments if isinstance(each, Protocol))
        return train(*arguments), float(course.max_steps)

    monkeypatch.setattr(probe_speed, "_timed", timed)
    result = probe_speed.measure(Silent(), share=0.25)
    assert result["configurations"] == 216
    assert result["largest_difference"] < 1e-4
    # Two widths and two sizes of a batch, each a sweep of its own.
    assert [one["ratio"] for one in result["by_kind"]] == pytest.approx([54] * 4)
    assert result["ratio"] == pytest.approx(54)
    assert "54.0 times as fast" in probe_speed.table(result)


def test_shapes_and_seeds_can_be_mixed():
    members = [*grid(())[:3], *grid((4,))[:3], *grid(())[-2:]]
    course, judge = course_of(max_epochs=3), judge_for("multilabel")
    y = targets(X, "multilabel", 1)
    mixed = train_sweep(X, y, X_VALID, judge, "multilabel", members, course, seed=1)
    assert [probe.member for probe in mixed] == members
    for member, probe in zip(members, mixed, strict=True):
        (single,) = train_sweep(X, y, X_VALID, judge, "multilabel", [member], course, seed=1)
        np.testing.assert_allclose(probe.outputs(X_VALID), single.outputs(X_VALID), atol=1e-5)
        (other,) = train_sweep(X, y, X_VALID, judge, "multilabel", [member], course, seed=2)
        assert np.abs(probe.outputs(X_VALID) - other.outputs(X_VALID)).max() > 1e-3


@pytest.mark.parametrize("name", ["hidden, evaluated within epochs", "two layers, cosine, decoupled decay"])
def test_seeds_trained_together_are_what_each_would_be(name, monkeypatch):
    kind, hidden, course = COURSES[name]
    members, judge, seeds = grid(hidden)[::3], judge_for(kind), (7, 0, 3)
    y = targets(X, kind, 1)
    together = train_seeds(X, y, X_VALID, judge, kind, members, course, seeds)
    # So little fits in a stack that seeds share one only in part.
    monkeypatch.setattr(sweep, "STACKED", 5 * sum(a * b for a, b in pairwise([12, *hidden, 5])))
    for seed, own, parts in zip(
        seeds, together, train_seeds(X, y, X_VALID, judge, kind, members, course, seeds), strict=True
    ):
        single = train_sweep(X, y, X_VALID, judge, kind, members, course, seed)
        for probe, part, alone in zip(own, parts, single, strict=True):
            assert probe.member == part.member == alone.member
            assert (probe.best, probe.steps) == (part.best, part.steps) == (alone.best, alone.steps)
            np.testing.assert_allclose(probe.outputs(X_VALID), alone.outputs(X_VALID), atol=1e-4)
            np.testing.assert_allclose(part.outputs(X_VALID), alone.outputs(X_VALID), atol=1e-4)
    reference = train_alone(X, y, X_VALID, judge, kind, members[1], course, seed=3)
    np.testing.assert_allclose(together[2][1].outputs(X_VALID), reference.outputs(X_VALID), atol=1e-4)
    assert np.abs(together[0][0].outputs(X_VALID) - together[1][0].outputs(X_VALID)).max() > 1e-3


@settings(max_examples=30)
@given(
    kind=st.sampled_from(["multilabel", "some tags", "multiclass", "regression", "distribution"]),
    hidden=st.sampled_from([(), (3,), (3, 4)]),
    dropout=st.sampled_from([0.0, 0.4]),
    seed=st.integers(0, 99),
)
def test_gradients_are_those_of_autograd(kind, hidden, dropout, seed):
    values = targets(X[:20], kind, seed)
    if kind == "some tags":
        kind = "multilabel"
        values = np.where(np.random.default_rng(seed).random((20, 5)) < 0.3, -1, targets(X[:20], kind, seed))
    if kind == "distribution":
        values = np.exp(values) / np.exp(values).sum(axis=1, keepdims=True)
    x, y = torch.from_numpy(X[:20]), torch.from_numpy(values.astype(np.float32))
    member = Member(False, hidden, dropout, 20, 0.1, 0.0)
    course = course_of(max_steps=1)
    stack = Stack([member] * 2, [seed] * 2, {False: x}, y, kind, course, {seed: torch.Generator().manual_seed(seed)})
    layers = []
    for weight, bias in stack.layers_of(1):
        layers.append(torch.nn.Linear(*weight.T.shape))
        layers[-1].load_state_dict({"weight": weight, "bias": bias})
    stack.step({seed: torch.arange(20)}, 1.0)
    objective = objective_of(kind).for_targets(y)
    objective.loss(_forward(layers, x, member, course, seed, 0), y).backward()
    expected = [parameter.grad for layer in layers for parameter in layer.parameters()]
    for found, gradient in zip(stack._gradients, expected, strict=True):
        np.testing.assert_allclose(found[0], gradient, atol=1e-6, rtol=1e-4)
        np.testing.assert_allclose(found[1], gradient, atol=1e-6, rtol=1e-4)


def test_dropping_inputs_keeps_their_expectation():
    """With half of the features dropped, a linear probe's mean gradient step is that of the whole features."""
    x = torch.ones(4000, 3)
    y = torch.zeros(4000, 1)
    stack = Stack(
        [Member(False, (), 0.5, 4000, 0.0, 0.0)],
        [0],
        {False: x},
        y,
        "regression",
        course_of(max_steps=1),
        {0: torch.Generator().manual_seed(0)},
    )
    (weight, bias), *_ = stack.layers_of(0)
    stack.step({0: torch.arange(4000)}, 1.0)
    # d/dw of mean (w·m x + b)^2 with masks m of 0 or 2: E[m] = 1, E[m_i m_j] = 1, E[m_i^2] = 2.
    expected = 2 * (weight.sum() + bias + weight)
    np.testing.assert_allclose(stack._gradients[0][0], expected, rtol=0.2, atol=0.1)


def test_plateau_falls_as_pytorch_does():
    losses = [1.0, 0.9, *[0.95] * 14, 0.5, *[0.6] * 7]
    parameter = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.SGD([parameter], 1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, factor=0.1, patience=5)
    track, course = Track(), course_of(schedule="plateau", max_epochs=99)
    for loss in losses:
        theirs.step(loss)
        track.add(-loss, course)
        assert track.factor == pytest.approx(optimiser.param_groups[0]["lr"])
    assert track.factor < 0.05


def test_cosine_rises_and_falls_to_zero():
    course = course_of(schedule="cosine", warmup_steps=10, max_steps=110)
    factors = [rate_factor(course, step, 110) for step in range(111)]
    assert factors[0] == 0
    assert factors[5] == pytest.approx(0.5)
    assert factors[10] == 1
    assert factors[60] == pytest.approx(0.5)
    assert factors[110] == pytest.approx(0, abs=1e-12)


def test_the_rise_may_lead_higher_than_where_the_cosine_begins():
    """As MULE's configuration for MuMu: up to 1e-3, then down from 1e-4."""
    course = course_of(schedule="cosine", warmup_steps=1000, warmup_to=1e-3, max_steps=30_000)
    course = course.model_copy(update={"learning_rate": 1e-4})
    rates = np.array([1e-4 * rate_factor(course, step, 30_000) for step in (0, 500, 999, 1000, 15_500, 30_000)])
    np.testing.assert_allclose(rates, [0, 5e-4, 9.99e-4, 1e-4, 5e-5, 0], atol=1e-12)
    for changed in ({"learning_rate": (1e-3, 1e-4)}, {"warmup_steps": 0}):
        numbers = course.model_dump() | changed
        with pytest.raises(ValueError, match="warmup_to belongs to warmup_steps and one learning_rate"):
            Protocol(**numbers)


def test_weights_alone_decay_as_a_penalty_on_them_in_the_loss():
    """Keras's L2 of l is l times the sum of squares in the loss, so 2 l in the gradient."""
    y = targets(X, "multiclass", 1)
    member = Member(False, (8,), 0.0, len(X), 0.02, 2 * 0.03)
    course = course_of(max_steps=12, decay_biases=False, loss="binary", epsilon=1e-7, keep="last")
    (found,) = train_sweep(X, y, None, None, "multiclass", [member], course, seed=4)
    layers = initial_layers([12, 8, 5], torch.Generator().manual_seed(4))
    numbers = [tensor.double().requires_grad_() for layer in layers for tensor in layer]
    optimiser = torch.optim.Adam(numbers, 0.02, eps=1e-7)
    x, wanted = torch.from_numpy(X).double(), torch.from_numpy(y).double()
    for _ in range(12):
        optimiser.zero_grad()
        logits = F.relu(x @ numbers[0].T + numbers[1]) @ numbers[2].T + numbers[3]
        penalty = 0.03 * (numbers[0].square().sum() + numbers[2].square().sum())
        (F.binary_cross_entropy_with_logits(logits, wanted) + penalty).backward()
        optimiser.step()
    for mine, theirs in zip([tensor for layer in found.layers for tensor in layer], numbers, strict=True):
        np.testing.assert_allclose(mine, theirs.detach(), atol=2e-5)


def test_a_judge_that_says_nan_never_wins():
    track, course = Track(), course_of(patience=2)
    assert track.add(float("nan"), course)
    assert track.add(0.3, course)
    assert not track.add(float("nan"), course)
    assert track.best == 1
    lost = Track()
    assert [lost.add(float("nan"), course) for _ in range(3)] == [True, False, False]
    assert lost.bored(course)


def test_losses_are_pytorchs():
    outputs = torch.from_numpy(rng.normal(size=(3, 60, 5)).astype(np.float32))
    y = torch.from_numpy(targets(X_VALID, "multilabel", 2))
    expected = [-F.binary_cross_entropy_with_logits(own, y).item() for own in outputs]
    np.testing.assert_allclose(negative_losses(outputs, y, objective_of("multilabel")), expected, rtol=1e-6)


def test_no_examples_is_an_error():
    y = targets(X, "multilabel", 1)
    with pytest.raises(ValueError, match="needs training and validation"):
        train_sweep(X, y, X_VALID[:0], judge_for("multilabel"), "multilabel", grid(())[:1], course_of(max_epochs=1), 0)


def test_features_that_never_vary_do_no_harm():
    ones = np.ones((50, 3), np.float32)
    y = np.random.default_rng(0).integers(0, 2, (50, 2)).astype(np.float32)
    (probe,) = train_sweep(
        ones, y, None, None, "multilabel", [Member(True, (), 0.0, 16, 1e-2, 0.0)], course_of(max_epochs=5), 0
    )
    assert np.isfinite(probe.outputs(ones)).all()
