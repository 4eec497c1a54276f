"""Train a probe on frozen representations, score it on the test clips, and write the score record."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.console import Reporter
from benchmark.embeddings import Embeddings, open_embeddings
from benchmark.encoding import device
from benchmark.environment import measured, versions
from benchmark.pcm import PcmClip, read_lines
from benchmark.plan import Step
from benchmark.records import PREDICTIONS, RECORD, Overlap, ScoreRecord, StepCost, step_costs
from benchmark.scoring import score
from benchmark.steps.initialise import WEIGHTS
from benchmark.steps.label import LABELS, TEST_CLIPS, read_labels
from benchmark.store import Artifact, digest_of, lineage
from probes.training import Examples, ProbeSettings, TrainedProbe, train_probe
from probes.windows import clip_means, per_window, take_clips
from tasks.base import Split, Task

#: What pretraining listed of its corpus, in its artifact.
CORPUS = "corpus.jsonl"


def compute(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Leave `record.json` and `predictions.npz` in `work`."""
    reporter.say(step.title)
    task = read_labels(inputs["labels"] / LABELS)
    with measured() as cost:
        probe, predictions = _predict(step, task, open_embeddings(inputs["embeddings"].path))
        scores, unscored = score(task, predictions, step.spec["metrics"])
    is_test = task.splits == "test"
    labels = task.labels[is_test]
    clip_ids = np.array(task.clip_ids)[is_test]
    np.savez_compressed(
        work / PREDICTIONS,
        clip_ids=clip_ids,
        label_names=np.array(task.label_names),
        predictions=predictions,
        labels=labels,
        groups=task.groups[is_test],
    )
    weights = inputs["weights"].manifest
    coverage = inputs["labels"].manifest["facts"]
    behind = lineage(inputs)
    record = ScoreRecord(
        **step.spec["run"],
        data="stand-in" if any(entry["kind"] == "standin" for entry in behind.values()) else "real",
        metrics=scores,
        unscored_labels=unscored,
        n_expected=coverage["expected"],
        n_scored=coverage["usable"],
        test_clips_lost=coverage["test_clips_lost"],
        fingerprint=digest_of([clip_ids.tolist(), labels.tolist(), list(task.label_names)]),
        overlap=_overlap(inputs["weights"].path / CORPUS, inputs["labels"].path / TEST_CLIPS),
        selection={
            "epochs": len(probe.valid_losses),
            "best_epoch": probe.best_epoch + 1,
            "valid_loss": probe.valid_losses[probe.best_epoch],
        },
        pretraining=weights["facts"] if weights["kind"] == "pretrain" else None,
        spec={
            "probe": step.spec,
            "lineage": {key: {"kind": entry["kind"], "spec": entry["spec"]} for key, entry in behind.items()},
        },
        weights_sha256=weights["files"][WEIGHTS]["sha256"],
        parameters=weights["facts"]["parameters"],
        dim=weights["facts"]["dim"],
        steps=[*step_costs(behind), StepCost(kind=step.kind, key=step.key, **cost)],
        versions=versions(),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    (work / RECORD).write_text(record.model_dump_json(indent=1), encoding="utf-8")
    return {name: found.value for name, found in scores.items()}


def _predict(step: Step, task: Task, embeddings: Embeddings) -> tuple[TrainedProbe, NDArray[np.float32]]:
    """Train on the training clips, select on the validation clips, and predict the test clips [clips, labels]."""
    position = {clip_id: row for row, clip_id in enumerate(embeddings.clip_ids)}
    rows_of = np.array([position[clip_id] for clip_id in task.clip_ids])
    protocol = dict(step.spec["protocol"])
    by_clip = protocol.pop("examples") == "clip_mean"
    settings = ProbeSettings(**{**protocol, "hidden": tuple(protocol["hidden"])})

    def split(name: Split) -> tuple[Examples, NDArray[np.int64]]:
        chosen = np.flatnonzero(task.splits == name)
        rows, first = take_clips(embeddings.rows, embeddings.first, rows_of[chosen])
        if by_clip:
            return Examples(clip_means(rows, first), task.labels[chosen]), np.arange(len(chosen) + 1)
        return Examples(rows, per_window(task.labels[chosen], first)), first

    (train, _), (valid, _), (test, first) = split("train"), split("valid"), split("test")
    outputs = len(task.label_names)
    probe = train_probe(train, valid, task.kind, outputs, settings, step.spec["seed"], str(device()))
    return probe, clip_means(probe.predict(test.features), first)


def _overlap(corpus: Path, test_clips: Path) -> Overlap:
    """Compare by content of the decoded audio, and by names of recordings and artists."""
    if not corpus.exists():
        return Overlap(clips=0, recordings=0, artists=0)
    seen = [PcmClip(**row) for row in read_lines(corpus)]
    tested = [PcmClip(**row) for row in read_lines(test_clips)]
    counts = {}
    for name, field in (("clips", "digest"), ("recordings", "recording"), ("artists", "artist")):
        known = {_plain(getattr(clip, field)) for clip in seen} - {""}
        counts[name] = sum(_plain(getattr(clip, field)) in known for clip in tested)
    return Overlap(**counts)


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())
