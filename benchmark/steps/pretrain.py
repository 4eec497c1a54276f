"""Train an encoder by the method of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.console import Reporter
from benchmark.encoding.planned import FLOAT32, STATE_COPIES, planned_corpus, planned_encoder
from benchmark.store.step import Extent, Stage, Step, StepKind
from benchmark.store.store import Artifact


def compute(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Leave weights, files of the method's own, the training state, the curve, the clips and a card in `work`."""
    from benchmark.pretraining.method_run import run_method

    return run_method(step, inputs, work, reporter)


def extent(step: Step) -> Extent:
    """Crops that a training takes at most, and its state on disk."""
    from benchmark.pretraining.crops import training_window
    from benchmark.pretraining.methods.planned import planned_method

    method, encoder = planned_method(step), planned_encoder(step)
    recipe = method.recipe
    window = training_window(encoder, recipe.crop_seconds)
    clips = planned_corpus(step.needs["pcm"], step.spec.get("splits"), window / encoder.sample_rate)
    steps = method.total_steps(clips, encoder)
    items = steps * recipe.batch
    crops = recipe.VIEWS * items
    size = encoder.parameter_count() * FLOAT32 * STATE_COPIES
    work = f"{clips:,} clips at most" if recipe.LABELLED else f"at most {items:,} {recipe.BATCH_OF}"
    return Extent(work, size, trained=crops * window, amount=steps)


def libraries(step: Step) -> tuple[str, ...]:
    """What training imports."""
    own = ("torch", "lightning.pytorch")
    return (*own, "torch.utils.tensorboard") if step.context.get("tensorboard") else own


KIND = StepKind("pretrain", 3, Stage.WORK, compute, extent, libraries, on_gpu=True, trains=True)
