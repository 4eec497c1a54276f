"""The first study in the documentation: what its page says is what its scores say."""

import csv
import re
from pathlib import Path
from statistics import mean

import pytest

from benchmark.plan.studies import load_study

FOLDER = Path(__file__).parents[1] / "docs" / "first-study"
TASKS = ("mtt", "gtzan", "emotion", "key")


@pytest.fixture(scope="module")
def scores():
    with (FOLDER / "scores.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_scores_are_those_of_the_study(scores):
    study = load_study(str(FOLDER / "study.yaml"))
    assert study.name == "first-study"
    assert len({row["key"] for row in scores}) == len(scores) == 258
    assert {row["standin"] for row in scores} == {"True"}
    assert {row["seed"] for row in scores} == {"0", "1", "2"}
    assert {row["protocol"] for row in scores} == {"linear", "kim"}


def test_the_table_of_the_page_holds_the_means_over_seeds(scores):
    text = (FOLDER / "index.md").read_text()
    rows = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    checked = 0
    for label, *cells in rows[2:]:
        name = re.match(r"`(\w+)`", label)
        corpus = "gtzan" if "gtzan" in label else "magnatagatune"
        for task, cell in zip(TASKS, cells, strict=True):
            own = [row for row in scores if row["task"] == task]
            if name is None:
                found = {round(float(row["floor"]), 3) for row in own}
                assert found == {float(cell)}, (label, task)
                continue
            values = [
                float(row["score"])
                for row in own
                if row["encoder"] == name[1]
                and row["corpus"] in (corpus, "none")
                and (row["protocol"], row["labels"], row["deform"]) == ("linear", "1.0", "none")
            ]
            assert len(values) == 3
            assert float(cell) == pytest.approx(mean(values), abs=5.1e-4), (label, task)
            checked += 1
    assert checked == 36


def test_the_report_is_one_small_page_of_the_same_scores(scores):
    page = (FOLDER / "report.html").read_text()
    assert len(page) < 3_000_000
    assert f"{len(scores)} runs on 4 tasks" in page
    assert "All scores come from stand-ins" in page
