"""Tables as people have them: what is a name, what a number, and how any dialect of CSV is read."""

from __future__ import annotations

import csv
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import analysis
from analysis.commands import analyze
from analysis.options import AnalysisOptions
from analysis.tables import cells
from analysis.tables.long_tables import labels
from analysis.tables.writing import csv_text, write_csv

WORDS = ["01", "1", "010", "1e1", "1.0", "True", "False", "None", "none", "NA", "NaN", "null", "-", "=1+1", "'=x", "+1"]
WORDS += [
    "mert",
    "Mert",
    " mert",
    "a,b",
    "a;b",
    "a\tb",
    'say "x"',
    "it's",
    "Björk",
    "音",
    "two\nlines",
    "0,5",
    "1.234,5",
    "#1",
]
NAME = st.sampled_from(WORDS) | st.text("ab01.,;'\"=-+ eE\u00e9", min_size=1).filter(str.strip)
DECIMALS = {
    "point": ("", "."),
    "comma": ("", ","),
    "thousands": (",", "."),
    "dots": (".", ","),
    "gaps": ("\u202f", ","),
}


def read(folder, text, encoding="utf-8"):
    (folder / "t.csv").write_bytes(text.encode(encoding))
    return analysis.read_table(folder / "t.csv")


@st.composite
def files(draw):
    """A table as some program may write it, and what stands in it."""
    names = draw(st.lists(NAME, min_size=2, max_size=6))
    scores = [
        value / 10_000
        for value in draw(st.lists(st.integers(-99_999_999, 99_999_999), min_size=len(names), max_size=len(names)))
    ]
    between, point = DECIMALS[draw(st.sampled_from(sorted(DECIMALS)))]
    separator = draw(st.sampled_from(",;\t|"))
    written = [f"{score:,.4f}".replace(",", "_").replace(".", point).replace("_", between) for score in scores]
    header, rows = (
        ["encoder", "score", "seed"],
        [[name, text, str(i)] for i, (name, text) in enumerate(zip(names, written, strict=True))],
    )
    empty, trailing, index = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    if empty:
        header, rows = [*header, "remark"], [[*row, ""] for row in rows]
    if trailing:
        header, rows = [*header, ""], [[*row, ""] for row in rows]
    if index:
        header, rows = ["", *header], [[str(i), *row] for i, row in enumerate(rows)]
    text = io.StringIO()
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    writer = csv.writer(
        text, delimiter=separator, quoting=quoting, lineterminator=draw(st.sampled_from(["\n", "\r\n"]))
    )
    writer.writerows([header, *rows])
    if draw(st.booleans()):
        text.write(separator * (len(header) - 1) + "\n")  # a line of nothing
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    hint = f"sep={separator}\n" if draw(st.booleans()) else ""
    return hint + text.getvalue(), encoding, names, scores


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files())
def test_every_dialect_gives_the_same_table(tmp_path, made):
    text, encoding, names, scores = made
    table = read(tmp_path, text, encoding)
    assert list(table["encoder"]) == [cells.plain(name) for name in names]
    assert table["score"].tolist() == pytest.approx(scores, abs=1e-9)
    assert table["seed"].tolist() == list(range(len(names)))
    assert [column for column in table.columns if column != "remark"] == ["encoder", "score", "seed"]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(NAME, min_size=1, max_size=5), score=st.floats(-1e6, 1e6))
def test_what_is_exported_comes_back_and_is_no_formula(tmp_path, names, score):
    rows = [{"encoder": name, "score": score, "task": "t"} for name in names]
    frame = pd.DataFrame(rows)
    write_csv(frame, tmp_path / "frame.csv")
    for text in (csv_text(["encoder", "score", "task"], rows), (tmp_path / "frame.csv").read_text("utf-8")):
        first = [row[0] for row in csv.reader(io.StringIO(text, newline=""))]
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in first)
        table = read(tmp_path, text)
        assert list(table["encoder"]) == names
        assert table["score"].tolist() == [score] * len(names)


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1", "2", "10"], [1, 2, 10]),
        (["0.50", "0.5", "NaN", ""], [0.5, 0.5, np.nan, np.nan]),
        (["1e-05", "2.5e3"], [1e-5, 2500.0]),
        (["0,65", "1.234,5", "\u22122"], [0.65, 1234.5, -2.0]),
        (["1,234.5", "12"], [1234.5, 12.0]),
        (["1'234,5", "0,1"], [1234.5, 0.1]),
        (["True", "FALSE"], [True, False]),
    ],
)
def test_numbers_are_read_as_programs_and_people_write_them(texts, values):
    found = cells.values(texts)
    assert found.dtype != object
    assert found.tolist() == pytest.approx(values, nan_ok=True)


