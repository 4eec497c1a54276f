"""What a GPU computes, beside the CPU. Skipped where there is none."""

import copy
import gc
import json

import pytest
import torch
from augmentation_signals import RATE, chain_with, music
from conftest import bench
from test_pretraining import corpus
from training_steps import plain, recipe

from benchmark.augmentation.chain import AugmentationChain
from benchmark.console import Silent
from benchmark.encoding.windows import exact_float32
from benchmark.pretraining.crops import Crops, CropSampler
from benchmark.pretraining.items import items_of
from benchmark.pretraining.methods.contrastive import ContrastiveModule
from benchmark.pretraining.ntxent import ntxent
from benchmark.registry.methods import ContrastiveRecipe
from benchmark.registry.registry import load_registry
from benchmark.speed import pretrain as pretrain_speed
from encoders.sample_cnn import SampleCNN
from encoders.tune import TUNe

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
GPU = torch.device("cuda")


@pytest.mark.parametrize("residence", ["device", "stream"])
def test_crops_are_those_of_the_corpus(residence):
    pcm, clips = corpus()
    items = items_of(clips, "clip", 6_561)
    sampler = CropSampler([clip.samples for clip in clips], 6_561, 3, 4)
    there = Crops(pcm, items, 6_561, GPU, residence)
    here = Crops(pcm, items, 6_561, torch.device("cpu"))
    for step in range(6):
        assert torch.equal(there.cut_step(sampler, step, 6).cpu(), here.cut_step(sampler, step, 6))


def test_views_are_those_of_the_cpu():
    # Samples of noise are drawn on the device itself, so it is another one there.
    chain = AugmentationChain(chain_with(noise={"probability": 0.0}), RATE)
    waveform = music(12, 20_000)
    draws = chain.draw(12, 3)
    torch.testing.assert_close(
        chain.apply(waveform.to(GPU), draws).cpu(), chain.apply(waveform, draws), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("make", [SampleCNN, lambda: TUNe(filters=11, tail=9, plus=True)])
def test_losses_and_gradients_are_those_of_the_cpu_in_double_precision(make):
    torch.manual_seed(0)
    encoder = make().train()  # batch norm by running statistics leaves an untrained encoder next to no gradient
    waveform = 0.1 * torch.randn(8, 1, encoder.window)

    def learn(device, dtype):
        there = copy.deepcopy(encoder).to(device, dtype)
        found = there(waveform.to(device, dtype))
        loss = ntxent(found[:4], found[4:], 0.5)
        loss.backward()
        return loss.item(), [parameter.grad.cpu().double() for parameter in there.parameters()]

    expected_loss, expected = learn(torch.device("cpu"), torch.float64)
    with exact_float32():
        loss, found = learn(GPU, torch.float32)
    assert loss == pytest.approx(expected_loss, abs=1e-5)
    # On a CPU float32 is off by up to 0.0014 of the whole gradient's length, weights rounded to TensorFloat-32 by 0.14;
    # single layers by up to 0.004 and 0.2 to 0.3.
    whole, expected_whole = (torch.cat([part.flatten() for part in parts]) for parts in (found, expected))
    assert expected_whole.abs().max() > 0.1
    assert (whole - expected_whole).norm() < 0.01 * expected_whole.norm()
    longest = max(gradient.norm() for gradient in expected)
    for ours, theirs in zip(found, expected, strict=True):
        if theirs.norm() > 0.01 * longest:
            assert (ours - theirs).norm() < 0.03 * theirs.norm()


def test_learning_a_step_does_not_wait_for_the_gpu():
    pcm, clips = corpus()
    items = items_of(clips, "clip", 6_561)
    sampler = CropSampler([clip.samples for clip in clips], 6_561, 4, 0)
    numbers = ContrastiveRecipe.model_validate({"source": "", **recipe()}, strict=False)
    encoder = TUNe(filters=4, tail=4, window=6_561, plus=True, dim=16)
    module = ContrastiveModule(encoder, numbers, Crops(pcm, items, 6_561, GPU), sampler, 0, 3).to(GPU)
    module.trainer = type("Trainer", (), {"global_step": 0, "global_rank": 0})()
    module.manual_backward = lambda loss: loss.backward()
    views = module.augment(module.crops.cut_step(sampler, 0, 2), 0)
    module._learn(views, 0)  # starts libraries, which may wait
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        module._learn(views, 1)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert module.latest.isfinite().all()


def test_training_and_bare_steps_take_turns(monkeypatch):
    monkeypatch.setattr(pretrain_speed, "ROUND", 0.1)
    result = pretrain_speed.measure(Silent(), [plain(window=6561)], load_registry().recipe("tune").entry, 8, 2)
    assert result["device"] == torch.cuda.get_device_name()
    assert result["encoders"][0]["clips_per_second"] > 0
    assert result["encoders"][0]["steps_a_round"] > 1


def test_memory_of_a_corpus_is_given_back():
    pcm, clips = corpus()
    items = items_of(clips, "clip", 6_561)
    gc.collect()  # of what other tests have left
    before = torch.cuda.memory_allocated()
    crops = Crops(pcm, items, 6_561, GPU)
    assert crops.residence == "device"
    assert torch.cuda.memory_allocated() - before >= 2 * sum(item.samples for item in items)
    crops.close()
    assert torch.cuda.memory_allocated() == before


def test_a_run_says_that_a_gpu_computed_it(tmp_path, mtt, tiny_registry):
    words = ["--encoder", "tiny", "--task", "mtt", "--recipe", "short", "--registry", tiny_registry, "--data", mtt[0]]
    result = bench("run", *words, "--store", tmp_path / "store", "--json")
    assert result.returncode == 0, result.stderr
    trained = json.loads(result.stdout)[0]
    assert {step["device"] for step in trained["steps"] if step["kind"] == "pretrain"} == {torch.cuda.get_device_name()}
