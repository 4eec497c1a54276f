"""The sources of labels that pretrainings learnt from, and what their factors stand for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from analysis.report.document import SourceRow, StepRow
from benchmark.plain_files import read_within
from benchmark.store.file_names import FACTORS
from benchmark.store.store import UNREADABLE


def label_sources(store: Path, steps: Mapping[str, StepRow]) -> list[SourceRow]:
    """What sources of labels were reduced to, but for those whose artifacts are deleted or damaged."""
    found: list[SourceRow] = []
    for key in (key for key, step in steps.items() if step["kind"] == "label_source"):
        folder = store / "artifacts" / "label_source" / key
        try:
            manifest = json.loads(read_within(folder, "manifest.json"))
            facts, spec = manifest["facts"], manifest["spec"]
            if "factors" not in spec:  # of the audio alone
                continue
            row: SourceRow = {
                "key": key,
                "dataset": str(facts["dataset"]),
                "source": str(spec["source"]),
                "clips": int(facts["clips"]),
                "labelled": int(facts["labelled"]),
                "fitted": int(facts["fitted"]),
                "factors": json.loads(read_within(folder, FACTORS)),
            }
        except UNREADABLE:
            continue
        found.append(row)
    return found
