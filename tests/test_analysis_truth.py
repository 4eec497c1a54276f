"""Sentences that must be right where tables of scores have holes, one seed, unequal spread, shared networks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from analysis_tables import network_alarms, networks
from scipy import stats

import analysis
from analysis.commands import analyze
from analysis.options import AnalysisOptions
from analysis.statistics.blocks import Term, make_blocks
from analysis.statistics.connections import chain
from analysis.statistics.crossproducts import make_problem
from analysis.statistics.planned import PlannedStudy, planned_differences
from analysis.statistics.reml import fit_reml


def table_of(cells, seeds=3, noise=0.005, seed=0):
    """Scores of (encoder, task): mean, with a little noise."""
    generator = np.random.default_rng(seed)
    rows = [
        (encoder, task, s, mean + noise * generator.standard_normal())
        for (encoder, task), mean in cells.items()
        for s in range(seeds)
    ]
    return pd.DataFrame(rows, columns=["encoder", "task", "seed", "score"])


def texts(result):
    return [entry["text"] for entry in result["summary"]]


def apart():
    low = {("A", f"t{d}"): 0.80 for d in range(5)} | {("B", f"t{d}"): 0.75 for d in range(5)}
    return low | {("C", f"u{d}"): 0.60 for d in range(5)} | {("D", f"u{d}"): 0.55 for d in range(5)}


@pytest.mark.parametrize("natural", [False, True])
def test_levels_that_no_chain_of_tasks_joins_are_refused_by_name(natural):
    with pytest.raises(analysis.AnalysisError) as error:
        analyze(table_of(apart()), AnalysisOptions(bootstrap=0, natural=natural))
    text = str(error.value)
    assert "A and B (on t0, t1, t2, t3 and t4)" in text and "C and D (on u0, u1, u2, u3 and u4)" in text
    assert "a score of C on t0 would join them" in text and "\n" not in text
    joined = analyze(table_of(apart() | {("C", "t0"): 0.6}), AnalysisOptions(bootstrap=0, natural=natural))
    assert not any("over 0 tasks" in text for text in texts(joined))


def test_a_pair_without_a_shared_task_is_told_through_those_between():
    cells = {("A", f"t{d}"): 0.9 for d in range(4)} | {("B", f"t{d}"): 0.8 for d in range(8)}
    cells |= {("C", f"t{d}"): 0.5 for d in range(4, 8)}
    result = analyze(table_of(cells), AnalysisOptions(bootstrap=0, natural=True, run="none"))
    pair = next(c for c in result["contrasts"] if {c["a"], c["b"]} == {"A", "C"})
    assert (pair["tasks"], pair["through"], pair["natural"]) == (0, ["B"], {})
    assert pair["estimate"] == pytest.approx(-0.4, abs=0.01)
    (told,) = [text for text in texts(result) if "A exceeds C" in text]
    assert "through tasks shared with B" in told and "over 0 tasks" not in told
    assert any("6 of 28 pairs of tasks" in text or "of 28 pairs of tasks" in text for text in texts(result))


def test_chains_are_the_shortest():
    seen = np.zeros((5, 6), dtype=bool)
    for level, tasks in enumerate([(0,), (0, 1), (1, 2), (2, 3), (3, 0)]):
        seen[level, list(tasks)] = True
    assert chain(seen, 0, 2) == [1] and chain(seen, 0, 1) == [] and chain(seen, 0, 3) == [4]


def test_tasks_of_easier_company_do_not_shift_a_level():
    """The true differences are exact whatever is missing: what a task adds is estimated, not subtracted."""
    generator = np.random.default_rng(0)
    levels, tasks = {"a": 0.0, "b": 0.1, "c": 0.3, "d": 0.05}, generator.uniform(0.2, 0.6, 8)
    cells = {(e, f"t{d}"): value + tasks[d] for e, value in levels.items() for d in range(8)}
    holes = {("c", "t0"), ("c", "t1"), ("c", "t2"), ("a", "t0"), ("b", "t5"), ("b", "t6"), ("d", "t7")}
    table = table_of({key: value for key, value in cells.items() if key not in holes}, noise=1e-4)
    model = analysis.fit_model(analysis.standardise(table, natural=True), "factor", factor="encoder", run="none")
    for entry in analysis.pairwise_contrasts(model):
        assert entry["estimate"] == pytest.approx(levels[entry["a"]] - levels[entry["b"]], abs=5e-4)
    mean = np.mean([value + tasks.mean() for value in levels.values()])
    assert model.beta[:4].mean() == pytest.approx(mean, abs=5e-4)


def hopeless(uneven):
    generator = np.random.default_rng(3)
    tasks, depth = generator.uniform(0.5, 0.7, 7), [0.02, 0.5, 0.1, 0.55, 0.12, 0.5, 0.03]
    own = {"a": 0.0, "b": 0.03, "c": 0.03, "d": 0.03}
    cells = {(e, f"t{d}"): v + tasks[d] + 0.004 * generator.standard_normal() for e, v in own.items() for d in range(7)}
    more = {("hopeless", f"t{d}"): tasks[d] - depth[d] for d in range(7)} if uneven else {}
    return cells | more


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("natural", [False, True])
def test_a_hopeless_level_neither_makes_nor_unmakes_differences_of_others(seeds, natural):
    found = []
    for uneven in (False, True):
        options = AnalysisOptions(bootstrap=0, natural=natural, run="none")
        result = analyze(table_of(hopeless(uneven), seeds), options)
        found.append(
            {(c["a"], c["b"]) for c in result["contrasts"] if c["different"] and "hopeless" not in (c["a"], c["b"])}
        )
        assert any(text.startswith("hopeless: so far") for text in texts(result)) is (uneven and not natural)
    assert found[0] == found[1] == {("b", "a"), ("c", "a"), ("d", "a")}


def test_one_score_a_cell_gives_three_levels_their_paired_t_tests():
    """Three variances are as many as the differences of three levels have: each pair is judged by its own."""
    table = networks(3, 9, 1, run=0.0, rng=1)
    scores = analysis.standardise(table, natural=True)
    model = analysis.fit_model(scores, "factor", factor="encoder", run="none")
    assert model.layout.model == "factor-single"
    y = table.assign(y=scores.y).pivot_table(values="y", index="encoder", columns="task")
    for entry in analysis.pairwise_contrasts(model):
        want = stats.ttest_rel(y.loc[entry["a"]], y.loc[entry["b"]])
        assert entry["p"] == pytest.approx(want.pvalue, rel=1e-4)
        assert entry["df"] == pytest.approx(8, rel=1e-4)
    assert set(analysis.random_effects(model)[0]) == {f"encoder[e{i}]" for i in range(3)}
    draws = analysis.parametric_bootstrap(model, 200)
    se = [entry["se"] for entry in analysis.pairwise_contrasts(model)]
    spread = [np.std(draws.beta[:, j] - draws.beta[:, i]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert spread == pytest.approx(se, rel=0.2)


def test_one_network_on_all_tasks_is_one_draw():
    """Four equal encoders, seven tasks, three networks each: without the effect of networks twice as many alarms."""
    blind, seeing = network_alarms(4, 7, 3, 60, run="none"), network_alarms(4, 7, 3, 60)
    assert seeing["any pair"] <= 0.1 < blind["any pair"]


def test_ordinary_levels_make_the_unit_together():
    for rng in range(40):
        table = networks(5, 7, 1, run=0.0, rng=rng, step=0.4)
        assert not [note for note in analysis.standardise(table, levels="encoder").notes if "so far from" in note]


@pytest.mark.slow
@pytest.mark.parametrize("tasks", [7, 20])
@pytest.mark.parametrize("seeds", [1, 3, 5])
def test_equal_encoders_are_hardly_ever_called_different_for_the_luck_of_their_networks(tasks, seeds):
    assert network_alarms(4, tasks, seeds, 500)["any pair"] <= 0.07


def test_of_encoders_trained_once_only_their_networks_are_told_apart():
    table = table_of(hopeless(False), 1)
    result = analyze(table, AnalysisOptions(bootstrap=0))
    assert result["table"]["trained_once"] == ["a", "b", "c", "d"]
    assert all(not c["covers_training"] and not c["different"] for c in result["contrasts"])
    told = texts(result)
    assert any(text.startswith("Of these networks that of d is above that of a by") for text in told)
    assert not any(" exceeds " in text for text in told)
    assert any("a, b, c and d were trained once" in text for text in told)
    # What was not trained, and what was given, has no such luck.
    given = analyze(table.assign(run=None), AnalysisOptions(bootstrap=0))
    assert given["table"]["trained_once"] == [] and any(" exceeds a by" in text for text in texts(given))
    half = analyze(
        table.assign(run=["" if e in "ab" else f"{e}0" for e in table.encoder]), AnalysisOptions(bootstrap=0)
    )
    covered = {(c["a"], c["b"]): c["covers_training"] for c in half["contrasts"]}
    assert covered[("b", "a")] and not any(flag for pair, flag in covered.items() if pair != ("b", "a"))


def test_readings_of_the_same_networks_share_their_luck():
    table = networks(2, 6, 3, run=0.4, rng=4)
    table = pd.concat([table.assign(protocol=p, score=table.score + 0.01 * i) for i, p in enumerate("pqr")])
    table["score"] += 0.001 * np.random.default_rng(0).standard_normal(len(table))
    result = analyze(table.reset_index(drop=True), AnalysisOptions(bootstrap=0, factor="protocol"))
    assert result["model"]["run"] == "encoder x seed"
    assert all(c["covers_training"] for c in result["contrasts"])
    assert any("r exceeds p by" in text for text in texts(result))


def test_a_column_of_runs_leads_and_a_missing_one_is_an_error():
    table = networks(3, 5, 2, run=0.3, rng=0).assign(run=lambda t: t.encoder + t.seed.astype(str))
    scores = analysis.standardise(table)
    assert analysis.fit_model(scores, "factor", factor="encoder").layout.run == "run"
    assert analysis.fit_model(scores, "factor", factor="encoder", run="none").layout.run == ""
    with pytest.raises(analysis.AnalysisError, match="--run rum: the table has no such column. Did you mean 'run'"):
        analysis.fit_model(scores, "factor", factor="encoder", run="rum")


def test_blocks_are_the_connected_parts():
    task, run = np.array([0, 0, 1, 1, 0, 1]), np.array([0, 1, 0, 1, 2, 2])
    level = np.array([0, 0, 0, 0, 1, 1])
    terms = [
        Term("a", task, (level == 0).astype(float)),
        Term("b", task, (level == 1).astype(float)),
        Term("run", run, np.array([1.0, 1, 1, 1, 0, 0])),
    ]
    blocks = make_blocks(terms, 6)
    assert blocks.group.tolist() == [0, 0, 0, 0, 1, 2] and blocks.Z.shape == (6, 4)
    assert blocks.component[0].tolist() == [0, 0, 2, 2] and blocks.component[1:, 0].tolist() == [1, 1]
    assert blocks.column[2].tolist() == [2, 3, -1]


@pytest.mark.parametrize("seed", range(3))
def test_crossed_effects_have_the_likelihood_of_the_whole_covariance(seed):
    """Holes, cells of a variance per level, and networks across tasks, against the covariance of all scores at once."""
    generator = np.random.default_rng(seed)
    table = networks(3, 5, 3, run=0.4, rng=seed).sample(frac=0.8, random_state=seed).reset_index(drop=True)
    model = analysis.fit_model(analysis.standardise(table, natural=True), "factor", factor="encoder", simplify=False)
    layout, y, X = model.layout, model.scores.y, model.problem.X
    assert layout.run and len(layout.random) == 4

    def criterion(variances, residual):
        V = residual * np.eye(len(y))
        same_cell = (layout.level_code[:, None] == layout.level_code) & (
            layout.group_code[:, None] == layout.group_code
        )
        V += same_cell * np.asarray(variances)[:3][layout.level_code][:, None]
        V += variances[3] * (model.runs.code[:, None] == model.runs.code)
        inverse = np.linalg.inv(V)
        information = X.T @ inverse @ X
        left = y - X @ np.linalg.solve(information, X.T @ inverse @ y)
        value = np.linalg.slogdet(V)[1] + np.linalg.slogdet(information)[1] + left @ inverse @ left
        return value + (len(y) - X.shape[1]) * np.log(2 * np.pi)

    best = criterion(model.sd**2, model.residual_sd**2)
    assert model.reml == pytest.approx(best, abs=1e-7)
    for _ in range(30):
        factor = np.exp(0.2 * generator.standard_normal(5))
        moved = np.maximum(model.sd**2, 1e-3 * model.residual_sd**2) * factor[:4]
        assert criterion(moved, model.residual_sd**2 * factor[4]) > best - 1e-9


def test_a_single_row_may_vary_less_than_the_residual():
    """Ratios below zero: two groups of rows whose variances are those of two samples."""
    generator = np.random.default_rng(0)
    y = np.concatenate([generator.standard_normal(40), 0.2 * generator.standard_normal(30)])
    second = (np.arange(70) >= 40).astype(float)
    blocks = make_blocks([Term("second", np.arange(70), second)], 70)
    X = np.stack([1 - second, second], axis=1)
    problem = make_problem(X, blocks.Z, blocks.group, blocks.component, lowest=np.array([1e-6 - 1]))
    found = fit_reml(problem, y)
    variance = found.residual_variance[0]
    assert variance == pytest.approx(y[:40].var(ddof=1), rel=1e-6)
    assert variance * (1 + found.ratios[0, 0]) == pytest.approx(y[40:].var(ddof=1), rel=1e-6)


def test_what_a_planned_study_will_tell():
    """Degrees of freedom of balanced designs, and standard errors, by hand."""
    pairs, se, df = planned_differences(PlannedStudy(7, 1, [0.2, 0.2, 0.2], 0.3))
    assert pairs == [(0, 1), (0, 2), (1, 2)]
    assert se == pytest.approx(np.sqrt(2 * 0.5 / 7)) and df == pytest.approx(6)
    _, se, df = planned_differences(PlannedStudy(7, 3, [0.2, 0.2], 0.3))
    assert se == pytest.approx(np.sqrt(2 * (0.2 + 0.1) / 7)) and df == pytest.approx(6)
    _, se, _ = planned_differences(PlannedStudy(7, 3, [0.2, 0.1, 0.3, 0.2], 0.3, run=0.09))
    assert se[0] == pytest.approx(np.sqrt((0.3 + 2 * 0.1) / 7 + 2 * 0.09 / 3))
    found = []
    for seed in range(30):
        scores = analysis.standardise(networks(4, 7, 3, run=0.0, rng=seed), natural=True)
        found.append(analysis.pairwise_contrasts(analysis.fit_model(scores, "factor", factor="encoder", run="none"))[0])
    _, _, df = planned_differences(PlannedStudy(7, 3, [0.25] * 4, 0.25))
    assert np.median([entry["df"] for entry in found]) == pytest.approx(df[0], rel=0.25)


def test_a_covariate_that_no_level_varies_in_is_said_to_be_so():
    table = networks(4, 6, 3, run=0.0, rng=0).assign(size=lambda t: t.encoder.map({"e0": 1, "e1": 2, "e2": 4, "e3": 8}))
    result = analyze(table, AnalysisOptions(bootstrap=0, covariate="size"))
    (note,) = [text for text in texts(result) if text.startswith("size takes one value within every level of encoder")]
    assert result["model"]["covariate"] is None and result["model"]["at"] is None
    assert not any("Where size" in text for text in texts(result))
    assert "no slope" in note
    mixed = table.assign(size=np.where(table.encoder == "e3", 7, table.seed))
    result = analyze(mixed, AnalysisOptions(bootstrap=0, covariate="size"))
    assert any(text.startswith("size is 7 in all scores of e3, so it has no slope there") for text in texts(result))


def test_levels_are_compared_at_a_value_that_some_score_has():
    table = networks(3, 6, 4, run=0.0, rng=0).assign(depth=lambda t: t.seed.map({0: 1, 1: 2, 2: 5, 3: 9}))
    result = analyze(table, AnalysisOptions(bootstrap=0, covariate="depth", run="none"))
    assert result["model"]["at"] == 5.0


def test_the_leader_s_share_knows_how_few_the_tasks_are():
    """Draws of a t distribution: beyond the normal ones on either side where degrees of freedom are few."""
    scores = analysis.standardise(networks(2, 4, 3, run=0.0, rng=2, step=0.6), natural=True)
    model = analysis.fit_model(scores, "factor", factor="encoder", run="none")
    (entry,) = analysis.pairwise_contrasts(model)
    want = stats.t.cdf(entry["estimate"] / entry["se"], entry["df"])
    assert analysis.best_probability(model)["e1"] == pytest.approx(want, abs=0.01)
