"""Training on several sources of labels: each step learns from one of them, and moves the trunk and that branch alone.

Source: Kim, Urbano, Liem and Hanjalic 2020, Algorithm 1 and sections 2.3 and 3. Sources are distributions over factors,
which a softmax is to predict, and `self`, for which two crops are told to be of one clip or of two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.encoding.windows import exact_float32, to_waveform
from benchmark.errors import UserError
from benchmark.pretraining.crops import Crops
from benchmark.pretraining.items import Item, divide, items_of
from benchmark.pretraining.methods.base import Given, Material, Method, Setting
from benchmark.pretraining.optimisation import configured
from benchmark.pretraining.source_labels import SELF, SourceLabels
from benchmark.pretraining.source_sampler import SourceSampler, same_clip
from benchmark.pretraining.trained import TrainedModule, evaluating, seeded
from benchmark.registry.methods import MultiSourceRecipe
from benchmark.store.file_names import HEADS
from benchmark.store.pcm import PcmClip
from encoders.base import Encoder
from encoders.capabilities import SourceBranches
from encoders.weights import save_tensors

#: Width of the layer in which two crops meet.
PAIR_WIDTH = 128
#: Clips whose labels are predicted before and after the training, at most.
WATCHED = 64


@dataclass(frozen=True)
class Source:
    """A source of labels, for the items of a training.

    Attributes
    ----------
    name
        What the recipe calls it.
    rows : ndarray of int
        Items that it says something of.
    factors : Tensor, shape [items, K], or None
        Their distributions; ``None`` for pairs.
    """

    name: str
    rows: NDArray[np.int64]
    factors: Tensor | None


@dataclass(frozen=True)
class SourceMaterial(Material):
    """Clips, and what each source says of them.

    Attributes
    ----------
    sources
        Those that are trained on, in the order of the branches.
    counts
        Clips of the corpus that each of the recipe's sources says something of.
    watched_items, watched
        Held-out clips, or training clips where there are none, and what the same sources say of them.
    """

    sources: Sequence[Source]
    counts: Mapping[str, int]
    watched_items: Sequence[Item]
    watched: Sequence[Source]


class MultiSource(Method[MultiSourceRecipe]):
    """Crops of the clips of one source a step."""

    RECIPE = MultiSourceRecipe

    def material(self, given: Given) -> SourceMaterial:
        """Clips that all sources, or any that is trained on, say something of."""
        recipe = self.recipe
        names = sources_of(given.encoder, recipe)
        labels = _by_name(given.sources, recipe.sources, len(given.pcm.clips))
        corpus, held_out = divide(given.pcm, given.splits)
        needed, of_each = (recipe.sources, np.all) if recipe.tracks == "common" else (names, np.any)
        counts = _counts(labels, corpus, needed, given)
        place = {clip.id: place for place, clip in enumerate(given.pcm.clips)}
        known = of_each(np.stack([labels[name].labelled for name in needed]), axis=0).tolist()
        items, watched = (
            [item for item in items_of(clips, "clip", given.window) if known[place[item.clips[0].id]]]
            for clips in (corpus, held_out)
        )
        self._check_items(items, counts, given)
        sources, seen = (
            [_source(labels[name], np.array([place[item.clips[0].id] for item in those], np.int64)) for name in names]
            for those in (items, watched or items)
        )
        for source in sources:
            if len(source.rows) < recipe.batch:
                raise UserError(
                    f"{given.title}: source {source.name} has {len(source.rows)} clips of at least {given.window} "
                    f"samples, fewer than a batch of {recipe.batch}; name a smaller --batch, or leave it out of sources"
                )
        return SourceMaterial(items, [item.clips[0] for item in watched], sources, counts, watched or items, seen)

    def _check_items(self, items: Sequence[Item], counts: Mapping[str, int], given: Given) -> None:
        if len(items) < self.recipe.batch:
            common = self.recipe.tracks == "common"
            each = ", ".join(f"{name} {count:,}" for name, count in counts.items())
            raise UserError(
                f"{given.title}: {len(items)} clips of at least {given.window} samples have "
                f"{'all sources' if common else 'any source'} ({each}), fewer than a batch of {self.recipe.batch}; "
                f"{'say tracks=own, leave out the rarest, or ' if common else ''}name a smaller --batch"
            )

    def sampler(self, given: Given, material: Material, part: tuple[int, int]) -> SourceSampler:
        """A batch of one source each step."""
        assert isinstance(material, SourceMaterial)
        sources, batch = material.sources, self.recipe.batch
        return SourceSampler(
            [item.samples for item in material.items],
            given.window,
            batch,
            given.seed,
            labelled=[source.rows for source in sources],
            pairs=[source.factors is None for source in sources],
            steps_per_epoch=self.recipe.steps_per_epoch(len(material.items), len(sources)),
            part=part,
        )

    def check_encoder(self, build: Callable[[], Encoder]) -> None:
        """Whether its branches and the recipe's sources go together."""
        sources_of(build(), self.recipe)

    def total_steps(self, items: int, encoder: Encoder) -> int:
        """As many for each source that is trained on as the recipe says."""
        return self.recipe.total_steps(items, len(sources_of(encoder, self.recipe)))

    def module(self, setting: Setting, material: Material) -> MultiSourceModule:
        """Encoder and a head for each source."""
        assert isinstance(material, SourceMaterial)
        return MultiSourceModule(setting, self.recipe, material)

    def goes_on(self) -> bool:
        """With a constant learning rate; a falling one depends on the length."""
        return self.recipe.schedule == "constant"

    def words(self, material: Material, steps: int) -> str:
        """E.g. ``40 clips that have all sources (of self 60, tag 40), 200 steps of 32 on self, tag``."""
        assert isinstance(material, SourceMaterial)
        each = ", ".join(f"{name} {count:,}" for name, count in material.counts.items())
        own = ", ".join(f"{source.name} {len(source.rows):,}" for source in material.sources)
        which = (
            f"{len(material.items):,} clips that have all sources (of {each})"
            if self.recipe.tracks == "common"
            else f"{len(material.items):,} clips of any source (of {each}), for each its own ({own})"
        )
        return f"{which}, {steps:,} steps of {self.recipe.batch} on {', '.join(s.name for s in material.sources)}"


