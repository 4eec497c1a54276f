"""What is odd in a table: repeated rows, names and scales that are alike, failed probes, tasks that tell nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from analysis_tables import grid

import analysis
from analysis.commands import analyze
from analysis.options import AnalysisOptions


def notes(table, **options):
    return analyze(table, AnalysisOptions(bootstrap=0, **options))["notes"]


def said(table, words, **options):
    return [note for note in notes(table, **options) if words in note]


def test_rows_that_stand_there_twice_count_once():
    once = analyze(grid(), AnalysisOptions(bootstrap=0))
    twice = pd.concat([grid(), grid()], ignore_index=True)
    result = analyze(twice, AnalysisOptions(bootstrap=0))
    assert result["fixed"] == once["fixed"] and result["contrasts"] == once["contrasts"]
    assert "72 rows that repeat another in every column are left out." in result["notes"]
    some = pd.concat([grid(), grid().iloc[[5]]], ignore_index=True)
    assert "1 row that repeats another in every column is left out." in notes(some)
    assert analyze(some, AnalysisOptions(bootstrap=0))["table"]["rows"] == 72
    unmarked = twice.drop(columns="seed")
    assert analyze(unmarked, AnalysisOptions(bootstrap=0))["table"]["rows"] == 72


def test_scores_that_are_equal_by_chance_stay():
    table = grid().drop(columns="seed")
    table.loc[1, "score"] = table.score[0]
    result = analyze(table, AnalysisOptions(bootstrap=0))
    assert result["table"]["rows"] == 72
    assert any("1 row that repeats another in every column counts all the same" in note for note in result["notes"])


def test_a_seed_scored_twice_is_told():
    table = pd.concat([grid(), grid().iloc[[3]].assign(score=0.51)], ignore_index=True)
    assert said(table, "1 row differs from another in nothing but score, though there is a column seed")
    assert not said(grid(), "nothing but score")


@pytest.mark.parametrize(("a", "b"), [("mert", "Mert"), ("mert", "mert "), ("m 1", "m1"), ("1", "01"), ("1", "1.0")])
def test_names_that_look_the_same_are_told(a, b):
    table = grid(2).assign(encoder=lambda t: t.encoder.map({"e0": a, "e1": b}))
    (note,) = said(table, "Names of encoder that differ only in")
    assert f"{a!r} and {b!r}" in note
    assert not said(grid(2), "Names of encoder")


def test_two_scales_in_a_task_are_told():
    table = grid()
    table.loc[(table.seed == 1) & (table.task == "t2"), "score"] *= 100
    (note,) = said(table, "two scales")
    assert note.startswith("Scores of t2 (")
    assert not said(grid(), "two scales")
    assert not said(grid().assign(score=lambda t: 100 * t.score), "two scales")


@pytest.mark.parametrize("metric", ["r2", "R2", "r2.valence", "R\u00b2"])
def test_a_score_far_below_its_floor_gets_a_remark(metric):
    table = grid().assign(metric=metric)
    assert not said(table, "floor")
    table.loc[7, "score"] = -13.0
    (note,) = said(table, "far below their floor")
    assert "-13 on t2 (floor 0)" in note


def test_the_floor_of_the_table_counts_and_of_an_error_it_is_a_ceiling():
    table = grid().assign(metric="rmse", floor=1.5)
    assert not said(table, "floor")
    table.loc[table.task == "t1", "score"] = np.linspace(0.4, 9.0, 12)
    (note,) = said(table, "far below their floor")
    assert "9 on t1 (floor 1.5" in note


def test_tasks_that_tell_nothing_are_left_out_by_name():
    table = grid()
    more = pd.DataFrame({"encoder": ["e0"], "task": ["lone"], "seed": [0], "score": [0.4]})
    table = pd.concat([table, more], ignore_index=True)
    table.loc[table.task == "t4", "score"] = 0.25
    result = analyze(table, AnalysisOptions(bootstrap=0))
    assert "t4 (12 scores) and lone (1 score) have no two different scores and are left out." in result["notes"]
    assert result["table"]["task_names"] == ["t0", "t1", "t2", "t3", "t5"]
    with pytest.raises(analysis.AnalysisError, match=r"no task has two different scores \(t0 \(12 scores\)"):
        analyze(grid().assign(score=0.5), AnalysisOptions(bootstrap=0))


def test_missing_scores_by_any_word_are_counted_once():
    table = grid().astype({"score": object})
    table.loc[[0, 5], "score"] = ["NA", "-"]
    assert said(table, "2 rows without a score were left out")
