"""Maps of a task's clips with the topics laid over them that the heads of a training on several sources expect.

Source: Kim, Urbano, Liem and Hanjalic 2020, section 5.4 and figure 16.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from analysis.report.document import FactorRow, RunRow, SourceRow, StepRow, TopicMap, TopicsRow
from benchmark.plain_files import PlantedError, check_artifact, read_within
from benchmark.store.embeddings import Embeddings, open_embeddings
from benchmark.store.file_names import HEADS, LABELS
from benchmark.store.labels import read_labels
from benchmark.visualisation.maps import clip_map, clip_means, shown_clips

#: Sources of the run that is shown, if there is one; as many as in the study's figure.
SOURCES = 5
#: Terms that a topic is called by.
TERMS = 2


def topic_maps(
    store: Path, runs: Sequence[RunRow], steps: Mapping[str, StepRow], sources: Sequence[SourceRow]
) -> list[TopicMap]:
    """A map of one run on several sources, with their topics; none where the store holds none.

    Of the first task, the run whose number of sources is nearest to that of the study's figure.

    Parameters
    ----------
    store
        The store's folder.
    runs, steps, sources
        As `benchmark.report.contents.collect` gives them.
    """
    for run in sorted(_with_branches(runs), key=lambda run: abs(int(run["carried"]["n_sources"]) - SOURCES)):
        folders = {kind: _folders(store, run, steps, kind) for kind in ("pretrain", "embed", "label")}
        if all(len(found) == 1 for found in folders.values()):
            own = [source for source in sources if source["key"] in run["steps"]]
            try:
                found = _map(run, {kind: folder for kind, (folder,) in folders.items()}, own)
            except (PlantedError, SafetensorError, OSError, KeyError, ValueError):
                continue  # deleted since, not whole, or without heads
            if found is not None:
                return [found]
    return []


def _with_branches(runs: Sequence[RunRow]) -> Iterator[RunRow]:
    """Plain runs of the first task with branches for several sources."""
    found = [
        run
        for run in runs
        if not run["departs"] and str(run.get("carried", {}).get("strategy", "")).startswith("MS-CR")
    ]
    return (run for run in found if run["task"] == found[0]["task"])


def _folders(store: Path, run: RunRow, steps: Mapping[str, StepRow], kind: str) -> list[Path]:
    return [store / "artifacts" / kind / key for key in run["steps"] if key in steps and steps[key]["kind"] == kind]


def _map(run: RunRow, folders: Mapping[str, Path], sources: Sequence[SourceRow]) -> TopicMap | None:
    for folder in folders.values():
        check_artifact(folder)
    names = json.loads(read_within(folders["pretrain"], "manifest.json"))["facts"]["sources"]
    heads = load_file(folders["pretrain"] / HEADS)
    task, embeddings = read_labels(folders["label"] / LABELS), open_embeddings(folders["embed"])
    laid_out, shown = clip_map(task, embeddings), shown_clips(task, embeddings)
    if laid_out is None:
        return None
    by_name = {source["source"]: source for source in sources}
    clips = [task.clip_ids[i] for i in shown]
    rows = [
        _topics(by_name[name], expected(embeddings, clips, heads, name, place, len(names)))
        for place, name in enumerate(names)
        if name in by_name
    ]
    title = f"{run['task']} by {run['carried']['strategy']} of {', '.join(names)}"
    return {**laid_out, "title": title, "standin": run["standin"], "sources": rows} if rows else None


def expected(
    embeddings: Embeddings, clips: Sequence[str], heads: Mapping[str, NDArray[Any]], name: str, place: int, count: int
) -> NDArray[np.float64]:
    """Distribution over the factors of a source [clips, K] that its head expects, the mean over a clip's windows.

    Parameters
    ----------
    embeddings, clips
        Windows, and the clips wanted.
    heads
        `weight` [K, width] and `bias` [K] by source.
    name, place, count
        The source, which branch is its, and how many branches there are.
    """
    weight, bias = (heads[f"{name}.0.{part}"].astype(np.float64) for part in ("weight", "bias"))
    width = embeddings.rows.shape[1] // count
    branch = embeddings.rows[:, place * width : (place + 1) * width].astype(np.float64)
    logits = branch @ weight.T + bias
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)
    return clip_means(replace(embeddings, rows=shares), clips)


def _topics(source: SourceRow, distributions: NDArray[np.float64]) -> TopicsRow:
    return {
        "source": source["source"],
        "topic": distributions.argmax(axis=1).tolist(),
        "names": [_name(factor) for factor in source["factors"]],
    }


def _name(factor: FactorRow) -> str:
    """Its strongest terms, or the middle of its Gaussian."""
    if factor["terms"]:
        return ", ".join(term for term, _ in factor["terms"][:TERMS])
    return f"{factor['mean']:.0f}"