def sources_of(encoder: Encoder, recipe: MultiSourceRecipe) -> tuple[str, ...]:
    """The sources of a recipe that an encoder is trained on, in the order of its branches.

    Raises
    ------
    UserError
        If it has branches for others, or another number of them.
    """
    if not isinstance(encoder, SourceBranches):
        return recipe.sources
    stated = ", ".join(recipe.sources)
    if encoder.sources:
        unknown = [name for name in encoder.sources if name not in recipe.sources]
        if unknown:
            raise UserError(
                f"the encoder is for source {unknown[0]}, and the recipe's are {stated}; name an encoder for these, or "
                f"say --set sources=[...] with it"
            )
        return encoder.sources
    if encoder.branch_count and encoder.branch_count != len(recipe.sources):
        raise UserError(
            f"the encoder has {encoder.branch_count} branches, the recipe {len(recipe.sources)} sources ({stated}); "
            "name an encoder with as many, or say --set sources=[...]"
        )
    return recipe.sources


def _by_name(given: Sequence[SourceLabels], names: Sequence[str], clips: int) -> dict[str, SourceLabels]:
    """Labels of the sources of these names; `self` needs none."""
    found = {labels.name: labels for labels in given}
    found.setdefault(SELF, SourceLabels(SELF, None, np.ones(clips, dtype=np.bool_)))
    for name in names:
        assert len(found[name].labelled) == clips, f"source {name} is not of this corpus"
    return {name: found[name] for name in names}


def _counts(
    labels: Mapping[str, SourceLabels], corpus: Sequence[PcmClip], needed: Sequence[str], given: Given
) -> dict[str, int]:
    """Clips of the corpus that each source says something of; `UserError` if that is none for one that is needed."""
    ids = {clip.id for clip in corpus}
    inside = np.array([clip.id in ids for clip in given.pcm.clips])
    counts = {name: int((found.labelled & inside).sum()) for name, found in labels.items()}
    for name in needed:
        if not counts[name]:
            raise UserError(
                f"{given.title}: source {name} says nothing of any of the {len(corpus):,} clips; leave it out of "
                "sources, or name another corpus"
            )
    return counts


