"""Entries of models that others published: what each lacks is told, and each runs on a stand-in of its package."""

import importlib
import socket
import sys
import types

import numpy as np
import pytest
import torch
from encoder_weights import chirps
from test_adapters import save_featured

from benchmark.encoding.windows import build_encoder
from benchmark.errors import UserError
from benchmark.registry.published import FETCHED, facts_of, fetched_folder, lacking
from benchmark.registry.registry import Registry, built_in_registry


def shipped():
    registry = Registry()
    registry.add_file(built_in_registry())
    return {name: named for name, named in registry.sections["encoders"].items() if named.entry.published}


PUBLISHED = shipped()


@pytest.fixture(autouse=True)
def bare(tmp_path, monkeypatch):
    """A machine without weights, from which nothing can be fetched."""
    for variable in ("BENCH_WEIGHTS", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    asked = []
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: asked.append(address))
    yield
    assert asked == []


@pytest.mark.parametrize("name", PUBLISHED)
def test_an_entry_says_what_it_lacks_and_the_command_that_brings_it(name, monkeypatch):
    named = PUBLISHED[name]
    published = named.entry.published
    for module in published.modules:
        monkeypatch.setitem(sys.modules, module, None)
    lacks = lacking(named)
    assert lacks, "usable on a machine that has nothing"
    assert all("run `" in line and line.endswith("`") for line in lacks)
    assert published.licence
    assert published.source
    assert published.get.startswith(("bench fetch-weights ", "hf download ", "curl ", "pip install ", "hf "))
    revision = named.entry.args.get("revision")
    assert (revision is None) or f"--revision {revision}" in published.get
    assert (revision is None and "hf download" in published.get) == ("of no pinned revision" in published.source)
    assert not named.entry.learns
    facts = facts_of(named, "audioset")
    assert facts["context_seconds"] == published.context
    with pytest.raises(UserError, match=f"encoder {name}: "):
        from benchmark.plan.planner import Planner

        Planner(Registry(), None, None, None).initialise_step(named, 0)


def test_what_was_trained_on_a_dataset_is_known():
    assert facts_of(PUBLISHED["ast"], "audioset")["trained_on"] == "labels"
    assert facts_of(PUBLISHED["dasheng"], "audioset")["trained_on"] == "audio"
    assert facts_of(PUBLISHED["muq"], "million_song")["trained_on"] == "audio"
    assert facts_of(PUBLISHED["wav2vec2"], "gtzan")["trained_on"] == ""


def test_a_model_in_the_cache_of_the_hub_is_there(tmp_path):
    """By a commit, or by what a branch is at."""
    named = PUBLISHED["wav2vec2"]
    assert lacking(named)
    folder = tmp_path / "hf" / "hub" / "models--facebook--wav2vec2-base"
    snapshot = folder / "snapshots" / named.entry.args["revision"]
    snapshot.mkdir(parents=True)
    assert lacking(named)  # an empty folder is no model
    (snapshot / "config.json").touch()
    assert lacking(named) == []
    dac = tmp_path / "hf" / "hub" / "models--descript--dac_44khz"
    (dac / "snapshots" / "abc").mkdir(parents=True)
    (dac / "snapshots" / "abc" / "config.json").touch()
    assert lacking(PUBLISHED["dac_44k"])
    (dac / "refs").mkdir()
    (dac / "refs" / "main").write_text("abc")
    assert lacking(PUBLISHED["dac_44k"]) == []


@pytest.mark.parametrize(("name", "kind"), [("ast", "ast"), ("clap_music", "clap"), ("encodec_24k", "encodec")])
@torch.inference_mode()
def test_entries_of_the_hub_run_on_models_of_their_kind(tmp_path, monkeypatch, name, kind):
    """The entry as it ships, on a small model of the same configuration with random weights."""
    import huggingface_hub.constants

    named = PUBLISHED[name]
    save_featured(tmp_path, kind)
    cached = tmp_path / "hf" / "hub" / f"models--{named.entry.args['model'].replace('/', '--')}"
    (cached / "snapshots").mkdir(parents=True)
    (tmp_path / "model").rename(cached / "snapshots" / named.entry.args["revision"])
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    encoder = build_encoder(named, 0).eval()
    found = encoder(chirps(encoder.sample_rate))
    assert found.shape == (2, encoder.dim)
    assert found.isfinite().all()
    assert not torch.allclose(found[0], found[1])
    assert encoder.provenance["revision"] == encoder.provenance["commit"] == named.entry.args["revision"]


