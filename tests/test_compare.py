"""Which encoder is better, as far as the test clips can tell."""

import json
import os
from datetime import UTC, datetime

import numpy as np
import pytest
from conftest import bench, bench_json
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel
from sklearn.metrics import roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import ttost_paired

from benchmark.comparison.compare import Comparison, _adjusted, _paired, compare
from benchmark.comparison.stored_predictions import Side
from benchmark.scores.records import PREDICTIONS, RECORD, Overlap, ScoreRecord, mark_used
from benchmark.scores.scoring import score
from probes.delong import areas_and_influences, compare_areas
from probes.intervals import compare_paired, leave_out
from tasks.base import Task
from tasks.metrics import METRICS, macro
from tasks.targets import Tags


def by_definition(labels, first, second):
    """DeLong, DeLong and Clarke-Pearson (1988), pair by pair: areas and covariance [2, 2]."""
    positive, negative = np.flatnonzero(labels), np.flatnonzero(labels == 0)
    areas, above, below = [], [], []
    for scores in (first, second):
        wins = np.array(
            [[float(scores[p] > scores[q]) + 0.5 * (scores[p] == scores[q]) for q in negative] for p in positive]
        )
        areas.append(wins.mean())
        above.append(wins.mean(axis=1))
        below.append(wins.mean(axis=0))
    return np.array(areas), np.cov(above) / len(positive) + np.cov(below) / len(negative)


@given(seed=st.integers(0, 10_000), ties=st.booleans())
def test_delong_is_its_definition(seed, ties):
    rng = np.random.default_rng(seed)
    labels = (rng.random(25) < 0.4).astype(int)
    labels[:4] = [0, 0, 1, 1]
    scores = rng.normal(size=(2, 25)) + labels
    scores = np.round(scores) if ties else scores
    areas, covariance = by_definition(labels, *scores)
    test = compare_areas(labels[:, None], scores[:1, :, None], scores[1:, :, None], np.arange(25))
    assert test.difference == pytest.approx(areas[0] - areas[1])
    assert test.standard_error**2 == pytest.approx(
        covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], abs=1e-12
    )


def simulated(rng, n=120, tags=4, strengths=(1.0, 0.8)):
    """Tags that hang together, and two predictors whose errors do, too."""
    common = rng.normal(size=(n, 1))
    labels = (common + rng.normal(size=(n, tags)) > 0.8).astype(np.uint8)
    shared = rng.normal(size=(n, tags))
    return labels, [np.float32(s * labels + 0.7 * shared + 0.7 * rng.normal(size=(n, tags))) for s in strengths]


def test_influences_of_several_labels():
    labels, (first, second) = simulated(np.random.default_rng(0))
    areas, influences = areas_and_influences(labels, first)
    np.testing.assert_allclose(areas, roc_auc_score(labels, first, average=None))
    np.testing.assert_allclose(influences.sum(axis=0), 0, atol=1e-12)
    # Averaging a predictor with itself changes nothing; one clip a group is no grouping.
    groups = np.arange(len(labels))
    once = compare_areas(labels, first[None], second[None], groups)
    twice = compare_areas(labels, np.stack([first, first]), second[None], groups)
    assert twice == pytest.approx(once)
    # Every clip doubled in its group: the same clips, the same uncertainty, but for the divisor n - 1.
    doubled = [np.repeat(array, 2, axis=0) for array in (labels, first, second)]
    grouped = compare_areas(doubled[0], doubled[1][None], doubled[2][None], np.repeat(groups, 2))
    assert grouped.standard_error == pytest.approx(once.standard_error, rel=0.02)


def test_too_few_positives_are_an_error():
    with pytest.raises(ValueError, match="two positive and two negative"):
        areas_and_influences(np.array([[1], [0], [0]]), np.zeros((3, 1)))


