"""Labels as objects: taken, drawn from, divided alike, kept in a file, and events as frames."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from tasks import DatasetError
from tasks.targets import Classes, Distributions, Events, Interactions, Tags, Values, load_targets

KINDS = ["multilabel", "multiclass", "regression", "distribution", "interactions", "events"]


def targets_of(kind, n=200, seed=3):
    rng = np.random.default_rng(seed)
    names = tuple("abcdefgh")
    if kind == "multilabel":
        return Tags(names, (rng.random((n, 8)) < np.geomspace(0.02, 0.5, 8)).astype(np.uint8))
    if kind == "multiclass":
        return Classes("abcde", rng.choice(5, size=n, p=[0.5, 0.2, 0.2, 0.07, 0.03]))
    if kind == "regression":
        return Values(("x", "y"), rng.normal(size=(n, 2)))
    if kind == "distribution":
        return Distributions("abcd", rng.dirichlet(np.ones(4), n))
    if kind == "interactions":
        return Interactions(names, csr_array(rng.poisson(0.4, size=(n, 8)).astype(np.float64)))
    sizes = rng.integers(0, 4, n)
    starts = rng.uniform(0, 9, sizes.sum())
    ends = starts + rng.choice([0.0, 1.5], len(starts))
    return Events("abc", np.concatenate([[0], np.cumsum(sizes)]), starts, ends, rng.integers(0, 3, len(starts)))


@settings(max_examples=20)
@given(kind=st.sampled_from(KINDS), n=st.integers(1, 30), seed=st.integers(0, 99))
def test_what_is_saved_is_loaded(tmp_path_factory, kind, n, seed):
    targets = targets_of(kind, n, seed)
    file = tmp_path_factory.mktemp("targets") / "targets.npz"
    targets.save(file)
    again = load_targets(file)
    assert type(again) is type(targets)
    assert (again.names, again.content(), len(again)) == (targets.names, targets.content(), n)


@settings(max_examples=40)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 99), data=st.data())
def test_rows_are_taken_in_their_order(kind, seed, data):
    targets = targets_of(kind, 20, seed)
    rows = np.array(data.draw(st.lists(st.integers(0, 19), max_size=12)), dtype=np.int64)
    taken = targets.take(rows)
    assert len(taken) == len(rows)
    for place, row in enumerate(rows):
        assert taken.take(np.array([place])).content() == targets.take(np.array([row])).content()
    mask = np.isin(np.arange(20), rows)
    assert targets.take(mask).content() == targets.take(np.unique(rows)).content()


@settings(max_examples=60)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 5),
    fractions=st.lists(st.floats(0.01, 1), min_size=2, max_size=4),
)
def test_smaller_fractions_lie_inside_larger_ones(kind, seed, fractions):
    targets = targets_of(kind)
    subsets = [set(targets.subset(fraction, seed).tolist()) for fraction in sorted(fractions)]
    for fraction, subset in zip(sorted(fractions), subsets, strict=True):
        assert len(subset) == max(1, round(fraction * len(targets)))
    assert all(a <= b for a, b in pairwise(subsets))


@settings(max_examples=30)
@given(kind=st.sampled_from(["multiclass", "regression", "distribution", "interactions"]), fraction=st.floats(0.1, 1))
def test_fractions_keep_the_shares_of_strata(kind, fraction):
    targets = targets_of(kind)
    strata = targets.strata()
    chosen = np.bincount(strata[targets.subset(fraction, 1)], minlength=10)
    assert np.abs(chosen - fraction * np.bincount(strata, minlength=10)).max() <= 1.5


def test_a_small_fraction_has_a_clip_of_every_label():
    tags, classes, values = (targets_of(kind) for kind in KINDS[:3])
    assert set(classes.values[classes.subset(5 / 200, 0), 0]) == set(range(5))
    assert tags.values[tags.subset(8 / 200, 0)].any(axis=0).all()
    chosen = values.values[values.subset(0.1, 0), 0]
    assert np.histogram(chosen, np.quantile(values.values[:, 0], np.linspace(0, 1, 11)))[0].tolist() == [2] * 10
    with pytest.raises(ValueError, match="above 0 and up to 1, not 0"):
        classes.subset(0.0, 0)


#: What was drawn before labels were objects: scores on fractions of labels stay what they are.
ALWAYS = {
    "multilabel": [31, 59, 63, 81, 88, 111, 113, 121],
    "multiclass": [21, 31, 59, 63, 81, 90, 121, 144],
    "regression": [20, 31, 59, 63, 81, 113, 121, 144],
}


@pytest.mark.parametrize("kind", ALWAYS)
def test_fractions_are_those_that_were_always_drawn(kind):
    assert targets_of(kind).subset(0.04, 1).tolist() == ALWAYS[kind]


@settings(max_examples=30)
@given(kind=st.sampled_from(["multilabel", "multiclass", "distribution", "events"]), seed=st.integers(0, 50))
def test_fewer_shots_lie_inside_more(kind, seed):
    targets = targets_of(kind)
    held = targets.held if kind == "events" else targets.values == 1
    if kind in ("multiclass", "distribution"):
        held = targets.strata()[:, None] == np.arange(5)
    drawn = [targets.shots(k, seed) for k in (1, 2, 5, 20)]
    assert all(set(a) <= set(b) for a, b in pairwise(drawn))
    for k, rows in zip((1, 2, 5, 20), drawn, strict=True):
        counts = held[rows].sum(axis=0)
        wanted = np.minimum(k, held.sum(axis=0))
        assert (counts == wanted).all() if kind in ("multiclass", "distribution") else (counts >= wanted).all()
    assert any(not np.array_equal(drawn[0], targets.shots(1, other)) for other in range(seed + 1, seed + 6))


def test_shots_need_classes():
    with pytest.raises(ValueError, match="regression labels have no classes"):
        targets_of("regression").shots(1, 0)
    with pytest.raises(ValueError, match="at least 1, not 0"):
        targets_of("multiclass").shots(0, 0)


def test_an_unknown_tag_is_not_one_that_a_clip_has():
    tags = Tags("abc", np.array([[1, -1, 0], [1, 1, -1], [-1, -1, -1], [0, 1, 1]]))
    assert tags.values.dtype == np.int8
    assert tags.strata().tolist() == [0, 0, -1, 2]
    assert tags.classes(2)[0].tolist() == [0, -1, -1, 1]
    assert set(tags.shots(1, 0)) <= {0, 1, 3}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Tags("ab", np.array([[0, 2]])), "tags must be 1"),
        (lambda: Tags("ab", np.array([[0], [1]])), r"multilabel labels \(2, 1\) must be \[clips, 2 names\]"),
        (lambda: Classes("ab", np.array([0, 2])), "indices of 2 names, not 0 to 2"),
        (lambda: Values("a", np.array([[np.nan]])), "finite numbers"),
        (lambda: Distributions("ab", np.array([[0.5, 0.6]])), "sum to 1"),
        (lambda: Interactions("ab", csr_array((3, 3))), r"interactions \(3, 3\) must be \[clips, 2 users\]"),
        (lambda: Events("a", [0, 1], [2.0], [1.0], [0]), "ends before it starts"),
        (lambda: Events("a", [0, 2], [2.0], [2.0], [0]), "all belong to clips"),
        (lambda: Events("a", [0, 1], [2.0], [2.0], [1]), "indices of 1 names"),
    ],
)
def test_what_are_no_such_labels_is_said(make, message):
    with pytest.raises(DatasetError, match=message):
        make()


def test_interactions_are_divided_by_popularity():
    targets = targets_of("interactions")
    listeners = (targets.values.toarray() > 0).sum(axis=1)
    strata = targets.strata()
    assert np.bincount(strata).tolist() == [20] * 10
    assert all(listeners[strata == low].max() <= listeners[strata == low + 1].min() for low in range(9))
    rows = targets.subset(0.2, 4)
    assert np.array_equal(targets.take(rows).values.toarray(), targets.values.toarray()[rows])
    assert np.bincount(strata[rows]).tolist() == [4] * 10


def test_events_at_frames_by_hand():
    chords = Events(("C", "G"), [0, 2, 2, 3], [0.0, 1.0, 0.19], [1.0, 2.0, 0.19], [0, 1, 1])
    seconds = np.array([0.25, 0.75, 1.0, 1.25, 2.0, 0.5, 0.1, 0.3, 0.5])
    found = chords.at(seconds, np.array([0, 5, 6, 9]))
    assert found.tolist() == [[1, 0], [1, 0], [0, 1], [0, 1], [0, 0], [0, 0], [0, 1], [0, 0], [0, 0]]
    with pytest.raises(ValueError, match="frames of 1 clips, and events of 3"):
        chords.at(seconds)


@settings(max_examples=50)
@given(seed=st.integers(0, 999), frames=st.integers(1, 40))
def test_events_at_frames_are_those_that_go_on(seed, frames):
    rng = np.random.default_rng(seed)
    n = rng.integers(0, 8)
    starts = rng.uniform(0, 9, n)
    ends = np.where(rng.random(n) < 0.5, starts, starts + rng.uniform(0.1, 3, n))
    sorts = rng.integers(0, 3, n)
    seconds = np.sort(rng.uniform(0, 10, frames))
    expected = np.zeros((frames, 3), dtype=int)
    for start, end, sort in zip(starts, ends, sorts, strict=True):
        if start == end:
            expected[min(range(frames), key=lambda i: abs(seconds[i] - start)), sort] = 1
        for i, t in enumerate(seconds):
            if start <= t < end:
                expected[i, sort] = 1
    assert Events("abc", [0, n], starts, ends, sorts).at(seconds).tolist() == expected.tolist()
