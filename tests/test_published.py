"""The papers' numbers that ship with the report, against the papers' text, and beside our scores."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from report_store import fill, grid, make_record

from analysis.report.groups import form_groups
from analysis.report.published import compare, published_numbers
from benchmark.registry.registry import load_registry
from benchmark.report.contents import collect
from tasks.metrics import METRICS, split_name

PAPERS = Path(__file__).parent.parent.parent / "shared" / "papers"
TUNE, THESIS, MULE = "Vélez Vásquez & Burgoyne 2022", "Spijkervet 2021 (thesis)", "McCallum et al. 2022"
NUMBERS = published_numbers()


def pick(source: str, table: str, model: str, **more: object) -> dict[str, float]:
    """Values by metric of the rows with these fields."""
    rows = [n for n in NUMBERS if (n.source, n.table, n.model) == (source, table, model)]
    rows = [n for n in rows if all(getattr(n, name) == value for name, value in more.items())]
    assert rows
    return {f"{n.task or n.split} {n.metric}": n.value for n in rows}


def test_the_table_is_complete():
    counts = Counter((number.source, number.table) for number in NUMBERS)
    assert counts == {
        (TUNE, "1"): 2 * 17 + 2 + 3 * 4,
        (TUNE, "2"): 9 * 4,
        (TUNE, "S1"): 3 * 2 + 6 * 4,
        (TUNE, "S2"): 7 * 6,
        (THESIS, "6.1"): 19,
        (THESIS, "6.2"): 6 * 4 + 2,
        (THESIS, "6.3"): 12,
        (THESIS, "6.4"): 24,
        (THESIS, "6.5"): 12,
        (THESIS, "6.6"): 12,
        (THESIS, "Figure 6.3"): 7,
        (THESIS, "Figure 6.4"): 10,
        (MULE, "3"): 6 * 12 + 6 + 3 + 9,
        (MULE, "4"): 6 * 14 + 10,
    }
    assert all(0 < number.value < 1 for number in NUMBERS)


def test_every_name_is_one_of_the_registry():
    registry = load_registry()
    for number in NUMBERS:
        for section, name in (
            ("encoders", number.encoder), ("recipes", number.recipe), ("tasks", number.task),
            ("protocols", None if number.protocol == "end-to-end" else number.protocol),
        ):  # fmt: skip
            assert name is None or name in registry.sections[section], number
        assert number.corpus is None or number.corpus in {*registry.sections["corpora"], "musicset"}
        assert split_name(number.metric)[0] in METRICS
        if number.task:
            entry = registry.task(number.task).entry
            assert number.metric in entry.metrics
            assert re.sub(r"\s*/\s*", "/", entry.description).count(number.split) == 1


def table(file: str) -> list[list[str]]:
    """Tab-separated rows of a paper's text, without markup."""
    path = PAPERS / file
    if not path.is_file():
        pytest.skip("the papers' texts are not here")
    text = re.sub(r"</?(?:b|sup|sub)>|†", "", path.read_text(encoding="utf-8"))
    return [
        [re.sub(r"\s+", " ", cell).strip() for cell in line.split("\t")] for line in text.splitlines() if "\t" in line
    ]


def cells(text: str) -> list[float]:
    """Numbers of a cell such as ``89.5 (89.6)``, in percent."""
    return [float(value) / 100 for value in re.findall(r"\d+\.\d+", text)]


def test_tune_table_1_is_the_papers():
    rows = {re.sub(r" \[\d+\]", "", row[0]): row for row in table("tune_2022.txt") if len(row) == 8}
    for number in NUMBERS:
        if (number.source, number.table) == (TUNE, "1"):
            column = rows[number.model][6 if number.metric == "roc_auc" else 7]
            assert number.value == pytest.approx(cells(column)[1 if number.protocol in ("tune-mlp", "clmr-mlp") else 0])


def test_tune_table_2_is_the_papers():
    corpora = {"fma-medium": "FMA", "gtzan": "GTZAN", "billboard": "Billboard"}
    rows = {(row[0], row[1]): row for row in table("tune_2022.txt") if len(row) == 4}
    found = [number for number in NUMBERS if (number.source, number.table) == (TUNE, "2")]
    for number in found:
        column = rows[number.model, corpora[number.corpus]][2 if number.metric == "roc_auc" else 3]
        assert number.value == pytest.approx(cells(column)[1 if number.protocol in ("tune-mlp", "clmr-mlp") else 0])


