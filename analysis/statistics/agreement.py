"""Whether protocols, or tasks, rank encoders alike, and whether the choice of protocol changes the winner.

Rankings are compared by Kendall's tau-b (Kendall 1945, "The treatment of ties in ranking problems", Biometrika 33).
Uncertainty comes from resampling what could have been otherwise: tasks are drawn with replacement (another benchmark
would have other tasks) and scores within each encoder x task x protocol cell are drawn with replacement (other seeds).
Between two tasks only the scores within cells can be drawn; where every cell has one score, the interval is the large
sample one of Fieller, Hartley and Pearson (1957, "Tests for rank correlation coefficients", Biometrika 44) instead.

A winner that changes between protocols means little if it also changes between two draws of the scores of one protocol,
so that share is reported beside it. Both compare winners on the same drawn tasks: which tasks were drawn moves the
winner too, but it moves that of both protocols.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from scipy import stats

from analysis.documents.agreement import ProtocolAgreement, ProtocolPair, TaskPair
from analysis.documents.estimates import Spread
from analysis.errors import AnalysisError
from analysis.statistics.crossproducts import Bools, Floats, Ints
from analysis.statistics.scores import Scores
from analysis.tables.long_tables import labels

_CHUNK = 200


def kendall(a: Floats, b: Floats) -> Floats:
    """Kendall's tau-b along the last axis.

    Parameters
    ----------
    a, b : ndarray, shape [..., items]

    Returns
    -------
    ndarray, shape [...]
        In [-1, 1]; not a number where either side is constant.
    """
    i, j = np.triu_indices(a.shape[-1], 1)
    x, y = np.sign(a[..., i] - a[..., j]), np.sign(b[..., i] - b[..., j])
    scale = np.sqrt((x**2).sum(axis=-1) * (y**2).sum(axis=-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((x * y).sum(axis=-1) / scale, dtype=np.float64)


class _Cells:
    """Scores arranged as [protocol, encoder, task, repeat], short cells padded."""

    def __init__(self, scores: Scores, encoder: str, protocol: str | None) -> None:
        table = scores.table
        encoder_code, self.encoders = labels(table, encoder)
        task_code, self.tasks = labels(table, scores.group)
        if protocol is None:
            protocol_code, self.protocols = np.zeros(len(table), dtype=np.int64), [""]
        else:
            protocol_code, self.protocols = labels(table, protocol)
        shape = (len(self.protocols), len(self.encoders), len(self.tasks))
        flat: Ints = np.ravel_multi_index((protocol_code, encoder_code, task_code), shape)
        order = np.argsort(flat, kind="stable")
        counts = np.bincount(flat, minlength=int(np.prod(shape)))
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        values = np.zeros((counts.size, int(counts.max())))
        ranks = np.arange(len(table)) - starts[flat[order]]
        values[flat[order], ranks] = scores.y[order]
        self.counts: Ints = counts.reshape(shape)
        self.values: Floats = values.reshape(*shape, -1)

    def means(self) -> Floats:
        """Mean of every cell, shape [protocols, encoders, tasks]; not a number in an empty one."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.values.sum(axis=-1) / self.counts, dtype=np.float64)

    def resample(self, generator: np.random.Generator, count: int) -> Floats:
        """Cell means with scores redrawn within cells, shape [count, protocols, encoders, tasks]."""
        width = self.values.shape[-1]
        index = (generator.random((count, *self.counts.shape, width)) * self.counts[..., None]).astype(np.int64)
        drawn = np.take_along_axis(np.broadcast_to(self.values, index.shape), index, axis=-1)
        used = np.arange(width) < self.counts[..., None]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((drawn * used).sum(axis=-1) / self.counts, dtype=np.float64)


def _interval(draws: Floats) -> Spread:
    finite = draws[np.isfinite(draws)]
    if finite.size < 2:
        return {"se": None, "lower": None, "upper": None}
    lower, upper = np.quantile(finite, [0.025, 0.975])
    return {"se": float(finite.std(ddof=1)), "lower": float(lower), "upper": float(upper)}


def _large_sample(tau: float, items: int) -> Spread:
    if items < 5 or not np.isfinite(tau):
        return {"se": None, "lower": None, "upper": None}
    spread = float(np.sqrt(0.437 / (items - 4)))
    centre = float(np.arctanh(np.clip(tau, -0.999999, 0.999999)))
    lower, upper = np.tanh([centre - 1.959964 * spread, centre + 1.959964 * spread])
    return {"se": None, "lower": float(lower), "upper": float(upper)}


def _exact_p(a: Floats, b: Floats) -> float | None:
    p = float(stats.kendalltau(a, b).pvalue)
    return p if np.isfinite(p) else None