def _source(labels: SourceLabels, places: NDArray[np.int64]) -> Source:
    """What a source says of the clips at these places of the corpus."""
    factors = None if labels.factors is None else torch.from_numpy(labels.factors[places])
    return Source(labels.name, np.flatnonzero(labels.labelled[places]), factors)


def head(width: int, factors: int | None, dropout: float) -> nn.Sequential:
    """What predicts factors from a representation, or from two whether they are of one clip; logits.

    Layers have the numbers that they have in the published checkpoints.
    """
    if factors is not None:
        return nn.Sequential(nn.Linear(width, factors))
    first = nn.Linear(2 * width, PAIR_WIDTH)
    nn.init.xavier_uniform_(first.weight)
    return nn.Sequential(first, nn.BatchNorm1d(PAIR_WIDTH), nn.ReLU(), nn.Dropout(dropout), nn.Linear(PAIR_WIDTH, 2))


def divergence(logits: Tensor, targets: Tensor, scale: str) -> Tensor:
    """Kullback-Leibler divergence of the softmax of `logits` from `targets` [B, K], with 0 ln 0 = 0.

    Parameters
    ----------
    logits, targets
        What is predicted and what is true.
    scale
        What the sum is divided by: ``"elements"`` B K, ``"clips"`` B.
    """
    total = F.kl_div(F.log_softmax(logits, dim=1), targets, reduction="sum")
    return total / (targets.numel() if scale == "elements" else len(targets))


