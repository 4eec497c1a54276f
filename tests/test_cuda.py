"""What a GPU computes, beside the CPU. Skipped where there is none."""

import json

import pytest
import torch
from augmentation_signals import RATE, config_with, music
from conftest import bench
from test_pretraining import corpus

from benchmark.pretraining.augmentation.chain import AugmentationChain
from benchmark.pretraining.crops import Crops, CropSampler
from benchmark.pretraining.items import items_of
from benchmark.pretraining.ntxent import ntxent
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
    # Noise is drawn on the device itself, so it is another one there.
    chain = AugmentationChain(config_with(noise={"probability": 0.0}), RATE)
    waveform = music(12, 20_000)
    draws = chain.draw(12, torch.Generator().manual_seed(3))
    torch.testing.assert_close(
        chain.apply(waveform.to(GPU), draws).cpu(), chain.apply(waveform, draws), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("make", [SampleCNN, lambda: TUNe(filters=11, tail=9, plus=True)])
def test_representations_and_gradients_are_those_of_the_cpu(make, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    torch.manual_seed(0)
    encoder = make().eval()
    waveform = 0.1 * torch.randn(4, 1, encoder.window)
    losses, gradients = [], []
    for device in (torch.device("cpu"), GPU):
        encoder.to(device).zero_grad()
        found = encoder(waveform.to(device))
        loss = ntxent(found[:2], found[2:], 0.5)
        loss.backward()
        losses.append(loss.item())
        gradients.append(torch.cat([p.grad.flatten().cpu() for p in encoder.parameters() if p.grad is not None]))
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-4, rtol=1e-3)


def test_a_run_says_that_a_gpu_computed_it(tmp_path, mtt, tiny_registry):
    words = ["--encoder", "tiny", "--task", "mtt", "--recipe", "short", "--registry", tiny_registry, "--data", mtt[0]]
    result = bench("run", *words, "--store", tmp_path / "store", "--json")
    assert result.returncode == 0, result.stderr
    trained = json.loads(result.stdout)[0]
    assert {step["device"] for step in trained["steps"] if step["kind"] == "pretrain"} == {torch.cuda.get_device_name()}
