"""What is trained, whatever the method: an encoder inside a module that takes its steps by number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from benchmark.pretraining.crops import Crops, CropSampler
from benchmark.pretraining.curve import Curve
from benchmark.pretraining.gathering import mean_over_processes
from benchmark.pretraining.optimisation import configured
from benchmark.registry.recipes import RecipeEntry
from benchmark.seeds import mix
from encoders.base import Encoder


class TrainedModule(pl.LightningModule):
    """What the trainings of all methods share: steps by number, and a curve of what they measure.

    The number of the step decides crops, augmentation and dropout, so nothing of a data loader or of a random
    generator needs saving. A method's own module says what a step is, and may say what is watched before and after
    the training, what is to be known of it, and which files it leaves.

    Parameters
    ----------
    encoder
        Trained in place.
    recipe
        Every number of the training.
    crops, sampler
        The corpus, and what is cut of it in each step.
    seed
        Of all randomness.
    steps
        Length of the training, at most.
    columns
        Names of what a step measures beside its loss.

    Attributes
    ----------
    LEAVES_OUT
        Whether a step may leave parameters without a gradient.
    curve
        What every step so far has measured; the first column is the loss.
    scores
        Score of the validation probe by step.
    """

    LEAVES_OUT: ClassVar[bool] = False

    encoder: Encoder

    def __init__(
        self,
        encoder: Encoder,
        recipe: RecipeEntry,
        crops: Crops,
        sampler: CropSampler,
        seed: int,
        steps: int,
        columns: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        # Every step differentiates, clears and moves by itself, for a batch may be taken in chunks.
        self.automatic_optimization = False
        self.encoder = encoder
        self.curve = Curve(("loss", *columns))
        self.latest: Tensor | None = None
        self.scores: dict[int, float] = {}
        self.crops = crops
        self.sampler = sampler
        self.steps = steps
        self.seed = seed
        self._trained_by = recipe

    @property
    def taken(self) -> int:
        """Optimiser steps of the finished training."""
        return self.steps

    def before(self) -> None:
        """Look at what the training is watched by; called on its device, before the first step."""

    def after(self) -> None:
        """Look again, or go back to the best weights; called after the last step, in the first process alone."""

    def facts(self) -> dict[str, Any]:
        """What is to be known of the finished training, beside what is known of every one."""
        return {}

    def words(self) -> str | None:
        """A line on the finished training for the terminal."""
        return None

    def leave(self, folder: Path) -> None:
        """Write files of the method's own beside the encoder's weights."""

    def cut(self) -> Tensor:
        """int16 crops [views, N, T] of the step that the trainer is at, on the device."""
        return self.crops.cut_step(self.sampler, self.global_step, self.steps - 1)

    def note(self, number: int, values: Tensor) -> None:
        """Enter what step `number` has measured, the mean over all processes, into the curve."""
        self.latest = mean_over_processes(values)
        self.curve.add(number, self.latest)

    def move(self) -> None:
        """Let the optimiser, and the schedule if there is one, take a step."""
        optimiser = self.optimizers()
        optimiser.step()  # type: ignore[union-attr]
        optimiser.zero_grad()  # type: ignore[union-attr]
        schedule = self.lr_schedulers()
        if schedule is not None:
            schedule.step()  # type: ignore[union-attr]

    def reseed(self, number: int, part: int = 0) -> None:
        """Let whatever is random inside the encoder depend on step, part of the batch and process alone."""
        torch.manual_seed(mix(self.seed, number, 1 + part, self.global_rank))

    def configure_optimizers(self) -> Any:
        """The recipe's optimiser and the course of its learning rate."""
        return configured(self._trained_by, self.parameters(), self.steps, self.sampler.steps_per_epoch)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the curve with the weights."""
        checkpoint["curve"] = self.curve.state()
        checkpoint["scores"] = [[step, score] for step, score in self.scores.items()]

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Go on with the curve of the interrupted attempt."""
        self.curve.restore(checkpoint["curve"])
        self.scores = {int(step): float(score) for step, score in checkpoint["scores"]}


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, without gradients, inside the block."""
    was_training = module.training
    module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        module.train(was_training)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Build heads and projectors inside the block with initial weights of a training's seed, on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(seed, 0))
        yield
