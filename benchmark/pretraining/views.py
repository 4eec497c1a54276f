"""Several augmented crops of each item, whatever a method then does with them."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.augmentation.chain import AugmentationChain
from benchmark.augmentation.config import Augmentations
from benchmark.encoding.windows import to_waveform
from benchmark.pretraining.crops import VIEWS, Crops, CropSampler
from benchmark.pretraining.feature_inputs import FeatureInputs
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
        Of both views, or of the first alone if `one_sided`.
    """

    def __init__(
        self,
        encoder: Encoder,
        recipe: RecipeEntry,
        crops: Crops,
        sampler: CropSampler,
        seed: int,
        steps: int,
        augmentation: Augmentations,
        columns: tuple[str, ...] = (),
        one_sided: bool = False,
    ) -> None:
        super().__init__(encoder, recipe, crops, sampler, seed, steps, columns)
        self._batch = recipe.batch
        self._one_sided = one_sided
        self._chain = AugmentationChain(augmentation, encoder.sample_rate)
        self._inputs = FeatureInputs(encoder, self._chain.features, sampler)

    def encode(self, inputs: Tensor) -> Tensor:
        """Representations [n, dim] of what `augment` gives for a view."""
        return self._inputs.encode(inputs)

    def augment(self, crops: Tensor, number: int) -> Tensor:
        """int16 crops [2, N, T] -> augmented views [2, N, 1, T] of step `number`, in float32.

        Where the recipe changes features, views are those: [2, N, bands, t], each view changed by draws of its own. A
        held-out evaluation sees none of that, and always has waveforms.

        What is drawn belongs to a place in the whole batch: of several processes, each draws for all and applies
        its own rows. One-sided, the second view is the crop alone (thesis of contrastive learning of musical
        representations, section 6.3); the first is what it is otherwise.
        """
        pairs = crops.shape[1]
        alone = number == EVALUATION or self.sampler.world == 1
        whole = pairs if alone else self._batch
        own = torch.arange(VIEWS * whole).view(VIEWS, -1)[:, slice(None) if alone else self.sampler.rows]
        augmented = 1 if self._one_sided else VIEWS
        with torch.no_grad(), torch.autocast(crops.device.type, enabled=False):
            views = to_waveform(crops)
            draws = self._chain.draw(VIEWS * whole, mix(self.seed, number)).take(own[:augmented].reshape(-1))
            changed = self._chain.apply(views[:augmented].flatten(0, 1), draws).view(augmented, pairs, -1)
            views = torch.cat([changed, views[augmented:]]).unsqueeze(2)
        if number == EVALUATION or not self._inputs:
            return views
        mixed = [self._inputs.changed(views[i], mix(self.seed, number, 0, i))[0] for i in range(augmented)]
        return torch.stack([*mixed, *(self._inputs.unchanged(view) for view in views[augmented:])])
