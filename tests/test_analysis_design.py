"""Algorithm 2 made precise, alias matrices, and the size of a study."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from analysis_tables import GOLDEN, MULTI, SOURCES, grid, study_model
from hypothesis import given, settings
from hypothesis import strategies as st

import analysis
from analysis.commands import design
from analysis.design.fractional import Candidates, next_runs, replay
from analysis.design.power import LevelSpread, contrast_power, level_spreads, repeats_needed, tasks_needed
from analysis.options import DesignOptions
from analysis.statistics.aliasing import worst_alias
from analysis.statistics.models import fit_model
from analysis.statistics.scores import Scores, standardise

FACTORS = ["strategy=" + ",".join(MULTI), *(f"{source}=0,1" for source in SOURCES)]
DERIVED = ["n_sources=" + "+".join(SOURCES)]
RANGE = "n_sources >= 2 and n_sources <= 7"


def study_candidates():
    levels = {"strategy": MULTI, **{source: [0, 1] for source in SOURCES}}
    return Candidates.from_levels(levels, DERIVED, RANGE, ["n_sources"])


def sequence():
    return pd.read_csv(GOLDEN / "sequence_600.csv")


def test_the_study_had_1230_candidates():
    assert len(study_candidates().table) == 1230


def test_replay_of_the_published_sequence_is_balance_optimal_at_every_step():
    steps = replay(study_candidates(), sequence())
    assert sum(step["optimal"] for step in steps) == len(steps) == 600
    assert [step["least"] for step in steps] == sequence()["min_unbalance"].tolist()
    assert [step["n_optimal"] for step in steps] == sequence()["n_optimal"].tolist()


@pytest.mark.parametrize("drop", ["n_sources", "exhausted"])
def test_replay_would_notice_another_rule(drop, monkeypatch):
    """Leaving n out, or not excluding exhausted levels, explains 345 and 555 of the 600 choices."""
    import analysis.design.fractional as module

    if drop == "n_sources":
        levels = {"strategy": MULTI, **{source: [0, 1] for source in SOURCES}}
        whole = Candidates.from_levels(levels, DERIVED, RANGE)
        possible = Candidates.from_table(whole.table, ["strategy", *SOURCES])
        assert sum(step["optimal"] for step in replay(possible, sequence())) == 345
        return
    init = module._State.__init__

    def forever(self, *arguments):
        init(self, *arguments)
        self.remaining = [counts + 10_000 for counts in self.remaining]

    monkeypatch.setattr(module._State, "__init__", forever)
    assert sum(step["optimal"] for step in replay(study_candidates(), sequence())) == 555


def test_own_run_from_nothing_and_from_the_73_earlier_runs():
    possible = study_candidates()
    picks = next_runs(possible, 352, seed=0)
    assert picks.unbalance[-1] <= 30 and len(picks.runs.drop_duplicates()) == 352
    value, _, _ = worst_alias(analysis.alias_matrix(picks.runs, SOURCES))
    assert value <= 0.115
    before = pd.read_csv(GOLDEN / "design.csv").query("phase < 3")
    more = next_runs(possible, 352, before, seed=0)
    assert more.unbalance[-1] <= 18
    alone = next_runs(possible, 352, seed=0, aliasing=False)
    assert worst_alias(analysis.alias_matrix(alone.runs, SOURCES))[0] > value


def brute(table, chosen, candidate, factors, alias_columns):
    """Unbalance and aliasing from scratch, as the definitions say."""
    rows = [*chosen, candidate]
    rest = [i for i in range(len(table)) if i not in chosen]
    worst = 0
    for factor in factors:
        active = set(table[factor].iloc[rest])
        counts = [sum(table[factor].iloc[i] == level for i in rows) for level in active]
        worst = max(worst, max(counts) - min(counts))
    r = 0.0
    for a in range(len(alias_columns)):
        for b in range(a):
            if alias_columns[a][0] == alias_columns[b][0]:
                continue
            x, y = alias_columns[a][1][rows], alias_columns[b][1][rows]
            r = max(r, 1.0 if np.ptp(x) == 0 or np.ptp(y) == 0 else abs(np.corrcoef(x, y)[0, 1]))
    return worst, r


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_every_choice_is_optimal_by_brute_force(seed):
    possible = Candidates.from_levels({"a": ["x", "y", "z"], "b": [0, 1], "c": [0, 1]}, ["n = b + c"], "n >= 1", ["n"])
    table = possible.table
    columns = [("a", (table.a == level).to_numpy(float)) for level in "xyz"]
    columns += [(name, table[name].to_numpy(float)) for name in "bc"]
    picks = next_runs(possible, 7, seed=seed)
    chosen: list[int] = []
    for step, row in enumerate(picks.runs.itertuples(index=False)):
        pick = next(i for i in range(len(table)) if tuple(table.iloc[i]) == tuple(row))
        judged = {i: brute(table, chosen, i, possible.factors, columns) for i in range(len(table)) if i not in chosen}
        least = min(u for u, _ in judged.values())
        best = min(r for u, r in judged.values() if u == least)
        assert judged[pick][0] == least == picks.unbalance[step]
        assert judged[pick][1] == pytest.approx(best, abs=1e-9) == pytest.approx(picks.aliasing[step], abs=1e-9)
        assert sum(u == least for u, _ in judged.values()) == picks.optimal[step]
        chosen.append(pick)


def test_one_run_at_a_time_is_the_same_as_many():
    possible = study_candidates()
    start = next_runs(possible, 30, seed=1).runs
    one = next_runs(possible, 1, start, seed=5)
    assert one.unbalance[0] == min(s["least"] for s in replay(possible, one.runs, start))
    both = pd.concat([start, one.runs])
    assert len(both.drop_duplicates()) == 31


def test_alias_matrix_of_the_published_design():
    phase3 = pd.read_csv(GOLDEN / "design.csv").query("phase == 3")
    matrix = analysis.alias_matrix(phase3, ["strategy", *SOURCES], ["n_sources"])
    among = matrix.loc[SOURCES, SOURCES].abs().to_numpy()[np.triu_indices(8, 1)]
    assert among.max() == pytest.approx(0.189, abs=5e-4) and among.mean() == pytest.approx(0.110, abs=5e-4)
    strategies = [f"strategy[{name}]" for name in MULTI]
    assert matrix.loc[SOURCES, strategies].abs().to_numpy().max() == pytest.approx(0.194, abs=5e-4)
    assert matrix.loc[SOURCES, "n_sources"].abs().max() == pytest.approx(0.544, abs=5e-4)
    assert matrix.loc[strategies, "n_sources"].abs().max() == pytest.approx(0.147, abs=5e-4)
    assert np.isnan(matrix.loc[strategies[0], strategies[1]])


def test_command_writes_its_files(tmp_path):
    options = DesignOptions(
        FACTORS,
        derive=DERIVED,
        where=RANGE,
        keep_out="n_sources",
        runs=12,
        seed=3,
        replay=GOLDEN / "sequence_600.csv",
    )
    result = design(options, output=tmp_path)
    found = result["design"]
    assert (found["candidates"], found["replay"]["optimal"], len(found["runs"])) == (1230, 600, 12)
    assert found["kept_apart"] == ["strategy", *SOURCES]
    assert len(pd.read_csv(tmp_path / "runs.csv")) == 12
    assert json.loads((tmp_path / "design.json").read_text()) == result
    assert sorted(result["files"]) == sorted(path.name for path in tmp_path.iterdir())
    values = pd.read_csv(tmp_path / "alias.csv", index_col=0)
    assert values.shape == (13 + 6, 13 + 6) or values.shape[0] == values.shape[1]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({}, "nothing to design"),
        ({"factors": ["a"]}, "write NAME=LEVEL"),
        ({"factors": ["a=1"]}, "fewer than two levels"),
        ({"factors": ["a=1,2", "a=3,4"]}, "given twice"),
        ({"factors": ["a=1,2", "b=1,2"], "runs": 9}, "9 runs were asked for and 4 candidates remain"),
        ({"factors": ["a=1,2"], "candidates": "x.csv"}, "not both"),
        ({"factors": ["a=1,2", "b=1,2"], "where": "a > 5"}, "holds on none"),
        ({"factors": [f"f{i}=" + ",".join(map(str, range(40))) for i in range(5)]}, "drop a factor"),
        ({"difference": 0.2}, "needs both"),
        ({"analysis": "none.json", "difference": 0.2}, "cannot be read"),
    ],
)
def test_command_errors(options, match):
    with pytest.raises(analysis.AnalysisError, match=match):
        design(DesignOptions(**options))


def test_sequence_with_a_foreign_run_is_refused():
    possible = Candidates.from_levels({"a": [1, 2], "b": [1, 2]})
    with pytest.raises(analysis.AnalysisError, match="run 2 of the sequence was made before"):
        replay(possible, pd.DataFrame({"a": [1, 1], "b": [1, 1]}))
    with pytest.raises(analysis.AnalysisError, match="run 1 of the sequence is not a candidate"):
        replay(possible, pd.DataFrame({"a": [3], "b": [1]}))


def test_power_is_what_simulation_finds():
    a, b = LevelSpread(0.16, 0.25, 3), LevelSpread(0.04, 0.25, 3)
    tasks, repeats, difference, studies = 8, 3, 0.5, 400
    predicted = contrast_power(a, b, difference, tasks, repeats)
    table = grid(2, tasks, repeats)
    level, task = table.encoder.str[1:].astype(int).to_numpy(), table.task.str[1:].astype(int).to_numpy()
    generator = np.random.default_rng(0)
    found = 0
    for _ in range(studies):
        u = generator.standard_normal((2, tasks)) * np.sqrt([[0.16], [0.04]])
        y = difference * level + u[level, task] + 0.5 * generator.standard_normal(len(table))
        model = fit_model(Scores(table, y, "task", "score", {}, natural=True), "factor", factor="encoder", run="none")
        found += analysis.pairwise_contrasts(model, margin=1.0)[0]["p"] < 0.05
    assert found / studies == pytest.approx(predicted, abs=0.07)  # 2.8 Monte-Carlo standard errors
    assert 0.3 < predicted < 0.9


def test_power_of_a_two_sample_t_test():
    from statsmodels.stats.power import TTestIndPower

    level = LevelSpread(0.0, 1.0, 1)
    want = TTestIndPower().power(0.8, nobs1=20, alpha=0.05)
    assert contrast_power(level, level, 0.8, 20, 1) == pytest.approx(want, abs=1e-8)
    needed = int(np.ceil(TTestIndPower().solve_power(0.8, power=0.8, alpha=0.05)))
    assert tasks_needed(level, level, 0.8, 1) == needed == 26


@settings(max_examples=30)
@given(
    between=st.floats(0.001, 0.5), single=st.floats(0.01, 1), difference=st.floats(0.1, 1.5), repeats=st.integers(1, 9)
)
def test_needed_tasks_are_the_fewest(between, single, difference, repeats):
    level = LevelSpread(between, single, repeats)
    tasks = tasks_needed(level, level, difference, repeats)
    assert tasks is not None
    assert contrast_power(level, level, difference, tasks, repeats) >= 0.8
    assert tasks == 2 or contrast_power(level, level, difference, tasks - 1, repeats) < 0.8


def test_more_seeds_cannot_replace_tasks():
    level = LevelSpread(0.2, 0.25, 3)
    assert repeats_needed(level, level, 0.3, tasks=7) is None
    assert repeats_needed(LevelSpread(0.0, 0.25, 3), level, 2.0, tasks=7) == 1
    few = repeats_needed(LevelSpread(0.0, 1.0, 1), LevelSpread(0.0, 1.0, 1), 0.5, tasks=7)
    assert contrast_power(LevelSpread(0, 1, 1), LevelSpread(0, 1, 1), 0.5, 7, few) >= 0.8
    assert contrast_power(LevelSpread(0, 1, 1), LevelSpread(0, 1, 1), 0.5, 7, few - 1) < 0.8


def test_spreads_reproduce_the_standard_errors_they_come_from():
    model = study_model()
    spreads = level_spreads(model)
    for level, spread in spreads.items():
        place = model.layout.intercepts[level]
        within = spread.single / spread.repeats
        assert np.sqrt((spread.between + within) / 7) == pytest.approx(
            np.sqrt(model.covariance[place, place]), rel=1e-9
        )


@pytest.mark.parametrize("wrong", [{"tasks": 1}, {"repeats": 0.5}, {"alpha": 0.0}])
def test_power_errors(wrong):
    level = LevelSpread(0.1, 0.1, 1)
    options = {"tasks": 7, "repeats": 1, "alpha": 0.05} | wrong
    with pytest.raises(analysis.AnalysisError, match="power needs"):
        contrast_power(level, level, 0.2, **options)
    with pytest.raises(analysis.AnalysisError, match="cannot be planned for"):
        tasks_needed(level, level, 0.0, 1)


@pytest.mark.parametrize("at", [0.0, 3.0])
def test_planning_counts_what_makes_a_difference_uncertain_where_it_is_taken(at):
    """On a complete table the planned variance is that of the contrast."""
    model = study_model()
    spreads = level_spreads(model, at)
    for entry in analysis.pairwise_contrasts(model, at=at):
        if entry["kind"] == "level":
            low, high = spreads[entry["b"]], spreads[entry["a"]]
            variance = sum((level.between + level.single / level.repeats) / 7 for level in (low, high))
            assert entry["se"] ** 2 == pytest.approx(variance, rel=1e-4)


@pytest.mark.parametrize(("levels", "tasks", "difference"), [(2, 8, 0.7), (2, 5, 0.9), (5, 6, 0.8)])
def test_the_power_that_is_planned_is_that_of_the_test(levels, tasks, difference):
    generator = np.random.default_rng(1)

    def studied(tasks):
        table = grid(levels, tasks, 3)
        level, task = table.encoder.str[1:].astype(int).to_numpy(), table.task.str[1:].astype(int).to_numpy()
        departures = 0.3 * generator.standard_normal((levels, tasks))
        noise = 0.5 * generator.standard_normal(len(table))
        table["score"] = difference * (level == 1) + departures[level, task] + noise
        return fit_model(standardise(table, natural=True), "factor", factor="encoder", run="none")

    known = level_spreads(studied(150))
    planned = contrast_power(known["e0"], known["e1"], difference, tasks, 3)
    found = 0
    for _ in range(200):
        entry = next(one for one in analysis.pairwise_contrasts(studied(tasks)) if {one["a"], one["b"]} == {"e0", "e1"})
        found += entry["p"] < 0.05
    assert found / 200 == pytest.approx(planned, abs=0.1)
    assert 0.3 < planned < 0.95


def test_one_score_a_cell_says_nothing_of_seeds():
    model = fit_model(standardise(grid(4, 6, 1, rng=2, step=0.5), natural=True), "factor", factor="encoder")
    spreads = level_spreads(model)
    assert {spread.single for spread in spreads.values()} == {0.0}
    entry = analysis.pairwise_contrasts(model)[0]
    assert (spreads["e0"].between + spreads["e1"].between) / 6 == pytest.approx(entry["se"] ** 2, rel=1e-6)
    assert repeats_needed(spreads["e0"], spreads["e1"], 0.1, tasks=6) is None
