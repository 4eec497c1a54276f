"""Predictions for a task's test clips by the probes of a protocol, from stored representations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from benchmark.console import Advance, Reporter
from benchmark.encoding.windows import device
from benchmark.errors import UserError
from benchmark.factors import DRAWN_CLIPS, DRAWN_WINDOWS, END_TO_END
from benchmark.freed_memory import freed_memory_kept
from benchmark.registry.entries import ProtocolEntry, planned
from benchmark.registry.readouts import build_readout
from benchmark.store.embeddings import open_embeddings
from benchmark.store.file_names import HEAD
from benchmark.store.step import Step, every
from benchmark.store.store import Artifact
from probes.protocols import LabelledClips, Probed, cut, run_protocol
from probes.readouts.base import ProbeTask, unseen
from probes.readouts.head import Head
from probes.windows import Windows
from tasks.base import Split, Task
from tasks.metrics import METRICS, macro, split_name


def predict(step: Step, task: Task, inputs: Mapping[str, Artifact], reporter: Reporter) -> tuple[Probed, int]:
    """Train on the training clips, select on the validation clips, predict the test clips.

    Parameters
    ----------
    step, inputs
        A probe step, and embeddings, labels and, of an encoder trained end to end, its head.
    task
        What the labels are.
    reporter
        Shows progress.

    Returns
    -------
    probed
        Predictions for all test clips, each by the fold that does not know it.
    dim
        Size of the features.

    Raises
    ------
    UserError
        If the protocol does not fit the task or the encoders.
    """
    try:
        with freed_memory_kept(), _progress(step, task, reporter) as advance:
            return _predict(step, task, inputs, advance)
    except ValueError as error:
        raise UserError(str(error)) from None


def _unasked(labels: NDArray[Any], predictions: NDArray[np.float32]) -> float:
    raise AssertionError("a protocol that does not choose by the metric asks for it")


def _progress(step: Step, task: Task, reporter: Reporter) -> AbstractContextManager[Advance]:
    """Progress of a sweep, in probes; of a single probe, seconds of work, only that it is being trained."""
    protocol = step.spec["protocol"]
    probes = 1 if protocol == END_TO_END else len(task.divisions) * planned(ProtocolEntry, protocol).probes
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
    heard = every(inputs, "embeddings")
    tested = every(inputs, "deformed") or heard

    def windows(artifacts: Sequence[Artifact], clips: NDArray[np.integer]) -> tuple[Windows, ...]:
        return tuple(_windows(artifact, layer, [task.clip_ids[clip] for clip in clips]) for artifact in artifacts)

    def split(name: Split) -> NDArray[np.int64]:
        return np.flatnonzero(task.splits == name)

    test = windows(tested, split("test"))
    dim = sum(one.rows.shape[1] for one in test)
    if step.spec["protocol"] == END_TO_END:
        head = load_file(inputs["head"].path / HEAD)
        depth = sum(name.startswith("hidden.") for name in head) // 2
        hidden = [(head[f"hidden.{place}.weight"], head[f"hidden.{place}.bias"]) for place in range(depth)]
        fitted = Head(head["weight"], head["bias"], task.kind, hidden)
        return Probed(fitted.predict(cut(test, None, "windows", None, 0))[None], fitted.selection), dim
    protocol = planned(ProtocolEntry, step.spec["protocol"])
    own = build_readout(step.context["readout"]) if "readout" in step.context else None
    train, valid = split("train"), split("valid")
    fraction, drawn = step.spec.get("labels", 1), step.spec.get("draw", DRAWN_CLIPS)
    if fraction != 1 and drawn == DRAWN_CLIPS:
        train = _part(task, train, fraction, step.spec["seed"])
        if not protocol.validates:
            valid = _part(task, valid, fraction, step.spec["seed"])
    if (shots := step.spec.get("shots")) is not None:
        train = train[task.targets.take(train).shots(shots, step.spec["seed"])]
    known = windows(heard, train)
    facts: dict[str, Any] = {}
    if drawn == DRAWN_WINDOWS:
        train, known = _drawn(task, train, known, fraction, step.spec["seed"])
        facts["train_windows"] = len(known[0].rows)
    probed = run_protocol(
        protocol,
        LabelledClips(known, task.labels[train]),
        LabelledClips(windows(heard, valid), task.labels[valid]),
        test,
        _probe_task(task, step.spec.get("metric")),
        step.spec["seed"],
        str(device()),
        advance,
        own,
    )
    trained_on = len(train) + (0 if protocol.validates else len(valid))
    return Probed(probed.predictions, {"train_clips": trained_on, **facts, **probed.selection}), dim


def _part(task: Task, clips: NDArray[np.int64], fraction: float, seed: int) -> NDArray[np.int64]:
    return clips[task.targets.take(clips).subset(fraction, seed)]


def _drawn(
    task: Task, clips: NDArray[np.int64], known: tuple[Windows, ...], fraction: float, seed: int
) -> tuple[NDArray[np.int64], tuple[Windows, ...]]:
    """Clips of which windows are drawn, and those windows."""
    (one,) = known
    kept = task.targets.take(clips).windows(np.diff(one.first), fraction, seed)
    return clips[np.logical_or.reduceat(kept, one.first[:-1])], (one.only(kept),)


def _windows(artifact: Artifact, layer: str | None, clip_ids: Sequence[str]) -> Windows:
    embeddings = open_embeddings(artifact.path, layer)
    position = {clip_id: row for row, clip_id in enumerate(embeddings.clip_ids)}
    missing = [clip_id for clip_id in clip_ids if clip_id not in position]
    if missing:
        raise UserError(f"{artifact.path}: has no embeddings of {len(missing)} clips of the task, such as {missing[0]}")
    assert embeddings.durations is not None  # what a probe step needs was made by this version
    everything = Windows(embeddings.rows, embeddings.first, embeddings.seconds, embeddings.durations)
    return everything.take(np.array([position[clip_id] for clip_id in clip_ids]))


def _probe_task(task: Task, name: str | None) -> ProbeTask:
    """What a probe is to know of the task, and the leading metric where the protocol chooses by it."""
    if name is None:
        return ProbeTask(task.kind, len(task.label_names), "", _unasked)
    base, part = split_name(name)
    metric = METRICS[base]
    chosen = np.array([part in ("", other) for other in metric.parts(task.label_names)])

    sign = -1 if metric.lower_is_better else 1

    def value(labels: NDArray[Any], predictions: NDArray[np.float32]) -> float:
        return sign * float(macro(metric(labels, predictions)[chosen]))

    return ProbeTask(task.kind, len(task.label_names), f"-{name}" if metric.lower_is_better else name, value)