class FakeMuQ(torch.nn.Module):
    """With the interface of ``muq.MuQ``: 25 frames a second, thirteen hidden states."""

    @classmethod
    def from_pretrained(cls, name, revision=None, local_files_only=False):
        assert (name, local_files_only) == ("OpenMuQ/MuQ-large-msd-iter", True)
        return cls()

    def forward(self, audio, output_hidden_states):
        assert output_hidden_states
        frames = audio[:, : audio.shape[1] // 960 * 960].unflatten(1, (-1, 960)).std(dim=2)
        states = tuple((frames * (number + 1))[..., None].expand(-1, -1, 1024) for number in range(13))
        return types.SimpleNamespace(hidden_states=states, last_hidden_state=states[-1])


class FakeOmar(torch.nn.Module):
    def extract_embeddings(self, audio, layers):
        frames = audio[:, : audio.shape[1] // 960 * 960].unflatten(1, (-1, 960)).std(dim=2)
        return torch.stack([frames[..., None].expand(-1, -1, 1024) * layer for layer in layers])


class FakeMusicFM(torch.nn.Module):
    def __init__(self, is_flash, stat_path, model_path):
        super().__init__()
        assert (is_flash, stat_path[-15:], model_path[-18:]) == (False, "/msd_stats.json", "/pretrained_msd.pt")

    def get_latent(self, audio, layer_ix):
        return FakeOmar().extract_embeddings(audio, [layer_ix])[0]


def fake_packages():
    """Modules with the interfaces that the packages document."""
    panns = types.SimpleNamespace(
        AudioTagging=lambda checkpoint_path, device: types.SimpleNamespace(
            inference=lambda audio: (None, np.tile(audio.std(axis=1)[:, None], (1, 2048)))
        )
    )
    embedding = types.SimpleNamespace(
        get_audio_embedding=lambda audio, rate, model, center, hop_size, verbose: (
            np.tile(np.arange(10.0)[:, None] + 1, (1, 512)) * audio.std(),
            np.arange(10) * hop_size,
        )
    )
    models = types.SimpleNamespace(load_audio_embedding_model=lambda **settings: settings)
    omar = types.SimpleNamespace(get_model=lambda model_id, device: FakeOmar())
    muq = types.SimpleNamespace(MuQ=FakeMuQ)
    musicfm = {"musicfm": types.SimpleNamespace(), "musicfm.model": types.SimpleNamespace()}
    musicfm["musicfm.model.musicfm_25hz"] = types.SimpleNamespace(MusicFM25Hz=FakeMusicFM)
    return {
        "muq": muq, "omar_rq": omar, "panns_inference": panns, "openl3": embedding, "openl3.models": models,
        "tensorflow": types.SimpleNamespace(), **musicfm,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "frames"), [("muq", 25), ("musicfm", 25), ("omar_rq", 25), ("panns", 1), ("openl3", 10)]
)
@torch.inference_mode()
def test_entries_of_packages_run_on_their_interfaces(tmp_path, monkeypatch, name, frames):
    for module, fake in fake_packages().items():
        made = types.ModuleType(module)
        vars(made).update(vars(fake))
        made.__spec__ = importlib.machinery.ModuleSpec(module, None)
        monkeypatch.setitem(sys.modules, module, made)
    named = PUBLISHED[name]
    for file in named.entry.files.values():
        (fetched_folder() / file.removeprefix(FETCHED)).parent.mkdir(parents=True)
        (fetched_folder() / file.removeprefix(FETCHED)).touch()
    hub = named.entry.published.hub
    if hub:
        folder = tmp_path / "hf" / "hub" / f"models--{hub.replace('/', '--')}"
        (folder / "snapshots" / "abc").mkdir(parents=True)
        (folder / "snapshots" / "abc" / "config.json").touch()
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text("abc")
    assert lacking(named) == []
    encoder = build_encoder(named, 0).eval()
    x = chirps(encoder.sample_rate)
    values, seconds = encoder.frames(x)
    assert values.shape == (2, frames, encoder.dim)
    assert 0 <= seconds[0] <= seconds[-1] <= 1
    found, outputs = encoder.represent(x, encoder.layers())
    torch.testing.assert_close(found, values.mean(dim=1))
    assert list(outputs) == list(encoder.layers())
    if name == "muq":
        torch.testing.assert_close(outputs["layer_12"], 13 * outputs["layer_0"])


@torch.inference_mode()
def test_pesto_hears_a_tone():
    """The package itself, where it is installed: its weights come with it."""
    pytest.importorskip("pesto", reason="the extra pesto is not installed")
    encoder = build_encoder(PUBLISHED["pesto"], 0).eval()
    n = torch.arange(16_000) / 16_000
    tones = torch.stack([0.3 * torch.sin(2 * torch.pi * hertz * n) for hertz in (220.0, 440.0)])[:, None]
    values, seconds = encoder.frames(tones)
    assert values.shape == (2, 101, 384)
    assert np.allclose(seconds, np.arange(101) * 0.01)
    low, high = values[:, 50].argmax(dim=1).tolist()
    assert abs(high - low - 36) <= 1  # an octave is twelve semitones of three activations
    assert encoder(tones[..., :800]).isfinite().all()
