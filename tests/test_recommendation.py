"""Recommendation of new clips: the factorisation beside an independent one's numbers, and rankings of the catalogue."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probe_data import clips_of, small
from scipy.sparse import csr_array
from sklearn.metrics import ndcg_score

from benchmark.scores.scoring import score
from probes.catalogue import places
from probes.factorisation import Factors, Penalties, factorise, objective, start
from probes.protocols import LabelledClips, run_protocol
from probes.readouts.base import ProbeTask
from tasks.base import Task
from tasks.metrics import METRICS, ndcg, recall
from tasks.targets import Interactions

GOLDEN = Path(__file__).parent / "golden" / "multisource_net"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "wmf.npz") as arrays:
        found = dict(arrays)
    return found, json.loads((GOLDEN / "ranking.json").read_text())


def penalties(numbers, same=False):
    users = numbers["ridge_v"] if same else numbers["ridge_u"]
    return Penalties(numbers["alpha"], users, numbers["ridge_v"], numbers["ridge_w"])


def beginning(clips, content):
    return Factors(np.zeros((0, clips.shape[1])), clips, content)


@pytest.mark.parametrize("setting", ["paper", "strong"])
@pytest.mark.parametrize("block", [2_000_000, 100])
def test_the_factorisation_is_the_equations(golden, setting, block, monkeypatch):
    """Whether rows and columns are taken all at once or a few at a time."""
    monkeypatch.setattr("probes.factorisation.BLOCK", block)
    arrays, rankings = golden
    kept = np.setdiff1d(np.arange(12), arrays["held_out"])
    plays, features = csr_array(arrays["plays"].T[kept]), arrays["features"]
    numbers = penalties(rankings["settings"][setting])
    begin = beginning(arrays["v_start"][kept], arrays["w_start"])
    values = []
    for rounds in range(1, 16):
        found = factorise(plays, features[kept], numbers, begin, rounds)
        values.append(objective(plays, features[kept], numbers, found))
        if rounds in (1, 15):
            for name, part in (("u", found.users), ("v", found.clips), ("w", found.content)):
                np.testing.assert_allclose(part, arrays[f"{setting}/{name}_{rounds}"], atol=1e-8)
    np.testing.assert_allclose(values, arrays[f"{setting}/objective"], rtol=1e-9)
    np.testing.assert_allclose(found.scores(features).T, arrays[f"{setting}/scores"], atol=1e-8)


@pytest.mark.parametrize("setting", ["paper", "strong"])
def test_what_was_released_is_another_factorisation(golden, setting):
    """That program has one ridge for users and clips."""
    arrays, rankings = golden
    plays = arrays["plays"].T.copy()
    plays[arrays["held_out"]] = 0
    numbers = penalties(rankings["settings"][setting], same=True)
    begin = beginning(arrays["v_start"], arrays["w_start"])
    found = factorise(csr_array(plays), arrays["features"], numbers, begin, 15, released=True)
    for name, part in (("u", found.users), ("v", found.clips), ("w", found.content)):
        np.testing.assert_allclose(part, arrays[f"{setting}/released_{name}_15"], atol=1e-8)
    np.testing.assert_allclose(found.scores(arrays["features"]).T, arrays[f"{setting}/released_scores"], atol=1e-8)
    assert np.array_equal(found.clips[arrays["held_out"]], arrays["v_start"][arrays["held_out"]])


def test_without_content_it_is_the_factorisation_of_implicit_feedback(golden):
    """Features that say nothing draw clips to zero: Hu et al. 2008."""
    arrays, rankings = golden
    plain = rankings["plain"]
    numbers = Penalties(plain["alpha"], plain["ridge"], plain["ridge"], 1.0)
    begin = beginning(arrays["v_start"], np.zeros((1, 3)))
    for rounds in (1, 15):
        found = factorise(csr_array(arrays["plays"].T), np.zeros((12, 1)), numbers, begin, rounds)
        np.testing.assert_allclose(found.users, arrays[f"plain/u_{rounds}"], atol=1e-8)
        np.testing.assert_allclose(found.clips, arrays[f"plain/v_{rounds}"], atol=1e-8)


@given(seed=st.integers(0, 10_000), clips=st.integers(1, 30), users=st.integers(1, 12), factors=st.integers(1, 5))
@settings(max_examples=15, deadline=None)
def test_every_round_brings_the_objective_down(seed, clips, users, factors):
    rng = np.random.default_rng(seed)
    plays = csr_array(rng.poisson(0.5, (clips, users)).astype(float))
    features = rng.normal(size=(clips, 3))
    numbers = Penalties(*rng.uniform(0.05, 3, 4))
    begin = start(clips, 3, factors, seed)
    values = [objective(plays, features, numbers, factorise(plays, features, numbers, begin, n)) for n in range(1, 6)]
    assert all(later <= earlier * (1 + 1e-9) for earlier, later in pairwise(values))


@pytest.mark.parametrize("k", [2, 5, 500])
def test_rankings_are_the_golden_ones(golden, k):
    """Each user's clips in order, with their training clips left out; whoever has none of those is no user here."""
    arrays, rankings = golden
    held = arrays["held_out"]
    kept = np.setdiff1d(np.arange(12), held)
    heard = [one["user"] for one in rankings["from_wmf_strong"][str(k)]["users"]]
    assert sorted({*map(int, rankings["left_out"]), *heard}) == list(range(8))
    scores = np.round(arrays["strong/scores"].T[:, heard], 12)
    plays = csr_array(arrays["plays"].T[:, heard])
    found = places(scores[held], scores[kept], plays[kept])
    for user, one in enumerate(rankings["from_wmf_strong"][str(k)]["users"]):
        assert sorted(held[arrays["plays"][one["user"], held] > 0]) == one["relevant"]
        for place, clip in enumerate(held):
            assert -found[place, user] == 1 + one["ranked"].index(clip)
    whole = rankings["from_wmf_strong"][str(k)]
    for metric, name in ((ndcg(k, catalogue=True), "ndcg"), (recall(k, catalogue=True), "recall")):
        each = metric(plays[held], found, np.eye(len(heard), dtype=np.float32))[:, 0]
        np.testing.assert_allclose(each, [one[name] for one in whole["users"]], atol=1e-12)
        assert metric(plays[held], found)[0] == pytest.approx(whole[name], abs=1e-12)


