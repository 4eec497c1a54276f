"""Few clips of each class: a factor that is stated once, and reaches whatever speaks of runs."""

from __future__ import annotations

import csv
import json

import pytest
from conftest import bench, bench_json
from test_keys import REGISTRY, music

from analysis.study import _CONDITIONS
from benchmark.cell import Cell
from benchmark.factors import COLUMNS, FACTORS, PLAIN


def test_shots_reach_records_tables_studies_and_the_commands_of_a_report(tmp_path):
    music(tmp_path / "sounds", [number % 2 for number in range(24)])
    (tmp_path / "own.yaml").write_text(REGISTRY)
    places = ("--store", tmp_path / "store", "--registry", tmp_path / "own.yaml")
    names = ("run", "--encoder", "mfcc", "--task", "sort", "--protocol", "quick", *places)
    few, more = bench_json(*names, "--shots", "1,3")
    assert [record["shots"] for record in (few, more)] == [1, 3]
    # Of two classes, in eight training clips.
    assert [record["selection"]["train_clips"] for record in (few, more)] == [2, 6]
    (whole,) = bench_json(*names)
    assert whole["shots"] is None
    assert whole["selection"]["train_clips"] == 8
    assert len({json.dumps(record["steps"][-2]["key"]) for record in (few, more, whole)}) == 3

    exported = bench("store", "export", "-", "--store", tmp_path / "store").stdout
    assert sorted(row["shots"] for row in csv.DictReader(exported.splitlines())) == ["1", "3", "none"]
    table = bench(*names, "--shots", "3").stdout
    assert "shots" in table.splitlines()[3]
    (tmp_path / "study.yaml").write_text(
        "name: few\ngrid: {encoder: mfcc, task: sort, protocol: quick, shots: [1, 3]}\nexclude: [{shots: 1}]\n"
    )
    (kept,) = bench_json("run", "--study", tmp_path / "study.yaml", *places)
    assert (kept["shots"], kept["metrics"]) == (3, more["metrics"])
    page = bench(
        "report", "--store", tmp_path / "store", "--registry", tmp_path / "own.yaml", "-o", tmp_path / "r.html"
    )
    assert page.returncode == 0, page.stderr
    assert "--shots 3" in (tmp_path / "r.html").read_text()
    # Lines of an analysis are of all training clips unless they name the column.
    told = bench("analyze", "--store", tmp_path / "store", "--bootstrap", 0).stderr
    assert "2 scores are left out, for their shots is not none" in told

    wrong = bench(*names, "--shots", "0")
    assert wrong.returncode == 2
    assert "--shots 0: " in wrong.stderr
    supervised = bench(
        "run", "--encoder", "tune_plus", "--task", "sort", "--recipe", "supervised", "--shots", "2", *places
    )
    assert "--shots: recipe supervised is scored by its own head" in supervised.stderr


def test_every_factor_has_a_field_and_every_field_is_a_factor():
    assert list(FACTORS) == list(Cell.model_fields)
    plain = {"encoders": ("a",), "corpus": "c", "recipe_name": "r", "protocol": "p", "task": "t", "seed": 0}
    cell = Cell(**plain)
    assert cell.departures() == {}
    assert set(cell.columns()) == set(COLUMNS)
    # The rooms know nothing of one another: what an analysis of anyone's table asks of scores that it would pool.
    assert set(PLAIN) <= set(_CONDITIONS)


@pytest.mark.parametrize(
    ("option", "text", "must"),
    [("--labels", "0.1,2", "fractions of the training labels"), ("--shots", "1,few", "clips of each class")],
)
def test_a_list_of_levels_is_refused_by_what_its_levels_are(option, text, must):
    done = bench("run", "--encoder", "mfcc", "--task", "gtzan", option, text, "--dry-run")
    assert done.returncode == 2
    assert f"{option} {text}: " in done.stderr
    assert f"must be {must}, separated by commas" in " ".join(done.stderr.split())