@pytest.mark.parametrize(
    "texts",
    [
        ["01", "1"],
        ["1e1", "10"],
        ["1.0", "1"],
        ["none", "1"],
        ["1,234"],
        ["0.5", "0,5"],
        ["12345678901234567", "1"],
        ["inf"],
        ["0x10"],
    ],
)
def test_what_could_be_a_name_stays_text(texts):
    assert cells.values(texts).tolist() == texts


def grid(names, seeds=2, tasks=("a", "b", "c", "d")):
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {
                "encoder": name,
                "task": task,
                "seed": seed,
                "score": round(0.5 + 0.1 * i + 0.01 * generator.standard_normal(), 4),
            }
            for i, name in enumerate(names)
            for task in tasks
            for seed in range(seeds)
        ]
    )


@pytest.mark.parametrize(
    "names", [["1", "01", "010"], ["mert", "None", "NA"], ["True", "1e1", "10"], ["1.0", "1", "null"]]
)
@pytest.mark.parametrize("column", ["encoder", "size"])
def test_levels_are_the_names_that_stand_in_the_file(tmp_path, names, column):
    grid(names).rename(columns={"encoder": column}).to_csv(tmp_path / "t.csv", index=False)
    result = analyze(tmp_path / "t.csv", AnalysisOptions(factor=column, bootstrap=0))
    assert sorted(result["table"]["levels"]) == sorted(names)
    best = max(result["fixed"].values(), key=lambda entry: entry["estimate"])
    assert best["level"] == names[-1]


