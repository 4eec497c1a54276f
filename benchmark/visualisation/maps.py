"""Maps of clips and of windows: a representation laid out in the plane by t-SNE, to be looked at and nothing more.

Distances between far points of such a map, and sizes of its clusters, mean nothing (van der Maaten and Hinton 2008,
"Visualizing data using t-SNE", JMLR 9). So each map comes with a number from the representation itself: how often a
point's nearest neighbour has its label. The CLMR thesis shows such maps in section 6.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from analysis.pages.clip_map import ClipMap
from analysis.report.document import RunMap, RunRow, StepRow
from benchmark.console import Reporter
from benchmark.plain_files import check_artifact
from benchmark.store.embeddings import Embeddings, open_embeddings
from benchmark.store.file_names import LABELS
from benchmark.store.labels import read_labels
from benchmark.store.store import UNREADABLE
from tasks.base import Task

#: Clips on a map, representations of a task, and tags of a tagging task, at most.
CLIPS, MAPS, TAGS = 400, 6, 6
#: Windows on a map at most, and those taken from one clip.
WINDOWS, WINDOWS_OF_CLIP = 600, 4
#: A map of fewer points shows nothing.
FEWEST = 12
_PERPLEXITY = 30.0
_SEED = 0


def clip_maps(store: Path, runs: Sequence[RunRow], steps: Mapping[str, StepRow], reporter: Reporter) -> list[RunMap]:
    """Maps of the best representations of every task, from what the store still holds.

    Parameters
    ----------
    store
        The store's folder.
    runs, steps
        As `benchmark.report.contents.collect` gives them.
    reporter
        Shows progress.

    Returns
    -------
    list of RunMap
    """
    wanted = [run for run in _best(runs) if len(_kind(run, steps, "embed")) == 1]
    found: list[RunMap] = []
    with reporter.progress("map test clips", len(wanted), "representations") as advance:
        for run in wanted:
            one = _map(store, run, steps)
            if one is not None:
                found.append({**one, "key": run["key"]})
            advance(1)
    return found


def _best(runs: Sequence[RunRow]) -> list[RunRow]:
    """One run of each of the best representations of a task: that of the best score."""
    tasks: dict[tuple[Any, ...], dict[tuple[Any, ...], RunRow]] = {}
    for run in runs:
        if not run["departs"]:
            own = tasks.setdefault((run["task"], run["fingerprint"], run["standin"]), {})
            name = (run["encoder"], run["recipe"], run["corpus"])
            if name not in own or _lead(run) > _lead(own[name]):
                own[name] = run
    return [run for own in tasks.values() for run in sorted(own.values(), key=lambda run: -_lead(run))[:MAPS]]


def _lead(run: RunRow) -> float:
    return float(next(iter(run["metrics"].values()))["value"])


def _kind(run: RunRow, steps: Mapping[str, StepRow], kind: str) -> list[str]:
    return [key for key in run["steps"] if key in steps and steps[key]["kind"] == kind]


def _map(store: Path, run: RunRow, steps: Mapping[str, StepRow]) -> ClipMap | None:
    labels, embedded = _kind(run, steps, "label"), _kind(run, steps, "embed")
    try:
        folders = [store / "artifacts" / "label" / labels[0], store / "artifacts" / "embed" / embedded[0]]
        for folder in folders:
            check_artifact(folder)
        task = read_labels(folders[0] / LABELS)
        return clip_map(task, open_embeddings(folders[1]))
    except (*UNREADABLE, IndexError, EOFError, BadZipFile):
        return None  # deleted since, or not whole


def clip_map(task: Task, embeddings: Embeddings) -> ClipMap | None:
    """The task's test clips, each the mean of its windows.

    Returns
    -------
    ClipMap or None
        Whose ``neighbours`` are Euclidean, of the standardised representation. ``None`` if too few clips have one of
        the labels shown.
    """
    classes, names = clip_classes(task)
    shown = shown_clips(task, embeddings)
    if len(shown) < FEWEST:
        return None
    return _laid_out(clip_means(embeddings, [task.clip_ids[i] for i in shown]), classes[shown], names)


def shown_clips(task: Task, embeddings: Embeddings) -> list[int]:
    """Places of the task's clips that its map shows, in the order of its points."""
    shown = _test_clips(task, embeddings, clip_classes(task)[0])
    if len(shown) > CLIPS:
        shown = sorted(np.random.default_rng(_SEED).choice(shown, CLIPS, replace=False).tolist())
    return shown


def window_map(task: Task, embeddings: Embeddings) -> ClipMap | None:
    """Windows of the task's test clips, each labelled as its clip; see `clip_map`.

    A window's neighbours are those of other clips: the window after it sounds like it whatever the representation.
    """
    classes, names = clip_classes(task)
    rng = np.random.default_rng(_SEED)
    place = {clip: row for row, clip in enumerate(embeddings.clip_ids)}
    rows: list[int] = []
    clips: list[int] = []
    for i in rng.permutation(_test_clips(task, embeddings, classes)).tolist():
        first, end = (int(row) for row in embeddings.first[place[task.clip_ids[i]] :][:2])
        own = rng.choice(np.arange(first, end), min(end - first, WINDOWS_OF_CLIP), replace=False)
        rows += sorted(own.tolist())
        clips += [i] * len(own)
    rows, clips = rows[:WINDOWS], clips[:WINDOWS]
    if len(rows) < FEWEST or len(set(clips)) < FEWEST or len(set(clips)) == len(clips):
        return None  # with one window a clip, it is the map of clips
    return _laid_out(embeddings.rows[rows].astype(np.float64), classes[clips], names, np.array(clips))


