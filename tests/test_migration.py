"""Stores of the last release: refused by name, and their scores brought along."""

from __future__ import annotations

import csv
import hashlib
import json
import shlex
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_REGISTRY, bench

from benchmark.encoding.windows import build_encoder
from benchmark.engine import migration
from benchmark.engine.housekeeping import problems
from benchmark.engine.migration import _record
from benchmark.registry.registry import load_registry
from benchmark.scores.records import ScoreRecord, read_record
from benchmark.store.store import digest_of
from encoders.weights import save_weights

SCORE = {
    "value": 0.8, "lower": 0.7, "upper": 0.9, "level": 0.95, "replicates": 1000, "floor": 0.5, "n_labels": 2,
    "n_clips": 9, "per_label": {"a": 0.7, "b": 0.9}, "folds": None,
}  # fmt: skip
#: A record as the last release wrote it.
RECORD = {
    "schema_version": 1, "encoder": "tune_plus", "corpus": "magnatagatune", "recipe": "tune", "task": "mtt",
    "protocol": "linear", "seed": 0, "layer": None, "labels": 1.0, "deform": None, "data": "real",
    "metrics": {"roc_auc": SCORE}, "unscored_labels": [], "n_expected": {"train": 5, "valid": 1, "test": 9},
    "n_scored": {"train": 5, "valid": 1, "test": 9}, "test_clips_lost": {}, "fingerprint": "f" * 64,
    "overlap": {"clips": 0, "recordings": 0, "artists": 0}, "selection": {"by": "-loss"}, "pretraining": None,
    "spec": {}, "weights_sha256": "0" * 64, "parameters": 7, "dim": 3, "provenance": {}, "steps": [], "versions": {},
    "finished": "2026-11-01T00:00:00+00:00",
}  # fmt: skip


