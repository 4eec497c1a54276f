"""An encoder trained on the labels of a task, with a linear head: the baseline of contrastive training.

Source: SampleCNN's supervised form (Lee et al. 2017; CLMR thesis, Table 2.4), dropout between representation and
head included. Every visit to a clip trains on one random crop of it; a clip's prediction is the mean over its windows.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.augmentation.chain import AugmentationChain
from benchmark.encoding.windows import BatchEncoder, cut_windows, to_waveform
from benchmark.errors import UserError
from benchmark.factors import DRAWN_CLIPS
from benchmark.pretraining.crops import Crops, CropSampler
from benchmark.pretraining.feature_inputs import FeatureInputs
from benchmark.pretraining.gathering import mean_over_processes
from benchmark.pretraining.items import Item
from benchmark.pretraining.methods.base import Given, Material, Method, Setting
from benchmark.pretraining.trained import TrainedModule, evaluating, seeded
from benchmark.registry.methods import SupervisedRecipe
from benchmark.seeds import mix
from benchmark.store.file_names import HEAD
from benchmark.store.pcm import Pcm, PcmClip
from encoders.base import Encoder
from encoders.weights import save_tensors
from probes.kinds import Kind
from probes.objectives import Objective, objective_of
from tasks.base import Task

#: Validation clips whose windows are encoded at a time.
CLIPS = 64
#: The loss of the validation clips after every epoch.
VALIDATION = "validation.csv"


class Supervised(Method[SupervisedRecipe]):
    """Crops of a task's training clips, each with the labels of its clip."""

    RECIPE = SupervisedRecipe

    def material(self, given: Given) -> LabelledMaterial:
        """The task's training clips, or a fraction of them, watched by its validation clips."""
        task = given.task
        assert task is not None
        clips = {clip.id: clip for clip in given.pcm.clips}
        rows = np.flatnonzero(task.splits == "train")
        if given.labels != 1 and given.draw == DRAWN_CLIPS:
            # The very clips that a probe on this fraction of the labels is given.
            rows = rows[task.targets.take(rows).subset(given.labels, given.seed)]
        rows = np.array([row for row in rows if clips[task.clip_ids[row]].samples >= given.window], dtype=np.int64)
        valid = np.flatnonzero(task.splits == "valid")
        if given.draw == DRAWN_CLIPS:
            items = [Item((clips[task.clip_ids[row]],)) for row in rows]
        else:
            rows, items = _windows_of(task, rows, [clips[task.clip_ids[row]] for row in rows], given)
        self.check_enough(items, given, "training clips")
        targets = targets_of(task.kind, task.label_names, task.labels[rows], task.labels[valid])
        return LabelledMaterial(items, [clips[task.clip_ids[row]] for row in valid], targets)

    def module(self, setting: Setting, material: Material) -> SupervisedModule:
        """Encoder, dropout and head."""
        assert isinstance(material, LabelledMaterial)
        return SupervisedModule(
            setting.encoder,
            self.recipe,
            setting.crops,
            setting.sampler,
            setting.given.seed,
            setting.steps,
            material.targets,
            setting.given.pcm,
            material.held_out,
        )

    def words(self, material: Material, steps: int) -> str:
        """E.g. ``32 clips, at most 48 steps of 8``."""
        return f"{len(material.items):,} clips, at most {steps:,} steps of {self.recipe.batch}"


@dataclass(frozen=True)
class Targets:
    """What the head is to say of clips.

    Attributes
    ----------
    objective
        What is trained towards.
    outputs
        Width of the head: labels, classes or columns.
    train, valid : Tensor
        Of the clips of each split, as the objective has them [clips, outputs]; numbers in units of the training clips'
        standard deviation from their mean.
    centre, scale : Tensor, shape [outputs]
        That mean and standard deviation; 0 and 1 unless the task is a regression.
    """

    objective: Objective
    outputs: int
    train: Tensor
    valid: Tensor
    centre: Tensor
    scale: Tensor


@dataclass(frozen=True)
class LabelledMaterial(Material):
    """Clips with what the head is to say of them, in the order of the items and of the held-out clips."""

    targets: Targets


