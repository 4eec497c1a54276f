"""Variance components within tasks (table 6) and over a grid."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from analysis_tables import SOURCES, golden, grid, study

import analysis


def table6(replicates=0):
    table = study()
    scores = analysis.standardise(table, "score", "dataset")
    return analysis.task_components(scores.keep((table.strategy != "SS-R").to_numpy()), SOURCES, replicates, 0)


def test_golden_table_6():
    records, notes = table6()
    assert notes == [] and len(records) == 56
    for task, want in golden()["table6"].items():
        here = [r for r in records if r["group"] == task]
        for r in here:
            assert abs(r["estimate"] - want["percent_of_source_total"][r["source"]]) < 0.05
            assert abs(r["percent_with_residual"] - want["percent_of_grand_total"][r["source"]]) < 0.05
            assert r["variance"] == pytest.approx(want["variance"][r["source"]], abs=1e-4)
            assert r["n"] == want["n_obs"]
        assert -1e-5 < here[0]["reml"] - want["reml_criterion"] < 1e-8
        assert here[0]["residual_variance"] == pytest.approx(want["residual"], abs=1e-4)
        assert [r["source"] for r in here if r["largest"]] == [want["largest"]]
        assert [r["source"] for r in here if r["variance"] < 1e-8] == [s for s in SOURCES if want["variance"][s] < 1e-8]
        assert sum(r["estimate"] for r in here) == pytest.approx(100)


def test_intervals_hold_their_estimates_and_tests_their_sense():
    records, _ = table6(200)
    for r in records:
        assert 0 <= r["lower"] <= r["upper"] <= 100 and r["se"] >= 0
        assert (r["p"] == 1.0) or r["variance"] > 0
    bpm = next(r for r in records if r["group"] == "Ballroom" and r["source"] == "bpm")
    assert bpm["p"] < 1e-6 and bpm["lower"] < 98.96 < bpm["upper"] + 1


def test_scaling_a_task_changes_no_percentage():
    table = study()
    other = table.copy()
    other["score"] = np.where(table.dataset == "FMA", 100 * table.score + 3, table.score)
    multi = (table.strategy != "SS-R").to_numpy()
    a, b = (
        analysis.task_components(analysis.standardise(t[multi].reset_index(drop=True), "score", "dataset"), SOURCES)[0]
        for t in (table, other)
    )
    assert np.abs(np.array([r["estimate"] for r in a]) - [r["estimate"] for r in b]).max() < 1e-4


def test_multi_level_factor_is_the_balanced_anova_estimate():
    """One-way balanced: the REML component is (MS_between - MS_within) / n where that is positive."""
    generator = np.random.default_rng(0)
    effect = generator.standard_normal(6)
    rows = [("t", f"a{i}", effect[i] + 0.7 * generator.standard_normal()) for i in range(6) for _ in range(5)]
    table = pd.DataFrame(rows, columns=["task", "a", "score"])
    scores = analysis.standardise(table)
    ((record,), _) = analysis.task_components(scores, ["a"])
    y = table.assign(y=scores.y).groupby("a")["y"]
    within, between = y.var(ddof=1).mean(), 5 * y.mean().var(ddof=1)
    assert record["variance"] == pytest.approx((between - within) / 5, rel=1e-6)
    assert record["residual_variance"] == pytest.approx(within, rel=1e-6)


def test_grid_balanced_anova():
    """Two crossed factors with repeats: REML equals the mean-square estimates when all are positive."""
    generator = np.random.default_rng(1)
    e, t, r = 6, 5, 4
    a, b, ab = generator.standard_normal(e), generator.standard_normal(t), 0.8 * generator.standard_normal((e, t))
    y = a[:, None, None] + b[:, None] + ab[..., None] + 0.6 * generator.standard_normal((e, t, r))
    index = np.indices((e, t, r)).reshape(3, -1)
    table = pd.DataFrame({"encoder": index[0], "task": index[1], "seed": index[2], "score": y.reshape(-1)})
    records, notes = analysis.grid_components(analysis.standardise(table, natural=True), ["encoder", "task"])
    cell = y.mean(axis=2)
    ms_e = t * r * cell.mean(axis=1).var(ddof=1)
    ms_t = e * r * cell.mean(axis=0).var(ddof=1)
    inner = cell - cell.mean(axis=1, keepdims=True) - cell.mean(axis=0) + cell.mean()
    ms_et = r * (inner**2).sum() / ((e - 1) * (t - 1))
    ms_r = y.var(axis=2, ddof=1).mean()
    want = [(ms_e - ms_et) / (t * r), (ms_t - ms_et) / (e * r), (ms_et - ms_r) / r, ms_r]
    assert notes == [] and [x["term"] for x in records] == ["encoder", "task", "encoder x task", "residual"]
    assert [x["variance"] for x in records] == pytest.approx(want, rel=1e-5)
    assert sum(x["estimate"] for x in records) == pytest.approx(100)


def test_grid_of_standardised_scores_has_no_task_component():
    table = grid(4, 6, 3)
    records, _ = analysis.grid_components(analysis.standardise(table), ["encoder", "task", "seed"], 100)
    by = {r["term"]: r for r in records}
    assert by["task"]["estimate"] == 0.0 and by["task"]["p"] == 1.0
    assert by["encoder"]["estimate"] > 20
    assert all(r["lower"] <= r["upper"] for r in records)
    assert set(by) == {"encoder", "task", "seed", "encoder x task", "encoder x seed", "task x seed", "residual"}


def test_grid_of_natural_scores_still_has_the_tasks():
    records, _ = analysis.grid_components(analysis.standardise(grid(4, 6, 3), natural=True), ["encoder", "task"])
    assert {r["term"]: r["estimate"] for r in records}["task"] > 50


def test_grid_says_what_cannot_be_told_apart():
    table = grid(4, 6, 1)
    table["corpus"] = table.encoder.map({"e0": "a", "e1": "b", "e2": "c", "e3": "d"})
    table["recipe"] = table.encoder.map({"e0": "x", "e1": "x", "e2": "y", "e3": "y"})
    records, notes = analysis.grid_components(
        analysis.standardise(table), ["encoder", "corpus", "recipe", "task", "protocol"][:4]
    )
    text = " ".join(notes)
    assert "corpus divides the rows exactly as encoder does" in text
    assert "encoder x recipe divides the rows exactly as encoder does" in text
    assert "encoder x task has one score a cell" in text
    assert [r["term"] for r in records] == ["encoder", "recipe", "task", "recipe x task", "residual"]


def test_repeats_that_nearly_agree_are_divided_too():
    """Bootstrap samples in which a component leaves next to nothing to the residual ended with a traceback."""
    scores = [0.59957, 0.59870, 0.58795, 0.56015, 0.69614, 0.69682, 0.56697, 0.55342]
    table = pd.DataFrame({"encoder": np.repeat(["a", "a", "m", "c"], 2), "corpus": np.repeat(["x", "n", "n", "n"], 2)})
    table = table.assign(seed=[0, 1] * 4, task="mtt", metric="roc_auc", score=scores)
    for seed in range(2):
        records, _ = analysis.grid_components(analysis.standardise(table), ["encoder", "corpus"], 1000, seed)
        by = {record["term"]: record for record in records}
        assert sum(record["estimate"] for record in records) == pytest.approx(100)
        assert by["encoder"]["estimate"] > 80
        assert by["residual"]["estimate"] < 5


def test_errors_and_notes():
    scores = analysis.standardise(grid())
    with pytest.raises(analysis.AnalysisError, match="name them with --components"):
        analysis.task_components(scores, [])
    table = grid()
    table["same"] = 1
    with pytest.raises(analysis.AnalysisError, match="none of same has a variance component"):
        analysis.task_components(analysis.standardise(table), ["same"])
    table["half"] = np.where(table.task == "t0", 0, table.seed)
    records, notes = analysis.task_components(analysis.standardise(table), ["half"])
    assert "On t0 half takes one value only" in notes[0]
    assert {r["group"] for r in records} == {f"t{d}" for d in range(1, 6)}