@pytest.mark.slow
def test_intervals_of_a_true_difference_cover_it():
    """The jackknife's and DeLong's; `tests/test_coverage.py` has the case of no difference."""
    truth_labels, truth_scores = simulated(np.random.default_rng(1), n=100_000)
    areas = [macro(METRICS["roc_auc"](truth_labels, scores)) for scores in truth_scores]
    truth = float(areas[0] - areas[1])
    rng = np.random.default_rng(2)
    held = np.zeros(2)
    for _ in range(500):
        labels, scores = simulated(rng)
        test = compare_areas(labels, *(one[None] for one in scores), np.arange(len(labels)))
        parts = leave_out(np.arange(len(labels)))
        (counts,) = parts.kept()
        found, *replicates = np.subtract(
            *(
                np.append(macro(METRICS["roc_auc"](labels, one)), macro(METRICS["roc_auc"](labels, one, counts)))
                for one in scores
            )
        )
        interval = compare_paired(found, np.array(replicates), parts, 1.0)
        held += [interval.lower <= truth <= interval.upper, test.lower <= truth <= test.upper]
    found = held / 500
    assert ((found >= 0.93) & (found <= 0.97)).all(), found


def write_record(store, name, encoder, labels, predictions, *, seed=0, recipe="tune", fingerprint="f", **changes):
    """A probe step's artifact as the step leaves it."""
    folder = store / "artifacts" / "score" / name
    folder.mkdir(parents=True)
    ids = tuple(map(str, range(len(labels))))
    names = tuple(f"tag {i}" for i in range(labels.shape[1]))
    splits = np.array(["test"] * len(labels))
    task = Task(
        (*ids, "t", "u"),
        np.append(splits, ["train"] * 2),
        Tags(names, np.vstack([labels, labels[:2]])),
        np.array([*ids, "t", "u"]),
    )
    np.savez_compressed(
        folder / PREDICTIONS,
        clip_ids=np.array(ids),
        label_names=np.array(names),
        labels=labels,
        predictions=predictions,
        groups=np.array(ids),
    )
    scores, unscored = score(task, predictions, ["roc_auc", "average_precision"])
    record = {
        "encoders": [encoder],
        "corpus": "mtt" if recipe == "tune" else None,
        "recipe_name": recipe,
        "task": "mtt",
        "protocol": "linear",
        "seed": seed,
        "data": "real",
        "metrics": scores,
        "unscored_labels": unscored,
        "n_expected": {"test": len(labels)},
        "n_scored": {"test": len(labels)},
        "test_clips_lost": {},
        "fingerprint": fingerprint,
        "overlap": Overlap(clips=0, recordings=0, artists=0),
        "selection": {},
        "pretraining": None,
        "spec": {},
        "weights_sha256": f"{encoder} {recipe} {seed}",
        "parameters": 1,
        "dim": 1,
        "steps": [],
        "versions": {},
        "finished": datetime.now(UTC).isoformat(),
        **changes,
    }
    (folder / RECORD).write_text(ScoreRecord(**record).model_dump_json())


@pytest.fixture
def store(tmp_path):
    """Encoder `good` with two seeds, `worse`, its near twin, and `features` that no recipe trains."""
    rng = np.random.default_rng(0)
    labels, (good, worse) = simulated(rng, n=300, strengths=(2.0, 0.5))
    close = (good + 0.05 * rng.normal(size=good.shape)).astype(np.float32)
    write_record(tmp_path, "a", "good", labels, good)
    write_record(tmp_path, "b", "good", labels, close, seed=1)
    write_record(tmp_path, "c", "worse", labels, worse)
    write_record(tmp_path, "d", "twin", labels, close)
    write_record(tmp_path, "e", "features", labels, worse, recipe="as-given")
    write_record(tmp_path, "g", "good", labels, worse, recipe="untrained")
    return tmp_path


