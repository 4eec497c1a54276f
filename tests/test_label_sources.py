"""Labels of sources reduced to factors: the numbers, what is fitted to what, and what cannot be learnt from."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from tasks import DatasetError
from tasks.folder import AudioFolder, LabelledFolder
from tasks.sources import mixture, plsa, reduction
from tasks.sources.labels import Scalars, Terms, terms_of
from tasks.sources.reduction import reduce

GOLDEN = Path(__file__).parent / "golden" / "multisource_net"


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN / "plsa.npz")


@pytest.mark.parametrize("steps", [1, 10, 200])
def test_topics_are_the_golden_ones(golden, steps):
    found = plsa.fit(csr_array(golden["counts"]), golden["theta_start"], golden["phi_start"], steps)
    np.testing.assert_allclose(found.mixtures, golden[f"theta_{steps}"], atol=1e-10)
    np.testing.assert_allclose(found.topics, golden[f"phi_{steps}"], atol=1e-10)
    np.testing.assert_allclose(found.log_likelihood, golden[f"log_likelihood_{steps}"], atol=1e-10)


@pytest.mark.parametrize("steps", [1, 50])
def test_folded_in_documents_are_the_golden_ones(golden, steps):
    found = plsa.fold_in(csr_array(golden["new_counts"]), golden["phi_10"], steps)
    np.testing.assert_allclose(found, golden[f"folded_in_{steps}"], atol=1e-10)


def test_weighted_terms_and_those_of_artists_are_the_golden_ones(golden):
    labels = terms_of(12, ((row, term, golden["counts"][row, term]) for row, term in np.ndindex(12, 9)))
    groups = golden["artist"].astype(np.str_)
    counts, document, trained = reduction._documents(
        Terms(labels.names, labels.counts, groups=groups), np.ones(12, bool)
    )
    np.testing.assert_array_equal(counts.toarray(), golden["artist_counts"])
    assert trained.all()
    artists = plsa.fit(counts, golden["theta_start"][:4], golden["phi_start"], 10)
    np.testing.assert_allclose(artists.mixtures[document], golden["artist_of_tracks"], atol=1e-10)
    weighted = plsa.fit(csr_array(golden["tfidf"]), golden["theta_start"], golden["phi_start"], 10)
    np.testing.assert_allclose(weighted.mixtures, golden["tfidf_theta_10"], atol=1e-10)


def test_terms_are_weighted_by_the_clips_that_are_trained_on(golden):
    counts, fitted = golden["counts"].copy(), np.arange(12) < 8
    counts[:8, 8] = 0  # a term of held-out clips alone
    terms = [f"t{term}" for term in range(9)]
    found = reduce(Terms(terms, csr_array(counts), "tfidf"), fitted, 3)
    used = counts[:, :8]
    df = (used[fitted] > 0).sum(axis=0)
    weights = used * (np.log((1 + 8) / (1 + df)) + 1)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    by_hand = plsa.fit(csr_array(weights[:8]), *plsa.random_start(8, 8, 3, 0), 100)
    np.testing.assert_allclose(found.factors[:8], by_hand.mixtures, atol=1e-6)
    np.testing.assert_allclose(found.factors[8:], plsa.fold_in(csr_array(weights[8:]), by_hand.topics, 100), atol=1e-6)
    assert (found.facts["documents"], found.facts["terms"], found.facts["terms_unused"]) == (8, 8, 1)
    assert found.meaning[0].terms[0] == (f"t{by_hand.topics[0].argmax()}", pytest.approx(by_hand.topics[0].max()))
    assert sum(factor.share for factor in found.meaning) == pytest.approx(1)


def test_blocks_and_threads_change_nothing(monkeypatch):
    rng = np.random.default_rng(5)
    counts = csr_array(rng.poisson(0.3, (90, 60)))
    start = plsa.random_start(90, 60, 4, 1)
    whole, folded = plsa.fit(counts, *start, 5), plsa.fold_in(counts, start[1], 3)
    monkeypatch.setattr(plsa, "BLOCK", 7)
    monkeypatch.setattr(plsa, "PIECE", 3)
    parts = plsa.fit(counts, *start, 5)
    np.testing.assert_allclose(parts.mixtures, whole.mixtures, rtol=1e-12)
    np.testing.assert_allclose(parts.topics, whole.topics, rtol=1e-12)
    np.testing.assert_allclose(plsa.fold_in(counts, start[1], 3), folded, rtol=1e-12)


@settings(max_examples=40)
@given(data=st.data(), k=st.integers(2, 5))
def test_topics_are_distributions_that_explain_ever_more(data, k):
    rows, terms = data.draw(st.integers(2, 9)), data.draw(st.integers(2, 9))
    cells = st.lists(st.integers(0, 6), min_size=rows * terms, max_size=rows * terms)
    counts = np.array(data.draw(cells)).reshape(rows, terms)
    counts[0, 0] = counts[1, 1] = 1
    found = plsa.fit(csr_array(counts), *plsa.random_start(rows, terms, k, 0), 20)
    np.testing.assert_allclose(found.mixtures.sum(axis=1), 1)
    assert ((found.topics >= 0) & (found.topics <= 1 + 1e-12)).all()
    assert (np.diff(found.log_likelihood) >= -1e-9).all()
    reduced = reduce(Terms([*map(str, range(terms))], csr_array(counts)), np.ones(rows, bool), k)
    assert (reduced.labelled == (counts.sum(axis=1) > 0)).all()
    np.testing.assert_allclose(reduced.factors.sum(axis=1), reduced.labelled, atol=1e-6)


def test_the_mixture_is_the_golden_one():
    golden = np.load(GOLDEN / "mixture.npz")
    start = mixture.Mixture(golden["weights_start"], golden["means_start"], golden["variances_start"])
    found = mixture.fit(golden["tempo"], 4, 0, 25, start)
    np.testing.assert_allclose(found.weights, golden["weights_25"], atol=1e-9)
    np.testing.assert_allclose(found.means, golden["means_25"], atol=1e-9)
    np.testing.assert_allclose(found.variances, golden["variances_25"], atol=1e-9)
    np.testing.assert_allclose(found.responsibilities(golden["tempo"]), golden["responsibilities"], atol=1e-9)
    # Far outliers, of which every component says 0 unless logarithms are summed.
    np.testing.assert_allclose(found.responsibilities(golden["asked"]), golden["asked_responsibilities"], atol=1e-9)


@pytest.mark.parametrize("kind", ["scalars", "terms", "artists"])
def test_held_out_clips_change_nothing_of_what_is_fitted(kind):
    rng = np.random.default_rng(2)
    fitted = np.arange(60) < 40
    values, counts = rng.normal(100, 20, 60), rng.poisson(0.5, (60, 12)).astype(float)
    artists = np.array([f"a{row // 5}" for row in range(60)])

    def reduced():
        if kind == "scalars":
            return reduce(Scalars(values), fitted, 4)
        groups = artists if kind == "artists" else None
        return reduce(Terms([*map(str, range(12))], csr_array(counts), groups=groups), fitted, 4)

    before = reduced()
    values[40:], counts[40:] = values[40:][::-1].copy(), counts[40:][::-1].copy()
    after = reduced()
    np.testing.assert_array_equal(after.factors[:40], before.factors[:40])
    assert not np.array_equal(after.factors[40:], before.factors[40:])
    assert after.meaning == before.meaning
    if kind == "artists":
        assert (after.factors.reshape(12, 5, 4) == after.factors.reshape(12, 5, 4)[:, :1]).all()


def test_clips_of_which_nothing_is_known_have_no_factors():
    values = np.array([1.0, 2, 3, 4, np.nan, np.inf])
    found = reduce(Scalars(values), np.ones(6, bool), 2)
    assert found.labelled.tolist() == [True] * 4 + [False] * 2
    assert (found.factors[4:] == 0).all()
    terms = terms_of(5, [(0, "a", 1), (1, "b", 1), (1, "a", 2), (3, "c", 1)])
    found = reduce(terms, np.array([True, True, True, False, False]), 2)
    # A clip without terms, one with no term that is known, and one without any that is held out.
    assert found.labelled.tolist() == [True, True, False, False, False]
    assert found.factors.dtype == np.float32
    taken = terms.take(np.array([1, -1, 0]))
    assert taken.counts.toarray().tolist() == [[2, 1, 0], [0, 0, 0], [1, 0, 0]]
    assert np.isnan(Scalars(values).take(np.array([2, -1])).values).tolist() == [False, True]


@pytest.mark.parametrize(
    ("labels", "k", "said"),
    [
        (Scalars(np.array([np.nan, np.nan, np.nan, 80])), 2, "it has no label for any of the 3 clips"),
        (Scalars(np.array([120, np.nan, np.nan, 80])), 2, "a label for a single clip that is trained on"),
        (Scalars(np.array([120.0, 120, 120, 80])), 2, "all 3 clips that are trained on have the same value, 120"),
        (Scalars(np.array([120.0, 121, 122, 80])), 4, "only 3 clips that are trained on have a value, fewer than 4"),
        (Terms(("a",), csr_array(np.array([[0], [0], [0], [1]]))), 2, "it has no label for any of the 3 clips"),
        (Terms(("a",), csr_array(np.array([[0], [2], [0], [1]]))), 2, "a label for a single clip that is trained on"),
    ],
)
def test_what_cannot_be_learnt_from_is_said(labels, k, said):
    with pytest.raises(DatasetError, match=said):
        reduce(labels, np.array([True, True, True, False]), k)


def test_weights_of_terms_are_numbers_of_at_least_0():
    with pytest.raises(DatasetError, match="at least 0, not -1"):
        terms_of(2, [(0, "a", 1), (1, "a", -1)])


SOURCES = """path;artist;bpm;mood;rock;jazz
a.wav;Ann;120.5;calm; 1;0
b.wav;Bob;90;sad;0;?
c.wav;Ann;;;0;1
"""


@pytest.fixture
def folder(tmp_path):
    for name in "abcd":
        (tmp_path / f"{name}.wav").touch()
    (tmp_path / "sources.csv").write_text(SOURCES.replace(";calm; 1", ';"calm; slow";1'))
    return tmp_path


def test_columns_of_a_table_are_sources(folder):
    dataset = AudioFolder(folder)
    assert dict(dataset.sources()) == {
        "bpm": "numbers of sources.csv",
        "mood": "terms of sources.csv",
        "tags": "terms of sources.csv",
        "artist": "terms of sources.csv",
    }
    np.testing.assert_array_equal(dataset.source("bpm").values, [120.5, 90, np.nan, np.nan])
    mood, tags, artist = (dataset.source(name) for name in ("mood", "tags", "artist"))
    assert mood.names == ("calm", "slow", "sad")
    assert mood.counts.toarray().tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert tags.names == ("rock", "jazz")
    assert tags.counts.toarray().tolist() == [[1, 0], [0, 0], [0, 1], [0, 0]]
    assert artist.groups.tolist() == ["Ann", "Bob", "Ann", ""]
    assert artist.labelled.tolist() == [True, True, True, False]
    assert list(dataset.source_tables()) == [folder / "sources.csv"]


def test_labels_are_sources_where_there_is_no_other_table(folder):
    (folder / "labels.csv").write_text("path,split,artist,tempo,rock\na.wav,train,Ann,120,1\nb.wav,test,Bob,90,0\n")
    (folder / "sources.csv").write_text("path,bpm\nb.wav,77\n")
    np.testing.assert_array_equal(LabelledFolder(folder).source("bpm").values, [np.nan, 77])
    (folder / "sources.csv").unlink()
    dataset = LabelledFolder(folder)
    assert [*dataset.sources()] == ["tempo", "tags", "artist"]
    assert dataset.source("tempo").values.tolist() == [120, 90]
    assert list(dataset.source_tables()) == [folder / "labels.csv"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (";90;", ";fast;", r"sources.csv:3: column 'bpm' holds 'fast', no number where others are"),
        ("b.wav", "a.wav", r"sources.csv:3: path 'a.wav' is already in line 2"),
        ("b.wav", "z.wav", r"sources.csv:3: there is no clip of 'z.wav' in this folder"),
        ("path", "file", r"sources.csv:1: no column 'path'"),
    ],
)
def test_mistakes_in_a_table_are_named_with_their_line(folder, old, new, said):
    table = folder / "sources.csv"
    table.write_text(table.read_text().replace(old, new, 1).replace("c.wav;Ann;;", "c.wav;Ann;70;"))
    with pytest.raises(DatasetError, match=said):
        AudioFolder(folder).sources()
