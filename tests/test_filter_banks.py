"""Mel filters and cosine transforms of our own are torchaudio's and librosa's, and stand in for torchaudio's."""

from __future__ import annotations

import logging
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders import filter_banks
from encoders.features import Mfcc
from encoders.filter_banks import dct_matrix, mel_filters, own_dct_matrix, own_mel_filters

RATES = st.sampled_from([8_000, 16_000, 22_050, 44_100, 48_000]) | st.integers(2_000, 96_000)
SHAPES = {
    "bins": st.integers(3, 1_100),
    "bands": st.integers(1, 160),
    "rate": RATES,
    "scale": st.sampled_from(["slaney", "htk"]),
    "norm": st.sampled_from(["slaney", None]),
}


@pytest.fixture
def without_torchaudio(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchaudio", None)
    monkeypatch.setitem(sys.modules, "torchaudio.functional", None)
    filter_banks.torchaudio_fault.cache_clear()
    yield
    filter_banks.torchaudio_fault.cache_clear()


@pytest.mark.filterwarnings("ignore:At least one mel filterbank")
@settings(max_examples=60)
@given(**SHAPES)
def test_mel_filters_are_those_of_torchaudio(bins, bands, rate, scale, norm):
    functional = pytest.importorskip("torchaudio.functional", exc_type=Exception)
    theirs = functional.melscale_fbanks(bins, 0.0, float(rate // 2), bands, rate, norm, scale)
    ours = own_mel_filters(bins, bands, rate, scale=scale, norm=norm)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Empty filters detected")
@settings(max_examples=60)
@given(**SHAPES)
def test_mel_filters_are_those_of_librosa(bins, bands, rate, scale, norm):
    librosa = pytest.importorskip("librosa")
    rate -= rate % 2  # librosa divides, torchaudio and we round down
    theirs = librosa.filters.mel(
        sr=rate, n_fft=2 * (bins - 1), n_mels=bands, htk=scale == "htk", norm=norm, dtype=np.float64
    ).T
    ours = own_mel_filters(bins, bands, rate, scale=scale, norm=norm)
    # Corners are float32 numbers of hertz, and so more exact the wider a filter is.
    narrowest = rate / 2 / max(bins, 10 * bands)
    np.testing.assert_allclose(ours, theirs, atol=2e-7 * rate / narrowest * theirs.max())


@given(coefficients=st.integers(1, 64), bands=st.integers(1, 160))
@settings(max_examples=40)
def test_cosine_transforms_are_those_of_torchaudio_and_scipy(coefficients, bands):
    from scipy.fft import dct

    ours = own_dct_matrix(coefficients, bands)
    functional = pytest.importorskip("torchaudio.functional", exc_type=Exception)
    torch.testing.assert_close(ours, functional.create_dct(coefficients, bands, "ortho"), rtol=0, atol=1e-6)
    rows = min(coefficients, bands)
    np.testing.assert_allclose(ours[:, :rows], dct(np.eye(bands), norm="ortho")[:, :rows], atol=1e-4)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**31), samples=st.integers(2_048, 30_000), rate=st.sampled_from([16_000, 22_050, 44_100]))
def test_mel_spectrograms_are_those_of_torchaudio_and_librosa(seed, samples, rate):
    waveform = torch.rand(2, samples, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    found = Mfcc(sample_rate=rate)._mel.mels(waveform)
    settings = {"n_fft": 2048, "hop_length": 512, "n_mels": 128, "pad_mode": "constant"}
    transforms = pytest.importorskip("torchaudio.transforms", exc_type=Exception)
    theirs = transforms.MelSpectrogram(rate, norm="slaney", mel_scale="slaney", **settings)
    torch.testing.assert_close(found, theirs(waveform), rtol=1e-6, atol=1e-6)
    assert set(theirs.state_dict()) == {key.removeprefix("_mel.") for key in Mfcc(sample_rate=rate).state_dict()}
    librosa = pytest.importorskip("librosa")
    np.testing.assert_allclose(
        found, librosa.feature.melspectrogram(y=waveform.numpy(), sr=rate, **settings), rtol=1e-3, atol=1e-5
    )


def test_without_torchaudio_numbers_are_the_same_and_that_is_said_once(without_torchaudio, caplog):
    with caplog.at_level(logging.WARNING):
        encoder = Mfcc(coefficients=13, sample_rate=16_000).eval()
        Mfcc()
    (record,) = caplog.records
    assert "torchaudio cannot be loaded (ModuleNotFoundError: import of torchaudio" in record.getMessage()
    waveform = torch.rand(1, 1, 20_000, generator=torch.Generator().manual_seed(0)) - 0.5
    with torch.inference_mode():
        found = encoder(waveform)
    torch.testing.assert_close(found, Mfcc(coefficients=13, sample_rate=16_000).eval()(waveform), rtol=0, atol=0)
    torch.testing.assert_close(mel_filters(1025, 128, 16_000), own_mel_filters(1025, 128, 16_000), rtol=0, atol=0)
    torch.testing.assert_close(dct_matrix(13, 128), own_dct_matrix(13, 128), rtol=0, atol=0)


def test_features_do_not_depend_on_torchaudio(monkeypatch):
    waveform = torch.rand(1, 1, 20_000, generator=torch.Generator().manual_seed(0)) - 0.5
    with torch.inference_mode():
        filter_banks.torchaudio_fault.cache_clear()
        usual = Mfcc().eval()(waveform)
        monkeypatch.setattr(filter_banks, "torchaudio_fault", lambda: "broken")
        torch.testing.assert_close(Mfcc().eval()(waveform), usual, rtol=1e-6, atol=1e-6)
