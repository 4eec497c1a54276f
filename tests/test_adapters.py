"""Other people's encoders: HEAR, X-ARES, plain functions and Hugging Face models, all made here, nothing fetched."""

import json
import socket
import sys
import types

import numpy as np
import pytest
import torch
from conftest import bench_json
from encoder_weights import chirps

from benchmark.console import Silent
from benchmark.encoding.windows import build_encoder
from benchmark.errors import UserError
from benchmark.plan.encoder_spec import encoder_spec
from benchmark.plan.planner import Planner
from benchmark.registry.foreign_packages import foreign_packages
from benchmark.registry.registry import load_registry
from benchmark.store.store import Store
from encoders import EncoderError
from encoders.adapters.hear import HearEncoder

HEAR = """
import torch
class Model(torch.nn.Module):
    sample_rate, scene_embedding_size, timestamp_embedding_size = 16000, 3, 2
def load_model(path=""):
    model = Model()
    model.gain = torch.nn.Parameter(torch.tensor(float(open(path).read())) if path else torch.tensor(1.0))
    return model
def get_scene_embeddings(audio, model):
    return model.gain * torch.stack([audio.mean(1), audio.std(1), audio.abs().amax(1)], dim=1)
def get_timestamp_embeddings(audio, model):
    frames = audio.unfold(1, 800, 800)
    times = torch.arange(frames.shape[1]) * 50.0 + 25
    return torch.stack([frames.mean(2), frames.std(2)], 2), times.repeat(len(audio), 1)
"""
XARES = """
import torch
class AudioEncoder(torch.nn.Module):
    def __init__(self, width=5):
        super().__init__()
        self.sampling_rate, self.output_dim, self.hop_size_in_ms = 16000, width, 20
        self.layer = torch.nn.Linear(320, width)
    def forward(self, audio):
        return self.layer(audio.unfold(1, 320, 320))
"""
FUNCTION = """
import numpy as np
def embed(audio, sample_rate, scale=1.0):
    assert audio.dtype == np.float32 and audio.ndim == 1
    frames = audio[: len(audio) // 2205 * 2205].reshape(-1, 2205)
    rates = np.full(len(frames), sample_rate)
    return scale * np.stack([frames.mean(1), frames.std(1), np.abs(frames).max(1), rates], 1)
def timed(audio, sample_rate):
    frames = embed(audio, sample_rate)
    return frames, np.arange(len(frames)) * 0.1 + 0.05
def whole(audio, sample_rate):
    return embed(audio, sample_rate).mean(0)
"""
ENTRIES = """
encoders:
  heard:
    class: encoders.adapters.hear:HearEncoder
    args: {module: some_hear}
    files: {model_file: gain.txt}
  crossed: {class: "encoders.adapters.xares:XaresEncoder", args: {module: some_xares}, sample_rate: 16000}
  vector: {class: "encoders.adapters.callable:CallableEncoder",
           args: {module: "some_function:whole", sample_rate: 22050, dim: 4}}
  called: {class: "encoders.adapters.callable:CallableEncoder",
           args: {module: "some_function:embed", sample_rate: 22050, dim: 4, options: {scale: 2.0}}}
  timed: {class: "encoders.adapters.callable:CallableEncoder",
          args: {module: "some_function:timed", sample_rate: 22050, dim: 4}}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A user's folder of foreign encoders and their entries; its modules are forgotten afterwards."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name, text in (("some_hear", HEAR), ("some_xares", XARES), ("some_function", FUNCTION)):
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "gain.txt").write_text("2.0")
    (tmp_path / "registry.yaml").write_text(ENTRIES)
    return tmp_path


@pytest.fixture
def build(folder):
    return lambda name: build_encoder(load_registry([folder]).encoder(name), 0).eval()


def waveform(rate):
    return chirps(rate)  # one second


@torch.inference_mode()
def test_a_hear_module_gives_scenes_and_timestamps(build):
    encoder = build("heard")
    x = waveform(16_000)
    audio = x[:, 0]
    expected = 2 * torch.stack([audio.mean(1), audio.std(1), audio.abs().amax(1)], dim=1)
    torch.testing.assert_close(encoder(x), expected)
    values, seconds = encoder.frames(x)
    assert values.shape == (2, 20, 2)
    torch.testing.assert_close(seconds, torch.arange(20, dtype=torch.float64) * 0.05 + 0.025)
    assert (encoder.dim, encoder.sample_rate, encoder.parameter_count()) == (3, 16_000, 1)
    assert encoder.provenance == {"interface": "HEAR", "module": "some_hear"}


def test_a_tensorflow_hear_model_gets_tensors_of_its_own(monkeypatch):
    tensorflow = types.ModuleType("tensorflow")
    tensorflow.convert_to_tensor = lambda array: ("tensorflow", array)

    class Model:
        sample_rate, scene_embedding_size, timestamp_embedding_size = 16_000, 1, 1

    module = types.ModuleType("some_tf_hear")
    module.load_model = Model
    module.get_scene_embeddings = lambda audio, model: audio[1].max(axis=1, keepdims=True)
    module.get_timestamp_embeddings = lambda audio, model: (audio[1][:, :2, None], np.array([[5.0, 15.0]] * 2))
    monkeypatch.setitem(sys.modules, "tensorflow", tensorflow)
    monkeypatch.setitem(sys.modules, "some_tf_hear", module)
    encoder = HearEncoder(module="some_tf_hear")
    x = waveform(16_000)
    torch.testing.assert_close(encoder(x), x.amax(dim=2))
    values, seconds = encoder.frames(x)
    torch.testing.assert_close(values, x[:, 0, :2, None])
    assert seconds.tolist() == [0.005, 0.015]


@torch.inference_mode()
def test_a_hear_module_without_timestamps_has_one_frame(folder, build):
    (folder / "some_hear.py").write_text(HEAR.replace("get_timestamp_embeddings", "get_others"))
    encoder = build("heard")
    values, seconds = encoder.frames(waveform(16_000))
    assert torch.equal(values[:, 0], encoder(waveform(16_000)))
    assert seconds.tolist() == [0.5]


@torch.inference_mode()
def test_frames_of_xares_lie_inside_clips_whether_or_not_the_model_pads(folder, build):
    unpadded = build("crossed")
    (folder / "some_xares.py").write_text(
        XARES.replace("self.layer(audio", "self.layer(F.pad(audio, (160, 160))").replace(
            "import torch", "import torch\nfrom torch.nn import functional as F", 1
        )
    )
    sys.modules.pop("some_xares")
    padded = build("crossed")
    for samples in (320, 1_000, 15_999, 16_000, 16_001):
        for encoder, first in ((unpadded, 160), (padded, 0)):
            values, seconds = encoder.frames(chirps(samples))
            assert values.shape[1] == len(seconds) == 1 + (samples - 320 + (320 if encoder is padded else 0)) // 320
            assert 0 <= seconds[0] <= seconds[-1] <= samples / 16_000
            assert abs(seconds[0] * 16_000 - first) <= 160


@torch.inference_mode()
def test_an_xares_encoder_is_averaged_over_its_frames(build):
    encoder = build("crossed")
    x = waveform(16_000)
    values, seconds = encoder.frames(x)
    torch.testing.assert_close(values, encoder.model(x[:, 0]))
    torch.testing.assert_close(encoder(x), values.mean(dim=1))
    torch.testing.assert_close(seconds, torch.arange(50, dtype=torch.float64) * 0.02 + 0.01)
    assert (encoder.dim, encoder.parameter_count()) == (5, 5 * 321)
    assert encoder.provenance["module"] == "some_xares:AudioEncoder"


def test_a_function_is_called_for_each_waveform(build):
    x = waveform(22_050)
    encoder = build("called")
    frames = x[:, 0].reshape(2, 10, 2205)
    expected = 2 * torch.stack(
        [frames.mean(2), frames.std(2, correction=0), frames.abs().amax(2), torch.full((2, 10), 22_050.0)], dim=2
    )
    values, seconds = encoder.frames(x)
    torch.testing.assert_close(values, expected)
    torch.testing.assert_close(encoder(x), expected.mean(dim=1))
    times = torch.arange(10, dtype=torch.float64) * 0.1 + 0.05
    torch.testing.assert_close(seconds, times)
    timed, given = build("timed").frames(x)
    torch.testing.assert_close(timed, expected / 2)
    torch.testing.assert_close(given, times)


def test_a_function_may_give_one_vector(build):
    x = waveform(22_050)
    encoder = build("vector")
    torch.testing.assert_close(encoder(x), build("called")(x) / 2)
    values, seconds = encoder.frames(x)
    assert values.shape == (2, 1, 4)
    assert seconds.tolist() == [0.5]


def test_foreign_encoders_are_scored_and_never_trained(folder, mtt):
    """The rate of a HEAR model is its own, which its entry need not say."""
    data, _ = mtt
    names = [argument for name in ("heard", "crossed", "called", "vector") for argument in ("--encoder", name)]
    records = bench_json(
        "run", *names, "--task", "mtt", "--data", data, "--store", folder / "store", "--registry", folder, cwd=folder
    )
    found = {record["encoder"]: (record["recipe"], record["dim"]) for record in records}
    dims = {"heard": 3, "crossed": 5, "called": 4, "vector": 4}
    assert found == {name: ("as-given", dim) for name, dim in dims.items()}


def weights_key(folder, name, tmp_path):
    planner = Planner(load_registry([folder]), Store(tmp_path / "store"), Silent(), data=None)
    return planner.initialise_step(planner.registry.encoder(name), 0).key


@pytest.mark.parametrize(
    ("name", "file"), [("heard", "some_hear.py"), ("heard", "gain.txt"), ("called", "some_function.py")]
)
def test_an_edited_model_is_another_model(folder, tmp_path, name, file):
    before = weights_key(folder, name, tmp_path)
    assert weights_key(folder, name, tmp_path) == before
    text = (folder / file).read_text()
    (folder / file).write_text("3.0" if file == "gain.txt" else text + "\n# edited\n")
    assert weights_key(folder, name, tmp_path) != before


def test_packages_behind_an_encoder_are_in_its_key_and_record(folder, tmp_path, monkeypatch):
    """Version and weights of what its module imports; what bench needs itself, and what has no part in it, is not."""
    installed = tmp_path / "site-packages"
    for name, version in (("deepears", "1.2"), ("bystander", "3.0")):
        (installed / name).mkdir(parents=True)
        (installed / name / "__init__.py").write_text("")
        (installed / f"{name}-{version}.dist-info").mkdir()
        (installed / f"{name}-{version}.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    monkeypatch.syspath_prepend(installed)
    file = folder / "some_function.py"
    plain = weights_key(folder, "called", tmp_path)
    assert "packages" not in encoder_spec(load_registry([folder]).encoder("called"))
    file.write_text("import numpy, torch\n" + FUNCTION)
    assert "packages" not in encoder_spec(load_registry([folder]).encoder("called"))
    file.write_text("def late():\n    import deepears.model\n" + FUNCTION)

    def spec():
        return encoder_spec(load_registry([folder]).encoder("called"))["packages"]

    assert spec() == {"deepears": {"version": "1.2"}}
    keys = [plain, weights_key(folder, "called", tmp_path)]
    (installed / "deepears" / "data").mkdir()
    (installed / "deepears" / "data" / "model.h5").write_bytes(b"weights")
    keys.append(weights_key(folder, "called", tmp_path))
    (installed / "deepears" / "data" / "model.h5").write_bytes(b"Weights")
    keys.append(weights_key(folder, "called", tmp_path))
    (installed / "deepears-1.2.dist-info" / "METADATA").write_text("Name: deepears\nVersion: 1.3\n")
    keys.append(weights_key(folder, "called", tmp_path))
    assert len(set(keys)) == 5
    (installed / "deepears" / "readme.txt").write_text("no weights")
    assert weights_key(folder, "called", tmp_path) == keys[-1]

    step = Planner(load_registry([folder]), Store(tmp_path / "store"), Silent(), None).initialise_step(
        load_registry([folder]).encoder("called"), 0
    )
    facts = step.of.compute(step, {}, tmp_path, Silent())
    assert facts["provenance"]["package deepears"] == f"1.3, weights {spec()['deepears']['weights'][:8]}"


def test_encoders_that_ship_name_no_packages():
    registry = load_registry()
    for named in registry.sections["encoders"].values():
        assert foreign_packages(named) == {}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{class: 'encoders.adapters.hear:HearEncoder', args: {module: some_xares}}", "has no 'load_model'"),
        ("{class: 'encoders.adapters.hear:HearEncoder', args: {module: nowhere_at_all}}", "No module named"),
        (
            "{class: 'encoders.adapters.hear:HearEncoder', args: {module: some_hear}, sample_rate: 8000}",
            "say `sample_rate: 16000`",
        ),
        ("{class: 'encoders.adapters.xares:XaresEncoder', args: {module: some_hear}}", r"one class named \*Encoder"),
        ("{class: 'encoders.adapters.callable:CallableEncoder', args: {module: f, sample_rate: 1, dim: 1}}", "module:"),
        (
            "{class: 'encoders.adapters.hear:HearEncoder', args: {module: some_hear}, files: {model_file: no.pt}}",
            r"files.model_file: there is no .*/no.pt",
        ),
        (
            "{class: 'encoders.adapters.hear:HearEncoder', args: {module: m}, files: {module: a}}",
            "in args and in files",
        ),
    ],
)
def test_what_does_not_fit_is_said(folder, build, entry, message):
    (folder / "registry.yaml").write_text(f"encoders:\n  wrong: {entry}\n")
    with pytest.raises(UserError, match=message) as caught:
        build("wrong")
    assert "registry.yaml:2" in str(caught.value)


def test_frames_of_another_size_are_refused(folder, build):
    (folder / "registry.yaml").write_text(ENTRIES.replace("dim: 4,", "dim: 7,"))
    with pytest.raises(EncoderError, match=r"shape \[2, 10, 4\] for 2 waveforms; expected \[2, frames, 7\]"):
        build("called")(waveform(22_050))


def test_times_that_are_not_those_of_the_frames_are_refused(folder, build):
    (folder / "some_function.py").write_text(FUNCTION.replace("return frames, np", "return frames, np.zeros(3) #"))
    with pytest.raises(EncoderError, match=r"gave times of shape \[3\] for 10 frames"):
        build("timed").frames(waveform(22_050))


def make_model(folder, kind="Wav2Vec2", normalise=True, **settings):
    transformers = pytest.importorskip("transformers", reason="the extra huggingface is not installed")
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=[8] * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        **settings,
    )
    model = getattr(transformers, f"{kind}Model")(config).eval()
    model.save_pretrained(folder / "model")
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=normalise)
    extractor.save_pretrained(folder / "model")
    (folder / "registry.yaml").write_text(
        """
