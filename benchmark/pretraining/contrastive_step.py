"""Train an encoder by contrast on a corpus, with checkpoints, so that it goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.console import Reporter
from benchmark.encoding.windows import bfloat16_pays, build_encoder
from benchmark.environment import node_rank
from benchmark.errors import UserError
from benchmark.pretraining.card import write_card
from benchmark.pretraining.continuation import adopt
from benchmark.pretraining.crops import Crops, CropSampler
from benchmark.pretraining.curve_file import write_curve
from benchmark.pretraining.items import Item, items_of
from benchmark.pretraining.module import ContrastiveModule
from benchmark.pretraining.ntxent import retrieval
from benchmark.pretraining.processes import Place, devices_of, together
from benchmark.pretraining.rendezvous import warn_of_network
from benchmark.pretraining.ridge import validation_probe
from benchmark.pretraining.training import Plan, fit
from benchmark.registry.augmentation_plugins import load_augmentations
from benchmark.registry.entries import RecipeEntry, planned
from benchmark.steps.label import read_labels
from benchmark.store.file_names import CORPUS, LABELS, WEIGHTS
from benchmark.store.pcm import Pcm, PcmClip, open_pcm, write_lines
from benchmark.store.step import Step
from benchmark.store.store import Artifact
from encoders.base import Encoder
from encoders.weights import save_weights

#: Held-out clips whose positive pairs are looked for among one another.
HELD_OUT = 64
#: Rows at either end of the curve whose mean losses are compared.
ENDS = 8


def pretrain(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Leave `encoder.safetensors`, the training state, the curve, the list of clips and a card in `work`.

    The context of `step` may hold `devices`, how many to train on (all that the batch divides among by default),
    `precision` as Lightning calls it (bfloat16 where the device has it by default), `residence`, where the corpus is
    kept, `tensorboard`, a folder for event files, and `finished`, a function that yields finished pretrainings to go on
    from. If its spec has `probe_every`, the encoder is scored on validation clips after every so many epochs; `inputs`
    then holds `labels`, and `labels_pcm` where their clips are not those of `pcm`.
    """
    recipe = planned(RecipeEntry, step.spec["recipe"])
    if node_rank() == 0 and "finished" in step.context:
        pcm = open_pcm(inputs["pcm"].path, inputs["pcm"].manifest)
        encoder = build_encoder(step.context["encoder"], step.spec["seed"])
        items = _items(step, recipe, pcm, encoder)
        adopted = adopt(step, inputs, work, step.context["finished"](), recipe.total_steps(len(items)))
        if adopted:
            reporter.say(f"{step.title}: a shorter training of {adopted:,} steps is there; going on from it")
    context = {key: value for key, value in step.context.items() if key != "finished"}
    alone = replace(step, needs={}, context=context)
    devices = devices_of(step, reporter=reporter)
    warn_of_network(reporter)
    return together(train, devices, recipe.batch, alone, dict(inputs), work, reporter)


