"""The contrastive model as Lightning trains it: crops, augmentation, encoder, projector and loss, all on the device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from benchmark.augmentation.chain import AugmentationChain
from benchmark.encoding.windows import exact_float32, to_waveform
from benchmark.errors import UserError
from benchmark.pretraining.crops import VIEWS, Crops, CropSampler
from benchmark.pretraining.curve import Curve
from benchmark.pretraining.gathering import gather_pairs, mean_over_processes
from benchmark.pretraining.measures import MEASURES, measure
from benchmark.pretraining.ntxent import ntxent, ntxent_over_processes
from benchmark.pretraining.optimisation import build_optimiser, half_cosine
from benchmark.registry.entries import Projector, RecipeEntry
from benchmark.seeds import mix
from encoders.base import Encoder

#: Tells the generator of a held-out evaluation from those of training steps.
_EVALUATION = 2**31


class TrainedModule(pl.LightningModule):
    """What contrastive and supervised training share: steps by number, and a curve of what they measure.

    The number of the step decides crops, augmentation and dropout, so nothing of a data loader or of a random
    generator needs saving.

    Attributes
    ----------
    encoder
        Trained in place.
    curve
        What every step so far has measured; the first column is the loss.
    scores
        Score of the validation probe by step.
    """

    encoder: Encoder

    def __init__(
        self, encoder: Encoder, crops: Crops, sampler: CropSampler, seed: int, columns: tuple[str, ...]
    ) -> None:
        super().__init__()
        # Every step differentiates, clears and moves by itself, for a batch may be taken in chunks.
        self.automatic_optimization = False
        self.encoder = encoder
        self.curve = Curve(("loss", *columns))
        self.latest: Tensor | None = None
        self.scores: dict[int, float] = {}
        self.crops = crops
        self.sampler = sampler
        self._seed = seed

    def note(self, number: int, values: Tensor) -> None:
        """Enter what step `number` has measured, the mean over all processes, into the curve."""
        self.latest = mean_over_processes(values)
        self.curve.add(number, self.latest)

    def move(self) -> None:
        """Let the optimiser, and the schedule if there is one, take a step."""
        optimiser = self.optimizers()
        optimiser.step()  # type: ignore[union-attr]
        optimiser.zero_grad()  # type: ignore[union-attr]
        schedule = self.lr_schedulers()
        if schedule is not None:
            schedule.step()  # type: ignore[union-attr]

    def reseed(self, number: int, part: int = 0) -> None:
        """Let whatever is random inside the encoder depend on step, part of the batch and process alone."""
        torch.manual_seed(mix(self._seed, number, 1 + part, self.global_rank))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the curve with the weights."""
        checkpoint["curve"] = self.curve.state()
        checkpoint["scores"] = [[step, score] for step, score in self.scores.items()]

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Go on with the curve of the interrupted attempt."""
        self.curve.restore(checkpoint["curve"])
        self.scores = {int(step): float(score) for step, score in checkpoint["scores"]}


class ContrastiveModule(TrainedModule):
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
    """

    def __init__(
        self, encoder: Encoder, recipe: RecipeEntry, crops: Crops, sampler: CropSampler, seed: int, steps: int
    ) -> None:
        super().__init__(encoder, crops, sampler, seed, MEASURES)
        self.projector = build_projector(recipe.projector, encoder.dim, seed)
        self._recipe = recipe
        self._chain = AugmentationChain(recipe.augmentation, encoder.sample_rate)
        self._loss = ntxent_over_processes if recipe.negatives == "all" else ntxent
        self._steps = steps

    def training_step(self, _batch: Any, _batch_index: int) -> None:
        """Crops, views, loss, gradient and update of the step that the trainer is at."""
        number = self.global_step
        crops = self.crops.cut_step(self.sampler, number, self._steps - 1)
        views = self.augment(crops, number)
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
        with torch.no_grad(), _buffers_kept(self.encoder):
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
        """Representations [2N, R] and projections [N, D] of both views of a batch [2, N, 1, T]."""
        if self._recipe.batch_norm == "joint":
            h = self.encoder(views.flatten(0, 1))
            z_i, z_j = self.projector(h).float().chunk(2)
            return h, (z_i, z_j)
        # The views go through one after the other: each has batch statistics of its own, as in CLMR.
        h_i, h_j = self.encoder(views[0]), self.encoder(views[1])
        return torch.cat([h_i, h_j]), (self.projector(h_i).float(), self.projector(h_j).float())

    def _note(self, number: int, loss: Tensor, h: Tensor, z_i: Tensor, z_j: Tensor) -> None:
        # Of all processes: one may have a single pair, and no others to compare it with.
        measured = measure(h.detach(), *gather_pairs(z_i, z_j))
        self.note(number, torch.cat([loss.detach().float()[None], measured]))

    def augment(self, crops: Tensor, number: int) -> Tensor:
        """int16 crops [2, N, T] -> augmented views [2, N, 1, T] of step `number`, in float32.

        What is drawn belongs to a place in the whole batch: of several processes, each draws for all and applies
        its own rows. One-sided, the second view is the crop alone (thesis of contrastive learning of musical
        representations, section 6.3); the first is what it is otherwise.
        """
        pairs = crops.shape[1]
        alone = number == _EVALUATION or self.sampler.world == 1
        whole = pairs if alone else self._recipe.batch
        own = torch.arange(VIEWS * whole).view(VIEWS, -1)[:, slice(None) if alone else self.sampler.rows]
        augmented = 1 if self._recipe.one_sided else VIEWS
        with torch.no_grad(), torch.autocast(crops.device.type, enabled=False):
            views = to_waveform(crops)
            draws = self._chain.draw(VIEWS * whole, mix(self._seed, number)).take(own[:augmented].reshape(-1))
            changed = self._chain.apply(views[:augmented].flatten(0, 1), draws).view(augmented, pairs, -1)
            return torch.cat([changed, views[augmented:]]).unsqueeze(2)

    def project(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Projections [N, D] of both views of held-out crops [2, N, T]; the same augmentation at every call."""
        views = self.augment(crops, _EVALUATION)
        with evaluating(self), exact_float32():
            chunks = [[self.projector(self.encoder(part)).float() for part in view.split(8)] for view in views]
        return torch.cat(chunks[0]), torch.cat(chunks[1])

    def configure_optimizers(self) -> Any:
        """The recipe's optimiser and schedule."""
        recipe = self._recipe
        optimiser = build_optimiser(recipe.optimiser, self.parameters(), recipe.step_size, recipe.weight_decay)
        if recipe.schedule == "constant":
            return optimiser
        return {"optimizer": optimiser, "lr_scheduler": half_cosine(optimiser, self._steps)}


def build_projector(settings: Projector, dim: int, seed: int) -> nn.Module:
    """What maps representations [B, dim] to where the loss compares them; `mlp` is CLMR's: two layers, no biases."""
    with torch.random.fork_rng(devices=[]):  # it is built on the CPU
        torch.manual_seed(mix(seed, 0))
        if settings.kind == "identity":
            return nn.Identity()
        if settings.kind == "linear":
            return nn.Linear(dim, settings.dim, bias=False)
        return nn.Sequential(nn.Linear(dim, dim, bias=False), nn.ReLU(), nn.Linear(dim, settings.dim, bias=False))


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, without gradients, inside the block."""
    was_training = module.training
    module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        module.train(was_training)


@contextmanager
def _buffers_kept(module: nn.Module) -> Iterator[None]:
    """Undo what the block does to running statistics: they are to be updated once a step."""
    kept = [buffer.clone() for buffer in module.buffers()]
    yield
    for buffer, value in zip(module.buffers(), kept, strict=True):
        buffer.copy_(value)
