"""Compare a task's test clips with the clips of other tasks whose labels an encoder is trained on, before it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.console import Reporter
from benchmark.encoding.planned import planned_audio
from benchmark.scores.trained_labels import refuse, write_shared
from benchmark.store.file_names import LABELS, TEST_CLIPS
from benchmark.store.labels import read_labels
from benchmark.store.pcm import CLIPS, PcmClip, read_lines
from benchmark.store.step import Extent, Stage, Step, StepKind, every
from benchmark.store.store import Artifact


def compute(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Leave the ids of the test clips that are trained on in `work`.

    Clips of one dataset are compared by their ids: what its published split holds twice is not the training's doing.
    Clips of two are the same if their samples are, or the files that these were decoded from.

    Raises
    ------
    UserError
        If there are any, and the context does not allow it.
    """
    del reporter
    tested = [PcmClip(**row) for row in read_lines(inputs["labels"] / TEST_CLIPS)]
    shared: dict[str, None] = {}
    for labels, pcm in zip(every(inputs, "trained"), every(inputs, "pcm"), strict=True):
        task = read_labels(labels / LABELS)
        ids = {clip_id for clip_id, split in zip(task.clip_ids, task.splits, strict=True) if split == "train"}
        rows = (PcmClip(**row) for row in read_lines(pcm / CLIPS))
        same_dataset = pcm.manifest["key"] == inputs["labels"].manifest["needs"]["pcm"]["key"]
        shared |= dict.fromkeys(_shared(tested, [clip for clip in rows if clip.id in ids], same_dataset))
    if shared and not step.context["allowed"]:
        raise refuse(step.context["task"], step.context["trained"], list(shared), len(tested))
    write_shared(work, list(shared))
    return {"clips": len(shared), "tested": len(tested)}


def _shared(tested: Sequence[PcmClip], trained: Sequence[PcmClip], same_dataset: bool) -> list[str]:
    if same_dataset:
        ids = {clip.id for clip in trained}
        return [clip.id for clip in tested if clip.id in ids]
    known = {name for clip in trained for name in (clip.digest, clip.content)} - {""}
    return [clip.id for clip in tested if clip.digest in known or clip.content in known]


def _extent(step: Step) -> Extent:
    clips, _ = planned_audio(step.needs["labels"].needs["pcm"])
    return Extent(f"{clips:,} clips", clips * 16)


KIND = StepKind("overlap", 1, Stage.TASKS, compute, _extent)
