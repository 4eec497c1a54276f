"""The networks of the multi-source study are those of golden values that a second implementation computed."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from conftest import bench_json
from multisource_golden import GOLDEN, STRATEGIES, inputs, network, read, weights

from benchmark.registry.registry import load_registry
from encoders import EncoderError
from encoders.multisource import MultiSource
from encoders.weights import load_weights, save_weights


def published(folder, strategy="MS-CR@6", seed=3):
    """A checkpoint as the study's code left it."""
    path = folder / "checkpoint.pth"
    torch.save(
        {
            "tasks": ["self_", "bpm", "tag"],
            "branch_at": "6",
            "scaler_fn": "scaler.npz",
            "state_dict": weights(strategy, seed),
            "optimizer": {"state": {}, "param_groups": [{"lr": 2.5e-4}]},
            "iters": 65_400,
        },
        path,
    )
    return path


def statistics(folder):
    path = folder / "scaler.npz"
    np.savez(path, mean=np.linspace(6, -40, 128), std=np.linspace(10, 15, 128))
    return path


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_representations_and_layers_are_the_golden_ones(strategy):
    golden = read("forward")
    model, _ = network(strategy, golden["seed_weights"])
    expected = np.load(GOLDEN / "forward.npz")[f"{strategy}/representation"]
    (x,) = inputs(golden["seed_input"], 1)
    places = range(max(1, model.branch_count))
    with torch.inference_mode():
        found = torch.cat([model.branch_of(x, place) for place in places], dim=1)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-4)
        model.double()
        found = torch.cat([model.branch_of(x.double(), place) for place in places], dim=1)
        blocks = {name: y for name, y, _ in model._outputs(x.double())}
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    assert tuple(blocks) == model.layers()
    stated = golden["strategies"][strategy]["outputs"]
    for name, y in blocks.items():
        source, _, layer = name.rpartition(".")
        stack = f"branches_feature.{model.sources.index(source)}" if source else "branches_feature.0"
        number = ["conv1", "conv2", "conv3", "conv4", "conv5", "conv61", "conv62"].index(layer) if layer != "fc" else -1
        if layer in model._common:
            stack = "shared"
        elif number >= 0:
            number -= len(model._common)
        key = (
            f"{stack}.{number}"
            if number >= 0
            else max((k for k in stated if k.startswith(stack)), key=lambda k: int(k.rsplit(".", 1)[1]))
        )
        assert list(y.shape) == stated[key]["shape"], name
        assert float(y.mean()) == pytest.approx(stated[key]["mean"], rel=1e-9), name
        np.testing.assert_allclose(y.flatten()[:3], stated[key]["first"], rtol=1e-9, atol=1e-9)


