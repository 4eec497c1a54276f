"""Training on several sources of labels, for `bench speed pretrain`: the module, and a bare step beside it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from itertools import count

import numpy as np
import torch

from benchmark.encoding.windows import bfloat16_pays, to_waveform
from benchmark.pretraining.crops import Crops
from benchmark.pretraining.methods.base import Given, Setting
from benchmark.pretraining.methods.multi_source import MultiSource, MultiSourceModule, targets_of
from benchmark.pretraining.optimisation import build_optimiser
from benchmark.pretraining.source_labels import SELF, SourceLabels
from benchmark.pretraining.source_sampler import SourceSampler
from benchmark.registry.methods import MultiSourceRecipe
from benchmark.speed.processor_time import ProcessorTime
from benchmark.store.pcm import Pcm
from encoders.base import Encoder


class Timed(ProcessorTime, MultiSourceModule):
    """A training whose processor's time is known."""


class InTurn(SourceSampler):
    """One source after another, so that the steps of both kinds cost the same: a pair is two crops."""

    def source(self, number: int) -> int:
        """Place of the source of step `number`."""
        return number % len(self._labelled)


def module(
    encoder: Encoder, recipe: MultiSourceRecipe, pcm: Pcm, window: int, where: torch.device, seed: int, steps: int
) -> Timed:
    """What is trained, on labels that mean nothing."""
    rng = np.random.default_rng(seed)
    everything = np.ones(len(pcm.clips), dtype=np.bool_)
    labels = [
        SourceLabels(name, rng.dirichlet(np.ones(recipe.factors), len(pcm.clips)).astype(np.float32), everything)
        for name in recipe.sources
        if name != SELF
    ]
    method = MultiSource(recipe)
    given = Given("speed", pcm, None, None, 1, seed, window, encoder, labels)
    material = method.material(given)
    sampler = method.sampler(given, material, (0, 1))
    sampler.__class__ = InTurn
    crops = Crops(pcm, material.items, window, where)
    return Timed(Setting(encoder, given, crops, sampler, steps, where), recipe, material).to(where)


def bare(trained: MultiSourceModule, recipe: MultiSourceRecipe, where: torch.device) -> Callable[[], None]:
    """A function that takes a step on a batch of the next source, all of which stay on the device."""
    batches = []
    with closing(trained.crops) as crops:
        for place, source in enumerate(trained.sources):
            items, starts = trained.sampler.step(place)
            targets = targets_of(source, trained.sampler, items).to(where)
            batches.append((to_waveform(crops.cut(items, starts)[0]).unsqueeze(1), targets))
    optimiser = build_optimiser(recipe.optimiser, trained.parameters(), recipe.step_size, recipe.weight_decay)
    numbers = count()

    def step() -> None:
        trained.train()
        place = next(numbers) % len(batches)
        with torch.autocast(where.type, torch.bfloat16, enabled=bfloat16_pays(where)):
            loss = trained.loss(place, *batches[place])
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    return step
