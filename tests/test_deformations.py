"""Deformations of test audio, each against what it is defined to do to tones and noise."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.audio.deformations import DEFORMATIONS, deform, parse_deformation
from benchmark.errors import UserError

RATE = 22_050


def tone(hertz: float, seconds: float = 3.0, level: float = 0.3) -> np.ndarray:
    t = np.arange(int(seconds * RATE)) / RATE
    return np.rint(level * np.sin(2 * np.pi * hertz * t) * 2**15).astype(np.int16)


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x.astype(np.float64)))))


def peak_hertz(x: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(x * np.hanning(len(x))))
    return float(np.argmax(spectrum) * RATE / len(x))


def change(x: np.ndarray, name: str, strength: float) -> np.ndarray:
    return deform(x, RATE, name, strength, "clip")


def test_gain_is_in_decibels_and_clips():
    x = tone(440)
    assert rms(change(x, "gain", -6)) / rms(x) == pytest.approx(10 ** (-6 / 20), rel=1e-3)
    assert np.abs(change(x, "gain", 40).astype(int)).max() in (32_767, 32_768)


@pytest.mark.parametrize("snr", [0.0, 20.0])
def test_noise_has_the_ratio_asked_for(snr):
    x = tone(440)
    added = change(x, "noise", snr).astype(float) - x
    assert 20 * np.log10(rms(x) / rms(added)) == pytest.approx(snr, abs=0.2)
    assert not change(np.zeros(1000, np.int16), "noise", snr).any()


def test_low_pass_keeps_what_is_below_and_removes_what_is_above():
    assert rms(change(tone(500), "low_pass", 2_000)) / rms(tone(500)) == pytest.approx(1, abs=0.01)
    # The ends ring, for there the tone begins and ends.
    assert rms(change(tone(5_000), "low_pass", 2_000)[2000:-2000]) / rms(tone(5_000)) < 1e-3
    assert np.array_equal(change(tone(5_000), "low_pass", 20_000), tone(5_000))


@pytest.mark.parametrize("semitones", [-7.0, 3.0, 7.0])
def test_pitch_moves_a_tone_and_keeps_the_length(semitones):
    y = change(tone(440), "pitch", semitones)
    assert len(y) == len(tone(440))
    assert peak_hertz(y) == pytest.approx(440 * 2 ** (semitones / 12), rel=0.005)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_tempo_changes_the_length_and_keeps_the_pitch(factor):
    y = change(tone(440), "tempo", factor)
    assert len(y) == pytest.approx(len(tone(440)) / factor, abs=2)
    assert peak_hertz(y) == pytest.approx(440, rel=0.005)


def test_mp3_loses_little_at_high_rates_more_at_low_ones_and_stays_in_time():
    rng = np.random.default_rng(0)
    x = np.rint(3000 * rng.standard_normal(3 * RATE)).astype(np.int16)
    losses = [rms(change(x, "mp3", rate).astype(float) - x) / rms(x) for rate in (160, 64, 16)]
    assert losses[0] < losses[1] < losses[2]
    y = change(tone(440), "mp3", 160)
    assert rms((y.astype(float) - tone(440))[4000:-4000]) / rms(tone(440)) < 0.01
    assert len(y) == len(tone(440))


def test_reverb_rings_on_after_the_sound_and_longer_when_stronger():
    x = np.concatenate([tone(440, 0.5), np.zeros(2 * RATE, np.int16)])
    tails = [rms(change(x, "reverb", strength)[-RATE:]) for strength in (20, 60, 95)]
    assert tails[0] < tails[1] < tails[2]


def test_every_deformation_is_repeatable():
    x = tone(440, 1.0)
    for name, kind in DEFORMATIONS.items():
        strength = min(max(1.5, kind.low), kind.high)
        assert np.array_equal(change(x, name, strength), change(x, name, strength))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nois=3", "Did you mean 'noise'"),
        ("noise", "takes -40 to 100 dB"),
        ("pitch=13", "takes -12 to 12 semitones"),
        ("tempo=fast", "takes 0.5 to 2 times as fast"),
        ("gain=nan", "takes -60 to 60 dB"),
    ],
)
def test_wrong_deformations_are_refused(text, message):
    with pytest.raises(UserError, match=message):
        parse_deformation(text)
