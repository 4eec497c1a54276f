"""The commands and citations that a report names."""

from __future__ import annotations

import re

import pytest

from benchmark.cell import Cell, options_of
from benchmark.comparison.reproduce import commands
from benchmark.registry.overrides import parse_settings
from benchmark.registry.registry import load_registry
from benchmark.report.citations import citations, shipped_references


def test_commands_are_the_fewest_full_grids():
    def run(encoder, task, seed, **more):
        factors = {"corpus": None, "recipe_name": "as-given", "protocol": "linear"}
        return Cell(encoders=encoder.split("+"), task=task, seed=seed, **factors | more)

    plain = [run(encoder, task, seed) for encoder in "ab" for task in ("mtt", "key") for seed in (0, 1)]
    assert commands(plain, False) == [
        "bench run --encoder a --encoder b --task mtt --task key --seed 0 --seed 1 --protocol linear"
    ]
    trained = {"corpus": "gtzan", "recipe_name": "tune", "settings": {"batch": 8, "epochs": 300}}
    cells = [
        run("t", "mtt", 0, **trained),
        run("t", "mtt", 0, recipe_name="untrained"),
        run("s", "mtt", 0, sample_rate=8000),
    ]
    assert commands(cells, True) == [
        "bench run --encoder t --task mtt --seed 0 --corpus gtzan --recipe tune --set batch=8"
        " --set epochs=300 --protocol linear --data DIR",
        "bench run --encoder s --task mtt --seed 0 --sample-rate 8000 --protocol linear --data DIR",
    ]
    joined = run("mfcc+chroma", "mtt", 0, sample_rate=16000, labels=0.12345678)
    assert commands([joined], False) == [
        "bench run --encoder mfcc+chroma --task mtt --seed 0 --sample-rate 16000 --protocol linear --labels 0.12345678"
    ]
    assert commands([run("x y", "mtt", 0, layer="tail_1", labels=0.1, deform="noise=20")], False) == [
        "bench run --encoder 'x y' --task mtt --seed 0 --protocol linear --layer tail_1 --labels 0.1 --deform noise=20"
    ]


def test_the_shipped_references_are_whole():
    found = shipped_references()
    assert len(found) == 6
    for key, entry in found.items():
        assert entry.count("{") == entry.count("}")
        assert re.search(r"\d{4}", key)[0] == re.search(r"year = \{(\d{4})\}", entry)[1]
        assert {"author", "title", "year"} <= set(re.findall(r"^  (\w+) =", entry, re.M))


def test_every_entry_is_cited_for_what_it_is_used_for():
    found = citations(
        load_registry(), ["tune_plus", "unknown"], ["clmr-v1"], ["jukemir", "mule"], ["gtzan", "fma_small"]
    )
    used = {entry["key"]: entry["used_for"] for entry in found}
    assert used["velezvasquez2022tailed"] == ["encoder tune_plus"]
    assert used["spijkervet2021contrastive"] == ["recipe clmr-v1"]
    assert used["castellon2021codified"] == ["protocol jukemir"]
    assert used["mccallum2022supervised"] == ["protocol mule"]
    assert used["tzanetakis2002musical"] == ["dataset gtzan"]
    assert used["kim2020one"] == ["the hierarchical analysis"]
    assert all(entry["bibtex"].startswith("@") and f"{{{entry['key']}," in entry["bibtex"] for entry in found)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.1, "0.1"),
        (0.1000001, "0.1000001"),
        (2.0, "2"),
        (1e-5, "1e-05"),
        (None, "null"),
        (True, "True"),
        ("joint", "joint"),
        ("null", '"null"'),
        ("a, b=(c)", '"a, b=(c)"'),
        ((1, 2.5), "[1,2.5]"),
        ({"kind": "lars", "trust": 1e-3}, '{"kind":lars,"trust":0.001}'),
    ],
)
def test_what_was_replaced_is_named_so_that_it_can_be_replaced_again(value, words):
    settings = {"key": value, "zoom": 3}
    cell = Cell(
        encoders=["a"], corpus="c", recipe_name="tune", settings=settings, protocol="linear", task="mtt", seed=0
    )
    assert cell.recipe == f"tune(key={words}, zoom=3)"
    assert parse_settings(text for option, text in options_of(cell) if option == "--set") == settings
