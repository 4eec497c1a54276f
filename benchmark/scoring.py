"""From predictions to scores: each metric with its interval, its floor, and the labels it can speak of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import UserError
from benchmark.records import Score
from probes.bootstrap import percentile_interval, replicate_counts
from tasks.base import Task
from tasks.metrics import METRICS, macro, scorable

REPLICATES = 1000
#: One seed for all runs, so that the replicates of two encoders on the same clips can be paired.
BOOTSTRAP_SEED = 0


def score(task: Task, predictions: NDArray[np.float32], metrics: Sequence[str]) -> tuple[dict[str, Score], list[str]]:
    """Score predictions for the test clips of a task.

    Parameters
    ----------
    task
        Labels and split.
    predictions : ndarray, shape [test clips, labels]
        In the task's order.
    metrics
        Names from `tasks.metrics.METRICS`.

    Returns
    -------
    scores : dict
        A `Score` for each metric.
    unscored : list of str
        Labels without a positive or without a negative test clip.

    Raises
    ------
    UserError
        If not one label can be scored.
    """
    is_test = task.splits == "test"
    labels = task.labels[is_test]
    scored = scorable(labels)
    if not scored.any():
        raise UserError(f"not one label has both a positive and a negative clip among the {len(labels)} test clips")
    constant = np.broadcast_to(task.labels[task.splits == "train"].mean(axis=0), labels.shape)
    names = [name for name, ok in zip(task.label_names, scored, strict=True) if ok]
    kept = (labels[:, scored], predictions[:, scored], constant[:, scored])
    unscored = [name for name in task.label_names if name not in names]
    return {name: _score(name, *kept, task.groups[is_test], names) for name in metrics}, unscored


def _score(
    name: str,
    labels: NDArray[Any],
    predictions: NDArray[np.float32],
    constant: NDArray[Any],
    groups: NDArray[np.str_],
    names: Sequence[str],
) -> Score:
    metric = METRICS[name]
    per_label = metric(labels, predictions, None)
    replicates = np.concatenate(
        [macro(metric(labels, predictions, counts)) for counts in replicate_counts(groups, REPLICATES, BOOTSTRAP_SEED)]
    )
    # On a handful of clips a replicate may hold no label that can be scored at all; the record says how many do.
    replicates = replicates[~np.isnan(replicates)]
    interval = percentile_interval(replicates)
    return Score(
        value=float(macro(per_label)),
        lower=interval.lower,
        upper=interval.upper,
        level=interval.level,
        replicates=len(replicates),
        floor=float(macro(metric(labels, constant, None))),
        n_labels=len(names),
        per_label=dict(zip(names, per_label.tolist(), strict=True)),
    )
