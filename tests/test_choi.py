"""The tagger of Choi et al. is its description in NumPy, and a clip's values do not depend on its batch."""

import numpy as np
import torch
from encoder_weights import behind_its_front_end, chirps
from safetensors.torch import save_file

from encoders.choi import Choi
from encoders.filter_banks import own_mel_filters
from encoders.weights import load_weights


def reference(waveform, state):
    """The 160 values of one waveform [348000], in float64."""
    padded = np.pad(waveform.astype(np.float64), 208)
    starts = 256 * np.arange(1360)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    power = np.abs(np.fft.rfft(padded[starts[:, None] + np.arange(512)] * hann, axis=1)) ** 2
    levels = 10 * np.log10(np.maximum(power @ own_mel_filters(257, 96, 12_000).double().numpy(), 1e-10))
    x = np.maximum(levels - levels.max(), -80).T[None]
    found = []
    for number, (mel, time) in enumerate([(2, 4), (3, 4), (2, 5), (2, 4), (4, 4)]):
        w, b = (state[f"blocks.{number}.conv.{part}"].double().numpy() for part in ("weight", "bias"))
        around = np.pad(x, [(0, 0), (1, 1), (1, 1)])
        x = b[:, None, None] + sum(
            np.einsum("oi,imt->omt", w[:, :, i, j], around[:, i : i + x.shape[1], j : j + x.shape[2]])
            for i in range(3)
            for j in range(3)
        )
        mean, variance = x.mean(axis=(1, 2), keepdims=True), x.var(axis=(1, 2), keepdims=True)
        gain, offset = (state[f"blocks.{number}.norm.{part}"].double().numpy() for part in ("weight", "bias"))
        x = (x - mean) / np.sqrt(variance + 1e-3) * gain[:, None, None] + offset[:, None, None]
        x = np.where(x > 0, x, np.expm1(np.minimum(x, 0)))
        bands, frames = x.shape[1] // mel, x.shape[2] // time
        x = x[:, : bands * mel, : frames * time].reshape(-1, bands, mel, frames, time).max(axis=(2, 4))
        found.append(x.mean(axis=(1, 2)))
    assert x.shape[1:] == (1, 1)
    return np.concatenate(found)


def test_values_are_those_of_the_description_whatever_is_in_the_batch():
    model = behind_its_front_end(Choi(), 4)
    waveforms = chirps(model.window)
    with torch.inference_mode():
        found, layers = model.represent(waveforms, model.layers())
        alone = model(waveforms[1:])
    expected = [reference(waveform, model.state_dict()) for waveform in waveforms[:, 0].numpy()]
    np.testing.assert_allclose(found, expected, atol=2e-3)
    np.testing.assert_allclose(alone[0], found[1], atol=1e-5)
    assert torch.equal(torch.cat(list(layers.values()), dim=1), found)
    model.train()
    with torch.no_grad():  # nothing is kept of what was encoded
        np.testing.assert_allclose(model(waveforms), found, atol=1e-5)
    assert model.parameter_count() == 9 * 32 + 4 * 9 * 32 * 32 + 5 * 3 * 32


def test_blocks_are_where_they_are_in_time():
    model = behind_its_front_end(Choi(), 4)
    with torch.inference_mode():
        values, seconds = model.frames(chirps(model.window), "block_2")
        outputs = model.represent(chirps(model.window), ("block_2",))[1]["block_2"]
    assert values.shape == (2, 85, 32)
    np.testing.assert_allclose(values.mean(dim=1), outputs, atol=1e-5)
    # Frames are 256 samples apart, sixteen make a value, and the first of them is centred 48 samples in.
    np.testing.assert_allclose(seconds[:2], [(48 + 7.5 * 256) / 12_000, (48 + 23.5 * 256) / 12_000])


def test_weights_of_the_network_alone_fill_it(tmp_path):
    state = behind_its_front_end(Choi(), 4).state_dict()
    save_file({key: value for key, value in state.items() if "front_end" not in key}, tmp_path / "choi.safetensors")
    found = Choi()
    load_weights(found, tmp_path / "choi.safetensors")
    assert all(torch.equal(value, state[key]) for key, value in found.state_dict().items())
