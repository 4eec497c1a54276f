"""Training on several sources: Algorithm 1 is that of golden values, and each step moves only what it is of."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from multi_source_training import CLIPS_IN_ALL, SHORT, corpus, module, plain_encoder, run, sources
from multisource_golden import GOLDEN, network, read
from safetensors.torch import load_file
from training_steps import plain

from benchmark.encoding.windows import build_encoder, to_waveform
from benchmark.pretraining import training
from benchmark.pretraining.curve_file import CURVE
from benchmark.pretraining.methods.multi_source import divergence
from benchmark.pretraining.source_labels import SourceLabels
from benchmark.registry.entries import EncoderEntry
from benchmark.registry.registry import Named
from benchmark.store.file_names import HEADS, WEIGHTS
from benchmark.store.pcm import read_lines
from encoders import multisource


class OnSpectrograms(multisource.MultiSource):
    """Takes what lies behind the front end."""

    def branch(self, waveform, place):
        return self.branch_of(waveform, place)


def golden_batches():
    """Source, input and targets of each step of the golden training, in float64."""
    golden = read("training")
    rng = np.random.RandomState(golden["seed_batches"])
    shape = (golden["clips"], 2, 216, 128)

    def drawn():
        return torch.from_numpy(rng.standard_normal(shape).astype(np.float32)).double()

    for name in golden["order"]:
        if name == "self":
            left, right = drawn(), drawn()
            yield name, torch.cat([left, right]), torch.eye(2).double()[torch.arange(golden["clips"]) % 2]
        else:
            x = drawn()
            factors = rng.standard_exponential((golden["clips"], golden["factors"])) ** 2
            factors = (factors / factors.sum(axis=1, keepdims=True)).astype(np.float32)
            yield name, x, torch.from_numpy(factors).double()


@pytest.mark.parametrize("strategy", ["MSS-CR", "MS-CR@6", "MS-SR@FC"])
def test_five_steps_are_the_golden_ones(strategy):
    golden = read("training")
    expected = golden["strategies"][strategy]
    encoder, heads = network(strategy, golden["seed_weights"])
    encoder.__class__ = OnSpectrograms
    labels = [
        SourceLabels(name, np.full((CLIPS_IN_ALL, 50), 0.02, np.float32), np.ones(CLIPS_IN_ALL, np.bool_))
        for name in ("bpm", "tag")
    ]
    trained = module(encoder, labels, 55_125, sources=golden["sources"], factors=50, dropout=0.0, learning_rate=2.5e-4)
    trained.heads.load_state_dict(heads)
    trained.double().train()
    before = {name: value.clone() for name, value in published(trained).items()}
    optimiser = trained.configure_optimizers()
    losses = []
    for number, (name, x, targets) in enumerate(golden_batches()):
        loss = trained.loss(golden["sources"].index(name), x, targets)
        loss.backward()
        if not number:
            norms = {key: value for key, value in published(trained, gradients=True).items() if value is not None}
            for key, norm in expected["gradient_norms_first_step"].items():
                assert float(norms.pop(key).norm()) == pytest.approx(norm, rel=1e-8, abs=1e-12), key
            assert not norms
        losses.append(float(loss.detach()))
        optimiser.step()
        optimiser.zero_grad()
    np.testing.assert_allclose(losses, expected["losses_mean_over_elements"], rtol=1e-9)
    after = published(trained)
    for key, value in before.items():
        moved = float((after[key] - value).norm())
        assert (moved == 0) == (key in expected["unmoved"] or ("running" in key and moved == 0)), key
        if key in expected["moved_norm"]:
            assert moved == pytest.approx(expected["moved_norm"][key], rel=1e-6), key
    state = encoder.state_dict() | {f"branches_infer.{key}": value for key, value in trained.heads.state_dict().items()}
    assert {key: int(state[key]) for key in expected["batches_tracked"]} == expected["batches_tracked"]
    trained.eval()
    x = np.random.RandomState(golden["seed_weights"] + 2).standard_normal((2, 2, 216, 128)).astype(np.float32)
    with torch.inference_mode():
        x = torch.from_numpy(x).double()
        found = torch.cat([encoder.branch_of(x, place) for place in range(max(1, encoder.branch_count))], dim=1)
    np.testing.assert_allclose(found, np.load(GOLDEN / "training.npz")[f"{strategy}/representation_after"], atol=1e-6)


def published(trained, gradients=False):
    """Parameters, or their gradients, by their published names."""
    found = dict(trained.encoder.named_parameters())
    found |= {f"branches_infer.{key}": value for key, value in trained.heads.named_parameters()}
    return {key: value.grad if gradients else value.detach() for key, value in found.items()}


def test_divergences_are_sums_over_what_the_recipe_says():
    golden = read("forward")
    data = np.load(GOLDEN / "forward.npz")
    for strategy, stated in golden["strategies"].items():
        for name, loss in stated["loss"].items():
            logits = torch.from_numpy(data[f"{strategy}/logits/{name}"])
            targets = torch.eye(2).double()[[1, 0]] if name == "self" else torch.from_numpy(data["target"])
            for scale, key in (("elements", "mean_over_elements"), ("clips", "mean_over_clips")):
                assert float(divergence(logits, targets, scale)) == pytest.approx(loss[key], rel=1e-9)


def test_every_source_is_learnt_and_only_what_it_has_is_moved(tmp_path):
    work, facts, lines = run(
        tmp_path,
        "work",
        sources=["self", "pitch", "level"],
        tracks="own",
        epochs=12,
        encoder=plain("Forked", sources=["pitch", "level"]),
    )
    # The encoder names two of the recipe's three sources, and is trained on these.
    assert facts["sources"] == ["pitch", "level"]
    assert facts["watched_clips"] == "held-out"
    for name in ("pitch", "level"):
        assert facts["divergence_after"][name] < 0.8 * facts["divergence_before"][name]
    assert (facts["clips"], facts["steps_per_epoch"], facts["steps"]) == (24, 12, 144)
    said = (
        "24 clips of any source (of self 24, pitch 24, level 16), for each its own (pitch 24, level 16), 144 steps of 4"
    )
    assert any(said in line for line in lines)
    assert len(read_lines(work / "corpus.jsonl")) == 24
    state = load_file(work / WEIGHTS)
    assert not any("head" in key for key in state)
    heads = load_file(work / HEADS)
    assert heads.keys() == {f"{name}.0.{part}" for name in ("pitch", "level") for part in ("weight", "bias")}
    assert heads["pitch.0.weight"].shape == (3, 12)
    trained = module(plain_encoder(), sources(), tracks="own")
    trained.trainer = type("Trainer", (), {"global_step": 0, "global_rank": 0})()
    optimiser = trained.configure_optimizers()
    moved = Counter()
    trained.manual_backward = lambda loss: loss.backward()
    trained.move = lambda: (optimiser.step(), optimiser.zero_grad())
    for number in range(6):
        trained.trainer.global_step = number
        before = {name: value.detach().clone() for name, value in trained.named_parameters()}
        trained.training_step(None, 0)
        place = trained.sampler.source(number)
        for name, value in trained.named_parameters():
            other = f"ends.{1 - place}." in name or name.startswith(f"heads.{1 - place}.")
            assert torch.equal(value, before[name]) == other, name
        moved[place] += 1
    assert set(moved) == {0, 1}


def test_common_tracks_are_those_of_all_sources(tmp_path):
    _, facts, lines = run(tmp_path, "work", epochs=1)
    assert (facts["clips"], facts["steps"]) == (16, 8)
    assert any(
        "16 clips that have all sources (of pitch 24, level 16), 8 steps of 4 on pitch, level" in x for x in lines
    )
    # An encoder for one source is trained on the clips that have all of the recipe's, as in the study.
    _, facts, _ = run(tmp_path / "one", "work", encoder=plain("Forked", sources=["pitch"]), epochs=1)
    assert (facts["clips"], facts["steps"], facts["sources"]) == (16, 4, ["pitch"])


def test_pairs_of_one_clip_are_told_from_others(tmp_path):
    encoder = plain("Forked", sources=["self"])
    _, facts, _ = run(tmp_path, "work", encoder=encoder, sources=["self"], labels=[], epochs=40, batch=8)
    assert facts["divergence_before"]["self"] == pytest.approx(np.log(2), abs=0.3)
    assert facts["divergence_after"]["self"] < 0.6
    assert facts["loss_last"] < 0.75 * facts["loss_first"]


def test_a_training_that_was_stopped_ends_as_one_that_was_not(tmp_path, monkeypatch):
    sources_ = ["self", "pitch", "level"]
    encoder = plain("Plain", dropout=0.3)
    whole, facts, _ = run(tmp_path, "whole", encoder=encoder, sources=sources_, epochs=1)
    assert facts["steps"] == 12

    def save_and_stop(trainer, path, save=training.save_state):
        save(trainer, path)
        if trainer.global_step == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)
    monkeypatch.setattr(training, "CHECKPOINT_SHARE", 0)
    monkeypatch.setattr(training, "save_state", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "parted", encoder=encoder, sources=sources_, epochs=1)
    monkeypatch.undo()
    parted, again, lines = run(tmp_path, "parted", encoder=encoder, sources=sources_, epochs=1)
    assert "pretrain plain: from 28" in lines
    assert again["divergence_after"] == facts["divergence_after"]
    for name in (WEIGHTS, CURVE):
        assert (whole / name).read_bytes() == (parted / name).read_bytes()


def test_two_processes_train_as_one(forked, tmp_path):
    weights = []
    for devices in (1, 2):
        work, facts, _ = run(tmp_path, f"{devices}", context={"devices": devices}, dropout=0.0, learning_rate=1e-3)
        assert facts["devices"] == devices
        weights.append(load_file(work / WEIGHTS))
    for name, value in weights[0].items():
        # Adam makes steps of 1e-3 of gradients all but zero; a branch moved out of turn would be far from this.
        np.testing.assert_allclose(weights[1][name], value, atol=2e-3, err_msg=name)
    start = load_file(tmp_path / "start" / WEIGHTS)
    assert max(float((value - start[name]).abs().max()) for name, value in weights[0].items()) > 0.01


def test_the_shared_part_may_have_a_rate_of_its_own():
    trained = module(plain_encoder(), sources(), shared_rate="divided", learning_rate=1e-3)
    shared, own = trained.configure_optimizers().param_groups
    assert (shared["lr"], own["lr"]) == (5e-4, 1e-3)
    assert [len(group["params"]) for group in (shared, own)] == [2, 8]
    (all_,) = module(plain_encoder(), sources(), learning_rate=1e-3).configure_optimizers().param_groups
    assert (all_["lr"], len(all_["params"]), all_["weight_decay"]) == (1e-3, 10, 1e-6)
    everything, heads = (
        module(build_encoder(plain(), 0), sources(), shared_rate="divided", learning_rate=1e-3)
        .configure_optimizers()
        .param_groups
    )
    assert [len(group["params"]) for group in (everything, heads)] == [4, 4]


def kim(**args):
    """An entry of the study's networks, on the shortest windows that they take."""
    entry = EncoderEntry.model_validate(
        {"class": "encoders.multisource:MultiSource", "args": {"window": SHORT, **args}}
    )
    return Named("kim", entry, Path(__file__), 1)


def test_statistics_of_the_training_clips_come_first(tmp_path):
    encoder = kim(sources=["pitch", "level"], branch=6)
    work, facts, lines = run(tmp_path, "work", encoder=encoder, window=SHORT, epochs=1, tracks="own")
    assert "statistics of the corpus: from 0" in lines
    assert facts["dim"] == 512
    state = load_file(work / WEIGHTS)
    samples, clips = corpus(SHORT)
    windows = [
        to_waveform(torch.from_numpy(samples[clip.start + start : clip.start + start + SHORT]))[None, None]
        for clip in clips
        for start in (0, SHORT)
        if clip.split == "train"
    ]
    expected = multisource.MultiSource(window=SHORT)
    expected.fit_statistics(windows)
    np.testing.assert_allclose(state["front_end.mean"], expected.front_end.mean, atol=1e-4)
    np.testing.assert_allclose(state["front_end.deviation"], expected.front_end.deviation, atol=1e-4)
    assert int(state["front_end.frames"]) == len(windows) * 65
    assert not any(key.startswith("heads") or "infer" in key for key in state)
