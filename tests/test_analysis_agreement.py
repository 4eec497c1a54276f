"""Kendall's tau, its intervals, and whether the protocol changes the winner."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from analysis_tables import grid
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

import analysis
from analysis.statistics.agreement import kendall


def two_protocols(swap: bool, noise: float = 0.02, rng: int = 0):
    """Encoders with clear ranks; the second protocol swaps the best two if asked to."""
    generator = np.random.default_rng(rng)
    table = grid(5, 6, 3)
    level = table.encoder.str[1:].astype(float).to_numpy()
    first = table.assign(protocol="p", score=level + noise * generator.standard_normal(len(table)))
    moved = np.select([level == 4, level == 3], [3.0, 4.0], level) if swap else level
    second = table.assign(protocol="q", score=moved + noise * generator.standard_normal(len(table)))
    return pd.concat([first, second], ignore_index=True)


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 5), min_size=3, max_size=12),
    st.lists(st.integers(0, 5), min_size=12, max_size=12),
)
def test_tau_is_that_of_scipy(a, b):
    x, y = np.array(a, float), np.array(b[: len(a)], float)
    ours, theirs = kendall(x, y), kendalltau(x, y).statistic
    assert ours == pytest.approx(theirs, nan_ok=True, abs=1e-12)


def test_a_protocol_that_swaps_the_best_two_changes_the_winner_always():
    result = analysis.protocol_agreement(analysis.standardise(two_protocols(True)), replicates=300)
    (pair,) = result["pairs"]
    assert pair["estimate"] == pytest.approx(0.8)  # 1 of 10 pairs swapped
    assert (pair["winner_a"], pair["winner_b"], pair["winner_changes"]) == ("e4", "e3", True)
    assert pair["change_share"] == 1.0 and pair["noise_share"] == 0.0
    assert pair["lower"] == pair["upper"] == pytest.approx(0.8)
    assert pair["p"] == pytest.approx(kendalltau(range(5), [0, 1, 2, 4, 3]).pvalue)
    assert result["winners"]["p"]["shares"]["e4"] == 1.0
    assert result["tasks"] == [f"t{d}" for d in range(6)]


def test_equal_protocols_change_winners_no_more_than_noise_does():
    scores = analysis.standardise(two_protocols(False, noise=5.0, rng=4))
    (pair,) = analysis.protocol_agreement(scores, replicates=2000)["pairs"]
    assert pair["lower"] < pair["estimate"] < pair["upper"] and pair["se"] > 0.05
    assert 0.2 < pair["noise_share"] < 0.9
    for share in analysis.protocol_agreement(scores, replicates=500)["winners"].values():
        assert sum(share["shares"].values()) == pytest.approx(1.0)


@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_the_yardstick_shares_its_tasks_with_what_it_measures(shift):
    """Two encoders share the tasks evenly, so which tasks are drawn decides: for both protocols alike."""
    generator = np.random.default_rng(1)
    rows = [
        (
            f"e{e}",
            f"t{d}",
            p,
            s,
            (-1.0) ** (d + e) + shift * (p == "q") * (-1.0) ** e + 0.05 * generator.standard_normal(),
        )
        for p in "pq"
        for e in range(2)
        for d in range(6)
        for s in range(3)
    ]
    table = pd.DataFrame(rows, columns=["encoder", "task", "protocol", "seed", "score"])
    (pair,) = analysis.protocol_agreement(analysis.standardise(table), replicates=2000)["pairs"]
    if shift:
        assert pair["noise_share"] < 0.05 < 0.2 < pair["change_share"]
    else:  # no protocol at all: 18 % against 49 % when either resample of one protocol drew its own tasks
        assert 0.05 < pair["noise_share"] < pair["change_share"] + 0.03 < 0.25
    once = analysis.standardise(table[table.seed == 0].reset_index(drop=True))
    assert analysis.protocol_agreement(once, replicates=50)["pairs"][0]["noise_share"] is None


def test_seeded_and_only_complete_tasks_are_used():
    table = two_protocols(True)
    table = table[~((table.protocol == "q") & (table.task == "t2") & (table.encoder == "e0"))].reset_index(drop=True)
    scores = analysis.standardise(table)
    first = analysis.protocol_agreement(scores, replicates=50, seed=1)
    assert first == analysis.protocol_agreement(scores, replicates=50, seed=1)
    assert "t2" not in first["tasks"] and len(first["tasks"]) == 5


def test_tasks_with_repeats_are_resampled_and_without_use_the_large_sample_interval():
    table = grid(8, 3, 4, rng=1, spread=0.8)
    pairs = analysis.task_agreement(analysis.standardise(table), replicates=400)
    assert [(p["a"], p["b"]) for p in pairs] == [("t0", "t1"), ("t0", "t2"), ("t1", "t2")]
    means = table.pivot_table(values="score", index="encoder", columns="task")
    for pair in pairs:
        assert pair["estimate"] == pytest.approx(kendalltau(means[pair["a"]], means[pair["b"]]).statistic)
        assert pair["method"] == "resampled scores" and pair["lower"] < pair["upper"] and pair["n"] == 8
    once = table[table.seed == 0].reset_index(drop=True)
    pair = analysis.task_agreement(analysis.standardise(once))[0]
    half = 1.959964 * np.sqrt(0.437 / 4)
    assert pair["method"] == "large sample"
    assert np.arctanh(pair["upper"]) - np.arctanh(pair["estimate"]) == pytest.approx(half)
    small = once[once.encoder.isin(["e0", "e1", "e2"])].reset_index(drop=True)
    assert analysis.task_agreement(analysis.standardise(small))[0]["method"] == "none"


def test_errors():
    scores = analysis.standardise(grid().assign(protocol="p"))
    with pytest.raises(analysis.AnalysisError, match="at least two values"):
        analysis.protocol_agreement(scores)
    table = two_protocols(False)
    table = table[(table.protocol == "p") | (table.encoder != "e1")].reset_index(drop=True)
    with pytest.raises(analysis.AnalysisError, match="no task has every encoder under every protocol"):
        analysis.protocol_agreement(analysis.standardise(table))
