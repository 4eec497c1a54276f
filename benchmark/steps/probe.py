"""Train a probe on frozen representations, and predict the test clips."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.console import Reporter
from benchmark.encoding.planned import planned_audio
from benchmark.factors import END_TO_END
from benchmark.registry.entries import ProtocolEntry, planned
from benchmark.store.file_names import LABELS, PREDICTED, SELECTION
from benchmark.store.labels import read_labels
from benchmark.store.step import Extent, Stage, Step, StepKind, every
from benchmark.store.store import Artifact


def compute(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Leave predictions [repeats, test clips, outputs] and what was chosen on the validation clips in `work`.

    Raises
    ------
    UserError
        If the protocol does not fit the task or the encoders.
    """
    from benchmark.scores.prediction import predict

    task = read_labels(inputs["labels"] / LABELS)
    probed, dim = predict(step, task, inputs, reporter)
    np.savez_compressed(work / PREDICTED, allow_pickle=False, predictions=probed.predictions)
    (work / SELECTION).write_text(json.dumps(probed.selection, indent=1), encoding="utf-8")
    heard = [one.manifest["facts"].get("heard_seconds") for one in every(inputs, "embeddings")]
    return {
        "dim": dim,
        "heard_seconds": max(heard) if heard and None not in heard else None,
        "worked": len(task.clip_ids),
    }


def _extent(step: Step) -> Extent:
    clips, _ = planned_audio(step.needs["labels"].needs["pcm"])
    size = clips * 50
    if step.spec["protocol"] == END_TO_END:
        return Extent("the trained head", size, amount=clips)
    protocol = planned(ProtocolEntry, step.spec["protocol"])
    if protocol.estimator is not None:
        return Extent(protocol.estimator.kind, size, amount=clips)
    if protocol.readout is not None:
        return Extent(getattr(protocol.readout, "kind", "a readout of one's own"), size, amount=clips)
    length = f"{protocol.max_epochs} epochs" if protocol.max_epochs else f"{protocol.max_steps:,} steps"
    return Extent(f"{length} at most", size, amount=clips)


def _libraries(step: Step) -> tuple[str, ...]:
    protocol = step.spec["protocol"]
    return ("torch", "sklearn") if protocol != END_TO_END and "estimator" in protocol else ("torch",)


KIND = StepKind("probe", 5, Stage.WORK, compute, _extent, _libraries, on_gpu=True)
