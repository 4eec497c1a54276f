"""Whether more or less of a metric is better: the one place that knows.

A metric's name says it, in any spelling and case (RMSE, mean_squared_error, errorRate, neg_rmse). What else a table
says of it, `analysis.tables.turning` reads.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

COLUMN = "lower_is_better"
"""Column of truth values that says it of every row; empty where names say it."""

_LESS = {
    "brier", "cer", "cost", "crossentropy", "dcf", "der", "deviance", "distance", "distances", "distortion",
    "divergence", "eer", "emd", "entropy", "err", "error", "errors", "fad", "fid", "fnr", "fpr", "frr", "jsd", "kid",
    "kl", "kld", "logloss", "loss", "losses", "mae", "mape", "mase", "mcd", "medae", "medr", "mindcf", "mse", "msle",
    "nll", "nrmse", "perplexity", "ppl", "regret", "rmse", "rmsle", "rse", "smape", "wasserstein", "wer", "xent",
}  # fmt: skip
_MORE = {
    "acc", "accuracy", "agreement", "ap", "auc", "aucpr", "auroc", "bleu", "concordance", "correlation", "f1",
    "fmeasure", "fscore", "gain", "kappa", "likelihood", "map", "mcc", "mrr", "ndcg", "pearson", "precision", "psnr",
    "purity", "r2", "recall", "roc", "sdr", "sensitivity", "similarity", "snr", "spearman", "specificity", "tau", "tpr",
}  # fmt: skip
#: Words that mean something else together than alone.
_TOGETHER: Mapping[tuple[str, ...], bool] = {
    ("false", "positive"): True,
    ("false", "positives"): True,
    ("false", "negative"): True,
    ("false", "negatives"): True,
    ("false", "alarm"): True,
    ("false", "alarms"): True,
    ("miss", "rate"): True,
    ("mean", "rank"): True,
    ("median", "rank"): True,
    ("med", "r"): True,
    ("distance", "correlation"): False,
    ("r", "squared"): False,
    ("negative", "predictive", "value"): False,
}
_TURNS = {"complement", "inverse", "inverted", "minus", "neg", "negated", "negative", "reduction"}
#: Words of what may be below zero by itself, so that a sign says nothing of its having been turned.
_ANY_SIGN = {"crossentropy", "entropy", "likelihood", "logloss", "loss", "losses", "nll", "regret"}


def lower_is_better(metric: str) -> bool | None:
    """Whether less of a metric is better, by its name.

    Returns
    -------
    bool or None
        ``None`` for a name that says nothing, or both.

    Examples
    --------
    >>> [lower_is_better(name) for name in ("RMSE", "errorRate", "neg_mse", "1 - EER", "roc_auc", "score")]
    [True, True, False, False, False, None]
    """
    words = _words(metric)
    turned = metric.strip().startswith(("-", "\u2212", "1-", "1 -", "1\u2212", "1 \u2212"))
    found: set[bool] = set()
    for together, less in _TOGETHER.items():
        place = _place(words, together)
        if place is not None:
            found.add(less)
            words = words[:place] + words[place + len(together) :]
    for word in words:
        turned ^= word in _TURNS
        if word in _LESS:
            found.add(True)
        if word in _MORE:
            found.add(False)
    if len(found) != 1:
        return None
    return found.pop() ^ turned


def better(metric: str) -> int:
    """What a score is multiplied by for more of it to be better: -1 for a metric of which less is, else 1."""
    return -1 if lower_is_better(metric) else 1


def _words(metric: str) -> list[str]:
    """Words of a name, in small letters: mean_squared_error, meanSquaredError and Mean-squared error have the same."""
    text = unicodedata.normalize("NFKC", metric)
    text = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", text).casefold()
    return [word for word in re.split(r"[^a-z0-9]+", re.sub(r"r\^2\b", "r2", text)) if word]


def _place(words: Sequence[str], together: Sequence[str]) -> int | None:
    for i in range(len(words) - len(together) + 1):
        if tuple(words[i : i + len(together)]) == tuple(together):
            return i
    return None


def may_be_negative(metric: str) -> bool:
    """Whether an error of this name may be below zero without having been turned by somebody."""
    return bool(set(_words(metric)) & _ANY_SIGN)


def is_unclear(metric: str) -> bool:
    """Whether a name has words of both kinds, as ``distance_precision`` has."""
    words = set(_words(metric))
    return lower_is_better(metric) is None and bool(words & _LESS) and bool(words & _MORE)


def summit(standardisation: Mapping[str, Mapping[str, Any]]) -> str:
    """What the best level has, in words: "highest expected score", or "lowest expected RMSE".

    Parameters
    ----------
    standardisation : mapping
        As an analysis has it: by task, ``metric`` and `COLUMN`.
    """
    flags = {bool(scale[COLUMN]) for scale in standardisation.values()}
    if flags != {True}:
        return "best expected score" if True in flags else "highest expected score"
    metrics = {str(scale["metric"]) for scale in standardisation.values()}
    return f"lowest expected {metrics.pop() if len(metrics) == 1 else 'error'}"


def exceeds(standardisation: Mapping[str, Mapping[str, Any]]) -> str:
    """The verb of a lead: what is better of an error has less of it, and exceeds nothing."""
    return "is better than" if any(scale[COLUMN] for scale in standardisation.values()) else "exceeds"
