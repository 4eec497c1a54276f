"""Hand-made features: what they tell apart, what they ignore, and librosa's values kept or of the installed one."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from encoder_weights import chirps

from encoders import EncoderError
from encoders.features import Chroma, Mfcc

RATE = 22_050
NOTES = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]


def tone(hertz, seconds=2.0, rate=RATE):
    return torch.sin(2 * torch.pi * hertz * torch.arange(int(seconds * rate)) / rate)


def note(semitones_from_c4):
    return 440 * 2 ** ((semitones_from_c4 - 9) / 12)


def classes(chroma, waveform):
    """Mean energy of the pitch classes away from the ends."""
    with torch.inference_mode():
        return chroma.coefficients(waveform.unsqueeze(0))[0, :, 20:-20].mean(dim=1)


@pytest.fixture(scope="module")
def chroma():
    return Chroma().eval()


def test_mfcc_describes_timbre_and_ignores_level():
    encoder = Mfcc().eval()
    waveform = chirps(60_000)
    features = encoder(waveform)
    assert features.shape == (2, 120)
    torch.testing.assert_close(encoder(0.1 * waveform), features, rtol=1e-3, atol=1e-3)
    # The first differences of a stationary tone vanish; its coefficients do not.
    described = encoder(tone(441, 3).view(1, 1, -1))[0].view(3, 2, 20)
    assert described[0, 0].abs().max() > 50
    assert described[1, 0].abs().max() < 1


@pytest.mark.parametrize("hertz", [55, 110, 440, 880, 3520])
def test_every_octave_of_a_is_an_a(chroma, hertz):
    found = classes(chroma, tone(hertz))
    assert NOTES[int(found.argmax())] == "A"
    assert found[9] == pytest.approx(1, abs=1e-3)
    assert torch.cat([found[:9], found[10:]]).max() < 0.05


@pytest.mark.parametrize("semitone", range(12))
def test_every_note_is_itself(chroma, semitone):
    found = classes(chroma, tone(note(semitone)))
    assert NOTES[int(found.argmax())] == NOTES[semitone]
    assert found.sum() < 1.1


def chord(root, third):
    return sum(tone(note(root + step), 1.5) for step in (0, third, 7)) / 3


def test_keys_are_told_apart(chroma):
    """The three notes of a chord are the three strongest classes, in all 24 major and minor chords."""
    for root in range(12):
        for third in (3, 4):
            found = classes(chroma, chord(root, third))
            strongest = set(found.topk(3).indices.tolist())
            assert strongest == {root, (root + third) % 12, (root + 7) % 12}
            assert found.sort().values[-3] > 3 * found.sort().values[-4]


def test_chroma_has_72_values_and_ignores_level(chroma):
    waveform = chirps(60_000)
    features = chroma(waveform)
    assert features.shape == (2, 72) == (2, chroma.dim)
    assert features.dtype == torch.float32
    torch.testing.assert_close(chroma(0.01 * waveform), features, rtol=1e-3, atol=1e-3)


def test_means_and_deviations_of_differences_have_their_places(chroma):
    """First coefficients, then their first and second differences; of each the means, then the deviations."""
    waveform = chirps(60_000)[0, 0]
    c = chroma.coefficients((waveform / waveform.abs().max()).unsqueeze(0))[0].double().numpy()
    first, second = np.diff(c), np.diff(c, n=2)
    expected = np.concatenate([part for d in (c, first, second) for part in (d.mean(axis=1), d.std(axis=1))])
    np.testing.assert_allclose(chroma(waveform.view(1, 1, -1))[0], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("samples", [1, 511, 700, 30_000])
@pytest.mark.parametrize("feature", [Mfcc, Chroma])
def test_silence_and_clips_of_a_few_frames_give_finite_features(feature, samples):
    encoder = feature().eval()
    for waveform in (torch.zeros(1, 1, samples), torch.ones(1, 1, samples)):
        assert torch.isfinite(encoder(waveform)).all()


def test_chroma_works_at_other_rates():
    for rate, hertz in ((8_000, 880), (44_100, 440)):
        found = classes(Chroma(sample_rate=rate), tone(hertz, 5, rate))
        assert NOTES[int(found.argmax())] == "A"


def music() -> np.ndarray:
    """Six seconds in which notes with harmonics come one by one, in noise."""
    rng = np.random.default_rng(0)
    t = np.arange(6 * RATE) / RATE
    partials = {261.63: 0.3, 329.63: 0.3, 392.0: 0.2 * (t > 2), 110.0: 0.3 * (t > 3.3)}
    harmonics = sum(level * np.sin(2 * np.pi * f * k * t + k) / k for f, level in partials.items() for k in range(1, 5))
    waveform = (harmonics + 0.01 * rng.standard_normal(len(t))).astype(np.float32)
    return waveform / np.abs(waveform).max()


def librosas() -> dict[str, np.ndarray]:
    """Values of librosa 0.11 on that music: pitch classes and cepstra of every eighth frame."""
    kept = json.loads((Path(__file__).parent / "golden" / "librosa.json").read_text())
    return {name: np.array(kept[name]) for name in ("chroma", "mfcc")}


def test_features_are_those_of_librosa(chroma):
    waveform, theirs = torch.from_numpy(music()).unsqueeze(0), librosas()
    with torch.inference_mode():
        ours = chroma.coefficients(waveform)[0].numpy()[:, ::8]
        cepstra = Mfcc().coefficients(waveform)[0].numpy()[:, ::8]
    np.testing.assert_allclose(ours, theirs["chroma"], atol=0.02)
    assert np.abs(ours - theirs["chroma"]).mean() < 0.002
    np.testing.assert_allclose(cepstra, theirs["mfcc"], atol=2e-3)


@pytest.mark.slow
def test_librosa_still_gives_the_values_that_were_kept_of_it():
    """Its chroma compiles for half a minute."""
    librosa = pytest.importorskip("librosa", reason="only compared with, not needed")
    kept = librosas()
    pitches = librosa.feature.chroma_cqt(y=music(), sr=RATE, tuning=0.0)
    np.testing.assert_allclose(pitches[:, ::8], kept["chroma"], atol=1e-4)
    np.testing.assert_allclose(librosa.feature.mfcc(y=music(), sr=RATE, n_mfcc=20)[:, ::8], kept["mfcc"], atol=1e-3)


def test_coefficients_of_the_multi_source_study_are_the_golden_ones():
    golden = np.load(Path(__file__).parent / "golden" / "multisource_net" / "input.npz")
    encoder = Mfcc(window=1024, hop=256, padding="reflect", level="given")
    # The study averages the levels of both channels.
    levels = torch.from_numpy(golden["log_mel"].mean(axis=0).T[None])
    found, _ = encoder.trunk(levels)
    np.testing.assert_allclose(found[0], golden["mfcc_120"], atol=1e-3)
    half = encoder(torch.sin(torch.arange(8_192) * 0.1)[None, None] * 0.5)
    full = encoder(torch.sin(torch.arange(8_192) * 0.1)[None, None])
    # A level is a part of the first coefficient's mean and of nothing else: 20 log10(2) sqrt(128) dB.
    difference = (full - half)[0]
    assert float(difference[0]) == pytest.approx(6.0206 * 128**0.5, rel=1e-3)
    np.testing.assert_allclose(difference[1:], 0, atol=2e-3)
    with pytest.raises(EncoderError, match="level must be peak or given, not 'loud'"):
        Mfcc(level="loud")
