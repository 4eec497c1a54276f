"""What a training step sees: crops, epochs, views; and that a training that is stopped ends as one that is not."""

import numpy as np
import pytest
import torch
from conftest import TINY_REGISTRY, tone
from hypothesis import given
from hypothesis import strategies as st

from benchmark.encoding import build_encoder
from benchmark.errors import UserError
from benchmark.pcm import Pcm, PcmClip
from benchmark.overrides import override
from benchmark.pretraining.crops import Crops, CropSampler
from benchmark.pretraining.module import ContrastiveModule
from benchmark.pretraining.ntxent import ntxent
from benchmark.registry import load_registry
from benchmark.steps.pretrain import _divide, total_steps

CPU = torch.device("cpu")


def corpus(count=6, window=6_561):
    clips, parts, start = [], [], 0
    for n in range(count):
        samples = (tone(0.4 + 0.05 * n, 22_050, n) * 20_000).astype(np.int16)
        clips.append(PcmClip(f"{n}", f"{n}.mp3", "train", "", "", "", start, len(samples), f"{n}"))
        parts.append(samples)
        start += len(samples)
    return Pcm(np.concatenate(parts), tuple(clips), (), 22_050), clips


@given(clips=st.integers(2, 30), batch=st.integers(1, 8), seed=st.integers(0, 99), extra=st.integers(0, 50))
def test_an_epoch_visits_each_clip_once(clips, batch, seed, extra):
    if clips < batch:
        return
    sampler = CropSampler([100 + extra] * clips, 100, batch, seed)
    assert sampler.steps_per_epoch == clips // batch
    for epoch in range(2):
        seen = np.concatenate(
            [sampler.step(epoch * sampler.steps_per_epoch + n)[0] for n in range(sampler.steps_per_epoch)]
        )
        assert len(set(seen.tolist())) == len(seen) == clips // batch * batch
        starts = sampler.step(epoch * sampler.steps_per_epoch)[1]
        assert starts.min() >= 0
        assert starts.max() <= extra


def test_crops_start_anywhere_ends_included():
    sampler = CropSampler([103] * 4, 100, 4, 0)
    starts = np.concatenate([sampler.step(n)[1] for n in range(200)])
    assert set(starts.ravel().tolist()) == {0, 1, 2, 3}
    assert abs(np.corrcoef(starts.T)[0, 1]) < 0.15  # the two views are cut independently


def test_orders_and_seeds_differ():
    sampler = CropSampler([200] * 40, 100, 40, 0)
    assert not np.array_equal(sampler.step(0)[0], sampler.step(1)[0])
    assert not np.array_equal(sampler.step(0)[0], CropSampler([200] * 40, 100, 40, 1).step(0)[0])


@pytest.mark.parametrize("residence", ["device", "stream"])
def test_crops_hold_the_samples_of_their_clips(residence):
    pcm, clips = corpus()
    crops = Crops(pcm, clips, 6_561, CPU, residence)
    sampler = CropSampler([clip.samples for clip in clips], 6_561, 3, 4)
    for number in (0, 1, 2, 7, 3):  # out of order, as after a resume
        chosen, starts = sampler.step(number)
        found = crops.cut_step(sampler, number, 9)
        assert found.shape == (2, 3, 6_561)
        assert found.dtype == torch.int16
        for row, clip in enumerate(chosen):
            for view in range(2):
                at = clips[clip].start + starts[row, view]
                assert np.array_equal(found[view, row], pcm.samples[at : at + 6_561])


def module(tmp_path, seed=0, **changes):
    (tmp_path / "tiny.yaml").write_text(TINY_REGISTRY)
    registry = load_registry([tmp_path / "tiny.yaml"])
    recipe = override(registry.recipe("short").entry, changes)
    pcm, clips = corpus()
    encoder = build_encoder(registry.encoder("tiny"), seed)
    sampler = CropSampler([clip.samples for clip in clips], 6_561, recipe.batch, seed)
    return ContrastiveModule(encoder, recipe, Crops(pcm, clips, 6_561, CPU), sampler, seed, 10)


