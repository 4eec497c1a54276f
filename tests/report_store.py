"""Score records for tests of reports: a document without audio, or a store whose probe artifacts are only records."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.registry.overrides import parse_settings
from benchmark.scores.records import RECORD, Overlap, Score, ScoreRecord, StepCost
from benchmark.store.store import FORMAT

METRICS = {
    "mtt": ("roc_auc", "average_precision"),
    "gtzan": ("accuracy", "macro_f1"),
    "emotion": ("r2", "r2.arousal", "r2.valence"),
    "key": ("key_weighted", "accuracy"),
}
TAGS = tuple(f"tag {number}" for number in range(12))
FLOORS = {"roc_auc": 0.5, "average_precision": 0.07, "accuracy": 0.1, "r2": 0.0, "key_weighted": 0.08}


def quality(name: str) -> float:
    """A fixed number in [0, 1] for a name."""
    return hashlib.sha256(name.encode()).digest()[0] / 255


def make_record(
    encoder: str,
    task: str,
    seed: int,
    *,
    corpus: str | None = "magnatagatune",
    recipe: str = "tune",
    protocol: str = "linear",
    layer: str | None = None,
    labels: float = 1.0,
    deform: str | None = None,
    data: str = "real",
    fingerprint: str = "",
    epochs: int | None = 1000,
    score: float | None = None,
    overlap: int = 0,
    labelled: int = 0,
    arguments: dict[str, Any] | None = None,
) -> ScoreRecord:
    """A record whose leading score is `score`, or follows from the names."""
    names = (encoder, task, corpus, recipe, protocol, layer, labels, deform, *([arguments] if arguments else []))
    rng = np.random.default_rng([seed, *hashlib.sha256(repr(names).encode()).digest()[:8]])
    if score is None:
        base = 0.55 + 0.3 * quality(encoder) + 0.05 * quality(f"{encoder} {task}") + 0.02 * quality(protocol)
        score = base + 0.03 * np.log10(labels) - (0.05 if deform else 0) + 0.004 * rng.standard_normal()
    metrics = {}
    for place, name in enumerate(METRICS.get(task, ("accuracy", "macro_f1"))):
        value = float(score) - 0.1 * place
        parts = TAGS if task == "mtt" else (name,)
        per_label = {part: float(value + 0.1 * (quality(part) - 0.5)) for part in parts}
        metrics[name] = Score(
            value=value, lower=value - 0.02, upper=value + 0.02, level=0.95, replicates=1000,
            floor=FLOORS.get(name.split(".")[0], 0.1), n_labels=len(parts), n_clips=300, per_label=per_label,
        )  # fmt: skip
    key = hashlib.sha256(f"{encoder} {recipe} {corpus} {seed}".encode()).hexdigest()[:40]
    score_key = hashlib.sha256(repr((names, seed, data, fingerprint)).encode()).hexdigest()[:40]
    steps = [
        StepCost(kind="pretrain", key=key, seconds=60.0 + 40 * quality(encoder), peak_memory_bytes=10**9, device="x86"),
        StepCost(kind="embed", key=key[::-1], seconds=5.0, peak_memory_bytes=2 * 10**8, device="x86"),
        StepCost(kind="score", key=score_key, seconds=1.5, peak_memory_bytes=10**8, device="x86"),
    ]  # fmt: skip
    name, _, changes = recipe.partition("(")
    trained = recipe not in ("as-given", "untrained")
    spec = {
        "lineage": {key: {"kind": "pretrain", "spec": {"recipe": {"epochs": epochs, "pairs": None}}}} if trained else {}
    }
    clips = {"train": 700, "valid": 100, "test": 300}
    return ScoreRecord(
        encoders=tuple(encoder.split("+")), corpus=corpus if trained else None, recipe_name=name,
        settings=parse_settings(filter(None, changes.rstrip(")").split(", "))), task=task, protocol=protocol, seed=seed,
        arguments=arguments or {},
        layer=layer, labels=labels, deform=deform, data=data, metrics=metrics, unscored_labels=[],
        n_expected=clips, n_scored=clips, test_clips_lost={},
        fingerprint=fingerprint or hashlib.sha256(f"{task} {data}".encode()).hexdigest(),
        overlap=Overlap(clips=overlap, recordings=0, artists=0, labelled=labelled), selection={},
        pretraining=None, spec=spec,
        weights_sha256=hashlib.sha256(f"{encoder} {recipe} {corpus} {seed}".encode()).hexdigest(),
        parameters=int(1e5 + 5e6 * quality(encoder)), dim=512, steps=steps if trained else steps[1:],
        versions={"python": "3.11", "torch": "2.11.0"},
        finished="2026-01-01T00:00:00+00:00",
    )  # fmt: skip


def grid(encoders: Iterable[str], tasks: Iterable[str], seeds: Iterable[int], **factors: Any) -> Iterator[ScoreRecord]:
    """Records of every combination."""
    for encoder, task, seed in product(list(encoders), list(tasks), list(seeds)):
        yield make_record(encoder, task, seed, **factors)


def everything(
    encoders: Iterable[str] = ("tune_plus", "sample_cnn", "tune_tail_5", "tune_vanilla"),
) -> list[ScoreRecord]:
    """Records that fill every section of the page: corpora, protocols, labels, lengths, layers, deformations."""
    names = list(encoders)
    records = list(grid(names, METRICS, range(2)))
    records += grid(names, ["mtt", "gtzan"], range(2), protocol="tune-linear")
    records += grid(["mfcc"], METRICS, range(2), recipe="as-given")
    for corpus in ("gtzan", "fma-medium"):
        records += grid(names[:2], ["mtt"], range(2), corpus=corpus, overlap=3 if corpus == "gtzan" else 0)
    for epochs in (3000, 10000):
        records += grid(names[:2], ["mtt"], range(2), recipe=f"tune(epochs={epochs})", epochs=epochs)
    for labels in (0.01, 0.1):
        records += grid(names[:3], ["mtt"], range(2), labels=labels)
    for layer in ("contractive_0", "bottleneck", "tail_1", "tail_10"):
        records += grid(names[:2], ["gtzan"], range(2), layer=layer)
    for strength in (10, 20, 40):
        records += grid(names[:2], ["gtzan"], range(2), deform=f"noise={strength}")
    return records


def fill(store: Path, records: Iterable[ScoreRecord]) -> Path:
    """Write records as the probe artifacts of a store."""
    store.mkdir(parents=True, exist_ok=True)
    for record in records:
        folder = store / "artifacts" / "score" / record.steps[-1].key
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RECORD).write_text(record.model_dump_json(), encoding="utf-8")
    (store / "format").write_text(f"{FORMAT}\n")
    return store


def fail_step(store: Path, kind: str, key: str, cause: str) -> None:
    """Leave the log of a step that failed."""
    log = store / "logs" / f"{kind}-{key}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(f"2026-01-01 00:00:00 begins\n2026-01-01 00:00:01 failed: {cause}\n", encoding="utf-8")


def embed_manifest(store: Path, record: ScoreRecord, windows: int, layers: Iterable[str]) -> None:
    """Leave what an embed step reports of itself."""
    (step,) = (step for step in record.steps if step.kind == "embed")
    folder = store / "artifacts" / "embed" / step.key
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"windows": windows, "dims": dict.fromkeys(layers, 8)}
    (folder / "manifest.json").write_text(json.dumps({"facts": facts}))
