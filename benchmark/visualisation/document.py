"""Collects what `bench look` shows of one representation, as `analysis.visualisation` takes it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np

from analysis.visualisation.document import (
    ExcitingClip,
    ExcitingClips,
    HeardFeature,
    LayerSpectra,
    LookDocument,
    PrevalentLabel,
    SeenTask,
    Shown,
    UnitActivations,
)
from benchmark.console import Reporter
from benchmark.engine.engine import Engine
from benchmark.errors import UserError
from benchmark.registry.datasets import dataset_at
from benchmark.registry.entries import DatasetEntry
from benchmark.registry.overrides import in_words
from benchmark.registry.plugins import load_class
from benchmark.registry.registry import Named, Registry
from benchmark.store.embeddings import Embeddings
from benchmark.store.file_names import WEIGHTS
from benchmark.store.pcm import open_pcm
from benchmark.visualisation.activations import activation_profile
from benchmark.visualisation.audio_clips import Excerpts, data_uri, ogg
from benchmark.visualisation.exciting import (
    Excited,
    choose_features,
    embedded_clips,
    most_exciting,
    separation,
    variation,
)
from benchmark.visualisation.maps import clip_classes, clip_map, clip_means, window_map
from benchmark.visualisation.stored_embeddings import TaskEmbeddings
from encoders import EncoderError
from tasks.base import Task

#: Features chosen unless some are named, and clips shown for each in each task.
FEATURES, CLIPS = 8, 10
#: Labels counted among the clips of a feature.
PREVALENT = 5
#: Layers whose filters are shown: the first, and others evenly deeper.
LAYERS = 3
#: A page with more audio would be slow to open and to send.
MOST_BYTES = 20_000_000
SCHEMA_VERSION = 1


def collect(
    stored: Sequence[TaskEmbeddings],
    registry: Registry,
    engine: Engine,
    reporter: Reporter,
    command: str,
    features: Sequence[int],
    audio: bool,
    filters: int,
) -> LookDocument:
    """Everything that the page shows.

    Parameters
    ----------
    stored
        What the store holds, by task; at least one.
    registry
        Describes what is shown.
    engine
        Finds weights and decoded audio in the store; nothing is computed that a step leaves.
    reporter
        Shows progress.
    command
        Makes the page again.
    features
        Features to listen to; if empty, `FEATURES` are chosen.
    audio
        Whether to embed excerpts.
    filters
        Units of a layer whose filter spectra are found; 0 for none.

    Returns
    -------
    LookDocument

    Raises
    ------
    UserError
        If a feature does not exist, audio is gone, or there would be more of it than `MOST_BYTES`.
    """
    first = stored[0]
    chosen = _features(stored, features)
    corpus = _corpus_dataset(first, registry)
    seen = [_Seen(one, engine, corpus) for one in stored]
    tasks, heard = _tasks(seen, registry, reporter), _listening(seen, chosen, audio, reporter)
    spectra, why = _filters(first, engine, filters, reporter)
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "look",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "bench": importlib.metadata.version("bench-music"),
        "command": command,
        "shown": _what(first, registry, corpus),
        "tasks": tasks,
        "features": heard,
        "filters": spectra,
        "no_filters": why,
        "audio": audio,
    }


def _what(stored: TaskEmbeddings, registry: Registry, corpus: str | None) -> Shown:
    cell = stored.run.cell
    descriptions = {
        section: str(getattr(registry.sections[section][entry].entry, "description", ""))
        if entry in registry.sections[section]
        else ""
        for section, entry in (
            ("encoders", cell.encoders[0]),
            ("recipes", cell.recipe_name),
            ("corpora", cell.corpus or ""),
        )
    }
    return {
        "encoder": cell.encoder,
        "recipe": cell.recipe_name,
        "changes": {key: in_words(value) for key, value in cell.settings.items()},
        "corpus": cell.corpus,
        "corpus_dataset": corpus,
        "seed": cell.seed,
        "dim": int(stored.embeddings.rows.shape[1]),
        "weights": str(stored.artifact.manifest["facts"]["weights"]),
        "pretrained": stored.weights.kind != "initialise",
        "descriptions": descriptions,
    }


def _corpus_dataset(stored: TaskEmbeddings, registry: Registry) -> str | None:
    """Dataset that the encoder was trained on here; ``None`` if it was not."""
    if stored.weights.kind == "supervise":
        return registry.task(stored.run.cell.task).entry.dataset
    return registry.corpus(stored.run.cell.corpus).entry.dataset if stored.run.cell.corpus is not None else None


@dataclass(frozen=True)
class _Seen:
    """A task, with the files and the audio of its clips."""

    stored: TaskEmbeddings
    engine: Engine
    corpus: str | None

    @property
    def name(self) -> str:
        return self.stored.run.cell.task

    @property
    def task(self) -> Task:
        return self.stored.task

    @property
    def embeddings(self) -> Embeddings:
        return self.stored.embeddings

    @property
    def dataset(self) -> Named[DatasetEntry]:
        named: Named[DatasetEntry] = self.stored.pcm.context["dataset"]
        return named

    @property
    def domain(self) -> str:
        """Whether the encoder was trained on this dataset: ``in``, ``out``, or empty where it was not trained here."""
        if self.corpus is None:
            return ""
        return "in" if self.corpus == self.dataset.name else "out"

    @cached_property
    def excerpts(self) -> Excerpts:
        step = self.stored.pcm
        rate = int(step.spec["sample_rate"])
        prepared = self.engine.current(step)
        if prepared is not None:
            return Excerpts(open_pcm(prepared.path, prepared.manifest), None, rate)
        standin = self.engine.current(step.needs["standin"]) if self.stored.standin else None
        root: Path | None = standin.path if standin is not None else step.context.get("root")
        return Excerpts(None, None if root is None else dataset_at(self.dataset, root), rate)

    def window_seconds(self, found: Excited) -> float:
        """Length of a clip's windows [s]; infinite for a clip with one, which is heard whole."""
        at = int(np.searchsorted(self.embeddings.first, found.window, side="right")) - 1
        seconds = self.embeddings.seconds[self.embeddings.first[at] : self.embeddings.first[at + 1]]
        return float(seconds[1] - seconds[0]) if len(seconds) > 1 else float("inf")

    def labels(self, row: int) -> list[str]:
        """What a clip is, in words."""
        own, names = self.task.labels[row], self.task.label_names
        if self.task.kind == "multiclass":
            return [names[int(own[0])]]
        if self.task.kind == "multilabel":
            return [name for name, value in zip(names, own, strict=True) if value == 1]
        return [f"{name} {value:.2f}" for name, value in zip(names, own, strict=True)]


