"""One training by the method of a recipe, with checkpoints, so that it goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.console import Reporter
from benchmark.encoding.windows import bfloat16_pays, build_encoder
from benchmark.environment import node_rank
from benchmark.factors import DRAWN_CLIPS
from benchmark.pretraining.card import write_card
from benchmark.pretraining.continuation import adopt
from benchmark.pretraining.crops import Crops, training_window
from benchmark.pretraining.curve_file import write_curve
from benchmark.pretraining.methods.base import Given, Setting
from benchmark.pretraining.methods.planned import planned_method
from benchmark.pretraining.processes import Rank, devices_of, together
from benchmark.pretraining.rendezvous import warn_of_network
from benchmark.pretraining.ridge import validation_probe
from benchmark.pretraining.saved_state import drop_damaged
from benchmark.pretraining.source_labels import read_source_labels
from benchmark.pretraining.statistics import standardise
from benchmark.pretraining.trained import TrainedModule
from benchmark.pretraining.training import CHECKPOINT, Training, fit, kept_weights
from benchmark.registry.augmentation_plugins import load_augmentations
from benchmark.store.file_names import CORPUS, LABELS, SOURCE, WEIGHTS
from benchmark.store.labels import read_labels
from benchmark.store.pcm import PcmClip, open_pcm, read_lines, write_lines
from benchmark.store.step import Step, every
from benchmark.store.store import Artifact
from encoders.base import Encoder
from encoders.capabilities import CorpusStatistics
from encoders.weights import save_weights

#: Rows at either end of the curve whose mean losses are compared.
ENDS = 8


def run_method(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Leave the encoder, files of the method's own, the training state, the curve, the clips and a card in `work`.

    The context of `step` may hold `devices`, how many to train on (all that the batch divides among by default),
    `precision` as Lightning calls it (bfloat16 where the device has it by default), `residence`, where the corpus is
    kept, `tensorboard`, a folder for event files, and `finished`, a function that yields finished pretrainings to go on
    from. Of its spec, `splits` are those of the corpus that are trained on, and `labels` is the fraction of the
    training labels that is used. With `probe_every`, the encoder is scored on validation clips after every so many
    epochs; `inputs` then holds `labels`, as for a method that learns from them, and `labels_pcm` where their clips are
    not those of `pcm`. Where the recipe names sources of labels, `inputs` holds `source`, `source.1`, ..., what each
    says of the clips of `pcm`.
    """
    method = planned_method(step)
    if node_rank() == 0:
        kept = [work / kept_weights(epoch) for epoch in method.recipe.keep_epochs]
        if damage := drop_damaged(work / CHECKPOINT, kept):
            reporter.warn(f"{step.title}: {damage}; the training begins anew")
    if node_rank() == 0 and "finished" in step.context:
        encoder = build_encoder(step.context["encoder"], step.spec["seed"])
        steps = method.total_steps(len(method.material(_given(step, inputs, encoder)).items), encoder)
        adopted = adopt(step, inputs, work, step.context["finished"](), steps)
        if adopted:
            reporter.say(f"{step.title}: a shorter training of {adopted:,} steps is there; going on from it")
    context = {key: value for key, value in step.context.items() if key != "finished"}
    alone = replace(step, needs={}, context=context)
    devices = devices_of(step, reporter=reporter)
    warn_of_network(reporter)
    return together(train, devices, method.recipe.batch, alone, dict(inputs), work, reporter)


