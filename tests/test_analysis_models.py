"""Which model a table is given, and its columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from analysis_tables import grid, study_model
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import analysis


def fit(table, kind="factor", **roles):
    roles = roles or {"factor": "encoder"}
    return analysis.fit_model(analysis.standardise(table), kind, **roles)


def test_study_layouts():
    model = study_model()
    assert model.problem.fixed == model.problem.components == 11
    assert "strategy[SS-R]:n_star" not in model.layout.fixed  # its covariate is always 0
    assert model.layout.levels[0] == "SS-R" and model.layout.reason == ""
    assert study_model("ordinal").layout.fixed == ["(intercept)", "r_star", "n_star", "r_star:n_star"]
    assert study_model("ordinal").layout.random == ["r_star", "n_star", "r_star:n_star"]
    assert "(0 + strategy[SS-R] | dataset)" in model.formula


@pytest.mark.parametrize(
    ("encoders", "tasks", "seeds", "fitted"),
    [
        (4, 6, 3, "factor"),
        (4, 2, 3, "factor-common"),
        (4, 6, 1, "factor-single"),
        (2, 6, 3, "factor"),
        (4, 4, 1, "factor-fixed"),
        (4, 1, 3, "factor-fixed"),
    ],
)
def test_ladder(encoders, tasks, seeds, fitted):
    model = fit(grid(encoders, tasks, seeds))
    assert model.layout.model == fitted
    assert (model.layout.reason == "") is (fitted == "factor")
    if fitted != "factor":
        assert fitted in model.layout.reason and model.layout.reason.endswith(".")
        assert f"{tasks} tasks" in model.layout.reason or tasks < 2 or "degrees of freedom" in model.layout.reason


def test_few_repeats_fall_back_to_one_common_effect():
    table = grid(4, 6, 1)
    table = table.loc[[*range(len(table)), 0, 7]].reset_index(drop=True)
    table.loc[len(table) - 2 :, "score"] += 0.01
    model = fit(table)
    assert model.layout.model == "factor-common"
    assert "and 2)" in model.layout.reason  # repeated scores that it has
    assert model.problem.components == 1 and model.problem.groups == 24


def test_components_that_no_table_could_separate_fall_back():
    """Level e1 has one score in two of its three cells, at one depth: its two components are one."""
    table = grid(5, 4, 4)
    table["depth"] = np.tile([0, 1, 3, 4], 20)
    e1 = (table.encoder == "e1").to_numpy()
    table = table[~e1 | (table.task == "t3") | ((table.seed == 3) & (table.task != "t2"))].reset_index(drop=True)
    model = fit(table, factor="encoder", covariate="depth")
    assert model.layout.model == "factor-common"
    assert "cannot be told apart" in model.layout.reason
    forced = analysis.fit_model(
        analysis.standardise(table), "factor", factor="encoder", covariate="depth", simplify=False
    )
    assert forced.layout.model == "factor" and forced.layout.reason == ""


def test_ordinal_ladder():
    table = grid(4, 6, 3)
    table["size"] = table.encoder.str[1:].astype(float)
    assert fit(table, "ordinal", size="size").layout.model == "ordinal"
    layout = fit(table, "ordinal", size="size").layout
    assert layout.fixed[: layout.main] == ["(intercept)", "size"]
    assert layout.fixed[layout.main :] == [f"task[t{d}]" for d in range(5)]
    few = table[table.task.isin(["t0", "t1"])].reset_index(drop=True)
    assert fit(few, "ordinal", size="size").layout.model == "ordinal-common"
    once = few[few.seed == 0].reset_index(drop=True)
    assert fit(once, "ordinal", size="size").layout.model == "ordinal-fixed"


def test_fixed_model_is_least_squares_with_its_t_intervals():
    table = grid(4, 6, 1)
    model = fit(table, "factor-fixed", factor="encoder")
    X = model.problem.X
    beta, rss = np.linalg.lstsq(X, model.scores.y, rcond=None)[:2]
    assert np.abs(model.beta - beta).max() < 1e-12
    entry = analysis.fixed_effects(model)["encoder[e2]"]
    assert entry["df"] == pytest.approx(15)
    assert entry["se"] == pytest.approx(np.sqrt(rss[0] / 15 / 6))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_a_level_seen_on_one_task_never_breaks_a_fit(seed):
    table = grid(4, 5, 3, rng=seed)
    table = table[(table.encoder != "e3") | (table.task == "t2")].reset_index(drop=True)
    model = fit(table)
    assert model.layout.model == "factor-common"
    assert np.isfinite(model.beta).all() and model.solution.converged.all()


@pytest.mark.parametrize(
    ("kind", "roles", "match"),
    [
        ("linear", {"factor": "encoder"}, "unknown model 'linear': choose factor or ordinal"),
        ("factor", {"covariate": "seed"}, "name it with --factor"),
        ("ordinal", {"factor": "encoder"}, "name it with --size"),
        ("ordinal", {"size": "encoder"}, "column 'encoder' must hold numbers, but row 1 has 'e0'"),
        ("factor", {"factor": "encoder", "covariate": "task"}, "column 'task' must hold numbers"),
        ("factor", {"factor": "corpus"}, "no column 'corpus'"),
    ],
)
def test_errors(kind, roles, match):
    with pytest.raises(analysis.AnalysisError, match=match):
        fit(grid(), kind, **roles)


@pytest.mark.parametrize(("wins", "p"), [(6, "0.125"), (7, "0.0156"), (1, "0.125")])
def test_two_levels_with_one_score_a_cell_are_only_signs(wins, p):
    """Won by a ten-thousandth six times and lost by a third once: p was 0.028 for signs that say 0.125."""
    rows = [
        (e, f"t{d}", 0.6 + 0.01 * d + (0.0 if e == "a" else -0.0001 - 1e-6 * d if d < wins else 0.3))
        for e in "ab"
        for d in range(7)
    ]
    table = pd.DataFrame(rows, columns=["encoder", "task", "score"])
    best, count = ("a", wins) if wins > 3 else ("b", 7 - wins)
    with pytest.raises(
        analysis.AnalysisError, match=f"{best} is higher on {count} of 7 tasks.*sign test p = {p}\\)"
    ) as e:
        fit(table)
    assert "\n" not in str(e.value) and "--natural" in str(e.value) and "bench compare" in str(e.value)
    # A second score on one task does not make more of the other six.
    again = pd.concat([table, table[table.task == "t0"].assign(score=lambda own: own.score + 0.01)])
    with pytest.raises(analysis.AnalysisError, match=f"one score a cell on all tasks but one.* of 7 tasks.*= {p}\\)"):
        fit(again)
    natural = analysis.fit_model(analysis.standardise(table, natural=True), "factor", factor="encoder")
    assert natural.layout.model == "factor-fixed"
    (entry,) = analysis.pairwise_contrasts(natural)
    wide = table.pivot_table(values="score", index="encoder", columns="task")
    assert entry["p"] == pytest.approx(stats.ttest_rel(wide.loc["b"], wide.loc["a"]).pvalue, rel=1e-6)
    assert fit(pd.concat([table, table.assign(score=table.score + 0.01)])).layout.model == "factor"


def test_one_level_is_nothing_to_compare():
    table = grid()
    with pytest.raises(analysis.AnalysisError, match="has one level"):
        fit(table[table.encoder == "e0"].reset_index(drop=True))


def test_repeats_that_agree_exactly_are_an_error_that_says_what_to_do():
    rng = np.random.default_rng(0)
    cells = [(t, e, rng.random()) for t in ("a", "b", "c") for e in ("x", "y", "z")]
    table = pd.DataFrame(
        [{"task": t, "encoder": e, "seed": seed, "score": score} for t, e, score in cells for seed in range(3)]
    )
    with pytest.raises(analysis.AnalysisError, match="agree exactly.*seed == 0"):
        fit(table)
