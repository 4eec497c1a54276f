"""Intervals, tests, contrasts and the bootstrap: golden values, other tools, and simulation."""

from __future__ import annotations

from functools import cache
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from analysis_tables import MULTI, false_alarms, golden, grid, slope_alarms, study_model
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

import analysis
from analysis.statistics.bootstrap import percentile_p
from analysis.statistics.inference import combinations, holm, ratio_tests
from analysis.statistics.models import fit_model
from analysis.statistics.scores import Scores

KINDS = [("factor", "model1"), ("ordinal", "model2")]


@cache
def fitted(kind):
    model = study_model(kind)
    return model, analysis.parametric_bootstrap(model, 1000, 0)


@pytest.mark.parametrize(("kind", "key"), KINDS)
def test_golden_wald_and_satterthwaite(kind, key):
    ours = list(analysis.fixed_effects(study_model(kind)).values())
    for entry, want in zip(ours, golden()[key]["fixed"].values(), strict=True):
        assert entry["df"] == pytest.approx(want["satterthwaite_df"], rel=1e-4)
        assert entry["p"] == pytest.approx(want["satterthwaite_p"], rel=1e-3)
        assert entry["wald"]["p"] == pytest.approx(want["wald_p"], rel=1e-3)
        assert [entry["wald"]["lower"], entry["wald"]["upper"]] == pytest.approx(want["wald_ci95"], abs=1e-5)
        half = stats.t.ppf(0.975, want["satterthwaite_df"]) * want["se"]
        assert entry["upper"] == pytest.approx(want["estimate"] + half, abs=1e-5)
        assert entry["lower"] == pytest.approx(want["estimate"] - half, abs=1e-5)


@pytest.mark.parametrize(("kind", "key"), KINDS)
def test_golden_bootstrap(kind, key):
    model, draws = fitted(kind)
    want = golden()["bootstrap_10000"][key]
    assert draws.unconverged == 0
    assert abs(draws.singular_share - want["singular_share"]) < 0.05
    for entry, limits in zip(analysis.fixed_effects(model, draws).values(), want["fixed"].values(), strict=True):
        got = [entry["bootstrap"]["lower"], entry["bootstrap"]["upper"]]
        assert np.abs(np.array(got) - limits).max() < 0.3 * entry["se"]
    random, residual = analysis.random_effects(model, draws)
    for entry, limits, zero in zip(random.values(), want["sd"].values(), want["zero_share"].values(), strict=True):
        assert abs(entry["lower"] - limits[0]) < 0.03 and abs(entry["upper"] - limits[1]) < 0.03
        assert abs(entry["zero_share"] - zero) < 0.05
    assert abs(residual["lower"] - want["residual_sd"][0]) < 0.03


def test_golden_pairwise():
    model, draws = fitted("factor")
    ours = {(c["a"], c["b"]): c for c in analysis.pairwise_contrasts(model, draws) if c["kind"] == "level"}
    exact = {(c["a"], c["b"]): c for c in golden()["bootstrap_10000"]["model1"]["pairwise"]}
    wanted = golden()["pairwise_nstar0"]
    assert len(ours) == len(wanted) == 15
    for want in wanted:
        entry = ours[want["a"], want["b"]]
        assert entry["estimate"] == pytest.approx(want["estimate"], abs=1e-6)
        assert entry["se"] == pytest.approx(want["se"], rel=1e-4)
        assert entry["df"] == pytest.approx(want["satterthwaite_df"], rel=1e-3)
        assert entry["p"] == pytest.approx(want["satterthwaite_p"], rel=1e-2)
        assert entry["wald"]["p"] == pytest.approx(want["wald_p"], rel=1e-2)
        reference = exact[want["a"], want["b"]]
        assert abs(entry["bootstrap"]["p"] - reference["p"]) < 0.06
        assert abs(entry["bootstrap"]["lower"] - reference["ci95"][0]) < 0.3 * want["se"]
    p = [ours[w["a"], w["b"]]["p"] for w in wanted]
    adjusted = dict(zip(ours, multipletests([c["p"] for c in ours.values()], method="holm")[1], strict=True))
    assert all(ours[k]["p_holm"] == pytest.approx(adjusted[k]) for k in ours)
    assert all(c["p_holm"] >= c["p"] for c in ours.values()) and min(p) > 0


