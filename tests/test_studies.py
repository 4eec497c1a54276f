"""Study files: what they expand to, what they leave out, and how they complain."""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest
from conftest import bench, bench_json

from benchmark.cell import options_of
from benchmark.console import Reporter
from benchmark.errors import UserError
from benchmark.plan.planner import Planner
from benchmark.plan.studies import SHIPPED, check_matched, load_study
from benchmark.registry.overrides import parse_settings, with_arguments
from benchmark.registry.registry import load_registry
from benchmark.store.store import Store

STUDY = """
name: small
grid:
  encoder: [tiny, mfcc]
  recipe: short
  task: [mtt, mtt-tagged]
  seed: [0, 1]
exclude:
  - {encoder: mfcc, seed: 1}
  - {task: mtt-tagged, recipe: untrained}
include:
  - {encoder: mfcc, task: mtt, labels: [0.5, 1.0]}
"""


def planned(path_or_name, tmp_path, registry=()):
    study = load_study(str(path_or_name))
    planner = Planner(load_registry(registry), Store(tmp_path / "store"), Reporter(), None)
    return study.planned(planner, False).runs


def test_a_study_is_its_grid_less_what_it_excludes_and_more_what_it_includes(tmp_path, tiny_registry):
    (tmp_path / "study.yaml").write_text(STUDY)
    runs = planned(tmp_path / "study.yaml", tmp_path, [tiny_registry])
    cells = {(run.cell.encoder, run.cell.recipe, run.cell.task, run.cell.seed, run.cell.labels) for run in runs}
    assert cells == {
        *(("tiny", "short", task, seed, 1.0) for task in ("mtt", "mtt-tagged") for seed in (0, 1)),
        *(("tiny", "untrained", "mtt", seed, 1.0) for seed in (0, 1)),
        *(("mfcc", "as-given", task, 0, 1.0) for task in ("mtt", "mtt-tagged")),
        ("mfcc", "as-given", "mtt", 0, 0.5),
    }
    assert len(runs) == len(cells)


def test_a_study_runs_and_goes_on(mtt, tiny_registry, tmp_path):
    data, _ = mtt
    (tmp_path / "study.yaml").write_text(STUDY)
    arguments = ["run", "--study", tmp_path / "study.yaml", "--data", data, "--registry", tiny_registry]
    steps = bench_json(*arguments, "--store", tmp_path / "store", "--dry-run")
    assert sum(step["kind"] == "probe" for step in steps) == 9
    assert sum(step["kind"] == "pretrain" for step in steps) == 2
    records = bench_json(*arguments, "--store", tmp_path / "store")
    assert sorted({record["labels"] for record in records}) == [0.5, 1.0]
    assert len(records) == 9
    assert bench_json(*arguments, "--store", tmp_path / "store") == records


@pytest.mark.parametrize("file", sorted(SHIPPED.glob("*.yaml")), ids=lambda file: file.stem)
def test_shipped_studies_can_be_planned(file, tmp_path):
    study = load_study(file.stem)
    assert study.name == file.stem
    assert study.source
    runs = planned(file.stem, tmp_path)
    assert len({run.probe.key for run in runs}) == len(runs) > 0
    assert all(run.cell.recipe != "untrained" for run in runs) == (not study.untrained)


def test_table_1_has_its_rows(tmp_path):
    runs = planned("tune-table-1", tmp_path)
    assert len(runs) == 3 * (17 + 3 * 2)
    assert {run.cell.recipe for run in runs} == {"tune", "tune(epochs=10000)"}


def test_mules_table_has_its_six_trainings(tmp_path):
    runs = planned("mule-table-3", tmp_path)
    assert {run.cell.encoder for run in runs} == {"mule"}
    trained = {}
    for run in runs:
        weights = run.score.needs["weights"]
        trained.setdefault((run.cell.corpus, run.cell.recipe_name), set()).add(weights.key)
        if run.cell.recipe_name != "mule-sup":  # anywhere in a segment of AudioSet, near one another in a track
            within = {"magnatagatune": 5, "audioset": None}[run.cell.corpus]
            assert weights.spec["recipe"].get("pair_within_seconds") == within
    corpora, recipes = ("magnatagatune", "audioset"), ("mule-sup", "mule-ularge", "mule-usmall")
    assert {model: len(keys) for model, keys in trained.items()} == dict.fromkeys(product(corpora, recipes), 3)
    probes = {"mtt": "mule", "gtzan": "mule-gtzan", "emotion": "mule-emomusic", "key": "mule-key"}
    assert Counter((run.cell.task, run.cell.protocol) for run in runs) == dict.fromkeys(probes.items(), 6 * 3)