def test_metrics_are_the_golden_cases(golden):
    for case in golden[1]["cases"]:
        scores = np.array(case["scores"])[:, None]
        plays = np.zeros_like(scores)
        plays[case["relevant"]] = 1
        alone = places(scores, scores[:0], csr_array((0, 1)))
        for metric, name in ((ndcg, "ndcg"), (recall, "recall")):
            own = metric(case["k"]), metric(case["k"], catalogue=True)
            expected = pytest.approx(case[name], abs=1e-12)
            assert (own[0](csr_array(plays), scores)[0], own[1](csr_array(plays), alone)[0]) == (expected, expected)


@given(seed=st.integers(0, 10_000), new=st.integers(2, 12), known=st.integers(0, 12))
@settings(max_examples=20, deadline=None)
def test_places_are_those_of_a_sorted_list(seed, new, known):
    """As scikit-learn ranks the whole list; ties share the mean of their places."""
    rng = np.random.default_rng(seed)
    scores = rng.permutation(new + known).astype(float)[:, None]
    played = csr_array((rng.random((known, 1)) < 0.4).astype(float))
    found = places(scores[:new], scores[new:], played)
    catalogue = np.concatenate([scores[:new, 0], scores[new:][played.toarray() == 0]])
    assert [int(np.sum(catalogue > one) + 1) for one in scores[:new, 0]] == (-found[:, 0]).tolist()
    relevant = np.zeros(len(catalogue))
    relevant[0] = 1
    theirs = ndcg_score(relevant[None], catalogue[None], k=3)
    labels = csr_array(relevant[:new, None])
    assert ndcg(3, catalogue=True)(labels, found)[0] == pytest.approx(theirs)
    assert np.unique(places(np.zeros((new, 1)), np.zeros((known, 1)), played)).tolist() == [-(len(catalogue) + 1) / 2]


def test_the_floor_of_a_catalogue_is_what_chance_reaches():
    rng = np.random.default_rng(0)
    known, plays = (csr_array((rng.random((rows, 6)) < 0.3).astype(float)) for rows in (50, 30))
    metric = ndcg(10, catalogue=True)
    shuffled = [metric(plays, places(rng.random((30, 6)), rng.random((50, 6)), known))[0] for _ in range(400)]
    assert metric.floor(known, plays, 6)[0] == pytest.approx(np.mean(shuffled), abs=3 * np.std(shuffled) / 400**0.5)
    with pytest.raises(ValueError, match="take places"):
        metric(plays, rng.random((30, 6)))


def taste(clips=120, users=40, silent=2):
    """Clips whose features say which of four groups of users play them; the last users play nothing."""
    rng = np.random.default_rng(3)
    groups = rng.integers(4, size=clips)
    x = rng.normal(size=(clips, 8)).astype(np.float32)
    x[:, :4] += 3 * np.eye(4, dtype=np.float32)[groups]
    likes = np.where(groups[:, None] == np.arange(users) % 4, 0.5, 0.02)
    plays = rng.poisson(likes).astype(float)
    plays[:, users - silent :] = 0
    return x, csr_array(plays)


def factorisation(**numbers):
    return small(readout={"kind": "factorisation", "factors": 6, "content_ridge": 1e-3, **numbers})


