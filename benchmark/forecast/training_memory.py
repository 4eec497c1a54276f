"""How much memory a step of contrastive training takes, by how many of its pairs are encoded at a time.

A forward pass over a few windows is gone through, and the tensors that it makes are added up as they come and go. Two
sizes of batch give what a window takes and what is there whatever the batch: memory grows with it in a straight line,
but for the similarities of all pairs, which are counted. On the way back a pass holds at most what it held at its end
and the gradient of the weights.
"""

from __future__ import annotations

import weakref
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmark.encoding.planned import FLOAT32
from benchmark.encoding.windows import bfloat16_pays, build_encoder, device
from benchmark.pretraining.crops import VIEWS, Crops, CropSampler, training_window
from benchmark.pretraining.feature_inputs import AT_A_TIME
from benchmark.pretraining.items import items_of
from benchmark.pretraining.methods.contrastive import ContrastiveModule
from benchmark.pretraining.views import EVALUATION
from benchmark.registry.augmentation_plugins import load_augmentations
from benchmark.registry.methods import ContrastiveRecipe
from benchmark.store.pcm import Pcm, PcmClip
from benchmark.store.step import Step
from encoders.base import Encoder
from encoders.capabilities import FrontEndAndTrunk

#: Pairs of the two batches that are gone through; batch norm cannot train on one.
FEW, MORE = 2, 3
#: Numbers that an optimiser keeps for each weight, beside the weight.
MOMENTS = {"adam": 2, "adamw": 2, "lars": 1}


@dataclass(frozen=True)
class StepMemory:
    """What a step of training takes [bytes], in float32 or as the precision has it.

    Attributes
    ----------
    weights
        Of encoder and projector.
    kept
        Weights, and what the optimiser keeps of them.
    augmented, waveforms, views
        Of a pair: what augmentation takes at most, the waveforms that it gives, and what of them is encoded.
    front_end
        Of a window whose features are computed; 0 if waveforms are encoded.
    fixed, encoded
        Of forward and backward passes: whatever the batch, and of a pair.
    """

    weights: int
    kept: int
    augmented: float
    waveforms: float
    views: float
    front_end: float
    fixed: float
    encoded: float

    def of(self, batch: int, chunk: int | None) -> int:
        """Peak of a step of `batch` pairs, encoded in chunks."""
        pairs = min(chunk or batch, batch)
        similarities = 3 * FLOAT32 * (VIEWS * batch) ** 2  # of all pairs, their exponentials, and their slopes
        # In chunks the gradient of those before is kept beside the one that is being made.
        gradient = self.weights if pairs < batch else 0
        encoded = self.views * batch + max(gradient + self.fixed + self.encoded * pairs, similarities)
        inputs = (self.waveforms + self.views) * batch + self.front_end * min(AT_A_TIME, batch)
        return round(self.kept + max(self.augmented * batch, inputs if self.front_end else 0, encoded))


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
    weights, *few = _gone_through(encoder, recipe, window, FEW, where, precision)
    _, *more = _gone_through(encoder, recipe, window, MORE, where, precision)
    augmented, waveforms, views, front_end, encoded = ((b - a) / (MORE - FEW) for a, b in zip(few, more, strict=True))
    passes = 1 if recipe.batch_norm == "joint" else VIEWS
    return StepMemory(
        weights=weights,
        kept=weights * (1 + MOMENTS[recipe.optimiser.kind]),
        augmented=augmented,
        waveforms=waveforms,
        views=views,
        front_end=front_end,
        fixed=weights + passes * max(0.0, few[-1] - FEW * encoded),
        encoded=VIEWS * encoded,
    )


def _gone_through(
    encoder: Encoder, recipe: ContrastiveRecipe, window: int, pairs: int, where: torch.device, precision: str
) -> tuple[int, int, int, int, int, int]:
    """Bytes of weights; of augmenting `pairs`, of their waveforms and views; of features and encoding of one view."""
    samples = np.random.default_rng(0).integers(-3000, 3000, pairs * window, dtype=np.int16)
    clips = [PcmClip(str(n), "", "train", "", "", "", n * window, window, str(n)) for n in range(pairs)]
    items = items_of(clips, "clip", window)
    sampler = CropSampler([item.samples for item in items], window, pairs, 0)
    crops = Crops(Pcm(samples, tuple(clips), (), encoder.sample_rate), items, window, where, "stream")
    small = recipe.model_copy(update={"batch": pairs, "chunk": None})
    module = ContrastiveModule(encoder, small, crops, sampler, 0, 1).to(where).train()
    with closing(crops):
        cut = crops.cut_step(sampler, 0, 0)
    with Live() as augmenting:
        waveforms = module.augment(cut, EVALUATION)  # without changes of features
    views = module.augment(cut, 0)
    with torch.no_grad(), Live() as front_end:
        if isinstance(encoder, FrontEndAndTrunk) and views.shape != waveforms.shape:
            encoder.features(waveforms[0])
    with torch.autocast(where.type, torch.bfloat16, enabled=precision.startswith("bf16")), Live() as encoding:
        projections = module.projector(module.encode(views[0]))
    del projections  # what it holds is counted until here
    weights = sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())
    sizes = [tensor.numel() * tensor.element_size() for tensor in (waveforms, views)]
    return weights, augmenting.peak, sizes[0], sizes[1], front_end.peak, encoding.peak


class Live(TorchDispatchMode):
    """Adds up the tensors that operations inside the block give, as long as something holds them.

    Attributes
    ----------
    peak
        The most that they took at once [bytes].
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
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