def train(process: Rank, step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """What every process of a training does; only the first one writes, and returns what is to be known."""
    if "recipe" in step.context:
        load_augmentations(step.context["recipe"])
    method = planned_method(step)
    recipe, seed, where = method.recipe, step.spec["seed"], process.device
    encoder = build_encoder(step.context["encoder"], seed, inputs["start"] / WEIGHTS)
    given = _given(step, inputs, encoder)
    material = method.material(given)
    lengths = [item.samples for item in material.items]
    sampler = method.sampler(given, material, (process.rank, process.world))
    crops = Crops(given.pcm, material.items, given.window, where, step.context.get("residence"))
    steps = method.total_steps(len(lengths), encoder)
    module = method.module(Setting(encoder, given, crops, sampler, steps, where), material)
    precision = step.context.get("precision") or ("bf16-mixed" if bfloat16_pays(where) else "32-true")
    if process.rank == 0:
        reporter.say(
            f"{step.title}: {method.words(material, steps)}, {where.type}"
            + (f" x {process.world}" if process.world > 1 else "")
            + f", {precision}, corpus {'in memory' if crops.residence == 'device' else 'streamed'}"
        )
    if isinstance(encoder, CorpusStatistics) and not encoder.has_statistics():
        standardise(encoder.to(where), given.pcm, material.items, reporter)
    module.to(where).before()
    training = Training(
        title=step.title,
        steps=steps,
        batch=recipe.batch,
        work=work,
        process=process,
        precision=precision,
        keep_epochs=recipe.keep_epochs,
        probe=_probe(step, inputs) if process.rank == 0 else None,
        probe_every=step.spec.get("probe_every"),
        tensorboard=step.context.get("tensorboard"),
    )
    pace = fit(module, training, reporter)
    if process.rank:
        return {}
    module.to(where).after()
    module.cpu()
    corpus = [clip for item in material.items for clip in item.clips]
    facts: dict[str, Any] = {
        "clips": len(corpus),
        "items": len(lengths),
        "precision": precision,
        "devices": process.world,
    }
    if not recipe.LABELLED:  # which the probe does not watch
        facts["probe_last"] = list(module.scores.values())[-1] if module.scores else None
    facts = _facts(module) | facts | module.facts()
    words = [f"loss {facts['loss_first']:.3f} -> {facts['loss_last']:.3f}", *filter(None, [module.words()])]
    reporter.say(f"  {'; '.join(words)}")
    save_weights(encoder, work / WEIGHTS, {key: str(value) for key, value in step.context["names"].items()})
    module.leave(work)
    write_lines(work / CORPUS, list(dict.fromkeys([*corpus, *_trained_on_before(inputs["start"])])))
    write_curve(work, module.curve.table(), sampler.steps_per_epoch, module.scores)
    write_card(step, inputs, corpus, given.pcm, facts, work)
    return {**facts, **pace}


def _given(step: Step, inputs: Mapping[str, Artifact], encoder: Encoder) -> Given:
    recipe = planned_method(step).recipe
    return Given(
        title=step.title,
        pcm=open_pcm(inputs["pcm"].path, inputs["pcm"].manifest),
        splits=step.spec.get("splits"),
        task=read_labels(inputs["labels"] / LABELS) if recipe.LABELLED else None,
        labels=step.spec.get("labels", 1),
        draw=step.spec.get("draw", DRAWN_CLIPS),
        seed=step.spec["seed"],
        window=training_window(encoder, recipe.crop_seconds),
        encoder=encoder,
        sources=[read_source_labels(source / SOURCE) for source in every(inputs, "source")],
    )


def _facts(module: TrainedModule) -> dict[str, Any]:
    """What is to be known of every training; nothing that differs from one time to the next."""
    encoder, rows = module.encoder, [values["loss"] for _, values in module.curve.table()]
    return {
        "parameters": encoder.parameter_count(),
        "dim": encoder.dim,
        "window": encoder.window,
        "steps": module.taken,
        "steps_per_epoch": module.sampler.steps_per_epoch,
        "epochs": round(module.taken / module.sampler.steps_per_epoch, 2),
        "loss_first": round(float(np.mean(rows[:ENDS])), 4),
        "loss_last": round(float(np.mean(rows[-ENDS:])), 4),
    }


def _trained_on_before(start: Artifact) -> list[PcmClip]:
    """Clips of the trainings that led to the weights started from; none if these are initial ones."""
    listed = start / CORPUS
    return [PcmClip(**row) for row in read_lines(listed)] if listed.exists() else []


def _probe(step: Step, inputs: Mapping[str, Artifact]) -> Any:
    if not step.spec.get("probe_every"):
        return None
    of = inputs.get("labels_pcm", inputs["pcm"])
    return validation_probe(read_labels(inputs["labels"] / LABELS), open_pcm(of.path, of.manifest))