def probe_task(users):
    metric = METRICS["ndcg_500_catalogue"]
    return ProbeTask("interactions", users, metric.name, lambda labels, given: float(metric(labels, given)[0]))


def divided(x, plays):
    parts = [
        LabelledClips(clips_of(x[rows], ()).encoders, plays[rows])
        for rows in (slice(70), slice(70, 90), slice(90, 120))
    ]
    return parts[0], parts[1], parts[2].encoders


def test_new_clips_are_recommended_to_those_who_like_their_kind():
    x, plays = taste()
    train, valid, test = divided(x, plays)
    found = run_protocol(factorisation(), train, valid, test, probe_task(40), 0)
    splits = np.array(["train"] * 70 + ["valid"] * 20 + ["test"] * 30)
    ids = tuple(map(str, range(120)))
    task = Task(ids, splits, Interactions([f"user {n}" for n in range(40)], plays), np.array(ids))
    scores, unscored = score(task, found.predictions[0], ["ndcg_500_catalogue", "recall_100_catalogue", "ndcg_500"])
    lead = scores["ndcg_500_catalogue"]
    silent = [f"user {n}" for n in range(40) if not plays[90:, [n]].nnz]
    assert {"user 38", "user 39"} <= set(silent)
    assert (unscored, lead.units) == (silent, 40 - len(silent))
    assert lead.floor + 0.05 < lead.lower < lead.value < lead.upper
    # The same clips, ranked among fewer.
    assert scores["ndcg_500"].value > lead.value
    assert found.selection["users_without_training_plays"] >= 2
    single = [METRICS["ndcg_500_catalogue"](plays[90:][:, [n]], found.predictions[0][:, [n]])[0] for n in range(40)]
    heard = np.array(single)[~np.isnan(single)]
    assert lead.value == pytest.approx(heard.mean())
    assert lead.standard_error == pytest.approx(heard.std(ddof=1) / np.sqrt(len(heard)))


def test_numbers_are_chosen_on_validation_and_seeds_decide_the_start():
    x, plays = taste()
    train, valid, test = divided(x, plays)
    found = run_protocol(factorisation(content_ridge=[1e-3, 1e6]), train, valid, test, probe_task(40), 0)
    alone = [
        run_protocol(factorisation(content_ridge=ridge), train, valid, test, probe_task(40), 0) for ridge in (1e-3, 1e6)
    ]
    assert found.selection["values"] == [one.selection["value"] for one in alone]
    assert found.selection["value"] == max(found.selection["values"])
    chosen = (1e-3, 1e6).index(found.selection["chosen"]["content_ridge"])
    assert np.array_equal(found.predictions, alone[chosen].predictions)
    other = run_protocol(factorisation(), train, valid, test, probe_task(40), 1)
    assert other.selection["objective"] == pytest.approx(alone[0].selection["objective"], rel=0.05)
    assert other.selection["objective"] != alone[0].selection["objective"]


def test_validation_clips_are_trained_on_and_test_features_seen_only_where_a_protocol_says_so():
    x, plays = taste()
    train, valid, test = divided(x, plays)
    numbers = {"train_on": "train+valid", "examples": "clip_mean", "standardise": True}
    apart = run_protocol(factorisation(), train, valid, test, probe_task(40), 0).selection
    joined = run_protocol(
        small(readout={"kind": "factorisation", "factors": 6}, **numbers), train, valid, test, probe_task(40), 0
    ).selection
    assert (apart["by"], joined["by"]) == ("ndcg_500_catalogue", None)
    moved = tuple(one.take(np.arange(30)[::-1]) for one in test)
    for released in (False, True):
        own = small(readout={"kind": "factorisation", "factors": 6, "released": released}, **numbers)
        first, second = (run_protocol(own, train, valid, one, probe_task(40), 0) for one in (test, moved))
        same = first.selection["objective"] == second.selection["objective"]
        assert same is not released


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"examples": "windows"}, "needs examples: clip_mean or clip_mean_std"),
        ({"readout": {"kind": "factorisation", "factors": [2, 3]}, "train_on": "train+valid"}, "give no lists"),
        ({"readout": {"kind": "factorisation", "factors": [2, 3], "released": True}}, "give no lists"),
        ({"hidden": []}, "stand beside readout"),
        ({"readout": {"kind": "factorisation", "rounds": 0}}, "rounds"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, match):
    with pytest.raises(ValueError, match=match):
        small(**{"readout": {"kind": "factorisation"}, **changes})


def test_nothing_played_cannot_be_learnt_from():
    x, plays = taste()
    train, valid, test = divided(x, csr_array(plays.shape))
    with pytest.raises(ValueError, match="nobody plays any of the training clips"):
        run_protocol(factorisation(), train, valid, test, probe_task(40), 0)
