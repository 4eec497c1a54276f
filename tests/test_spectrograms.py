"""Log-mel spectrograms are those of MULE's golden values and of librosa, whatever a paper's arguments are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders import EncoderError, filter_banks
from encoders.spectrograms import LogMel

GOLDEN = Path(__file__).parent / "golden" / "mule" / "frontend.npz"
#: Front ends as papers state them, the way a registry writes arguments.
PUBLISHED = yaml.safe_load("""
mule: {sample_rate: 16000, fft: 2048, window: 400, hop: 160, bands: 96, scale: htk, norm: l2, compression: log10,
       gain: 10000.0, offset: 1.0, last: false, standardise: input, smallest: 0.01}
musicnn: {sample_rate: 16000, fft: 512, hop: 256, bands: 96, compression: log10, gain: 10000.0, offset: 1.0}
multi-source: {sample_rate: 22050, fft: 1024, hop: 256, bands: 128, compression: decibels, standardise: corpus}
mfcc: {sample_rate: 22050, fft: 2048, hop: 512, bands: 128, padding: constant, compression: decibels, depth: 80.0}
""")


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def expected(x, *, sample_rate, fft, hop, bands, window=None, low=0.0, high=None, scale="slaney", norm="slaney",
             power=2.0, padding="reflect", compression="log10", gain=1.0, offset=1e-10, depth=None, last=True,
             standardise="none", smallest=1e-10):  # fmt: skip
    """The same by librosa and NumPy."""
    librosa = pytest.importorskip("librosa")
    found = librosa.feature.melspectrogram(
        y=x, sr=sample_rate, n_fft=fft, hop_length=hop, win_length=window, center=padding != "none", power=power,
        pad_mode=padding if padding != "none" else "constant", n_mels=bands, fmin=low, fmax=high, htk=scale == "htk",
        norm={"slaney": "slaney", "l2": 2, None: None}[norm], dtype=np.float64,
    )  # fmt: skip
    found = found if last else found[:, :-1]
    if compression == "decibels":
        to_decibels = librosa.power_to_db if power == 2 else librosa.amplitude_to_db
        found = to_decibels(found, ref=1.0, amin=1e-10, top_db=depth)
    elif compression != "none":
        found = (np.log if compression == "log" else np.log10)(offset + gain * found)
    return (found - found.mean()) / max(found.std(), smallest) if standardise == "input" else found


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN)


def test_the_front_end_of_mule_gives_the_golden_values(golden):
    waveform = torch.from_numpy(golden["waveform"])
    plain = LogMel(**{**PUBLISHED["mule"], "last": True, "standardise": "none"})
    np.testing.assert_allclose(plain(waveform), golden["log_mel"], atol=1e-4)
    np.testing.assert_allclose(plain(waveform * 0.001).mean(dim=-1), golden["log_mel_quiet_mean"], atol=1e-4)
    whole = LogMel(**PUBLISHED["mule"])
    np.testing.assert_allclose(whole(waveform), golden["standardised"], atol=1e-4)
    assert (whole(torch.zeros(1, 48_000))[0, :, :4].numpy() == golden["silence"]).all()


@pytest.mark.parametrize("name", PUBLISHED)
def test_front_ends_of_papers_are_librosas(name):
    arguments = PUBLISHED[name]
    waveform = noise(3 * arguments["sample_rate"])
    found = LogMel(**arguments)(waveform)
    theirs = expected(waveform.numpy(), **{**arguments, "standardise": arguments.get("standardise", "none")})
    np.testing.assert_allclose(found, theirs, atol=2e-3 if "decibels" in arguments.values() else 1e-4)


@pytest.mark.filterwarnings("ignore:Empty filters detected", "ignore:At least one mel filterbank")
@settings(max_examples=12)
@given(st.data())
def test_any_arguments_give_what_librosa_gives(data):
    rate, fft = data.draw(st.sampled_from([8_000, 16_000, 22_050])), data.draw(st.sampled_from([256, 512, 1024]))
    low = data.draw(st.sampled_from([0.0, 30.0, 300.0]))
    arguments = {
        "sample_rate": rate,
        "fft": fft,
        "window": data.draw(st.sampled_from([None, fft // 2, fft - 56])),
        "hop": data.draw(st.integers(fft // 8, fft)),
        "bands": data.draw(st.integers(4, 40)),
        "low": low,
        "high": data.draw(st.sampled_from([None, rate / 4])),
        "scale": data.draw(st.sampled_from(["slaney", "htk"])),
        "norm": data.draw(st.sampled_from(["slaney", "l2", None])),
        "power": data.draw(st.sampled_from([1.0, 2.0])),
        "padding": data.draw(st.sampled_from(["reflect", "constant", "none"])),
        "compression": data.draw(st.sampled_from(["none", "log", "log10"])),
        "gain": data.draw(st.sampled_from([1.0, 1000.0])),
        "offset": data.draw(st.sampled_from([1.0, 1e-2])),
        "last": data.draw(st.booleans()),
    }
    waveform = noise(data.draw(st.integers(2 * fft, 6_000)), seed=data.draw(st.integers(0, 99)))
    model = LogMel(**arguments)
    found, theirs = model(waveform).numpy(), expected(waveform.numpy(), **arguments)
    assert found.shape == theirs.shape == (arguments["bands"], model.frame_count(len(waveform)))
    np.testing.assert_allclose(found, theirs, rtol=2e-3, atol=2e-4 * max(1.0, np.abs(theirs).max()))


def test_batches_of_any_shape_are_the_same_one_by_one():
    model = LogMel(**PUBLISHED["mule"])
    waveforms = noise(2, 3, 8_000)
    together = model(waveforms)
    assert together.shape == (2, 3, 96, 50)
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(together[i, j], model(waveforms[i, j]), rtol=0, atol=1e-5)


def test_statistics_of_a_corpus_are_those_of_all_its_frames():
    arguments = PUBLISHED["multi-source"]
    model = LogMel(**arguments)
    corpus = [noise(2, 20_000 + 3_000 * seed, seed=seed) * 0.1**seed for seed in range(4)]
    plain = LogMel(**{**arguments, "standardise": "none"})
    frames = torch.cat([plain(part).transpose(1, 2).reshape(-1, 128) for part in corpus]).double().numpy()
    model.fit_statistics(corpus)
    model.fit_statistics(corpus)  # of the corpus, not of what was standardised by it
    np.testing.assert_allclose(model.mean[:, 0], frames.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(model.deviation[:, 0], frames.std(axis=0), rtol=1e-5)
    values = torch.cat([model(part).transpose(1, 2).reshape(-1, 128) for part in corpus])
    torch.testing.assert_close(values.mean(dim=0), torch.zeros(128), rtol=0, atol=1e-4)
    torch.testing.assert_close(values.std(dim=0, correction=0), torch.ones(128), rtol=0, atol=1e-4)
    again = LogMel(**arguments)
    again.load_state_dict(model.state_dict())
    torch.testing.assert_close(again(corpus[0]), model(corpus[0]), rtol=0, atol=0)
    with pytest.raises(EncoderError, match="one waveform at least"):
        model.fit_statistics([])
    with pytest.raises(EncoderError, match="standardised by a corpus"):
        plain.fit_statistics(corpus)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"norm": "l1"}, "norm must be one of slaney, l2, None, not 'l1'"),
        ({"scale": "bark"}, "scale must be one of slaney, htk, not 'bark'"),
        ({"compression": "cube"}, "compression must be one of"),
        ({"standardise": "clip"}, "standardise must be one of"),
        ({"padding": "same"}, "padding must be one of"),
        ({"low": 4_000.0, "high": 3_000.0}, "low and high must rise from 0 to 8000 Hz, not 4000 and 3000"),
        ({"high": 9_000.0}, "low and high must rise"),
        ({"window": 4_096}, "window at most fft"),
        ({"hop": 0}, "hop and bands must be positive"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(changed, said):
    with pytest.raises(EncoderError, match=said):
        LogMel(**{**PUBLISHED["mule"], **changed})


@pytest.mark.parametrize(("padding", "least"), [("reflect", 1_025), ("constant", 160), ("none", 2_048 + 160)])
def test_too_few_samples_are_refused_and_one_more_gives_a_frame(padding, least):
    model = LogMel(**{**PUBLISHED["mule"], "padding": padding})
    with pytest.raises(EncoderError, match=f"{least - 1} samples are too few"):
        model(torch.zeros(least - 1))
    assert model(torch.zeros(least)).shape == (96, model.frame_count(least))


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_filters_of_one_length_need_no_torchaudio(scale, monkeypatch):
    arguments = {"low": 20.0, "high": 7_000.0, "scale": scale, "norm": "l2"}
    theirs = filter_banks.mel_filters(1025, 96, 16_000, **arguments)
    monkeypatch.setattr(filter_banks, "torchaudio_fault", lambda: "absent")
    ours = filter_banks.mel_filters(1025, 96, 16_000, **arguments)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.square().sum(dim=0), torch.ones(96))
