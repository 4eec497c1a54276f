"""MULE's encoder is that of golden values and of a second implementation, at any width, depth and length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mule_reference import formula, network

from benchmark.registry.registry import Registry, built_in_registry
from encoders import EncoderError
from encoders.mule import Mule
from encoders.slowfast import SlowFast
from encoders.time_grid import TimeGrid

GOLDEN = Path(__file__).parent / "golden" / "mule"


def entry(name):
    registry = Registry()
    registry.add_file(built_in_registry())
    return registry.sections["encoders"][name].entry


def built(name="mule_eighth", **changed):
    return Mule(**{**entry(name).args, **changed}).eval()


def with_formula(model, case=0):
    state = {key: torch.from_numpy(formula(key, tuple(value.shape), case)) for key, value in model.state_dict().items()}
    model.load_state_dict(state)
    return {key: value.numpy() for key, value in state.items()}


@pytest.mark.parametrize(
    ("name", "parameters", "dim"),
    [
        ("mule", 62_345_742, 1728),
        ("mule_half", 15_618_521, 864),
        ("mule_quarter", 3_920_692, 432),
        ("mule_eighth", 988_227, 216),
    ],
)
def test_parameters_and_size_of_every_entry(name, parameters, dim):
    with torch.device("meta"):
        model = SlowFast(entry(name).args.get("width", 1.0))
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert model.dim == dim
    assert len(model.state_dict()) == 480


@pytest.mark.parametrize(
    "case", ["eighth_300", "eighth_100", "eighth_61", pytest.param("full_300", marks=pytest.mark.slow)]
)
def test_representations_are_the_golden_ones(case):
    width, frames = case.split("_")
    model = built(width=1.0 if width == "full" else 0.125)
    with_formula(model.network)
    expected = np.load(GOLDEN / "networks.npz")[case]
    x = torch.from_numpy(formula(f"input {case}", (len(expected), 1, 96, int(frames))))
    with torch.inference_mode():
        found, _ = model.trunk(x[:, 0])
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5)
        found, _ = model.double().trunk(x[:, 0].double())
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


def test_the_whole_encoder_gives_the_golden_representation():
    golden = np.load(GOLDEN / "frontend.npz")
    model = built()
    with_formula(model.network)
    waveform = torch.from_numpy(golden["waveform"])[None, None]
    with torch.inference_mode():
        found = model(waveform)
        np.testing.assert_allclose(model.features(waveform)[0], golden["standardised"], atol=1e-4)
    np.testing.assert_allclose(found, golden["representation_eighth"], atol=1e-4)


@settings(max_examples=12)
@given(
    width=st.sampled_from([1 / 8, 3 / 16, 1 / 4]),
    depths=st.tuples(*[st.integers(1, 2)] * 4),
    frames=st.integers(1, 90),
    seed=st.integers(0, 99),
)
def test_every_layer_is_that_of_the_second_implementation(width, depths, frames, seed):
    model = SlowFast(width, depths).eval().double()
    weights = with_formula(model, seed)
    x = formula(f"input {seed}", (2, 1, 96, frames))
    expected = network(x, weights, depths)
    with torch.inference_mode():
        found = {name: values for name, values, _ in model.outputs(torch.from_numpy(x).double(), TimeGrid())}
    assert tuple(found) == model.layers()
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-9, atol=1e-9, err_msg=name)


def test_layers_are_the_means_of_their_frames_where_they_are_in_time():
    model = built()
    with_formula(model.network)
    waveform = torch.randn(2, 1, 48_000, generator=torch.Generator().manual_seed(0)).clamp(-1, 1) * 0.1
    with torch.inference_mode():
        representation, outputs = model.represent(waveform, model.layers())
        for name in model.layers():
            values, seconds = model.frames(waveform, name)
            torch.testing.assert_close(values.mean(dim=1), outputs[name], rtol=1e-4, atol=1e-5)
            hop = 0.04 if name.startswith("fast") else 0.16
            torch.testing.assert_close(seconds.diff(), torch.full((len(seconds) - 1,), hop, dtype=torch.float64))
            assert 0 <= seconds[0] <= hop and 3 - hop <= seconds[-1] <= 3
        whole, middle = model.frames(waveform)
        torch.testing.assert_close(whole[:, 0], representation, rtol=0, atol=0)
        assert middle.tolist() == [1.5]


@pytest.mark.parametrize("layer", ["slow_stem", "fast_stem", "fusion_1"])
def test_values_are_in_the_middle_of_what_they_depend_on(layer):
    model = SlowFast(1 / 8).eval()
    x = torch.from_numpy(formula("input field", (1, 1, 96, 300))).requires_grad_()
    _, y, grid = next(out for out in model.outputs(x, TimeGrid(0, 160)) if out[0] == layer)
    for column in (y.shape[3] // 3, y.shape[3] // 2):
        (gradient,) = torch.autograd.grad(y[..., column].sum(), x, retain_graph=True)
        reached = gradient[0, 0].abs().sum(dim=0).nonzero()
        middle = float(reached.min() + reached.max()) / 2
        assert float(grid.seconds(column + 1, 16_000)[-1]) == pytest.approx((middle * 160 + 0.5) / 16_000, abs=1e-4)


def test_a_block_is_left_out_in_training_alone_by_example_and_as_the_seed_says():
    model = SlowFast(1 / 8, (1, 1, 1, 1))
    with_formula(model)
    x = torch.from_numpy(formula("input drop", (64, 1, 96, 16)))
    model.slow.stages[3][0].drop = 0.5

    def last(seed):
        torch.manual_seed(seed)
        with torch.no_grad():
            return next(y for name, y, _ in model.outputs(x, TimeGrid()) if name == "slow_stage_4")

    model.eval()
    assert torch.equal(last(0), last(1))
    model.train()
    assert torch.equal(last(0), last(0))
    differs = (last(0) != last(1)).flatten(1).any(dim=1)
    assert 10 < int(differs.sum()) < 54
    drops = [block.drop for stage in SlowFast(1 / 8).slow.stages for block in stage]
    np.testing.assert_allclose(drops, [0.1 * k / 11 for k in range(12)])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"width": 0.1}, "width must be from 1/8 to 1, not 0.1"),
        ({"width": 2}, "width must be from 1/8 to 1"),
        ({"depths": [1, 2, 6]}, "depths must be 4 positive whole numbers"),
        ({"depths": [1, 2, 6, 0]}, "depths must be 4 positive whole numbers"),
        ({"window": 1_000}, "window: 1000 samples are too few"),
        ({"front_end": {"hop": 160}}, "front_end: missing 2 required keyword-only arguments: 'fft' and 'bands'"),
        ({"front_end": {"fft": 64, "hop": 1, "bands": 2, "colour": 1}}, "unexpected keyword argument 'colour'"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(arguments, said):
    with pytest.raises(EncoderError, match=said):
        built(**arguments)


@pytest.mark.parametrize("window", [16_000, 64_000])
def test_windows_of_single_notes(window):
    model = built(window=window)
    with torch.inference_mode():
        assert model.features(torch.zeros(1, 1, window)).shape == (1, 96, window // 160)
        assert model(torch.zeros(1, 1, window)).shape == (1, 216)
