"""Score a probe's predictions for the test clips, and write the score record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.console import Reporter
from benchmark.encoding.planned import planned_audio
from benchmark.environment import measured, versions
from benchmark.scores.records import (
    PREDICTIONS,
    RECORD,
    LabelCoverage,
    Overlap,
    PublishedWeights,
    Score,
    ScoreRecord,
    StepCost,
    step_costs,
)
from benchmark.scores.trained_labels import read_shared
from benchmark.store.file_names import CORPUS, LABELS, PREDICTED, SELECTION, TEST_CLIPS, WEIGHTS
from benchmark.store.labels import read_labels
from benchmark.store.pcm import PcmClip, read_lines
from benchmark.store.step import Extent, Stage, Step, StepKind, every
from benchmark.store.store import Artifact, digest_of, lineage
from tasks.base import Task
from tasks.learnable import coverage


def compute(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Leave `record.json` and `predictions.npz` in `work`.

    Raises
    ------
    UserError
        If a metric does not fit the task.
    """
    from benchmark.scores.scoring import check_metrics, score  # SciPy takes a while to import

    del reporter
    task = read_labels(inputs["labels"] / LABELS)
    check_metrics(task, step.spec["metrics"])
    with np.load(inputs["probe"] / PREDICTED, allow_pickle=False) as arrays:
        repeats = arrays["predictions"]
    selection = json.loads((inputs["probe"] / SELECTION).read_text(encoding="utf-8"))
    with measured() as cost:
        scored = [score(task, predictions, step.spec["metrics"]) for predictions in repeats]
    is_test = task.splits == "test"
    targets = task.targets.take(is_test)
    clip_ids = np.array(task.clip_ids)[is_test]
    arrays = {
        "clip_ids": clip_ids,
        "predictions": repeats[0],
        "groups": task.groups[is_test],
        **targets.arrays(),
    }
    clips_are = [clip_ids.tolist(), targets.content(), list(task.label_names)]
    if task.folds is not None:
        arrays["folds"] = task.tested_in
        # Train and valid follow from what each fold tests.
        clips_are.append(task.tested_in.tolist())
    if len(repeats) > 1:
        arrays["repeats"] = repeats
    np.savez_compressed(work / PREDICTIONS, allow_pickle=False, **arrays)
    weights = every(inputs, "weights")
    trained = [one.manifest["facts"] for one in weights if one.manifest["kind"] != "initialise"]
    usable = inputs["labels"].manifest["facts"]
    behind = lineage(inputs)
    scores = _averaged([found for found, _ in scored])
    record = ScoreRecord(
        **step.spec["run"],
        data="stand-in" if any(entry["kind"] == "standin" for entry in behind.values()) else "real",
        metrics=scores,
        unscored_labels=scored[0][1],
        coverage=_coverage(task),
        copies=usable.get("copies"),
        silent=usable.get("silent"),
        n_expected=usable["expected"],
        n_scored=usable["usable"],
        test_clips_lost=usable["test_clips_lost"],
        fingerprint=digest_of(clips_are),
        overlap=_overlap(
            [one.path / CORPUS for one in weights],
            inputs["labels"].path / TEST_CLIPS,
            len(read_shared(every(inputs, "overlap"))),
        ),
        published=[PublishedWeights(**facts) for facts in step.context.get("published", ())],
        heard_seconds=inputs["probe"].manifest["facts"].get("heard_seconds"),
        selection=selection,
        pretraining=(trained[0] if len(weights) == 1 else {"encoders": trained}) if trained else None,
        spec={
            "score": step.spec,
            "lineage": {key: {"kind": entry["kind"], "spec": entry["spec"]} for key, entry in behind.items()},
        },
        weights_sha256="+".join(one.manifest["files"][WEIGHTS]["sha256"] for one in weights),
        parameters=sum(one.manifest["facts"]["parameters"] for one in weights),
        dim=inputs["probe"].manifest["facts"]["dim"],
        provenance={
            name: value for one in weights for name, value in one.manifest["facts"].get("provenance", {}).items()
        },
        steps=[*step_costs(behind), StepCost(kind=step.kind, key=step.key, **cost)],
        versions=versions(),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    (work / RECORD).write_text(record.model_dump_json(indent=1), encoding="utf-8")
    return {name: found.value for name, found in scores.items()}


def _coverage(task: Task) -> LabelCoverage | None:
    found = coverage(task)
    if found is None or task.kind not in ("multiclass", "multilabel"):
        return None
    untested, untrained = list(found.untested), list(found.untrained)
    return LabelCoverage(
        kind=task.kind, labels=found.labels, untested=untested, untrained=untrained, folds=task.folds is not None
    )


def _averaged(repeats: Sequence[Mapping[str, Score]]) -> dict[str, Score]:
    """Mean of the repeats' scores, and of their intervals' bounds, which are no narrower than the mean's own."""
    if len(repeats) == 1:
        return dict(repeats[0])
    found = {}
    for name, first in repeats[0].items():
        own = [repeat[name] for repeat in repeats]
        names = [label for label in first.per_label if all(label in one.per_label for one in own)]
        in_folds = zip(*(one.folds or () for one in own), strict=True)
        folds = [None if None in values else float(np.mean(values)) for values in in_folds] or None
        means = {field: float(np.mean([getattr(one, field) for one in own])) for field in ("value", "lower", "upper")}
        per_label = {label: float(np.mean([one.per_label[label] for one in own])) for label in names}
        found[name] = first.model_copy(update={**means, "per_label": per_label, "n_labels": len(names), "folds": folds})
    return found


def _overlap(corpora: Sequence[Path], test_clips: Path, labelled: int) -> Overlap:
    """Compare by content of the decoded audio, and by names of recordings and artists; `labelled` as in the record."""
    seen = [PcmClip(**row) for corpus in corpora if corpus.exists() for row in read_lines(corpus)]
    tested = [PcmClip(**row) for row in read_lines(test_clips)]
    counts = {}
    for name, field in (("clips", "digest"), ("recordings", "recording"), ("artists", "artist")):
        known = {_plain(getattr(clip, field)) for clip in seen} - {""}
        counts[name] = sum(_plain(getattr(clip, field)) in known for clip in tested)
    return Overlap(**counts, labelled=labelled)


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())


def _extent(step: Step) -> Extent:
    clips, _ = planned_audio(step.needs["labels"].needs["pcm"])
    return Extent(", ".join(step.spec["metrics"]), clips * 50)


KIND = StepKind("score", 2, Stage.WORK, compute, _extent)
