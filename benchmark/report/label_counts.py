"""How many clips of each split have each label, of the tasks that a report is about."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from zipfile import BadZipFile

from analysis.report.document import RunRow, StepRow, TaskLabelCounts
from benchmark.errors import USER_ERRORS
from benchmark.plain_files import read_within
from benchmark.store.file_names import LABELS
from benchmark.store.labels import read_labels
from benchmark.store.store import UNREADABLE
from tasks.label_counts import label_counts


def task_label_counts(store: Path, runs: Sequence[RunRow], steps: Mapping[str, StepRow]) -> list[TaskLabelCounts]:
    """Once for each set of scored clips, but for labels that are numbers, and artifacts that are deleted or damaged."""
    found: dict[tuple[str, str, bool], TaskLabelCounts] = {}
    for run in runs:
        place = (run["task"], run["fingerprint"], run["standin"])
        key = next((key for key in run["steps"] if key in steps and steps[key]["kind"] == "label"), None)
        if place in found or key is None:
            continue
        try:
            task = read_labels(io.BytesIO(read_within(store / "artifacts" / "label" / key, LABELS)))
            counted = label_counts(task)
        except (*UNREADABLE, *USER_ERRORS, BadZipFile, EOFError, zlib.error):
            continue
        if counted is not None:
            labels, clips, counts = counted
            found[place] = {
                "task": run["task"], "labels": labels, "clips": clips, "counts": counts,
                "fingerprint": run["fingerprint"], "standin": run["standin"],
            }  # fmt: skip
    return list(found.values())