encoders:
  hub:
    class: encoders.adapters.huggingface:HuggingFaceEncoder
    files: {model: model}
    sample_rate: 16000
  hub_2:
    class: encoders.adapters.huggingface:HuggingFaceEncoder
    args: {layer: 2}
    files: {model: model}
    sample_rate: 16000
"""
    )
    return model, extractor


@pytest.mark.parametrize(("kind", "normalise"), [("Wav2Vec2", True), ("Hubert", False)])
@torch.inference_mode()
def test_a_hugging_face_model_is_averaged_over_its_frames(folder, build, kind, normalise):
    model, extractor = make_model(folder, kind, normalise)
    encoder = build("hub")
    x = 0.3 * waveform(16_000) + 0.1
    given = extractor(list(x[:, 0].numpy()), sampling_rate=16_000, return_tensors="pt").input_values
    expected = model(given, output_hidden_states=True)
    torch.testing.assert_close(encoder(x), expected.last_hidden_state.mean(dim=1), rtol=1e-4, atol=1e-5)
    representation, outputs = encoder.represent(x, encoder.layers())
    torch.testing.assert_close(representation, encoder(x))
    assert list(outputs) == ["layer_0", "layer_1", "layer_2", "layer_3"]
    for output, state in zip(outputs.values(), expected.hidden_states, strict=True):
        torch.testing.assert_close(output, state.mean(dim=1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(build("hub_2")(x), outputs["layer_2"])
    values, seconds = encoder.frames(x)
    assert values.shape == (2, 49, 16)  # hops of 320 samples, frames of 400
    torch.testing.assert_close(seconds, (torch.arange(49, dtype=torch.float64) * 320 + 200) / 16_000)
    for name, state in zip(encoder.layers(), expected.hidden_states, strict=True):
        of_layer, when = encoder.frames(x, name)
        torch.testing.assert_close(of_layer, state, rtol=1e-4, atol=1e-5)
        assert torch.equal(when, seconds)
    assert encoder.frames(x[..., :100])[1].tolist() == [50 / 16_000]
    assert encoder.provenance["revision"] == "local folder"
    assert torch.isfinite(encoder(torch.zeros(1, 1, 100))).all()


def test_a_hugging_face_model_without_some_weights_is_refused(folder, build):
    import safetensors.torch

    make_model(folder)
    file = folder / "model" / "model.safetensors"
    state = safetensors.torch.load_file(file)
    gone = "encoder.layers.1.attention.k_proj.weight"
    safetensors.torch.save_file({k: v for k, v in state.items() if k != gone}, file, {"format": "pt"})
    with pytest.raises(UserError, match=f"its file lacks 1 weights of the model, {gone} the first"):
        build("hub")


def test_a_model_that_is_not_here_is_not_fetched(folder, build, monkeypatch):
    pytest.importorskip("transformers", reason="the extra huggingface is not installed")
    monkeypatch.setenv("HF_HOME", str(folder / "hf"))
    asked = []
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: asked.append(address))
    commit = "0123456789abcdef0123456789abcdef01234567"
    args = f"{{model: nobody/nothing, revision: {commit}}}"
    (folder / "registry.yaml").write_text(
        f"encoders:\n  gone: {{class: 'encoders.adapters.huggingface:HuggingFaceEncoder', args: {args}}}\n"
    )
    with pytest.raises(
        UserError, match=f"run `hf download nobody/nothing --revision {commit}`, or put `download: true`"
    ):
        build("gone")
    assert asked == []


def test_a_model_that_takes_no_audio_is_refused(folder, build):
    make_model(folder)
    (folder / "model" / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(UserError, match="a bert model takes input_ids, and no audio"):
        build("hub")


COMMIT = "0f" * 20


@pytest.mark.parametrize(("revision", "recorded"), [(None, "unpinned"), ("main", "unpinned"), (COMMIT, COMMIT)])
def test_only_a_commit_pins_a_model(folder, monkeypatch, revision, recorded):
    """A model in the layout of the Hub's cache, found by name without asking the Hub."""
    make_model(folder)
    import huggingface_hub.constants

    from encoders.adapters.huggingface import HuggingFaceEncoder

    cached = folder / "hub" / "models--owner--name"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(COMMIT)
    (cached / "snapshots").mkdir()
    (folder / "model").rename(cached / "snapshots" / COMMIT)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder / "hub"))
    asked = []
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: asked.append(address))
    encoder = HuggingFaceEncoder(model="owner/name", revision=revision)
    found = encoder.provenance
    assert (found["model"], found["revision"], found["commit"]) == ("owner/name", recorded, COMMIT)
    assert asked == []


