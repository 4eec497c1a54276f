"""Contrastive predictive coding: latents of the steps to come are to be told, from the context so far, from others.

One crop of an item is trained on, without augmentation. Source: thesis of contrastive learning of musical
representations (Spijkervet 2021), sections 2.2.2 and 5.2, with its released code (branch v1, commit c6f4490).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.encoding.windows import exact_float32, to_waveform
from benchmark.errors import UserError
from benchmark.pretraining.crops import Crops, CropSampler, training_window
from benchmark.pretraining.infonce import draw_permutations, draw_stretch, infonce
from benchmark.pretraining.methods.base import Given, Material, Setting
from benchmark.pretraining.methods.unlabelled import Unlabelled, fixed_crops
from benchmark.pretraining.trained import TrainedModule, evaluating, seeded
from benchmark.registry.methods import PredictiveRecipe
from benchmark.seeds import mix
from encoders.base import Encoder
from encoders.capabilities import LatentsAndContexts

#: Held-out clips whose latents are predicted before and after the training.
HELD_OUT = 32


class Predictive(Unlabelled[PredictiveRecipe]):
    """One crop of each item of a corpus."""

    RECIPE = PredictiveRecipe

    def module(self, setting: Setting, material: Material) -> PredictiveModule:
        """Encoder and predictions; without held-out clips, crops of training clips are watched."""
        given = setting.given
        watched = self.watched(material, given.window)
        return PredictiveModule(
            setting.encoder,
            self.recipe,
            self._predictions(setting.encoder, given),
            setting.crops,
            setting.sampler,
            given.seed,
            setting.steps,
            fixed_crops(given.pcm, watched, given.window, setting.device, 1, HELD_OUT)[0] if watched else None,
            "held-out" if material.held_out else "training",
        )

    def check_encoder(self, build: Callable[[], Encoder]) -> None:
        """Whether it has latents and contexts, and a crop enough of them."""
        encoder = build()
        self._widths(encoder, training_window(encoder, self.recipe.crop_seconds))

    def _widths(self, encoder: Encoder, window: int) -> tuple[int, int]:
        """Values of a latent, and of a context."""
        if not isinstance(encoder, LatentsAndContexts):
            raise UserError(
                f"predictive coding needs an encoder with latents and contexts, as cpc has; {type(encoder).__name__} "
                "has none"
            )
        with torch.no_grad():
            z = encoder.latents(torch.zeros(1, 1, window))
            c = encoder.contexts(z)
        if z.shape[1] <= self.recipe.distances:
            raise UserError(
                f"distances={self.recipe.distances} are predicted, and a crop of {window} samples has {z.shape[1]} "
                "latents; predict fewer"
            )
        return z.shape[2], c.shape[2]

    def _predictions(self, encoder: Encoder, given: Given) -> nn.Linear:
        latent, context = self._widths(encoder, given.window)
        with seeded(given.seed):
            return nn.Linear(context, self.recipe.distances * latent, bias=False)


class PredictiveModule(TrainedModule):
    """An encoder with one linear prediction for every distance, trained by InfoNCE.

    Parameters
    ----------
    encoder
        Trained in place.
    recipe
        Every number of the training.
    predictions
        Of all distances: contexts [..., C'] to the latents that come [..., K C].
    crops, sampler
        The corpus, and the one crop of each item that a step cuts.
    seed
        Of negatives, stretches and the predictions' initialisation.
    steps
        Length of the training.
    watched : Tensor, shape [clips, T], int16, optional
        Fixed crops whose latents are predicted before and after the training.
    watched_are
        Of which clips they are: ``"held-out"`` or ``"training"``.
    """

    def __init__(
        self,
        encoder: Encoder,
        recipe: PredictiveRecipe,
        predictions: nn.Linear,
        crops: Crops,
        sampler: CropSampler,
        seed: int,
        steps: int,
        watched: Tensor | None = None,
        watched_are: str = "training",
    ) -> None:
        super().__init__(encoder, recipe, crops, sampler, seed, steps, ("accuracy",))
        assert isinstance(encoder, LatentsAndContexts)
        self._network: LatentsAndContexts = encoder
        self.predictions = predictions
        self._recipe = recipe
        self._watched = watched
        self._watched_are = watched_are
        self._found: list[float] = []

    @property
    def chance(self) -> float:
        """Loss where nothing is known."""
        return math.log(1 + self._recipe.negatives)

    def before(self) -> None:
        """See how well the watched crops are predicted."""
        if self._watched is not None and len(self._watched) > 1:
            with evaluating(self), exact_float32():
                self._found.append(float(self._predicted(self._watched, 0)[0].mean()))

    def after(self) -> None:
        """See it again."""
        self.before()

    def facts(self) -> dict[str, Any]:
        """Loss at chance, and of the watched crops before and after."""
        facts: dict[str, Any] = {"loss_at_chance": round(self.chance, 4)}
        if self._found:
            facts |= {
                "watched_clips": self._watched_are,
                "watched_loss_before": round(self._found[0], 4),
                "watched_loss_after": round(self._found[-1], 4),
            }
        return facts

    def words(self) -> str | None:
        """How the loss of the watched crops has fallen."""
        if not self._found:
            return None
        return (
            f"loss of {self._watched_are} clips: {self._found[0]:.3f} -> {self._found[-1]:.3f} "
            f"(chance {self.chance:.3f})"
        )

    def training_step(self, _batch: Any, _batch_index: int) -> None:
        """Crops, latents, contexts, loss, gradient and update of the step that the trainer is at."""
        number = self.global_step
        self.reseed(number)
        # Each process has negatives of its own part of the batch.
        losses, accuracies = self._predicted(self.cut()[0], mix(self.seed, number, 0, self.global_rank))
        loss = losses.mean()
        self.manual_backward(loss)
        self.note(number, torch.stack([loss.detach().float(), accuracies.mean().float()]))
        self.move()

    def _predicted(self, crops: Tensor, seed: int) -> Tensor:
        """Loss and accuracy by distance [2, K] of int16 crops [N, T]."""
        z = self._network.latents(to_waveform(crops).unsqueeze(1))
        c = self._network.contexts(z)
        stretch = draw_stretch(z.shape[1], self._recipe.stretch, seed)
        permutations = draw_permutations(self._recipe.negatives, z.shape[0] * z.shape[1], seed)
        return infonce(z, c, self.predictions.weight, permutations, stretch)
