"""What every class of `encoders` computes, to five digits: changing it is to raise the class's VERSION."""

import importlib
import inspect
import json
import pkgutil
from pathlib import Path

import numpy as np
import pytest
import torch
from encoder_weights import behind_its_front_end, chirps, seeded
from test_adapters import FUNCTION, HEAR, XARES, make_model
from test_mule import built, with_formula
from test_onnx import MEL, onnx, written

import encoders
from encoders.adapters.callable import CallableEncoder
from encoders.adapters.hear import HearEncoder
from encoders.adapters.huggingface import HuggingFaceEncoder
from encoders.adapters.onnx import OnnxEncoder
from encoders.adapters.xares import XaresEncoder
from encoders.base import Encoder
from encoders.choi import Choi
from encoders.cpc import CPC
from encoders.crepe import Crepe
from encoders.features import Chroma, Mfcc
from encoders.multisource import MultiSource
from encoders.musicnn import Musicnn, MusicnnVgg
from encoders.sample_cnn import SampleCNN
from encoders.tune import TUNe

GOLDEN = Path(__file__).with_name("golden") / "encoders.json"


def hugging_face(folder):
    make_model(folder)
    encoder = HuggingFaceEncoder(model=folder / "model")
    # By the shapes alone, for the names and the order of tensors change with the library.
    for name, tensor in encoder.state_dict().items():
        values = 0.1 * torch.from_numpy(np.random.RandomState(tensor.numel()).standard_normal(tuple(tensor.shape)))
        tensor.copy_(values + (tensor.ndim == 1 and name.endswith("weight")))
    return encoder.eval()


def onnx_model(folder):
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    nodes = [onnx.helper.make_node("MatMul", ["x", "w"], ["timed"])]
    written(folder / "mels.onnx", ["n", 10, 8], nodes, {"timed": ["n", 10, 5]})
    return OnnxEncoder(
        model=folder / "mels.onnx", sample_rate=16_000, outputs={"t": "timed"}, axes=["batch", "time", "band"],
        front_end=MEL, patch=10, overlap=4,
    )  # fmt: skip


def mule():
    encoder = built()
    with_formula(encoder.network)
    return encoder


BUILD = {
    "TUNe": lambda folder: seeded(TUNe(filters=3, tail=9, dim=16, plus=True), 0),
    "SampleCNN": lambda folder: seeded(SampleCNN(), 0),
    "Mule": lambda folder: mule(),
    "MultiSource": lambda folder: behind_its_front_end(MultiSource(sources=["self", "tag"], branch=4), 0),
    "CPC": lambda folder: seeded(CPC(channels=16, context=8, window=9_600), 0),
    "Musicnn": lambda folder: behind_its_front_end(Musicnn("magnatagatune"), 0),
    "MusicnnVgg": lambda folder: behind_its_front_end(MusicnnVgg("million_song"), 0),
    "Choi": lambda folder: behind_its_front_end(Choi(), 0),
    "Mfcc": lambda folder: Mfcc().eval(),
    "Chroma": lambda folder: Chroma().eval(),
    "HearEncoder": lambda folder: seeded(HearEncoder(module="version_hear"), 0),
    "XaresEncoder": lambda folder: seeded(XaresEncoder(module="version_xares"), 0),
    "CallableEncoder": lambda folder: CallableEncoder(module="version_function:embed", sample_rate=22_050, dim=4),
    "HuggingFaceEncoder": hugging_face,
    "Crepe": lambda folder: seeded(Crepe("tiny"), 0),
    "OnnxEncoder": onnx_model,
}


def computed(encoder):
    """Numbers that change with the representation, the layers or the frames."""
    waveform = chirps(encoder.window or 22_050)
    representation, outputs = encoder.represent(waveform, encoder.layers())
    values, seconds = encoder.frames(waveform)
    layers = [float(output.double().std()) for output in outputs.values()]
    scale = [float(part.double().std()) for part in (representation, values)]
    return [*map(float, representation[0, :4]), *scale, *layers[:: max(1, len(layers) // 4)], float(seconds.sum())]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where modules of the adapters' models lie."""
    for name, text in (("hear", HEAR), ("xares", XARES), ("function", FUNCTION)):
        (tmp_path / f"version_{name}.py").write_text(text)
        monkeypatch.delitem(importlib.import_module("sys").modules, f"version_{name}", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", BUILD)
@torch.inference_mode()
def test_what_a_class_computes_goes_with_its_version(name, folder):
    encoder = BUILD[name](folder)
    expected = json.loads(GOLDEN.read_text())["classes"].get(name, {"version": None, "computed": []})
    found = computed(encoder)
    entry = json.dumps({name: {"version": encoder.VERSION, "computed": [float(f"{value:.8g}") for value in found]}})
    put = f"then put into the classes of {GOLDEN.name}: {entry}"
    # A number near zero is compared on the scale of the others.
    same = len(found) == len(expected["computed"]) and np.allclose(found, expected["computed"], rtol=1e-5, atol=1e-5)
    if expected["version"] == encoder.VERSION:
        assert same, f"what {name} computes has changed: raise VERSION of {name}, {put}"
    assert expected["version"] == encoder.VERSION, f"VERSION of {name} is new: see that it is raised by one, {put}"


def test_every_class_has_its_numbers():
    found = set()
    for module in pkgutil.walk_packages(encoders.__path__, "encoders."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if inspect.isclass(value) and issubclass(value, Encoder) and not inspect.isabstract(value):
                found.add(name)
    assert found == set(BUILD)