def item_map(
    embeddings: Embeddings, groups: Mapping[str, str], clip_ids: Sequence[str], items: int, windows: int
) -> ClipMap | None:
    """Windows in a row of a few items, each item a colour, as in Figure 6.1 of the CLMR thesis.

    Parameters
    ----------
    groups
        The item that a clip is part of: its song, of which all clips are joined in their order, or itself.
    clip_ids
        Clips that are looked at.
    items, windows
        Items, those with most windows, in the order of their names where they have as many; and windows of each at
        most, the first ones.

    Returns
    -------
    ClipMap or None
        Whose ``neighbours`` is the share of windows whose nearest neighbour is of the same item. ``None`` if there are
        too few items or windows.
    """
    place = {clip: row for row, clip in enumerate(embeddings.clip_ids)}
    rows: dict[str, list[int]] = {}
    for clip in clip_ids:
        if clip in place:
            first, end = (int(row) for row in embeddings.first[place[clip] :][:2])
            rows.setdefault(groups.get(clip, clip), []).extend(range(first, end))
    chosen = sorted(rows, key=lambda item: (-min(len(rows[item]), windows), item))[:items]
    taken = {item: rows[item][:windows] for item in chosen}
    every = [row for own in taken.values() for row in own]
    if len(chosen) < 2 or len(every) < FEWEST:
        return None
    classes = np.repeat(np.arange(len(chosen)), [len(own) for own in taken.values()])
    points, neighbours = lay_out(embeddings.rows[every].astype(np.float64), classes)
    alike = (np.bincount(classes)[classes] - 1) / (len(classes) - 1)
    return _as_map(points, classes, chosen, neighbours, float(alike.mean()))


def _laid_out(
    features: NDArray[np.float64], classes: NDArray[np.int64], names: list[str], groups: NDArray[np.int64] | None = None
) -> ClipMap:
    points, neighbours = lay_out(features, classes, groups)
    own = np.ones(len(classes)) if groups is None else np.bincount(groups)[groups]
    alike = (np.bincount(classes)[classes] - own) / (len(classes) - own)
    return _as_map(points, classes, names, neighbours, float(alike.mean()))


def _as_map(
    points: NDArray[np.float64], classes: NDArray[np.int64], names: list[str], neighbours: float, chance: float
) -> ClipMap:
    return {
        "x": np.round(points[:, 0], 2).tolist(),
        "y": np.round(points[:, 1], 2).tolist(),
        "label": classes.tolist(),
        "labels": names,
        "neighbours": neighbours,
        "chance": chance,
    }


def _test_clips(task: Task, embeddings: Embeddings, classes: NDArray[np.int64]) -> list[int]:
    there = set(embeddings.clip_ids)
    return [int(i) for i in np.flatnonzero((task.splits == "test") & (classes >= 0)) if task.clip_ids[i] in there]


def clip_means(embeddings: Embeddings, clip_ids: Sequence[str]) -> NDArray[np.float64]:
    """Mean over windows [clips, dim] of the clips named."""
    place = {clip: row for row, clip in enumerate(embeddings.clip_ids)}
    spans = [(embeddings.first[place[clip]], embeddings.first[place[clip] + 1]) for clip in clip_ids]
    return np.stack([embeddings.rows[first:end].mean(axis=0, dtype=np.float64) for first, end in spans])


def clip_classes(task: Task) -> tuple[NDArray[np.int64], list[str]]:
    """One class a clip, -1 for clips that are not shown, and the names of classes.

    Of a tagging task those clips are shown that have one and only one of its most frequent tags.
    """
    classes, names = task.targets.classes(TAGS)
    return classes, list(names)


def lay_out(
    features: NDArray[np.float64], classes: NDArray[np.int64], groups: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float64], float]:
    """Place points in the plane, and say how often a point's nearest neighbour among `features` has its class.

    Parameters
    ----------
    features : ndarray, shape [points, dim]
    classes : ndarray, shape [points]
    groups : ndarray, shape [points], optional
        Points of one group are no neighbours; without it, every point is a group of its own.

    Returns
    -------
    points : ndarray, shape [points, 2]
    neighbours : float
        In [0, 1].
    """
    from sklearn.manifold import TSNE
    from sklearn.metrics import pairwise_distances

    spread = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    own = np.arange(len(scaled)) if groups is None else groups
    distances = pairwise_distances(scaled)
    distances[own[:, None] == own[None, :]] = np.inf
    nearest = distances.argmin(axis=1)
    perplexity = min(_PERPLEXITY, (len(scaled) - 1) / 3.0)
    # Principal components are two at least, and of something that varies.
    start = "pca" if (spread > 0).sum() >= 2 else "random"
    points = TSNE(perplexity=perplexity, init=start, random_state=_SEED).fit_transform(scaled)
    return np.asarray(points, dtype=np.float64), float((classes[nearest] == classes).mean())
