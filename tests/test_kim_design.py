"""The shipped part of Kim et al.'s design: its runs are the design's rows, with encoders in place of sources."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest
from conftest import bench_json

from benchmark.console import Reporter
from benchmark.plan.planner import Planner
from benchmark.plan.runs import unique_steps
from benchmark.plan.studies import load_study
from benchmark.registry.registry import load_registry
from benchmark.store.store import Store

#: The study's 425 runs; what it says and where it is from is told in tests/golden.
DESIGN = Path(__file__).parent / "golden" / "multisource" / "design.csv"
SOURCES = ("self", "year", "bpm", "taste", "tag", "lyrics", "cdr_tag", "artist")
STRATEGIES = ("SS-R", "MSS-CR")


def design_subsets() -> Counter[tuple[str, ...]]:
    """How often the design has each set of sources, in the two strategies that can be had."""
    with DESIGN.open() as file:
        rows = [row for row in csv.DictReader(file) if row["strategy"] in STRATEGIES]
    return Counter(tuple(source for source in SOURCES if row[source] == "1") for row in rows)


def study_runs() -> list[tuple[str, int]]:
    study = load_study("kim-design")
    grids = [study.grid, *study.include]
    assert {grid.task for grid in grids} == {study.grid.task}
    assert {(grid.recipe, grid.corpus, grid.protocol) for grid in grids} == {(("tune",), ("magnatagatune",), ("kim",))}
    return [(encoder, seed) for grid in grids for encoder in grid.encoder for seed in grid.seed]


def test_every_subset_is_a_row_of_the_design():
    runs = study_runs()
    encoders = load_study("kim-design").grid.encoder
    assert len(set(encoders)) == len(SOURCES)
    stands_for = dict(zip(encoders, SOURCES, strict=True))
    found = Counter(tuple(stands_for[name] for name in encoder.split("+")) for encoder, _ in runs)
    assert found == design_subsets()
    assert len(runs) == len(set(runs)) == 121
    assert Counter(len(subset) for subset in found.elements()) == {1: 48, 2: 9, 3: 7, 4: 12, 5: 18, 6: 14, 7: 8, 8: 5}


def test_no_training_is_behind_all_concatenations():
    seeds = Counter(seed for encoder, seed in study_runs() if "+" in encoder)
    assert set(seeds) == set(range(6))
    assert max(seeds.values()) - min(seeds.values()) <= 2


def expect_whole_plan(kinds: Counter[str]) -> None:
    tasks = len(load_study("kim-design").grid.task)
    # Six of the eight are trained, once a seed; the features are computed once, and probed with every seed.
    assert (kinds["pretrain"], kinds["probe"], kinds["embed"]) == (6 * 6, 121 * tasks, (6 * 6 + 2) * tasks)


def test_the_plan_is_whole(tmp_path):
    study = load_study("kim-design")
    planner = Planner(load_registry(), Store(tmp_path / "store"), Reporter(), None)
    runs = study.planned(planner, False).runs
    steps = unique_steps(runs)
    assert len(runs) == 121 * len(study.grid.task)
    expect_whole_plan(Counter(step.kind for step in steps))


@pytest.mark.slow
def test_a_dry_run_says_what_is_to_do(tmp_path):
    steps = bench_json("run", "--study", "kim-design", "--store", tmp_path / "store", "--dry-run")
    expect_whole_plan(Counter(step["kind"] for step in steps))
    assert {step["state"] for step in steps} == {"to do"}
    # Hand-made features have no weights.
    assert {step["title"] for step in steps if not step["bytes"]} == {
        f"initialise {name}, seed 0" for name in ("mfcc", "chroma")
    }