def test_natural_units_are_the_contrast_times_the_task_sd():
    model, _ = fitted("factor")
    entry = analysis.pairwise_contrasts(model)[0]
    for task, scale in golden()["standardization"].items():
        assert entry["natural"][task]["estimate"] == pytest.approx(entry["estimate"] * scale["sd"])
        assert entry["natural"][task]["lower"] == pytest.approx(entry["lower"] * scale["sd"])
    assert entry["natural"]["Lastfm"]["metric"] == "ndcg@500"


def test_contrasts_move_along_the_covariate():
    model, _ = fitted("factor")
    at0, at6 = (
        {(c["a"], c["b"]): c["estimate"] for c in analysis.pairwise_contrasts(model, at=at) if c["kind"] == "level"}
        for at in (0.0, 6.0)
    )
    slopes = {(c["a"], c["b"]): c["estimate"] for c in analysis.pairwise_contrasts(model) if c["kind"] == "slope"}
    assert len(slopes) == 10
    for pair, slope in slopes.items():
        assert at6[pair] == pytest.approx(at0[pair] + 6 * slope)


def test_probability_of_being_best():
    model, draws = fitted("factor")
    shares = analysis.best_probability(model)
    assert sum(shares.values()) == pytest.approx(1.0)
    best = model.layout.levels[int(np.argmax(model.beta[:6]))]
    assert max(shares, key=shares.get) == best == "MSS-CR"
    assert shares["SS-R"] < 0.001
    winners = np.argmax(draws.beta[:, :6], axis=1)
    assert all(abs(shares[level] - (winners == i).mean()) < 0.06 for i, level in enumerate(model.layout.levels))
    assert analysis.best_probability(study_model("ordinal")) == {}


def test_draws_are_seeded_and_do_not_depend_on_chunks(monkeypatch):
    import analysis.statistics.bootstrap as module

    model = fit_model(analysis.standardise(grid()), "factor", factor="encoder")
    first = analysis.parametric_bootstrap(model, 60, 3)
    monkeypatch.setattr(module, "_CHUNK", 7)
    again = analysis.parametric_bootstrap(model, 60, 3)
    assert np.abs(first.beta - again.beta).max() < 1e-9
    assert np.abs(first.beta - analysis.parametric_bootstrap(model, 60, 4).beta).max() > 0.01
    with pytest.raises(analysis.AnalysisError, match="at least 2 replicates"):
        analysis.parametric_bootstrap(model, 1)


@settings(max_examples=40)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_is_that_of_statsmodels(p):
    with patch("gc.collect"):  # which it does every time, and which takes long where much is loaded
        theirs = multipletests(p, method="holm")[1].tolist()
    assert holm(p) == pytest.approx(theirs)


def test_percentile_p():
    draws = np.concatenate([np.full(990, 1.0), np.full(10, -1.0)])
    assert percentile_p(draws) == pytest.approx(2 * 11 / 1001)
    assert percentile_p(np.ones(1000)) == pytest.approx(2 / 1001)
    assert percentile_p(np.zeros(10)) == 1.0


def test_satterthwaite_is_exact_on_a_balanced_grid_with_one_component():
    """Levels crossed with tasks, one common cell effect: a difference of two means is a two-sample t over cells."""
    table = grid(3, 7, 4, rng=2)
    model = fit_model(analysis.standardise(table), "factor-common", factor="encoder", tasks="centred")
    means = table.assign(y=model.scores.y).pivot_table(values="y", index="encoder", columns="task")
    pooled = means.var(axis=1, ddof=1).mean()
    entry = analysis.pairwise_contrasts(model)[0]
    assert entry["se"] == pytest.approx(np.sqrt(2 * pooled / 7), rel=1e-6)
    assert entry["df"] == pytest.approx(18, rel=1e-6)