def _tasks(seen: Sequence[_Seen], registry: Registry, reporter: Reporter) -> list[SeenTask]:
    found: list[SeenTask] = []
    with reporter.progress("map clips and windows", len(seen), "tasks") as advance:
        for one in seen:
            entry = registry.task(one.name).entry
            found.append(
                {
                    "name": one.name,
                    "description": entry.description,
                    "dataset": one.dataset.name,
                    "licence": load_class(one.dataset).LICENCE,
                    "standin": one.stored.standin,
                    "domain": one.domain,
                    "clips": len(embedded_clips(one.task, one.embeddings)),
                    "windows": len(one.embeddings.rows),
                    "clip_map": clip_map(one.task, one.embeddings),
                    "window_map": window_map(one.task, one.embeddings),
                    "activations": _activations(one),
                }
            )
            advance(1)
    return found


def _activations(one: _Seen) -> UnitActivations:
    """Profile of the activations over the clips that have one of the labels shown on the maps."""
    classes, names = clip_classes(one.task)
    of_clip = dict(zip(one.task.clip_ids, classes.tolist(), strict=True))
    own = np.array([of_clip.get(clip, -1) for clip in one.embeddings.clip_ids])
    return activation_profile(one.embeddings.rows, one.embeddings.first, own, names).as_document()


def _features(stored: Sequence[TaskEmbeddings], named: Sequence[int]) -> list[tuple[int, str]]:
    dim = int(stored[0].embeddings.rows.shape[1])
    for feature in named:
        if not 0 <= feature < dim:
            raise UserError(
                f"--feature {feature}: the representation of {stored[0].run.cell.encoder} has {dim} features, "
                f"0 to {dim - 1}"
            )
    if named:
        return [(feature, "named on the command line") for feature in dict.fromkeys(named)]
    variations, separations = [], []
    for one in stored:
        rows = [row for row, _ in embedded_clips(one.task, one.embeddings)]
        means = clip_means(one.embeddings, [one.task.clip_ids[row] for row in rows])
        variations.append(variation(means))
        separations.append(separation(means, one.task.labels[rows], one.task.kind))
    return choose_features(variations, separations, FEATURES)