def train(place: Place, step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """What every process of a training does; only the first one writes, and returns what is to be known."""
    recipe = planned(RecipeEntry, step.spec["recipe"])
    if "recipe" in step.context:
        load_augmentations(step.context["recipe"])
    seed, where = step.spec["seed"], place.device
    pcm = open_pcm(inputs["pcm"].path, inputs["pcm"].manifest)
    encoder = build_encoder(step.context["encoder"], seed, inputs["start"] / WEIGHTS)
    window = encoder.window or encoder.max_window
    items = _items(step, recipe, pcm, encoder)
    corpus = [clip for item in items for clip in item.clips]
    held_out = [item.clips[0] for item in items_of(_divide(pcm, step.spec["splits"])[1], "clip", window)]
    sampler = CropSampler([item.samples for item in items], window, recipe.batch, seed, part=(place.rank, place.world))
    steps = recipe.total_steps(len(items))
    crops = Crops(pcm, items, window, where, step.context.get("residence"))
    module = ContrastiveModule(encoder, recipe, crops, sampler, seed, steps)
    precision = step.context.get("precision") or ("bf16-mixed" if bfloat16_pays(where) else "32-true")
    watched = held_out or [clip for clip in corpus if clip.samples >= window]
    pairs = _held_out_pairs(pcm, watched, window, where) if watched else None
    if place.rank == 0:
        reporter.say(
            f"{step.title}: {len(corpus):,} clips"
            + (f" of {len(items):,} songs" if recipe.item == "song" else "")
            + f", {steps:,} steps of {recipe.batch} pairs, {where.type}"
            + (f" x {place.world}" if place.world > 1 else "")
            + f", {precision}, corpus {'in memory' if crops.residence == 'device' else 'streamed'}"
        )
    before = retrieval(*module.to(where).project(pairs)) if pairs is not None else None
    plan = Plan(
        title=step.title,
        steps=steps,
        batch=recipe.batch,
        work=work,
        place=place,
        precision=precision,
        keep_epochs=recipe.keep_epochs,
        probe=_probe(step, inputs, pcm) if place.rank == 0 else None,
        probe_every=step.spec.get("probe_every"),
        tensorboard=step.context.get("tensorboard"),
    )
    pace = fit(module, plan, reporter)
    if place.rank:
        return {}
    after = retrieval(*module.to(where).project(pairs)) if pairs is not None else None

    rows = module.curve.table()
    facts: dict[str, Any] = {
        "parameters": encoder.parameter_count(),
        "dim": encoder.dim,
        "window": encoder.window,
        "clips": len(corpus),
        "items": len(items),
        "steps": steps,
        "steps_per_epoch": sampler.steps_per_epoch,
        "pairs": steps * recipe.batch,
        "epochs": round(steps / sampler.steps_per_epoch, 2),
        "precision": precision,
        "devices": place.world,
        "loss_first": round(float(np.mean([values["loss"] for _, values in rows[:ENDS]])), 4),
        "loss_last": round(float(np.mean([values["loss"] for _, values in rows[-ENDS:]])), 4),
        **{f"{name}_last": round(value, 4) for name, value in rows[-1][1].items() if name != "loss"},
        "probe_last": list(module.scores.values())[-1] if module.scores else None,
    }
    if pairs is not None:
        seen = "held-out" if held_out else "training"
        chance = 1 / pairs.shape[1]
        facts |= {
            "retrieval_clips": seen,
            "retrieval_before": before,
            "retrieval_after": after,
            "retrieval_chance": chance,
        }
        reporter.say(
            f"  contrastive loss {facts['loss_first']:.3f} -> {facts['loss_last']:.3f}; own partner found among "
            f"{pairs.shape[1]} {seen} clips: {before:.0%} -> {after:.0%} of views (chance {chance:.0%})"
        )
    save_weights(encoder.cpu(), work / WEIGHTS, {key: str(value) for key, value in step.context["names"].items()})
    write_lines(work / CORPUS, corpus)
    write_curve(work, rows, sampler.steps_per_epoch, module.scores)
    write_card(step, inputs, corpus, pcm, facts, work)
    return {**facts, **pace}


def _items(step: Step, recipe: RecipeEntry, pcm: Pcm, encoder: Encoder) -> list[Item]:
    window = encoder.window or encoder.max_window
    items = items_of(_divide(pcm, step.spec["splits"])[0], recipe.item, window)
    if len(items) < recipe.batch:
        raise UserError(
            f"{step.title}: the corpus has {len(items)} {recipe.item}s of at least {window} samples, fewer than a "
            f"batch of {recipe.batch}; name a smaller --batch"
        )
    return items


def _divide(pcm: Pcm, splits: Sequence[str] | None) -> tuple[list[PcmClip], list[PcmClip]]:
    """Clips to train on, and clips of the validation split, if it is not among them, to watch the training by."""
    corpus = [clip for clip in pcm.clips if splits is None or clip.split in splits]
    held_out = [clip for clip in pcm.clips if splits is not None and clip.split == "valid" and "valid" not in splits]
    return corpus, held_out


def _held_out_pairs(pcm: Pcm, clips: list[PcmClip], window: int, where: torch.device) -> Tensor:
    """Two fixed random crops [2, clips, window] of up to `HELD_OUT` clips."""
    rng = np.random.default_rng(0)
    chosen = [Item((clips[i],)) for i in sorted(rng.permutation(len(clips))[:HELD_OUT])]
    sampler = CropSampler([item.samples for item in chosen], window, 1, 0)
    every = np.arange(len(chosen))
    return Crops(pcm, chosen, window, where, "stream").cut(every, sampler.starts(every, rng))


def _probe(step: Step, inputs: Mapping[str, Artifact], pcm: Pcm) -> Any:
    if not step.spec.get("probe_every"):
        return None
    if "labels_pcm" in inputs:
        pcm = open_pcm(inputs["labels_pcm"].path, inputs["labels_pcm"].manifest)
    return validation_probe(read_labels(inputs["labels"] / LABELS), pcm)
