"""Maps of clips: laid out, counted, and shown by `bench report --look`."""

from __future__ import annotations

import json

import numpy as np
import pytest
from report_store import fill, make_record

from analysis.report import render
from benchmark.registry.registry import load_registry
from benchmark.report.contents import collect
from benchmark.visualisation.maps import lay_out


def test_maps_place_clips_of_a_class_together_and_count_neighbours():
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1, 2], 15)
    centres = 10 * np.eye(3, 8)[classes]
    points, neighbours = lay_out(centres + 0.1 * rng.standard_normal((45, 8)), classes)
    assert neighbours == 1.0
    middle = np.stack([points[classes == k].mean(axis=0) for k in range(3)])
    own = np.linalg.norm(points - middle[classes], axis=1).max()
    apart = min(np.linalg.norm(middle[i] - middle[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    assert own < apart / 2
    _, chance = lay_out(rng.standard_normal((300, 8)), np.repeat([0, 1, 2], 100))
    assert abs(chance - 1 / 3) < 0.12


@pytest.mark.parametrize("features", [np.ones((30, 8)), np.arange(30.0)[:, None]])
def test_features_that_hardly_vary_are_laid_out(features):
    points, share = lay_out(features, np.arange(30) % 2)
    assert points.shape == (30, 2)
    assert np.isfinite(points).all()
    assert 0 <= share <= 1


def test_the_page_shows_maps_of_what_the_store_holds(tmp_path):
    store, rng = tmp_path / "store", np.random.default_rng(0)
    records = [make_record(name, "gtzan", 0) for name in ("a", "b")]
    fill(store, records)
    clips = np.array([f"clip {number}" for number in range(30)])
    for record in records:
        (step,) = (step for step in record.steps if step.kind == "embed")
        folder = store / "artifacts" / "embed" / step.key
        folder.mkdir(parents=True)
        rows = rng.standard_normal((60, 4)).astype(np.float32)
        rows.tofile(folder / "embeddings.0.float32")
        first = np.arange(0, 61, 2)
        times = {"seconds": np.zeros(60, np.float32), "durations": np.ones(30, np.float32)}
        np.savez(folder / "index.npz", layers=np.array([""]), dims=[4], clip_ids=clips, first=first, **times)
    document = collect(store, load_registry(), look=True)
    assert document["maps"] == []  # the labels are gone
    label = "c" * 40
    (store / "artifacts" / "label" / label).mkdir(parents=True)
    classes = np.arange(30)[:, None] % 2
    arrays = {"kind": "multiclass", "clip_ids": clips, "splits": np.array(["test"] * 24 + ["train"] * 6)}
    arrays |= {"labels": classes, "label_names": np.array(["rock", "pop"]), "groups": clips}
    np.savez(store / "artifacts" / "label" / label / "labels.npz", **arrays)
    for record in records:
        cost = {"kind": "label", "key": label, "seconds": 1.0, "peak_memory_bytes": 1, "device": "x86"}
        whole = record.model_dump() | {
            "steps": [*record.model_dump()["steps"][:-1], cost, record.model_dump()["steps"][-1]]
        }
        (store / "artifacts" / "score" / record.steps[-1].key / "record.json").write_text(json.dumps(whole))
    document = collect(store, load_registry(), look=True)
    assert [len(found["x"]) for found in document["maps"]] == [24, 24]
    assert document["maps"][0]["label"] == classes[:24, 0].tolist()
    page = render(document)
    assert '<section id="look">' in page
    share = document["maps"][0]["neighbours"]
    assert f'data-value="{share}">{100 * share:.0f} %' in page