def test_parameters_are_those_of_the_table():
    with (GOLDEN / "parameters.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["n_sources"] in ("1", "2", "5", "8")]
    rows = [row for row in rows if (row["factors"], row["has_self"]) == ("50", "1")]
    seen = set()
    for row in rows:
        count, channels = int(row["n_sources"]), int(row["channels"])
        model = MultiSource(sources=count, branch=STRATEGIES[row["strategy"]], channels=channels)
        assert model.parameter_count() == int(row["encoder"])
        assert model.dim == int(row["representation"])
        seen.add((row["strategy"], count))
    assert len(seen) == 16
    registry = load_registry()
    counts = {name: MultiSource(**registry.encoder(name).entry.args).parameter_count() for name in NAMES}
    assert counts == {name: count - 400 for name, count in NAMES.items()}  # of one channel


NAMES = {
    "kim_ss": 563_632,
    "kim_ms_fc": 563_632,
    "kim_ms_6": 135_344 + 8 * 428_288,
    "kim_ms_4": 24_176 + 8 * 539_456,
    "kim_ms_2": 848 + 8 * 562_784,
}


@pytest.mark.parametrize("channels", [1, 2])
def test_the_whole_encoder_gives_the_golden_representation(channels):
    golden = np.load(GOLDEN / "encoder.npz")
    samples = int(golden["samples"])
    model, _ = network("SS-R", int(golden["seed_weights"]), channels, window=samples)
    model.front_end.mean.copy_(torch.from_numpy(golden["mel_mean"])[:, None])
    model.front_end.deviation.copy_(torch.from_numpy(golden["mel_deviation"])[:, None])
    wave = stereo(samples, int(golden["seed_wave"]))
    with torch.inference_mode():
        mono = model(wave.mean(dim=1, keepdim=True))
        np.testing.assert_allclose(mono, golden["mono" if channels == 1 else "mono_twice"], atol=1e-3)
        if channels == 2:
            both = model.branch_of(model.log_mel(wave).transpose(2, 3), 0)
            np.testing.assert_allclose(both, golden["stereo"], atol=1e-3)


def stereo(samples, seed):
    """The signal [1, 2, samples] of the golden values."""
    k = np.arange(samples)
    t = k / 22_050
    noise = np.random.RandomState(seed).standard_normal((2, samples))
    click = (k % 11_025 == 1_000).astype(float)
    left = 0.3 * np.sin(2 * np.pi * 220 * t) + 0.1 * np.sin(2 * np.pi * 1760 * t + 1) + 0.4 * click + 0.01 * noise[0]
    right = 0.2 * np.sin(2 * np.pi * 330 * t * (1 + 0.05 * t)) + 0.5 * click * (t > 1) + 0.003 * noise[1]
    return torch.from_numpy(np.stack([left, right])[None].astype(np.float32))


def test_log_mel_spectrograms_are_the_golden_ones():
    golden = np.load(GOLDEN / "input.npz")
    model = MultiSource(channels=2)
    wave = stereo(int(golden["samples"]), int(golden["seed"]))
    np.testing.assert_allclose(wave[0, :, :8], golden["wave_first"], atol=1e-6)
    levels = model.log_mel(wave)[0] * model.front_end.deviation + model.front_end.mean
    np.testing.assert_allclose(levels.transpose(1, 2), golden["log_mel"], atol=2e-3)
    # The louder channel sets the floor of both.
    quiet = wave * torch.tensor([1.0, 1e-5])[:, None]
    levels = model.log_mel(quiet)[0] * model.front_end.deviation + model.front_end.mean
    assert float(levels[1].max()) == pytest.approx(float(levels[0].max()) - 80, abs=1e-3)


def test_values_are_in_the_middle_of_what_they_depend_on():
    model = MultiSource(sources=2, branch=4).eval()
    x = torch.randn(1, 1, 216, 128, generator=torch.Generator().manual_seed(0), requires_grad=True)
    for name, y, grid in model._outputs(x):
        if name in ("conv1", "conv3", "2.conv4"):
            column = y.shape[2] // 2
            (gradient,) = torch.autograd.grad(y[:, :, column].sum(), x, retain_graph=True)
            reached = gradient[0, 0].abs().sum(dim=1).nonzero()
            middle = float(reached.min() + reached.max()) / 2
            # A maximum depends on the one of its values that is largest: the field is at most as wide.
            assert float(grid.seconds(column + 1, 22_050)[-1]) == pytest.approx(middle * 256 / 22_050, abs=0.02)


def test_published_checkpoints_fill_an_encoder_with_statistics(tmp_path):
    checkpoint = published(tmp_path)
    scaler = statistics(tmp_path)
    (tmp_path / "registry.yaml").write_text(
        "encoders:\n  study:\n    class: encoders.multisource:MultiSource\n"
        "    args: {sources: [self, bpm, tag], branch: 6, channels: 2}\n    files: {statistics: scaler.npz}\n"
    )
    found = bench_json("import", checkpoint, "--encoder", "study", "--as", "kim_tag", "--json", cwd=tmp_path)
    assert found["parameters"] == 135_344 + 3 * 428_288
    model = MultiSource(sources=["self", "bpm", "tag"], branch=6, channels=2, statistics=scaler)
    load_weights(model, tmp_path / "kim_tag.safetensors")
    state = model.state_dict()
    for key, tensor in weights("MS-CR@6", 3).items():
        assert key.startswith("branches_infer.") or torch.equal(state[key], tensor), key
    np.testing.assert_allclose(state["front_end.mean"][:, 0], np.linspace(6, -40, 128), rtol=1e-6)
    assert model.has_statistics()
    without = MultiSource(sources=["self", "bpm", "tag"], branch=6, channels=2)
    with pytest.raises(EncoderError, match=r"checkpoint.pth: lacks front_end.mean, front_end.deviation"):
        load_weights(without, checkpoint)


def test_statistics_of_a_corpus_are_kept_with_the_weights(tmp_path):
    model = MultiSource()
    assert not model.has_statistics()
    untrained = model.front_end.mean[:, 0]
    np.testing.assert_allclose(untrained[[0, -1]], [5.4, -43.8], rtol=1e-6)
    waves = (
        torch.randn(3, 1, 55_125, generator=torch.Generator().manual_seed(1))
        * torch.tensor([0.1, 0.01, 0.5])[:, None, None]
    )
    model.fit_statistics([waves[:2], waves[2:]])
    levels = model.log_mel(waves)
    np.testing.assert_allclose(levels.mean(dim=(0, 1, 3)), np.zeros(128), atol=1e-3)
    np.testing.assert_allclose(levels.std(dim=(0, 1, 3), correction=0), np.ones(128), atol=1e-3)
    save_weights(model, tmp_path / "w.safetensors")
    again = MultiSource()
    load_weights(again, tmp_path / "w.safetensors")
    assert again.has_statistics()
    assert torch.equal(again.log_mel(waves), levels)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"sources": 0}, "sources must be a number from 1 on, or a list of different names, not 0"),
        ({"sources": ["tag", "tag"]}, "sources must be a number from 1 on, or a list of different names"),
        ({"sources": "tag"}, "sources must be a number from 1 on, or a list of different names, not 'tag'"),
        ({"branch": 7}, "branch must be fc, input, or a convolution from 2 to 6, not 7"),
        ({"channels": 3}, "channels must be 1 or 2, not 3"),
        ({"window": 10_000}, "window: 10000 samples give fewer than 64 frames"),
        ({"statistics": "nowhere.npz"}, "nowhere.npz: no file of arrays mean and std"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(arguments, said):
    with pytest.raises(EncoderError, match=said):
        MultiSource(**arguments)


def test_a_file_of_other_statistics_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", mean=np.zeros(128))
    with pytest.raises(EncoderError, match="other.npz: no file of arrays mean and std: .*std"):
        MultiSource(statistics=tmp_path / "other.npz")
    np.savez(tmp_path / "short.npz", mean=np.zeros(96), std=np.ones(96))
    with pytest.raises(EncoderError, match="mean and std must have 128 numbers each"):
        MultiSource(statistics=tmp_path / "short.npz")
