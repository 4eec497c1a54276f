"""Train an encoder end to end on a task's labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.console import Reporter
from benchmark.encoding.planned import FLOAT32, STATE_COPIES, planned_audio, planned_encoder
from benchmark.registry.entries import SupervisedEntry, planned
from benchmark.store.step import Extent, Stage, Step, StepKind
from benchmark.store.store import Artifact


def compute(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Leave encoder and head of the best epoch, the training state, the curves, the clips and a card in `work`."""
    from benchmark.pretraining.supervised_step import supervise

    return supervise(step, inputs, work, reporter)


def _extent(step: Step) -> Extent:
    recipe, encoder = planned(SupervisedEntry, step.spec["recipe"]), planned_encoder(step)
    clips, _ = planned_audio(step.needs["pcm"])
    window = encoder.window or encoder.max_window
    size = encoder.parameter_count() * FLOAT32 * STATE_COPIES
    return Extent(f"{clips:,} clips at most", size, trained=clips * recipe.epochs * window)


def _libraries(step: Step) -> tuple[str, ...]:
    own = ("torch", "lightning.pytorch")
    return (*own, "torch.utils.tensorboard") if step.context.get("tensorboard") else own


KIND = StepKind("supervise", 2, Stage.WORK, compute, _extent, _libraries, on_gpu=True, trains=True)
