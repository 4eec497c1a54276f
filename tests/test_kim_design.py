"""Kim et al.'s design as a study: its 425 runs are the design's rows, and its table carries what the models need."""

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
ENCODERS = {"MS-SR@FC": "kim_ms_fc", "MS-CR@6": "kim_ms_6", "MS-CR@4": "kim_ms_4", "MS-CR@2": "kim_ms_2"}
#: Targets, of which arousal and valence have clips in common.
TASKS, DATASETS = 7, 6


@pytest.fixture(scope="module")
def study():
    return load_study("kim-design")


def test_the_demo_is_drawn_from_the_design(study):
    """Its subsets begin as the study's do, and its networks of one source are those of MSS-CR."""
    demo = load_study("kim-demo")
    runs, whole = ([run for run in one.tabled if run.grid.protocol == ("kim",)] for one in (demo, study))
    assert [subset(run.carried) for run in runs[-40:]] == [subset(run.carried) for run in whole[73:113]]
    assert Counter(map(subset, (run.carried for run in runs[:21]))) <= Counter(subset(run.carried) for run in whole)
    assert len(runs) == 61
    assert {run.grid.seed for run in runs} == {(0,), (1,)}
    counts = {strategy: {run.carried["n_sources"] for run in runs if run.carried["strategy"] == strategy}
              for strategy in ("SS-R", *ENCODERS, "MSS-CR")}  # fmt: skip
    assert counts.pop("SS-R") == {1}
    assert all(len(numbers) > 2 for numbers in counts.values())


@pytest.fixture(scope="module")
def plan(study, tmp_path_factory):
    planner = Planner(load_registry(), Store(tmp_path_factory.mktemp("kim") / "store"), Reporter(), None)
    return study.planned(planner, False)


def subset(row):
    return row["strategy"], tuple(source for source in SOURCES if int(row[source]))


def test_every_run_is_a_row_of_the_design(study):
    with DESIGN.open() as file:
        rows = list(csv.DictReader(file))
    runs = [run for run in study.tabled if run.grid.protocol == ("kim",)]
    assert {run.grid.task for run in runs} == {("gtzan-all", "fma-medium", "irmas", "arousal", "valence")}
    assert Counter(subset(run.carried) for run in runs) == Counter(map(subset, rows))
    assert len(runs) == len({(run.grid.encoder, str(run.grid.arguments), run.grid.seed) for run in runs}) == 425
    for run in runs:
        (encoder,), (arguments,) = run.grid.encoder, run.grid.of("arguments")
        strategy, sources = subset(run.carried)
        assert run.carried["n_sources"] == len(sources)
        if strategy in ENCODERS:
            assert (encoder, arguments) == (ENCODERS[strategy], {"sources": sources})
        else:
            assert (encoder, arguments) == ("+".join(f"kim_ss_{source}" for source in sources), {})


def test_no_seed_is_behind_all_of_a_strategy(study):
    for strategy in {run.carried["strategy"] for run in study.tabled}:
        seeds = Counter(run.grid.seed for run in study.tabled if run.carried["strategy"] == strategy)
        assert len(seeds) == 6
        assert max(seeds.values()) - min(seeds.values()) <= 3


def test_the_plan_is_whole_and_shares_what_it_can(plan):
    assert not plan.lost
    assert len(plan.runs) == 425 * TASKS
    kinds = Counter(step.kind for step in unique_steps(plan.runs))
    # Networks of one source are shared by SS-R and MSS-CR: 8 of 6 seeds. The other 304 runs each train their own.
    assert kinds["pretrain"] == 48 + 304
    # Sources are reduced once.
    assert kinds["label_source"] == len(SOURCES)
    assert kinds["embed"] == (48 + 304) * DATASETS
    assert kinds["probe"] == kinds["score"] == 425 * TASKS
    assert kinds["prepare"] == DATASETS + 1


@pytest.mark.slow
def test_a_dry_run_says_what_is_to_do(tmp_path):
    steps = bench_json("run", "--study", "kim-design", "--store", tmp_path / "store", "--dry-run")
    assert Counter(step["kind"] for step in steps)["pretrain"] == 352
    assert {step["state"] for step in steps} == {"to do"}