def save_featured(folder, kind):
    """A small model of a real configuration that takes what its processor makes, with random weights."""
    transformers = pytest.importorskip("transformers", reason="the extra huggingface is not installed")
    torch.manual_seed(0)
    common = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
    if kind == "ast":
        model = transformers.ASTModel(transformers.ASTConfig(**common, max_length=128))
        processor = transformers.ASTFeatureExtractor(max_length=128)
    elif kind == "whisper":
        sizes = dict(d_model=16, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2)
        sizes |= dict(decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, vocab_size=50, pad_token_id=1)
        sizes |= dict(bos_token_id=1, eos_token_id=2, decoder_start_token_id=1, max_source_positions=50)
        model = transformers.WhisperModel(transformers.WhisperConfig(**sizes))
        processor = transformers.WhisperFeatureExtractor(chunk_length=1)
    elif kind == "encodec":
        sizes = dict(num_filters=4, hidden_size=16, num_residual_layers=1, upsampling_ratios=[8, 5, 4, 2])
        model = transformers.EncodecModel(transformers.EncodecConfig(**sizes, codebook_size=8, codebook_dim=16))
        processor = transformers.EncodecFeatureExtractor()
    else:
        audio = dict(depths=[1, 1], num_attention_heads=[1, 2], patch_embeds_hidden_size=8, num_hidden_layers=2)
        audio |= dict(hidden_size=16, num_mel_bins=64, spec_size=256, enable_fusion=False, projection_dim=16)
        text = dict(**common, vocab_size=30, projection_dim=16)
        config = transformers.ClapConfig(audio_config=audio, text_config=text, projection_dim=16)
        model = transformers.ClapModel(config)
        processor = transformers.ClapFeatureExtractor(truncation="rand_trunc", padding="repeatpad")
    model.eval().save_pretrained(folder / "model")
    processor.save_pretrained(folder / "model")
    extra = "    args: {part: encoder, channels_first: true}\n" if kind == "encodec" else ""
    (folder / "registry.yaml").write_text(
        "encoders:\n  hub:\n    class: encoders.adapters.huggingface:HuggingFaceEncoder\n"
        f"{extra}    files: {{model: model}}\n    sample_rate: {processor.sampling_rate}\n"
    )
    return model, processor


