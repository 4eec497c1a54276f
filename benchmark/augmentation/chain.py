"""The chain of a recipe's augmentations, from a batch of crops to a batch of views."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from benchmark.augmentation.base import Augmentation
from benchmark.augmentation.batches import beside
from benchmark.augmentation.config import AugmentationStep
from benchmark.augmentation.draws import Draws, StepDraws, Streams
from benchmark.augmentation.features import FeatureAugmentation, FeatureChain
from benchmark.augmentation.steps import build
from benchmark.errors import UserError

# Examples changed at a time on a device, which wants large batches; of temporaries they take some 5 MB each.
_DEVICE_LIMIT = 128


class AugmentationChain:
    """Random augmentation by steps that act one after the other, after cropping.

    What a step draws depends on no other step: one may be added, removed or moved (see `Streams`).

    Parameters
    ----------
    steps
        As a recipe lists them. Modules of plug-ins must be importable.
    sample_rate
        Sample rate [Hz].

    Attributes
    ----------
    names
        Of the steps that change waveforms; a second one of a name has its number behind it, as ``noise 2``.
    features
        The steps behind them that change an encoder's features.

    Raises
    ------
    ValueError
        If the numbers of a step mean nothing at this sample rate, or one that changes waveforms stands behind one that
        changes features.

    Examples
    --------
    >>> chain = AugmentationChain(recipe.augmentation, sample_rate=22_050)  # doctest: +SKIP
    >>> views = chain(crops, seed=0)  # doctest: +SKIP
    """

    def __init__(self, steps: Sequence[AugmentationStep], sample_rate: int) -> None:
        self.sample_rate = sample_rate
        built = [(entry.name, build(entry)) for entry in steps]
        for place, (name, step) in enumerate(built):
            step.config.check(sample_rate)
            if isinstance(step, Augmentation) and any(
                isinstance(before, FeatureAugmentation) for _, before in built[:place]
            ):
                raise ValueError(f"{name} changes waveforms, so it stands before all steps that change features")
        of_waveforms = [(name, step) for name, step in built if isinstance(step, Augmentation)]
        of_features = [(name, step) for name, step in built if isinstance(step, FeatureAugmentation)]
        self._steps = [step for _, step in of_waveforms]
        self._streams = Streams(name for name, _ in of_waveforms)
        self.names = self._streams.names
        self.features = FeatureChain([step for _, step in of_features], Streams(name for name, _ in of_features))

    def __call__(self, waveform: Tensor, seed: int) -> Tensor:
        """Return an augmented copy of a batch.

        Parameters
        ----------
        waveform : Tensor of float32, shape [B, T]
            Crops, -1 to 1, on any device. Mixed precision must be off around this call.
        seed
            Of all randomness, at least 0. The same seed gives the same bits on one device.

        Returns
        -------
        Tensor of float32, shape [B, T]
            Examples that no step selects are unchanged to the bit.
        """
        return self.apply(waveform, self.draw(len(waveform), seed))

    def draw(self, batch: int, seed: int) -> Draws:
        """Draw what is done to `batch` examples, on the CPU.

        Of several processes that share a batch, each draws for the whole of it and applies what it has taken
        (`Draws.take`) of its own rows: together they do what one does alone.
        """
        return self._streams.draw(self._steps, batch, seed)

    @torch.no_grad()
    def apply(self, waveform: Tensor, draws: Draws) -> Tensor:
        """Return a copy of a batch [B, T], augmented by what was drawn for its examples."""
        if waveform.ndim != 2 or waveform.dtype != torch.float32:
            raise ValueError(f"augmentation takes float32 [B, T], not {waveform.dtype} {list(waveform.shape)}")
        out = waveform.clone(memory_format=torch.contiguous_format)
        for step, name, drawn in zip(self._steps, self.names, draws.steps, strict=True):
            self._change(out, step, name, drawn)
        return out

    def _change(self, waveform: Tensor, step: Augmentation, name: str, drawn: StepDraws) -> None:
        """Replace the selected examples of a batch by what a step makes of them, some at a time."""
        limit = step.examples_at_a_time if waveform.device.type == "cpu" else _DEVICE_LIMIT
        for rows in torch.split(drawn.selected.nonzero().view(-1), limit):
            if len(rows) == 0:  # an empty tensor splits into one empty part
                return
            index = beside(rows, waveform)
            x = waveform.index_select(0, index)
            y = step.apply(x, drawn.take(rows).params, self.sample_rate)
            if y.shape != x.shape or y.dtype != x.dtype:
                raise UserError(
                    f"augmentation {name}: apply gives {y.dtype} {list(y.shape)} for {x.dtype} {list(x.shape)}; it "
                    "must keep type and shape"
                )
            waveform.index_copy_(0, index, y)
