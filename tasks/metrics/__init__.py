"""The metrics that tasks are scored by: a file for each family, and here the table of their names.

A part of a metric that has one a label is named after it: ``r2.arousal``, ``roc_auc.guitar``.
"""

from __future__ import annotations

from collections.abc import Mapping

from tasks.metrics.classification import accuracy, macro_f1
from tasks.metrics.distributions import cross_entropy, intersection, kl_divergence
from tasks.metrics.events import beat_f1, boundary_f1, interval_f1, onset_f1
from tasks.metrics.key import key_weighted, key_weighted_mirex
from tasks.metrics.metric import Metric, macro
from tasks.metrics.ranking import average_precision, average_precision_clipwise, roc_auc, roc_auc_clipwise
from tasks.metrics.recommendation import (
    ndcg,
    ndcg_500,
    ndcg_500_catalogue,
    recall,
    recall_100,
    recall_100_catalogue,
)
from tasks.metrics.regression import r2

__all__ = [
    "METRICS",
    "Metric",
    "accuracy",
    "average_precision",
    "average_precision_clipwise",
    "beat_f1",
    "boundary_f1",
    "cross_entropy",
    "intersection",
    "interval_f1",
    "key_weighted",
    "key_weighted_mirex",
    "kl_divergence",
    "macro",
    "macro_f1",
    "ndcg",
    "ndcg_500",
    "ndcg_500_catalogue",
    "onset_f1",
    "r2",
    "recall",
    "recall_100",
    "recall_100_catalogue",
    "roc_auc",
    "roc_auc_clipwise",
    "split_name",
]

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        roc_auc,
        average_precision,
        roc_auc_clipwise,
        average_precision_clipwise,
        accuracy,
        macro_f1,
        r2,
        key_weighted,
        key_weighted_mirex,
        kl_divergence,
        cross_entropy,
        intersection,
        ndcg_500,
        recall_100,
        ndcg_500_catalogue,
        recall_100_catalogue,
        onset_f1,
        beat_f1,
        boundary_f1,
        interval_f1,
    )
}


def split_name(name: str) -> tuple[str, str]:
    """Name of the metric and of its part: ``("r2", "arousal")`` for ``r2.arousal``, ``("r2", "")`` for ``r2``."""
    metric, _, part = name.partition(".")
    return metric, part
