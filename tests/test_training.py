"""The loop around a pretraining: stopped and gone on with, made longer, watched, kept at chosen epochs."""

import csv
import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_encoder import Plain
from safetensors.torch import load_file, save_file
from torch.utils._python_dispatch import TorchDispatchMode
from training_steps import Quiet, finish, inputs, plain, pretrain_step, recipe

from benchmark.encoding.windows import build_encoder
from benchmark.errors import UserError
from benchmark.pretraining import crops as crops_module
from benchmark.pretraining import training
from benchmark.pretraining.continuation import adopt
from benchmark.pretraining.crops import Crops, CropSampler
from benchmark.pretraining.curve import Curve, rows_end_at
from benchmark.pretraining.curve_file import CURVE, read_probe_scores, write_curve
from benchmark.pretraining.items import items_of
from benchmark.pretraining.measures import MEASURES, collapse, measure
from benchmark.pretraining.methods.contrastive import ContrastiveModule
from benchmark.pretraining.ntxent import similarities
from benchmark.pretraining.ridge import rate, ridge, validation_probe
from benchmark.registry.methods import ContrastiveRecipe
from benchmark.steps.pretrain import compute
from benchmark.store.file_names import LABELS, WEIGHTS
from benchmark.store.labels import read_labels
from benchmark.store.pcm import open_pcm
from benchmark.store.store import JOURNAL, Artifact
from tasks.base import Task
from tasks.targets import Classes, Tags, Values


def run(folder, name, context=None, spec=None, taken=None, encoder=None, **changes):
    encoder = encoder or plain()
    work = folder / name
    work.mkdir(exist_ok=True)
    step = pretrain_step(encoder, context, spec, **changes)
    reporter = Quiet()
    facts = compute(step, taken or inputs(folder, encoder), work, reporter)
    return work, facts, reporter, step


def same(one, two, *names):
    for name in names or ("encoder.safetensors", CURVE):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"schedule": "cosine"},
        {"optimiser": {"kind": "lars", "momentum": 0.9, "trust": 0.01}},
        {"schedule": "cosine", "warmup_steps": 3, "optimiser": {"kind": "adamw"}},
    ],
)
def test_a_training_that_was_stopped_ends_as_one_that_was_not(tmp_path, monkeypatch, changes):
    encoder = plain(dropout=0.3)  # whatever is random inside an encoder goes on as well
    whole, facts, _, _ = run(tmp_path, "whole", encoder=encoder, epochs=4, **changes)
    assert facts["steps"] == 8

    def save_and_stop(trainer, path, save=training.save_state):
        save(trainer, path)
        if trainer.global_step == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)
    monkeypatch.setattr(training, "CHECKPOINT_SHARE", 0)
    monkeypatch.setattr(training, "save_state", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "parted", encoder=encoder, epochs=4, **changes)
    monkeypatch.undo()
    parted, _, reporter, _ = run(tmp_path, "parted", encoder=encoder, epochs=4, **changes)
    assert "pretrain plain: from 20" in reporter.lines
    same(whole, parted)


def test_a_longer_training_goes_on_from_a_shorter_one(tmp_path):
    taken = inputs(tmp_path, plain())
    short, facts, _, step = run(tmp_path, "short", taken=taken, epochs=2, keep_epochs=(1,))
    shorter, its_facts, _, its_step = run(tmp_path, "shorter", taken=taken, epochs=1)
    finished = [finish(its_step, taken, shorter, its_facts), finish(step, taken, short, facts)]
    whole, _, _, _ = run(tmp_path, "whole", taken=taken, epochs=5, keep_epochs=(1, 3))
    context = {"finished": lambda: finished}
    long, _, reporter, _ = run(tmp_path, "long", context, taken=taken, epochs=5, keep_epochs=(1, 3))
    assert "pretrain plain: a shorter training of 4 steps is there; going on from it" in reporter.lines
    same(whole, long, "encoder.safetensors", CURVE, "epoch-00001.safetensors", "epoch-00003.safetensors")
    kept = load_file(whole / "epoch-00001.safetensors")
    for name, value in load_file(shorter / "encoder.safetensors").items():
        assert torch.equal(kept[name], value)