def test_the_appendixs_tables_are_the_papers():
    path = PAPERS / "tune_2022_appendix.txt"
    if not path.is_file():
        pytest.skip("the papers' texts are not here")
    lines = [re.split(r"\s{2,}", line.strip()) for line in path.read_text(encoding="utf-8").splitlines()]
    s1 = {(re.sub(r" \[\d+\]", "", row[0]), row[1]): row for row in lines if len(row) == 4}
    s2 = {re.sub(r" \[.*\]|†", "", row[0]).strip(): row for row in lines if len(row) == 7 and row[1][0].isdigit()}
    order = [
        "mtt roc_auc",
        "mtt average_precision",
        "gtzan accuracy",
        "key key_weighted",
        "emotion r2.arousal",
        "emotion r2.valence",
    ]
    for number in NUMBERS:
        if (number.source, number.table) == (TUNE, "S1"):
            column = s1[number.model, str(number.epochs)][2 if number.metric == "roc_auc" else 3]
            assert number.value == pytest.approx(cells(column)[1 if number.protocol in ("tune-mlp", "clmr-mlp") else 0])
        if (number.source, number.table) == (TUNE, "S2"):
            column = s2[number.model][1 + order.index(f"{number.task} {number.metric}")]
            assert number.value == pytest.approx(cells(column)[0])


def test_the_thesis_tables_are_the_thesiss():
    metrics = ["roc_auc", "average_precision", "roc_auc_clipwise", "average_precision_clipwise"]
    corpora = {"fma-medium-known": "FMA", "gtzan": "GTZAN", "billboard": "Billboard", "msd": "MSD"}
    rows = table("clmr_thesis_2021.txt")
    transfer = {(row[0], row[1]): row[3:] for row in rows if len(row) == 5 and row[2] == "MTAT"}
    others = {row[0].replace(" ", ""): row[1:] for row in rows if len(row) == 5 and row[2] != "MTAT"}
    best = {(re.sub(r" ?\(ours\)", "", row[0]), row[1]): row[2:] for row in rows if len(row) == 4}
    seen = Counter()
    for number in NUMBERS:
        if number.source == THESIS and not number.table.startswith("Figure"):
            column = metrics.index(number.metric)
            second = 1 if number.protocol in ("clmr-mlp", "cpc-mlp") else 0
            if number.table == "6.1":
                data = "MSD" if number.task == "msd" else "MTAT"
                text = best[number.model, data][column].replace("**", "")
            elif number.table == "6.2":
                text = transfer[number.model, corpora[number.corpus]][column]
            else:
                key = (
                    str(number.epochs)
                    if number.table == "6.4"
                    else re.findall(r"[\d.]+", number.model.replace(" ", ""))[0]
                )
                text = others[key][column]
            assert number.value == pytest.approx(cells(text)[second]), number
            seen[number.table] += 1
    assert sorted(seen) == ["6.1", "6.2", "6.3", "6.4", "6.5", "6.6"]


def test_mccallums_tables_are_the_papers():
    rows = [row for row in table("mccallum_2022_supervised_unsupervised.txt") if len(row) in (13, 15)]
    for number, width in (("3", 13), ("4", 15)):
        for model in (
            "Musicset-Sup",
            "Audioset-Sup",
            "Musicset-ULarge",
            "Audioset-ULarge",
            "Musicset-USmall",
            "Audioset-USmall",
        ):
            (row,) = (row[1:] for row in rows if row[0] == model and len(row) == width)
            ours = [n.value for n in NUMBERS if (n.source, n.table, n.model) == (MULE, number, model)]
            assert ours == pytest.approx([float(cell) for cell in row])
    found = pick(MULE, "3", "Jukebox")
    assert (found["key key_weighted"], found["emotion r2.valence"], found["mtt roc_auc"]) == (0.667, 0.617, 0.915)


def groups_of(tmp_path, records):
    return form_groups(collect(fill(tmp_path / "store", records), load_registry())["runs"])


