"""Tables of `bench report` for papers and programs: well-formed, safe to open, and of one mind with the records."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess

import pytest
from report_store import everything, fill, grid, make_record

from analysis.report import render
from analysis.report.groups import form_groups, over_seeds
from analysis.report.leaderboard import TRAINED_ONCE
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
    return [[line[4:].removesuffix(r" \\").split(" & ") for line in table] for table in lines]


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
    assert r"tune\_plus$^{\S}$ & tune on magnatagatune & linear & \textbf{0.800} & \textbf{0.700} \\" in text
    assert r"b\&b$^{\S}$ & tune on magnatagatune & linear & 0.790$^*$ & 0.690$^*$ \\" in text
    assert r"c$^{\S}$ & tune on magnatagatune & linear & 0.500 & 0.400 \\" in text
    assert r"Constant &  &  & 0.100 & 0.100 \\" in text
    for command in ("toprule", "midrule", "bottomrule", "begin{tabular}{lllrr}", "end{table}"):
        assert f"\\{command}" in text


def test_markdown_marks_the_best(tmp_path):
    records = [make_record(name, "gtzan", 0, score=value) for name, value in {"a": 0.8, "b": 0.3}.items()]
    text = render(document_of(tmp_path, records), "md")
    assert "| a § | tune on magnatagatune | linear | **0.800** \\[0.780, 0.820\\] |" in text
    assert "## gtzan (real data)" in text


def test_what_was_trained_once_is_marked_in_every_form(tmp_path):
    records = [
        *grid(["twice"], ["gtzan", "emotion"], [0, 1]),
        *grid(["once"], ["gtzan", "emotion"], [0]),
        *grid(["heard"], ["gtzan", "emotion"], [0], overlap=3),
        # Given weights and hand-made features are the same whatever the seed.
        *[record.model_copy(update={"weights_sha256": "0"}) for record in grid(["mfcc"], ["gtzan", "emotion"], [0, 1],
                                                                               recipe="as-given")],
    ]  # fmt: skip
    document = document_of(tmp_path, records)
    marked = {"once", "heard"}
    for row in csv.DictReader(io.StringIO(render(document, "csv"))):
        assert row["trained_once"] == str(row["representation"] in marked)
    assert {
        row["encoder"] for row in json.loads(render(document, "json"))["leaderboards"] if row["trained_once"]
    } == marked
    latex = render(document, "latex")
    first = {row[0] for table in latex_rows(latex) for row in table[1:-1]}
    assert first - {"", r"heard$^{\S}$"} == {"twice", r"once$^{\S}$", r"heard$^{\dagger\S}$", "mfcc"}
    assert latex.count(r"$^\S$ trained once, so the luck of training is in no interval or test.") == 3
    text = render(document, "md")
    assert re.findall(r"^\| (\w+)[^|]*§ \|", text, re.MULTILINE) == ["once", "heard"] * 2
    assert text.count(f"§: {TRAINED_ONCE}") == 1
    page = render(document, "html")
    board = re.search(r'<article data-task="gtzan".*?</article>', page, re.DOTALL)[0]
    cells = dict(re.findall(r'<th scope="row">(\w+)(.*?)</th>', board))
    assert {name for name, rest in cells.items() if '<span title="trained once">§</span>' in rest} == marked
    heat = re.search(r'<section id="heatmap".*?</section>', page, re.DOTALL)[0]
    assert set(re.findall(r'<th scope="row">(\w+) <span title="trained once">', heat)) == marked
    findings = re.search(r'<section id="findings">.*?</section>', page, re.DOTALL)[0]
    assert set(re.findall(r'<th scope="row">(\w+) <span title="trained once">', findings)) == {"once"}
    # What was pretrained on test clips has no part in what holds over tasks.
    assert "Left out on tasks whose test clips they were pretrained on: heard." in findings
    assert page.count(f'<p class="note">§ {TRAINED_ONCE}</p>') == 2
    assert page.count(f"§ {TRAINED_ONCE}") == 3


def test_nothing_is_marked_where_all_were_trained_twice(document):
    assert "§" not in render(document, "html")
    assert r"\S" not in render(document, "latex").split(r"\begin{table}", 1)[1]


def test_rough_intervals_say_why(tmp_path):
    records = []
    for record in grid(["a", "b"], ["gtzan"], [0, 1]):
        why = "24 clips, where 200 are needed" if record.encoder == "b" else ""
        score = record.metrics["macro_f1"].model_copy(update={"rough": why})
        records.append(record.model_copy(update={"metrics": {**record.metrics, "macro_f1": score}}))
    document = document_of(tmp_path, records)
    rough = {
        (row["encoder"], row["metric"]): row["rough"] for row in csv.DictReader(io.StringIO(render(document, "csv")))
    }
    assert {pair for pair, why in rough.items() if why} == {("b", "macro_f1")}
    page, title = render(document, "html"), document["metrics"]["macro_f1"]
    assert page.count('<abbr title="24 clips, where 200 are needed">rough</abbr>') == 1
    told = f"Intervals of {title} are rough: 24 clips, where 200 are needed."
    assert page.count(told) == render(document, "md").count(told) == 1


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
    assert text.count(r"\begin{") == text.count(r"\end{") == 6
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    bare = re.sub(r"\\[\\{}%$#&_]", "", body)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not re.search(r"[#%~]", bare)
    assert not re.search(r"\\\\\s*[\[*]", body)
    for table in latex_rows(text):
        assert len({len(row) for row in table}) == 1
        words = 1 if table[0][0] == "Representation" else 3
        assert f"{{{'l' * words + 'r' * (len(table[0]) - words)}}}" in text
    assert "$-$0.250" in text


def test_one_latex_table_holds_every_representation_and_task(document):
    text = render(document, "latex")
    table = latex_rows(text)[0]
    groups = form_groups(document["runs"])
    assert table[0] == ["Representation", *(group.label for group in groups)]
    (row,) = (i for i, cells in enumerate(table) if cells[0] == "mfcc")
    for place, group in enumerate(groups, 1):
        value = over_seeds([run for run in group.main if run["encoder"] == "mfcc"], group.lead)
        assert table[row][place].startswith((f"{value.mean:.3f}", rf"\textbf{{{value.mean:.3f}}}"))
        assert table[row][place].endswith(rf"{{\scriptsize $\pm$ {value.sd:.3f}}}")
        assert table[row + 1][place].strip() == rf"{{\scriptsize [{value.lower:.3f}, {value.upper:.3f}]}}"
    caption = re.search(r"\\caption\{(.*)\}\n  \\label\{(.*)\}", text)
    assert "$n$ = emotion 300, gtzan 300, key 300, mtt 300 test clips, 2 seeds" in caption[1]
    assert caption[2] == "tab:representations-real"
    labels = re.findall(r"\\label\{(.*?)\}", text)
    assert len(labels) == len(set(labels)) == text.count(r"\caption")


def test_what_heard_the_test_clips_is_never_bold_in_it(tmp_path):
    records = [*grid(["a"], ["gtzan", "key"], [0, 1], score=0.5), *grid(["b"], ["gtzan", "key"], [0, 1], score=0.4)]
    records += grid(["heard"], ["gtzan", "key"], [0, 1], score=0.9, overlap=3)
    table = latex_rows(render(document_of(tmp_path, records), "latex"))[0]
    bold = {cells[0] for cells in table if any("textbf" in cell for cell in cells)}
    assert bold == {"a"}
    (heard,) = (cells for cells in table if cells[0].startswith("heard"))
    assert table.index(heard) > max(i for i, cells in enumerate(table) if cells[0] in ("a", "b"))
    assert all(r"$^{\dagger}$" in cell for cell in heard[1:])


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex: texlive-latex-recommended")
def test_the_tables_compile(document, tmp_path):
    records = [*grid(["f_g%h$i#j&k~l^m", "[0] *a"], ["gtzan", "emotion"], [0], score=-0.25, overlap=2)]
    strange = render(document_of(tmp_path, records), "latex")
    for name, tables in (("plain", render(document, "latex")), ("strange", strange)):
        source = tmp_path / f"{name}.tex"
        source.write_text(
            "\\documentclass[twocolumn]{article}\n\\usepackage[utf8]{inputenc}\n\\usepackage{booktabs}\n"
            f"\\begin{{document}}\n{tables}\nSee Table~\\ref{{tab:representations-real}}.\n\\end{{document}}\n",
            encoding="utf-8",
        )
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", source.name]
        for _ in range(2):
            result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
            assert result.returncode == 0, result.stdout[-1500:]
        assert "undefined" not in result.stdout
        assert "multiply defined" not in result.stdout


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
