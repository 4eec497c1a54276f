"""The commands end to end: files, sentences against numbers, documented keys, errors, and cheap imports."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_tables import DERIVE, GOLDEN, SOURCES, golden, grid, sizes
from conftest import bench
from json_types import DOCUMENTS, complaints

import analysis
from analysis.commands import analyze, design, speed_analysis
from analysis.options import AnalysisOptions, DesignOptions

ROOT = Path(__file__).parent.parent
STUDY = {
    "group": "dataset",
    "factor": "strategy",
    "covariate": "n_star",
    "derive": DERIVE,
    "components": ",".join(SOURCES),
    "components_where": 'strategy != "SS-R"',
    "tasks": "centred",
}


def store_table(protocols=("p", "q"), seeds=3):
    """A table as the store hands it over."""
    generator = np.random.default_rng(0)
    parts = []
    for protocol in protocols:
        part = grid(4, 6, seeds, rng=len(parts), step=0.6)
        parts.append(part.assign(protocol=protocol, score=part.score + 0.001 * generator.standard_normal(len(part))))
    table = pd.concat(parts, ignore_index=True)
    metric = np.where(table.task == "t0", "roc_auc", "accuracy")
    return table.assign(corpus="c", recipe="r", metric=metric, standin=False, fingerprint=table.task + "f", n=100)


def along(low=10):
    """Two encoders whose lines cross in the middle of a covariate that is far from 0."""
    generator = np.random.default_rng(0)
    rows = [
        (e, f"t{d}", x, 0.5 + 0.05 * d + 0.002 * sign * (x - low - 5) + 0.003 * generator.standard_normal())
        for e, sign in (("a", -1), ("b", 1))
        for d in range(6)
        for x in range(low, low + 11)
    ]
    return pd.DataFrame(rows, columns=["encoder", "task", "x", "score"])


def thin(encoders="abc"):
    """Encoder c ran on two tasks of eight."""
    generator = np.random.default_rng(1)
    rows = [
        (e, f"t{d}", s, 0.5 + 0.05 * d + 0.1 * "abc".index(e) + 0.01 * generator.standard_normal())
        for e in encoders
        for d in range(8)
        for s in range(3)
        if e != "c" or d < 2
    ]
    return pd.DataFrame(rows, columns=["encoder", "task", "seed", "score"])


@cache
def results():
    ordinal = {
        "model": "ordinal",
        "group": "dataset",
        "covariate": "n_star",
        "size": "r_star",
        "derive": DERIVE,
        "tasks": "centred",
    }
    once = store_table(seeds=1, protocols=("p",))
    return {
        "study": analyze(GOLDEN / "scores_A.csv", AnalysisOptions(bootstrap=100, **STUDY)),
        "ordinal": analyze(GOLDEN / "scores_A.csv", AnalysisOptions(bootstrap=50, **ordinal)),
        "store": analyze(store_table(), AnalysisOptions(bootstrap=50)),
        "plain": analyze(store_table(protocols=("p",)), AnalysisOptions(bootstrap=0, natural=False)),
        "fixed": analyze(once, AnalysisOptions(bootstrap=20)),
        "few": analyze(once[once.task.isin(["t0", "t1"])].reset_index(drop=True), AnalysisOptions(bootstrap=0)),
        "reversed": analyze(grid(4, 8, 3, step=-0.9), AnalysisOptions(bootstrap=0)),
        "hole": analyze(GOLDEN / "small_grid.csv", AnalysisOptions(bootstrap=30, covariate="depth")),
        "natural": analyze(grid(3, 6, 3), AnalysisOptions(bootstrap=20, natural=True)),
        "far": analyze(along(), AnalysisOptions(bootstrap=0, covariate="x")),
        "thin": analyze(thin(), AnalysisOptions(bootstrap=0)),
    }


NAMES = ["study", "ordinal", "store", "plain", "fixed", "few", "reversed", "hole", "natural", "far", "thin"]


def value_at(result, path):
    for key in path:
        result = result[key]
    return result


@pytest.mark.parametrize("name", NAMES)
def test_every_number_of_every_sentence_is_that_of_the_json(name):
    result = json.loads(json.dumps(results()[name], allow_nan=False))
    names = {*result["table"]["task_names"], *result["table"]["levels"], *result["fixed"], *result["random"]}
    names |= {c[k] for c in result["contrasts"] for k in "ab"} | {
        s["metric"] for s in result["standardisation"].values()
    }
    names |= {v for v in result["model"].values() if isinstance(v, str)}
    names |= {g["term"] for g in result["components"]["grid"]}
    checked = 0
    for sentence in result["summary"]:
        rest = sentence["text"]
        if sentence["numbers"] is None:
            assert rest in result["notes"] or rest == result["model"]["reason"]
            continue
        for number in sentence["numbers"]:
            value = value_at(result, number["path"])
            text = number["text"]
            assert text in rest
            checked += 1
            if number["form"] == "p":
                assert text == ("p < 0.001" if value < 0.001 else f"p = {value:.3f}")
            elif number["form"] == "d":
                assert text == str(value)
            else:
                plain = float(text.rstrip("%")) / (100 if text.endswith("%") else 1)
                places = {".2f": 0.005, ".1%": 0.0005, ".0%": 0.005, ".0f": 0.5}
                places |= {".3g": 0.005 * abs(value), ".4g": 0.0005 * abs(value)}
                assert abs(plain - number["sign"] * value) <= places[number["form"]] + 1e-12
        # Without names and the numbers just checked, nothing numeric may be left.
        for text in sorted((n["text"] for n in sentence["numbers"]), key=len, reverse=True):
            rest = re.sub(rf"(?<![\w@=]){re.escape(text)}(?!\.?\w)", " ", rest)
        for word in sorted(names, key=len, reverse=True):
            rest = rest.replace(word, " ")
        assert not re.search(r"\d", rest), (sentence["text"], rest)
    assert checked > 5


def test_levels_are_compared_where_the_covariate_is():
    """At 0, ten below the first score, b seemed 4 standard deviations worse than a; where the scores are, they tie."""
    result = results()["far"]
    assert result["model"]["at"] == pytest.approx(15.0)
    assert abs(result["contrasts"][0]["estimate"]) < 0.1 and not result["contrasts"][0]["different"]
    same = r"Where x is 15, [ab] is equivalent to [ab] \(p [<=] [\d.]+\) within 0\.2 SD\."
    assert any(re.fullmatch(same, s["text"]) for s in result["summary"])
    asked = analyze(along(), AnalysisOptions(bootstrap=0, covariate="x", at=10))
    assert asked["model"]["at"] == 10.0 and asked["contrasts"][0]["estimate"] < -1.5
    assert any(s["text"].startswith("Where x is 10, a exceeds b by") for s in asked["summary"])
    assert analyze(along(-5), AnalysisOptions(bootstrap=0, covariate="x"))["model"]["at"] == 0.0
    assert results()["study"]["model"]["at"] == 0.0 and results()["store"]["model"]["at"] is None
    nobody = r"--at {}: no score has that x, so nothing is said of it: they have 10 to 20, the nearest {}$"
    for options, match in (
        ({"at": 1.0}, "name it with --covariate"),
        ({"at": np.nan, "covariate": "x"}, "finite"),
        ({"at": 0.0, "covariate": "x"}, nobody.format(0, 10)),
        ({"at": 12.75, "covariate": "x"}, nobody.format(12.75, 13)),
        ({"at": 21.0, "covariate": "x"}, nobody.format(21, 20)),
    ):
        with pytest.raises(analysis.AnalysisError, match=match):
            analyze(along(), AnalysisOptions(bootstrap=0, **options))


def test_the_covariate_value_from_the_command_line(tmp_path):
    along().to_csv(tmp_path / "scores.csv", index=False)
    done = bench("analyze", tmp_path / "scores.csv", "--covariate", "x", "--at", 20, "--bootstrap", 0, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["model"]["at"] == 20.0 and found["contrasts"][0]["estimate"] > 1


def test_a_difference_says_on_how_many_tasks_it_was_seen():
    result = results()["thin"]
    pairs = {(c["a"], c["b"]): c for c in result["contrasts"]}
    assert {pair: c["tasks"] for pair, c in pairs.items()} == {("b", "a"): 8, ("c", "a"): 2, ("c", "b"): 2}
    assert list(pairs["c", "a"]["natural"]) == ["t0", "t1"] and len(pairs["b", "a"]["natural"]) == 8
    text = " ".join(s["text"] for s in result["summary"])
    assert re.search(r"c exceeds a by [^;]*?\) and b by [^;]*?\) over 2 tasks\.", text)
    assert re.search(r"b exceeds a by [^;]*?\) over 8 tasks\.", text)
    moved = analyze(thin().assign(score=lambda t: t.score + 0.3 * (t.encoder == "b")), AnalysisOptions(bootstrap=0))
    text = " ".join(s["text"] for s in moved["summary"])
    assert re.search(r"b exceeds a by \S+ SD \[\S+ \S+ \(p . \S+\) over 8 tasks and c by \S+ SD .*? over 2 tasks", text)


def test_equal_agreement_is_said_once():
    wobble = 0.01 * np.random.default_rng(0).standard_normal((3, 3, 3))
    rows = [
        (e, t, s, i + wobble[i, "xyz".index(t), s])
        for i, e in enumerate("abc")
        for t in ("x", "y", "z")
        for s in range(3)
    ]
    result = analyze(pd.DataFrame(rows, columns=["encoder", "task", "seed", "score"]), AnalysisOptions(bootstrap=0))
    (text,) = [s["text"] for s in result["summary"] if "Kendall" in s["text"]]
    assert text == "Rankings agree equally on all pairs of tasks (Kendall tau 1.00)."


def test_one_score_a_cell_gives_no_yardstick_for_protocols():
    result = analyze(store_table(seeds=1), AnalysisOptions(bootstrap=0))
    (pair,) = result["agreement"]["protocols"]["pairs"]
    assert pair["noise_share"] is None and pair["change_share"] is not None
    assert any("cannot be told from one score a cell" in s["text"] for s in result["summary"])
    text = " ".join(s["text"] for s in results()["store"]["summary"])
    assert re.search(r"winners differ in \d+% of resamples \(in \d+% between two draws of the scores of one", text)


def test_an_empty_cell_nobody_asked_for_is_a_note():
    table = grid(4, 6, 3).assign(corpus="c", recipe=["r", "s"] * 36)
    table.loc[[3, 7], "recipe"] = None
    result = analyze(table, AnalysisOptions(bootstrap=0))
    assert "recipe is empty in 2 of 72 rows, so it has no share in the division of the variance." in result["notes"]
    terms = {g["term"] for g in result["components"]["grid"]}
    assert "encoder" in terms and not any("recipe" in term for term in terms)
    with pytest.raises(analysis.AnalysisError, match="'recipe' is empty in row 4"):
        analyze(table, AnalysisOptions(factor="recipe", bootstrap=0))


@pytest.mark.parametrize(("tasks", "warned"), [(1, False), (2, True), (6, True), (7, False)])
def test_very_few_tasks_are_warned_of(tasks, warned):
    notes = analyze(grid(3, tasks, 3), AnalysisOptions(bootstrap=0))["notes"]
    assert any(note.startswith(f"With {tasks} tasks even the intervals") for note in notes) is warned


@pytest.mark.parametrize("model", ["factor", "ordinal"])
def test_a_note_says_how_to_centre_and_following_it_silences_it(tmp_path, model):
    table = sizes([10, 11, 12, 13, 14]).assign(encoder=lambda t: "e" + (t["size"] % 2).astype(str))
    table = table.rename(columns={"size": "n layers"})
    own = {"model": model, "size": "n layers", "tasks": "centred"}
    roles = {"factor": {"factor": "encoder", "covariate": "n layers"}, "ordinal": own}
    (note,) = [n for n in analyze(table, AnalysisOptions(bootstrap=0, **roles[model]))["notes"] if "Centre with" in n]
    assert "n layers (mean 12, standard deviation 1.41)" in note
    table.to_csv(tmp_path / "t.csv", index=False)
    words = shlex.split(note.partition("Centre with ")[2].removesuffix("."))
    assert words[:2] == ["--derive", "n layers_c = `n layers` - 12"]
    others = ["--factor", "encoder"] if model == "factor" else ["--model", "ordinal", "--tasks", "centred"]
    done = bench("analyze", tmp_path / "t.csv", *others, *words, "--bootstrap", 0, "--json")
    assert done.returncode == 0, done.stderr
    assert not any("Centre with" in n for n in json.loads(done.stdout)["notes"])


def test_simpler_models_and_near_columns_need_no_centring():
    far = analyze(sizes([10, 11, 12]), AnalysisOptions(model="ordinal", size="size", bootstrap=0))["notes"]
    assert not any("Centre with" in note for note in far)  # a task's own effect lets its slope turn about any point
    centred = AnalysisOptions(model="ordinal", size="size", bootstrap=0, tasks="centred")
    notes = analyze(sizes([-2, -1, 0, 1, 3]), centred)["notes"]
    assert not any("Centre with" in note for note in notes)
    notes = analyze(sizes([5, 6, 7], tasks=2), centred)["notes"]
    assert not any("Centre with" in note for note in notes)


def test_two_tasks_are_compared_once():
    (found,) = [s["text"] for s in results()["few"]["summary"] if "Kendall" in s["text"]]
    assert re.fullmatch(r"Rankings on t0 and t1 agree with Kendall tau -?\d\.\d\d\.", found)


@pytest.mark.parametrize("name", NAMES)
def test_what_sentences_claim_is_what_tests_found(name):
    result = results()[name]
    text = " ".join(entry["text"] for entry in result["summary"])
    pairs = [c for c in result["contrasts"] if c["kind"] == "level"]
    for entry in pairs:
        high, low = (entry["a"], entry["b"]) if entry["estimate"] >= 0 else (entry["b"], entry["a"])
        size = f"{low} by {abs(entry['estimate']):.2f} SD"
        if name == "natural":
            size = f"{low} by {abs(entry['estimate']):.3g} ["
        starts = re.findall(rf"(?:^|\. |, ){re.escape(high)} exceeds ([^;]*?)(?:;|\.(?: |$))", text)
        claimed = any(size in found for found in starts)
        assert claimed is entry["different"] is (entry["covers_training"] and entry["p_holm"] < 0.05)
    for size, lower, upper in re.findall(r"(-?[\d.]+)(?: SD)? \[(-?[\d.]+), (-?[\d.]+)\]", text):
        assert float(lower) <= float(size) <= float(upper)
    undecided = sum(c["p_holm"] >= 0.05 and c["equivalence"]["answer"] != "equivalent" for c in pairs)
    same = re.findall(r"is equivalent to (.*?) within", text)
    assert sum(found.count("(p") for found in same) == sum(c["equivalence"]["answer"] == "equivalent" for c in pairs)
    listed = re.findall(r"cannot tell .*? from (.*?)\.(?: |$)", text)
    assert sum(len(re.split(r", | or ", found)) for found in listed) == undecided


def test_differences_are_told_the_right_way_round():
    """Where the first level is the best, every contrast is negative and every sentence positive."""
    result = results()["reversed"]
    found = [c for c in result["contrasts"] if c["different"]]
    assert len(found) >= 4 and all(c["estimate"] < 0 for c in found)
    assert any(s["text"].startswith("e0 exceeds e3 by") for s in result["summary"])
    numbers = [n for s in result["summary"] for n in s["numbers"] or [] if n["path"][0] == "contrasts"]
    assert {n["sign"] for n in numbers if n["form"] not in ("p", "d")} == {-1}


def test_golden_through_the_command():
    result, want = results()["study"], golden()
    for entry, reference in zip(result["fixed"].values(), want["model1"]["fixed"].values(), strict=True):
        assert entry["estimate"] == pytest.approx(reference["estimate"], abs=1e-6)
        assert entry["se"] == pytest.approx(reference["se"], rel=1e-4)
    assert result["reml"] == pytest.approx(want["model1"]["reml_criterion"], abs=1e-5)
    assert result["singular"] is False and result["table"]["complete"] is True
    bpm = [c for c in result["components"]["within_task"] if c["group"] == "Ballroom" and c["source"] == "bpm"]
    assert bpm[0]["estimate"] == pytest.approx(98.962, abs=0.05)
    assert "Within Ballroom, bpm carries 99 % of the components' variance (79 % with the residual)." in [
        s["text"] for s in result["summary"]
    ]


def test_where_filters_before_standardising():
    result = analyze(
        GOLDEN / "scores_A.csv",
        AnalysisOptions(group="dataset", factor="strategy", bootstrap=0, where='strategy != "SS-R"'),
    )
    assert result["table"]["rows"] == 377 * 7 and "SS-R" not in result["table"]["levels"]
    assert result["standardisation"]["FMA"]["n"] == 377


def test_every_entry_has_its_five_keys():
    keys = {"estimate", "se", "lower", "upper", "p"}
    for result in results().values():
        entries = [*result["fixed"].values(), *result["random"].values(), result["residual_sd"], *result["contrasts"]]
        entries += [*result["components"]["within_task"], *result["components"]["grid"], *result["agreement"]["tasks"]]
        assert all(keys <= set(entry) for entry in entries)


def test_default_columns_are_those_of_the_store():
    result = results()["store"]
    assert result["model"]["factor"] == "encoder" and result["model"]["group"] == "task"
    assert {g["term"] for g in result["components"]["grid"]} >= {
        "encoder",
        "protocol",
        "encoder x protocol",
        "residual",
    }
    assert result["agreement"]["protocols"]["pairs"][0]["a"] == "p"
    assert any("Protocols p and q rank with Kendall tau" in s["text"] for s in result["summary"])
    assert result["standardisation"]["t0"]["metric"] == "roc_auc"


def test_simpler_models_are_said():
    single = results()["fixed"]
    assert single["model"]["fitted"] == "factor-single" and single["model"]["reason"].endswith("of each level its own.")
    assert set(single["random"]) == set(single["fixed"])
    assert results()["few"]["model"]["reason"] in [s["text"] for s in results()["few"]["summary"]]


def test_singular_fits_are_information():
    result = results()["hole"]
    assert result["singular"] is True
    assert "encoder[e0]" in result["model"]["singular_terms"]
    (text,) = [s["text"] for s in result["summary"] if "singular" in s["text"]]
    assert "no failure of the fit" in text


def test_incomplete_tables_warn():
    assert any("The table is incomplete" in note for note in results()["hole"]["notes"])


@pytest.mark.parametrize("options", [{}, {"covariate": "depth"}, {"model": "ordinal", "size": "size"}])
def test_files_and_figures(tmp_path, options):
    result = analyze(
        GOLDEN / "small_grid.csv",
        AnalysisOptions(bootstrap=20, components="encoder", **options),
        output=tmp_path / "out",
    )
    folder = tmp_path / "out"
    assert sorted(result["files"]) == sorted(path.name for path in folder.iterdir())
    assert json.loads((folder / "analysis.json").read_text()) == result
    assert {"effects.png", "scores.png", "pairwise.png", "components.png", "alias.png", "residuals.png"} <= {
        name for name in result["files"] if name.endswith(".png")
    }
    for name in result["files"]:
        if name.endswith(".png"):
            assert (folder / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    fixed = pd.read_csv(folder / "fixed.csv")
    assert fixed["estimate"].tolist() == pytest.approx([e["estimate"] for e in result["fixed"].values()])
    scores = pd.read_csv(folder / "scores.csv")
    assert (scores["fitted"] + scores["residual"]).tolist() == pytest.approx(scores["standardised"].tolist())
    assert (folder / "summary.txt").read_text().splitlines() == [s["text"] for s in result["summary"]]


def test_names_with_a_dollar_are_no_formulas(tmp_path):
    table = grid(3, 4, 3)
    table["encoder"] = table.encoder.map({"e0": "a$x$", "e1": "$\\frac{$", "e2": "c$"})
    result = analyze(
        table.assign(task=table.task + "$_"), AnalysisOptions(bootstrap=0, components="seed"), output=tmp_path
    )
    assert sorted(result["files"]) == sorted(path.name for path in tmp_path.iterdir())
    assert {"effects.png", "pairwise.png", "scores.png"} <= set(result["files"])


def test_numbers_are_written_before_figures(tmp_path, monkeypatch):
    from analysis import figures

    monkeypatch.setattr(figures, "effects", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        analyze(grid(), AnalysisOptions(bootstrap=0), output=tmp_path)
    written = json.loads((tmp_path / "analysis.json").read_text())
    assert sorted(written["files"]) == sorted(path.name for path in tmp_path.iterdir())
    assert {"summary.txt", "contrasts.csv"} <= set(written["files"])


def test_the_matrix_prints_the_p_values_that_decide():
    from analysis.figures import pairwise_matrix

    contrasts = analyze(grid(3, 6, 3, rng=59), AnalysisOptions(bootstrap=0))["contrasts"]
    texts = [text.get_text() for text in pairwise_matrix(contrasts).axes[0].texts]
    for entry in contrasts:
        assert f"{entry['estimate']:+.2f}\np {entry['p_holm']:.3f}" in texts


def test_same_seed_same_result():
    first, second = (analyze(GOLDEN / "small_grid.csv", AnalysisOptions(bootstrap=30, seed=5)) for _ in range(2))
    assert first == second
    assert first != analyze(GOLDEN / "small_grid.csv", AnalysisOptions(bootstrap=30, seed=6))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"model": "anova"}, "unknown model 'anova'"),
        ({"score": "scor"}, "Did you mean 'score'"),
        ({"group": "dataset"}, "no column 'dataset'"),
        ({"factor": "encoders"}, "Did you mean 'encoder'"),
        ({"covariate": "depths"}, "Did you mean 'depth'"),
        ({"components": "encoder,nothing"}, "no column 'nothing'"),
        ({"derive": ["n_star"]}, "write NAME=EXPRESSION"),
        ({"derive": ["x = __import__('os')"]}, "not one of its functions"),
        ({"where": "depth"}, "is no condition"),
        ({"where": "depth >"}, "cannot be read"),
        ({"components": "encoder", "components_where": "depth > 99"}, "holds on no row"),
        ({"bootstrap": -1}, "give 0 for none"),
        ({"bootstrap": 1}, "at least 2 replicates"),
        ({"model": "ordinal", "size": "encoder"}, "must hold numbers"),
        ({"components": "row", "derive": ["row = depth + 10 * seed + 100 * size"]}, "none of row has a variance"),
        ({"rank": "coder"}, "no column 'coder'"),
    ],
)
def test_errors_are_one_clear_line(options, match):
    with pytest.raises(analysis.AnalysisError, match=match) as error:
        analyze(GOLDEN / "small_grid.csv", AnalysisOptions(**options))
    assert "\n" not in str(error.value)


def test_output_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(analysis.AnalysisError, match="cannot be made a folder"):
        analyze(GOLDEN / "small_grid.csv", AnalysisOptions(bootstrap=0), output=tmp_path / "file")


def test_power_from_an_analysis(tmp_path):
    analyze(GOLDEN / "small_grid.csv", AnalysisOptions(bootstrap=0), output=tmp_path, figures=False)
    result = design(
        DesignOptions(analysis=tmp_path / "analysis.json", difference=0.5, levels="e1,e3"), output=tmp_path / "d"
    )
    (pair,) = result["power"]["pairs"]
    assert (pair["a"], pair["b"], pair["tasks"]) == ("e1", "e3", 5)
    assert pair["tasks_needed"] > 5 and 0 < pair["power_now"] < 0.8
    assert f"needs {pair['tasks_needed']} tasks" in result["power"]["summary"][1]
    assert sorted(result["files"]) == ["design.json", "power.csv"]
    with pytest.raises(analysis.AnalysisError, match="name two of the analysis's levels"):
        design(DesignOptions(analysis=tmp_path / "analysis.json", difference=0.5, levels="e1,zz"))
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(analysis.AnalysisError, match="is no analysis.json"):
        design(DesignOptions(analysis=tmp_path / "other.json", difference=0.5))


def test_a_natural_analysis_is_planned_in_its_own_unit(tmp_path):
    table = grid(3, 6, 3).assign(metric="accuracy", score=lambda t: 100 * t.score)
    analyze(table, AnalysisOptions(natural=True, bootstrap=0), output=tmp_path, figures=False)
    told = design(DesignOptions(analysis=tmp_path / "analysis.json", difference=3.0, levels="e0,e1"))["power"][
        "summary"
    ][0]
    assert "truly differ by 3 accuracy" in told and "SD" not in told


def test_what_is_timed_is_the_same_model():
    result = speed_analysis(bootstrap=1000, statsmodels=True, lme4=False)
    ours = result["analysis"]
    assert ours["rows"] == 2975 and ours["replicates"] == 1000 and ours["unconverged"] == 0
    assert ours.keys() >= {"fit_s", "bootstrap_s"} and "fit_s" in result["statsmodels"]
    assert -0.1 < ours["reml"] - result["statsmodels"]["reml"] < 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_an_analysis_has_the_keys_and_types_that_are_documented(name):
    assert complaints(json.loads(json.dumps(results()[name])), DOCUMENTS["analyze"]) == []


def test_a_design_has_the_keys_and_types_that_are_documented(tmp_path):
    analyze(GOLDEN / "small_grid.csv", AnalysisOptions(bootstrap=0), output=tmp_path, figures=False)
    size = {"analysis": tmp_path / "analysis.json", "difference": 0.4}
    runs = {"factors": ["a=1,2", "b=x,y,z"], "derive": ["c = a == 1"], "runs": 2}
    replay = pd.DataFrame({"a": [1], "b": ["y"], "c": [True]})
    for asked in (size, runs, {**size, **runs, "replay": replay}):
        plan = design(DesignOptions(**asked))
        assert (plan["power"] is None, plan["design"] is None) == ("difference" not in asked, "factors" not in asked)
        assert complaints(json.loads(json.dumps(plan)), DOCUMENTS["design"]) == []
    assert json.loads((tmp_path / "analysis.json").read_text())["files"][-2:] == ["summary.txt", "analysis.json"]


def test_import_is_cheap_and_needs_neither_torch_nor_the_harness():
    code = (
        "import sys; import analysis;"
        "assert not {'numpy', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules);"
        "import analysis.commands; assert 'pandas' not in sys.modules;"
        "[getattr(analysis, name) for name in analysis.__all__];"
        "import analysis.output, analysis.figures, analysis.design.planning, analysis.speed;"
        "bad = {'torch', 'torchaudio', 'lightning', 'benchmark', 'encoders', 'tasks', 'probes', 'cli'};"
        "bad &= set(sys.modules);"
        "assert not bad, bad"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_public_names():
    assert set(analysis.__all__) <= set(dir(analysis))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = analysis.nothing
