"""The analysis through the command line, against lme4's values and on the scores of a store."""

import json
from pathlib import Path

import pytest
from analysis_tables import DERIVE, grid
from conftest import bench

from benchmark.errors import UserError
from benchmark.scores.long_table import long_table
from benchmark.scores.records import ScoreRecord

GOLDEN = Path(__file__).parent / "golden" / "multisource"


def test_analyze_agrees_with_lme4(tmp_path):
    want = json.loads((GOLDEN / "small_grid_lme4.json").read_text())["factor"]
    arguments = ["analyze", GOLDEN / "small_grid.csv", "--tasks", "centred"]
    result = bench(*arguments, "--bootstrap", 20, "-o", tmp_path / "out", "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["reml"] == pytest.approx(want["reml"], abs=1e-5)
    assert [f["estimate"] for f in found["fixed"].values()] == pytest.approx(want["estimate"], abs=1e-4)
    assert found["residual_sd"]["estimate"] == pytest.approx(want["residual_sd"], abs=1e-4)
    assert (tmp_path / "out" / "analysis.json").exists()
    assert (tmp_path / "out" / "effects.png").stat().st_size > 5_000
    told = bench(*arguments, "--bootstrap", 0)
    assert told.returncode == 0
    assert "SD" in told.stdout


def test_the_study_of_the_paper_runs_as_documented():
    derive = [part for text in DERIVE for part in ("--derive", text)]
    result = bench(
        *("analyze", GOLDEN / "scores_A.csv", "--model", "ordinal", "--score", "score", "--group", "dataset"),
        *("--covariate", "n_star", "--size", "r_star", *derive, "--tasks", "centred"),
        *("--bootstrap", 0, "--seed", 0, "--json"),
    )
    assert result.returncode == 0, result.stderr
    want = json.loads((GOLDEN / "lme4_A.json").read_text())["model2"]
    assert json.loads(result.stdout)["reml"] == pytest.approx(want["reml_criterion"], abs=1e-5)


def test_design_and_its_size(tmp_path):
    found = json.loads(bench("design", "--factor", "a=0,1", "--factor", "b=x,y,z", "--runs", 6, "--json").stdout)
    assert len({tuple(run.items()) for run in found["design"]["runs"]}) == 6
    assert found["design"]["unbalance"] == 0
    assert bench("analyze", GOLDEN / "small_grid.csv", "--bootstrap", 0, "-o", tmp_path).returncode == 0
    told = bench("design", "--analysis", tmp_path / "analysis.json", "--difference", 0.5, "--levels", "e0,e3")
    assert "adjusted for all 6 pairs (Holm), is below 0.05 where two of 4 levels truly differ by 0.5 SD" in told.stdout
    assert "To tell e0 from e3 needs " in told.stdout


def test_speed_is_measured_beside_statsmodels():
    result = bench("speed", "analysis", "--bootstrap", 50, "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["analysis"]["rows"] == 2_975
    assert "fit_s" in found["analysis"] and "fit_s" in found["statsmodels"]
    assert found["analysis"]["reml"] <= found["statsmodels"]["reml"] + 1e-5


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["analyze", "nowhere.csv"], "nowhere.csv: no such file"),
        (["analyze", str(GOLDEN / "small_grid.csv"), "--factor", "encodr"], "encodr"),
        (["design"], "nothing to design"),
        (["analyze", "--store", "{tmp}"], "holds no score record"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, arguments, expected):
    result = bench(*(argument.replace("{tmp}", str(tmp_path)) for argument in arguments), cwd=tmp_path)
    assert result.returncode == 2
    assert len(result.stderr.strip().split("\n")) == 1
    assert expected in result.stderr


def record(row, data="real", **changes):
    score = {"value": row.score, "lower": 0, "upper": 1, "level": 0.95, "replicates": 10, "floor": 0.5}
    score |= {"n_labels": 1, "n_clips": 9}
    return ScoreRecord.model_validate(
        {
            "encoders": [row.encoder], "corpus": None, "recipe_name": "as-given", "task": row.task,
            "protocol": "linear", "seed": row.seed, "data": data,
            "metrics": {"roc_auc": {**score, "per_label": {}}}, "unscored_labels": [],
            "n_expected": {"test": 9}, "n_scored": {"test": 9}, "test_clips_lost": {}, "fingerprint": row.task,
            "overlap": {"clips": 0, "recordings": 0, "artists": 0}, "selection": {}, "pretraining": None, "spec": {},
            "weights_sha256": "", "parameters": 1, "dim": 1, "steps": [], "versions": {}, "finished": "",
            **changes,
        }
    )  # fmt: skip


def test_the_scores_of_a_store_are_analysed(tmp_path):
    table = grid(3, 5, 2, rng=1, step=2.0)
    for number, row in enumerate(table.itertuples()):
        folder = tmp_path / "artifacts" / "score" / f"{number:03}"
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(record(row).model_dump_json())
    rows = long_table(tmp_path)
    assert [row["score"] for row in rows] == table.score.tolist()
    assert rows[0]["n"] == 9
    assert rows[0]["standin"] is False
    with pytest.raises(UserError, match="unknown metric in .* 'nope'. There are: roc_auc"):
        long_table(tmp_path, "nope")
    found = json.loads(bench("analyze", "--store", tmp_path, "--bootstrap", 0, "--json").stdout)
    assert found["table"]["rows"] == len(table)
    from analysis.commands import analyze
    from analysis.options import AnalysisOptions

    # Encoders as given have no luck of training, whatever the seed of their probes.
    assert {row["run"] for row in rows} == {""} and found["table"]["trained_once"] == []
    assert found["fixed"] == analyze(table, AnalysisOptions(bootstrap=0, run="none"))["fixed"]
    trained = record(row, recipe_name="tune", corpus="c", weights_sha256="0123456789abcdef" * 4)
    (tmp_path / "artifacts" / "score" / "000" / "record.json").write_text(trained.model_dump_json())
    assert {row["run"] for row in long_table(tmp_path)} == {"", "0123456789abcdef"}
    (tmp_path / "artifacts" / "score" / "000" / "record.json").write_text(record(row, "stand-in").model_dump_json())
    mixed = bench("analyze", "--store", tmp_path, "--bootstrap", 0)
    assert mixed.returncode == 2
    assert "stand-in" in mixed.stderr


def test_scores_of_other_things_are_not_pooled(tmp_path):
    table = grid(3, 5, 2, rng=1, step=2.0)
    variants = [
        {},
        {"recipe_name": "untrained"},
        {"labels": 0.1},
        {"deform": "noise=10"},
        {"layer": "tail_1"},
        {"protocol": "jukemir"},
    ]
    number = 0
    for change in variants:
        for row in table.itertuples():
            worse = row._replace(score=row.score - 0.3 * (bool(change) and row.encoder == table.encoder[0]))
            folder = tmp_path / "artifacts" / "score" / f"{number:03}"
            folder.mkdir(parents=True)
            (folder / "record.json").write_text(record(worse, **change).model_dump_json())
            number += 1

    def analyse(*words):
        result = bench("analyze", "--store", tmp_path, "--bootstrap", 0, "--json", *words)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout), result.stderr

    found, said = analyse()
    assert found["table"]["rows"] == 3 * len(table)
    for column in ("layer", "labels", "deform"):
        assert f"{len(table)} scores are left out, for their {column} is not" in said
    pooled = "Scores of one {} on one task that differ in {} count as repeats of it"
    assert any(note.startswith(pooled.format("representation", "protocol")) for note in found["notes"])
    assert set(found["table"]["levels"]) == {
        f"{encoder} \u00b7 {recipe}" for encoder in set(table.encoder) for recipe in ("as-given", "untrained")
    }
    from analysis.commands import analyze
    from analysis.options import AnalysisOptions

    plain, said = analyse("--where", "protocol == 'linear' and recipe == 'as-given'", "--factor", "encoder")
    assert not any("count as repeats" in note for note in plain["notes"])
    assert plain["fixed"] == analyze(table, AnalysisOptions(bootstrap=0, run="none"))["fixed"]
    # What is left out is judged among what --where keeps.
    found, said = analyse("--where", "deform == 'noise=10'", "--factor", "encoder")
    assert found["table"]["rows"] == len(table)
    assert "are left out" not in said
    found, said = analyse("--factor", "labels")
    assert set(found["table"]["levels"]) == {"0.1", "1"}
    assert "their labels" not in said
    # The same from the table as a file.
    assert bench("store", "export", tmp_path / "scores.csv", "--store", tmp_path).returncode == 0
    words = ("--where", "labels == 1 and deform == 'none' and layer == 'none'", "--bootstrap", 0, "--json")
    table = json.loads(bench("analyze", tmp_path / "scores.csv", *words).stdout)
    assert table["fixed"] == analyse()[0]["fixed"]
    table = json.loads(bench("analyze", tmp_path / "scores.csv", "--factor", "encoder", *words).stdout)
    assert any(note.startswith(pooled.format("encoder", "recipe and protocol")) for note in table["notes"])
