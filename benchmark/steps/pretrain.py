"""Train an encoder by contrast on a corpus."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.console import Reporter
from benchmark.encoding.planned import FLOAT32, STATE_COPIES, planned_audio, planned_encoder
from benchmark.registry.entries import RecipeEntry, planned
from benchmark.store.step import Extent, Stage, Step, StepKind
from benchmark.store.store import Artifact


def compute(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Leave weights, the training state, the curve, the list of clips and a card in `work`."""
    from benchmark.pretraining.contrastive_step import pretrain

    return pretrain(step, inputs, work, reporter)


def _extent(step: Step) -> Extent:
    recipe, encoder = planned(RecipeEntry, step.spec["recipe"]), planned_encoder(step)
    clips, _ = planned_audio(step.needs["pcm"])
    window = encoder.window or encoder.max_window
    pairs = recipe.total_steps(clips) * recipe.batch
    size = encoder.parameter_count() * FLOAT32 * STATE_COPIES
    return Extent(f"at most {pairs:,} pairs", size, trained=2 * pairs * window)


def _libraries(step: Step) -> tuple[str, ...]:
    own = ("torch", "lightning.pytorch")
    return (*own, "torch.utils.tensorboard") if step.context.get("tensorboard") else own


KIND = StepKind("pretrain", 3, Stage.WORK, compute, _extent, _libraries, on_gpu=True, trains=True)
