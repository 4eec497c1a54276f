"""Who leads a task and who is tied: means over seeds, and a test that knows of seeds, clips and the number of rows."""

import numpy as np
import pytest
from report_store import fill, make_record

from analysis.report.groups import Value, form_groups
from analysis.report.leaderboard import _compare, leaderboard
from benchmark.registry.registry import load_registry
from benchmark.report.contents import collect


def test_leaderboard_means_and_ties(tmp_path):
    scores = {("a", 0): 0.80, ("a", 1): 0.82, ("b", 0): 0.79, ("b", 1): 0.80, ("c", 0): 0.50, ("c", 1): 0.51}
    records = [make_record(encoder, "gtzan", seed, score=value) for (encoder, seed), value in scores.items()]
    (group,) = form_groups(collect(fill(tmp_path / "store", records), load_registry())["runs"])
    board = leaderboard(group)
    assert [row.encoder for row in board.rows] == ["a", "b", "c"]
    best = board.rows[0].values["accuracy"]
    assert (best.mean, best.lower, best.upper, best.n) == pytest.approx((0.81, 0.79, 0.83, 2))
    assert best.sd == pytest.approx(np.std([0.80, 0.82], ddof=1))
    assert (best.clips_se, best.seeds_se) == pytest.approx((0.02 / 1.959964, best.sd / np.sqrt(2)))
    assert ["accuracy" in row.best for row in board.rows] == [True, False, False]
    assert ["accuracy" in row.tied for row in board.rows] == [False, True, False]
    assert board.floors["accuracy"] == pytest.approx(0.1)


@pytest.mark.parametrize(("rows", "seeds"), [(2, 2), (5, 3), (12, 5)])
def test_equal_encoders_are_rarely_set_apart(rows, seeds):
    rng = np.random.default_rng(0)
    apart = 0
    for _ in range(400):
        scores = 0.8 + 0.001 * rng.standard_normal((rows, 1)) + 0.01 * rng.standard_normal((rows, seeds))
        values = [
            Value(own.mean(), own.mean() - 0.00196, own.mean() + 0.00196, own.std(ddof=1), seeds) for own in scores
        ]
        _, tied = _compare(values)
        apart += len(tied) < rows - 1
    assert apart / 400 <= 0.07


def test_of_many_rows_some_are_tied():
    rng = np.random.default_rng(0)
    scores = rng.normal(0.8, 0.05, (200, 1)) + 0.01 * rng.standard_normal((200, 3))
    values = [Value(own.mean(), own.mean() - 0.01, own.mean() + 0.01, own.std(ddof=1), 3) for own in scores]
    best, tied = _compare(values)
    assert best == int(scores.mean(axis=1).argmax())
    assert 0 < len(tied) < 100


def test_a_lead_far_beyond_seeds_and_clips_is_no_tie():
    scores = (0.90, 0.80, 0.795)
    values = [Value(score, score - 0.01, score + 0.01, 0.004, 3) for score in scores]
    assert _compare(values) == (0, set())
    assert _compare(values[1:]) == (0, {1})
    single = [Value(score, score - 0.01, score + 0.01, None, 1) for score in scores]
    assert _compare(single) == (0, set())
