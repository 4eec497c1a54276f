"""A probe cheap enough to be asked during training: ridge regression on one window a clip, in closed form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmark.encoding.windows import BatchEncoder, cut_windows
from benchmark.errors import UserError
from benchmark.pretraining.trained import evaluating
from benchmark.store.pcm import Pcm
from encoders.base import Encoder
from probes.objectives import objective_of
from tasks.base import Task

#: Clips of each split that are looked at.
CLIPS = 512
#: Penalty on the squared weights of standardised features, relative to the number of clips.
PENALTY = 0.1


def validation_probe(task: Task, pcm: Pcm) -> Callable[[Encoder], float]:
    """A function that scores an encoder in training mode on validation clips, and leaves it as it was.

    The score is the mean ROC-AUC over labels, the accuracy over classes, or the coefficient of determination, as the
    kind of task has it. Test clips are never looked at.

    Parameters
    ----------
    task
        Labels and split.
    pcm
        Audio of its clips.

    Raises
    ------
    UserError
        If validation clips cannot tell a good score from a bad one.
    """
    clips = {clip.id: clip for clip in pcm.clips}
    chosen = {}
    for split in ("train", "valid"):
        rows = np.flatnonzero(task.splits == split)
        chosen[split] = np.sort(np.random.default_rng(0).permutation(rows)[:CLIPS])
    targets = one_hot(task)
    positive = targets[chosen["valid"]].mean(axis=0)
    if task.kind == "multilabel" and not ((positive > 0) & (positive < 1)).any():
        raise UserError("no label has both positive and negative validation clips; leave out --probe-every")

    def score(encoder: Encoder) -> float:
        with evaluating(encoder):
            encode = BatchEncoder(encoder)
            features = {}
            for split, rows in chosen.items():
                windows = [cut_windows(pcm.waveform(clips[task.clip_ids[row]]), encoder) for row in rows]
                features[split] = _encoded(encode, [one[len(one) // 2] for one in windows])
        predicted = ridge(features["train"], targets[chosen["train"]], features["valid"])
        return rate(task, targets[chosen["valid"]], predicted)

    return score


def _encoded(encode: BatchEncoder, windows: list[NDArray[np.int16]]) -> NDArray[np.float64]:
    lengths = {len(window) for window in windows}
    if len(lengths) == 1:
        return encode(windows).astype(np.float64)
    return np.concatenate([encode([window]) for window in windows]).astype(np.float64)


def one_hot(task: Task) -> NDArray[np.float64]:
    """Labels as numbers [clips, outputs]; classes become columns of 0 and 1, an unknown tag the share of the known."""
    found = objective_of(task.kind).targets(task.labels, len(task.label_names)).astype(np.float64)
    if task.kind == "multilabel" and (found < 0).any():
        known = found >= 0
        shares = (found * known).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        found = np.where(known, found, shares)
    return np.asarray(found)


def ridge(train: NDArray[np.float64], targets: NDArray[np.float64], test: NDArray[np.float64]) -> NDArray[np.float64]:
    """Predictions [m, L] for `test` [m, D] of a ridge regression of `targets` [n, L] on `train` [n, D]."""
    centre, scale = train.mean(axis=0), train.std(axis=0)
    scale[scale == 0] = 1
    x, offset = (train - centre) / scale, targets.mean(axis=0)
    penalty = PENALTY * len(x) * np.eye(x.shape[1])
    weights = np.linalg.solve(x.T @ x + penalty, x.T @ (targets - offset))
    predicted: NDArray[np.float64] = (test - centre) / scale @ weights + offset
    return predicted


def rate(task: Task, targets: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    """Score of predictions [m, L], as the kind of task has it; chance is about 0.5, 1 / classes and 0."""
    if task.kind == "multilabel":
        positive = targets == 1
        count = positive.sum(axis=0)
        pairs = count * (len(targets) - count)
        above = np.where(positive, rankdata(predicted, axis=0), 0).sum(axis=0) - count * (count + 1) / 2
        return float(np.mean(above[pairs > 0] / pairs[pairs > 0]))
    if task.kind == "multiclass":
        return float(np.mean(predicted.argmax(axis=1) == targets.argmax(axis=1)))
    residual = np.square(targets - predicted).sum(axis=0)
    total = np.square(targets - targets.mean(axis=0)).sum(axis=0)
    return float(np.mean(1 - residual / total))