def targets_of(source: Source, sampler: SourceSampler, items: NDArray[np.int64]) -> Tensor:
    """Distributions [n, K] of the items of a step; of pairs whether they are of two clips or of one [n, 2]."""
    if source.factors is not None:
        return source.factors[items]
    pairs = torch.from_numpy(same_clip(len(items) // 2 * sampler.world)[sampler.rows])
    return F.one_hot(pairs.long(), 2).float()


def _watched(material: SourceMaterial, setting: Setting, place: int) -> tuple[Tensor, Tensor] | None:
    """Fixed crops of watched clips that a source says something of, and their targets; ``None`` of a single clip."""
    source, given = material.watched[place], setting.given
    count = min(len(source.rows), WATCHED) // 2 * 2
    if not count:
        return None
    lengths = [item.samples for item in material.watched_items]
    pairs = source.factors is None
    sampler = SourceSampler(lengths, given.window, count, 0, labelled=[source.rows], pairs=[pairs], steps_per_epoch=1)
    items, starts = sampler.step(0)
    with closing(Crops(given.pcm, material.watched_items, given.window, setting.device, "stream")) as crops:
        return crops.cut(items, starts)[0], targets_of(source, sampler, items).to(setting.device)


class MultiSourceModule(TrainedModule):
    """An encoder with a head for each source, which no later training uses.

    Parameters
    ----------
    setting
        The encoder, which is trained in place, and its crops.
    recipe
        Every number of the training.
    material
        Sources, and the clips that the training is watched by.

    Attributes
    ----------
    sources
        Those that are trained on, in the order of the branches and heads.
    """

    LEAVES_OUT: ClassVar[bool] = True
    sampler: SourceSampler

    def __init__(self, setting: Setting, recipe: MultiSourceRecipe, material: SourceMaterial) -> None:
        assert isinstance(setting.sampler, SourceSampler)
        encoder, seed = setting.encoder, setting.given.seed
        super().__init__(encoder, recipe, setting.crops, setting.sampler, seed, setting.steps)
        parted = isinstance(encoder, SourceBranches) and encoder.branch_count > 0
        width = encoder.dim // len(material.sources) if parted else encoder.dim
        with seeded(seed):
            self.heads = nn.ModuleList(
                head(width, None if source.factors is None else source.factors.shape[1], recipe.dropout)
                for source in material.sources
            )
        self.dropout = nn.Dropout(recipe.dropout)
        self._recipe = recipe
        self.sources = material.sources
        self._watched = {
            place: watched for place in range(len(self.sources)) if (watched := _watched(material, setting, place))
        }
        self._watched_are = "held-out" if material.held_out else "training"
        self._found: list[dict[str, float]] = []

    def training_step(self, _batch: Any, _batch_index: int) -> None:
        """Crops of one source, loss, gradient and update of the step that the trainer is at."""
        number = self.global_step
        place = self.sampler.source(number)
        crops = self.cut()[0]
        targets = targets_of(self.sources[place], self.sampler, self.sampler.step(number)[0]).to(
            crops.device, non_blocking=True
        )
        self.reseed(number)
        loss = self.loss(place, to_waveform(crops).unsqueeze(1), targets)
        self.manual_backward(loss)
        self.note(number, loss.detach().float()[None])
        self.move()

    def loss(self, place: int, inputs: Tensor, targets: Tensor) -> Tensor:
        """Divergence of what the branch and head at a place say of inputs from targets [B, K].

        Parameters
        ----------
        place
            Of the source.
        inputs
            Waveforms [B, 1, T]; of pairs the left ones and behind them the right ones [2 B, 1, T].
        targets
            Distributions; of pairs whether they are of two clips or of one [B, 2].
        """
        logits = self.logits(place, inputs)
        with torch.autocast(inputs.device.type, enabled=False):
            return divergence(logits.to(targets.dtype), targets, self._recipe.loss_scale)

    def logits(self, place: int, inputs: Tensor) -> Tensor:
        """What the head at a place says of inputs, as in `loss`."""
        # The sides of pairs go through one after the other, with batch statistics of their own, as in the paper's code.
        sides = inputs.chunk(2) if self.sources[place].factors is None else (inputs,)
        found: Tensor = self.heads[place](torch.cat([self.dropout(self._branch(place, side)) for side in sides], dim=1))
        return found

    def _branch(self, place: int, inputs: Tensor) -> Tensor:
        encoder = self.encoder
        return encoder.branch(inputs, place) if isinstance(encoder, SourceBranches) else encoder(inputs)

    def configure_optimizers(self) -> Any:
        """The recipe's optimiser; what is shared may have a rate of its own.

        What a step gives no gradient, moves by nothing in it: neither by decay nor by moments.
        """
        recipe, many = self._recipe, len(self.sources)
        if recipe.shared_rate == "equal" or many == 1:
            return super().configure_optimizers()
        encoder = self.encoder
        shared = list(encoder.shared_parameters() if isinstance(encoder, SourceBranches) else encoder.parameters())
        inside = {id(parameter) for parameter in shared}
        own = [parameter for parameter in self.parameters() if id(parameter) not in inside]
        groups: Any = [{"params": shared, "lr": recipe.step_size / many}, {"params": own}]
        return configured(recipe, groups if shared else own, self.steps, self.sampler.steps_per_epoch)

    def before(self) -> None:
        """See how far from the labels of the watched clips the predictions are."""
        found = {}
        for place, (crops, targets) in self._watched.items():
            with evaluating(self), exact_float32():
                logits = self.logits(place, to_waveform(crops).unsqueeze(1)).float()
            found[self.sources[place].name] = float(divergence(logits, targets, "clips"))
        self._found.append(found)

    def after(self) -> None:
        """See it again."""
        self.before()

    def facts(self) -> dict[str, Any]:
        """Divergence from the labels of the watched clips, by source, before and after."""
        first, last = self._found[0], self._found[-1]
        return {
            "sources": [source.name for source in self.sources],
            "watched_clips": self._watched_are,
            "divergence_before": {name: round(value, 4) for name, value in first.items()},
            "divergence_after": {name: round(value, 4) for name, value in last.items()},
        }

    def leave(self, folder: Path) -> None:
        """Leave the heads, by source: they say which topics a clip of another dataset would have."""
        heads = {
            f"{source.name}.{key}": value.detach().contiguous()
            for source, layers in zip(self.sources, self.heads, strict=True)
            for key, value in layers.state_dict().items()
        }
        save_tensors(heads, folder / HEADS)

    def words(self) -> str | None:
        """E.g. ``divergence on held-out clips: self 0.693 -> 0.4, tag 1.2 -> 0.9``."""
        first, last = self._found[0], self._found[-1]
        each = ", ".join(f"{name} {first[name]:.3g} -> {last[name]:.3g}" for name in first)
        return f"divergence on {self._watched_are} clips: {each}" if first else None
