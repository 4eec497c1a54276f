"""What methods have in common that learn from audio alone, cut from the items of a corpus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from benchmark.pretraining.crops import Crops, CropSampler
from benchmark.pretraining.items import Item, divide, items_of
from benchmark.pretraining.methods.base import Given, Material, Method
from benchmark.registry.methods import ContrastiveRecipe, PredictiveRecipe
from benchmark.store.pcm import Pcm, PcmClip

U = TypeVar("U", bound=ContrastiveRecipe | PredictiveRecipe)


class Unlabelled(Method[U]):
    """Trains on items of a corpus, clips or songs, and is watched by crops that never change."""

    def material(self, given: Given) -> Material:
        """Items of the corpus, watched by the clips of its validation split if that is not trained on."""
        corpus, held_out = divide(given.pcm, given.splits)
        items = items_of(corpus, self.recipe.item, given.window)
        self.check_enough(items, given, f"{self.recipe.item}s")
        return Material(items, [item.clips[0] for item in items_of(held_out, "clip", given.window)])

    def watched(self, material: Material, window: int) -> list[PcmClip]:
        """Clips to watch the training by: held-out ones, else those of the corpus that are long enough."""
        corpus = [clip for item in material.items for clip in item.clips]
        return list(material.held_out) or [clip for clip in corpus if clip.samples >= window]

    def goes_on(self) -> bool:
        """With a constant learning rate; a falling one depends on the length."""
        return self.recipe.schedule == "constant"

    def words(self, material: Material, steps: int) -> str:
        """E.g. ``10 clips of 6 songs, 20 steps of 4 pairs``."""
        clips = sum(len(item.clips) for item in material.items)
        songs = f" of {len(material.items):,} songs" if self.recipe.item == "song" else ""
        return f"{clips:,} clips{songs}, {steps:,} steps of {self.recipe.batch} {self.recipe.BATCH_OF}"


def fixed_crops(pcm: Pcm, clips: Sequence[PcmClip], window: int, where: torch.device, views: int, most: int) -> Tensor:
    """Fixed random crops [views, clips, window] of up to `most` clips."""
    rng = np.random.default_rng(0)
    chosen = [Item((clips[i],)) for i in sorted(rng.permutation(len(clips))[:most])]
    sampler = CropSampler([item.samples for item in chosen], window, 1, 0, views=views)
    every = np.arange(len(chosen))
    return Crops(pcm, chosen, window, where, "stream").cut(every, sampler.starts(every, rng))
