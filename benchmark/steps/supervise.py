"""Train an encoder end to end on a task's labels, with checkpoints, so that it goes on where it was stopped."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch

from benchmark.console import Reporter
from benchmark.encoding.windows import bfloat16_pays, build_encoder
from benchmark.errors import UserError
from benchmark.plan.steps_and_runs import Step
from benchmark.pretraining.card import write_card
from benchmark.pretraining.crops import Crops, CropSampler
from benchmark.pretraining.curve_file import write_curve
from benchmark.pretraining.items import Item
from benchmark.pretraining.processes import Place, devices_of, together
from benchmark.pretraining.rendezvous import warn_of_network
from benchmark.pretraining.supervised import SupervisedModule, targets_of
from benchmark.pretraining.training import Plan, fit
from benchmark.registry.entries import SupervisedEntry
from benchmark.steps.initialise import WEIGHTS
from benchmark.steps.label import LABELS, read_labels
from benchmark.steps.pretrain import ENDS
from benchmark.steps.probe import CORPUS, HEAD
from benchmark.store.pcm import open_pcm, write_lines
from benchmark.store.store import Artifact
from encoders.weights import save_weights

VALIDATION = "validation.csv"


def compute(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Leave encoder and head of the best epoch, the training state, the curves, the clips and a card in `work`.

    `head.safetensors` holds `weight` [L, dim] and `bias` [L]: logits of labels or classes, or values in the labels'
    own units. Of `step`'s spec, `labels` is the fraction of the training clips that is used. Its context may hold
    `devices`, `precision` and `tensorboard` as for pretraining.
    """
    recipe = planned(step)
    devices = devices_of(step, reporter=reporter)
    warn_of_network(reporter)
    return together(train, devices, recipe.batch, replace(step, needs={}), dict(inputs), work, reporter)


def planned(step: Step) -> SupervisedEntry:
    """Recipe of a supervise step, as its spec holds it: the numbers alone."""
    return SupervisedEntry.model_validate({"source": "plan", **step.spec["recipe"]}, strict=False)


def train(place: Place, step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """What every process of a training does; only the first one writes, and returns what is to be known."""
    recipe = planned(step)
    seed, where = step.spec["seed"], place.device
    pcm = open_pcm(inputs["pcm"].path, inputs["pcm"].manifest)
    task = read_labels(inputs["labels"] / LABELS)
    encoder = build_encoder(step.context["encoder"], seed, inputs["start"] / WEIGHTS)
    window = encoder.window or encoder.max_window
    clips = {clip.id: clip for clip in pcm.clips}
    long_enough = np.array([clips[clip_id].samples >= window for clip_id in task.clip_ids])
    rows = np.flatnonzero(task.splits == "train")
    if "labels" in step.spec:
        # The very clips that a probe on this fraction of the labels is given.
        rows = rows[task.targets.take(rows).subset(step.spec["labels"], seed)]
    rows = rows[long_enough[rows]]
    valid = np.flatnonzero(task.splits == "valid")
    if len(rows) < recipe.batch:
        raise UserError(
            f"{step.title}: there are {len(rows)} training clips of at least {window} samples, fewer than a batch of "
            f"{recipe.batch}; name a smaller --batch"
        )
    items = [Item((clips[task.clip_ids[row]],)) for row in rows]
    sampler = CropSampler(
        [item.samples for item in items], window, recipe.batch, seed, views=1, part=(place.rank, place.world)
    )
    module = SupervisedModule(
        encoder,
        recipe,
        Crops(pcm, items, window, where, step.context.get("residence")),
        sampler,
        targets_of(task.kind, task.label_names, task.labels[rows], task.labels[valid]),
        pcm,
        [clips[task.clip_ids[row]] for row in valid],
        seed,
    )
    steps = recipe.epochs * sampler.steps_per_epoch
    precision = step.context.get("precision") or ("bf16-mixed" if bfloat16_pays(where) else "32-true")
    if place.rank == 0:
        reporter.say(
            f"{step.title}: {len(items):,} clips, at most {steps:,} steps of {recipe.batch}, {where.type}"
            + (f" x {place.world}" if place.world > 1 else "")
            + f", {precision}"
        )
    plan = Plan(step.title, steps, recipe.batch, work, place, precision, tensorboard=step.context.get("tensorboard"))
    pace = fit(module, plan, reporter)
    if place.rank:
        return {}
    module.take_best()
    module.cpu()
    curve = module.curve.table()
    done = len(module.valid_losses) * sampler.steps_per_epoch
    facts: dict[str, Any] = {
        "parameters": encoder.parameter_count(),
        "dim": encoder.dim,
        "window": encoder.window,
        "clips": len(items),
        "items": len(items),
        "steps": done,
        "steps_per_epoch": sampler.steps_per_epoch,
        "epochs": len(module.valid_losses),
        "best_epoch": module.best_epoch + 1,
        "valid_loss": module.valid_losses[module.best_epoch],
        "stopped_early": module.stopped,
        "precision": precision,
        "devices": place.world,
        "loss_first": round(float(np.mean([values["loss"] for _, values in curve[:ENDS]])), 4),
        "loss_last": round(float(np.mean([values["loss"] for _, values in curve[-ENDS:]])), 4),
    }
    reporter.say(
        f"  validation loss {module.valid_losses[0]:.4f} -> {facts['valid_loss']:.4f} in epoch {facts['best_epoch']} "
        f"of {facts['epochs']}"
    )
    save_weights(encoder, work / WEIGHTS, {key: str(value) for key, value in step.context["names"].items()})
    head = {"weight": module.head.weight.detach().contiguous(), "bias": module.head.bias.detach().contiguous()}
    safetensors.torch.save_file(head, work / HEAD)
    with (work / VALIDATION).open("w", newline="") as file:
        csv.writer(file).writerows([("epoch", "loss"), *enumerate(module.valid_losses, 1)])
    corpus = [item.clips[0] for item in items]
    write_lines(work / CORPUS, corpus)
    write_curve(work, curve, sampler.steps_per_epoch, {})
    write_card(step, inputs, corpus, pcm, facts, work)
    return {**facts, **pace}