def test_ours_is_the_nearest_run_of_the_same_task_encoder_and_corpus(tmp_path):
    records = [
        make_record("tune_plus", "mtt", 0, protocol="tune-linear", score=0.882),
        make_record("tune_plus", "mtt", 1, protocol="tune-linear", score=0.892),
        make_record("tune_plus", "mtt", 0, protocol="linear", score=0.7),
        make_record(
            "tune_plus", "mtt", 0, protocol="tune-linear", recipe="tune(epochs=10000)", epochs=10000, score=0.9
        ),
        make_record("tune_plus", "mtt", 0, protocol="tune-linear", recipe="tune(temperature=0.1)", score=0.5),
        make_record("tune_plus", "mtt", 0, protocol="tune-linear", corpus="gtzan", score=0.86),
    ]
    (group,) = groups_of(tmp_path, records)
    found = {
        (c.published.table, c.published.corpus, c.published.epochs, c.published.protocol): c
        for c in compare(group, NUMBERS)
        if c.published.metric == "roc_auc" and c.published.encoder == "tune_plus"
    }
    same = found["1", "magnatagatune", 1000, "tune-linear"]
    assert same.ours.mean == pytest.approx(0.887)
    assert same.differs == []
    assert same.difference == pytest.approx((-0.005, -0.025, 0.015))
    longer = found["S1", "magnatagatune", 10000, "tune-linear"]
    assert (longer.ours.mean, longer.differs) == (pytest.approx(0.9), [])
    mid = found["S1", "magnatagatune", 3000, "tune-linear"]
    assert mid.differs in (["1,000 epochs instead of 3,000 epochs"], ["10,000 epochs instead of 3,000 epochs"])
    assert found["2", "gtzan", None, "tune-linear"].difference[0] == pytest.approx(0.86 - 0.872)
    assert found["2", "billboard", None, "tune-linear"].ours is None


def test_mules_six_models_stand_beside_trainings_by_their_recipes(tmp_path):
    """Musicset is private: MagnaTagATune stands in its place, and the last column says so."""
    within = "pair_within_seconds=null"
    ways = [
        ("magnatagatune", "mule-sup", 0.80), ("magnatagatune", "mule-ularge(chunk=60)", 0.81),
        ("audioset", "mule-sup", 0.70), ("audioset", f"mule-ularge({within})", 0.71),
        ("audioset", f"mule-usmall({within})", 0.72), ("audioset", "mule-usmall", 0.5),
    ]  # fmt: skip
    records = []
    for corpus, recipe, score in ways:
        record = make_record(
            "mule", "gtzan", 0, corpus=corpus, recipe=recipe, protocol="mule-gtzan", score=score, epochs=None
        )
        for entry in record.spec["lineage"].values():
            entry["spec"]["recipe"]["pairs"] = {"mule-ularge": 384_000_000, "mule-usmall": 51_200_000}.get(
                record.recipe_name
            )
        records.append(record)
    (group,) = groups_of(tmp_path, records)
    found = {c.published.model: c for c in compare(group, NUMBERS) if c.published.encoder == "mule"}
    private = "corpus magnatagatune in place of musicset, which is private"
    assert {model: (c.ours.mean, list(c.differs)) for model, c in found.items()} == {
        "Musicset-Sup": (0.8, [private]),
        "Musicset-ULarge": (0.81, [private, "chunk 60"]),
        "Musicset-USmall": (0.8, [private, "recipe mule-sup instead of mule-usmall"]),
        "Audioset-Sup": (0.7, []),
        "Audioset-ULarge": (0.71, []),
        "Audioset-USmall": (0.72, []),
    }


def test_a_part_of_the_clips_and_a_length_that_is_not_told_are_differences(tmp_path):
    some = make_record("tune_plus", "gtzan", 0, protocol="jukemir", recipe="tune(epochs=1)", epochs=1)
    some = some.model_copy(update={"n_scored": {**some.n_scored, "test": 29}})
    (group,) = groups_of(tmp_path, [some])
    found = [c for c in compare(group, NUMBERS) if c.published.table == "S2" and c.ours is not None]
    assert found
    for comparison in found:
        assert "1 epochs, theirs not told" in comparison.differs
        assert "29 of 300 test clips" in comparison.differs


