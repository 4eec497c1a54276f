"""Maps of test clips: each representation's clips laid out in the plane by t-SNE, to be looked at and nothing more.

Distances between far points of such a map, and sizes of its clusters, mean nothing (van der Maaten and Hinton 2008,
"Visualizing data using t-SNE", JMLR 9). So each map comes with a number from the representation itself: how often a
clip's nearest neighbour has its label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.console import Reporter
from benchmark.embeddings import open_embeddings
from benchmark.steps.label import LABELS, read_labels
from tasks.base import Task

#: Clips on a map, representations of a task, and tags of a tagging task, at most.
CLIPS, MAPS, TAGS = 400, 6, 6
#: A map of fewer clips shows nothing.
FEWEST = 12
_PERPLEXITY = 30.0
_SEED = 0


def clip_maps(
    store: Path, runs: Sequence[Mapping[str, Any]], steps: Mapping[str, Any], reporter: Reporter
) -> list[dict[str, Any]]:
    """Maps of the best representations of every task, from what the store still holds.

    Parameters
    ----------
    store
        The store's folder.
    runs, steps
        As `benchmark.report_data.collect` gives them.
    reporter
        Shows progress.

    Returns
    -------
    list of dict
        ``key`` of the run; ``x``, ``y`` and ``label`` (an index into ``labels``) of every clip shown; ``neighbours``,
        the share of them whose nearest neighbour in the representation (Euclidean, standardised) has the same label.
    """
    wanted = [run for run in _best(runs) if len(_kind(run, steps, "embed")) == 1]
    found = []
    with reporter.progress("map test clips", len(wanted), "representations") as advance:
        for run in wanted:
            one = _map(store, run, steps)
            if one is not None:
                found.append(one)
            advance(1)
    return found


def _best(runs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """One run of each of the best representations of a task: that of the best score."""
    tasks: dict[tuple[Any, ...], dict[tuple[Any, ...], Mapping[str, Any]]] = {}
    for run in runs:
        if run["layer"] is None and run["labels"] == 1 and run["deform"] is None:
            own = tasks.setdefault((run["task"], run["fingerprint"], run["standin"]), {})
            name = (run["encoder"], run["recipe"], run["corpus"])
            if name not in own or _lead(run) > _lead(own[name]):
                own[name] = run
    return [run for own in tasks.values() for run in sorted(own.values(), key=lambda run: -_lead(run))[:MAPS]]


def _lead(run: Mapping[str, Any]) -> float:
    return float(next(iter(run["metrics"].values()))["value"])


def _kind(run: Mapping[str, Any], steps: Mapping[str, Any], kind: str) -> list[str]:
    return [key for key in run["steps"] if key in steps and steps[key]["kind"] == kind]


def _map(store: Path, run: Mapping[str, Any], steps: Mapping[str, Any]) -> dict[str, Any] | None:
    labels = _kind(run, steps, "label")
    try:
        task = read_labels(store / "artifacts" / "label" / labels[0] / LABELS)
        embeddings = open_embeddings(store / "artifacts" / "embed" / _kind(run, steps, "embed")[0])
    except (OSError, IndexError, KeyError, ValueError):
        return None  # deleted since, or not whole
    classes, names = _classes(task)
    place = {clip: row for row, clip in enumerate(embeddings.clip_ids)}
    shown = [i for i in np.flatnonzero((task.splits == "test") & (classes >= 0)) if task.clip_ids[i] in place]
    if len(shown) > CLIPS:
        shown = sorted(np.random.default_rng(_SEED).choice(shown, CLIPS, replace=False).tolist())
    if len(shown) < FEWEST:
        return None
    rows = [place[task.clip_ids[i]] for i in shown]
    means = np.stack([embeddings.rows[embeddings.first[r] : embeddings.first[r + 1]].mean(axis=0) for r in rows])
    points, neighbours = lay_out(means.astype(np.float64), classes[shown])
    return {
        "key": run["key"],
        "x": np.round(points[:, 0], 2).tolist(),
        "y": np.round(points[:, 1], 2).tolist(),
        "label": classes[shown].tolist(),
        "labels": names,
        "neighbours": neighbours,
    }


def _classes(task: Task) -> tuple[NDArray[np.int64], list[str]]:
    """One class a clip, -1 for clips that are not shown: of a tagging task those with one of its most frequent tags."""
    if task.kind == "multiclass":
        return task.labels[:, 0].astype(np.int64), list(task.label_names)
    if task.kind == "multilabel":
        top = np.argsort(-task.labels.sum(axis=0), kind="stable")[:TAGS]
        chosen = task.labels[:, top]
        return np.where(chosen.sum(axis=1) == 1, chosen.argmax(axis=1), -1), [task.label_names[i] for i in top]
    return np.full(len(task.clip_ids), -1), []


def lay_out(features: NDArray[np.float64], classes: NDArray[np.int64]) -> tuple[NDArray[np.float64], float]:
    """Place clips in the plane, and say how often a clip's nearest neighbour among `features` has its class.

    Parameters
    ----------
    features : ndarray, shape [clips, dim]
    classes : ndarray, shape [clips]

    Returns
    -------
    points : ndarray, shape [clips, 2]
    neighbours : float
        In [0, 1].
    """
    from sklearn.manifold import TSNE
    from sklearn.neighbors import NearestNeighbors

    spread = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    nearest = NearestNeighbors(n_neighbors=2).fit(scaled).kneighbors(scaled, return_distance=False)
    # A clip's nearest is itself, unless another is its copy.
    other = np.where(nearest[:, 0] == np.arange(len(scaled)), nearest[:, 1], nearest[:, 0])
    perplexity = min(_PERPLEXITY, (len(scaled) - 1) / 3.0)
    points = TSNE(perplexity=perplexity, init="pca", random_state=_SEED).fit_transform(scaled)
    return np.asarray(points, dtype=np.float64), float((classes[other] == classes).mean())
