"""The size of a study: planned power is that of the test that an analysis makes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from analysis_tables import grid, networks, study_model
from hypothesis import given, settings
from hypothesis import strategies as st
from planned_studies import complete_fit, divided, known_levels, led, long_table, planned_and_found

import analysis
from analysis.commands import analyze, design
from analysis.design.levels import PlannedLevels, level_planning
from analysis.design.power import PlannedTests, _fewest, _rejected
from analysis.options import AnalysisOptions, DesignOptions
from analysis.statistics.balanced import CompleteTable, Variances, expected_complete
from analysis.statistics.degrees import expected_degrees
from analysis.statistics.divided import Undivided, _averages, _Tasks, undivided
from analysis.statistics.inference import holm, satterthwaite
from analysis.statistics.models import fit_model
from analysis.statistics.scores import standardise


def levels_of(between, single=0.25, *, means=None, run=None, networks=0, repeats=3.0, natural=True, tasks=7):
    means = np.zeros(len(between)) if means is None else means
    return PlannedLevels(
        {
            f"e{i}": {
                "mean": float(means[i]),
                "between": float(value),
                "single": single,
                "run": run,
                "networks": networks,
                "repeats": repeats,
                "unit": True,
            }
            for i, value in enumerate(between)
        },
        natural,
        tasks,
    )


@pytest.mark.parametrize(
    ("encoders", "tasks", "seeds", "luck", "erratic"),
    [(4, 7, 3, 0.3, 1.0), (4, 7, 3, 0.0, 6.0), (2, 5, 3, 0.3, 1.0), (5, 9, 1, 0.0, 3.0), (3, 3, 2, 0.3, 1.0)],
)
def test_sums_of_squares_give_the_fit_that_scores_give(encoders, tasks, seeds, luck, erratic):
    for rng in range(4):
        table = networks(encoders, tasks, seeds, run=luck, rng=rng, erratic=erratic)
        model = fit_model(standardise(table, natural=True), "factor", factor="encoder")
        own = model.layout.model in ("factor", "factor-single") and encoders > 2
        scores = model.scores.y.reshape(1, encoders, tasks, seeds)
        _, found, se, df = complete_fit(scores, own, bool(model.layout.run))
        rows = np.zeros((se.shape[1], model.problem.fixed))
        for row, (a, b) in zip(rows, np.transpose(np.triu_indices(encoders, 1)), strict=True):
            row[a], row[b] = -1.0, 1.0
        want = satterthwaite(model, rows)
        assert se[0] == pytest.approx(want[0], rel=1e-4)
        assert df[0] == pytest.approx(want[1], rel=1e-3)
        if seeds > 1:
            assert np.sqrt(found.rest[0]) == pytest.approx(model.residual_sd, rel=1e-4)


def test_a_design_s_degrees_of_freedom_are_those_of_the_general_model():
    table = networks(3, 6, 2, run=0.3)
    model = fit_model(standardise(table, natural=True), "factor", factor="encoder")
    own, run, rest = np.array([0.1, 0.4, 0.2]), 0.09, 0.25
    contrasts = np.zeros((3, model.problem.fixed))
    contrasts[[0, 0, 1, 1, 2, 2], [0, 1, 0, 2, 1, 2]] = [-1, 1, -1, 1, -1, 1]
    want = expected_degrees(model.problem, np.append(own, run) / rest, rest, contrasts)
    shape = CompleteTable(3, 6, 2, True, np.ones(3, dtype=bool))
    se, df = expected_complete(shape, Variances(own[None], np.array([run]), np.array([rest])))
    assert se[0] == pytest.approx(want[0], rel=1e-9) and df[0] == pytest.approx(want[1], rel=1e-9)


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_what_is_rejected_at_once_is_what_holm_rejects(seed):
    p = np.random.default_rng(seed).uniform(size=(20, 6)) ** 4
    want = [[adjusted < 0.05 for adjusted in holm(row)] for row in p]
    assert _rejected(p, 0.05).tolist() == want


@settings(max_examples=60)
@given(least=st.integers(1, 3), answer=st.integers(1, 400), rough=st.integers(1, 400))
def test_the_search_finds_the_fewest_whatever_it_starts_from(least, answer, rough):
    found = _fewest(lambda n: n >= answer, lambda n: n >= rough, least, 300)
    assert found == (None if answer > 300 else max(answer, least))


def test_power_of_two_levels_is_that_of_a_paired_t_test():
    from statsmodels.stats.power import TTestPower

    tests = PlannedTests(levels_of([0.16, 0.04]), 0.5)
    want = TTestPower().power(0.5 / np.sqrt(0.2 + 2 * 0.25 / 3), nobs=8, alpha=0.05)
    assert tests.power("e0", "e1", 8, 3) == pytest.approx(want, abs=0.02)
    needed = tests.tasks_needed("e1", "e0", 3)
    exact = TTestPower().solve_power(0.5 / np.sqrt(0.2 + 2 * 0.25 / 3), power=0.8, alpha=0.05)
    assert abs(needed - exact) <= 1.5
    assert tests.power("e0", "e1", needed, 3) >= 0.8 > tests.power("e0", "e1", needed - 1, 3)


@pytest.mark.parametrize("natural", [True, False])
def test_planned_power_is_how_often_analyses_call_the_levels_different(natural):
    """By the general fit, score by score; luck counted."""
    encoders, tasks, seeds, lead, studies = 3, 6, 2, 1.8, 80
    levels, difference = known_levels(encoders, seeds, lead, natural=natural)
    planned = PlannedTests(levels, difference).power("e0", "e1", tasks, seeds)
    found = 0
    for scores in led(studies, encoders, tasks, seeds, lead, rng=5):
        model = fit_model(standardise(long_table(scores), natural=natural), "factor", factor="encoder")
        found += analysis.pairwise_contrasts(model, margin=1.0)[0]["different"]
    assert 0.4 < planned < 0.9
    assert found / studies == pytest.approx(planned, abs=0.16)  # three Monte-Carlo standard errors


@pytest.mark.parametrize(
    ("cell", "natural"),
    [
        ((2, 3, 3), False),
        ((3, 5, 1), False),
        ((4, 10, 3), False),
        ((10, 5, 2), True),
    ],
)
def test_planned_and_simulated_power_agree(cell, natural):
    made = planned_and_found(*cell, 500, natural=natural)
    assert 0.3 < made["planned"] < 0.97
    assert made["found"] == pytest.approx(made["planned"], abs=0.075)  # 0.05, and a standard error of 0.02


@pytest.mark.slow
@pytest.mark.parametrize("natural", [True, False])
@pytest.mark.parametrize("encoders", [2, 3, 5, 10, 20])
def test_planned_and_simulated_power_agree_everywhere(encoders, natural):
    for seeds in (1, 3, 5):
        for tasks in (3, 7, 20):
            if encoders > 2 or seeds > 1 or natural:
                made = planned_and_found(encoders, tasks, seeds, 500, natural=natural)
                assert made["found"] == pytest.approx(made["planned"], abs=0.1), (tasks, seeds)


def test_planning_counts_every_pair_of_the_study_whichever_is_asked_for():
    few, many = levels_of([0.2] * 3), levels_of([0.2] * 10)
    alone = PlannedTests(many, 1.0, pairs=[("e0", "e1")])
    assert alone.power("e0", "e1", 7, 3) == pytest.approx(PlannedTests(many, 1.0).power("e0", "e1", 7, 3))
    assert alone.power("e0", "e1", 7, 3) < PlannedTests(few, 1.0).power("e0", "e1", 7, 3) - 0.2


def test_later_steps_of_holm_are_counted():
    """Levels far from one another leave fewer comparisons to a pair."""
    apart = levels_of([0.2] * 6, means=np.array([0.0, 0.0, 4.0, 8.0, 12.0, 16.0]))
    near = levels_of([0.2] * 6)
    assert PlannedTests(apart, 1.0).power("e0", "e1", 7, 3) > PlannedTests(near, 1.0).power("e0", "e1", 7, 3) + 0.15


def test_more_seeds_cannot_replace_tasks_nor_more_tasks_seeds():
    varied = PlannedTests(levels_of([0.2] * 4), 0.5)
    assert varied.seeds_needed("e0", "e1", 7) is None and varied.tasks_needed("e0", "e1", 3) > 20
    steady = PlannedTests(levels_of([0.001] * 4, single=1.0), 1.0)
    few = steady.seeds_needed("e0", "e1", 7)
    assert steady.power("e0", "e1", 7, few) >= 0.8 > steady.power("e0", "e1", 7, few - 1)
    lucky = PlannedTests(levels_of([0.05] * 4, run=0.2, networks=3), 1.0)
    assert lucky.tasks_needed("e0", "e1", 2) is None and lucky.tasks_needed("e0", "e1", 12) is not None
    assert lucky.seeds_needed("e0", "e1", 30) > 2


def test_one_score_a_cell_says_nothing_of_seeds():
    model = fit_model(standardise(grid(4, 6, 1, rng=2, step=0.5), natural=True), "factor", factor="encoder")
    levels = PlannedLevels(level_planning(model), True, 6)
    assert not levels.seeds_known and levels.seeds == 1
    whole = sum(levels.levels[name]["between"] for name in ("e0", "e1"))
    assert whole / 6 == pytest.approx(analysis.pairwise_contrasts(model)[0]["se"] ** 2, rel=1e-6)
    tests = PlannedTests(levels, 1.0)
    assert tests.seeds_needed("e0", "e1", 6) is None and 0.0 < tests.power("e0", "e1", 6, 1) < 1.0
    with pytest.raises(analysis.AnalysisError, match="one score per cell, which says nothing of several"):
        tests.power("e0", "e1", 6, 2)


@pytest.mark.parametrize("at", [0.0, 3.0])
def test_planning_counts_what_makes_a_difference_uncertain_where_it_is_taken(at):
    """On a complete table the planned variance is that of the contrast."""
    model = study_model()
    levels = level_planning(model, at)
    for entry in analysis.pairwise_contrasts(model, at=at):
        if entry["kind"] == "level":
            low, high = levels[entry["b"]], levels[entry["a"]]
            variance = sum((level["between"] + level["single"] / level["repeats"]) / 7 for level in (low, high))
            assert entry["se"] ** 2 == pytest.approx(variance, rel=1e-4)
            assert entry["estimate"] == pytest.approx(high["mean"] - low["mean"])


def test_the_variance_of_networks_is_planned_with():
    model = fit_model(standardise(networks(4, 7, 3, run=0.6), natural=True), "factor", factor="encoder")
    levels = PlannedLevels(level_planning(model), True, 7)
    assert {level["networks"] for level in levels.levels.values()} == {3}
    study = levels.study(7, 3)
    (entry,) = [one for one in analysis.pairwise_contrasts(model) if {one["a"], one["b"]} == {"e0", "e1"}]
    assert study.means[:2].sum() == pytest.approx(entry["se"] ** 2, rel=1e-6)
    assert levels.covers_training("e0", "e1", 3) and not levels.covers_training("e0", "e1", 1)
    # Two readings of each network are one network with a score that is better known.
    twice = networks(4, 7, 3, run=0.6)
    twice = twice.assign(score=twice.score + 0.001).merge(twice, how="outer")
    again = level_planning(fit_model(standardise(twice, natural=True), "factor", factor="encoder"))["e0"]
    assert (again["networks"], again["repeats"]) == (3, 3.0)


@pytest.mark.parametrize("run", [0.0, 0.1])
@pytest.mark.parametrize("levels", [3, 6])
def test_scores_are_found_as_they_were_before_they_were_divided(levels, run):
    truth = Undivided(1.2 * (np.arange(levels) == 1), np.full(levels, 0.3), 0.2, run, np.ones(levels, dtype=bool))
    seen = _averages(_Tasks(levels, 3), truth, True)
    found = undivided(seen.means, levels_of(seen.between, seen.single, run=seen.run).study(5000, 3), truth.unit)
    size = float(found.between.mean()) / 0.3
    assert found.single / size == pytest.approx(0.2, rel=0.05)
    assert found.run / size == pytest.approx(run, rel=0.05)
    if not run:
        # Of so many tasks the means that are found are the true ones, but for what networks' luck adds to them.
        assert np.ptp(found.means) / np.sqrt(size) == pytest.approx(1.2, rel=0.05)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"tasks": 1}, "a study needs at least 2 tasks"),
        ({"seeds": 0}, "a study needs at least 2 tasks"),
        ({"alpha": 0.0}, "a test level of 0.0"),
        ({"difference": 0.0}, "cannot be planned for"),
        ({"power": 1.0}, "not between 0 and 1"),
    ],
)
def test_power_errors(wrong, match):
    asked = {"tasks": 7, "seeds": 3, "alpha": 0.05, "difference": 0.2, "power": 0.8} | wrong
    with pytest.raises(analysis.AnalysisError, match=match):
        tests = PlannedTests(levels_of([0.1, 0.1]), asked["difference"], asked["alpha"])
        tests.power("e0", "e1", asked["tasks"], asked["seeds"])
        tests.tasks_needed("e0", "e1", asked["seeds"], asked["power"])


@pytest.mark.slow
def test_what_is_said_of_ten_encoders(tmp_path):
    analyze(networks(10, 7, 3, run=0.3, step=0.1), AnalysisOptions(bootstrap=0), output=tmp_path, figures=False)
    asked = DesignOptions(analysis=tmp_path / "analysis.json", difference=1.5, levels="e0,e1")
    power = design(asked)["power"]
    assert power["comparisons"] == 45 and power["levels"] == 10 and power["pairs"][0]["covers_training"]
    assert power["summary"][0] == (
        "Planned for a probability of 80% that p, adjusted for all 45 pairs (Holm), is below 0.05 where two of 10"
        " levels truly differ by 1.5 SD; the luck of training is counted."
    )
    assert power["summary"][1].startswith(f"To tell e0 from e1 needs {power['pairs'][0]['tasks_needed']} tasks at 3")
    single = design(replace(asked, repeats=1))["power"]
    assert "only that these networks differ is planned for" in single["summary"][0]
    assert single["summary"][1].startswith("To tell the networks of e0 and e1 apart needs")
    old = json.loads((tmp_path / "analysis.json").read_text())
    for entry in old["planning"].values():
        del entry["run"], entry["mean"]
    (tmp_path / "old.json").write_text(json.dumps(old))
    with pytest.raises(
        analysis.AnalysisError, match=r"older bench analyze and says nothing of mean, run of its levels"
    ):
        design(replace(asked, analysis=tmp_path / "old.json"))


def test_two_standardised_levels_with_one_score_a_cell_are_not_planned(tmp_path):
    analyze(networks(2, 7, 2, run=0.0), AnalysisOptions(bootstrap=0, run="none"), output=tmp_path, figures=False)
    asked = DesignOptions(analysis=tmp_path / "analysis.json", difference=0.8)
    assert design(asked)["power"]["pairs"][0]["repeats_needed"] != 1
    with pytest.raises(analysis.AnalysisError, match="only signs once standardised"):
        design(replace(asked, repeats=1))


def test_divided_scores_of_the_simulation_are_standardised_ones():
    scores = led(1, 3, 4, 2, 1.0)
    table = standardise(long_table(scores[0]))
    apart = divided(scores)[0] - divided(scores)[0].mean(axis=(0, 2), keepdims=True)
    assert table.y == pytest.approx(apart.reshape(-1))
