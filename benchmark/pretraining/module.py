"""The contrastive model as Lightning trains it: crops, augmentation, encoder, projector and loss, all on the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn

from benchmark.encoding import to_waveform
from benchmark.entries import Projector, RecipeEntry
from benchmark.pretraining.augmentation.chain import AugmentationChain
from benchmark.pretraining.crops import Crops, CropSampler
from benchmark.pretraining.ntxent import ntxent
from encoders.base import Encoder

#: Tells the generator of a held-out evaluation from those of training steps.
_EVALUATION = 2**31


class ContrastiveModule(pl.LightningModule):
    """An encoder with its projector, trained by NT-Xent on pairs of augmented crops.

    The number of the step decides crops and augmentation, so nothing of a data loader needs saving.

    Parameters
    ----------
    encoder
        Trained in place.
    recipe
        Every number of the training.
    crops, sampler
        The corpus, and what is cut of it in each step.
    seed
        Of the augmentation and of the projector's initialisation.
    steps
        Length of the training.
    """

    def __init__(
        self, encoder: Encoder, recipe: RecipeEntry, crops: Crops, sampler: CropSampler, seed: int, steps: int
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = build_projector(recipe.projector, encoder.dim, seed)
        #: Number and loss of every step so far; tensors, so that no step waits for the device.
        self.losses: list[tuple[int, Tensor]] = []
        self._recipe = recipe
        self._chain = AugmentationChain(recipe.augmentation, encoder.sample_rate)
        self._crops = crops
        self._sampler = sampler
        self._seed = seed
        self._steps = steps

    def training_step(self, _batch: Any, _batch_index: int) -> Tensor:
        """Loss of the step that the trainer is at."""
        number = self.global_step
        crops = self._crops.cut_step(self._sampler, number, self._steps - 1)
        views = self.augment(crops, number)
        # The views go through one after the other: each has batch statistics of its own, as in CLMR.
        z_i, z_j = (self.projector(self.encoder(view)).float() for view in views)
        loss = ntxent(z_i, z_j, self._recipe.temperature)
        self.losses.append((number, loss.detach()))
        return loss

    def augment(self, crops: Tensor, number: int) -> Tensor:
        """int16 crops [2, N, T] -> augmented views [2, N, 1, T] of step `number`, in float32."""
        generator = torch.Generator().manual_seed(_mix(self._seed, number))
        with torch.no_grad(), torch.autocast(crops.device.type, enabled=False):
            flat = to_waveform(crops).flatten(0, 1)
            return self._chain(flat, generator).view(*crops.shape[:2], 1, -1)

    def project(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Projections [N, D] of both views of held-out crops [2, N, T]; the same augmentation at every call."""
        views = self.augment(crops, _EVALUATION)
        was_training = self.training
        self.eval()
        with torch.inference_mode():
            chunks = [[self.projector(self.encoder(part)).float() for part in view.split(8)] for view in views]
        self.train(was_training)
        return torch.cat(chunks[0]), torch.cat(chunks[1])

    def configure_optimizers(self) -> Any:
        """Adam, with the recipe's schedule stepped after every optimiser step."""
        recipe = self._recipe
        adam = torch.optim.Adam(self.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        if recipe.schedule == "constant":
            return adam
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, T_max=self._steps)
        return {"optimizer": adam, "lr_scheduler": {"scheduler": cosine, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the loss curve with the weights."""
        checkpoint["losses"] = [[number, float(loss)] for number, loss in self.losses]

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Go on with the loss curve of the interrupted attempt."""
        self.losses = [(int(number), torch.tensor(loss)) for number, loss in checkpoint["losses"]]


def build_projector(settings: Projector, dim: int, seed: int) -> nn.Module:
    """What maps representations [B, dim] to where the loss compares them; `mlp` is CLMR's: two layers, no biases."""
    with torch.random.fork_rng():
        torch.manual_seed(_mix(seed, 0))
        if settings.kind == "identity":
            return nn.Identity()
        if settings.kind == "linear":
            return nn.Linear(dim, settings.dim, bias=False)
        return nn.Sequential(nn.Linear(dim, dim, bias=False), nn.ReLU(), nn.Linear(dim, settings.dim, bias=False))


def _mix(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0] >> np.uint64(1))
