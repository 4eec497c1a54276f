"""Collects what `bench look` shows of one representation, as `analysis.visualisation` takes it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from analysis.visualisation.document import (
    ExcitingClip,
    ExcitingClips,
    HeardFeature,
    LayerSpectra,
    LookDocument,
    SeenTask,
    Shown,
    UnitActivations,
)
from benchmark.console import Reporter
from benchmark.engine.engine import Engine
from benchmark.errors import UserError, unknown_name
from benchmark.registry.overrides import in_words
from benchmark.registry.plugins import load_class
from benchmark.registry.registry import Registry
from benchmark.store.file_names import WEIGHTS
from benchmark.visualisation.activations import activation_profile, plain_rows
from benchmark.visualisation.audio_clips import data_uri, ogg
from benchmark.visualisation.exciting import (
    Excited,
    choose_features,
    embedded_clips,
    most_exciting,
    separation,
    variation,
)
from benchmark.visualisation.factor_document import factor_document
from benchmark.visualisation.features import excited_labels, sorted_activations
from benchmark.visualisation.maps import clip_classes, clip_map, clip_means, item_map, window_map
from benchmark.visualisation.seen_task import Seen
from benchmark.visualisation.stored_embeddings import TaskEmbeddings
from encoders import EncoderError

#: Features chosen unless some are named, and clips shown for each in each task.
FEATURES, CLIPS = 8, 10
#: Labels counted among the clips of a feature.
PREVALENT = 5
#: Layers whose filters are shown: the first, and others evenly deeper.
LAYERS = 3
#: A page with more audio would be slow to open and to send.
MOST_BYTES = 20_000_000
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Wanted:
    """What the page is to hold.

    Attributes
    ----------
    features
        Features to listen to; if empty, `FEATURES` are chosen.
    audio
        Whether to embed excerpts.
    filters
        Units of a layer whose filter spectra are found; 0 for none.
    layers
        Layers whose filters are shown; if empty, `LAYERS` are chosen.
    factors
        Factors of the features; 0 for none.
    items, item_windows
        Clips or songs of which windows are laid out, each a colour, 0 for none; and windows of each.
    """

    features: Sequence[int] = ()
    audio: bool = False
    filters: int = 0
    layers: Sequence[str] = ()
    factors: int = 0
    items: int = 0
    item_windows: int = 60


def collect(
    stored: Sequence[TaskEmbeddings],
    registry: Registry,
    engine: Engine,
    reporter: Reporter,
    command: str,
    wanted: Wanted,
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
    wanted
        What the page is to hold.

    Returns
    -------
    LookDocument

    Raises
    ------
    UserError
        If a feature does not exist, audio is gone, or there would be more of it than `MOST_BYTES`.
    """
    first = stored[0]
    chosen = _features(stored, wanted.features)
    corpus = _corpus_dataset(first, registry)
    seen = [Seen(one, engine, corpus) for one in stored]
    tasks = _tasks(seen, registry, wanted, reporter)
    heard = _listening(seen, chosen, wanted.audio, reporter)
    spectra, why = _filters(first, engine, wanted, reporter)
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
        "audio": wanted.audio,
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


def _tasks(seen: Sequence[Seen], registry: Registry, wanted: Wanted, reporter: Reporter) -> list[SeenTask]:
    found: list[SeenTask] = []
    with reporter.progress("map clips and windows", len(seen), "tasks") as advance:
        for one in seen:
            entry = registry.task(one.name).entry
            clips = [one.task.clip_ids[row] for row, _ in embedded_clips(one.task, one.embeddings)]
            found.append(
                {
                    "name": one.name,
                    "description": entry.description,
                    "dataset": one.dataset.name,
                    "licence": load_class(one.dataset).LICENCE,
                    "standin": one.stored.standin,
                    "domain": one.domain,
                    "clips": len(clips),
                    "windows": len(one.embeddings.rows),
                    "clip_map": clip_map(one.coloured, one.embeddings),
                    "window_map": window_map(one.coloured, one.embeddings),
                    "item_map": item_map(one.embeddings, one.songs, clips, wanted.items, wanted.item_windows)
                    if wanted.items
                    else None,
                    "activations": _activations(one),
                    "curves": plain_rows(sorted_activations(clip_means(one.embeddings, clips))),
                    "excited_labels": excited_labels(one.task, one.embeddings),
                    "factors": factor_document(one, wanted.factors, wanted.audio) if wanted.factors else None,
                }
            )
            advance(1)
    return found


def _activations(one: Seen) -> UnitActivations:
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
    seen: Sequence[Seen], features: Sequence[tuple[int, str]], audio: bool, reporter: Reporter
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
                parts.append(
                    {
                        "task": one.name,
                        "clips": rows,
                        "prevalent": one.prevalent([clip.clip for clip in excited], PREVALENT),
                    }
                )
                size += sum(len(row["audio"]) for row in rows)
                if size > MOST_BYTES:
                    raise UserError(
                        f"the page would hold more than {MOST_BYTES // 10**6} MB of audio for {len(features)} features "
                        f"and {len(seen)} tasks; name fewer features with --feature N, or fewer tasks"
                    )
            found.append({"feature": feature, "why": why, "tasks": parts})
            advance(1)
    return found


def _row(one: Seen, found: Excited, audio: bool) -> ExcitingClip:
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


def _filters(
    stored: TaskEmbeddings, engine: Engine, wanted: Wanted, reporter: Reporter
) -> tuple[list[LayerSpectra], str]:
    """Spectra of some layers' filters, or why there are none; neither for an encoder without layers or weights."""
    units = wanted.filters
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
    layers = list(dict.fromkeys(wanted.layers))
    for name in layers:
        if name not in names:
            raise unknown_name(f"layer of {stored.run.cell.encoder}", name, names)
    layers = layers or [names[i] for i in dict.fromkeys((np.arange(LAYERS) * len(names) // LAYERS).tolist())]
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
