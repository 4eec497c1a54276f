"""Train a probe on frozen representations, score it on the test clips, and write the score record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from benchmark.console import Advance, Reporter
from benchmark.encoding.windows import device
from benchmark.environment import measured, versions
from benchmark.errors import UserError
from benchmark.freed_memory import freed_memory_kept
from benchmark.plan.steps_and_runs import END_TO_END, Step
from benchmark.registry.readouts import build_readout
from benchmark.scores.records import PREDICTIONS, RECORD, Overlap, Score, ScoreRecord, StepCost, step_costs
from benchmark.scores.scoring import check_metrics, score
from benchmark.steps.initialise import WEIGHTS
from benchmark.steps.label import LABELS, TEST_CLIPS, read_labels
from benchmark.store.embeddings import open_embeddings
from benchmark.store.pcm import PcmClip, read_lines
from benchmark.store.store import Artifact, digest_of, lineage
from probes.protocol import Protocol
from probes.protocols import LabelledClips, Probed, cut, run_protocol
from probes.readouts.base import ProbeTask, unseen
from probes.readouts.head import Head
from probes.windows import Windows
from tasks.base import Split, Task
from tasks.metrics import METRICS, macro, split_name

#: What pretraining listed of its corpus, in its artifact.
CORPUS = "corpus.jsonl"
#: The linear head of a supervised training, beside its encoder's weights.
HEAD = "head.safetensors"


def compute(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Leave `record.json` and `predictions.npz` in `work`.

    Raises
    ------
    UserError
        If the protocol does not fit the task or the encoders, or a metric does not fit the task.
    """
    task = read_labels(inputs["labels"] / LABELS)
    check_metrics(task, step.spec["metrics"])
    with measured() as cost:
        try:
            with freed_memory_kept(), _progress(step, task, reporter) as advance:
                probed, dim = _predict(step, task, inputs, advance)
        except ValueError as error:
            raise UserError(str(error)) from None
        scored = [score(task, predictions, step.spec["metrics"]) for predictions in probed.predictions]
    is_test = task.splits == "test"
    labels = task.labels[is_test]
    clip_ids = np.array(task.clip_ids)[is_test]
    arrays = {
        "clip_ids": clip_ids,
        "label_names": np.array(task.label_names),
        "predictions": probed.predictions[0],
        "labels": labels,
        "groups": task.groups[is_test],
    }
    clips_are = [clip_ids.tolist(), task.targets.take(is_test).content(), list(task.label_names)]
    if task.folds is not None:
        arrays["folds"] = task.tested_in
        # Train and valid follow from what each fold tests.
        clips_are.append(task.tested_in.tolist())
    if len(probed.predictions) > 1:
        arrays["repeats"] = probed.predictions
    np.savez_compressed(work / PREDICTIONS, allow_pickle=False, **arrays)
    weights = _all(inputs, "weights")
    trained = [one.manifest["facts"] for one in weights if one.manifest["kind"] != "initialise"]
    coverage = inputs["labels"].manifest["facts"]
    behind = lineage(inputs)
    scores = _averaged([found for found, _ in scored])
    record = ScoreRecord(
        **step.spec["run"],
        data="stand-in" if any(entry["kind"] == "standin" for entry in behind.values()) else "real",
        metrics=scores,
        unscored_labels=scored[0][1],
        n_expected=coverage["expected"],
        n_scored=coverage["usable"],
        test_clips_lost=coverage["test_clips_lost"],
        fingerprint=digest_of(clips_are),
        overlap=_overlap([one.path / CORPUS for one in weights], inputs["labels"].path / TEST_CLIPS),
        selection=probed.selection,
        pretraining=(trained[0] if len(weights) == 1 else {"encoders": trained}) if trained else None,
        spec={
            "probe": step.spec,
            "lineage": {key: {"kind": entry["kind"], "spec": entry["spec"]} for key, entry in behind.items()},
        },
        weights_sha256="+".join(one.manifest["files"][WEIGHTS]["sha256"] for one in weights),
        parameters=sum(one.manifest["facts"]["parameters"] for one in weights),
        dim=dim,
        provenance={
            name: value for one in weights for name, value in one.manifest["facts"].get("provenance", {}).items()
        },
        steps=[*step_costs(behind), StepCost(kind=step.kind, key=step.key, **cost)],
        versions=versions(),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    (work / RECORD).write_text(record.model_dump_json(indent=1), encoding="utf-8")
    return {name: found.value for name, found in scores.items()}


def _progress(step: Step, task: Task, reporter: Reporter) -> AbstractContextManager[Advance]:
    """Progress of a sweep, in probes; of a single probe, seconds of work, only that it is being trained."""
    protocol = step.spec["protocol"]
    probes = 1 if protocol == END_TO_END else len(task.divisions) * Protocol.of(protocol).probes
    if probes > 1:
        return reporter.progress(step.title, probes, "probes")
    reporter.say(step.title)
    return nullcontext(unseen)


def _predict(step: Step, task: Task, inputs: Mapping[str, Artifact], advance: Advance) -> tuple[Probed, int]:
    """Predictions for all test clips, each by the fold that does not know it; and the features' size."""
    found = [_predict_division(step, replace(task, splits=division), inputs, advance) for division in task.divisions]
    if task.folds is None:
        return found[0]
    place = np.argsort(task.tested_in, kind="stable")
    predictions = np.concatenate([probed.predictions for probed, _ in found], axis=1)[:, np.argsort(place)]
    return Probed(predictions, {"folds": [probed.selection for probed, _ in found]}), found[0][1]


def _predict_division(step: Step, task: Task, inputs: Mapping[str, Artifact], advance: Advance) -> tuple[Probed, int]:
    """Train on the training clips, select on the validation clips, predict the test clips; and the features' size."""
    layer = step.spec.get("layer")
    heard = _all(inputs, "embeddings")
    tested = _all(inputs, "deformed") or heard

    def windows(artifacts: Sequence[Artifact], clips: NDArray[np.integer]) -> tuple[Windows, ...]:
        return tuple(_windows(artifact, layer, [task.clip_ids[clip] for clip in clips]) for artifact in artifacts)

    def split(name: Split) -> NDArray[np.int64]:
        return np.flatnonzero(task.splits == name)

    test = windows(tested, split("test"))
    dim = sum(one.rows.shape[1] for one in test)
    if step.spec["protocol"] == END_TO_END:
        head = load_file(inputs["weights"].path / HEAD)
        fitted = Head(head["weight"], head["bias"], task.kind)
        return Probed(fitted.predict(cut(test, None, "windows", None, 0))[None], fitted.selection), dim
    protocol = Protocol.of(step.spec["protocol"])
    own = build_readout(step.context["readout"]) if "readout" in step.context else None
    train, valid = split("train"), split("valid")
    if (fraction := step.spec.get("labels", 1)) != 1:
        train = _part(task, train, fraction, step.spec["seed"])
        if not protocol.validates:
            valid = _part(task, valid, fraction, step.spec["seed"])
    probed = run_protocol(
        protocol,
        LabelledClips(windows(heard, train), task.labels[train]),
        LabelledClips(windows(heard, valid), task.labels[valid]),
        test,
        _probe_task(task, step.spec["metrics"][0]),
        step.spec["seed"],
        str(device()),
        advance,
        own,
    )
    trained_on = len(train) + (0 if protocol.validates else len(valid))
    return Probed(probed.predictions, {"train_clips": trained_on, **probed.selection}), dim


def _part(task: Task, clips: NDArray[np.int64], fraction: float, seed: int) -> NDArray[np.int64]:
    return clips[task.targets.take(clips).subset(fraction, seed)]


def _all(inputs: Mapping[str, Artifact], name: str) -> list[Artifact]:
    """The artifacts `name`, `name.1`, `name.2`... of the encoders that are probed together."""
    names = [name, *(f"{name}.{number}" for number in range(1, len(inputs)))]
    return [inputs[one] for one in names if one in inputs]


def _windows(artifact: Artifact, layer: str | None, clip_ids: Sequence[str]) -> Windows:
    embeddings = open_embeddings(artifact.path, layer)
    position = {clip_id: row for row, clip_id in enumerate(embeddings.clip_ids)}
    missing = [clip_id for clip_id in clip_ids if clip_id not in position]
    if missing:
        raise UserError(f"{artifact.path}: has no embeddings of {len(missing)} clips of the task, such as {missing[0]}")
    assert embeddings.durations is not None  # what a probe step needs was made by this version
    everything = Windows(embeddings.rows, embeddings.first, embeddings.seconds, embeddings.durations)
    return everything.take(np.array([position[clip_id] for clip_id in clip_ids]))


def _probe_task(task: Task, name: str) -> ProbeTask:
    base, part = split_name(name)
    metric = METRICS[base]
    chosen = np.array([part in ("", other) for other in metric.parts(task.label_names)])

    def value(labels: NDArray[Any], predictions: NDArray[np.float32]) -> float:
        return float(macro(metric(labels, predictions)[chosen]))

    return ProbeTask(task.kind, len(task.label_names), name, value)


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


def _overlap(corpora: Sequence[Path], test_clips: Path) -> Overlap:
    """Compare by content of the decoded audio, and by names of recordings and artists."""
    seen = [PcmClip(**row) for corpus in corpora if corpus.exists() for row in read_lines(corpus)]
    tested = [PcmClip(**row) for row in read_lines(test_clips)]
    counts = {}
    for name, field in (("clips", "digest"), ("recordings", "recording"), ("artists", "artist")):
        known = {_plain(getattr(clip, field)) for clip in seen} - {""}
        counts[name] = sum(_plain(getattr(clip, field)) in known for clip in tested)
    return Overlap(**counts)


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())
