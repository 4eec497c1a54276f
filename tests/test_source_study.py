"""A study of sources of labels in reports: what its figures show is what the scores say, and lme4's models are ours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_store import fill, make_record
from scipy import stats

from analysis.pages.svg import page_style
from analysis.report import source_drawings
from analysis.report.groups import form_groups
from analysis.report.over_tasks import MOST_LEVELS, over_tasks
from analysis.report.source_study import (
    SIZES,
    best_sources,
    line,
    parameters,
    shares,
    source_studies,
    source_study,
)
from benchmark.plan.studies import load_study
from benchmark.registry.registry import load_registry
from benchmark.report.contents import collect

GOLDEN = Path(__file__).parent / "golden" / "multisource"
SOURCES = ["self", "year", "bpm", "taste", "tag", "lyrics", "cdr_tag", "artist"]
RECIPE = "kim2020-demo(batch=16, epochs=4, learning_rate=0.002)"


@pytest.fixture(scope="module")
def table():
    scores = pd.read_csv(GOLDEN / "scores_A.csv").rename(columns={"dataset": "task"})
    # A network of its own behind every score, as the study's models have it.
    return scores.drop(columns="run").assign(parameters=1_000 * scores["n_sources"])


@pytest.fixture(scope="module")
def study(table):
    return source_study(table, refits=0)


def test_both_models_and_the_components_are_those_of_lme4(study):
    golden = json.loads((GOLDEN / "lme4_A.json").read_text())
    assert study.reasons == []
    assert study.by_strategy["reml"] == pytest.approx(golden["model1"]["reml_criterion"], abs=1e-5)
    assert study.by_size["reml"] == pytest.approx(golden["model2"]["reml_criterion"], abs=1e-5)
    assert list(study.strategies) == list(SIZES) == golden["about"]["coding"]["strategies"]
    found = {(share["group"], share["source"]): share["variance"] for share in study.components}
    for task, stated in golden["table6"].items():
        for source, variance in stated["variance"].items():
            assert found[task, source] == pytest.approx(variance, abs=2e-4)
    points, correlation = shares(study)
    assert len(points) == 7 * 8
    alone = {(one.task, one.source): one.alone for one in points}
    percents = {(one.task, one.source): one.percent for one in points}
    assert correlation == pytest.approx(stats.pearsonr(list(alone.values()), list(percents.values()))[0])
    (most,) = (key for key, percent in percents.items() if percent == max(percents.values()))
    assert most == ("Ballroom", "bpm")


def test_single_sources_strategies_and_parameters_are_read_off_the_table(table, study):
    rows = table[(table["task"] == "IRMAS") & (table["strategy"] == "SS-R") & (table["artist"] == 1)]
    assert len(rows) == 6
    assert study.alone("IRMAS", "artist") == rows["score"].tolist()
    assert sorted(study.sources) == sorted(SOURCES)
    assert len(study.of("FMA", "MS-CR@6")) == 80
    assert {strategy: points[-1] for strategy, points in parameters(study).items()} == {
        "SS-R": (1, 1_000), **dict.fromkeys(list(SIZES)[1:], (8, 8000))
    }  # fmt: skip
    standardised = study.of("FMA")["y"]
    assert standardised.mean() == pytest.approx(0, abs=1e-12)
    assert standardised.std() == pytest.approx(1)


def test_what_the_best_source_brings_is_an_effect_beside_the_number_of_sources(study):
    found = best_sources(study)
    means = {source: np.mean(study.alone("Ballroom", source)) for source in SOURCES}
    assert found["Ballroom"].source == max(means, key=means.get) == "bpm"
    for task, best in found.items():
        rows = study.several(task)
        expected = stats.linregress(
            rows.loc[rows[best.source] == 1, "n_sources"], rows.loc[rows[best.source] == 1, "y"]
        )
        assert (best.with_it.intercept, best.with_it.slope) == pytest.approx((expected.intercept, expected.slope))
        # Least squares on two columns: the part of one that the other does not say.
        x, y, n = (rows[name].to_numpy(float) for name in (best.source, "y", "n_sources"))
        rest = x - np.polyval(np.polyfit(n, x, 1), n)
        assert best.difference == pytest.approx(rest @ y / (rest @ rest))
        assert best.lower < best.difference < best.upper
    assert found["Ballroom"].lower > 1


def test_the_band_of_a_line_is_that_of_its_mean():
    x = np.array([2.0, 2, 3, 4, 5, 5, 7])
    y = np.array([0.1, 0.3, 0.2, 0.6, 0.4, 0.9, 0.8])
    fitted = line(pd.DataFrame({"n_sources": x, "y": y}))
    known = stats.linregress(x, y)
    assert (fitted.slope, fitted.intercept) == pytest.approx((known.slope, known.intercept))
    residual = np.sqrt(((y - known.intercept - known.slope * x) ** 2).sum() / 5)
    half = stats.t.ppf(0.975, 5) * residual * np.sqrt(1 / 7 + (2 - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum())
    assert (fitted.upper[0] - fitted.lower[0]) / 2 == pytest.approx(half)
    assert line(pd.DataFrame({"n_sources": [], "y": []})) is None
    assert line(pd.DataFrame({"n_sources": [3, 3], "y": [0.0, 1.0]})).numbers == []


def test_figures_hold_the_scores(study):
    with page_style():
        panel = source_drawings.single_sources(study).axes[0]
        drawn = [found.get_ydata().tolist() for found in panel.lines]
        assert [study.alone("Ballroom", source) for source in study.sources] == drawn[::2]
        boxes = source_drawings.strategies(study).axes[2]
        mean = next(found for found in boxes.lines if found.get_marker() == "o")
        assert mean.get_ydata()[0] == pytest.approx(study.of("GTZAN", "SS-R")["score"].mean())
        numbers = source_drawings.numbers_of_sources(study).axes[0]
        assert sum(len(found.get_xdata()) for found in numbers.lines if found.get_linestyle() == "None") == 425
        ends = source_drawings.with_or_without_the_best(study).axes[0].lines
        assert sum(len(found.get_xdata()) for found in ends if found.get_marker() == "o") == 377
        components = source_drawings.score_against_component(study).axes[0]
        assert sum(len(found.get_xdata()) for found in components.lines) == 56
        sizes = source_drawings.sizes(study).axes[0]
        assert max(found.get_ydata().max() for found in sizes.lines) == pytest.approx(0.008)


def test_tables_that_are_no_such_study_are_left_alone(table):
    assert source_study(table.drop(columns="strategy")) is None
    assert source_study(table.drop(columns="bpm")) is None  # the rest does not add up
    assert source_study(table[table["strategy"] == "SS-R"]) is None
    assert source_study(table.assign(strategy=table["strategy"] + "!")) is None
    exported = table.assign(labels=1.0, lacking_test=0, seed=0, standin=True)
    assert source_study(exported, refits=0).sources == [name for name in table.columns if name in SOURCES]
    few = source_study(table[table["task"] == "FMA"].groupby("strategy").head(1), refits=0)
    assert few is None or few.reasons or few.by_strategy


def test_hundreds_of_representations_are_not_compared_pair_by_pair(tmp_path):
    """Which would take hours; the study's own models compare strategies."""
    records = [make_record(f"e{number}", task, 0) for number in range(MOST_LEVELS + 1) for task in ("irmas", "key")]
    found = over_tasks(form_groups(collect(fill(tmp_path / "store", records), load_registry())["runs"]), False)
    assert found.analysis is None
    assert found.reason.startswith(
        f"a page cannot compare {MOST_LEVELS + 1} representations pair by pair; bench analyze"
    )
    assert len(found.heat.representations) == MOST_LEVELS + 1


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    """The small study's runs on two tasks, with scores that know what is behind them, and a baseline."""
    demo = load_study("kim-demo")
    store, records = tmp_path_factory.mktemp("kim") / "store", []
    for run in demo.tabled:
        (encoders,), (arguments,) = run.grid.of("encoders"), run.grid.of("arguments")
        for task in set(run.grid.task) & {"irmas", "lastfm"}:
            score = 0.3 + 0.2 * run.carried["tag"] + 0.01 * run.carried["n_sources"] + 0.001 * len(records) % 7
            records.append(
                make_record(encoders, task, run.grid.of("seed")[0], corpus="multisource", recipe=RECIPE,
                            protocol=run.grid.of("protocol")[0], score=score, data="stand-in", arguments=arguments)
            )  # fmt: skip
    records += [make_record("mfcc", "irmas", 0, recipe="as-given", protocol="kim", score=0.25, data="stand-in")]
    return collect(fill(store, records), load_registry(), demo)


def test_the_page_has_the_section_for_a_study_of_sources(document):
    from analysis.report import render

    (study,) = source_studies(form_groups(document["runs"]))
    assert (len(study.table), study.standin) == (2 * 61, True)
    assert study.baselines == {"irmas": {"mfcc": 0.25}}
    found = best_sources(study)
    assert {task: best.source for task, best in found.items()} == {"irmas": "tag", "lastfm": "tag"}
    page = render(document)
    section = page.partition('<section id="source-study">')[2].partition("</section>")[0]
    for words in ("Single sources", "Strategies", "Number of sources", "With or without the best source", "Parameters"):
        assert f"<h4>{words}</h4>" in section
    assert section.count("<svg") >= 5
    mean = np.mean(study.alone("irmas", "tag"))
    assert f'<tr><th scope="row">tag</th><td class="n" data-value="{mean}">{mean:.3f}' in section
    assert "<em>mfcc</em>" in section
    plain = {**document, "runs": [{**run, "carried": {}} for run in document["runs"]]}
    assert 'id="source-study"' not in render(plain)
    assert "carried" in json.loads(render(document, "json"))["runs"][0]