@torch.inference_mode()
def test_ast_is_the_mean_of_its_tokens(folder, build):
    model, processor = save_featured(folder, "ast")
    encoder = build("hub")
    assert encoder.max_window == 20_480  # 1.28 s, of which its processor would cut the rest without a word
    x = 0.3 * waveform(16_000)
    given = processor(list(x[:, 0].numpy()), sampling_rate=16_000, return_tensors="pt")
    expected = model(**given, output_hidden_states=True)
    torch.testing.assert_close(encoder(x), expected.last_hidden_state.mean(dim=1))
    representation, outputs = encoder.represent(x, encoder.layers())
    torch.testing.assert_close(representation, encoder(x))
    assert list(outputs) == ["layer_0", "layer_1", "layer_2"]
    torch.testing.assert_close(outputs["layer_1"], expected.hidden_states[1].mean(dim=1))
    assert encoder.frames(x, "layer_1")[0].shape == (2, 1, 16)  # its tokens are no frames in time


@torch.inference_mode()
def test_of_a_model_with_a_decoder_the_encoder_hears(folder, build):
    model, processor = save_featured(folder, "whisper")
    encoder = build("hub")
    assert encoder.max_window == 16_000
    x = 0.3 * waveform(16_000)
    given = processor(list(x[:, 0].numpy()), sampling_rate=16_000, return_tensors="pt")
    expected = model.encoder(given.input_features).last_hidden_state
    torch.testing.assert_close(encoder(x), expected.mean(dim=1))
    assert encoder.parameter_count() == sum(one.numel() for one in model.encoder.parameters())