def test_a_clear_difference_is_told(store):
    found = compare(store, "good", "worse")
    assert [one.metric for one in found] == ["roc_auc", "average_precision"]
    auc = found[0]
    assert auc.seeds == (2, 1)
    assert auc.difference == pytest.approx(auc.scores[0] - auc.scores[1])
    assert auc.lower > 0.1
    assert auc.p < 1e-9
    assert auc.p_holm == pytest.approx(auc.p * (2 if auc.p <= found[1].p else 1))
    assert auc.answer == "better"
    assert auc.delong.difference == pytest.approx(auc.difference)
    # Two ways to the same uncertainty.
    assert auc.delong.upper - auc.delong.lower == pytest.approx(auc.upper - auc.lower, rel=0.15)
    assert "the 300 test clips tell them apart" in auc.text
    assert auc.trained_once == ["worse (tune)"]
    assert "Nothing is said of another training of worse (tune), trained once." in auc.text
    features = compare(store, "good", "features")[0]
    assert features.trained_once == [] and "one side has a single training" in features.text
    back = compare(store, "worse", "good")[0]
    assert (back.difference, back.p) == pytest.approx((-auc.difference, auc.p))
    assert "good (tune) scores" in back.text


def test_a_lead_of_what_was_pretrained_on_test_clips_is_called_none(store):
    labels, (good, worse) = simulated(np.random.default_rng(1), n=60, strengths=(2.0, 0.5))
    heard = Overlap(clips=41, recordings=0, artists=0, labelled=0)
    write_record(store, "x", "heard", labels, good, fingerprint="x", overlap=heard)
    write_record(store, "y", "deaf", labels, worse, fingerprint="x")
    for names in (("heard", "deaf"), ("deaf", "heard")):
        found = compare(store, *names)[0]
        assert found.heard == ((41, 0) if names[0] == "heard" else (0, 41))
        assert "heard (tune) was pretrained on 41 of the 60 test clips, so this says nothing" in found.text
    assert "pretrained on" not in compare(store, "good", "worse")[0].text


def test_of_a_training_that_was_scored_again_the_newest_score_counts(store):
    before = compare(store, "good", "worse")[0]
    rng = np.random.default_rng(0)
    labels, (_, worse) = simulated(rng, n=300, strengths=(2.0, 0.5))
    # The same seed, scored before the encoder was mended, and on other clips.
    write_record(store, "z", "good", labels, worse, fingerprint="old")
    os.utime(store / "artifacts" / "score" / "z", (1, 1))
    after = compare(store, "good", "worse")[0]
    assert after == before
    write_record(store, "0", "good", labels, worse)
    mended = compare(store, "good", "worse")[0]
    assert mended.seeds == (2, 1)
    assert mended.difference < before.difference
    # The change is undone, and `bench run` shows the first scores again.
    mark_used(store / "artifacts" / "score" / "a")
    assert compare(store, "good", "worse")[0] == before


def test_what_the_clips_cannot_tell_is_said(store):
    found = compare(store, "good:untrained", "features")[0]
    assert found.difference == 0
    assert found.p == 1
    assert "score the same" in found.text
    near = compare(store, "twin", "good", tasks=["mtt"])[0]
    assert near.lower < 0 < near.upper
    assert near.answer == "equivalent"
    assert "show them equivalent within 0.01 (p = below 0.001 adjusted)" in near.text
    strict = compare(store, "twin", "good", tasks=["mtt"], margin=0.0001)[0]
    assert strict.answer == "cannot tell"
    assert "cannot tell them apart, nor show them equivalent within 0.0001" in strict.text


