"""The small MULE study in the documentation: what its page says is what its scores say."""

import csv
from math import sqrt
from pathlib import Path
from statistics import mean, stdev

import pytest

from benchmark.plan.studies import load_study

FOLDER = Path(__file__).parents[1] / "docs" / "mule-demo-study"
TASKS = ("mtt", "audioset", "gtzan", "key")
WAYS = {
    "labels": "mule-demo-sup(augmentation=[], hidden=[], learning_rate=0.003, steps=150)",
    "16 pairs": "mule-demo(augmentation=[], pairs=2400)",
    "4 pairs": "mule-demo(augmentation=[], batch=4, pairs=600)",
}
#: Quantile of Student's t with two degrees of freedom that 2.5 % are above.
T = 4.302653


@pytest.fixture(scope="module")
def scores():
    with (FOLDER / "scores.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def by_seed(scores, task, corpus, recipe):
    found = {row["seed"]: float(row["score"]) for row in scores
             if (row["task"], row["corpus"], row["recipe"]) == (task, corpus, recipe)}  # fmt: skip
    assert sorted(found) == ["0", "1", "2"], (task, corpus, recipe)
    return [found[seed] for seed in sorted(found)]


def table(heading):
    """Cells of the table below a heading of the page, by row, without the row of names."""
    text = (FOLDER / "index.md").read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line[:1] == "|"]
    rows = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in rows[2:]}


def test_the_scores_are_those_of_the_study(scores):
    study = load_study(str(FOLDER / "study.yaml"))
    assert study.name == "mule-demo-study"
    assert {tuple(grid.of("task")) for grid in study.include} == {TASKS}
    assert len({row["key"] for row in scores}) == len(scores) == (3 * 2 + 1) * 3 * len(TASKS)
    assert {row["standin"] for row in scores} == {"True"}
    assert {row["recipe"] for row in scores} == {*WAYS.values(), "untrained"}


def test_the_means_of_the_page(scores):
    found = table("Means over three seeds")
    for label, cells in found.items():
        way, _, corpus = label.partition(", on ")
        for task, cell in zip(TASKS, cells, strict=True):
            if label == "floor":
                assert {round(float(row["floor"]), 3) for row in scores if row["task"] == task} == {float(cell)}
            else:
                values = by_seed(scores, task, corpus or "none", WAYS.get(way, way))
                assert float(cell) == pytest.approx(mean(values), abs=5.1e-4), (label, task)
    assert len(found) == 2 + 6


def test_the_differences_of_the_page(scores):
    """Of two ways of training with the same seed, and Student's interval of their mean."""
    found = table("What labels bring")
    for label, cells in found.items():
        ways, _, corpus = label.partition(", on ")
        ours, theirs = (WAYS.get(way, way) for way in ways.split(" less "))
        for task, cell in zip(TASKS, cells, strict=True):
            other = by_seed(scores, task, "none" if theirs == "untrained" else corpus, theirs)
            apart = [a - b for a, b in zip(by_seed(scores, task, corpus, ours), other, strict=True)]
            half = T * stdev(apart) / sqrt(3)
            numbers = [float(part) for part in cell.replace("[", " ").replace("]", " ").replace(",", " ").split()]
            assert numbers == pytest.approx([mean(apart), mean(apart) - half, mean(apart) + half], abs=5.1e-4), label
    assert len(found) == 8
