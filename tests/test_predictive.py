"""Contrastive predictive coding: its loss, its network, and a training from the command line."""

import math

import pytest
import torch
from conftest import bench, bench_json
from hypothesis import given
from hypothesis import strategies as st

from benchmark.pretraining.infonce import draw_permutations, draw_stretch, infonce
from encoders import EncoderError
from encoders.cpc import CPC

REGISTRY = """
encoders:
  little:
    class: encoders.cpc:CPC
    args: {channels: 16, context: 8, window: 9600}
  flat:
    class: encoders.tune:TUNe
    args: {filters: 2, contractive: 2, expansive: 2, tail: 4, dim: 16, window: 6561}
recipes:
  ahead: &ahead
    method: predictive
    source: tests
    steps: 12
    batch: 4
    distances: 3
    negatives: 7
    stretch: 12
    learning_rate: 1e-3
    weight_decay: 0
  ahead-far: {<<: *ahead, distances: 30, stretch: null}
"""


def golden(batch: int = 2, steps: int = 6):
    """The network of the published golden value, in float64."""
    z = torch.sin(0.37 * torch.arange(batch * steps * 4, dtype=torch.float64)).view(batch, steps, 4)
    c = torch.cos(0.23 * torch.arange(batch * steps * 3, dtype=torch.float64)).view(batch, steps, 3)
    weight = torch.sin(0.11 * torch.arange(2 * 4 * 3, dtype=torch.float64)).view(8, 3)
    return z, c, weight


def test_the_loss_is_that_of_an_independent_implementation():
    order = torch.stack([(5 * torch.arange(12) + 7 * j) % 12 for j in range(1, 4)])
    losses = infonce(*golden(), order)[0]
    assert losses.tolist() == pytest.approx([3.9216175272, 6.6665203262], abs=1e-9)
    assert float(losses.mean()) == pytest.approx(5.2940689267, abs=1e-9)


@given(batch=st.integers(1, 3), steps=st.integers(4, 9), negatives=st.integers(1, 5), seed=st.integers(0, 99))
def test_the_loss_is_what_its_words_say(batch, steps, negatives, seed):
    """One prediction after another, without a tensor of all of them."""
    z, c, weight = golden(batch, steps)
    order = draw_permutations(negatives, batch * steps, seed)
    stretch = draw_stretch(steps, 4, seed)
    first, count = stretch.start or 0, min(steps, 4)
    assert first + count <= steps
    found = infonce(z, c, weight, order, stretch)
    flat = z.reshape(-1, 4)
    for k in (1, 2):
        losses, hits, row = [], [], batch * steps - batch * (count - k)
        for b in range(batch):
            for t in range(first, first + count - k):
                guess = weight[(k - 1) * 4 : k * 4] @ c[b, t]
                scores = [float(guess @ z[b, t + k]), *(float(guess @ flat[each[row]]) for each in order)]
                losses.append(math.log(sum(math.exp(score - scores[0]) for score in scores)))
                hits.append(scores[0] > max(scores[1:]))
                row += 1
        assert float(found[0, k - 1]) == pytest.approx(sum(losses) / len(losses), rel=1e-9)
        # A negative that is the positive itself may come out either way, by rounding.
        assert float(found[1, k - 1]) == pytest.approx(sum(hits) / len(hits), abs=0.34)


def test_latents_that_say_nothing_cost_what_chance_does():
    z, c, weight = golden()
    losses = infonce(torch.zeros_like(z), c, weight, draw_permutations(15, 12, 0))[0]
    assert losses.tolist() == pytest.approx([math.log(16)] * 2)
    with pytest.raises(ValueError, match="2 steps are too few to predict 2 ahead"):
        infonce(z, c, weight, draw_permutations(3, 12, 0), slice(0, 2))


def test_the_network_has_the_sizes_of_the_thesis():
    encoder = CPC().eval()
    assert encoder.parameter_count() == 6_367_232
    assert encoder.parameter_count() + 256 * 512 * 20 == 8_988_672
    window = torch.randn(1, 1, 59_049) * 0.1
    lengths = [encoder.frames(window, layer)[0].shape[1] for layer in encoder.layers()]
    assert lengths == [11_809, 3_936, 1_969, 985, 492, 247, 124, 124, 124]
    values, seconds = encoder.frames(window)
    assert torch.allclose(values.mean(dim=1), encoder(window), atol=1e-6)
    assert (seconds.diff()[1:] * 22_050).tolist() == pytest.approx([480] * 122)
    assert seconds[0] == 0
    # A latent sees 710 samples: the first of them changes nothing beyond the latents that see it.
    changed = window.clone()
    changed[0, 0, 30_000] += 0.5
    moved = (encoder.latents(window) != encoder.latents(changed)).any(dim=2)[0].nonzero()[:, 0]
    centres = seconds[moved] * 22_050
    assert 1 <= len(moved) <= 2
    assert all(abs(float(centre) - 30_000) <= 355 for centre in centres)


def test_samples_are_standardised_by_their_corpus():
    torch.manual_seed(0)
    encoder = CPC(channels=8, context=4, window=4_800).eval()
    loud, quiet = torch.randn(2, 1, 4_800), torch.randn(1, 1, 4_800) * 0.01 + 0.1
    before = encoder(quiet)
    assert not encoder.has_statistics()
    encoder.fit_statistics(iter([loud, quiet]))
    windows = torch.cat([loud, quiet])[:, 0].double()
    assert float(encoder.centre) == pytest.approx(float(windows.mean(dim=1).mean()), rel=1e-5)
    assert float(encoder.scale) == pytest.approx(float(windows.std(dim=1, correction=0).mean()), rel=1e-5)
    assert not torch.equal(before, encoder(quiet))
    again = CPC(channels=8, context=4, window=4_800).eval()
    again.load_state_dict(encoder.state_dict())
    assert again.has_statistics()
    assert torch.equal(again(quiet), encoder(quiet))
    with pytest.raises(EncoderError, match="one waveform with sound"):
        again.fit_statistics(iter([torch.zeros(1, 1, 4_800)]))
    with pytest.raises(EncoderError, match="window has 480 samples or more"):
        CPC(window=400)


def test_a_training_from_the_command_line(mtt, tmp_path):
    (tmp_path / "registry.yaml").write_text(REGISTRY)
    arguments = ["--task", "mtt", "--data", mtt[0], "--registry", tmp_path / "registry.yaml", "--store", tmp_path / "s"]
    records = bench_json("run", "--encoder", "little", "--recipe", "ahead", *arguments)
    assert [record["recipe"] for record in records] == ["ahead", "untrained"]
    record = records[0]
    assert 0 <= record["metrics"]["roc_auc"]["value"] <= 1
    (trained,) = (tmp_path / "s").glob("artifacts/pretrain/*/losses.csv")
    rows = trained.read_text().split()
    assert rows[0].startswith("step,epoch,loss,accuracy")
    assert len(rows) == 13
    assert float(rows[1].split(",")[2]) == pytest.approx(math.log(8), abs=0.5)
    for encoder, recipe, said in (
        ("little", "ahead-far", "distances=30 are predicted, and a crop of 9600 samples has 21 latents; predict fewer"),
        ("flat", "ahead", "predictive coding needs an encoder with latents and contexts, as cpc has; TUNe has none"),
    ):
        failed = bench("run", "--encoder", encoder, "--recipe", recipe, *arguments)
        assert failed.returncode == 2
        assert said in failed.stderr
