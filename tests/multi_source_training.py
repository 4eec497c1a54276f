"""A training on two sources of labels of a few tones, for tests of what it does and of what it refuses."""

from __future__ import annotations

import numpy as np
import torch
from training_steps import RATE, Quiet, plain

from benchmark.encoding.windows import build_encoder
from benchmark.pretraining.crops import Crops
from benchmark.pretraining.methods.base import Given, Setting
from benchmark.pretraining.methods.multi_source import MultiSource
from benchmark.pretraining.source_labels import SourceLabels, write_source_labels
from benchmark.registry.entries import numbers
from benchmark.registry.methods import MultiSourceRecipe
from benchmark.registry.registry import load_registry
from benchmark.steps import KINDS
from benchmark.steps.pretrain import compute
from benchmark.store.file_names import SOURCE, WEIGHTS
from benchmark.store.pcm import CLIPS, PROBLEMS, SAMPLES, Pcm, PcmClip, write_lines
from benchmark.store.store import Artifact
from encoders.weights import save_weights

WINDOW = 2187
#: Least number of samples that the study's networks take.
SHORT = 16_384
CLIPS_IN_ALL = 30
SMALL = {"sources": ["pitch", "level"], "factors": 3, "epochs": 3, "batch": 4, "learning_rate": 1e-2, "dropout": 0.1}


def recipe(**changes):
    entry = load_registry().recipe("kim2020").entry.model_dump(mode="json")
    return MultiSourceRecipe.model_validate(entry | SMALL | changes, strict=False)


def corpus(window=WINDOW):
    """Clips that are low or high and loud or soft, every fifth held out."""
    rng = np.random.default_rng(0)
    parts, clips, start = [], [], 0
    for n in range(CLIPS_IN_ALL):
        samples = 2 * window + 50 * n
        tone = np.sin(2 * np.pi * (300, 1_000, 4_000)[n % 3] * np.arange(samples) / RATE + rng.uniform(0, 6))
        parts.append(((0.02, 0.5)[n % 2] * 32_000 * tone).astype(np.int16))
        split = "valid" if n % 5 == 4 else "train"
        clips.append(PcmClip(f"{n}", f"{n}.mp3", split, "a", "b", f"{n}", start, samples, f"d{n}"))
        start += samples
    return np.concatenate(parts), clips


def sources(unlabelled=2):
    """What two sources say of these clips; nothing is said of the level of every third."""
    of_pitch = np.eye(3, dtype=np.float32)[np.arange(CLIPS_IN_ALL) % 3] * 0.8 + np.float32(0.2 / 3)
    of_level = np.array([[1, 0, 0], [0, 0.5, 0.5]], dtype=np.float32)[np.arange(CLIPS_IN_ALL) % 2]
    labelled = np.arange(CLIPS_IN_ALL) % 3 != unlabelled
    everything = np.ones(CLIPS_IN_ALL, dtype=np.bool_)
    return [
        SourceLabels("pitch", of_pitch, everything),
        SourceLabels("level", np.where(labelled[:, None], of_level, 0).astype(np.float32), labelled),
    ]


def artifacts(folder, encoder, labels, window=WINDOW):
    """What a training step takes."""
    folders = {name: folder / name for name in ("pcm", "start", *(f"source {labels.name}" for labels in labels))}
    for place in folders.values():
        place.mkdir(parents=True, exist_ok=True)
    samples, clips = corpus(window)
    samples.tofile(folders["pcm"] / SAMPLES)
    write_lines(folders["pcm"] / CLIPS, clips)
    write_lines(folders["pcm"] / PROBLEMS, [])
    save_weights(build_encoder(encoder, 0), folders["start"] / WEIGHTS)
    found = {
        "pcm": Artifact(folders["pcm"], {"spec": {"sample_rate": RATE}, "key": "p", "digest": "pcm", "lineage": {}}),
        "start": Artifact(folders["start"], {"key": "s", "digest": "start", "lineage": {}}),
    }
    for number, one in enumerate(labels):
        write_source_labels(folders[f"source {one.name}"] / SOURCE, one)
        name = f"source.{number}" if number else "source"
        found[name] = Artifact(folders[f"source {one.name}"], {"key": one.name, "digest": one.name, "lineage": {}})
    return found


def run(folder, name, encoder=None, labels=None, context=None, window=WINDOW, **changes):
    encoder = encoder or plain("Forked")
    work = folder / name
    work.mkdir(parents=True, exist_ok=True)
    step = KINDS["pretrain"].step(
        {"recipe": numbers(recipe(**changes)), "splits": ["train"], "seed": 0},
        {},
        "pretrain plain",
        {
            "encoder": encoder,
            "names": {"encoder": "plain", "corpus": "tones", "recipe": "tests"},
            "precision": "32-true",
            **(context or {}),
        },
    )
    reporter = Quiet()
    facts = compute(step, artifacts(folder, encoder, sources() if labels is None else labels, window), work, reporter)
    return work, facts, reporter.lines


def module(encoder, labels, window=WINDOW, steps=10, **changes):
    """What is trained, and the method that made it, without a trainer."""
    samples, clips = corpus(window)
    method = MultiSource(recipe(**changes))
    where = torch.device("cpu")
    given_ = Given("pretrain", Pcm(samples, tuple(clips), (), RATE), ["train"], None, 1, 0, window, encoder, labels)
    material = method.material(given_)
    crops = Crops(given_.pcm, material.items, window, where)
    return method.module(
        Setting(encoder, given_, crops, method.sampler(given_, material, (0, 1)), steps, where), material
    )


def plain_encoder():
    return build_encoder(plain("Forked"), 0)