def test_views_depend_on_seed_and_step_alone(tmp_path):
    one, two, other = module(tmp_path), module(tmp_path), module(tmp_path, seed=1)
    crops = one._crops.cut_step(one._sampler, 5, 9)
    assert torch.equal(one.augment(crops, 5), two.augment(crops, 5))
    assert not torch.equal(one.augment(crops, 5), one.augment(crops, 6))
    assert not torch.equal(one.augment(crops, 5), other.augment(crops, 5))
    views = one.augment(crops, 5)
    assert views.shape == (2, 4, 1, 6_561)
    assert not torch.equal(views[0], views[1])


def test_views_keep_statistics_of_their_own(tmp_path):
    """The loss is that of two passes, one a view, not of one pass over both: batch norm sees each view alone."""
    ours = module(tmp_path)
    views = ours.augment(ours._crops.cut_step(ours._sampler, 0, 9), 0)
    apart = ntxent(*(ours.projector(ours.encoder(view)) for view in views), 0.5)
    together = ntxent(*ours.projector(ours.encoder(views.flatten(0, 1))).chunk(2), 0.5)
    reference = module(tmp_path)
    reference.trainer = type("Trainer", (), {"global_step": 0})()
    found = reference.training_step(None, 0)
    assert found.item() == pytest.approx(apart.item(), abs=1e-5)
    assert abs(found.item() - together.item()) > 1e-3


def test_held_out_projections_leave_the_model_as_it_was(tmp_path):
    ours = module(tmp_path)
    before = {key: value.clone() for key, value in ours.state_dict().items()}
    crops = ours._crops.cut_step(ours._sampler, 0, 9)
    first, again = ours.project(crops), ours.project(crops)
    assert torch.equal(first[0], again[0])
    assert ours.training
    assert all(torch.equal(value, ours.state_dict()[key]) for key, value in before.items())


def test_same_seed_same_start(tmp_path):
    one, two, other = module(tmp_path), module(tmp_path), module(tmp_path, seed=1)
    for name in ("encoder.bottleneck.conv.weight", "projector.0.weight"):
        assert torch.equal(one.state_dict()[name], two.state_dict()[name])
        assert not torch.equal(one.state_dict()[name], other.state_dict()[name])


def test_length_in_epochs_or_pairs():
    recipe = load_registry().recipe("tune").entry
    assert total_steps(recipe, 18_706) == 194_000  # the paper's 1,000 epochs of 194 steps
    assert total_steps(override(recipe, {"pairs": 1_000}), 18_706) == 11


def test_corpus_and_held_out_clips_are_disjoint():
    clips = tuple(
        PcmClip(str(n), "", split, "", "", "", 0, samples, "")
        for n, (split, samples) in enumerate([("train", 100), ("train", 9), ("valid", 100), ("test", 100), (None, 100)])
    )
    pcm = Pcm(np.zeros(0, np.int16), clips, (), 22_050)
    trained, held_out = _divide(pcm, ["train"], 10)
    assert ([c.id for c in trained], [c.id for c in held_out]) == (["0"], ["2"])
    trained, held_out = _divide(pcm, None, 10)
    assert ([c.id for c in trained], held_out) == (["0", "2", "3", "4"], [])


def test_encoders_are_built_as_their_entry_says(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text(
        "encoders:\n"
        "  shape: {class: 'encoders.tune:TUNe', args: {filters: 2, window: 60}}\n"
        "  rate: {class: 'encoders.sample_cnn:SampleCNN', sample_rate: 16000}\n"
        "  kind: {class: 'pathlib:Path'}\n"
        "  gone: {class: 'encoders.tune:Tuna'}\n"
    )
    registry = load_registry([file])
    for name, message in {
        "shape": "r.yaml:2: encoders.shape: cannot build encoders.tune:TUNe: a window of 60 samples does not fit",
        "rate": "r.yaml:3: encoders.rate: works at 22050 Hz; say `sample_rate: 22050` in its entry",
        "kind": "r.yaml:4: encoders.kind: pathlib:Path is no subclass of encoders.base.Encoder",
        "gone": "r.yaml:5: gone: cannot import encoders.tune:Tuna",
    }.items():
        with pytest.raises(UserError, match=message.replace("(", r"\(")):
            build_encoder(registry.encoder(name), 0)