@torch.inference_mode()
def test_of_clap_the_audio_tower_hears(folder, build):
    model, processor = save_featured(folder, "clap")
    encoder = build("hub")
    assert (encoder.sample_rate, encoder.max_window) == (48_000, 480_000)
    x = 0.3 * waveform(48_000)
    given = processor(list(x[:, 0].numpy()), sampling_rate=48_000, return_tensors="pt")
    expected = model.audio_model(**given).last_hidden_state
    torch.testing.assert_close(encoder(x), expected.flatten(2).mean(dim=2))
    assert encoder.dim == 16


@torch.inference_mode()
def test_frames_of_a_codec_are_counted(folder, build):
    """Continuous frames, before they are quantised, 320 samples apart."""
    model, _ = save_featured(folder, "encodec")
    encoder = build("hub")
    x = 0.3 * waveform(24_000)
    values, seconds = encoder.frames(x)
    torch.testing.assert_close(values, model.encoder(x).transpose(1, 2))
    assert values.shape == (2, 75, 16)
    torch.testing.assert_close(seconds.diff(), torch.full((74,), 320 / 24_000, dtype=torch.float64))
    assert encoder.layers() == ()


def test_parts_that_are_not_there_are_named(folder, build):
    save_featured(folder, "encodec")
    text = (folder / "registry.yaml").read_text()
    (folder / "registry.yaml").write_text(text.replace("part: encoder", "part: encodr"))
    with pytest.raises(UserError, match="has no part 'encodr'; it has encoder, decoder"):
        build("hub")


