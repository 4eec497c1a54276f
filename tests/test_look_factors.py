"""What `bench look` shows of all features at once: factors, sorted activations, labels of what excites each, songs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import FactorAnalysis
from test_look import classified, embed

from benchmark.errors import UserError
from benchmark.visualisation.factors import factors_of, level_db
from benchmark.visualisation.features import PLACES, excited_labels, sorted_activations
from benchmark.visualisation.maps import item_map


def made_of_factors(clips: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of three planted factors, of which the first is the level; one feature is constant."""
    rng = np.random.default_rng(seed)
    hidden = rng.standard_normal((clips, 3))
    weights = np.zeros((3, 13))
    weights[0, :6], weights[1, 6:10], weights[2, 10:12] = 2.0, -1.5, 1.0
    weights[0, 2] = -2.0
    features = hidden @ weights + 0.3 * rng.standard_normal((clips, 13))
    features[:, 12] = 4.0
    return features, -20 + 3 * hidden[:, 0]


def test_planted_factors_are_found_and_loudness_is_said():
    means, levels = made_of_factors(300, 0)
    found = factors_of(means, 3, levels)
    assert found.features.tolist() == list(range(12))
    strongest = [set(np.flatnonzero(np.abs(row) > 0.6).tolist()) for row in found.loadings]
    assert strongest == [set(range(6)), set(range(6, 10)), {10, 11}]
    assert found.share == pytest.approx([6 / 12, 4 / 12, 2 / 12], abs=0.03)
    assert found.loadings[np.arange(3), np.abs(found.loadings).argmax(axis=1)].min() > 0
    assert np.sign(found.loadings[0, 2]) == -np.sign(found.loadings[0, 0])
    assert abs(found.level_correlation[0]) > 0.95
    assert found.loud.tolist() == [True, False, False]
    assert found.converged


@settings(max_examples=15)
@given(clips=st.integers(12, 60), dim=st.integers(4, 12), count=st.integers(1, 3), seed=st.integers(0, 99))
def test_it_is_scikit_learns_but_for_order_and_sign(clips, dim, count, seed):
    rng = np.random.default_rng(seed)
    means = rng.standard_normal((clips, 3)) @ rng.standard_normal((3, dim)) + rng.standard_normal((clips, dim))
    found = factors_of(means, count)
    standard = (means - means.mean(axis=0)) / means.std(axis=0)
    model = FactorAnalysis(n_components=count, rotation="varimax", svd_method="lapack").fit(standard)
    order = np.argsort(-(model.components_**2).sum(axis=1), kind="stable")
    assert np.abs(found.loadings) == pytest.approx(np.abs(model.components_[order]), abs=1e-9)
    assert np.abs(found.scores) == pytest.approx(np.abs(model.transform(standard)[:, order]), abs=1e-9)
    # Features and factor keep to one another, whichever way the factor points.
    assert found.scores @ found.loadings == pytest.approx(model.transform(standard) @ model.components_, abs=1e-8)
    assert np.isnan(found.level_correlation).all()


def test_more_factors_than_there_can_be_are_refused():
    means = np.random.default_rng(0).standard_normal((5, 9))
    for count in (0, 5):
        with pytest.raises(
            UserError, match=f"--factors {count}: 5 clips with 9 features that vary have 1 to 4 factors"
        ):
            factors_of(means, count)
    with pytest.raises(UserError, match="0 features that vary have 1 to 0"):
        factors_of(np.ones((9, 4)), 1)


def test_levels_are_of_full_scale():
    assert level_db(np.full(100, 2**14, np.int16)) == pytest.approx(-6.0206, abs=1e-3)
    assert np.isnan(level_db(np.zeros(10, np.int16)))


def test_curves_fall_from_the_highest_clip_to_the_lowest():
    means = np.random.default_rng(0).standard_normal((100, 3))
    curves = sorted_activations(means)
    assert curves.shape == (3, PLACES)
    assert (np.diff(curves, axis=1) <= 0).all()
    assert curves[:, 0].tolist() == means.max(axis=0).tolist()
    assert curves[:, -1].tolist() == means.min(axis=0).tolist()
    assert sorted_activations(means[:4]).shape == (3, 4)


def test_labels_of_the_most_exciting_windows_are_counted(monkeypatch):
    monkeypatch.setattr("benchmark.visualisation.features.WINDOWS", 4)
    labels = np.array([0, 1, 1, 1])[:, None]
    # Windows of clip 0 excite feature 0, those of clips 2 and 3 feature 1.
    rows = np.array([[9, 0], [8, 0], [7, 0], [0, 0], [1, 5], [0, 6], [0, 7], [0, 8]], float)
    embeddings = embed(rows, [0, 3, 4, 6, 8], [0.0] * 8)
    found = excited_labels(classified(labels, embeddings.clip_ids), embeddings)
    assert found["labels"] == ["label 1", "label 0"]
    assert found["share"] == pytest.approx([5 / 8, 3 / 8])
    assert found["counts"] == [[1, 3], [4, 0]]
    assert found["windows"] == 4


def test_windows_of_a_song_are_those_of_its_clips_joined():
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.standard_normal((3, 6)) * 9, [6, 6, 4], axis=0)
    embeddings = embed(centres + 0.01 * rng.standard_normal((16, 6)), [0, 3, 6, 9, 12, 16], [0.0] * 16)
    songs = {"clip 0": "a", "clip 1": "a", "clip 2": "b", "clip 3": "b"}  # the last stands alone
    found = item_map(embeddings, songs, embeddings.clip_ids, 3, 5)
    assert found["labels"] == ["a", "b", "clip 4"]
    assert np.bincount(found["label"]).tolist() == [5, 5, 4]
    assert found["neighbours"] == 1.0
    assert item_map(embeddings, songs, embeddings.clip_ids, 2, 60)["labels"] == ["a", "b"]
    assert item_map(embeddings, songs, ["clip 0"], 3, 60) is None