def _windows_of(
    task: Task, rows: NDArray[np.int64], clips: Sequence[PcmClip], given: Given
) -> tuple[NDArray[np.int64], list[Item]]:
    """Windows drawn of each set of labels, side by side as when clips are encoded: their clips' rows, and they."""
    counts = np.array([clip.samples // given.window for clip in clips], dtype=np.int64)
    try:
        drawn = task.targets.take(rows).windows(counts, given.labels, given.seed)
    except ValueError as error:
        raise UserError(str(error)) from None
    which = np.repeat(np.arange(len(clips)), counts)[drawn]
    place = np.concatenate([np.arange(count) for count in counts])[drawn]
    items = [
        Item((replace(clips[clip], start=clips[clip].start + number * given.window, samples=given.window),))
        for clip, number in zip(which.tolist(), place.tolist(), strict=True)
    ]
    return rows[which], items


def targets_of(kind: Kind, names: Sequence[str], train: NDArray[np.generic], valid: NDArray[np.generic]) -> Targets:
    """Targets from labels [clips, L] as a task has them."""
    outputs, objective = len(names), objective_of(kind)
    centre, scale = torch.zeros(outputs), torch.ones(outputs)
    numbers = [torch.from_numpy(objective.targets(labels, outputs)) for labels in (train, valid)]
    if objective.scalable:
        centre, scale = numbers[0].mean(dim=0), numbers[0].std(dim=0, unbiased=False)
        scale[scale == 0] = 1
        numbers = [(values - centre) / scale for values in numbers]
    objective = objective.for_targets(torch.cat(numbers))
    return Targets(objective, outputs, numbers[0], numbers[1], centre, scale)


def clip_loss(objective: Objective, logits: Sequence[Tensor], targets: Tensor) -> float:
    """Loss of clips' predictions: the means of what their windows [windows, L] predict."""
    means = torch.stack([objective.link(clip.double()).mean(dim=0) for clip in logits])
    return float(objective.prediction_loss(means, targets.double()))


class SupervisedModule(TrainedModule):
    """An encoder with dropout, hidden layers if the recipe has any, and a linear head.

    It is selected on validation clips and on nothing else.

    Parameters
    ----------
    encoder
        Trained in place.
    recipe
        Every number of the training.
    crops, sampler
        The training clips, and the one crop of each clip that a step cuts.
    seed
        Of augmentation, dropout and the head's initialisation.
    steps
        Length of the training, at most.
    targets
        Labels, in the order of the training clips and of `valid`.
    pcm, valid
        Validation clips.

    Attributes
    ----------
    valid_losses
        After every epoch.
    best_epoch
        The epoch whose weights are kept, counted from 0: that with the lowest of them, or the last if the recipe has no
        patience.
    stopped
        Whether validation has ended the training.
    """

    def __init__(
        self,
        encoder: Encoder,
        recipe: SupervisedRecipe,
        crops: Crops,
        sampler: CropSampler,
        seed: int,
        steps: int,
        targets: Targets,
        pcm: Pcm,
        valid: Sequence[PcmClip],
    ) -> None:
        super().__init__(encoder, recipe, crops, sampler, seed, steps)
        widths = (encoder.dim, *recipe.hidden)
        with seeded(seed):
            self.head = nn.Linear(widths[-1], targets.outputs)
            self.hidden = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(widths))
        self.dropout = nn.Dropout(recipe.dropout)
        self.valid_losses: list[float] = []
        self.best_epoch = -1
        self.stopped = False
        self._best: dict[str, Tensor] = {}
        self._recipe = recipe
        self._targets = targets
        self._pcm = pcm
        self._valid = valid
        self._chain = AugmentationChain(recipe.augmentation or (), encoder.sample_rate)
        self._inputs = FeatureInputs(encoder, self._chain.features, sampler)
        self._objective = targets.objective.for_mixtures() if self._inputs else targets.objective

    def training_step(self, _batch: Any, _batch_index: int) -> None:
        """Crops, loss, gradient and update of the step that the trainer is at; after an epoch, validation."""
        if self.stopped:
            self.trainer.should_stop = True
            return
        number = self.global_step
        crops = self.cut()[0]
        targets = self._targets.train[self.sampler.step(number)[0]].to(crops.device, non_blocking=True)
        inputs, targets = self._augmented(crops, targets, number)
        self.reseed(number)
        layers = [(layer.weight, layer.bias) for layer in (*self.hidden, self.head)]
        logits = _said(self.dropout(self._inputs.encode(inputs)), layers).float()
        loss = self._objective.loss(logits, targets)
        self.manual_backward(loss)
        self.note(number, loss.detach().float()[None])
        self.move()
        if (number + 1) % self.sampler.steps_per_epoch == 0 or number + 1 == self.steps:
            self._validate()

    def _augmented(self, crops: Tensor, targets: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """What the encoder is given for int16 crops [n, T], and the labels [n, L] that belong to it."""
        with torch.no_grad(), torch.autocast(crops.device.type, enabled=False):
            waveform = to_waveform(crops)
            if self._chain.names:
                # Drawn for the whole batch, of which this process has some rows.
                rows = torch.arange(self._recipe.batch)[self.sampler.rows]
                draws = self._chain.draw(self._recipe.batch, mix(self.seed, number)).take(rows)
                waveform = self._chain.apply(waveform, draws)
        if not self._inputs:
            return waveform.unsqueeze(1), targets
        inputs, drawn = self._inputs.changed(waveform.unsqueeze(1), mix(self.seed, number, 0, 0))
        return inputs, self._objective.mixture(lambda rows: self._inputs.targets(rows, drawn), targets)

    def _validate(self) -> None:
        # The mean over processes, so that all of them stop together whatever rounding or batch norm does in each.
        loss = torch.tensor(self.validation_loss(), dtype=torch.float32, device=self.device)
        self.valid_losses.append(float(mean_over_processes(loss)))
        epoch = len(self.valid_losses) - 1
        patience = self._recipe.patience
        if patience is None or self.best_epoch < 0 or self.valid_losses[-1] < self.valid_losses[self.best_epoch]:
            self.best_epoch = epoch
            self._best = {key: value.detach().clone() for key, value in self.state_dict().items()}
        self.stopped = patience is not None and epoch - self.best_epoch >= patience
        if self.stopped:
            self.trainer.should_stop = True

    def validation_loss(self) -> float:
        """Loss of the validation clips' predictions, in float32 on any device."""
        logits: list[Tensor] = []
        with evaluating(self), torch.autocast(self.device.type, enabled=False):
            encode = BatchEncoder(self.encoder)
            layers = [(layer.weight.float().cpu(), layer.bias.float().cpu()) for layer in (*self.hidden, self.head)]
            for first in range(0, len(self._valid), CLIPS):
                clips = [
                    cut_windows(self._pcm.waveform(clip), self.encoder) for clip in self._valid[first : first + CLIPS]
                ]
                features = _encode(encode, [window for clip in clips for window in clip])
                outputs = _said(torch.from_numpy(features), layers)
                logits += outputs.split([len(clip) for clip in clips])
        return clip_loss(self._targets.objective, logits, self._targets.valid)

    @property
    def taken(self) -> int:
        """Optimiser steps until validation ended the training."""
        return len(self.valid_losses) * self.sampler.steps_per_epoch if self.stopped else self.steps

    def after(self) -> None:
        """Go back to the weights of the best epoch, and let the head speak in the labels' own units."""
        self.load_state_dict(self._best)
        scale = self._targets.scale.to(self.head.weight.device)
        with torch.no_grad():
            self.head.weight.mul_(scale[:, None])
            self.head.bias.mul_(scale).add_(self._targets.centre.to(scale.device))

    def facts(self) -> dict[str, Any]:
        """How validation went."""
        return {
            "epochs": len(self.valid_losses),
            "best_epoch": self.best_epoch + 1,
            "valid_loss": self.valid_losses[self.best_epoch],
            "stopped_early": self.stopped,
        }

    def words(self) -> str:
        """E.g. ``validation loss 0.6 -> 0.3 in epoch 9 of 12``."""
        best = self.valid_losses[self.best_epoch]
        return (
            f"validation loss {self.valid_losses[0]:.4f} -> {best:.4f} in epoch {self.best_epoch + 1} "
            f"of {len(self.valid_losses)}"
        )

    def leave(self, folder: Path) -> None:
        """Leave the head, `weight` [L, width] and `bias` [L], what is before it, and every epoch's validation loss."""
        layers: dict[str, nn.Module] = {"": self.head} | {
            f"hidden.{place}.": layer for place, layer in enumerate(self.hidden)
        }
        head = {
            f"{name}{key}": value.detach().contiguous()
            for name, layer in layers.items()
            for key, value in layer.named_parameters()
        }
        save_tensors(head, folder / HEAD)
        with (folder / VALIDATION).open("w", newline="") as file:
            csv.writer(file).writerows([("epoch", "loss"), *enumerate(self.valid_losses, 1)])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the course of validation, and the best weights, with the rest."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["valid_losses"] = list(self.valid_losses)
        checkpoint["best_epoch"] = self.best_epoch
        checkpoint["stopped"] = self.stopped
        checkpoint["best"] = self._best

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Go on with them."""
        super().on_load_checkpoint(checkpoint)
        self.valid_losses = [float(loss) for loss in checkpoint["valid_losses"]]
        self.best_epoch = int(checkpoint["best_epoch"])
        self.stopped = bool(checkpoint["stopped"])
        self._best = dict(checkpoint["best"])


def _said(x: Tensor, layers: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """What linear layers, by weight and bias, say of representations [n, dim], with ReLUs between them [n, L]."""
    for place, (weight, bias) in enumerate(layers):
        x = F.linear(F.relu(x) if place else x, weight, bias)
    return x


def _encode(encode: BatchEncoder, windows: list[NDArray[np.int16]]) -> NDArray[np.float32]:
    """Representations [windows, dim]; windows of different lengths are encoded one by one."""
    if len({len(window) for window in windows}) == 1:
        return encode(windows)
    return np.concatenate([encode([window]) for window in windows])