def old_store(folder: Path, records: list[dict]) -> Path:
    """A store of format 1 with nothing but score records, and one pretraining."""
    (folder / "artifacts" / "pretrain" / ("a" * 40)).mkdir(parents=True)
    (folder / "artifacts" / "pretrain" / ("a" * 40) / "encoder.safetensors").write_bytes(b"weights")
    (folder / "format").write_text("1\n")
    for number, record in enumerate(records):
        key = f"{number:040x}"
        place = folder / "artifacts" / "probe" / key
        place.mkdir(parents=True)
        (place / "record.json").write_text(json.dumps(record))
        np.savez_compressed(place / "predictions.npz", predictions=np.zeros((9, 2), np.float32))
        files = {
            name: {"bytes": (place / name).stat().st_size, "modified": (place / name).stat().st_mtime_ns,
                   "sha256": hashlib.sha256((place / name).read_bytes()).hexdigest()}
            for name in ("record.json", "predictions.npz")
        }  # fmt: skip
        manifest = {"kind": "probe", "key": key, "title": "probe", "spec": {}, "needs": {}, "inputs": {}, "facts": {},
                    "files": files, "digest": digest_of({name: one["sha256"] for name, one in files.items()}),
                    "lineage": {}, "versions": {}, "finished": record["finished"]}  # fmt: skip
        (place / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize(
    ("names", "factors"),
    [
        ({}, {"encoders": ("tune_plus",), "sample_rate": None, "recipe_name": "tune", "settings": {}}),
        (
            {"recipe": 'tune(batch=8, note="a, b=(c)", rates=[1,2.5])'},
            {"recipe_name": "tune", "settings": {"batch": 8, "note": "a, b=(c)", "rates": [1, 2.5]}},
        ),
        (
            {"encoder": "mfcc(sample_rate=16000)+chroma(sample_rate=16000)", "weights_sha256": "0+1"},
            {"encoders": ("mfcc", "chroma"), "sample_rate": 16_000},
        ),
        ({"encoder": "a+b"}, {"encoders": ("a+b",)}),  # an entry's own name
        ({"layer": "tail_1", "labels": 0.1, "deform": "noise=20"}, {"layer": "tail_1", "labels": 0.1}),
    ],
)
def test_what_names_said_is_what_factors_say(tmp_path, names, factors):
    store = old_store(tmp_path / "store", [RECORD | names])
    result = bench("store", "migrate", "--store", store)
    assert result.returncode == 0, result.stderr
    (folder,) = (store / "artifacts" / "score").iterdir()
    record = read_record(folder)
    assert {name: getattr(record, name) for name in factors} == factors
    wanted = RECORD | names
    assert (record.encoder, record.recipe) == (wanted["encoder"], wanted["recipe"])
    assert record.metrics["roc_auc"].value == 0.8
    assert list((store / "artifacts" / "probe").iterdir()) == []


def test_an_old_store_is_refused_until_it_is_migrated_and_damage_is_named(tmp_path):
    store = old_store(tmp_path / "store", [RECORD | {"seed": seed} for seed in range(3)])
    for words in (("store", "ls"), ("store", "export", "-"), ("report",)):
        refused = bench(*words, "--store", store)
        assert refused.returncode == 2, words
        assert "is a store of format 1; this version of bench reads 2; `bench store migrate`" in refused.stderr
    damaged = store / "artifacts" / "probe" / f"{2:040x}" / "record.json"
    damaged.write_text(damaged.read_text().replace("0.8", "0.9"))
    result = bench("store", "migrate", "--store", store)
    assert result.returncode == 1
    assert "2 score records migrated; other artifacts stay, and no step uses them" in result.stdout
    assert f"not migrated, probe/{2:040x}: record.json is not what was written" in result.stderr
    rows = list(csv.DictReader(bench("store", "export", "-", "--store", store).stdout.splitlines()))
    assert [(row["encoder"], row["recipe"], row["seed"], row["score"]) for row in rows] == [
        ("tune_plus", "tune", "0", "0.8"), ("tune_plus", "tune", "1", "0.8"),
    ]  # fmt: skip
    assert "only stores of format 1" in bench("store", "migrate", "--store", store).stderr


def test_weights_of_an_old_store_go_on_as_an_encoder_of_ones_own(tmp_path):
    """By the command that migrating prints."""
    store = old_store(tmp_path / "store", [RECORD])
    (weights,) = store.glob("artifacts/pretrain/*/encoder.safetensors")
    (tmp_path / "own.yaml").write_text(TINY_REGISTRY)
    trained = build_encoder(load_registry([tmp_path / "own.yaml"]).encoder("tiny"), seed=7)
    save_weights(trained, weights, {"encoder": "tiny"})
    told = bench("store", "migrate", "--store", store).stdout.splitlines()
    assert told[1].startswith("1 pretrained weights are among them")
    words = shlex.split(told[2].replace("ENCODER", "tiny").replace("NAME", "kept"))
    assert words[:2] == ["bench", "import"]
    taken = bench(*words[1:], "--registry", tmp_path / "own.yaml")
    assert taken.returncode == 0, taken.stderr
    kept = build_encoder(
        load_registry([tmp_path / "own.yaml"]).encoder("kept"), seed=0, weights=tmp_path / "kept.safetensors"
    )
    for name, value in trained.state_dict().items():
        np.testing.assert_array_equal(kept.state_dict()[name], value, name)


def test_two_migrations_at_once_and_what_a_dead_one_has_left(tmp_path):
    """Each record is worked on in a folder of one's own, and is there once."""
    store = old_store(tmp_path / "store", [RECORD | {"seed": seed} for seed in range(12)])
    half = store / "unfinished" / f"migrate-{0:040x}@{socket.gethostname()}-1-dead"
    half.mkdir(parents=True)
    (half / "record.json").write_text("half")
    gone = store / "artifacts" / "score" / f"{1:040x}"
    gone.mkdir(parents=True)  # by one that was killed while it removed the older artifact
    (gone / "record.json").write_text(_record(RECORD | {"seed": 1}).model_dump_json())
    (store / "artifacts" / "probe" / gone.name / "manifest.json").unlink()
    found: list[object] = []
    meet = threading.Barrier(2)

    def one():
        meet.wait()
        try:
            found.append(migration.migrate(store, lambda _: None))
        except BaseException as error:
            found.append(error)

    both = [threading.Thread(target=one) for _ in range(2)]
    [thread.start() for thread in both]
    [thread.join() for thread in both]
    for one_found in found:  # the faster may be done before the other has begun
        assert one_found == (12, []) or "only stores of format 1" in str(one_found)
    assert sorted(read_record(folder).seed for folder in (store / "artifacts" / "score").iterdir()) == list(range(12))
    assert problems(store / "artifacts" / "score" / f"{0:040x}") == []
    assert [path.name for path in (store / "unfinished").iterdir()] == []
    assert list((store / "artifacts" / "probe").iterdir()) == []


def test_a_migration_that_was_killed_goes_on(tmp_path, monkeypatch):
    store = old_store(tmp_path / "store", [RECORD | {"seed": seed} for seed in range(3)])
    taken = []

    def killed(root, folder, whole=migration._migrate):
        taken.append(folder)
        if len(taken) == 2:
            (root / "unfinished").mkdir(exist_ok=True)
            (root / "unfinished" / f"migrate-{folder.name}").mkdir()
            raise KeyboardInterrupt
        whole(root, folder)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(migration, "_migrate", killed)
        migration.migrate(store, lambda _: None)
    assert (store / "format").read_text() == "1\n"
    assert migration.migrate(store, lambda _: None) == (2, [])
    seeds = sorted(read_record(folder).seed for folder in (store / "artifacts" / "score").iterdir())
    assert seeds == [0, 1, 2]
    assert ScoreRecord.model_fields["schema_version"].default == 2