def test_component_test_is_calibrated_under_zero():
    """Under a zero component half the p values are 1 and the rest below one half: the mixture's shape."""
    p = []
    for seed in range(200):
        table = grid(3, 8, 3)
        noise = np.random.default_rng(seed).standard_normal(len(table))
        model = fit_model(Scores(table, noise, "task", "score", {}), "factor-common", factor="encoder", run="none")
        p += ratio_tests(model.problem, model.scores.y, model.solution)
    p = np.array(p)
    assert ((p == 1.0) | (p <= 0.5)).all()
    assert 0.4 < (p == 1.0).mean() < 0.75
    assert 0.005 < (p < 0.05).mean() < 0.10


def coverage(table, simulate, truth, roles, studies=200):
    hits, wald = [], []
    for i in range(studies):
        scores = Scores(table, simulate(np.random.default_rng(1000 + i)), "task", "score", {})
        entries = combinations(fit_model(scores, "factor", **roles, tasks="centred"), np.eye(len(truth)), None)
        hits.append([e["lower"] <= t <= e["upper"] for e, t in zip(entries, truth, strict=True)])
        wald.append([e["wald"]["lower"] <= t <= e["wald"]["upper"] for e, t in zip(entries, truth, strict=True)])
    return np.mean(hits), np.mean(wald), np.mean(hits, axis=0)


@pytest.mark.parametrize("spread", [(0.4, 0.3, 0.2, 0.5), (0.0, 0.3, 0.0, 0.3), (0.0, 0.0, 0.0, 0.0)])
def test_coverage_of_200_simulated_studies_on_a_small_grid(spread):
    table = grid(4, 6, 3)
    level = table.encoder.str[1:].astype(int).to_numpy()
    task = table.task.str[1:].astype(int).to_numpy()
    truth = np.array([0.0, 0.2, 0.5, 0.6])

    def simulate(generator):
        u = generator.standard_normal((4, 6)) * np.array(spread)[:, None]
        return truth[level] + u[level, task] + 0.5 * generator.standard_normal(len(table))

    ours, wald, each = coverage(table, simulate, truth, {"factor": "encoder"})
    assert 0.92 <= ours <= 0.98
    assert each.min() > 0.89  # four Monte-Carlo standard errors below 95 %
    assert wald < ours


@pytest.mark.slow
def test_coverage_of_200_simulated_studies_of_the_multi_source_kind():
    from analysis_tables import study

    table = study().rename(columns={"dataset": "task"})
    names = ["SS-R", *MULTI]
    level = table.strategy.map({name: i for i, name in enumerate(names)}).to_numpy()
    task = table.groupby("task", sort=False).ngroup().to_numpy()
    x = table.n_star.to_numpy()
    b0, b1 = np.array([-1.05, -0.55, -0.15, -0.25, -0.05, 0.05]), np.array([0, 0.03, 0.16, 0.16, 0.16, 0.16])
    s0, s1 = np.array([0.45, 0.4, 0.25, 0.3, 0.25, 0.4]), np.array([0, 0.08, 0.05, 0.06, 0.05, 0.0])

    def simulate(generator):
        u, v = generator.standard_normal((2, 6, 7))
        mean = b0[level] + (u * s0[:, None])[level, task] + (b1[level] + (v * s1[:, None])[level, task]) * x
        return mean + 0.7 * generator.standard_normal(len(table))

    truth = np.concatenate([b0, b1[1:]])
    ours, wald, each = coverage(table, simulate, truth, {"factor": "strategy", "covariate": "n_star"})
    assert 0.92 <= ours <= 0.98
    assert each.min() > 0.89
    assert wald < 0.935  # Wald is too bold with seven tasks


@pytest.mark.parametrize(("encoders", "tasks", "seeds", "most"), [(2, 7, 3, 0.12), (3, 7, 3, 0.12), (4, 5, 1, 0.15)])
def test_equals_are_rarely_called_different(encoders, tasks, seeds, most):
    """docs/statistics.md has the shares of 500 studies; a hundred stay near."""
    assert false_alarms(encoders, tasks, seeds, 100)["first pair"] < most