def test_what_is_no_beginning_of_a_training_is_not_gone_on_from(tmp_path):
    taken = inputs(tmp_path, plain())
    short, facts, _, step = run(tmp_path, "short", taken=taken, epochs=2)
    artifact = finish(step, taken, short, facts)
    work = tmp_path / "work"
    work.mkdir()

    def adopted(found=artifact, given=taken, spec=None, **changes):
        return adopt(pretrain_step(plain(), None, spec, **{"epochs": 5, **changes}), given, work, [found], 10)

    assert adopted(schedule="cosine") == 0
    assert adopted(batch=5) == 0
    assert adopted(spec={"seed": 1}) == 0
    assert adopted(keep_epochs=(1,)) == 0  # it did not keep them
    assert adopted(keep_epochs=(4,)) == 4
    (work / "last.ckpt").unlink()
    other = {**taken, "pcm": Artifact(taken["pcm"].path, {**taken["pcm"].manifest, "digest": "other"})}
    assert adopted(given=other) == 0
    # The same weights in an encoder of other arguments: another front end, other branches.
    other = {**taken, "start": Artifact(taken["start"].path, {**taken["start"].manifest, "key": "other"})}
    assert adopted(given=other) == 0
    older = Artifact(artifact.path, {**artifact.manifest, "key": "left by another version"})
    assert adopted(older) == 0
    assert [path.name for path in work.iterdir()] == [JOURNAL]
    assert adopt(pretrain_step(plain(), epochs=2), taken, work, [artifact], 4) == 0  # not longer
    assert adopted() == 4
    assert adopted() == 0  # what is there already is as far


@pytest.mark.parametrize("policy", ["views", "joint"])
def test_chunks_of_a_batch_have_the_gradient_of_the_whole(tmp_path, policy):
    taken = inputs(tmp_path, plain())
    pcm = open_pcm(taken["pcm"].path, taken["pcm"].manifest)
    items = items_of(pcm.clips, "clip", 2187)
    gradients, losses = [], []
    for chunk in (None, 1, 3, 4):
        numbers = ContrastiveRecipe.model_validate(
            {"source": "", **recipe(batch=7, chunk=chunk, batch_norm=policy)}, strict=False
        )
        sampler = CropSampler([item.samples for item in items], 2187, 7, 0)
        crops = Crops(pcm, items, 2187, torch.device("cpu"))
        module = ContrastiveModule(build_encoder(plain(), 0), numbers, crops, sampler, 0, 10)
        module.trainer = type("Trainer", (), {"global_step": 0, "global_rank": 0})()
        module.manual_backward, module.move = (lambda loss: loss.backward()), lambda: None
        module.training_step(None, 0)
        gradients.append([parameter.grad for parameter in module.parameters()])
        losses.append(module.latest[0].item())
    for found in gradients[1:]:
        for ours, expected in zip(found, gradients[0], strict=True):
            torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)
    assert losses == pytest.approx([losses[0]] * 4, abs=1e-5)
    assert max(gradient.abs().max() for gradient in gradients[0]) > 1e-3


class Normed(Plain):
    """With batch norm of one number a window."""

    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(self.dim)

    def represent(self, waveform, layers=()):
        return self.norm(super().represent(waveform)[0]), {}


