"""What an encoder is given in training: waveforms, or features of its front end that a recipe's steps have changed."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.augmentation.draws import Draws
from benchmark.augmentation.features import FeatureChain
from benchmark.errors import UserError
from benchmark.pretraining.crops import CropSampler
from benchmark.pretraining.gathering import gather
from encoders.base import Encoder
from encoders.capabilities import FrontEndAndTrunk

#: Waveforms whose features are computed at a time: spectra take some 5 MB each, and a large batch may hold thousands.
AT_A_TIME = 32


class FeatureInputs:
    """Changes an encoder's features between its front end and its trunk, where a recipe says so.

    Parameters
    ----------
    encoder
        What is trained.
    chain
        Steps that change features; without any, the encoder is given waveforms.
    sampler
        Which rows of a batch this process has.

    Raises
    ------
    UserError
        If there are such steps, and the encoder does not part its front end from its trunk.
    """

    def __init__(self, encoder: Encoder, chain: FeatureChain, sampler: CropSampler) -> None:
        if chain and not isinstance(encoder, FrontEndAndTrunk):
            raise UserError(
                f"augmentation changes features, and {type(encoder).__name__} has no front end apart from its trunk "
                "(methods features and trunk); leave these steps out, or choose another encoder"
            )
        self._encoder = encoder
        self._chain = chain
        self._sampler = sampler

    def __bool__(self) -> bool:
        """Whether features are changed."""
        return bool(self._chain)

    def changed(self, waveforms: Tensor, seed: int) -> tuple[Tensor, Draws]:
        """Features [n, bands, t] of waveforms [n, 1, T] of this process, changed, and what was drawn for the batch.

        An example may be mixed with any of the batch, also with those of other processes: together they do what one
        does alone.
        """
        with torch.autocast(waveforms.device.type, enabled=False):
            features = self._everyone(self.unchanged(waveforms))
            draws = self._chain.draw(len(features), seed)
            return self._own(self._chain.apply(features, draws)), draws

    def unchanged(self, waveforms: Tensor) -> Tensor:
        """Features [n, bands, t] of waveforms [n, 1, T], as the front end gives them."""
        assert isinstance(self._encoder, FrontEndAndTrunk)
        with torch.autocast(waveforms.device.type, enabled=False):
            return torch.cat([self._encoder.features(part) for part in waveforms.split(AT_A_TIME)])

    def targets(self, targets: Tensor, draws: Draws) -> Tensor:
        """Labels [n, L] of the examples of this process, changed as their features were."""
        return self._own(self._chain.apply_to_targets(self._everyone(targets), draws))

    def encode(self, inputs: Tensor) -> Tensor:
        """Representations [n, dim] of changed features, or of waveforms if none are changed."""
        if not self:
            return self._encoder(inputs)
        assert isinstance(self._encoder, FrontEndAndTrunk)
        return self._encoder.trunk(inputs)[0]

    def _everyone(self, rows: Tensor) -> Tensor:
        return gather(rows) if self._sampler.world > 1 else rows

    def _own(self, rows: Tensor) -> Tensor:
        return rows[self._sampler.rows] if self._sampler.world > 1 else rows
