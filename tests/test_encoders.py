"""Encoders against independently computed values: published weights, seeded weights; files of weights."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from encoder_weights import chirps, published_prefixes, published_state, seeded
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.encoding.windows import build_encoder
from benchmark.registry.registry import load_registry
from encoders import EncoderError
from encoders.features import Mfcc
from encoders.sample_cnn import SampleCNN
from encoders.tune import TUNe
from encoders.weights import load_weights, read_state, save_weights

HERE = Path(__file__).parent
LARGE_GOLDEN = HERE.parent.parent / "shared" / "golden" / "encoders"

MODELS = {
    "SampleCNN": lambda: SampleCNN(),
    "Tune5Tail": lambda: TUNe(filters=11, tail=9),
    "TunePlus": lambda: TUNe(filters=11, tail=9, plus=True),
}


def test_two_gpus_are_none_of_the_business_of_building_one(monkeypatch):
    """It is drawn on the CPU, so nobody is warned that several GPUs have generators of their own."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    before = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_encoder(load_registry().encoder("tune_plus_256"), 0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("args", "window", "count"),
    [
        ({}, 59_049, 2_368_512),
        (dict(pools=[3, 3, 3, 3, 3, 3, 5, 2, 2], sample_rate=16_000), 43_740, 2_302_976),
        (dict(pools=[3, 3, 3, 2, 2, 4, 4, 2, 2], sample_rate=8_000), 20_736, 2_171_904),
    ],
)
def test_sample_cnn_at_each_rate(args, window, count):
    encoder = SampleCNN(**args).eval()
    assert encoder.window == window
    assert encoder.parameter_count() == count
    with torch.inference_mode():
        assert encoder(torch.zeros(2, 1, window)).shape == (2, 512)


@pytest.mark.skipif(not LARGE_GOLDEN.is_dir(), reason="the large golden weights are not part of the repository")
@pytest.mark.parametrize("name", MODELS)
def test_representation_of_published_weights(name, tmp_path):
    encoder = MODELS[name]()
    golden = np.load(LARGE_GOLDEN / f"{name}.npz")
    state = {key: torch.from_numpy(golden[key]) for key in golden.files if not key.startswith("__")}
    torch.save(state, tmp_path / "published.pt")
    load_weights(encoder, tmp_path / "published.pt")
    waveform = torch.from_numpy(np.load(LARGE_GOLDEN / "input.npz")["x"])
    with torch.inference_mode():
        found = encoder.eval()(waveform)
    np.testing.assert_allclose(found, golden["__representation__"], rtol=1e-4, atol=2e-4)


@pytest.mark.skipif(not LARGE_GOLDEN.is_dir(), reason="the large golden weights are not part of the repository")
@pytest.mark.parametrize("name", MODELS)
def test_layers_of_published_weights(name, tmp_path):
    """Mean of every block's output, which the golden file holds under its published name."""
    encoder = MODELS[name]()
    golden = np.load(LARGE_GOLDEN / f"{name}.npz")
    state = {key: torch.from_numpy(golden[key]) for key in golden.files if not key.startswith("__")}
    torch.save(state, tmp_path / "published.pt")
    load_weights(encoder, tmp_path / "published.pt")
    waveform = torch.from_numpy(np.load(LARGE_GOLDEN / "input.npz")["x"])
    expected = json.loads((LARGE_GOLDEN / f"{name}.layers.json").read_text())["layers"]
    with torch.inference_mode():
        _, outputs = encoder.eval().represent(waveform, encoder.layers())
    assert len(outputs) == len(encoder.layers())
    if name == "SampleCNN":  # its golden layers are per module, pooled and not
        assert outputs["block_11"].mean().item() == pytest.approx(golden["__representation__"].mean(), abs=1e-4)
        return
    published = {
        ours.removesuffix(".conv."): theirs.removesuffix(".layers.0.")
        for ours, theirs in published_prefixes(encoder).items()
        if ours.endswith(".conv.")
    }
    for ours, theirs in published.items():
        room, _, index = ours.partition(".")
        layer = {
            "contractive": f"contractive_{index}",
            "bottleneck": "bottleneck",
            "tail": f"tail_{int(index or 0) + 1}",
        }
        layer["expansive"] = f"expansive_{3 - int(index or 0)}"
        assert outputs[layer[room]].mean().item() == pytest.approx(expected[theirs]["mean"], abs=2e-5), theirs