def test_settings_must_be_those_of_the_paper(tmp_path):
    off = ", ".join(
        f"augmentation.{name}.probability=0"
        for name in ("delay", "filter", "gain", "noise", "pitch", "polarity", "reverb")
    )
    ways = (("sample_cnn", "batch=96, epochs=3000", 3000), ("sample_cnn", f"{off}, batch=96, temperature=0.1", 9),
            ("sample_cnn_8k", off, 10000))  # fmt: skip
    records = [
        make_record(encoder, "mtt", 0, protocol="clmr-linear", recipe=f"clmr-v1({settings})", epochs=epochs)
        for encoder, settings, epochs in ways
    ]
    (group,) = groups_of(tmp_path, records)
    found = [c for c in compare(group, NUMBERS) if c.ours is not None and c.published.metric == "roc_auc"]
    exact = [c for c in found if not c.differs]
    assert [(c.published.table, c.published.model) for c in exact] == [
        ("6.1", "CLMR"), ("6.3", "CLMR, batch 96"), ("6.4", "CLMR")
    ]  # fmt: skip
    assert [c.published.value for c in exact] == pytest.approx([0.8849] * 3)
    (cold,) = [c for c in found if c.published.table == "6.6"]
    assert cold.published.model == "CLMR, temperature 0.1, crops only"
    assert cold.published.value == pytest.approx(0.8582)
    assert cold.differs == ["9 epochs, theirs not told"]
    (slow,) = [c for c in found if c.published.table == "6.5"]
    assert slow.differs == ["10,000 epochs, theirs not told", "the recipe's batch, theirs not told"]


def test_one_sided_figures_stand_beside_their_own_training(tmp_path):
    """All augmentations are given; the one that is on, and on how many views, tells the figures apart."""
    names = ("polarity", "noise", "gain", "filter", "delay", "pitch", "reverb")

    def recipe(sided, **on):
        chances = [f"augmentation.{name}.probability={on.get(name, 0)}" for name in sorted(names)]
        return f"clmr-v1({', '.join([*chances, 'batch=96', 'epochs=500', *sided])})"

    ways = (recipe(["one_sided=true"], filter=1), recipe(["one_sided=true"], filter=0.4), recipe([], filter=0.8))
    records = [
        make_record("sample_cnn", "mtt", 0, protocol="clmr-linear", recipe=way, epochs=500, score=score)
        for way, score in zip(ways, (0.7, 0.6, 0.5), strict=True)
    ]
    (group,) = groups_of(tmp_path, records)
    found = [c for c in compare(group, NUMBERS) if c.ours is not None]
    assert [(c.published.table, c.published.model, c.published.value) for c in found] == [
        ("Figure 6.3", "CLMR, filter at 1 beside the crop", 0.3332),
        ("Figure 6.4", "CLMR, filter at 0.4 beside the crop", 0.3264),
    ]


def test_the_thesiss_first_table_repeats_rows_of_its_fourth():
    """ROC-AUC of 3,000 epochs beside PR-AUC of 10,000; all with the batch that section 6.6.2 names."""
    fourth = {(n.metric, n.value): (n.epochs, n.settings) for n in NUMBERS if (n.source, n.table) == (THESIS, "6.4")}
    first = [n for n in NUMBERS if (n.source, n.table, n.model, n.task) == (THESIS, "6.1", "CLMR", "mtt")]
    assert [(n.epochs, n.settings) for n in first] == [fourth[n.metric, n.value] for n in first]
    assert [n.epochs for n in first] == [3000, 10000, 10000, 10000]
    assert {n.settings for n in NUMBERS if (n.source, n.table) == (THESIS, "6.4")} == {"batch=96"}


def test_standins_and_other_tasks_have_no_published_numbers(tmp_path):
    for group in groups_of(tmp_path / "a", grid(["tune_plus"], ["mtt"], [0], data="stand-in")):
        assert compare(group, NUMBERS) == []
    for group in groups_of(tmp_path / "b", grid(["tune_plus"], ["mtt-tagged", "fma-small"], [0])):
        assert compare(group, NUMBERS) == []