def test_the_run_that_the_thesis_prints_four_times_is_planned_once(tmp_path):
    names = ("clmr-table-6-5", "clmr-table-6-6", "clmr-figure-6-3", "clmr-figure-6-4")
    runs = {name: {run.score.key: run for run in planned(name, tmp_path)} for name in names}
    assert [len(found) for found in runs.values()] == [3 * 3, 3 * 3, 3 * 8, 3 * 11]
    shared = set.intersection(*(set(found) for found in runs.values()))
    assert sorted(runs[names[0]][key].cell.seed for key in shared) == [0, 1, 2]
    for key in shared:
        recipe = runs[names[0]][key].score.needs["weights"].spec["recipe"]
        assert (recipe["batch"], recipe["epochs"], recipe["temperature"]) == (96, 500, 0.5)
        assert {step["probability"] for each in recipe["augmentation"] for step in each.values()} == {0}
        assert not recipe.get("one_sided")
    for name in names[2:]:  # one view of all the others is the crop alone
        others = [run.score.needs["weights"].spec["recipe"] for key, run in runs[name].items() if key not in shared]
        assert all(recipe["one_sided"] for recipe in others)
        on = [[step["probability"] for each in recipe["augmentation"] for step in each.values()] for recipe in others]
        assert {sum(chance > 0 for chance in chances) for chances in on} == {1}


def test_tables_of_the_thesis_have_their_rows(tmp_path):
    for name, corpora in (("clmr-table-6-1", 1), ("clmr-table-6-2", 3)):
        cells = [run.cell for run in planned(name, tmp_path)]
        predictive = [cell for cell in cells if cell.encoder == "cpc"]
        assert Counter((cell.recipe, cell.protocol) for cell in predictive) == {
            ("cpc-thesis", "cpc-linear"): 3 * corpora,
            ("cpc-thesis", "cpc-mlp"): 3 * corpora,
        }
        assert {cell.corpus for cell in predictive} == {cell.corpus for cell in cells} - {None}
    (corpus,) = {cell.corpus for cell in cells} - {"billboard", "gtzan"}
    entry = load_registry().corpus(corpus).entry
    assert (entry.dataset, entry.splits) == ("fma_medium", ("train", "valid"))
    lengths = Counter(run.cell.settings.get("epochs") for run in planned("tune-layers", tmp_path))
    layers = lengths[3000]
    assert lengths == {None: 4 * layers, 3000: layers, 10000: layers}
    warm = [run for run in planned("clmr-table-6-3", tmp_path) if run.cell.recipe_name == "clmr-v1-lars-warm"]
    assert {run.score.needs["weights"].spec["recipe"]["warmup_epochs"] for run in warm} == {30}


