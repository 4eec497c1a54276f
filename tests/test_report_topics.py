"""Maps with the topics of sources laid over: what the heads of a training expect of other clips."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from analysis.pages.svg import page_style
from analysis.report import source_drawings
from benchmark.visualisation.topics import topic_maps

CLIPS, WINDOWS, WIDTH = 24, 2, 4
NAMES = ("self", "tag", "bpm")
TERMS = {"tag": [[("loud", 0.5), ("rock", 0.3)], [("soft", 0.6), ("strings", 0.2)]]}


def factors(name):
    if name in TERMS:
        return [{"share": 0.5, "terms": terms, "mean": None, "deviation": None} for terms in TERMS[name]]
    return [{"share": 0.5, "terms": [], "mean": mean, "deviation": 5.0} for mean in (80.2, 140.0)]


@pytest.fixture
def store(tmp_path):
    """Embeddings of three branches, in which a clip's parity is read by one head and its half by the other."""
    artifacts = tmp_path / "artifacts"
    folders = {kind: artifacts / kind / f"{kind}0" for kind in ("pretrain", "embed", "label")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = 0.1 * rng.standard_normal((CLIPS * WINDOWS, WIDTH * len(NAMES))).astype(np.float32)
    clip = np.repeat(np.arange(CLIPS), WINDOWS)
    rows[:, WIDTH] += clip % 2  # the first value of the branch of tag
    rows[:, 2 * WIDTH] += clip >= CLIPS // 2  # and of that of bpm
    rows.tofile(folders["embed"] / "embeddings.0.float32")
    ids = np.array([f"clip {number}" for number in range(CLIPS)])
    np.savez(
        folders["embed"] / "index.npz", layers=np.array([""]), dims=[rows.shape[1]], clip_ids=ids,
        first=np.arange(0, len(rows) + 1, WINDOWS), seconds=np.zeros(len(rows), np.float32),
        durations=np.ones(CLIPS, np.float32),
    )  # fmt: skip
    np.savez(
        folders["label"] / "labels.npz", kind="multiclass", clip_ids=ids, splits=np.array(["test"] * CLIPS),
        labels=np.arange(CLIPS)[:, None] % 2, label_names=np.array(["rock", "pop"]), groups=ids,
    )  # fmt: skip
    weight = np.zeros((2, WIDTH), np.float32)
    weight[:, 0] = (-4, 4)
    heads = {f"{name}.0.{part}": value for name in NAMES[1:]
             for part, value in (("weight", weight), ("bias", np.array([2, -2], np.float32)))}  # fmt: skip
    save_file(heads, folders["pretrain"] / "heads.safetensors")
    (folders["pretrain"] / "manifest.json").write_text(json.dumps({"facts": {"sources": NAMES}}))
    return tmp_path


def asked(store, strategy="MS-CR@4"):
    steps = {f"{kind}0": {"kind": kind} for kind in ("pretrain", "embed", "label")}
    run = {"task": "gtzan-all", "departs": [], "standin": True, "steps": [*steps, "source tag", "source bpm"],
           "carried": {"strategy": strategy, "n_sources": 3}}  # fmt: skip
    sources = [{"key": f"source {name}", "source": name, "factors": factors(name)} for name in NAMES[1:]]
    return topic_maps(store, [run], steps, sources)


def test_each_head_reads_its_own_branch(store):
    (found,) = asked(store)
    assert [row["source"] for row in found["sources"]] == ["tag", "bpm"]  # of self there are no topics
    tag, bpm = found["sources"]
    assert tag["topic"] == [number % 2 for number in range(CLIPS)]
    assert bpm["topic"] == [int(number >= CLIPS // 2) for number in range(CLIPS)]
    assert tag["names"] == ["loud, rock", "soft, strings"]
    assert bpm["names"] == ["80", "140"]
    assert found["title"] == "gtzan-all by MS-CR@4 of self, tag, bpm"
    assert len(found["x"]) == CLIPS
    with page_style():
        panels = source_drawings.topics(found).axes
    assert [panel.get_title() for panel in panels[:2]] == ["tag", "bpm"]
    assert [text.get_text() for text in panels[0].texts] == tag["names"]
    x, y = np.array(found["x"]), np.array(found["y"])
    assert panels[0].texts[0].get_position() == (np.median(x[::2]), np.median(y[::2]))


def test_without_heads_or_branches_there_is_no_map(store):
    assert asked(store, "MS-SR@FC") == []
    (store / "artifacts" / "pretrain" / "pretrain0" / "heads.safetensors").unlink()
    assert asked(store) == []