def test_names_that_are_numbers_calculate_as_numbers_where_asked(tmp_path):
    table = grid(["01", "2", "10"])
    table.to_csv(tmp_path / "t.csv", index=False)
    read_back = analysis.read_table(tmp_path / "t.csv")
    assert labels(read_back, "encoder")[1] == ["01", "2", "10"]
    assert set(analysis.where(read_back, "encoder >= 2")["encoder"]) == {"2", "10"}
    assert set(analysis.where(read_back, "encoder == '01'")["encoder"]) == {"01"}
    assert set(analysis.where(read_back, "encoder in [1, 10]")["encoder"]) == {"01", "10"}
    assert analysis.derive(read_back, ["twice = 2 * encoder"])["twice"].max() == 20.0
    flags = read_back.assign(flag=pd.Series(["True", "False"] * 12, dtype=object))
    assert len(analysis.where(flags, "flag == True")) == 12


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("encoder;score\na;0,5\nb;0,6;0,7\n", "line 3 has 3 fields where the header has 2 (fields are separated by"),
        ("encoder,task,score\na,b,1\n\na,b\n", "line 4 has 2 fields where the header has 3"),
        ("a,b\n1,2\n".encode("utf-16-le"), "holds bytes that are no text"),
        ("encoder,score\nBj\u00f6rk,1\n".encode("cp1252"), "line 2 is not UTF-8 text"),
        ('a,b\n"x,1\n', "near line"),
        ("a,a\n1,2\n", "column 'a' appears twice"),
        ("", "no rows"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_read_say_where_and_why(tmp_path, text, message):
    (tmp_path / "t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(analysis.AnalysisError) as raised:
        analysis.read_table(tmp_path / "t.csv")
    assert message in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("encoder;seed;mtt;gtzan\nmert;0;0,9;0,7\n", "melt(['encoder', 'seed'], var_name='task', value_name='score')"),
        ("task,seed,mert,clmr\nmtt,0,0.9,0.8\n", "melt(['task', 'seed'], var_name='encoder', value_name='score')"),
        ("encoder,corpus,mtt,gtzan\nmert,a,0.9,0.7\n", "melt(['encoder', 'corpus'], var_name='task'"),
        ("encoder task score\nmert mtt 0.9\n", "has one column, 'encoder task score': fields are separated by commas"),
        ("mert,mtt,0,0.9\nclmr,mtt,0,0.8\n", "the first line must name the columns, and has '0'"),
        ("encoder,task,scores\nmert,mtt,0.9\n", "Did you mean 'scores'?"),
        ("encoder,task,score\nmert,mtt,\"1,234\"\nmert,mtt,\"5,678\"\n", "write 1.234 or 1234"),
        ("encoder,task,score\nmert,mtt,\"0,5\"\nmert,mtt,0.6\n", "decimal points and others with decimal commas"),
    ],
)  # fmt: skip
def test_tables_of_another_shape_say_what_they_are(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(analysis.AnalysisError) as raised:
        analyze(tmp_path / "t.csv", AnalysisOptions(bootstrap=0))
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_what_is_proposed_for_a_wide_table_makes_a_long_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    long = grid(["01", "x", "y"], seeds=1)
    wide = long.pivot_table(index=["encoder", "seed"], columns="task", values="score").reset_index()
    wide.to_csv("wide.csv", index=False, sep=";", decimal=",")
    with pytest.raises(analysis.AnalysisError) as raised:
        analyze("wide.csv", AnalysisOptions(bootstrap=0))
    exec(str(raised.value).partition("Python makes it: ")[2])
    found = analyze("long.csv", AnalysisOptions(bootstrap=0))
    assert found["fixed"] == analyze(found_order(long), AnalysisOptions(bootstrap=0))["fixed"]


@pytest.mark.parametrize("rows", ["encoder", "task"])
def test_a_wide_table_that_can_mean_one_thing_is_read_as_it_is(tmp_path, rows):
    long = grid(["01", "x", "y"], seeds=1)
    long = long[~((long.encoder == "x") & (long.task == "b"))]
    columns = "task" if rows == "encoder" else "encoder"
    wide = long.pivot_table(index=rows, columns=columns, values="score").reset_index()
    wide.to_csv(tmp_path / "wide.csv", index=False, sep=";", decimal=",")
    found = analyze(tmp_path / "wide.csv", AnalysisOptions(bootstrap=0))
    plain = analyze(long.drop(columns="seed"), AnalysisOptions(bootstrap=0))
    for name, entry in plain["fixed"].items():
        assert found["fixed"][name]["estimate"] == pytest.approx(entry["estimate"], abs=1e-9)
    assert found["table"]["rows"] == plain["table"]["rows"] and found["model"]["factor"] == "encoder"
    told = [text for text in found["notes"] if "wide table" in text]
    assert len(told) == 1 and told[0].startswith(f"wide.csv is a wide table: each row was read as one {rows}, and each")
    assert told[0].endswith(f"as the scores of one {columns}.")
    assert sum(entry["text"] == told[0] for entry in found["summary"]) == 1


def test_a_wide_table_of_anything_is_compared_by_its_first_column(tmp_path):
    wide = grid(["a", "b", "c"], seeds=1).pivot_table(index="encoder", columns="task", values="score").reset_index()
    wide = wide.rename(columns={"encoder": "system"})
    found = analyze(wide, AnalysisOptions(bootstrap=0, where="task != 'a'"))
    assert (found["model"]["factor"], found["table"]["levels"]) == ("system", ["a", "b", "c"])
    assert found["table"]["tasks"] == wide.shape[1] - 2
    with pytest.raises(analysis.AnalysisError, match="Python makes it"):
        analyze(wide, AnalysisOptions(bootstrap=0, factor="encoder"))


def found_order(long):
    """Rows as melting gives them: by task, then by encoder."""
    return long.sort_values(["task", "encoder"]).reset_index(drop=True)


def test_designs_keep_names_too(tmp_path):
    from analysis.commands import design
    from analysis.options import DesignOptions

    result = design(DesignOptions(["encoder=01,1,1e1", "seed=0,1"], runs=6), output=tmp_path, figures=False)
    assert {run["encoder"] for run in result["design"]["runs"]} == {"01", "1", "1e1"}
    again = design(DesignOptions(["encoder=01,1,1e1", "seed=0,1"], start=tmp_path / "runs.csv", runs=0))
    assert again["design"]["start"] == 6 and again["design"]["worst_alias"]["value"] == pytest.approx(0.0, abs=1e-9)