LAYERED = """
def embed(audio, sample_rate):
    frames = audio[: len(audio) // 2205 * 2205].reshape(-1, 2205)
    return {"first": frames[:, :3], "second": (frames[::2, :2], [0.1, 0.3, 0.5, 0.7, 0.9]), "other": frames}
"""


@torch.inference_mode()
def test_a_function_may_give_layers(folder, build):
    (folder / "some_function.py").write_text(LAYERED)
    entry = (
        "class: 'encoders.adapters.callable:CallableEncoder', args: {module: 'some_function:embed', sample_rate: 22050"
    )
    (folder / "registry.yaml").write_text(
        f"encoders:\n  last: {{{entry}, dim: 2, layers: [first, second]}}}}\n"
        f"  first: {{{entry}, dim: 3, layers: [first, second], layer: first}}}}\n"
        f"  lacking: {{{entry}, dim: 3, layers: [first, third]}}}}\n"
        f"  wrong: {{{entry}, dim: 3, layers: [first], layer: third}}}}\n"
    )
    x = waveform(22_050)
    frames = x[:, 0].reshape(2, 10, 2205)
    last = build("last")
    representation, outputs = last.represent(x, last.layers())
    torch.testing.assert_close(representation, frames[:, ::2, :2].mean(dim=1))
    torch.testing.assert_close(outputs["first"], frames[:, :, :3].mean(dim=1))
    torch.testing.assert_close(build("first")(x), outputs["first"])
    values, seconds = last.frames(x, "second")
    torch.testing.assert_close(values, frames[:, ::2, :2])
    assert seconds.tolist() == [0.1, 0.3, 0.5, 0.7, 0.9]
    assert last.frames(x, "first")[0].shape == (2, 10, 3)
    with pytest.raises(EncoderError, match="is to give the layers first, third by name, and gave first, second, other"):
        build("lacking")(x)
    with pytest.raises(UserError, match="layer must be one of layers, first: 'third'"):
        build("wrong")