def test_a_pair_alone_in_a_chunk_is_refused_where_batch_norm_cannot_have_it(tmp_path):
    taken = inputs(tmp_path, plain())
    pcm = open_pcm(taken["pcm"].path, taken["pcm"].manifest)
    items = items_of(pcm.clips, "clip", 2187)
    for chunk, policy in ((3, "views"), (3, "joint"), (5, "views")):
        numbers = {"source": "", **recipe(batch=7, chunk=chunk, batch_norm=policy)}
        sampler = CropSampler([item.samples for item in items], 2187, 7, 0)
        crops = Crops(pcm, items, 2187, torch.device("cpu"))
        module = ContrastiveModule(
            Normed(), ContrastiveRecipe.model_validate(numbers, strict=False), crops, sampler, 0, 10
        )
        module.trainer = type("Trainer", (), {"global_step": 0, "global_rank": 0})()
        module.manual_backward, module.move = (lambda loss: loss.backward()), lambda: None
        if (chunk, policy) == (3, "views"):
            with pytest.raises(UserError, match="chunk=3 leaves one of 7 pairs alone, .*; choose another chunk"):
                module.training_step(None, 0)
        else:
            module.training_step(None, 0)
            assert module.latest.isfinite().all()


def test_nothing_of_a_corpus_is_held_on_to_after_its_training(tmp_path, monkeypatch):
    cut = []

    class Watched(Crops):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            cut.append((weakref.ref(self), weakref.ref(self._resident) if self._resident is not None else None))

    # As a GPU holds the corpus.
    monkeypatch.setattr(crops_module, "_has_memory_of_its_own", lambda device: True)
    monkeypatch.setattr("benchmark.pretraining.method_run.Crops", Watched)
    gc.disable()  # Lightning leaves cycles, which are collected at some time or other
    try:
        run(tmp_path, "work")
        (resident,) = [resident for _, resident in cut if resident is not None]
        assert resident() is None
        assert all(crops() is None or crops()._pool._shutdown for crops, resident in cut if resident is not None)
        cut.clear()
        with pytest.raises(UserError, match="the loss is nan"):
            run(tmp_path, "failed", learning_rate=1e30, epochs=10)
        (resident,) = [resident for _, resident in cut if resident is not None]
        assert resident() is None
    finally:
        gc.enable()


def test_what_can_be_freed_counts_as_free(monkeypatch):
    """A corpus of 8 bytes fits 16 of free memory, all of which an earlier training seems to hold."""
    memory = {"cached": 0, "free": 0}

    class Left:
        def __init__(self):
            self.itself = self

    def emptied():
        memory.update(cached=0, free=memory["free"] + memory["cached"])

    weakref.finalize(Left(), lambda: memory.update(cached=17))
    assert memory == {"cached": 0, "free": 0}
    monkeypatch.setattr(torch.cuda, "empty_cache", emptied)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (memory["free"], 100))
    item = type("Item", (), {"samples": 4})()
    assert crops_module._fitting([item], torch.device("cuda")) == "device"
    assert crops_module._fitting([item, item], torch.device("cuda")) == "stream"


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_float32_is_not_tensorfloat32(tmp_path, monkeypatch, precision):
    def allowed():
        return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32

    before, found = allowed(), []

    def step(self, *arguments, step=ContrastiveModule.training_step):
        found.append(allowed())
        return step(self, *arguments)

    monkeypatch.setattr(ContrastiveModule, "training_step", step)
    run(tmp_path, "work", {"precision": precision})
    assert before[0]  # PyTorch's default, for convolutions
    assert set(found) == {(False, False) if precision == "32-true" else before}
    assert allowed() == before


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path):
    with pytest.raises(UserError, match="pretrain plain: the loss is nan at step .*; lower --learning-rate"):
        run(tmp_path, "work", learning_rate=1e30, epochs=10)
    assert not (tmp_path / "work" / "encoder.safetensors").exists()


def test_a_collapse_stops_the_training(tmp_path):
    # An encoder that answers the same to everything, and hardly learns.
    encoder = plain()
    taken = inputs(tmp_path, encoder)
    weights = load_file(taken["start"].path / WEIGHTS)
    weights["network.2.weight"].zero_()
    weights["network.2.bias"].fill_(1.0)
    save_file(weights, taken["start"].path / WEIGHTS)
    with pytest.raises(UserError, match=r"pretrain plain: step \d+: .* one representation \(collapse\)"):
        run(tmp_path, "work", taken=taken, encoder=encoder, learning_rate=1e-12, epochs=30)


