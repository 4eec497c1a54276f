"""Make the synthetic stand-in of a dataset, in the dataset's genuine layout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.console import Reporter
from benchmark.encoding.planned import planned_audio
from benchmark.registry.plugins import load_standin
from benchmark.store.step import Extent, Stage, Step, StepKind
from benchmark.store.store import Artifact, empty_folder

#: Of a stand-in's clip of six seconds as MP3.
CLIP_BYTES = 24_000


def compute(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Write the tree into `work`."""
    del inputs
    empty_folder(work)
    standin = load_standin(step.context["dataset"])
    clips, seconds = standin.extent()
    with reporter.counted(step.title, clips, "clips") as progress:
        standin.write(work, int(step.spec["seed"]), progress)
    return {"clips": clips, "seconds": seconds}


def _libraries(step: Step) -> tuple[str, ...]:
    del step
    return ("soundfile",)


def _extent(step: Step) -> Extent:
    clips, _ = planned_audio(step)
    return Extent(f"{clips:,} clips", clips * CLIP_BYTES)


KIND = StepKind("standin", 1, Stage.TASKS, compute, _extent, _libraries)
