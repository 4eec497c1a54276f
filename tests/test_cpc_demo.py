"""The small study of predictive coding in the documentation: what its page says is what its scores and losses say."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path
from statistics import mean, stdev

import pytest

from benchmark.plan.studies import load_study
from benchmark.registry.registry import load_registry

FOLDER = Path(__file__).parents[1] / "docs" / "cpc-demo"
PROTOCOLS = ("cpc-linear", "cpc-mlp", "linear")
#: Quantile of Student's t with two degrees of freedom that 2.5 % are above.
T = 4.302653


def rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(newline="") as file:
        return list(csv.DictReader(file))


def table(heading: str) -> list[list[str]]:
    """Cells of the table below a heading of the page, without the row of names."""
    text = (FOLDER / "index.md").read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line[:1] == "|"]
    return [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines][2:]


def test_the_scores_are_those_of_the_study():
    study = load_study(str(FOLDER / "study.yaml"))
    scores = rows("scores.csv")
    assert study.grid.of("protocol") == PROTOCOLS
    assert len({row["key"] for row in scores}) == len(scores) == 2 * 3 * len(PROTOCOLS)
    assert {(row["encoder"], row["task"], row["standin"]) for row in scores} == {("cpc_quarter", "mtt", "True")}
    assert {row["recipe"] for row in scores} == {"cpc-demo", "untrained"}


def test_the_loss_falls_well_below_chance():
    recipe = load_registry().recipe("cpc-demo").entry
    chance = math.log(1 + recipe.negatives)
    losses = rows("losses.csv")
    assert [row["seed"] for row in losses] == ["0", "1", "2"]
    for row, cells in zip(losses, table("Does the loss fall?"), strict=True):
        assert float(row["loss_at_chance"]) == pytest.approx(chance, abs=1e-3)
        assert float(row["watched_loss_after"]) < chance - 0.5
        assert row["watched_clips"] == "held-out"
        found = [float(row[name]) for name in ("loss_at_chance", "watched_loss_before", "watched_loss_after")]
        assert [float(cell) for cell in cells[1:]] == pytest.approx(found, abs=5.1e-4)


def test_the_gains_of_the_page():
    scores = {(row["protocol"], row["seed"], row["recipe"]): float(row["score"]) for row in rows("scores.csv")}
    found = table("Does a probe gain?")
    assert [cells[0] for cells in found] == [protocol for protocol in PROTOCOLS for _ in range(4)]
    for protocol, seed, *cells in found:
        seeds = ("0", "1", "2") if seed == "mean" else (seed,)
        both = [mean(scores[protocol, each, recipe] for each in seeds) for recipe in ("untrained", "cpc-demo")]
        numbers = [float(part) for cell in cells for part in re.findall(r"[-+]?\d\.\d+", cell)]
        expected = [*both, both[1] - both[0]]
        if seed == "mean":
            apart = [scores[protocol, each, "cpc-demo"] - scores[protocol, each, "untrained"] for each in seeds]
            half = T * stdev(apart) / math.sqrt(3)
            expected += [expected[2] - half, expected[2] + half]
        assert numbers == pytest.approx(expected, abs=5.1e-4), (protocol, seed)


def test_what_the_page_says_of_the_probes():
    scores = {(row["protocol"], row["seed"], row["recipe"]): float(row["score"]) for row in rows("scores.csv")}
    gains = {
        protocol: [scores[protocol, seed, "cpc-demo"] - scores[protocol, seed, "untrained"] for seed in "012"]
        for protocol in PROTOCOLS
    }
    assert min(gains["cpc-linear"] + gains["cpc-mlp"]) > 0
    assert max(gains["linear"]) < 0
