"""Reading tables, refusing what cannot be compared, and standardising."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from analysis_tables import GOLDEN, golden, grid, study
from hypothesis import given
from hypothesis import strategies as st

import analysis
from analysis.tables.long_tables import incomplete_cells, labels


def test_golden_scales():
    scores = analysis.standardise(study(), "score", "dataset", ["strategy", "n_star"])
    for task, want in golden()["standardization"].items():
        scale = scores.scales[task]
        assert scale.mean == pytest.approx(want["mean"], rel=1e-11)
        assert scale.sd == pytest.approx(want["sd"], rel=1e-11)
        assert scale.n == want["n"]
    assert scores.notes == []
    assert scores.scales["Lastfm"].metric == "ndcg@500"


@given(st.integers(0, 1000))
def test_mean_zero_and_sd_one_within_tasks(seed):
    scores = analysis.standardise(grid(rng=seed))
    for task in scores.scales:
        y = scores.y[(scores.table.task == task).to_numpy()]
        assert abs(y.mean()) < 1e-9
        assert y.std(ddof=1) == pytest.approx(1.0, abs=1e-9)


def test_natural_scores_lose_their_tasks_effect_and_keep_their_unit():
    table = grid().sample(frac=0.8, random_state=0).reset_index(drop=True)
    scores = analysis.standardise(table, natural=True)
    y = table.assign(y=scores.y).groupby("task")["y"]
    means = table.groupby("task")["score"].mean()
    assert y.mean().tolist() == pytest.approx([means.mean()] * 6)
    for task, scale in scores.scales.items():
        rows = (table.task == task).to_numpy()
        assert scores.y[rows] - table.score[rows].to_numpy() == pytest.approx(means.mean() - means[task])
        assert (scale.mean, scale.sd) == pytest.approx((means[task], table.score[rows].std(ddof=1)))
    table = grid()
    table["metric"] = np.where(table.task == "t0", "auc", "accuracy")
    with pytest.raises(analysis.AnalysisError, match="one metric in all tasks"):
        analysis.standardise(table, natural=True)


def test_refuses_constant_tasks_by_name():
    table = grid()
    table.loc[table.task.isin(["t1", "t4"]), "score"] = 0.25
    with pytest.raises(analysis.AnalysisError, match=r"t1 \(12 scores\), t4 \(12 scores\)"):
        analysis.standardise(table)


@pytest.mark.parametrize(
    ("column", "values", "match"),
    [
        ("metric", ["auc", "ap"], "task t0 mixes 2 metrics: auc, ap"),
        ("fingerprint", ["a1", "b2"], "task t0 mixes 2 fingerprints"),
        ("standin", [True, False], "36 of 72 scores come from the stand-in"),
        ("standin", ["perhaps", "no"], "must hold True or False, not 'perhaps'"),
    ],
)
def test_refuses_mixtures(column, values, match):
    table = grid()
    table[column] = [values[i % 2] for i in range(len(table))]
    with pytest.raises(analysis.AnalysisError, match=match):
        analysis.standardise(table)


def test_different_metrics_on_different_tasks_are_fine_and_standin_is_said():
    table = grid()
    table["metric"] = np.where(table.task == "t0", "auc", "rmse")
    table["standin"] = "True"
    notes = analysis.standardise(table).notes
    assert any("stand-in" in note for note in notes)
    assert any("rmse less is better" in note for note in notes)


def test_incomplete_tables_warn_and_name_the_cell():
    table = grid()
    holed = table.drop(index=table.index[(table.encoder == "e2") & (table.task == "t3")]).reset_index(drop=True)
    assert analysis.standardise(table, complete_over=["encoder"]).notes == []
    (note,) = analysis.standardise(holed, complete_over=["encoder"]).notes
    assert "1 cells" in note and "encoder=e2 has 0 on t3, 3 elsewhere" in note
    assert incomplete_cells(holed, "task", ["encoder"]) == [("encoder=e2", "t3", 0, 3)]


def test_missing_scores_are_counted():
    table = grid()
    table.loc[[0, 5], "score"] = np.nan
    scores = analysis.standardise(table)
    assert len(scores.y) == len(table) - 2
    assert scores.notes[0].startswith("2 rows without a score were left out")


def test_bad_cells_and_columns():
    table = grid().astype({"score": object})
    table.loc[3, "score"] = "failed"
    with pytest.raises(analysis.AnalysisError, match="row 4 has 'failed'"):
        analysis.standardise(table)
    with pytest.raises(analysis.AnalysisError, match=r"no column 'scores'\. Did you mean 'score'\?"):
        analysis.standardise(grid(), "scores")
    empty = grid()
    empty.loc[2, "encoder"] = None
    with pytest.raises(analysis.AnalysisError, match="'encoder' is empty in row 3"):
        labels(empty, "encoder")


def test_reading_files(tmp_path):
    with pytest.raises(analysis.AnalysisError, match="no such file"):
        analysis.read_table(tmp_path / "none.csv")
    (tmp_path / "empty.csv").write_text("a,b\n")
    with pytest.raises(analysis.AnalysisError, match="no rows"):
        analysis.read_table(tmp_path / "empty.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01\x80")
    with pytest.raises(analysis.AnalysisError, match="not readable as CSV"):
        analysis.read_table(tmp_path / "binary.csv")
    assert len(analysis.read_table(GOLDEN / "scores_A.csv")) == 2975


def test_an_incomplete_natural_table_says_what_was_removed():
    holed = grid().drop(index=0).reset_index(drop=True)
    (note,) = analysis.standardise(holed, complete_over=["encoder"], natural=True).notes
    assert "Each task is centred over what was run" in note


def test_levels_that_are_numbers_keep_all_their_digits():
    assert labels(pd.DataFrame({"a": [1234568.0, 1234567.0]}), "a")[1] == ["1234567", "1234568"]
    assert labels(pd.DataFrame({"a": [0.1, 1e-7, 0.1 + 1e-9]}), "a")[1] == ["1e-07", "0.1", "0.100000001"]
    assert labels(pd.DataFrame({"a": np.array([0.5, 2.0], np.float32)}), "a")[1] == ["0.5", "2"]
    table = grid(2, 4, 3)
    table["encoder"] = table.encoder.map({"e0": 1234567.0, "e1": 1234568.0})
    assert analysis.fit_model(analysis.standardise(table), "factor", factor="encoder").layout.main == 2


def test_order_of_levels():
    assert labels(pd.DataFrame({"a": ["z", "b", "z"]}), "a")[1] == ["z", "b"]
    assert labels(pd.DataFrame({"a": [10, 2, 10]}), "a")[1] == ["2", "10"]
    ordered = pd.Categorical(["b", "a", "b"], categories=["a", "c", "b"])
    assert labels(pd.DataFrame({"a": ordered}), "a")[1] == ["a", "b"]