def test_one_score_a_cell_of_one_variance_is_a_two_way_analysis_of_variance():
    table = grid(3, 5, 1, rng=3)
    model = fit_model(analysis.standardise(table), "factor-fixed", factor="encoder")
    y = table.assign(y=model.scores.y).pivot_table(values="y", index="encoder", columns="task").to_numpy()
    left = y - y.mean(axis=1, keepdims=True) - y.mean(axis=0) + y.mean()
    se = np.sqrt(2 * (left**2).sum() / (2 * 4) / 5)
    entry = analysis.pairwise_contrasts(model)[0]
    assert (entry["se"], entry["df"]) == pytest.approx((se, 8))
    assert entry["p"] == pytest.approx(2 * stats.t.sf(abs(entry["estimate"]) / se, 8))


def test_the_contrast_of_two_encoders_is_the_paired_t_test():
    table = grid(2, 6, 3, rng=0, spread=1.0)
    model = fit_model(analysis.standardise(table), "factor", factor="encoder", run="none")
    assert model.layout.random == ["encoder x task"] and model.zero == []
    means = table.assign(y=model.scores.y).pivot_table(values="y", index="encoder", columns="task")
    want = stats.ttest_rel(means.loc["e1"], means.loc["e0"])
    (entry,) = analysis.pairwise_contrasts(model)
    assert (entry["p"], entry["df"]) == pytest.approx((want.pvalue, want.df), rel=1e-4)


@pytest.mark.parametrize("natural", [False, True])
def test_one_task_has_no_effect_of_its_own(natural):
    scores = analysis.standardise(grid(3, 1, 4), natural=natural)
    model = fit_model(scores, "factor", factor="encoder")
    assert model.layout.fixed == [f"encoder[e{i}]" for i in range(3)]
    y = scores.y.reshape(3, 4)
    se = np.sqrt(2 * y.var(axis=1, ddof=1).mean() / 4)
    for entry in analysis.pairwise_contrasts(model):
        assert (entry["se"], entry["df"]) == pytest.approx((se, 9))
        assert entry["covers_training"]


def test_a_natural_difference_is_not_swamped_by_the_difficulty_of_tasks():
    generator = np.random.default_rng(0)
    rows = [
        (e, f"t{d}", s, 0.3 + 0.1 * d + 0.05 * (e == "b") + 0.005 * generator.standard_normal())
        for e in "ab"
        for d in range(6)
        for s in range(3)
    ]
    table = pd.DataFrame(rows, columns=["encoder", "task", "seed", "score"])
    model = fit_model(analysis.standardise(table, natural=True), "factor", factor="encoder")
    (entry,) = analysis.pairwise_contrasts(model)
    assert entry["estimate"] == pytest.approx(0.05, abs=0.005)
    assert entry["se"] < 0.003
    assert entry["different"] and entry["natural"]["t3"]["estimate"] == entry["estimate"]
    assert model.beta[:2].mean() == pytest.approx(table.score.mean())  # the unit and the place of scores are kept


def test_where_an_ordinal_size_lies_makes_no_difference():
    """Sizes 10 to 14 whose slopes vary over tasks: a task's own effect lets its slope turn about any point."""
    alarms = slope_alarms([10, 11, 12, 13, 14], 100)
    assert alarms["as is"] == alarms["centred"] < 0.12


def test_the_careful_entry_is_the_entry_s_own():
    for entry in analysis.pairwise_contrasts(study_model(tasks="effects", run="none")):
        assert entry["careful"] == {key: entry[key] for key in ("se", "df", "lower", "upper", "p", "p_holm")}
        assert entry["different"] is (entry["p_holm"] < 0.05)


@pytest.mark.parametrize("kind", ["factor", "ordinal"])
def test_a_complete_table_has_the_study_s_estimates_whichever_way_tasks_enter(kind):
    ours, theirs = study_model(kind, tasks="effects", run="none"), study_model(kind)
    assert np.abs(ours.beta[: ours.layout.main] - theirs.beta).max() < 1e-9