def protocol_agreement(
    scores: Scores, encoder: str = "encoder", protocol: str = "protocol", replicates: int = 1000, seed: int = 0
) -> ProtocolAgreement:
    """Compare the rankings and the winners of protocols.

    Parameters
    ----------
    scores : Scores
        Standardised within tasks over all protocols.
    encoder, protocol : str
        Columns of what is ranked, and of what may rank it differently.
    replicates : int
        Resamples, at least 2.
    seed : int

    Returns
    -------
    dict
        ``pairs``: per pair of protocols ``a``, ``b``, ``estimate`` (tau-b), ``se``, ``lower``, ``upper``, ``p`` (of
        independence), ``winner_a``, ``winner_b``, ``winner_changes``, ``change_share`` (resamples in which the two
        protocols have different winners) and ``noise_share`` (two draws of the scores of one protocol have different
        winners on the same drawn tasks, mean of the two protocols; None where a protocol has one score in every cell,
        which says nothing about another). ``winners``: per protocol ``winner`` and ``shares``, how often each encoder
        wins. ``tasks``: those on which every encoder was scored under every protocol; only they are used.

    Raises
    ------
    AnalysisError
        If there is one protocol, one encoder, or no such task.
    """
    cells = _Cells(scores, encoder, protocol)
    if len(cells.protocols) < 2 or len(cells.encoders) < 2:
        raise AnalysisError(f"agreement needs at least two values in columns {protocol!r} and {encoder!r}")
    full: Bools = np.atleast_1d((cells.counts > 0).all(axis=(0, 1)))
    if not full.any():
        raise AnalysisError(
            f"no {scores.group} has every {encoder} under every {protocol}: run what is missing, or filter with --where"
        )
    means = cells.means()[:, :, full].mean(axis=-1)
    generator = np.random.default_rng(seed)
    parts, changed = [], np.zeros(len(cells.protocols))
    for first in range(0, replicates, _CHUNK):
        count = min(_CHUNK, replicates - first)
        weights = _draw_tasks(int(full.sum()), count, generator)
        part, other = (
            np.einsum("rpet,rt->rpe", cells.resample(generator, count)[..., full], weights) for _ in range(2)
        )
        parts.append(part)
        changed += (np.argmax(part, axis=-1) != np.argmax(other, axis=-1)).sum(axis=0)
    drawn = np.concatenate(parts)
    winners = np.argmax(drawn, axis=-1)
    point = np.argmax(means, axis=-1)
    repeated: Bools = np.atleast_1d((cells.counts[..., full] > 1).any(axis=(1, 2)))
    pairs: list[ProtocolPair] = []
    for i, j in combinations(range(len(cells.protocols)), 2):
        pairs.append(
            {
                "a": cells.protocols[i],
                "b": cells.protocols[j],
                "estimate": _number(kendall(means[i], means[j])),
                **_interval(kendall(drawn[:, i], drawn[:, j])),
                "p": _exact_p(means[i], means[j]),
                "winner_a": cells.encoders[point[i]],
                "winner_b": cells.encoders[point[j]],
                "winner_changes": bool(point[i] != point[j]),
                "change_share": float((winners[:, i] != winners[:, j]).mean()),
                "noise_share": float(0.5 * (changed[i] + changed[j]) / replicates)
                if repeated[i] and repeated[j]
                else None,
            }
        )
    shares = [np.bincount(winners[:, i], minlength=len(cells.encoders)) / replicates for i in range(len(means))]
    return {
        "pairs": pairs,
        "winners": {
            name: {
                "winner": cells.encoders[point[i]],
                "shares": {e: float(share) for e, share in zip(cells.encoders, shares[i], strict=True)},
            }
            for i, name in enumerate(cells.protocols)
        },
        "tasks": [task for task, flag in zip(cells.tasks, full, strict=True) if flag],
        "replicates": replicates,
    }


def _draw_tasks(tasks: int, count: int, generator: np.random.Generator) -> Floats:
    """Share of every task in a mean over tasks drawn with replacement, shape [count, tasks]."""
    return np.asarray(generator.multinomial(tasks, np.full(tasks, 1.0 / tasks), size=count) / tasks, dtype=np.float64)


def task_agreement(scores: Scores, encoder: str = "encoder", replicates: int = 1000, seed: int = 0) -> list[TaskPair]:
    """Compare how tasks rank encoders.

    Parameters
    ----------
    scores : Scores
    encoder : str
        Column of what is ranked.
    replicates : int
        Resamples of the scores within cells, where some cell has several.
    seed : int

    Returns
    -------
    list of dict
        Per pair of tasks: ``a``, ``b``, ``n`` (encoders that both tasks have), ``estimate`` (tau-b), ``se``, ``lower``,
        ``upper``, ``p``, and ``method`` of the interval ("resampled scores", "large sample", or "none").
    """
    cells = _Cells(scores, encoder, None)
    means = cells.means()[0]
    repeated = bool((cells.counts > 1).any())
    drawn = cells.resample(np.random.default_rng(seed), replicates)[:, 0] if repeated and replicates > 1 else None
    result: list[TaskPair] = []
    for i, j in combinations(range(len(cells.tasks)), 2):
        both = np.isfinite(means[:, i]) & np.isfinite(means[:, j])
        items = int(both.sum())
        if items < 2:
            continue
        tau = _number(kendall(means[both, i], means[both, j]))
        if drawn is not None:
            interval, method = _interval(kendall(drawn[:, both, i], drawn[:, both, j])), "resampled scores"
        else:
            interval = _large_sample(np.nan if tau is None else tau, items)
            method = "large sample" if interval["lower"] is not None else "none"
        result.append(
            {
                "a": cells.tasks[i],
                "b": cells.tasks[j],
                "n": items,
                "estimate": tau,
                **interval,
                "p": _exact_p(means[both, i], means[both, j]),
                "method": method,
            }
        )
    return result


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
