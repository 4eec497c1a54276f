"""Tables of `bench report` for papers and programs: well-formed, safe to open, and of one mind with the records."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from report_store import everything, fill, grid, make_record

from analysis.report import render
from analysis.report.groups import over_seeds
from benchmark.registry.registry import load_registry
from benchmark.report.contents import collect


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    return collect(fill(tmp_path_factory.mktemp("tables") / "store", everything()), load_registry())


def document_of(tmp_path, records):
    return collect(fill(tmp_path / "store", records), load_registry())


def latex_rows(text):
    """Cells of every table, a list of rows each."""
    tables = re.findall(r"\\toprule\n(.*?)\\bottomrule", text, re.DOTALL)
    lines = [[line for line in table.splitlines() if line.endswith(r" \\")] for table in tables]
    return [[line.strip().removesuffix(r"\\").split(" & ") for line in table] for table in lines]


def test_csv_and_json_agree_with_the_records(document):
    rows = list(csv.DictReader(io.StringIO(render(document, "csv"))))
    whole = json.loads(render(document, "json"))
    assert len(rows) == len(whole["leaderboards"])
    for row in rows:
        assert row["data"] == "real"
        runs = [
            run for run in document["runs"]
            if (run["task"], run["encoder"], run["protocol"]) == (row["task"], row["encoder"], row["protocol"])
            and row["pretraining"] == (f"{run['recipe']} on {run['corpus']}" if run["corpus"] else run["recipe"])
            and run["layer"] is None and run["labels"] == 1 and run["deform"] is None
        ]  # fmt: skip
        assert float(row["score"]) == pytest.approx(over_seeds(runs, row["metric"]).mean)
    assert sum(row["best"] == "True" for row in rows) == 9
    assert whole["over_tasks"]["real"]["analysis"]["kind"] == "analysis"


def test_latex_is_booktabs_with_best_and_ties(tmp_path):
    scores = {"tune_plus": 0.80, "b&b": 0.79, "c": 0.50}
    records = [make_record(name, "gtzan", 0, score=value) for name, value in scores.items()]
    text = render(document_of(tmp_path, records), "latex")
    assert r"tune\_plus & tune on magnatagatune & linear & \textbf{0.800} & \textbf{0.700} \\" in text
    assert r"b\&b & tune on magnatagatune & linear & 0.790$^*$ & 0.690$^*$ \\" in text
    assert r"c & tune on magnatagatune & linear & 0.500 & 0.400 \\" in text
    assert r"Constant &  &  & 0.100 & 0.100 \\" in text
    for command in ("toprule", "midrule", "bottomrule", "begin{tabular}{lllrr}", "end{table}"):
        assert f"\\{command}" in text


def test_markdown_marks_the_best(tmp_path):
    records = [make_record(name, "gtzan", 0, score=value) for name, value in {"a": 0.8, "b": 0.3}.items()]
    text = render(document_of(tmp_path, records), "md")
    assert "| a | tune on magnatagatune | linear | **0.800** \\[0.780, 0.820\\] |" in text
    assert "## gtzan (real data)" in text


def test_all_forms_hold_the_same_scores(document):
    rows = list(csv.DictReader(io.StringIO(render(document, "csv"))))
    whole = json.loads(render(document, "json"))["leaderboards"]
    assert [float(row["score"]) for row in rows] == [row["score"] for row in whole]
    shown = sorted(f"{float(row['score']):.3f}" for row in rows)
    text = render(document, "md").split("## Transfer")[0]
    cells = [cell.strip() for line in text.splitlines() if line.startswith("|") for cell in line.split("|")]
    assert sorted(re.findall(r"\d\.\d{3}", " ".join(cell.split(r"\[")[0] for cell in cells if r"\[" in cell))) == shown
    tables = [table for table in latex_rows(render(document, "latex")) if table[0][0] == "Encoder"]
    scores = " ".join(cell for table in tables for row in table[1:-1] for cell in row[3:])
    assert sorted(re.findall(r"\d\.\d{3}", scores)) == shown
    assert scores.count(r"\textbf") == sum(row["best"] for row in whole)
    assert scores.count("$^*$") == sum(row["tied"] for row in whole)


def test_latex_is_balanced_whatever_the_names(tmp_path):
    names = ["[0] a", "*b", r"c\d{e}", "f_g%h$i#j&k~l^m", "=cmd()", "n\no"]
    text = render(document_of(tmp_path, grid(names, ["gtzan", "emotion"], [0], score=-0.25)), "latex")
    assert text.count(r"\begin{") == text.count(r"\end{") == 4
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    bare = re.sub(r"\\[\\{}%$#&_]", "", body)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not re.search(r"[#%~]", bare)
    assert not re.search(r"\\\\\s*[\[*]", body)
    for table in latex_rows(text):
        assert len({len(row) for row in table}) == 1
        columns = len(table[0])
        assert f"{{{'lll' + 'r' * (columns - 3)}}}" in text
    assert "$-$0.250" in text


def test_names_are_no_formulas_for_a_spreadsheet(tmp_path):
    names = ["=cmd()", "+1", "-1", "@a", "a=b"]
    rows = list(csv.DictReader(io.StringIO(render(document_of(tmp_path, grid(names, ["gtzan"], [0])), "csv"))))
    assert {row["encoder"] for row in rows} == {"'=cmd()", "'+1", "'-1", "'@a", "a=b"}


def test_transfer_tables_say_which_data(tmp_path):
    records = [
        *grid(["a", "b"], ["mtt"], [0], data="stand-in"),
        *grid(["a"], ["mtt"], [0], data="stand-in", corpus="x"),
    ]
    document = document_of(tmp_path, records)
    assert "## Transfer to mtt (stand-in: synthetic audio, not comparable with published scores)" in render(
        document, "md"
    )
    assert "Transfer to mtt (stand-in: synthetic audio" in render(document, "latex")
