"""Mean ranks over tasks: against scipy, Demsar's table and simulated tables whose expected ranks are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from analysis_tables import grid
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis import standardise
from analysis.commands import analyze
from analysis.options import AnalysisOptions
from analysis.statistics.ranks import critical_difference, friedman, mean_ranks, rank_intervals


def table(scores):
    """Long table of scores by task and level."""
    rows = [(level, task, score) for task, own in scores.items() for level, score in own.items()]
    return pd.DataFrame(rows, columns=["encoder", "task", "score"])


def test_critical_differences_are_demsars():
    """Quantiles of Demsar 2006, table 5(a), for 2 to 10 classifiers."""
    published = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]
    found = [critical_difference(k, 14) / np.sqrt(k * (k + 1) / (6 * 14)) for k in range(2, 11)]
    assert found == pytest.approx(published, abs=0.0011)


@given(tasks=st.integers(2, 12), levels=st.integers(3, 6), values=st.integers(2, 9), seed=st.integers(0, 1000))
def test_friedmans_statistic_is_scipys(tasks, levels, values, seed):
    scores = np.random.default_rng(seed).integers(0, values, (tasks, levels))
    found = friedman(stats.rankdata(scores, axis=1))
    if (scores == scores[:, :1]).all():
        assert found == {"statistic": 0.0, "p": 1.0}
    else:
        assert found["statistic"] == pytest.approx(stats.friedmanchisquare(*scores.T).statistic)


def test_perfect_agreement_is_no_more_certain_than_chance_allows():
    """Five tasks with the same order of three: one of 6 ** 4 tables of equal levels."""
    assert friedman(np.tile([1.0, 2.0, 3.0], (5, 1)))["p"] == pytest.approx(6.0**-4)
    assert friedman(np.tile(np.arange(1.0, 101.0), (2, 1)))["p"] > 0


def test_ranks_of_a_small_table():
    scores = {
        "t0": {"a": 0.9, "b": 0.8, "c": 0.1},
        "t1": {"a": 0.7, "b": 0.7, "c": 0.2},
        "t2": {"a": 0.6, "b": 0.4, "c": 0.5},
        "t3": {"a": 0.6, "b": 0.4},
    }
    found = mean_ranks(standardise(table(scores)), "encoder")
    assert (found["tasks"], found["task_names"]) == (3, ["t0", "t1", "t2"])
    assert {name: entry["estimate"] for name, entry in found["levels"].items()} == pytest.approx(
        {"a": 3.5 / 3, "b": 6.5 / 3, "c": 8 / 3}
    )
    assert [entry["first"] for entry in found["levels"].values()] == [3, 1, 0]
    # So few tasks: 2.34 * sqrt(12 / 18) joins everything.
    assert found["critical_difference"] == pytest.approx(1.914, abs=0.001)
    assert found["alike"] == [["a", "b", "c"]]
    assert mean_ranks(standardise(table({task: scores[task] for task in ("t0", "t3")})), "encoder") is None


def test_what_the_critical_difference_joins():
    """Four levels in the same order on 20 tasks: the difference is 1.05, so only neighbours are joined."""
    scores = {f"t{d}": {name: 0.1 * i for i, name in enumerate("dcba")} for d in range(20)}
    found = mean_ranks(standardise(table(scores)), "encoder")
    assert found["alike"] == [["a", "b"], ["b", "c"], ["c", "d"]]
    found = mean_ranks(standardise(table({**scores, **{f"u{d}": scores["t0"] for d in range(20)}})), "encoder")
    assert found["alike"] == []


@pytest.mark.parametrize(("levels", "tasks", "least"), [(4, 5, 0.90), (4, 12, 0.92), (10, 8, 0.92)])
def test_intervals_of_mean_ranks_hold_the_truth(levels, tasks, least):
    """Levels two standard deviations apart in all, and a leader that nearly always wins: never without width."""
    rng = np.random.default_rng(0)
    true = np.append(np.linspace(0, 2, levels - 1), 5.0)

    def draw(count):
        return stats.rankdata(-(true + rng.standard_normal((count, levels))), axis=1)

    expected = draw(40_000).mean(axis=0)
    held = np.zeros(levels)
    for _ in range(400):
        means, lower, upper = rank_intervals(draw(tasks))
        assert ((lower < upper) & (lower >= 1) & (upper <= levels)).all()
        assert ((lower <= means) & (means <= upper)).all()
        held += (lower <= expected + 0.005) & (expected - 0.005 <= upper)
    assert held.mean() / 400 >= least, held / 400


def test_an_analysis_tells_and_draws_mean_ranks(tmp_path):
    whole = grid(4, 6, 2, step=0.6)
    found = analyze(whole, AnalysisOptions(bootstrap=0), output=tmp_path)
    ranks = found["ranks"]
    assert next(iter(ranks["levels"])) == "e3"
    assert {"ranks.csv", "ranks.png"} <= set(found["files"])
    written = pd.read_csv(tmp_path / "ranks.csv")
    assert list(written.columns) == ["level", "estimate", "lower", "upper", "first"]
    assert written.estimate.sum() == pytest.approx(10.0)
    (sentence,) = (one for one in found["summary"] if "mean ranks" in one["text"])
    first = ranks["levels"]["e3"]
    assert f"e3 {first['estimate']:.2f} [{first['lower']:.2f}, {first['upper']:.2f}]" in sentence["text"]
    near = next(group for group in ranks["alike"] if group[0] == "e3")
    assert all(name in sentence["text"].partition("would not tell e3 from")[2] for name in near[1:4])
    # No task has all: nothing is ranked, and nothing said of ranks.
    holes = whole[[int(e[1]) != int(t[1]) % 4 for e, t in zip(whole.encoder, whole.task, strict=True)]]
    found = analyze(holes, AnalysisOptions(bootstrap=0))
    assert found["ranks"] is None
    assert not any("mean ranks" in one["text"] for one in found["summary"])
