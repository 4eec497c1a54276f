"""The first study in the documentation: what its page says is what its scores say."""

import csv
import importlib
import json
import re
import shlex
import sys
from pathlib import Path
from statistics import mean

import pytest
from conftest import bench
from matplotlib.testing.compare import compare_images

from analysis.tables.representations import representation_names
from benchmark.plan.studies import load_study

FOLDER = Path(__file__).parents[1] / "docs" / "first-study"
#: On the first page and in the README: the figure of effects that the page's command draws.
PICTURE = FOLDER.parent / "assets" / "first-study.png"
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


@pytest.fixture(scope="module")
def made():
    """The module that makes parts of the page."""
    sys.path.insert(0, str(FOLDER.parent / "hooks"))
    try:
        return importlib.import_module("kept_scores")
    finally:
        sys.path.pop(0)


def test_the_table_of_the_page_holds_the_means_over_seeds(scores, made):
    rows = [
        [cell.strip(" *`") for cell in line.strip("|").split("|")] for line in made.means("first-study").splitlines()
    ]
    tasks = [head.partition(",")[0] for head in rows[0][1:]]
    assert sorted(tasks) == sorted(TASKS)
    assert rows[2][0] == "floor"
    for label, *cells in rows[2:]:
        for task, cell in zip(tasks, cells, strict=True):
            own = [row for row in scores if row["task"] == task]
            if label == "floor":
                assert {round(float(row["floor"]), 3) for row in own} == {float(cell)}
                continue
            values = [
                float(row["score"])
                for row in own
                if row["representation"] == label
                and (row["protocol"], row["labels"], row["deform"]) == ("linear", "1.0", "none")
            ]
            assert len(values) == 3
            assert float(cell) == pytest.approx(mean(values), abs=5.1e-4), (label, task)
    assert len(rows) == 3 + 9


def test_names_of_representations_are_those_of_an_export(scores):
    ways = [{**row, "corpus": None if row["corpus"] == "none" else row["corpus"]} for row in scores]
    assert [row["representation"] for row in scores] == representation_names(ways)


def test_findings_are_those_of_the_command_on_the_page(made, tmp_path):
    (command,) = re.findall(r"^bench (analyze .*?)\n```", (FOLDER / "index.md").read_text(), re.M | re.S)
    words = shlex.split(command.replace("\\\n", " "))
    result = bench(*words[:-1], tmp_path, cwd=FOLDER.parents[1])
    assert result.returncode == 0, result.stderr
    analysis = json.loads((tmp_path / "analysis.json").read_text())
    told = made.sentences("first-study")
    pairs = [entry for entry in analysis["contrasts"] if entry["kind"] == "level"]
    assert len(pairs) == 36
    assert not any(entry["different"] for entry in pairs)
    assert "No pair can be told apart: of 36 pairs none differs" in told
    leader = max(analysis["fixed"].values(), key=lambda entry: entry["estimate"])
    assert f"{leader['level']} has the highest expected score (+{leader['estimate']:.2f} SD)" in told
    assert compare_images(PICTURE, tmp_path / "effects.png", tol=3) is None
    assert PICTURE.stat().st_size < 200_000


def test_the_report_is_one_small_page_of_the_same_scores(scores):
    page = (FOLDER / "report.html").read_text()
    assert len(page) < 3_000_000
    assert f"{len(scores)} runs on 4 tasks" in page
    assert "All scores come from stand-ins" in page
