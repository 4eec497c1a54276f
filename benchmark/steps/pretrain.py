"""Train an encoder by contrast on a corpus, with checkpoints, so that it goes on where it was stopped."""

from __future__ import annotations

import csv
import json
import logging
import math
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmark.console import Advance, Reporter
from benchmark.encoding import bfloat16_pays, build_encoder, device
from benchmark.entries import RecipeEntry
from benchmark.environment import versions
from benchmark.errors import UserError
from benchmark.pcm import Pcm, PcmClip, open_pcm, write_lines
from benchmark.plan import Step, planned_recipe
from benchmark.pretraining.crops import Crops, CropSampler
from benchmark.pretraining.module import ContrastiveModule
from benchmark.pretraining.ntxent import retrieval
from benchmark.steps.initialise import WEIGHTS
from benchmark.steps.probe import CORPUS
from benchmark.store import Artifact
from encoders.base import Encoder
from encoders.weights import save_weights

CHECKPOINT = "last.ckpt"
CURVE = "losses.csv"
CARD = "card.json"
#: The state is saved when at least this long has passed [s], and this many times what saving took the last time.
CHECKPOINT_SECONDS = 1.0
CHECKPOINT_SHARE = 50
#: Held-out clips whose positive pairs are looked for among one another.
HELD_OUT = 64
#: Steps at either end of the curve whose mean losses are compared.
ENDS = 8


