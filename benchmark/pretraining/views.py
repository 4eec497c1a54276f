"""Several augmented crops of each item, whatever a method then does with them."""

from __future__ import annotations

from dataclasses import fields, replace

import torch
from torch import Tensor

from benchmark.augmentation.chain import AugmentationChain
from benchmark.augmentation.config import AugmentationConfig
from benchmark.augmentation.draws import Draws
from benchmark.encoding.windows import to_waveform
from benchmark.pretraining.crops import VIEWS, Crops, CropSampler
from benchmark.pretraining.trained import TrainedModule
from benchmark.registry.recipes import RecipeEntry
from benchmark.seeds import mix
from encoders.base import Encoder

#: Tells the generator of a held-out evaluation from those of training steps.
EVALUATION = 2**31


class ViewsModule(TrainedModule):
    """An encoder that is trained on two augmented crops of each item, its views.

    Parameters
    ----------
    encoder, recipe, crops, sampler, seed, steps, columns
        As of `TrainedModule`.
    augmentation
        Of both views.
    """

    def __init__(
        self,
        encoder: Encoder,
        recipe: RecipeEntry,
        crops: Crops,
        sampler: CropSampler,
        seed: int,
        steps: int,
        augmentation: AugmentationConfig,
        columns: tuple[str, ...] = (),
    ) -> None:
        super().__init__(encoder, recipe, crops, sampler, seed, steps, columns)
        self._batch = recipe.batch
        self._chain = AugmentationChain(augmentation, encoder.sample_rate)

    def augment(self, crops: Tensor, number: int) -> Tensor:
        """int16 crops [2, N, T] -> augmented views [2, N, 1, T] of step `number`, in float32.

        What is drawn belongs to a place in the whole batch: of several processes, each draws for all and applies
        its own rows.
        """
        generator = torch.Generator().manual_seed(mix(self.seed, number))
        with torch.no_grad(), torch.autocast(crops.device.type, enabled=False):
            flat = to_waveform(crops).flatten(0, 1)
            if number == EVALUATION or self.sampler.world == 1:
                return self._chain(flat, generator).view(*crops.shape[:2], 1, -1)
            draws = self._chain.draw(VIEWS * self._batch, generator)
            own = torch.arange(VIEWS * self._batch).view(VIEWS, -1)[:, self.sampler.rows].reshape(-1)
            return self._chain.apply(flat, _rows(draws, own, self.global_rank)).view(*crops.shape[:2], 1, -1)


def _rows(draws: Draws, rows: Tensor, rank: int) -> Draws:
    """Draws of some rows of a batch; the samples of added noise are another process's own."""
    chosen = {field.name: getattr(draws, field.name)[rows] for field in fields(Draws) if field.name != "noise_seed"}
    return replace(draws, **chosen, noise_seed=draws.noise_seed + rank)
