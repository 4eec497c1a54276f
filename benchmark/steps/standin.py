"""Make the synthetic stand-in of a dataset, in the dataset's genuine layout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.console import Reporter
from benchmark.engine.engine import empty_folder
from benchmark.plan.steps_and_runs import Step
from benchmark.registry.plugins import load_standin
from benchmark.store.store import Artifact


def compute(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Write the tree into `work`."""
    del inputs
    empty_folder(work)
    standin = load_standin(step.context["dataset"])
    clips, seconds = standin.extent()
    with reporter.counted(step.title, clips, "clips") as progress:
        standin.write(work, int(step.spec["seed"]), progress)
    return {"clips": clips, "seconds": seconds}
