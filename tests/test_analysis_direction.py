"""Metrics of which less is better: seen by any name, said by column or option, told the right way round everywhere."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
from conftest import bench
from report_store import fill, make_record

import analysis
from analysis.commands import analyze
from analysis.options import AnalysisOptions
from analysis.report.groups import form_groups
from analysis.report.leaderboard import leaderboard
from analysis.report.over_tasks import over_tasks
from analysis.tables.direction import lower_is_better
from benchmark.registry.registry import load_registry
from benchmark.report.contents import collect
from tasks.metrics import METRICS

LESS = ["RMSE", "rmse.valence", "nRMSE", "MAE", "Mean-squared error", "EER", "error_rate", "errorRate", "Perplexity"]
LESS += [
    "val_loss",
    "KL",
    "KL-divergence",
    "cross entropy",
    "NLL",
    "negative_log_likelihood",
    "WER (%)",
    "1 - accuracy",
]
LESS += ["MSELoss", "false positive rate", "Fr\u00e9chet audio distance", "median rank", "neg_r2"]
MORE = [
    "accuracy",
    "ROC-AUC",
    "R\u00b2",
    "R^2",
    "mAP",
    "neg_rmse",
    "-RMSE",
    "1-EER",
    "error_reduction",
    "ndcg@500",
    "f1_macro",
]
MORE += ["distance_correlation", "log likelihood", "negative predictive value"]


def errors(metric="RMSE", column="score", sign=1.0):
    """Three encoders, of which `good` errs least; the first task has an accuracy if the metric is None."""
    generator = np.random.default_rng(1)
    rows = [
        (name, f"t{d}", s, sign * (0.5 + 0.15 * i + 0.02 * generator.standard_normal()))
        for d in range(6)
        for s in range(3)
        for i, name in enumerate(("good", "mid", "bad"))
    ]
    table = pd.DataFrame(rows, columns=["encoder", "task", "seed", column])
    return table if metric is None else table.assign(metric=metric)


def texts(result):
    return " ".join(sentence["text"] for sentence in result["summary"])


@pytest.mark.parametrize("name", LESS)
def test_errors_are_known_by_any_name(name):
    assert lower_is_better(name) is True


@pytest.mark.parametrize("name", MORE)
def test_what_is_no_error_is_not_taken_for_one(name):
    assert lower_is_better(name) is False


@pytest.mark.parametrize("name", METRICS)
def test_names_of_metrics_say_what_the_metrics_say(name):
    assert (lower_is_better(name) is True) == METRICS[name].lower_is_better


@pytest.mark.parametrize("name", ["score", "key_weighted", "distance_precision", "x"])
def test_names_that_do_not_say_it_say_nothing(name):
    assert lower_is_better(name) is None


@pytest.mark.parametrize(
    ("table", "options"),
    [
        (errors(), {}),
        (errors(None, "rmse"), {"score": "rmse"}),
        (errors("foo"), {"lower_is_better": "FOO"}),
        (errors("foo").assign(lower_is_better=True), {}),
        (errors(None).assign(lower_is_better="yes"), {}),
    ],
)
def test_an_error_is_told_the_right_way_round(table, options):
    turned = analyze(table, AnalysisOptions(bootstrap=20, **options))
    plain = analyze(errors(None, sign=-1.0), AnalysisOptions(bootstrap=20))
    assert turned["contrasts"][0]["estimate"] == pytest.approx(plain["contrasts"][0]["estimate"])
    assert turned["best"] == plain["best"] and turned["best"]["probability"]["good"] > 0.9
    told = texts(turned)
    assert "less is better" in told and "good is better than bad by" in told
    assert "lead" not in told and "exceeds" not in told and "highest expected" not in told
    assert "good has the lowest expected " in told
    assert " less on t0" in told and " than bad." in told
    scale = turned["standardisation"]["t0"]
    assert scale["lower_is_better"] is True and 0.5 < scale["mean"] < 0.8 and scale["sd"] > 0
    pair = next(c for c in turned["contrasts"] if {c["a"], c["b"]} == {"good", "bad"})
    own = pair["natural"]["t0"]
    assert np.sign(own["estimate"]) == -np.sign(pair["estimate"])
    assert abs(own["estimate"]) == pytest.approx(0.3, abs=0.03)
    assert own["lower"] < own["estimate"] < own["upper"]


def test_beside_other_metrics_each_task_has_its_direction():
    table = errors().assign(metric=lambda t: np.where(t.task == "t0", "accuracy", "RMSE"))
    table.loc[table.task == "t0", "score"] = 1.4 - table.score
    result = analyze(table, AnalysisOptions(bootstrap=0))
    told = texts(result)
    assert "accuracy more on t0" in told and "RMSE less on t1" in told
    assert "good has the best expected score" in told
    assert [scale["lower_is_better"] for scale in result["standardisation"].values()] == [False] + [True] * 5


def test_natural_errors_keep_their_unit():
    result = analyze(errors(), AnalysisOptions(bootstrap=0, natural=True))
    pair = next(c for c in result["contrasts"] if {c["a"], c["b"]} == {"good", "bad"})
    assert abs(pair["estimate"]) == pytest.approx(0.3, abs=0.02)
    assert re.search(r"good is better than bad by 0\.(29|3)\d* \[", texts(result))
    assert result["fixed"]["encoder[good]"]["estimate"] == pytest.approx(-0.5, abs=0.02)


def test_errors_that_were_negated_by_hand_are_not_turned_again():
    result = analyze(errors(sign=-1.0), AnalysisOptions(bootstrap=0))
    assert result["best"]["probability"]["good"] > 0.9
    assert "taken as turned already" in texts(result) and "good exceeds bad" in texts(result)
    assert result["standardisation"]["t0"]["lower_is_better"] is False


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (errors().assign(lower_is_better=False), {}, "of RMSE less is better by its name, but column"),
        (errors("accuracy").assign(lower_is_better=True), {}, "of accuracy more is better by its name, but column"),
        (errors("accuracy"), {"lower_is_better": "accuracy"}, "--lower-is-better accuracy: by its name more of it"),
        (errors("foo").assign(lower_is_better=False), {"lower_is_better": "foo"}, "says the other of it"),
        (errors("foo"), {"lower_is_better": "bar"}, "no score is of that metric. There are: foo"),
        (errors("accuracy", "rmse"), {"score": "rmse"}, "scores of accuracy stand in column 'rmse'"),
        (errors("foo").assign(lower_is_better=[True, False] * 27), {}, "True in some rows of foo and False in others"),
        (errors("foo").assign(lower_is_better="perhaps"), {}, "must hold True or False, not 'perhaps'"),
        (errors().assign(score=lambda t: t.score - 0.6), {}, "RMSE cannot be below zero, but is so in row 1"),
    ],
)
def test_contradictions_are_refused(table, options, message):
    with pytest.raises(analysis.AnalysisError) as raised:
        analyze(table, AnalysisOptions(bootstrap=0, **options))
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_names_with_words_of_both_kinds_are_told():
    assert "--lower-is-better says the other" in texts(
        analyze(errors("distance_precision"), AnalysisOptions(bootstrap=0))
    )


def test_the_option_on_the_command_line(tmp_path):
    errors("foo").to_csv(tmp_path / "t.csv", index=False)
    done = bench("analyze", tmp_path / "t.csv", "--lower-is-better", "foo", "--bootstrap", 0, "--json")
    assert json.loads(done.stdout)["best"]["probability"]["good"] > 0.9


def test_the_scores_that_are_written_are_those_of_the_table(tmp_path):
    analyze(errors(), AnalysisOptions(bootstrap=0), output=tmp_path, figures=False)
    written = analysis.read_table(tmp_path / "scores.csv")
    assert written["score"].tolist() == errors()["score"].tolist()
    assert np.corrcoef(written["score"], written["standardised"])[0, 1] < -0.9


def test_reports_have_the_lowest_error_first(tmp_path):
    scores = {"a": 0.3, "b": 0.5, "c": 0.9}
    records = [
        make_record(name, task, seed, score=score + 0.01 * seed + 0.003 * ((len(task) + ord(name)) % 3))
        for name, score in scores.items()
        for task in ("mtt", "gtzan", "key")
        for seed in (0, 1)
    ]
    runs = collect(fill(tmp_path, records), load_registry())["runs"]
    renamed = [{**run, "metrics": {"rmse": next(iter(run["metrics"].values()))}} for run in runs]
    groups = form_groups(renamed)
    for group in groups:
        rows = leaderboard(group).rows
        assert [row.representation[0] for row in rows] == ["a", "b", "c"]
        assert [bool(row.best) for row in rows] == [True, False, False]
    part = over_tasks(groups, False)
    assert [name[0] for name in part.heat.representations] == ["a", "b", "c"]
    assert max(part.analysis["best"]["probability"].items(), key=lambda item: item[1])[0].startswith("a")
