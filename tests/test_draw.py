"""Parts of the labels by the draw of the CLMR thesis: windows, of every distinct set of tags."""

from __future__ import annotations

import csv
import gzip
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_REGISTRY, bench, bench_json
from hypothesis import given, settings
from hypothesis import strategies as st
from test_targets import targets_of

from benchmark.store.pcm import read_lines
from tasks.magnatagatune import TOP_TAGS
from tasks.targets import Tags

DRAW = "windows-of-each-tag-set"
GENUINE = Path(__file__).parents[2] / "shared" / "datasets" / "magnatagatune"
SUPERVISED = """
  little-labels: {method: supervised, source: tests, epochs: 2, patience: null, batch: 2, dropout: 0,
    learning_rate: 1e-3, weight_decay: 0, augmentation: null}
"""


@settings(max_examples=40)
@given(
    kind=st.sampled_from(["multilabel", "multiclass"]),
    seed=st.integers(0, 5),
    counts=st.integers(1, 4),
    fractions=st.lists(st.floats(0.01, 1), min_size=2, max_size=4),
)
def test_every_set_of_labels_gives_the_same_share_of_its_windows(kind, seed, counts, fractions):
    targets = targets_of(kind)
    sizes = np.random.default_rng(seed).integers(1, counts + 1, len(targets))
    clip = np.repeat(np.arange(len(targets)), sizes)
    drawn = [targets.windows(sizes, fraction, seed) for fraction in sorted(fractions)]
    assert all((fewer <= more).all() for fewer, more in pairwise(drawn))
    for fraction, kept in zip(sorted(fractions), drawn, strict=True):
        of_set: dict[bytes, list[bool]] = {}
        for window, yes in enumerate(kept.tolist()):
            of_set.setdefault(targets.values[clip[window]].tobytes(), []).append(yes)
        assert all(sum(own) == max(1, int(fraction * len(own) + 1e-9)) for own in of_set.values())
    assert targets.windows(sizes, 1.0, seed).all()
    with pytest.raises(ValueError, match="regression labels are no sets"):
        targets_of("regression").windows(np.ones(200, dtype=int), 0.5, 0)
    with pytest.raises(ValueError, match="above 0 and up to 1, not 2"):
        targets.windows(sizes, 2, 0)


def test_on_the_genuine_annotations_it_keeps_what_the_thesiss_code_keeps():
    """Windows, and clips that may be among them, as counted by running that code."""
    if not GENUINE.is_dir():
        pytest.skip("the genuine annotations are not here")
    with gzip.open(GENUINE / "splits.csv.gz", "rt") as file:
        unreadable = ("1", "True", "true")
        train = {
            row["clip_id"]
            for row in csv.DictReader(file)
            if row["folder_split"] == "train" and row["corrupt_mp3"] not in unreadable
        }
    with gzip.open(GENUINE / "annotations_final.csv.gz", "rt") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["clip_id"] in train]
    tags = Tags(TOP_TAGS, np.array([[int(row[tag]) for tag in TOP_TAGS] for row in rows]))
    assert len(tags) == 18_706
    assert len(np.unique(tags.values, axis=0)) == 5_903
    counts = np.full(len(tags), 10)
    for fraction, windows in ((0.01, 6_677), (0.02, 7_725), (0.05, 11_415)):
        assert int(tags.windows(counts, fraction, 0).sum()) == windows


def test_windows_are_drawn_for_probes_and_for_training_on_labels(mtt, tmp_path):
    registry, data = tmp_path / "tiny.yaml", mtt[0]
    registry.write_text(TINY_REGISTRY + SUPERVISED)
    places = ("--registry", registry, "--store", tmp_path / "s", "--data", data)
    names = ("run", "--encoder", "tiny", "--task", "mtt", *places)
    probed = bench_json(*names, "--recipe", "untrained", "--labels", "0.3,1", "--draw", "clips", "--draw", DRAW)
    found = {(record["labels"], record["draw"]): record["selection"] for record in probed}
    # All labels are all, however a part would be drawn.
    assert found.keys() == {(0.3, "clips"), (0.3, DRAW), (1.0, "clips")}
    assert found[0.3, "clips"]["train_clips"] == round(0.3 * found[1.0, "clips"]["train_clips"])
    rows = read_lines(next((tmp_path / "s").glob("artifacts/label/*/test-clips.jsonl")))
    assert rows
    labels = np.load(next((tmp_path / "s").glob("artifacts/label/*/labels.npz")), allow_pickle=False)
    train = labels["labels"][labels["splits"] == "train"]
    windows = 2 * 22_050 // 6_561
    sets, sizes = np.unique(train, axis=0, return_counts=True)
    expected = sum(max(1, int(0.3 * windows * size)) for size in sizes.tolist())
    assert found[0.3, DRAW]["train_windows"] == expected
    assert len(sets) <= found[0.3, DRAW]["train_clips"] <= len(train)

    (ended,) = (
        record
        for record in bench_json(*names, "--recipe", "little-labels", "--labels", "0.3", "--draw", DRAW)
        if record["recipe"] == "little-labels"
    )
    assert (ended["labels"], ended["draw"], ended["protocol"]) == (0.3, DRAW, "end-to-end")
    (folder,) = (tmp_path / "s").glob("artifacts/supervise/*")
    steps = len((folder / "losses.csv").read_text().splitlines()) - 1
    assert steps == 2 * (expected // 2)
    corpus = [json.loads(line) for line in (folder / "corpus.jsonl").read_text().splitlines()]
    assert len(corpus) == expected
    assert {clip["samples"] for clip in corpus} == {6_561}

    kim = bench(*names, "--recipe", "untrained", "--labels", "0.3", "--draw", DRAW, "--protocol", "kim")
    assert kim.returncode == 2
    assert f"--draw {DRAW}: protocol kim trains on validation clips too; draw clips instead" in kim.stderr
    wrong = bench(*names, "--labels", "0.3", "--draw", "windows")
    assert wrong.returncode == 2
    assert f"--draw windows: Input should be 'clips' or '{DRAW}'" in wrong.stderr
