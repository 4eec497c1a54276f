"""Studies whose runs are a table, as `bench design` proposes them: what is run, and what is carried to the analysis."""

from __future__ import annotations

import csv
import io

import pytest
from conftest import bench

from benchmark.cell import Cell
from benchmark.errors import UserError
from benchmark.plan.run_tables import carry
from benchmark.plan.studies import load_study

STUDY = """
name: sizes
runs: runs.csv
untrained: false
grid: {task: mtt, seed: [0, 1]}
"""
RUNS = """encoder,arguments,size,kind
mfcc,{coefficients: 5},5,cepstral
mfcc,"{coefficients: 5, sample_rate: 16000}",5,cepstral
chroma,,12,pitch
"""


@pytest.fixture
def study(tmp_path):
    (tmp_path / "x.yaml").write_text(STUDY)
    (tmp_path / "runs.csv").write_text(RUNS)
    return tmp_path / "x.yaml"


def test_a_table_of_runs_is_run_and_its_columns_are_analysed(study, mtt, tmp_path):
    store = ["--store", tmp_path / "s"]
    for more in (["--study", study], ["--encoder", "random", "--task", "mtt"]):
        result = bench("run", *more, "--data", mtt[0], *store)
        assert result.returncode == 0, result.stderr
    text = bench("store", "export", "-", "--study", study, *store).stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {(row["encoder"], row["seed"], row["size"], row["kind"]) for row in rows} == {
        (name, seed, size, kind)
        for seed in "01"
        for name, size, kind in (
            ("mfcc(coefficients=5)", "5", "cepstral"),
            ("mfcc(coefficients=5, sample_rate=16000)", "5", "cepstral"),
            ("chroma", "12", "pitch"),
        )
    }
    everything = bench("store", "export", "-", *store).stdout.splitlines()
    assert len(everything) == 1 + len(rows) + 1
    assert "kind" not in everything[0]
    told = bench("analyze", "--study", study, "--factor", "kind", "--where", "size * 2 > 6", *store)
    assert told.returncode == 0, told.stderr
    assert "cepstral" in told.stdout
    both = bench("analyze", tmp_path / "x.csv", "--study", study, *store)
    assert (both.returncode, "takes scores from the store; leave out" in both.stderr) == (2, True)


def test_rows_of_other_runs_are_left_out(study):
    asked = load_study(str(study))
    plain = {"recipe": "as-given", "corpus": "none", "protocol": "linear", "layer": "none", "labels": 1.0}
    plain |= {"draw": "clips", "shots": "none", "deform": "none", "limit": "none", "task": "mtt", "seed": 0}
    plain |= {"encoder": "chroma"}
    assert set(plain) == set(Cell.model_fields) - {
        "encoders",
        "sample_rate",
        "arguments",
        "recipe_name",
        "settings",
    } | {
        "encoder",
        "recipe",
    }
    others = [
        {"task": "gtzan"},
        {"seed": 2},
        {"labels": 0.1},
        {"layer": "conv"},
        {"encoder": "mfcc"},
        {"recipe": "tune"},
    ]
    rows = [plain, *({**plain, **other} for other in others)]
    assert carry(rows, asked.tabled, asked.untrained, "x") == [{**plain, "size": 12, "kind": "pitch"}]
    # A twin that was not trained is of the study only where the study says so.
    twins = [{**plain, "recipe": "demo", "corpus": "magnatagatune"}, {**plain, "recipe": "untrained"}]
    assert [row["recipe"] for row in carry(twins, asked.tabled, True, "x")] == ["demo", "untrained"]
    assert [row["recipe"] for row in carry(twins, asked.tabled, False, "x")] == ["demo"]
    with pytest.raises(UserError, match="study sizes: the store has none of its scores yet"):
        carry(rows[1:], asked.tabled, True, "study sizes")


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ("encoder,seed\nmfcc,0\n", "runs.csv:1: seed is a column here and stands in the study's grid too; say it once"),
        ("encoder,encoder\nmfcc,0\n", "runs.csv:1: column 'encoder' has no name of its own"),
        ("encoder,score\nmfcc,0\n", "runs.csv:1: tables of scores have a column score already"),
        ("encoder,labels\nmfcc,2\n", "runs.csv:2: labels: Input should be less than or equal to 1"),
        ("encoder\nmfcc,0\n", "runs.csv:2: 2 cells, where the first line has 1"),
        ("labels\n0.1\n", "runs.csv:2: encoder: Field required"),
        ("encoder,arguments\nmfcc,{a: [}\n", "runs.csv:2: arguments: "),
        ("encoder\n", "runs.csv: has 0 runs"),
        (None, "runs.csv: cannot be read: No such file or directory"),
    ],
)
def test_a_wrong_table_is_one_line(study, runs, said, tmp_path):
    table = tmp_path / "runs.csv"
    table.unlink() if runs is None else table.write_text(runs)
    result = bench("run", "--study", study, "--store", tmp_path / "s", "--dry-run")
    assert result.returncode == 2
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
