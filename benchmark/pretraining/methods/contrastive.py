"""Contrastive training: views of one item are to be told from views of all others (NT-Xent), all on the device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.encoding.windows import exact_float32
from benchmark.errors import UserError
from benchmark.pretraining.crops import VIEWS, Crops, CropSampler
from benchmark.pretraining.gathering import gather_pairs
from benchmark.pretraining.measures import MEASURES, measure
from benchmark.pretraining.methods.base import Material, Setting
from benchmark.pretraining.methods.unlabelled import Unlabelled, fixed_crops
from benchmark.pretraining.ntxent import ntxent, ntxent_over_processes, retrieval
from benchmark.pretraining.projector import build_projector
from benchmark.pretraining.trained import evaluating
from benchmark.pretraining.views import EVALUATION, ViewsModule
from benchmark.registry.methods import ContrastiveRecipe
from encoders.base import Encoder

#: Held-out clips whose positive pairs are looked for among one another.
HELD_OUT = 64


class Contrastive(Unlabelled[ContrastiveRecipe]):
    """Pairs of crops of the items of a corpus."""

    RECIPE = ContrastiveRecipe

    def module(self, setting: Setting, material: Material) -> ContrastiveModule:
        """Encoder and projector; without held-out clips, pairs of training clips are watched."""
        given = setting.given
        watched = self.watched(material, given.window)
        return ContrastiveModule(
            setting.encoder,
            self.recipe,
            setting.crops,
            setting.sampler,
            given.seed,
            setting.steps,
            fixed_crops(given.pcm, watched, given.window, setting.device, VIEWS, HELD_OUT) if watched else None,
            "held-out" if material.held_out else "training",
        )

    def pair_within(self, sample_rate: int) -> int | None:
        """As the recipe says [samples]."""
        seconds = self.recipe.pair_within_seconds
        return None if seconds is None else round(seconds * sample_rate)


class ContrastiveModule(ViewsModule):
    """An encoder with its projector, trained by NT-Xent on pairs of augmented crops.

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
    watched : Tensor, shape [2, clips, T], int16, optional
        Fixed pairs of crops, whose partners are looked for before and after the training.
    watched_are
        Of which clips they are: ``"held-out"`` or ``"training"``.
    """

    def __init__(
        self,
        encoder: Encoder,
        recipe: ContrastiveRecipe,
        crops: Crops,
        sampler: CropSampler,
        seed: int,
        steps: int,
        watched: Tensor | None = None,
        watched_are: str = "training",
    ) -> None:
        super().__init__(encoder, recipe, crops, sampler, seed, steps, recipe.augmentation, MEASURES, recipe.one_sided)
        self.projector = build_projector(recipe.projector, encoder.dim, seed)
        self._recipe = recipe
        self._loss = ntxent_over_processes if recipe.negatives == "all" else ntxent
        self._watched = watched
        self._watched_are = watched_are
        self._found: list[float] = []

    def before(self) -> None:
        """See which of the watched pairs find one another."""
        if self._watched is not None:
            self._found.append(retrieval(*self.project(self._watched)))

    def after(self) -> None:
        """See it again."""
        self.before()

    def facts(self) -> dict[str, Any]:
        """What the last step measured, and how many of the watched pairs have found one another."""
        facts: dict[str, Any] = {
            "pairs": self.steps * self._recipe.batch,
            **{f"{name}_last": round(value, 4) for name, value in self.curve.table()[-1][1].items() if name != "loss"},
        }
        if self._watched is not None:
            facts |= {
                "retrieval_clips": self._watched_are,
                "retrieval_before": self._found[0],
                "retrieval_after": self._found[-1],
                "retrieval_chance": 1 / self._watched.shape[1],
            }
        return facts

    def words(self) -> str | None:
        """How many of the watched pairs have found one another."""
        if self._watched is None:
            return None
        clips = self._watched.shape[1]
        return (
            f"own partner found among {clips} {self._watched_are} clips: {self._found[0]:.0%} -> {self._found[-1]:.0%} "
            f"of views (chance {1 / clips:.0%})"
        )

    def training_step(self, _batch: Any, _batch_index: int) -> None:
        """Crops, views, loss, gradient and update of the step that the trainer is at."""
        number = self.global_step
        views = self.augment(self.cut(), number)
        chunk = self._recipe.chunk
        if chunk is None or chunk >= views.shape[1]:
            self._learn(views, number)
        else:
            self._learn_in_chunks(views, number, chunk)
        self.move()

    def _learn(self, views: Tensor, number: int) -> None:
        self.reseed(number)
        h, (z_i, z_j) = self.embed(views)
        loss = self._loss(z_i, z_j, self._recipe.temperature)
        self.manual_backward(loss)
        self._note(number, loss, h, z_i, z_j)

    def _learn_in_chunks(self, views: Tensor, number: int, chunk: int) -> None:
        """The gradient of the whole batch's loss, with the memory of one chunk.

        Projections are made chunk by chunk without a graph; the loss of all of them gives the gradient that each
        projection is to be moved by; then every chunk is encoded once more, with a graph, to hand it on. Source: Gao
        et al., "Scaling deep contrastive learning batch size under memory limited setup", 2021. The result is that
        of the whole batch, but for batch norm: its statistics are those of a chunk.
        """
        parts = views.split(chunk, dim=1)
        with torch.no_grad(), _buffers_kept(self):
            found = []
            for part, view in enumerate(parts):
                self.reseed(number, part)
                found.append(self._embed_chunk(view, views.shape[1]))
        h = torch.cat([representations for representations, _ in found])
        z_i, z_j = (torch.cat([z[side] for _, z in found]).requires_grad_() for side in range(VIEWS))
        loss = self._loss(z_i, z_j, self._recipe.temperature)
        slopes = torch.autograd.grad(loss, (z_i, z_j))
        for part, (view, slope_i, slope_j) in enumerate(
            zip(parts, slopes[0].split(chunk), slopes[1].split(chunk), strict=True)
        ):
            self.reseed(number, part)
            _, (part_i, part_j) = self.embed(view)
            self.manual_backward((part_i * slope_i).sum() + (part_j * slope_j).sum())
        self._note(number, loss, h, z_i, z_j)

    def _embed_chunk(self, views: Tensor, pairs: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        try:
            return self.embed(views)
        except ValueError as error:  # batch norm has no variance of a single number
            if views.shape[1] > 1:
                raise
            raise UserError(
                f"chunk={self._recipe.chunk} leaves one of {pairs} pairs alone, which this encoder cannot be trained "
                f"on ({error}); choose another chunk"
            ) from error

    def embed(self, views: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Representations [2N, R] and projections [N, D] of both views of a batch, as `augment` gives them."""
        if self._recipe.batch_norm == "joint":
            h = self.encode(views.flatten(0, 1))
            z_i, z_j = self.projector(h).float().chunk(2)
            return h, (z_i, z_j)
        # The views go through one after the other: each has batch statistics of its own, as in CLMR.
        h_i, h_j = self.encode(views[0]), self.encode(views[1])
        return torch.cat([h_i, h_j]), (self.projector(h_i).float(), self.projector(h_j).float())

    def _note(self, number: int, loss: Tensor, h: Tensor, z_i: Tensor, z_j: Tensor) -> None:
        # Of all processes: one may have a single pair, and no others to compare it with.
        measured = measure(h.detach(), *gather_pairs(z_i, z_j))
        self.note(number, torch.cat([loss.detach().float()[None], measured]))

    def project(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Projections [N, D] of both views of held-out crops [2, N, T]; the same augmentation at every call."""
        views = self.augment(crops, EVALUATION)
        with evaluating(self), exact_float32():
            chunks = [[self.projector(self.encoder(part)).float() for part in view.split(8)] for view in views]
        return torch.cat(chunks[0]), torch.cat(chunks[1])


@contextmanager
def _buffers_kept(module: nn.Module) -> Iterator[None]:
    """Undo what the block does to running statistics: they are to be updated once a step."""
    kept = [buffer.clone() for buffer in module.buffers()]
    yield
    for buffer, value in zip(module.buffers(), kept, strict=True):
        buffer.copy_(value)