@pytest.mark.parametrize("name", MODELS)
def test_representation_of_seeded_weights(name):
    """Small regression values, computed after the large golden ones agreed."""
    expected = json.loads((HERE / "golden" / "encoders.json").read_text())[name]
    encoder = seeded(MODELS[name](), 7)
    with torch.inference_mode():
        found = encoder(chirps(encoder.window)).numpy()
    np.testing.assert_allclose(found[:, :8], expected["first"], rtol=1e-4, atol=2e-4)
    np.testing.assert_allclose(found.mean(axis=1), expected["mean"], rtol=1e-4)
    np.testing.assert_allclose(found.std(axis=1), expected["std"], rtol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_one_pass_serves_all_layers(name):
    encoder = seeded(MODELS[name](), 3)
    waveform = chirps(encoder.window)
    with torch.inference_mode():
        representation, outputs = encoder.represent(waveform, encoder.layers())
        assert torch.equal(representation, encoder(waveform))
        assert list(outputs) == list(encoder.layers())
        some = encoder.layers()[2]
        assert torch.equal(outputs[some], encoder(waveform, layer=some))
    torch.testing.assert_close(outputs[encoder.layers()[-1]], representation)


def test_expansive_variants_skip_published_numbers():
    names = set(published_prefixes(TUNe(filters=34, expansive=3, tail=3)).values())
    assert {"conv8.layers.0.", "convDown2.layers.0.", "convDown4.layers.1."} <= names
    assert not {"conv9.layers.0.", "convDown1.layers.0.", "transposedConv9."} & names


def test_deeper_variants_have_published_names():
    names = set(published_prefixes(TUNe(filters=9, contractive=6, expansive=6)).values())
    assert {
        "deeperDown1.layers.0.",
        "deeperDown2.layers.0.",
        "transposedDeeper2.",
        "deeperUp1.layers.1.",
        "conv9.layers.0.",
    } <= names


@settings(max_examples=20)
@given(contractive=st.integers(1, 4), data=st.data())
def test_any_valid_shape_gives_the_representation_size_it_was_asked_for(contractive, data):
    expansive = data.draw(st.integers(1, contractive))
    plus = data.draw(st.booleans())
    tail = data.draw(st.integers(expansive if plus else 1, 5))
    dim = data.draw(st.integers(1, 40))
    encoder = TUNe(
        filters=2, contractive=contractive, expansive=expansive, tail=tail, plus=plus, dim=dim, window=19_683
    )
    with torch.inference_mode():
        representation, outputs = encoder.eval().represent(torch.randn(2, 1, 19_683), encoder.layers())
    assert representation.shape == (2, dim)
    assert len(outputs) == contractive + 1 + expansive + tail


@pytest.mark.parametrize(
    "args",
    [
        dict(filters=4, contractive=3, expansive=4),
        dict(filters=4, tail=3, plus=True),
        dict(filters=4, tail=11),
        dict(filters=4, window=59_050),
        dict(filters=4, tail=2, tail_widths=[8, 9]),
    ],
)
def test_impossible_shapes_are_refused(args):
    with pytest.raises(EncoderError):
        TUNe(**args)


@pytest.mark.parametrize("shape", [(2, 59_049), (1, 2, 59_049), (1, 1, 59_048), (1, 1, 118_098)])
def test_waveforms_of_another_shape_are_refused(shape):
    with pytest.raises(EncoderError):
        TUNe(filters=2, tail=9)(torch.zeros(shape))


def test_unknown_layer_names_those_there_are():
    with pytest.raises(EncoderError, match="bottleneck"):
        TUNe(filters=2)(torch.zeros(1, 1, 59_049), layer="nope")


def test_weights_survive_the_file(tmp_path):
    encoder = seeded(TUNe(filters=3), 1)
    save_weights(encoder, tmp_path / "w.safetensors", {"recipe": "x"})
    other = TUNe(filters=3)
    load_weights(other, tmp_path / "w.safetensors")
    for key, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[key])


def test_the_same_weights_have_the_same_bytes(tmp_path):
    about = {"encoder": "a", "corpus": "b", "recipe": "c", "seed": "0"}
    for name in ("one", "two", "three"):
        save_weights(seeded(TUNe(filters=3), 1), tmp_path / name, about)
    assert len({(tmp_path / name).read_bytes() for name in ("one", "two", "three")}) == 1


def test_an_encoder_without_weights_has_a_file_too(tmp_path):
    class Nothing(Mfcc):
        def state_dict(self, *args, **kwargs):
            return {}

    save_weights(Nothing(), tmp_path / "w.safetensors")
    assert read_state(tmp_path / "w.safetensors") == {}


def test_published_names_load(tmp_path):
    encoder = seeded(SampleCNN(), 1)
    torch.save(published_state(encoder), tmp_path / "w.pt")
    other = SampleCNN()
    load_weights(other, tmp_path / "w.pt")
    assert torch.equal(other.blocks[3].conv.weight, encoder.blocks[3].conv.weight)


def test_weights_that_do_not_fit_are_refused(tmp_path):
    save_weights(TUNe(filters=3), tmp_path / "w.safetensors")
    with pytest.raises(EncoderError, match=r"contractive.0.conv.weight has shape \[3, 1, 3\], the encoder \[4, 1, 3\]"):
        load_weights(TUNe(filters=4), tmp_path / "w.safetensors")
    with pytest.raises(EncoderError, match="lacks tail.4"):
        load_weights(TUNe(filters=3, tail=5), tmp_path / "w.safetensors")


class Malicious:
    def __reduce__(self):
        import os

        return os.mkdir, ("pwned",)


def test_weights_never_run_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Malicious()}, tmp_path / "w.pt")
    with pytest.raises(EncoderError, match="not readable as weights"):
        read_state(tmp_path / "w.pt")
    assert not Path("pwned").exists()


def test_files_that_are_no_weights_are_refused(tmp_path):
    (tmp_path / "w.safetensors").write_text("<html>")
    with pytest.raises(EncoderError, match="not readable as weights"):
        read_state(tmp_path / "w.safetensors")
    with pytest.raises(EncoderError, match="no such file"):
        read_state(tmp_path / "missing.pt")