def _listening(
    seen: Sequence[_Seen], features: Sequence[tuple[int, str]], audio: bool, reporter: Reporter
) -> list[HeardFeature]:
    found: list[HeardFeature] = []
    size = 0
    # All columns at once: each alone would read the whole file.
    columns = [one.embeddings.rows[:, [feature for feature, _ in features]].astype(np.float64) for one in seen]
    with reporter.progress("find exciting clips", len(features), "features") as advance:
        for place, (feature, why) in enumerate(features):
            parts: list[ExcitingClips] = []
            for one, activations in zip(seen, columns, strict=True):
                excited = most_exciting(one.task, one.embeddings, activations[:, place], CLIPS)
                rows = [_row(one, clip, audio) for clip in excited]
                parts.append({"task": one.name, "clips": rows, "prevalent": _prevalent(one, excited)})
                size += sum(len(row["audio"]) for row in rows)
                if size > MOST_BYTES:
                    raise UserError(
                        f"the page would hold more than {MOST_BYTES // 10**6} MB of audio for {len(features)} features "
                        f"and {len(seen)} tasks; name fewer features with --feature N, or fewer tasks"
                    )
            found.append({"feature": feature, "why": why, "tasks": parts})
            advance(1)
    return found


def _row(one: _Seen, found: Excited, audio: bool) -> ExcitingClip:
    clip = one.task.clip_ids[found.clip]
    row: ExcitingClip = {
        "clip": clip,
        "path": one.excerpts.path(clip),
        "second": found.second,
        "activation": found.activation,
        "deviation": found.deviation,
        "split": str(one.task.splits[found.clip]),
        "labels": one.labels(found.clip),
        "audio": "",
        "audio_seconds": None,
    }
    if audio:
        rate = int(one.stored.pcm.spec["sample_rate"])
        waveform, start = one.excerpts.cut(clip, found.second, one.window_seconds(found))
        row["audio"] = data_uri(ogg(waveform, rate))
        row["audio_seconds"] = (start, start + len(waveform) / rate)
    return row


def _prevalent(one: _Seen, excited: Sequence[Excited]) -> list[PrevalentLabel]:
    """Labels that the most exciting clips have most often, and how often all clips have them; none of numbers."""
    if one.task.kind == "regression":
        return []
    labels = one.task.labels == 1
    if one.task.kind == "multiclass":
        labels = one.task.labels[:, :1] == np.arange(len(one.task.label_names))[None, :]
    counts = labels[[found.clip for found in excited]].sum(axis=0)
    every = labels.mean(axis=0)
    order = np.lexsort((every, -counts))[:PREVALENT]
    return [
        {"label": one.task.label_names[i], "count": int(counts[i]), "share": float(every[i])}
        for i in order.tolist()
        if counts[i]
    ]


def _filters(stored: TaskEmbeddings, engine: Engine, units: int, reporter: Reporter) -> tuple[list[LayerSpectra], str]:
    """Spectra of some layers' filters, or why there are none; neither for an encoder without layers or weights."""
    if not units:
        return [], ""
    artifact = engine.current(stored.weights)
    if artifact is None:
        return [], "its weights are no longer in the store"
    import torch

    from benchmark.encoding.windows import build_encoder, device
    from benchmark.visualisation.filters import filter_spectra

    named = stored.run.embeddings.context["encoder"]
    encoder = build_encoder(named, 0, artifact / WEIGHTS).eval().to(device())
    names = encoder.layers()
    if not names or not encoder.parameter_count():
        return [], ""
    layers = [names[i] for i in dict.fromkeys((np.arange(LAYERS) * len(names) // LAYERS).tolist())]
    with torch.inference_mode():
        samples = encoder.view_samples(seconds=1)
        silence = torch.zeros(1, 1, samples, device=device())
        widths = {name: out.shape[1] for name, out in encoder.represent(silence, layers)[1].items()}
    chosen = {name: np.linspace(0, widths[name] - 1, min(units, widths[name])).round().astype(int) for name in layers}
    found = []
    with reporter.progress("find what filters respond to", sum(map(len, chosen.values())), "filters") as advance:
        for name in layers:
            try:
                found.append(filter_spectra(encoder, name, chosen[name].tolist(), advance=advance).as_document())
            except EncoderError as error:
                return [], str(error)
    return found, ""
