"""Train a probe on frozen representations, score it on the test clips, and write the score record."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.console import Reporter
from benchmark.embeddings import open_embeddings
from benchmark.encoding import device
from benchmark.environment import versions
from benchmark.errors import UserError
from benchmark.pcm import PcmClip, read_lines
from benchmark.plan import Step
from benchmark.records import PREDICTIONS, RECORD, Overlap, Score, ScoreRecord, step_costs
from benchmark.steps.initialise import WEIGHTS
from benchmark.steps.label import LABELS, TEST_CLIPS, read_labels
from benchmark.store import Artifact, digest_of
from probes.bootstrap import percentile_interval, replicate_counts
from probes.training import Examples, ProbeSettings, train_probe
from probes.windows import clip_means, per_window, take_clips
from tasks.base import Split, Task
from tasks.metrics import METRICS, macro, scorable

REPLICATES = 1000
#: One seed for all runs, so that the replicates of two encoders on the same clips can be paired.
BOOTSTRAP_SEED = 0
#: What pretraining listed of its corpus, in its artifact.
CORPUS = "corpus.jsonl"


def compute(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Leave `record.json` and `predictions.npz` in `work`."""
    task = read_labels(inputs["labels"] / LABELS)
    embeddings = open_embeddings(inputs["embeddings"].path)
    position = {clip_id: row for row, clip_id in enumerate(embeddings.clip_ids)}
    rows_of = np.array([position[clip_id] for clip_id in task.clip_ids])
    protocol = dict(step.spec["protocol"])
    by_clip = protocol.pop("examples") == "clip_mean"

    def split(name: Split) -> tuple[Examples, NDArray[np.int64]]:
        chosen = np.flatnonzero(task.splits == name)
        rows, first = take_clips(embeddings.rows, embeddings.first, rows_of[chosen])
        if by_clip:
            return Examples(clip_means(rows, first), task.labels[chosen]), np.arange(len(chosen) + 1)
        return Examples(rows, per_window(task.labels[chosen], first)), first

    reporter.say(f"{step.title}")
    settings = ProbeSettings(**{**protocol, "hidden": tuple(protocol["hidden"])})
    (train, _), (valid, _), (test, first) = split("train"), split("valid"), split("test")
    outputs = len(task.label_names)
    probe = train_probe(train, valid, task.kind, outputs, settings, step.spec["seed"], str(device()))
    predictions = clip_means(probe.predict(test.features), first)

    is_test = task.splits == "test"
    labels = task.labels[is_test]
    clip_ids = np.array(task.clip_ids)[is_test]
    constant = np.broadcast_to(task.labels[task.splits == "train"].mean(axis=0), labels.shape)
    scored = scorable(labels)
    if not scored.any():
        raise UserError(
            f"{step.title}: no label has both a positive and a negative clip among {len(labels)} test clips"
        )
    metrics = {
        name: _score(name, labels[:, scored], predictions[:, scored], constant[:, scored], task, scored)
        for name in step.spec["metrics"]
    }
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
    lineage = {key: e for artifact in inputs.values() for key, e in artifact.manifest["lineage"].items()}
    record = ScoreRecord(
        **step.spec["run"],
        data="stand-in" if any(entry["kind"] == "standin" for entry in lineage.values()) else "real",
        metrics=metrics,
        unscored_labels=[name for name, ok in zip(task.label_names, scored, strict=True) if not ok],
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
            "lineage": {key: {"kind": e["kind"], "spec": e["spec"]} for key, e in lineage.items()},
        },
        weights_sha256=weights["files"][WEIGHTS]["sha256"],
        parameters=weights["facts"]["parameters"],
        dim=weights["facts"]["dim"],
        steps=step_costs(lineage),
        versions=versions(),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    (work / RECORD).write_text(record.model_dump_json(indent=1), encoding="utf-8")
    return {name: score.value for name, score in metrics.items()}


def _score(
    name: str,
    labels: NDArray[Any],
    predictions: NDArray[np.float32],
    constant: NDArray[Any],
    task: Task,
    scored: NDArray[np.bool_],
) -> Score:
    metric = METRICS[name]
    groups = task.groups[task.splits == "test"]
    per_label = metric(labels, predictions, None)
    replicates = np.concatenate(
        [macro(metric(labels, predictions, counts)) for counts in replicate_counts(groups, REPLICATES, BOOTSTRAP_SEED)]
    )
    # On a handful of clips a replicate may hold no label that can be scored at all; the record says how many do.
    replicates = replicates[~np.isnan(replicates)]
    interval = percentile_interval(replicates)
    names = [label for label, ok in zip(task.label_names, scored, strict=True) if ok]
    return Score(
        value=float(macro(per_label)),
        lower=interval.lower,
        upper=interval.upper,
        level=interval.level,
        replicates=len(replicates),
        floor=float(macro(metric(labels, constant, None))),
        n_labels=len(names),
        per_label=dict(zip(names, per_label.tolist(), strict=True)),
    )


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
