"""Who leads a task and who is tied: means over seeds, and a test that knows of seeds, clips and the number of rows."""

import csv
import io

import numpy as np
import pytest
from report_store import fill, make_record

from analysis.report import render
from analysis.report.groups import Value, form_groups
from analysis.report.leaderboard import _compare, leaderboard
from benchmark.registry.registry import load_registry
from benchmark.report.contents import collect
from benchmark.scores.records import Overlap


def test_leaderboard_means_and_ties(tmp_path):
    scores = {("a", 0): 0.80, ("a", 1): 0.82, ("b", 0): 0.79, ("b", 1): 0.80, ("c", 0): 0.50, ("c", 1): 0.51}
    records = [make_record(encoder, "gtzan", seed, score=value) for (encoder, seed), value in scores.items()]
    (group,) = form_groups(collect(fill(tmp_path / "store", records), load_registry())["runs"])
    board = leaderboard(group)
    assert [row.encoder for row in board.rows] == ["a", "b", "c"]
    best = board.rows[0].values["accuracy"]
    assert (best.mean, best.lower, best.upper, best.n) == pytest.approx((0.81, 0.79, 0.83, 2))
    assert best.sd == pytest.approx(np.std([0.80, 0.82], ddof=1))
    assert (best.clips_se, best.seeds_se) == pytest.approx((0.02 / 1.959964, best.sd / np.sqrt(2)))
    assert ["accuracy" in row.best for row in board.rows] == [True, False, False]
    assert ["accuracy" in row.tied for row in board.rows] == [False, True, False]
    assert board.floors["accuracy"] == pytest.approx(0.1)


def test_what_was_pretrained_on_test_clips_leads_nothing(tmp_path):
    """Neither bold nor starred nor first, in any form; of equal best scores all are bold."""
    scores = {"heard": (0.9, 3), "a": (0.6, 0), "b": (0.6, 0), "close": (0.599, 1), "c": (0.2, 0)}
    records = [make_record(name, "gtzan", 0, score=score, overlap=clips) for name, (score, clips) in scores.items()]
    document = collect(fill(tmp_path / "store", records), load_registry())
    board = leaderboard(form_groups(document["runs"])[0])
    rows = {row.encoder: row for row in board.rows}
    assert [row.encoder for row in board.rows] == ["a", "b", "c", "heard", "close"]
    assert {name for name, row in rows.items() if row.best} == {"a", "b"}
    assert {name for name, row in rows.items() if row.tied} == set()
    latex = render(document, "latex")
    assert [line.split("$")[0].strip() for line in latex.splitlines() if "textbf" in line][-2:] == ["a", "b"]
    assert not [line for line in latex.splitlines() if "$^*$" in line and "dagger" in line and "&" in line]
    for form, bold in (("md", "**0.900**"), ("html", '<span class="best">0.900')):
        assert bold not in render(document, form)
    table = csv.DictReader(io.StringIO(render(document, "csv")))
    assert {row["encoder"] for row in table if row["best"] == "True" or row["tied"] == "True"} == {"a", "b"}
    # Where all were, none leads.
    every = [record.model_copy(update={"overlap": Overlap(clips=1, recordings=0, artists=0)}) for record in records]
    document = collect(fill(tmp_path / "other", every), load_registry())
    assert not any(row.best or row.tied for row in leaderboard(form_groups(document["runs"])[0]).rows)
    assert "heard leads with" not in render(document, "html")


@pytest.mark.parametrize(("rows", "seeds"), [(2, 2), (5, 3), (12, 5)])
def test_equal_encoders_are_rarely_set_apart(rows, seeds):
    rng = np.random.default_rng(0)
    apart = 0
    for _ in range(400):
        scores = 0.8 + 0.001 * rng.standard_normal((rows, 1)) + 0.01 * rng.standard_normal((rows, seeds))
        values = [
            Value(own.mean(), own.mean() - 0.00196, own.mean() + 0.00196, own.std(ddof=1), seeds) for own in scores
        ]
        _, tied = _compare(values)
        apart += len(tied) < rows - 1
    assert apart / 400 <= 0.07


def test_of_many_rows_some_are_tied():
    rng = np.random.default_rng(0)
    scores = rng.normal(0.8, 0.05, (200, 1)) + 0.01 * rng.standard_normal((200, 3))
    values = [Value(own.mean(), own.mean() - 0.01, own.mean() + 0.01, own.std(ddof=1), 3) for own in scores]
    best, tied = _compare(values)
    assert best == int(scores.mean(axis=1).argmax())
    assert 0 < len(tied) < 100


def test_a_lead_far_beyond_seeds_and_clips_is_no_tie():
    scores = (0.90, 0.80, 0.795)
    values = [Value(score, score - 0.01, score + 0.01, 0.004, 3) for score in scores]
    assert _compare(values) == (0, set())
    assert _compare(values[1:]) == (0, {1})
    single = [Value(score, score - 0.01, score + 0.01, None, 1) for score in scores]
    assert _compare(single) == (0, set())