def test_unequal_budgets_are_refused(tmp_path):
    study = load_study("tune-matched")
    check_matched(study, {"a": 2_300_000, "b": 2_400_000, "c": 2_250_000})
    with pytest.raises(UserError, match=r"c has 1,630,744 parameters, -29% beside the median 2,300,000"):
        check_matched(study, {"a": 2_300_000, "b": 2_400_000, "c": 1_630_744})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\n", "x.yaml:1: says neither grid nor include"),
        ("grid: {encoder: a, task: b}\n", "x.yaml:1: name: Field required"),
        (
            "name: x\ngrid:\n  encoder: a\n  tasks: b\n",
            "x.yaml:4: grid.tasks: unknown key 'tasks'. Did you mean 'task'?",
        ),
        ("name: x\ngrid:\n  encoder: a\n  task: b\n  seed: -1\n", "x.yaml:5: grid.seed"),
        ("name: x\ngrid: {encoder: a, task: b}\nexclude:\n  - {coder: a}\n", "x.yaml:4: unknown factor 'coder'"),
        ("- a\n", "x.yaml:1: a study is a mapping"),
        ("name: [\n", "x.yaml:2: not valid YAML"),
    ],
)
def test_wrong_studies_are_one_line_with_file_and_line(tmp_path, text, message):
    (tmp_path / "x.yaml").write_text(text)
    result = bench("run", "--study", "x.yaml", "--store", tmp_path / "s", cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_unknown_studies_and_contradictions(tmp_path):
    with pytest.raises(UserError, match="Did you mean 'tune-table-1'"):
        load_study("tune-table1")
    result = bench("run", "--study", "tune-table-1", "--encoder", "mfcc", "--store", tmp_path / "s")
    assert (result.returncode, "leave out --encoder" in result.stderr) == (2, True)
    result = bench("run", "--study", "tune-table-1", "--epochs", 100, "--seed", 1, "--store", tmp_path / "s")
    assert (result.returncode, "leave out --seed and --epochs" in result.stderr) == (2, True)
    result = bench("run", "--store", tmp_path / "s")
    assert (result.returncode, "bench run --encoder tune_plus --task mtt" in result.stderr) == (2, True)


def test_without_untrained_twins_what_is_never_trained_stays(tiny_registry, tmp_path):
    (tmp_path / "x.yaml").write_text(
        "name: x\nuntrained: false\ngrid: {encoder: [tiny, random], task: mtt, recipe: short}\n"
    )
    arguments = ["--registry", tiny_registry, "--store", tmp_path / "s", "--dry-run"]
    result = bench("run", "--study", tmp_path / "x.yaml", *arguments)
    probes = [line for line in result.stdout.splitlines() if " probe mtt on " in line]
    assert sorted("tiny (short)" if "tiny (short)" in line else "random (untrained)" for line in probes) == [
        "random (untrained)",
        "tiny (short)",
    ], result.stdout


def test_sample_rates_are_a_factor(tmp_path):
    for rates, expected in (("16000", (16_000,)), ("[16000, 8000]", (16_000, 8_000)), ("[]", ())):
        (tmp_path / "x.yaml").write_text(f"name: x\ngrid: {{encoder: mfcc, task: mtt, sample_rate: {rates}}}\n")
        assert load_study(str(tmp_path / "x.yaml")).grid.sample_rate == expected
        names = [f"mfcc(sample_rate={rate})" for rate in expected] or ["mfcc"]
        assert [run.cell.encoder for run in planned(tmp_path / "x.yaml", tmp_path)] == names
    (tmp_path / "x.yaml").write_text("name: x\ngrid: {encoder: mfcc, task: mtt, sample_rate: [16000, 16]}\n")
    with pytest.raises(UserError, match=r"x.yaml:2: grid.sample_rate.1: .* greater than or equal to 1000"):
        load_study(str(tmp_path / "x.yaml"))


def test_arguments_of_encoders_are_a_factor(tiny_registry, tmp_path):
    (tmp_path / "x.yaml").write_text(
        "name: x\ngrid: {encoder: mfcc, task: mtt, arguments: [{}, {coefficients: 13}, {sample_rate: 16000}]}\n"
    )
    runs = planned(tmp_path / "x.yaml", tmp_path)
    assert [run.cell.encoder for run in runs] == ["mfcc", "mfcc(coefficients=13)", "mfcc(sample_rate=16000)"]
    starts = [run.score.needs["weights"] for run in runs]
    assert len({start.key for start in starts}) == 3
    assert "arguments" not in runs[0].score.spec["run"]
    assert [step.context["encoder"].entry.args.get("coefficients") for step in starts] == [None, 13, None]
    assert [run.score.needs["labels"].needs["pcm"].spec["sample_rate"] for run in runs] == [22_050, 22_050, 16_000]
    for run in runs:
        given = parse_settings((text for option, text in options_of(run.cell) if option == "--arg"), "--arg")
        assert given == run.cell.arguments
    # A name with dots leads into a mapping, and leaves the registry's own entry as it is.
    named = load_registry().encoder("mule_eighth")
    changed = with_arguments(named, {"front_end.bands": 64, "width": 0.25}, None)
    assert changed.name == "mule_eighth(front_end.bands=64, width=0.25)"
    assert changed.entry.args == {"front_end": {**named.entry.args["front_end"], "bands": 64}, "width": 0.25}
    assert named.entry.args["front_end"]["bands"] == 96
    for argument, said in (
        ("width.a=1", "encoder mfcc: it has no argument width with parts, as width.a needs"),
        ("filters=3", "unexpected keyword argument 'filters'"),
        ("width", "--arg width: must look like KEY=VALUE, e.g. front_end.bands=64"),
    ):
        result = bench("run", "--encoder", "mfcc", "--task", "mtt", "--arg", argument, "--store", tmp_path / "s")
        assert result.returncode == 2
        (line,) = [line for line in result.stderr.splitlines() if line.startswith("bench: ")]
        assert said in line


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{encoder: mfc}", "exclusion 2: no run has the encoder 'mfc'; there are: 'mfcc', 'random'"),
        ('{seed: "1"}', "exclusion 2: no run has the seed '1'; there are: 0, 1"),
        ("{encoder: [mfcc, tiny]}", "exclusion 2: no run has the encoder 'tiny'"),
        ("{encoder: mfcc, recipe: untrained}", "exclusion 2: no run agrees in all of encoder, recipe"),
        ("{seed: {a: 1}}", "exclusion 2: no run has the seed {'a': 1}"),
    ],
)
def test_what_leaves_out_nothing_is_a_slip(tmp_path, pattern, message):
    (tmp_path / "x.yaml").write_text(
        "name: x\ngrid: {encoder: [mfcc, random], task: mtt, seed: [0, 1]}\n"
        f"exclude:\n  - {{encoder: random, seed: 0}}\n  - {pattern}\n"
    )
    with pytest.raises(UserError) as caught:
        planned(tmp_path / "x.yaml", tmp_path)
    assert f"study x: {message}" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\ngrid:\n  encoder: &e [mfcc, *e]\n", "x.yaml:3: grid.encoder: is a part of itself"),
        (
            "name: x\ngrid: {encoder: a, task: b, settings: [{epochs: 2020-01-01}]}\n",
            "x.yaml:2: grid.settings.epochs: 2020-01-01 is a date in YAML; put it in quotes",
        ),
        (
            "name: x\ngrid: {encoder: a, task: b, settings: [{temperature: .inf}]}\n",
            "x.yaml:2: grid.settings.temperature: must be a finite number, not .inf",
        ),
    ],
)
def test_values_that_no_key_can_hold_are_refused(tmp_path, text, message):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        load_study(str(tmp_path / "x.yaml"))
    assert message in str(caught.value)
