"""What a source of labels says of a dataset's clips, reduced to factors; see `tasks.sources`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.console import Reporter
from benchmark.encoding.planned import FLOAT32, planned_audio
from benchmark.errors import UserError
from benchmark.store.file_names import FACTORS, SOURCE
from benchmark.store.pcm import open_pcm
from benchmark.store.step import Extent, Stage, Step, StepKind
from benchmark.store.store import Artifact


def compute(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Leave `source.npz`, and `factors.json` with what each factor stands for, in `work`.

    The factors are fitted to the clips of the corpus's splits, and the other clips are folded in.

    Raises
    ------
    UserError
        If the source has nothing to tell of the clips that are trained on.
    DatasetError
        If the tables cannot be parsed.
    """
    from benchmark.pretraining.source_labels import SELF, SourceLabels, write_source_labels

    pcm = open_pcm(inputs["pcm"].path, inputs["pcm"].manifest)
    name = step.spec["source"]
    if name == SELF:
        write_source_labels(work / SOURCE, SourceLabels(SELF, None, np.ones(len(pcm.clips), dtype=np.bool_)))
        return {"clips": len(pcm.clips), "labelled": len(pcm.clips)}

    from benchmark.registry.datasets import dataset_at
    from tasks import DatasetError
    from tasks.sources.reduction import reduce

    root = inputs["standin"].path if "standin" in inputs else step.context["root"]
    dataset = dataset_at(step.context["dataset"], root)
    place = {clip.id: row for row, clip in enumerate(dataset.clips())}
    splits = step.spec["splits"]
    fitted = np.array([splits is None or clip.split in splits for clip in pcm.clips], dtype=np.bool_)
    rows = np.array([place[clip.id] for clip in pcm.clips], dtype=np.int64)
    try:
        labels = dataset.source(name).take(rows)
    except DatasetError as error:
        if "standin" not in inputs:
            raise
        hint = f"this stand-in is of an earlier version: delete {root}, and it is made anew"
        raise UserError(f"{error}; {hint}") from None
    try:
        reduced = reduce(labels, fitted, step.spec["factors"])
    except DatasetError as error:
        raise UserError(f"{dataset.root}: source {name}: {error}; leave it out of the recipe's `sources`") from None
    write_source_labels(work / SOURCE, SourceLabels(name, reduced.factors, reduced.labelled))
    text = json.dumps([asdict(factor) for factor in reduced.meaning], ensure_ascii=False, indent=1)
    (work / FACTORS).write_text(text + "\n", encoding="utf-8")
    facts = {
        "dataset": step.context["dataset"].name,
        "clips": len(pcm.clips),
        "labelled": int(reduced.labelled.sum()),
        "fitted": int((reduced.labelled & fitted).sum()),
        **reduced.facts,
    }
    of = f"{facts['fitted']:,} of {int(fitted.sum()):,} clips that are trained on have a label"
    unused = f"; {facts['terms_unused']:,} terms are of none of them" if facts.get("terms_unused") else ""
    reporter.say(f"{step.title}: {of}{unused}")
    return facts


def _libraries(step: Step) -> tuple[str, ...]:
    return () if "factors" not in step.spec else ("scipy.sparse", "sklearn.mixture", "sklearn.feature_extraction.text")


def _extent(step: Step) -> Extent:
    clips, _ = planned_audio(step.needs["pcm"])
    return Extent(f"{clips:,} clips", clips * step.spec.get("factors", 1) * FLOAT32)


KIND = StepKind("label_source", 1, Stage.TASKS, compute, _extent, _libraries)
