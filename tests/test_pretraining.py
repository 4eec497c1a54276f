"""What a training step sees: crops, epochs, views; and that a training that is stopped ends as one that is not."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY_REGISTRY, tone
from hypothesis import given
from hypothesis import strategies as st

import benchmark.pretraining.crops
from benchmark.encoding.windows import build_encoder, to_waveform
from benchmark.errors import UserError
from benchmark.pretraining.crops import Crops, CropSampler
from benchmark.pretraining.items import divide, items_of
from benchmark.pretraining.methods.contrastive import ContrastiveModule
from benchmark.pretraining.ntxent import ntxent
from benchmark.pretraining.optimisation import Lars
from benchmark.registry.overrides import override
from benchmark.registry.registry import load_registry
from benchmark.store.pcm import Pcm, PcmClip

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


@pytest.mark.parametrize("residence", ["device", "copied", "stream"])
def test_crops_hold_the_samples_of_their_clips(residence, monkeypatch):
    pcm, clips = corpus()
    if residence == "copied":  # as a GPU holds the corpus
        monkeypatch.setattr(benchmark.pretraining.crops, "_has_memory_of_its_own", lambda device: True)
        residence = "device"
    crops = Crops(pcm, items_of(clips, "clip", 6_561), 6_561, CPU, residence)
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


def test_a_corpus_in_a_file_is_copied_without_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark.pretraining.crops, "_has_memory_of_its_own", lambda device: True)
    pcm, clips = corpus()
    pcm.samples.tofile(tmp_path / "pcm")
    mapped = replace(pcm, samples=np.memmap(tmp_path / "pcm", np.int16, "r"))
    torch.set_warn_always(True)  # not only once in a process
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            crops = Crops(mapped, items_of(clips, "clip", 6_561), 6_561, CPU, "device")
    finally:
        torch.set_warn_always(False)
    assert np.array_equal(crops._resident, pcm.samples)


def module(tmp_path, seed=0, **changes):
    (tmp_path / "tiny.yaml").write_text(TINY_REGISTRY)
    registry = load_registry([tmp_path / "tiny.yaml"])
    recipe = override(registry.recipe("short").entry, changes)
    pcm, clips = corpus()
    encoder = build_encoder(registry.encoder("tiny"), seed)
    sampler = CropSampler([clip.samples for clip in clips], 6_561, recipe.batch, seed)
    return ContrastiveModule(encoder, recipe, Crops(pcm, items_of(clips, "clip", 6_561), 6_561, CPU), sampler, seed, 10)


def test_views_depend_on_seed_and_step_alone(tmp_path):
    one, two, other = module(tmp_path), module(tmp_path), module(tmp_path, seed=1)
    crops = one.crops.cut_step(one.sampler, 5, 9)
    assert torch.equal(one.augment(crops, 5), two.augment(crops, 5))
    assert not torch.equal(one.augment(crops, 5), one.augment(crops, 6))
    assert not torch.equal(one.augment(crops, 5), other.augment(crops, 5))
    views = one.augment(crops, 5)
    assert views.shape == (2, 4, 1, 6_561)
    assert not torch.equal(views[0], views[1])


def test_one_sided_the_second_view_is_the_crop(tmp_path):
    ours, both = module(tmp_path, one_sided=True), module(tmp_path)
    crops = ours.crops.cut_step(ours.sampler, 5, 9)
    views, augmented = ours.augment(crops, 5), both.augment(crops, 5)
    assert torch.equal(views[1], to_waveform(crops)[1].unsqueeze(1))
    assert not torch.equal(augmented[1], views[1])
    # Bits depend on what shares a Fourier transform; what is drawn for the first view does not.
    torch.testing.assert_close(views[0], augmented[0], atol=1e-5, rtol=0)
    assert not torch.equal(views[0], to_waveform(crops)[0].unsqueeze(1))


def test_views_keep_statistics_of_their_own(tmp_path):
    """The loss is that of two passes, one a view, not of one pass over both: batch norm sees each view alone."""
    ours = module(tmp_path)
    views = ours.augment(ours.crops.cut_step(ours.sampler, 0, 9), 0)
    apart = ntxent(*(ours.projector(ours.encoder(view)) for view in views), 0.5)
    together = ntxent(*ours.projector(ours.encoder(views.flatten(0, 1))).chunk(2), 0.5)
    for policy, expected, other in (("views", apart, together), ("joint", together, apart)):
        _, (z_i, z_j) = module(tmp_path, batch_norm=policy).embed(views)
        assert ntxent(z_i, z_j, 0.5).item() == pytest.approx(expected.item(), abs=1e-5)
        assert abs(expected.item() - other.item()) > 1e-3


def test_held_out_projections_leave_the_model_as_it_was(tmp_path):
    ours = module(tmp_path)
    before = {key: value.clone() for key, value in ours.state_dict().items()}
    crops = ours.crops.cut_step(ours.sampler, 0, 9)
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
    assert recipe.total_steps(18_706) == 194_000  # the paper's 1,000 epochs of 194 steps
    assert override(recipe, {"pairs": 1_000}).total_steps(18_706) == 11


def test_corpus_and_held_out_clips_are_disjoint():
    clips = tuple(
        PcmClip(str(n), "", split, "", "", "", 0, samples, "")
        for n, (split, samples) in enumerate([("train", 100), ("train", 9), ("valid", 100), ("test", 100), (None, 100)])
    )
    pcm = Pcm(np.zeros(0, np.int16), clips, (), 22_050)
    trained, held_out = divide(pcm, ["train"])
    assert ([c.id for c in trained], [c.id for c in held_out]) == (["0", "1"], ["2"])
    assert [item.clips[0].id for item in items_of(trained, "clip", 10)] == ["0"]  # the other is too short
    trained, held_out = divide(pcm, None)
    assert ([c.id for c in trained], held_out) == (["0", "1", "2", "3", "4"], [])


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


@pytest.mark.parametrize("copied", [False, True])
def test_songs_join_their_clips(copied, monkeypatch):
    monkeypatch.setattr(benchmark.pretraining.crops, "_has_memory_of_its_own", lambda device: copied)
    pcm, clips = corpus()
    clips = [replace(clip, recording="" if n == 5 else f"song {n // 2}") for n, clip in enumerate(clips)]
    songs = items_of(clips, "song", 6_561)
    assert [[clip.id for clip in item.clips] for item in songs] == [["0", "1"], ["2", "3"], ["4"], ["5"]]
    assert len(items_of(clips, "clip", 6_561)) == 6
    assert items_of(clips, "song", 20_000) == songs[1:2]  # long enough only together
    joined = [np.concatenate([pcm.waveform(clip) for clip in item.clips]) for item in songs]
    crops = Crops(pcm, songs, 6_561, CPU)
    for start in (0, 3_000, clips[0].samples - 1, clips[0].samples, songs[0].samples - 6_561):
        found = crops.cut(np.array([0, 3]), np.array([[start, 0], [0, 7]]))
        assert np.array_equal(found[0, 0], joined[0][start : start + 6_561])
        assert np.array_equal(found[1, 1], joined[3][7 : 7 + 6_561])


@pytest.mark.parametrize("one_sided", [False, True])
def test_parts_of_a_batch_make_up_the_whole(tmp_path, one_sided):
    changes = {"augmentation.noise.probability": 0.5, "one_sided": one_sided}
    whole = module(tmp_path, **changes)
    crops = whole.crops.cut_step(whole.sampler, 3, 9)
    views = whole.augment(crops, 3)
    lengths = [clip.samples for clip in corpus()[1]]
    for rank in range(2):
        part = module(tmp_path, **changes)
        part.sampler = CropSampler(lengths, 6_561, 4, 0, part=(rank, 2))
        own = part.crops.cut_step(part.sampler, 3, 9)
        assert torch.equal(own, crops[:, 2 * rank : 2 * rank + 2])
        # Bits depend on what shares a Fourier transform.
        torch.testing.assert_close(part.augment(own, 3), views[:, 2 * rank : 2 * rank + 2], atol=1e-5, rtol=0)


def test_chunks_update_running_statistics_once_a_step(tmp_path):
    ours = module(tmp_path, chunk=2)
    ours.trainer = type("Trainer", (), {"global_step": 0, "global_rank": 0})()
    moves = []
    ours.manual_backward, ours.move = (lambda loss: loss.backward()), lambda: moves.append(1)
    ours.training_step(None, 0)
    norm = next(value for name, value in ours.encoder.state_dict().items() if name.endswith("num_batches_tracked"))
    assert norm.item() == 4  # two views of two chunks
    assert moves == [1]


def test_lars_follows_its_formula():
    torch.manual_seed(0)
    weights, still = torch.nn.Parameter(torch.randn(4, 3)), torch.nn.Parameter(torch.zeros(3))
    optimiser = Lars([weights, still], 0.5, momentum=0.9, trust=0.01, weight_decay=0.1)
    w, v = weights.detach().clone().double(), torch.zeros(4, 3, dtype=torch.float64)
    for _ in range(3):
        weights.grad, still.grad = torch.randn(4, 3), torch.ones(3)
        g = weights.grad.double() + 0.1 * w
        v = 0.9 * v + 0.5 * 0.01 * w.norm() / g.norm() * g
        w = w - v
        before = still.detach().clone()
        optimiser.step()
        torch.testing.assert_close(weights.detach().double(), w, atol=1e-6, rtol=0)
        if not before.any():
            torch.testing.assert_close(
                still.detach(), torch.full((3,), -0.5)
            )  # a tensor of zeros moves at the plain rate


def test_recipes_say_what_their_sources_say():
    registry = load_registry()
    expected = {
        "clmr-v1": ("song", "adam", 3e-4, "constant", 128, (-6, 0), 500),
        "clmr-v1-lars": ("song", "lars", 0.075 * 96**0.5, "cosine", 128, (-6, 0), 500),
        "clmr-v2": ("clip", "adam", 3e-4, "constant", 64, (-20, -1), 450),
        "clmr-lars": ("clip", "lars", 0.3 * 96 / 256, "cosine", 64, (-20, -1), 450),
        "tune": ("clip", "adam", 3e-4, "constant", 64, (-20, -1), 450),
    }
    for name, (item, optimiser, rate, schedule, dim, gain, longest) in expected.items():
        recipe = registry.recipe(name).entry
        steps = {step.name: step.numbers for step in recipe.augmentation}
        assert tuple(steps) == ("polarity", "noise", "gain", "filter", "delay", "pitch", "reverb"), name
        found = recipe.item, recipe.optimiser.kind, recipe.schedule, recipe.projector.dim, steps["gain"].db
        assert found == (item, optimiser, schedule, dim, gain), name
        assert recipe.step_size == pytest.approx(rate), name
        assert max(steps["delay"].choices_ms) == longest, name
        assert not recipe.one_sided, name
        assert (recipe.batch_norm, recipe.negatives, recipe.temperature) == ("views", "all", 0.5), name
    with pytest.raises(UserError, match="epochs after the last one"):
        override(registry.recipe("tune").entry, {"keep_epochs": (2000,)})
