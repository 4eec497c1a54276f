"""Labels and split of a task for the clips that can be scored, and a check that all test clips are among them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.audio.decoding import CONSTANT, SILENCE
from benchmark.console import Reporter
from benchmark.encoding.planned import planned_audio
from benchmark.errors import UserError
from benchmark.registry.datasets import check_tables, dataset_at
from benchmark.store.file_names import LABELS, TEST_CLIPS
from benchmark.store.labels import write_labels
from benchmark.store.pcm import open_pcm, write_lines
from benchmark.store.step import Extent, Stage, Step, StepKind
from benchmark.store.store import Artifact
from tasks.base import SPLITS, Dataset
from tasks.copies import copies
from tasks.folds import divide
from tasks.learnable import check_learnable
from tasks.limited import limited

#: Missing test clips that the error names; the file it points to names all.
NAMED = 5


def compute(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Leave `labels.npz`, and `test-clips.jsonl` with what is known of the test clips, in `work`.

    Raises
    ------
    UserError
        If test clips cannot be scored and the spec does not allow that, a split is empty, or a metric that the task is
        to be scored by does not fit it; or if the tables are no longer those that the step was planned for.
    DatasetError
        If the tables cannot be parsed, give neither a split nor enough to make folds of, or labels and split are such
        that scores would mean nothing.
    """
    from benchmark.scores.scoring import check_metrics  # SciPy takes a while to import

    del reporter
    root = inputs["standin"].path if "standin" in inputs else step.context["root"]
    dataset = dataset_at(step.context["dataset"], root)
    if "tables" in step.spec:  # of the user's own files: what is read between two looks is what was planned for
        check_tables(dataset, step.spec["tables"])
    task = divide(dataset.task(**step.spec["options"]), dataset, step.spec.get("folds"))
    if "tables" in step.spec:
        check_tables(dataset, step.spec["tables"])
    check_metrics(task, step.context["metrics"])
    if (limit := inputs["pcm"].manifest["spec"].get("limit")) is not None:
        task = limited(task, limit["clips"])
    pcm = open_pcm(inputs["pcm"].path, inputs["pcm"].manifest)
    present = {clip.id for clip in pcm.clips}
    reasons = {problem.id: problem.reason for problem in pcm.problems}
    usable = np.array([clip_id in present for clip_id in task.clip_ids])

    facts: dict[str, Any] = {"expected": {}, "usable": {}}
    for split in SPLITS if task.folds is None else ("test",):
        in_split = task.splits == split
        facts["expected"][split] = int(in_split.sum())
        facts["usable"][split] = int((in_split & usable).sum())
    for split, division in product(SPLITS, task.divisions):
        if not (usable & (division == split)).any():
            raise UserError(f"{dataset.root}: not one of the {(division == split).sum()} {split} clips can be decoded")
    check_learnable(task.take(usable), dataset.clips, f"{dataset.root}: task {step.context['task']}")
    lost = [task.clip_ids[row] for row in np.flatnonzero((task.splits == "test") & ~usable)]
    facts["copies"] = len(copies(task.take(usable), {clip.id: clip.digest for clip in pcm.clips}))
    mute = {problem.id for problem in pcm.problems if problem.used and problem.reason.startswith((SILENCE, CONSTANT))}
    facts["silent"] = sum(task.clip_ids[row] in mute for row in np.flatnonzero((task.splits == "test") & usable))
    facts["test_clips_lost"] = {clip_id: reasons.get(clip_id, "not in the dataset") for clip_id in lost}
    if lost and not step.spec["allow_missing"]:
        raise UserError(_complaint(dataset, lost, facts, inputs["pcm"].path))
    write_labels(work / LABELS, task, usable)
    tested = {clip_id for clip_id, split in zip(task.clip_ids, task.splits, strict=True) if split == "test"}
    write_lines(work / TEST_CLIPS, [clip for clip in pcm.clips if clip.id in tested])
    return facts


def _complaint(dataset: Dataset, lost: list[str], facts: Mapping[str, Any], pcm: Path) -> str:
    paths = {clip.id: clip.path for clip in dataset.clips()}
    named = "; ".join(f"{paths[clip_id]} ({facts['test_clips_lost'][clip_id]})" for clip_id in lost[:NAMED])
    more = f"; and {len(lost) - NAMED} more, see {pcm / 'problems.jsonl'}" if len(lost) > NAMED else ""
    return (
        f"{dataset.root}: {len(lost)} of {facts['expected']['test']} test clips cannot be scored: {named}{more}. "
        "Put them right, or pass --allow-missing to score the others and have the record say so"
    )


def _extent(step: Step) -> Extent:
    clips, _ = planned_audio(step.needs["pcm"])
    return Extent(f"{clips:,} clips", clips * 64)


KIND = StepKind("label", 2, Stage.TASKS, compute, _extent)