def test_the_command_line(store):
    (auc, _) = bench_json("compare", "good", "features", "--store", store, "--recipe", "tune")
    assert auc["second"] == "features"
    assert auc["lower"] < auc["difference"] < auc["upper"]
    assert auc["text"] in bench("compare", "good", "features", "--store", store).stdout
    json.dumps(auc, allow_nan=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["good", "wurse"], "Did you mean 'worse'?"),
        (["good", "worse", "--task", "gtzan"], "unknown task with scores of good 'gtzan'. There are: mtt;"),
        (["good", "worse", "--margin", "0"], "--margin 0: give a difference above 0"),
        (["good", "other"], "different test clips or labels"),
        (["good", "twice"], "trained in several ways: tune on fma; tune on mtt"),
        (["good", "elsewhere"], "no task, protocol and setting in common"),
    ],
)
def test_what_cannot_be_compared_is_refused(store, arguments, message):
    labels, (scores, _) = simulated(np.random.default_rng(1), n=200)
    write_record(store, "h", "other", labels, scores, fingerprint="g")
    write_record(store, "i", "twice", labels, scores)
    write_record(store, "j", "twice", labels, scores, corpus="fma")
    write_record(store, "k", "elsewhere", labels, scores, protocol="jukemir")
    result = bench("compare", *arguments, "--store", store)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def pair(seed, n, first, second):
    """A comparison of accuracies from predictors that are right by chance, on clips of their own."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, (n, 1))
    sides = []
    for share in (first, second):
        right = rng.random(n) < share
        guess = np.where(right, labels[:, 0], (labels[:, 0] + rng.integers(1, 10, n)) % 10)
        stack = np.eye(10, dtype=np.float32)[guess][None]
        sides.append(Side("e", stack, labels, np.arange(n), tuple("abcdefghij"), np.zeros(n, int)))
    own = _paired("accuracy", tuple(sides))
    return labels, sides, Comparison(
        task="t", protocol="linear", metric="accuracy", fingerprint="", standin=False, setting="", first="first",
        second="second", seeds=(1, 1), trained_once=[], **own, p_holm=own["p"],
        p_equivalence_holm=own["p_equivalence"], comparisons=1, answer="cannot tell", n_clips=n, n_groups=n,
    )  # fmt: skip


def test_many_huge_differences_are_all_told():
    """The least p value has to be far below 0.05 over the number of comparisons."""
    found = _adjusted([pair(seed, 200, 0.9, 0.2)[2] for seed in range(26)])
    assert max(one.p_holm for one in found) < 1e-9
    assert all("tell them apart." in one.text and "cannot" not in one.text for one in found)


@pytest.mark.parametrize("first", [0.6, 0.75])
def test_words_say_what_the_adjusted_p_values_say(first):
    """Of forty comparisons some are below 0.05 alone, which no sentence may call a difference."""
    found = _adjusted([pair(100 + seed, 120, first, 0.6)[2] for seed in range(40)])
    assert any(one.p < 0.05 <= one.p_holm for one in found) == (first > 0.6)
    for one in found:
        apart = "tell them apart" in one.text and "cannot tell" not in one.text
        assert apart == (one.p_holm < 0.05) == (one.answer == "better")
        assert ("were this the only comparison" in one.text) == (one.p < 0.05 <= one.p_holm)
        assert (one.p < 0.05) == (one.lower > 0 or one.upper < 0)
        assert (one.answer == "equivalent") == (one.p_holm >= 0.05 > one.p_equivalence_holm)


@given(seed=st.integers(0, 10_000), n=st.integers(20, 300))
@settings(max_examples=25)
def test_of_accuracies_it_is_the_paired_t_test_and_the_tests_of_statsmodels(seed, n):
    labels, sides, one = pair(seed, n, 0.7, 0.6)
    right = [side.predictions[0].argmax(axis=1) == labels[:, 0] for side in sides]
    if not (right[0] ^ right[1]).any():
        return
    expected = ttest_rel(*(own.astype(float) for own in right))
    assert one.p == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval()
    assert (one.lower, one.upper) == pytest.approx((interval.low, interval.high))
    p, *_ = ttost_paired(*(own.astype(float) for own in right), -0.02, 0.02)
    assert one.p_equivalence == pytest.approx(p)
    table = [[int((a & b).sum()) for b in (right[1], ~right[1])] for a in (right[0], ~right[0])]
    assert one.mcnemar.p == pytest.approx(mcnemar(table, exact=True).pvalue)
    assert (one.mcnemar.first_only, one.mcnemar.second_only) == (table[0][1], table[1][0])


def test_a_few_clips_that_all_say_the_same_prove_little():
    few = pair(0, 3, 1.0, 0.0)[2]
    assert (few.difference, few.p) == (1.0, 0.25)
    assert few.lower < few.difference < few.upper
    many = pair(0, 60, 1.0, 0.0)[2]
    assert many.p == pytest.approx(2.0**-59)
    same = pair(0, 60, 1.0, 1.0)[2]
    assert (same.difference, same.p) == (0.0, 1.0)
    assert same.upper == pytest.approx(proportion_confint(0, 60, method="beta")[1])
    assert same.p_equivalence == pytest.approx(0.98**60)
