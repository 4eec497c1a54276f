"""`bench report`: what the page and the tables for papers say, checked against the records that they came from."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from conftest import bench, bench_json
from report_store import TAGS, embed_manifest, everything, fail_step, fill, grid, make_record

from analysis import AnalysisError
from analysis.commands import analyze
from analysis.options import AnalysisOptions
from analysis.report import render
from analysis.report.costs import AXES, comparable, pareto, prices
from analysis.report.curves import (
    deformation_curves,
    label_curves,
    layer_curves,
    length_curves,
    training_curves,
    transfer_tables,
)
from analysis.report.groups import form_groups
from analysis.report.over_tasks import REFITS, over_tasks
from analysis.report.page import script_json, tint
from benchmark.registry.registry import load_registry
from benchmark.report.contents import collect
from benchmark.scores.records import mark_used


class Page(HTMLParser):
    """Sections, tables and texts of a page; complains about tags that are not closed."""

    VOID = frozenset({"meta", "link", "br", "col", "input", "path", "use"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append((tag, found))
        if "id" in found:
            self.ids.append(found["id"])
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    store = tmp_path_factory.mktemp("full") / "store"
    records = everything()
    fill(store, records)
    for record in records:
        if record.task == "gtzan" and record.corpus == "magnatagatune" and record.recipe == "tune":
            embed_manifest(store, record, 4000, ["contractive_0", "bottleneck", "tail_1", "tail_10"])
    fail_step(store, "pretrain", "ab" * 20, f"{store}/x: no space left")
    return collect(store, load_registry())


@pytest.fixture(scope="module")
def page(document):
    return render(document)


def document_of(tmp_path, records):
    return collect(fill(tmp_path / "store", records), load_registry())


def test_every_section_is_there_once_and_the_page_is_well_formed(page):
    found = Page(page)
    sections = [
        "heatmap",
        "findings",
        "leaderboards",
        "compared",
        "transfer",
        "protocols",
        "labels",
        "length",
        "layers",
    ]
    sections += ["robustness", "tags", "published", "costs", "failures", "reproduce", "cite"]
    assert [name for name in found.ids if name in sections] == sections
    assert len(found.ids) == len(set(found.ids))
    targets = {found["href"] for tag, found in found.tags if tag == "a" and "download" not in found}
    assert targets == {f"#{name}" for name in sections[1:]}


def test_sections_without_data_are_left_out(tmp_path):
    found = Page(render(document_of(tmp_path, grid(["a", "b"], ["gtzan"], [0, 1]))))
    assert not {"transfer", "protocols", "labels", "length", "layers", "robustness", "tags", "failures"} & set(
        found.ids
    )
    assert {"leaderboards", "costs", "reproduce"} <= set(found.ids)


def test_a_task_with_one_score_does_not_spoil_the_others(tmp_path):
    records = [*grid(["a", "b", "c"], ["gtzan", "key", "mtt"], [0, 1]), make_record("a", "emotion", 0)]
    document = document_of(tmp_path, records)
    found = over_tasks(form_groups(document["runs"]), False)
    assert (found.flat, set(found.heat.tasks)) == (["emotion"], {"gtzan", "key", "mtt"})
    assert found.analysis["table"]["tasks"] == 3
    assert "they have no two different scores: emotion" in Page(render(document)).text


def test_a_fit_without_a_solution_leaves_the_rest_of_the_page(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise np.linalg.LinAlgError("Matrix is not positive definite")

    monkeypatch.setattr("analysis.report.over_tasks.analyze", fail)
    monkeypatch.setattr("analysis.report.over_tasks.grid_components", fail)
    records = [*grid(["a", "b"], ["gtzan", "key"], [0, 1]), *grid(["a", "b"], ["gtzan", "key"], [0, 1], protocol="p")]
    found = Page(render(document_of(tmp_path, records)))
    assert "No model was fitted: the fit has no solution in numbers" in found.text
    assert "Not everything can be said here: the fit has no solution in numbers" in found.text
    assert {"leaderboards", "heatmap", "protocols"} <= set(found.ids)
    assert "Task by task the highest scores are of" in found.text


def test_a_single_run_is_a_page(tmp_path):
    found = Page(render(document_of(tmp_path, [make_record("only", "emotion", 0, score=0.4)])))
    assert "only reaches 0.400 [0.380, 0.420] on emotion; a constant prediction reaches 0.000." in found.text
    assert "No model was fitted" in found.text


def test_nothing_refers_outside(page):
    assert not re.findall(r'(?:src|href|action)="(?!#|data:)', page)
    assert not re.findall(r"url\((?!#)|@import|\bfetch\(|XMLHttp", page)


def test_every_figure_has_a_text_alternative(page):
    found = Page(page)
    figures = [attributes for tag, attributes in found.tags if tag == "svg"]
    assert len(figures) == page.count("<figure>") >= 7
    for attributes in figures:
        assert attributes["role"] == "img"
        assert set(attributes["aria-labelledby"].split()) <= set(found.ids)


def test_fingerprints_and_kinds_of_data_never_share_a_table(tmp_path):
    records = [
        *grid(["a", "b"], ["gtzan"], [0], fingerprint="1" * 64),
        *grid(["a", "b"], ["gtzan"], [1], fingerprint="2" * 64),
        *grid(["a", "b"], ["gtzan"], [0], data="stand-in", fingerprint="1" * 64),
    ]
    document = document_of(tmp_path, records)
    groups = form_groups(document["runs"])
    assert [group.standin for group in groups] == [False, False, True]
    assert len({group.label for group in groups}) == 3
    for group in groups:
        assert {(run["fingerprint"], run["standin"]) for run in group.runs} == {(group.fingerprint, group.standin)}
    text = Page(render(document)).text
    assert "Some scores come from stand-ins" in text
    assert over_tasks(groups, True).heat.tasks == [groups[2].label]


def test_the_banner_and_no_published_numbers_on_standins(tmp_path):
    found = Page(render(document_of(tmp_path, grid(["tune_plus", "mfcc"], ["mtt"], [0, 1], data="stand-in"))))
    assert "All scores come from stand-ins" in found.text
    assert "published" not in found.ids


def test_findings_are_those_of_analyze(document, page):
    groups = form_groups(document["runs"])
    rows = [
        {"encoder": run["representation"], "task": group.label, "seed": run["seed"], "run": run["network"],
         "metric": group.lead,
         "fingerprint": group.fingerprint, "standin": False, "score": run["metrics"][group.lead]["value"]}
        for group in groups for run in group.main
    ]  # fmt: skip
    import pandas as pd

    table = pd.DataFrame(rows)
    tasks = table.groupby("encoder")["task"].nunique()
    kept = table[table["encoder"].isin(tasks[tasks > 1].index)]
    expected = analyze(
        kept.reset_index(drop=True), AnalysisOptions(factor="encoder", bootstrap=REFITS, seed=0), figures=False
    )
    text = Page(page).text
    for sentence in expected["summary"]:
        assert " ".join(sentence["text"].split()) in text
    heat = over_tasks(groups, False).heat
    grid_of = dict(zip(heat.representations, heat.values.tolist(), strict=True))  # noqa: PD011 - no DataFrame
    y = kept.assign(y=kept.groupby("task")["score"].transform(lambda s: (s - s.mean()) / s.std(ddof=1)))
    means = y.groupby(["encoder", "task"])["y"].mean()
    for name, row in grid_of.items():
        assert row == pytest.approx([means[name, task] for task in heat.tasks])


def test_curves_hold_the_means_of_the_right_runs(document):
    groups = form_groups(document["runs"])
    by_task = {group.task: group for group in groups}

    def mean(**wanted):
        defaults = {"layer": None, "labels": 1, "deform": None, "protocol": "linear", "corpus": "magnatagatune"}
        found = [r for r in document["runs"] if all(r[k] == v for k, v in (defaults | wanted).items())]
        assert len(found) == 2
        return np.mean([next(iter(run["metrics"].values()))["value"] for run in found])

    (labels,) = label_curves(groups)
    points = dict(labels.series["tune_tail_5"])
    assert list(points) == [0.01, 0.1, 1.0]
    assert points[0.1].mean == pytest.approx(mean(encoder="tune_tail_5", task="mtt", labels=0.1))
    (length,) = length_curves(groups)
    assert length.axis == "epochs of pretraining"
    points = dict(length.series["tune_plus · tune on magnatagatune"])
    assert list(points) == [1000, 3000, 10000]
    assert points[3000].mean == pytest.approx(mean(encoder="tune_plus", task="mtt", recipe="tune(epochs=3000)"))
    (layers,) = layer_curves(groups, document["layers"])
    assert layers.categories == ["contractive_0", "bottleneck", "tail_1", "tail_10", "representation"]
    (noise,) = deformation_curves(groups, document["deformations"])
    assert noise.axis == "noise [dB of signal over noise]"
    (name,) = (name for name in noise.series if name.startswith("tune_plus"))
    assert [place for place, _ in noise.series[name]] == [10, 20, 40]
    assert noise.references[name] == pytest.approx(mean(encoder="tune_plus", task="gtzan", recipe="tune"))
    assert noise.series[name][1][1].mean == pytest.approx(mean(encoder="tune_plus", task="gtzan", deform="noise=20"))
    (transfer,) = transfer_tables(groups)
    assert set(transfer.corpora) == {"magnatagatune", "gtzan", "fma-medium"}
    cell = transfer.cells["fma-medium", "sample_cnn"]["roc_auc"]
    assert cell.mean == pytest.approx(mean(encoder="sample_cnn", task="mtt", corpus="fma-medium"))
    assert by_task["mtt"].protocol == "linear"


def test_protocols_are_compared_on_representations_that_all_of_them_probed(document):
    found = over_tasks(form_groups(document["runs"]), False)
    shares = {share["term"]: share["estimate"] for share in found.shares}
    assert sum(shares.values()) == pytest.approx(100)
    assert shares["encoder"] > 50 > shares["protocol"]
    (pair,) = found.agreement["pairs"]
    assert {pair["a"], pair["b"]} == {"linear", "tune-linear"}
    assert set(found.agreement["tasks"]) == {"mtt", "gtzan"}
    assert "mfcc" not in found.agreement["winners"]["linear"]["shares"]


def test_layers_without_a_manifest_are_in_natural_order(tmp_path):
    records = [make_record("a", "gtzan", 0, layer=f"tail_{n}") for n in (10, 9, 1)]
    document = document_of(tmp_path, records)
    (curve,) = layer_curves(form_groups(document["runs"]), document["layers"])
    assert curve.categories == ["tail_1", "tail_9", "tail_10"]
    found = Page(render(document))
    assert "layers" in found.ids
    assert not {"leaderboards", "findings", "heatmap"} & set(found.ids)


def test_of_a_run_that_was_scored_again_the_newest_score_counts(tmp_path):
    records = [make_record("a", "gtzan", 0, score=0.5), make_record("b", "gtzan", 0, score=0.4)]
    again = make_record("a", "gtzan", 0, score=0.3).model_copy(
        update={"steps": [step.model_copy(update={"key": "0" * 40}) for step in records[0].steps]}
    )
    document = document_of(tmp_path, records)
    assert document["older"] == 0
    assert "older scores" not in Page(render(document)).text
    for record, older in ((again, 1), (records[0], 1)):  # the second time the change was undone
        store = fill(tmp_path / "store", [*records, again])
        for folder in (store / "artifacts" / "score").iterdir():
            os.utime(folder, (1, 1))
        mark_used(store / "artifacts" / "score" / record.steps[-1].key)
        document = collect(store, load_registry())
        scores = {run["encoder"]: run["metrics"]["accuracy"]["value"] for run in document["runs"]}
        assert scores == {"a": record.metrics["accuracy"].value, "b": 0.4}
        assert document["older"] == older
        assert "1 older scores of runs that were scored again" in Page(render(document)).text


def test_a_task_under_two_fingerprints_counts_once(tmp_path):
    records = list(grid(["a", "b", "c"], ["gtzan", "key", "mtt"], [0, 1]))
    elsewhere = [
        record for encoder in ("a", "b") for record in grid([encoder], ["key"], [2, 3, 4, 5], fingerprint="f" * 64)
    ]
    found = over_tasks(form_groups(document_of(tmp_path, [*records, *elsewhere])["runs"]), False)
    assert found.analysis["table"]["tasks"] == 3
    assert found.other_clips == ["key [ffffffff]"]


def test_prices_are_of_the_clips_that_the_findings_took(tmp_path):
    records = list(grid(["a", "b"], ["gtzan"], [0, 1], fingerprint="a" * 64))
    records += grid(["c", "d", "e"], ["gtzan"], [0, 1], fingerprint="b" * 64)
    document = document_of(tmp_path, records)
    groups = form_groups(document["runs"])
    priced, _ = prices(groups, over_tasks(groups, False).heat, document["steps"])
    assert {price.representation for price in priced} == {"c", "d", "e"}


def test_pairs_of_many_levels_are_folded_away_and_none_is_lost(tmp_path):
    document = document_of(tmp_path, grid([f"encoder {i}" for i in range(9)], ["gtzan", "key", "mtt"], [0, 1]))
    text = render(document)
    shown, folded = text.split("All pairs in words", 1)
    found = over_tasks(form_groups(document["runs"]), False).analysis
    different = [entry for entry in found["contrasts"] if entry["different"]]
    assert f"Of 36 pairs {len(different)} differ" in shown
    leader = max(found["fixed"].values(), key=lambda entry: entry["estimate"])
    beaten = sum(leader["level"] in (entry["a"], entry["b"]) for entry in different)
    assert f"{leader['level']} has the highest expected score (+{leader['estimate']:.2f} SD)" in shown
    assert f"exceeds {beaten} of the 8 others" in shown
    assert folded.split("</details>")[0].count("<li>") >= 6


def test_a_mean_over_some_tasks_is_no_match_for_one_over_all(tmp_path):
    records = [*grid(["a", "b", "c"], ["gtzan", "key", "mtt"], [0, 1])]
    records += [make_record("partial", task, seed, score=0.99) for task in ("gtzan", "key") for seed in (0, 1)]
    document = document_of(tmp_path, records)
    groups = form_groups(document["runs"])
    heat = over_tasks(groups, False).heat
    assert (heat.representations[-1], heat.counts) == ("partial", [3, 3, 3, 2])
    assert heat.means[-1] > max(heat.means[:3])
    priced, _ = prices(groups, heat, document["steps"])
    assert {price.representation: price.tasks for price in priced}["partial"] == 2
    assert all(not price.fronts for price in priced if price.representation == "partial")
    assert all(price.representation != "partial" for axis in AXES for price in comparable(priced, axis))
    assert "2 of 3 tasks" in Page(render(document)).text


def test_speeds_of_different_devices_do_not_compete(document):
    groups = form_groups(document["runs"])
    steps = {key: {**step, "device": f"device {i % 2}"} for i, (key, step) in enumerate(document["steps"].items())}
    priced, _ = prices(groups, over_tasks(groups, False).heat, steps)
    assert comparable(priced, "parameters")
    assert comparable(priced, "peak_bytes") == comparable(priced, "windows_per_second") == []
    assert {front for price in priced for front in price.fronts} == {"parameters"}


def test_scores_on_the_way_of_a_pretraining_are_a_curve(tmp_path):
    records = [make_record("a", "gtzan", 0), make_record("b", "gtzan", 0)]
    store = fill(tmp_path / "store", records)
    folder = store / "artifacts" / "pretrain" / records[0].steps[0].key
    folder.mkdir(parents=True)
    (folder / "losses.csv").write_text("step,epoch,loss,probe\n1,0.5,2,\n2,1.0,1.5,0.6\n4,2.0,1.2,0.7\n")
    document = collect(store, load_registry())
    (curve,) = training_curves(form_groups(document["runs"]), document["trainings"])
    assert {name: [(x, y.mean) for x, y in points] for name, points in curve.series.items()} == {
        "a · tune on magnatagatune, seed 0": [(1.0, 0.6), (2.0, 0.7)]
    }
    assert not curve.floor_fits
    found = Page(render(document))
    assert "length" in found.ids
    assert "score of validation clips on gtzan by epoch of one pretraining" in found.text


def test_standins_are_computed_again_without_a_folder_of_data(tmp_path):
    records = [make_record("a", "gtzan", 0), make_record("a", "gtzan", 0, data="stand-in")]
    found = document_of(tmp_path, records)["commands"]
    assert [command.endswith("--data DIR") for command in found] == [True, False]
    assert found[0] == f"{found[1]} --data DIR"


def test_tags_overlap_failures_and_citations_are_told(page):
    text = Page(page).text
    assert all(tag in text for tag in TAGS)
    assert "was pretrained on 3 of the test clips" in text
    assert "STORE/x: no space left" in text
    for key in ("velezvasquez2022tailed", "lee2017sample", "law2009evaluation", "tzanetakis2002musical"):
        assert key in text


def test_pareto_and_prices(document):
    assert pareto([(1, 5), (2, 4), (2, 5), (0, 6)]) == {2, 3}
    groups = form_groups(document["runs"])
    priced, title = prices(groups, over_tasks(groups, False).heat, document["steps"])
    assert title == "mean standardised score"
    assert priced == sorted(priced, key=lambda price: -price.score)
    for price in priced:
        better = [o for o in priced if o.parameters <= price.parameters and o.score > price.score]
        assert ("parameters" in price.fronts) == (not better)
    (plus,) = (price for price in priced if price.representation.startswith("tune_plus"))
    assert plus.windows_per_second == pytest.approx(4000 / 5.0)
    assert plus.peak_bytes == 2 * 10**8


NASTY = '</script><script>x()</script>$x_1$ id="y"#262626'


def test_names_with_markup_are_shown_and_never_run(tmp_path):
    records = [make_record(name, "gtzan", seed) for name in (NASTY, "b") for seed in (0, 1)]
    document = document_of(tmp_path, records)
    text = render(document)
    found = Page(text)
    assert [tag for tag, _ in found.tags].count("script") == 3
    assert NASTY in found.text
    figures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert all(NASTY in Page(figure).text for figure in figures)
    assert json.loads(script_json({"name": NASTY})) == {"name": NASTY}
    assert "<" not in script_json({"name": NASTY})
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1]
    assert NASTY in {row["encoder"] for row in json.loads(data)["leaderboards"]}
    assert r"\textless{}/script\textgreater{}\textless{}script\textgreater{}x()" in render(document, "latex")
    assert "<script>" not in render(document, "md").replace(r"\<script\>", "")


def test_tint_grows_with_the_value_and_is_nothing_for_none():
    assert tint(None, 1.0) == tint(float("nan"), 1.0) == ""
    assert "var(--high) 31%" in tint(0.5, 1.0)
    assert "var(--low) 62%" in tint(-7.0, 1.0)


def test_unknown_forms_and_empty_documents_are_refused(document):
    with pytest.raises(AnalysisError, match="unknown form 'pdf'"):
        render(document, "pdf")
    with pytest.raises(AnalysisError, match="no runs"):
        render({"runs": []})


def damaged(store):
    fill(store, [make_record("a", "gtzan", 0)])
    (record,) = (store / "artifacts" / "score").glob("*/*")
    record.unlink()
    return store


def foreign(store):
    (fill(store, [make_record("a", "gtzan", 0)]) / "format").write_text("99\n")
    return store


def test_the_command_writes_pages_tables_and_one_line_errors(tmp_path):
    store = fill(tmp_path / "store", grid(["a", "b"], ["gtzan", "key"], [0, 1]))
    result = bench("report", "--store", store, "-o", tmp_path / "r.html")
    assert result.returncode == 0, result.stderr
    assert "<!doctype html>" in (tmp_path / "r.html").read_text()[:200]
    folder = tmp_path / "figures"
    result = bench("report", "--store", store, "--format", "csv", "-o", "-", "--figures", folder)
    assert len(result.stdout.splitlines()) == 1 + 2 * 2 * 2
    names = {path.name for path in folder.iterdir()}
    assert names >= {f"{name}-real-data.{end}" for name in ("heat-map", "leaderboards") for end in ("pdf", "svg")}
    assert f"{len(names) // 2} figures, each as SVG and PDF" in result.stderr
    for arguments, message in (
        (["--store", tmp_path / "none"], "there is no such store"),
        (["--store", store, "-o", tmp_path / "no" / "r.html"], "there is no folder"),
        (["--store", store, "--figures", tmp_path / "r.html"], "is a file; name a folder"),
        (["--store", store, "--study", "tune-tabel-1"], "Did you mean 'tune-table-1'"),
        (["--store", fill(tmp_path / "empty", [])], "holds no score record"),
        (["--store", damaged(tmp_path / "damaged")], "`bench store verify` finds damaged artifacts"),
        (["--store", foreign(tmp_path / "foreign")], "is a store of format 99; this version of bench reads 2"),
    ):
        result = bench("report", *arguments, cwd=tmp_path)
        assert result.returncode == 2
        *progress, error = result.stderr.splitlines()
        assert message in error
        assert all(line.startswith(("read scores: ", "left out: ")) for line in progress)


def test_a_study_says_what_is_missing(tmp_path, mtt):
    data, _ = mtt
    study = tmp_path / "small.yaml"
    study.write_text("name: small\ndescription: two\ngrid: {encoder: [mfcc, chroma], task: mtt, seed: 0}\n")
    bench_json("run", "--encoder", "mfcc", "--task", "mtt", "--data", data, "--store", tmp_path / "s")
    arguments = ["--store", tmp_path / "s", "--study", study, "--data", data]
    result = bench("report", *arguments, "-o", tmp_path / "r.html")
    assert result.returncode == 0, result.stderr
    text = Page((tmp_path / "r.html").read_text()).text
    assert "1 of the study's 2 runs have no score yet" in text
    assert "mtt on chroma (as-given), linear, seed 0" in text
    assert f"bench run --study {study} --data DIR" in text


def test_a_thousand_runs_fit_a_page(tmp_path):
    encoders = [f"encoder {number}" for number in range(20)]
    store = fill(tmp_path / "store", grid(encoders, ["mtt", "gtzan", "emotion", "key", "a", "b"], range(8)))
    text = render(collect(store, load_registry()))
    assert len(text.encode()) < 3e6
