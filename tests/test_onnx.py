"""Models in ONNX files behind a declared front end, and the real one of basic-pitch."""

import sys

import numpy as np
import pytest
import torch
from encoder_weights import chirps

from benchmark.encoding.windows import build_encoder
from benchmark.errors import UserError
from benchmark.registry.published import fetched_folder
from benchmark.registry.registry import load_registry
from encoders.spectrograms import LogMel

onnx = pytest.importorskip("onnx", reason="onnx writes the models of these tests")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
MEL = dict(fft=512, hop=256, bands=8)
KERNEL = np.random.RandomState(0).standard_normal((8, 5)).astype(np.float32)


def written(file, shape, nodes, outputs):
    """A model of one input and a weight, [8, 5], of which `nodes` make `outputs`, name -> shape."""
    helper = onnx.helper
    graph = helper.make_graph(
        nodes,
        "tests",
        [helper.make_tensor_value_info("x", 1, shape)],
        [helper.make_tensor_value_info(name, 1, of) for name, of in outputs.items()],
        [onnx.numpy_helper.from_array(KERNEL, "w"), onnx.numpy_helper.from_array(np.array([1], np.int64), "axis")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    file.write_bytes(model.SerializeToString())


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Function from arguments of an entry to its encoder."""
    node = onnx.helper.make_node
    # Of spectrograms [16 patches, 10 frames, 8 bands]: a product in time, and its maximum without.
    nodes = [node("MatMul", ["x", "w"], ["timed"]), node("ReduceMax", ["timed"], ["pooled"], axes=[1], keepdims=0)]
    written(tmp_path / "mels.onnx", [16, 10, 8], nodes, {"timed": [16, 10, 5], "pooled": [16, 5]})
    # Of waveforms [n, 1600, 1]: every hundredth sample.
    take = [
        onnx.helper.make_node("Reshape", ["x", "parts"], ["rows"]),
        onnx.helper.make_node("ReduceMean", ["rows"], ["mean"], axes=[2], keepdims=1),
        onnx.helper.make_node("Identity", ["mean"], ["frames"]),
        onnx.helper.make_node("Constant", [], ["parts"], value_ints=[-1, 16, 100]),
    ]
    written(tmp_path / "waves.onnx", ["n", 1600, 1], [take[3], *take[:3]], {"frames": ["n", 16, 1]})

    def call(model, **args):
        entry = "{class: 'encoders.adapters.onnx:OnnxEncoder', sample_rate: 16000, files: {model: %s}, args: %s}"
        import json

        text = entry % (model, json.dumps({"sample_rate": 16_000, **args}))
        (tmp_path / "registry.yaml").write_text(f"encoders:\n  it: {text}\n")
        return build_encoder(load_registry([tmp_path]).encoder("it"), 0).eval()

    return call


@torch.inference_mode()
def test_patches_of_a_declared_spectrogram_go_through_in_batches_of_the_size_it_takes(build):
    args = dict(outputs={"t": "timed", "p": "pooled"}, front_end=MEL, axes=["batch", "time", "band"], patch=10)
    encoder = build("mels.onnx", **args)
    x = chirps(256 * 189)  # 190 frames: 19 patches of each waveform, 38 in batches of 16
    mels = LogMel(sample_rate=16_000, **MEL)(x[:, 0])
    timed = mels.transpose(1, 2) @ torch.from_numpy(KERNEL)
    representation, outputs = encoder.represent(x, encoder.layers())
    torch.testing.assert_close(outputs["t"], timed.mean(dim=1), rtol=1e-4, atol=1e-4)
    pooled = timed.reshape(2, 19, 10, 5).amax(dim=2)
    torch.testing.assert_close(representation, pooled.mean(dim=1), rtol=1e-4, atol=1e-4)
    values, seconds = encoder.frames(x)
    torch.testing.assert_close(values, pooled, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(seconds, (torch.arange(19, dtype=torch.float64) + 0.5) * 0.16)
    assert encoder.frames(x, "t")[0].shape == (2, 190, 5)
    assert encoder.dim == 5
    assert encoder.provenance == {"interface": "ONNX", "model": "mels.onnx"}
    with pytest.raises(UserError, match="layers p, t have different numbers of frames to be joined"):
        build("mels.onnx", **args, representation=["p", "t"])


@torch.inference_mode()
def test_overlapping_patches_of_a_waveform_are_cut_at_their_ends(build):
    encoder = build("waves.onnx", outputs={"f": "frames"}, axes=["batch", "time", "channel"], patch=1600, overlap=400)
    x = chirps(5_000)
    values, seconds = encoder.frames(x)
    expected = x[:, 0].reshape(2, 50, 100).mean(dim=2)
    torch.testing.assert_close(values[:, :, 0], expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(seconds, (torch.arange(50, dtype=torch.float64) + 0.5) / 160)
    plain = build("waves.onnx", outputs={"f": "frames"}, axes=["batch", "time", "channel"], patch=1600)
    torch.testing.assert_close(plain.frames(x)[0][:, :, 0], expected, atol=1e-6, rtol=0)
    assert plain.frames(x[..., :50])[0].shape == (2, 1, 1)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (dict(outputs={"t": "nothing"}), r"layer t: has no output 'nothing'; it has timed, pooled"),
        (dict(outputs={}), "representation names layers that outputs lacks"),
        (dict(outputs={"t": "timed"}, representation=["u"]), "representation names layers that outputs lacks"),
        (dict(outputs={"t": "timed"}, axes=["batch", "band"]), "axes must be band, batch, time and perhaps channel"),
        (dict(outputs={"t": "timed"}, axes=["batch", "time", "band", "channel"]), r"shape \[16, 10, 8\]; axes has 4"),
        (dict(outputs={"t": "timed"}, overlap=10), "overlap must be from 0 to less than patch, 10: 10"),
    ],
)
def test_entries_that_do_not_fit_the_file_say_why(build, args, said):
    fitting = dict(front_end=MEL, axes=["batch", "time", "band"], patch=10)
    with pytest.raises(UserError, match=said):
        build("mels.onnx", **fitting | args)


def test_a_file_that_is_none_is_refused(build, tmp_path):
    (tmp_path / "none.onnx").write_bytes(b"none")
    with pytest.raises(UserError, match="none.onnx: cannot be loaded as an ONNX model"):
        build("none.onnx", outputs={"t": "timed"})


def test_the_library_is_asked_for_where_it_is_missing(build, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"onnxruntime"):
        build("mels.onnx", outputs={"t": "timed"}, front_end=MEL, axes=["batch", "time", "band"], patch=10)


@pytest.mark.slow
@pytest.mark.skipif(
    not (fetched_folder() / "basic_pitch" / "nmp.onnx").is_file(), reason="needs bench fetch-weights basic_pitch"
)
@torch.inference_mode()
def test_basic_pitch_hears_the_notes_of_a_scale():
    encoder = build_encoder(load_registry().encoder("basic_pitch"), 0).eval()
    notes = 69 + 2 * np.arange(5)
    hertz = np.repeat(440 * 2 ** ((notes - 69) / 12), 22_050)
    phase = 2 * np.pi * np.cumsum(hertz) / 22_050
    x = torch.from_numpy((0.3 * np.sin(phase) + 0.15 * np.sin(2 * phase)).astype(np.float32))[None, None]
    values, seconds = encoder.frames(x, "note")
    middle = [int((seconds - when).abs().argmin()) for when in np.arange(5) + 0.5]
    assert [21 + int(values[0, frame].argmax()) for frame in middle] == list(notes)
    assert all(values[0, frame].max() > 0.7 for frame in middle)
    assert (encoder.dim, encoder.represent(x, ["contour"])[1]["contour"].shape) == (352, (1, 264))
