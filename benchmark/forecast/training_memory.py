"""How much memory a step of contrastive training takes, by how many of its pairs are encoded at a time.

A forward pass over a few windows is gone through, and the tensors that it makes are added up as they come and go. Two
sizes of batch give what a window takes and what is there whatever the batch: memory grows with it in a straight line,
but for the similarities of all pairs, which are counted. On the way back a pass holds at most what it held at its end
and the gradient of the weights.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmark.console import Reporter
from benchmark.encoding.planned import FLOAT32
from benchmark.encoding.windows import bfloat16_pays, build_encoder, device
from benchmark.engine.engine import Engine
from benchmark.forecast.resources import free_memory
from benchmark.plan.runs import Run, unique_steps
from benchmark.pretraining.crops import VIEWS, Crops, CropSampler, training_window
from benchmark.pretraining.items import items_of
from benchmark.pretraining.methods.contrastive import ContrastiveModule
from benchmark.pretraining.methods.planned import planned_method
from benchmark.registry.augmentation_plugins import load_augmentations
from benchmark.registry.methods import ContrastiveRecipe
from benchmark.store.pcm import Pcm, PcmClip
from benchmark.store.step import Step
from benchmark.store.store import digest_of
from benchmark.text import aligned, readable_bytes
from encoders.base import Encoder

#: From this many pairs on, what a step takes is said before it is taken.
LARGE_BATCH = 256
#: Pairs of the two batches that are gone through; batch norm cannot train on one.
FEW, MORE = 2, 3
#: Numbers that an optimiser keeps for each weight, beside the weight.
MOMENTS = {"adam": 2, "adamw": 2, "lars": 1}
#: Chunks that are told: the whole batch, and so many halves of halves.
HALVINGS = 8


@dataclass(frozen=True)
class StepMemory:
    """What a step of training takes [bytes], in float32 or as the precision has it.

    Attributes
    ----------
    weights
        Of encoder and projector.
    kept
        Weights, and what the optimiser keeps of them.
    augmented, views
        Of a pair: what cutting, augmentation and the front end take at most, and what of it stays for the step.
    fixed, encoded
        Of forward and backward passes: whatever the batch, and of a pair.
    """

    weights: int
    kept: int
    augmented: float
    views: float
    fixed: float
    encoded: float

    def of(self, batch: int, chunk: int | None) -> int:
        """Peak of a step of `batch` pairs, encoded in chunks."""
        pairs = min(chunk or batch, batch)
        similarities = 3 * FLOAT32 * (VIEWS * batch) ** 2  # of all pairs, their exponentials, and their slopes
        # In chunks the gradient of those before is kept beside the one that is being made.
        gradient = self.weights if pairs < batch else 0
        encoded = self.views * batch + max(gradient + self.fixed + self.encoded * pairs, similarities)
        return round(self.kept + max(self.augmented * batch, encoded))


def say_memory(runs: Sequence[Run], engine: Engine, reporter: Reporter) -> None:
    """Say for each training that is to be done, with a large batch or in chunks, what a step of it takes here."""
    told = set()
    for step in unique_steps(runs):
        if not step.of.trains or engine.current(step) is not None:
            continue
        recipe = planned_method(step).recipe
        named = step.context["encoder"]
        if not isinstance(recipe, ContrastiveRecipe) or not (recipe.chunk or recipe.batch >= LARGE_BATCH):
            continue
        numbers: Mapping[str, Any] = step.spec["recipe"]
        identity = digest_of([named.entry.class_path, named.entry.args, numbers])
        if identity not in told:
            told.add(identity)
            reporter.say(memory_in_words(step, recipe, step_memory(step, recipe), free_memory(device())))


def memory_in_words(step: Step, recipe: ContrastiveRecipe, memory: StepMemory, free: int) -> str:
    """A table of chunks, the one that the recipe takes, and what to do where that is more than is `free` [bytes]."""
    halves = [-(-recipe.batch // 2**n) for n in range(HALVINGS)]
    chunks = sorted({*halves, min(recipe.chunk or recipe.batch, recipe.batch)} - {1}, reverse=True)
    chosen = min(recipe.chunk or recipe.batch, recipe.batch)
    rows = [["chunk", "memory", ""]]
    for chunk in chunks:
        pairs = f"{chunk:,}" if chunk < recipe.batch else f"{chunk:,}, the whole batch"
        marks = ["chosen"] if chunk == chosen else []
        taken = memory.of(recipe.batch, chunk)
        rows.append([pairs, readable_bytes(taken), ", ".join(marks + (["too much"] if taken > free else []))])
    lines = [
        f"{step.context['encoder'].name}, recipe {step.context['names']['recipe']}: about what a step of "
        f"{recipe.batch:,} pairs takes by the pairs encoded at a time, of {readable_bytes(free)} free here",
        *(f"  {line}" for line in aligned(rows).splitlines()),
    ]
    fitting = [chunk for chunk in chunks if memory.of(recipe.batch, chunk) <= free]
    if chosen not in fitting:
        remedy = f"--set chunk={fitting[0]} would" if fitting else "no chunk does; name a smaller --batch"
        lines.append(f"  The chosen one does not fit; {remedy}")
    return "\n".join(lines)


def step_memory(step: Step, recipe: ContrastiveRecipe) -> StepMemory:
    """Go through a step of two small batches, and see what it takes.

    Raises
    ------
    UserError
        If the encoder cannot be built, or the recipe does not fit it.
    """
    if "recipe" in step.context:
        load_augmentations(step.context["recipe"])
    where = device()
    precision = step.context.get("precision") or ("bf16-mixed" if bfloat16_pays(where) else "32-true")
    encoder = build_encoder(step.context["encoder"], 0)
    window = training_window(encoder, recipe.crop_seconds)
    encoder.to(where)
    few, more = (_gone_through(encoder, recipe, window, pairs, where, precision) for pairs in (FEW, MORE))
    augmented, views, encoded = ((b - a) / (MORE - FEW) for a, b in zip(few[1:], more[1:], strict=True))
    passes = 1 if recipe.batch_norm == "joint" else VIEWS
    return StepMemory(
        weights=few[0],
        kept=few[0] * (1 + MOMENTS[recipe.optimiser.kind]),
        augmented=augmented,
        views=views,
        fixed=few[0] + passes * max(0.0, few[3] - FEW * encoded),
        encoded=VIEWS * encoded,
    )


def _gone_through(
    encoder: Encoder, recipe: ContrastiveRecipe, window: int, pairs: int, where: torch.device, precision: str
) -> tuple[int, int, int, int]:
    """Bytes of the weights, of augmenting `pairs`, of both their views, and of one view when it has been encoded."""
    samples = np.random.default_rng(0).integers(-3000, 3000, pairs * window, dtype=np.int16)
    clips = [PcmClip(str(n), "", "train", "", "", "", n * window, window, str(n)) for n in range(pairs)]
    items = items_of(clips, "clip", window)
    sampler = CropSampler([item.samples for item in items], window, pairs, 0)
    crops = Crops(Pcm(samples, tuple(clips), (), encoder.sample_rate), items, window, where, "stream")
    small = recipe.model_copy(update={"batch": pairs, "chunk": None})
    module = ContrastiveModule(encoder, small, crops, sampler, 0, 1).to(where).train()
    with closing(crops), Live() as augmenting:
        views = module.augment(crops.cut_step(sampler, 0, 0), 0)
    with torch.autocast(where.type, torch.bfloat16, enabled=precision.startswith("bf16")), Live() as encoding:
        projections = module.projector(module.encode(views[0]))
    del projections  # what it holds is counted until here
    weights = sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())
    return weights, augmenting.peak, views.numel() * views.element_size(), encoding.peak


class Live(TorchDispatchMode):
    """Adds up the tensors that operations inside the block give, as long as something holds them.

    Attributes
    ----------
    peak
        The most that they took at once [bytes].
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._now = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Carry out an operation, and count the storages that it has made."""
        del types
        given = {id(leaf.untyped_storage()) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        found = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(found):
            if isinstance(leaf, Tensor):
                self._count(leaf.untyped_storage(), given)
        return found

    def _count(self, storage: torch.UntypedStorage, given: set[int]) -> None:
        if id(storage) in given or id(storage) in self._known:
            return
        identity, size = id(storage), storage.nbytes()
        self._known.add(identity)
        self._now += size
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._forget, identity, size)

    def _forget(self, identity: int, size: int) -> None:
        self._known.discard(identity)
        self._now -= size
