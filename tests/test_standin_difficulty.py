"""What the stand-ins tell apart: timbre for genre and emotion, pitch classes for key, and nothing is too easy.

Measured, MFCC and chroma, mean over seeds 0 to 2, by which brightness and noise were chosen, and over seeds 3 to 5:
genre 0.51 and 0.31, then 0.59 and 0.31; key 0.06 and 0.38, then 0.06 and 0.25; arousal 0.32 and 0.17, then 0.30 and
0.22; valence 0.27 and -0.01, then 0.10 and -0.01; genre of FMA's small subset 0.52 and 0.20, then 0.52 and 0.28.
With some 50 test clips single seeds stray: with seed 3 emotion is no better told by timbre. Seed 0 is held to here: for
GTZAN always, for the others, whose songs are composed and sound the same way, where slow tests are run.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from encoders.features import Chroma, Mfcc
from tasks.gtzan import Gtzan
from tasks.standin import emomusic, fma, giantsteps, gtzan, recording

ENCODING = recording.Encoding("WAV", 22_050)
#: Nothing is selected here, so validation clips need not be rendered.
USED = ("train", "test")


def described(pieces):
    """Both features of each piece as it is before it is compressed, by name: shape [pieces, features]."""
    encoders = {"mfcc": Mfcc(), "chroma": Chroma()}
    found = {name: [] for name in encoders}
    for first in range(0, len(pieces), 16):
        samples = [recording.pcm(replace(piece, encoding=ENCODING)) for piece in pieces[first : first + 16]]
        waveform = torch.from_numpy(np.stack(samples).astype(np.float32) / 32768)[:, None]
        with torch.no_grad():
            for name, encoder in encoders.items():
                found[name].append(encoder.represent(waveform)[0].numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def accuracy(features, splits, labels):
    """Accuracy on test of a linear probe trained on train."""
    train, test = splits == "train", splits == "test"
    with threadpool_limits(1):
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
        return probe.fit(features[train], labels[train]).score(features[test], labels[test])


def r2(features, splits, values):
    """Coefficient of determination on test of a ridge probe trained on train."""
    train, test = splits == "train", splits == "test"
    with threadpool_limits(1):
        probe = make_pipeline(StandardScaler(), RidgeCV(np.logspace(0, 4, 9)))
        return r2_score(values[test], probe.fit(features[train], values[train]).predict(features[test]))


@pytest.mark.slow
def test_timbre_tells_gtzans_genres_better_than_pitch_classes_do(tmp_path):
    split = {clip.id: clip.split for clip in Gtzan(tmp_path).clips()}
    names = {piece.path.split("/")[-1].removesuffix(".wav"): piece for piece in gtzan.compose(0)}
    names = {name: piece for name, piece in names.items() if split[name] in USED}
    features = described(list(names.values()))
    splits = np.array([split[name] for name in names])
    genres = np.array([name.partition(".")[0] for name in names])
    mfcc, chroma = (accuracy(features[name], splits, genres) for name in ("mfcc", "chroma"))
    assert 0.35 < mfcc < 0.75
    assert mfcc > chroma + 0.1
    assert chroma > 0.1
    rng = np.random.default_rng(0)
    chance = [accuracy(features["mfcc"], splits, rng.permutation(genres)) for _ in range(3)]
    # The mean over 3 x 60 clips has a standard error of about 0.025.
    assert np.mean(chance) == pytest.approx(0.1, abs=0.075)


@pytest.mark.slow
def test_pitch_classes_tell_keys_and_timbre_does_not():
    tracks = [track for track in giantsteps.compose(0) if track.split in USED]
    features = described([track.recording for track in tracks])
    splits = np.array([track.split for track in tracks])
    keys = np.array([track.recording.song.tonic + 12 * track.recording.song.major for track in tracks])
    mfcc, chroma = (accuracy(features[name], splits, keys) for name in ("mfcc", "chroma"))
    assert 0.2 < chroma < 0.75
    assert chroma > mfcc + 0.12
    assert mfcc < 0.17


@pytest.mark.slow
def test_timbre_tells_emotion_better_than_pitch_classes_do():
    excerpts = [excerpt for excerpt in emomusic.compose(0) if excerpt.split in USED]
    features = described([excerpt.recording for excerpt in excerpts])
    splits = np.array([excerpt.split for excerpt in excerpts])
    for target, least in (("arousal", 0.2), ("valence", 0.12)):
        values = np.array([getattr(excerpt, target) for excerpt in excerpts])
        mfcc, chroma = (r2(features[name], splits, values) for name in ("mfcc", "chroma"))
        floor = r2_score(values[splits == "test"], np.full((splits == "test").sum(), values[splits == "train"].mean()))
        assert floor + least < mfcc < 0.8
        assert mfcc > chroma + 0.05


@pytest.mark.slow
@pytest.mark.parametrize("subsets", [("small",), ("small", "medium")])
def test_timbre_tells_fmas_genres_better_than_pitch_classes_do(subsets):
    tracks = [track for track in fma.compose(0) if track.recording and track.subset in subsets]
    tracks = [track for track in tracks if track.track_id != fma.SHORT and track.split != "validation"]
    features = described([track.recording for track in tracks])
    splits = np.array([track.split for track in tracks])
    splits[splits == "training"] = "train"
    genres = np.array([track.genre for track in tracks])
    mfcc, chroma = (accuracy(features[name], splits, genres) for name in ("mfcc", "chroma"))
    assert 0.25 < mfcc < 0.85
    assert mfcc > chroma + 0.08