def compute(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Leave `encoder.safetensors`, the training state, the loss curve, the list of clips and a card in `work`."""
    recipe = planned_recipe(step)
    where = device()
    pcm = open_pcm(inputs["pcm"].path, inputs["pcm"].manifest)
    encoder = build_encoder(step.context["encoder"], step.spec["seed"], inputs["start"] / WEIGHTS)
    window = encoder.window or encoder.max_window
    corpus, held_out = _divide(pcm, step.spec["splits"], window)
    if len(corpus) < recipe.batch:
        raise UserError(
            f"{step.title}: the corpus has {len(corpus)} clips of at least {window} samples, fewer than a batch "
            f"of {recipe.batch}; name a smaller --batch"
        )
    sampler = CropSampler([clip.samples for clip in corpus], window, recipe.batch, step.spec["seed"])
    steps = total_steps(recipe, len(corpus))
    crops = Crops(pcm, corpus, window, where)
    module = ContrastiveModule(encoder, recipe, crops, sampler, step.spec["seed"], steps)
    precision = "bf16-mixed" if bfloat16_pays(where) else "32-true"
    pairs = _held_out_pairs(pcm, held_out or corpus, window, where)
    seen = "held-out" if held_out else "training"
    reporter.say(
        f"{step.title}: {len(corpus):,} clips, {steps:,} steps of {recipe.batch} pairs, {where.type}, {precision}, "
        f"corpus {'in memory' if crops.residence == 'device' else 'streamed'}"
    )
    before = retrieval(*module.to(where).project(pairs))
    _fit(module, steps, recipe, precision, work, step.title, reporter)
    after = retrieval(*module.to(where).project(pairs))

    curve = [(number, float(loss)) for number, loss in module.losses]
    facts = {
        "parameters": encoder.parameter_count(),
        "dim": encoder.dim,
        "window": encoder.window,
        "clips": len(corpus),
        "steps": steps,
        "pairs": steps * recipe.batch,
        "epochs": round(steps / sampler.steps_per_epoch, 2),
        "precision": precision,
        "loss_first": round(float(np.mean([loss for _, loss in curve[:ENDS]])), 4),
        "loss_last": round(float(np.mean([loss for _, loss in curve[-ENDS:]])), 4),
        "retrieval_clips": seen,
        "retrieval_before": before,
        "retrieval_after": after,
        "retrieval_chance": 1 / pairs.shape[1],
    }
    reporter.say(
        f"  contrastive loss {facts['loss_first']:.3f} -> {facts['loss_last']:.3f}; own partner found among "
        f"{pairs.shape[1]} {seen} clips: {before:.0%} -> {after:.0%} of views (chance {1 / pairs.shape[1]:.0%})"
    )
    _leave(step, inputs, work, encoder, corpus, curve, facts)
    return facts


def total_steps(recipe: RecipeEntry, clips: int) -> int:
    """Optimiser steps of a recipe on a corpus of `clips` clips."""
    if recipe.pairs is not None:
        return math.ceil(recipe.pairs / recipe.batch)
    assert recipe.epochs is not None
    return recipe.epochs * (clips // recipe.batch)


def _divide(pcm: Pcm, splits: list[str] | None, window: int) -> tuple[list[PcmClip], list[PcmClip]]:
    """Clips to train on, and clips of the validation split, if it is not among them, to watch the training by."""
    long_enough = [clip for clip in pcm.clips if clip.samples >= window]
    corpus = [clip for clip in long_enough if splits is None or clip.split in splits]
    held_out = [clip for clip in long_enough if splits is not None and clip.split == "valid" and "valid" not in splits]
    return corpus, held_out


def _held_out_pairs(pcm: Pcm, clips: list[PcmClip], window: int, where: torch.device) -> Tensor:
    """Two fixed random crops [2, clips, window] of up to `HELD_OUT` clips."""
    rng = np.random.default_rng(0)
    chosen = [clips[i] for i in sorted(rng.permutation(len(clips))[:HELD_OUT])]
    sampler = CropSampler([clip.samples for clip in chosen], window, 1, 0)
    every = np.arange(len(chosen))
    return Crops(pcm, chosen, window, where, "stream").cut(every, sampler.starts(every, rng))


def _fit(
    module: ContrastiveModule,
    steps: int,
    recipe: RecipeEntry,
    precision: str,
    work: Path,
    title: str,
    reporter: Reporter,
) -> None:
    resume = work / CHECKPOINT
    done = _steps_done(resume)
    with _quiet(), reporter.progress(title, steps * recipe.batch, "pairs", done * recipe.batch) as advance:
        trainer = pl.Trainer(
            accelerator="auto",
            devices=1,
            precision=precision,  # type: ignore[arg-type]
            max_steps=steps,
            max_epochs=-1,
            callbacks=[_Pace(advance, recipe.batch), _Checkpoints(resume)],
            enable_checkpointing=False,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        # The module cuts its own batches; the loader only counts steps.
        counter: Any = DataLoader(cast("Dataset[int]", range(steps)), batch_size=None)
        try:
            trainer.fit(module, counter, ckpt_path=resume if done else None, weights_only=True)
        except SystemExit:  # how Lightning ends after Ctrl-C
            raise KeyboardInterrupt from None
    _save(trainer, resume)


def _steps_done(checkpoint: Path) -> int:
    if not checkpoint.exists():
        return 0
    return int(torch.load(checkpoint, map_location="cpu", weights_only=True)["global_step"])


class _Pace(Callback):
    """Advances the progress bar, and stops a training that has lost its way."""

    def __init__(self, advance: Advance, batch: int) -> None:
        self._advance = advance
        self._batch = batch

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._advance(self._batch)
        if not torch.isfinite(outputs["loss"]):
            raise UserError(
                f"the contrastive loss is {outputs['loss'].item()} at step {trainer.global_step}; lower --learning-rate"
            )


class _Checkpoints(Callback):
    """Saves the state often enough that a kill costs little, and seldom enough that saving costs little."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._saved = time.monotonic()
        self._cost = 0.0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        passed = time.monotonic() - self._saved
        if trainer.strategy.broadcast(passed >= max(CHECKPOINT_SECONDS, CHECKPOINT_SHARE * self._cost)):
            began = time.monotonic()
            _save(trainer, self._path)
            self._saved = time.monotonic()
            self._cost = self._saved - began


def _save(trainer: pl.Trainer, path: Path) -> None:
    """Write the training state beside `path` first: a kill in the midst leaves the one before."""
    part = path.with_suffix(".part")
    trainer.save_checkpoint(part, weights_only=False)
    part.replace(path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's advertisements and remarks on worker counts from the terminal."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        yield
    logger.setLevel(level)


def _leave(
    step: Step,
    inputs: Mapping[str, Artifact],
    work: Path,
    encoder: Encoder,
    corpus: list[PcmClip],
    curve: list[tuple[int, float]],
    facts: Mapping[str, Any],
) -> None:
    names = step.context["names"]
    save_weights(encoder.cpu(), work / WEIGHTS, {key: str(value) for key, value in names.items()})
    write_lines(work / CORPUS, corpus)
    with (work / CURVE).open("w", newline="") as file:
        csv.writer(file).writerows([("step", "loss"), *curve])
    card = {
        **names,
        "spec": step.spec,
        "corpus_key": inputs["pcm"].manifest["key"],
        "corpus_digest": inputs["pcm"].digest,
        "training": facts,
        "versions": versions(),
    }
    (work / CARD).write_text(json.dumps(card, indent=1), encoding="utf-8")