def test_measures_of_known_arrangements():
    z = torch.eye(4, dtype=torch.float64)
    apart = dict(zip(MEASURES, measure(z, z, z).tolist(), strict=True))
    assert apart["positive"] == pytest.approx(1)
    assert apart["negative"] == pytest.approx(0)
    assert apart["alignment"] == pytest.approx(0)
    assert apart["uniformity"] == pytest.approx(-4)  # all other items at distance sqrt(2)
    assert apart["spread"] == pytest.approx(0.75**0.5)
    point = dict(
        zip(MEASURES, measure(z[:1].repeat(6, 1), z[:1].repeat(3, 1), z[:1].repeat(3, 1)).tolist(), strict=True)
    )
    assert point["uniformity"] == pytest.approx(0, abs=1e-6)
    assert point["spread"] == 0
    assert "one representation" in collapse(point)
    assert "one point" in collapse(point | {"spread": 0.3})
    assert collapse(apart) is None


class Operations(TorchDispatchMode):
    """Notes what is computed."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("n", [2, 3, 8])
def test_measures_need_no_answer_from_the_device(n):
    torch.manual_seed(n)
    h, z_i, z_j = torch.randn(2 * n, 5), torch.randn(n, 6), torch.randn(n, 6)
    with Operations() as done:
        found = dict(zip(MEASURES, measure(h, z_i, z_j), strict=True))
    assert "mm" in done.names
    # Each of these has the processor wait until the device has counted what a mask selects, or handed over a number.
    assert not done.names & {"index", "nonzero", "masked_select", "_local_scalar_dense"}
    others = similarities(z_i, z_j)[~torch.eye(n, dtype=torch.bool).repeat(2, 2)].double()
    assert len(others) == 2 * n * (2 * n - 2)
    assert found["negative"].item() == pytest.approx(others.mean().item(), abs=1e-6)
    assert found["uniformity"].item() == pytest.approx((4 * others - 4).exp().mean().log().item(), abs=1e-6)


@pytest.mark.parametrize(("epochs", "every"), [(30, 1), (100, 1), (100, 7)])
def test_every_score_of_a_probe_is_kept(tmp_path, epochs, every):
    """At 194 steps an epoch most epochs end within a row of the curve."""
    curve = Curve(("loss",))
    for step in range(194 * epochs):
        curve.add(step, torch.tensor([float(step)]))
    scores = {194 * epoch - 1: epoch / 1000 for epoch in range(every, epochs + 1, every)}
    write_curve(tmp_path, curve.table(), 194, scores)
    assert read_probe_scores(tmp_path) == [(epoch, epoch / 1000) for epoch in range(every, epochs + 1, every)]
    rows = list(csv.DictReader((tmp_path / CURVE).open()))
    assert [int(row["step"]) for row in rows] == sorted({int(row["step"]) for row in rows})
    values = [(int(row["step"]) - 1, row["loss"]) for row in rows if row["loss"]]
    assert values == [(step, f"{row['loss']:.6g}") for step, row in curve.table()]


@settings(max_examples=25)
@given(st.integers(1, 9_000), st.integers(0, 9_000))
def test_a_curve_is_the_same_however_it_was_interrupted(steps, stop):
    stop = min(stop, steps)
    values = torch.arange(steps, dtype=torch.float64)[:, None]
    once, twice = Curve(["loss"]), Curve(["loss"])
    for step in range(steps):
        if step == stop:
            state, twice = twice.state(), Curve(["loss"])
            twice.restore(state)
        once.add(step, values[step])
        twice.add(step, values[step])
    assert once.table() == twice.table()
    table = once.table()
    assert len(table) <= 1000 + 500 * max(0, np.log2(max(steps, 1) / 1000) + 1)
    assert [step for step, _ in table] == [step for step in range(steps) if rows_end_at(step)]
    before = -1
    for step, row in table:
        assert row["loss"] == pytest.approx((before + 1 + step) / 2)  # the mean over its steps
        before = step


def test_a_training_says_how_it_is_doing(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "SAY_EVERY", 0.0)
    monkeypatch.setattr(training, "LOOK_EVERY", 2)
    _, facts, reporter, _ = run(tmp_path, "work", epochs=2)
    lines = [line for line in reporter.lines if line.startswith("  epoch ")]
    assert [line.split(":")[0] for line in lines[:2]] == ["  epoch 1.00 of 2.00", "  epoch 2.00 of 2.00"]
    assert all(name in lines[0] for name in ("loss", *MEASURES, "clips/s", "waiting for input"))
    assert facts["clips_per_second"] > 0
    assert 0 <= facts["input_wait"] <= 1
    card = (tmp_path / "work" / "card.md").read_text()
    assert "10 clips" in card and "Test clips of the dataset's own division among them: 0" in card
    assert "clips_per_second" not in card  # the same training gives the same card


def labels(folder, kind="multilabel"):
    clips = open_pcm(folder / "pcm", {"spec": {"sample_rate": 1}}).clips
    found = np.array([[n // 6, n % 3 == 0] for n in range(len(clips))]).astype(np.int64)
    (folder / "labels").mkdir(exist_ok=True)
    np.savez(
        folder / "labels" / LABELS,
        kind=np.array(kind),
        clip_ids=np.array([clip.id for clip in clips]),
        splits=np.array([clip.split for clip in clips]),
        labels=found,
        label_names=np.array(["a", "b"]),
        groups=np.array([clip.id for clip in clips]),
    )
    return Artifact(folder / "labels", {"key": "l", "digest": "labels"})


def test_a_probe_every_so_many_epochs_is_a_column_of_the_curve(tmp_path):
    taken = inputs(tmp_path, plain())
    taken["labels"] = labels(tmp_path)
    plainly, _, _, _ = run(tmp_path, "plainly", taken=taken, epochs=4)
    watched, facts, reporter, _ = run(tmp_path, "watched", taken=taken, spec={"probe_every": 2}, epochs=4)
    same(plainly, watched, "encoder.safetensors")  # looking changes nothing
    rows = list(csv.DictReader((watched / CURVE).open()))
    assert [bool(row["probe"]) for row in rows] == [float(row["epoch"]) in (2, 4) for row in rows]
    assert 0 <= facts["probe_last"] <= 1
    assert float(rows[-1]["probe"]) == pytest.approx(facts["probe_last"], abs=1e-6)
    assert sum("validation probe" in line for line in reporter.lines) == 2
    assert "probe" not in (plainly / CURVE).read_text()
    pcm = open_pcm(taken["pcm"].path, taken["pcm"].manifest)
    task = read_labels(taken["labels"] / LABELS)
    with pytest.raises(UserError, match="no label has both"):
        validation_probe(replace(task, targets=Tags(("b",), task.labels[:, 1:])), pcm)


def test_ridge_finds_what_is_linear():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 5))
    y = x @ rng.standard_normal((5, 2)) + 3
    found = ridge(x[:150], y[:150], x[150:])

    def task(targets):
        return Task(tuple(map(str, range(200))), np.array(["train"] * 200), targets, np.full(200, ""))

    tags = task(Tags("ab", y > 3))
    assert rate(task(Values("ab", y)), y[150:], found) > 0.97
    assert rate(tags, (y[150:] > 3).astype(float), found) > 0.95
    assert rate(tags, np.array([[0.0], [1.0]]), np.array([[2.0], [2.0]])) == 0.5
    classes = np.eye(2)[y[150:].argmax(1)]
    assert rate(task(Classes("ab", y.argmax(1))), classes, found) > 0.9


def test_tensorboard_is_written_where_it_is_wanted(tmp_path):
    board = tmp_path / "board"
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        with pytest.raises(UserError, match="tensorboard is not installed"):
            run(tmp_path, "work", {"tensorboard": board})
        return
    run(tmp_path, "work", {"tensorboard": board})
    assert list(board.glob("events.*"))
