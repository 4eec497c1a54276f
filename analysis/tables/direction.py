"""Whether more or less of a metric is better: the one place that knows.

A metric's name says it, in any spelling and case (RMSE, mean_squared_error, errorRate, neg_rmse); a column or an option
`lower_is_better` says it where a name does not. Where the two disagree nothing is computed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.errors import AnalysisError

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


def is_unclear(metric: str) -> bool:
    """Whether a name has words of both kinds, as ``distance_precision`` has."""
    words = set(_words(metric))
    return lower_is_better(metric) is None and bool(words & _LESS) and bool(words & _MORE)


def told(table: pd.DataFrame, score: str, metrics: Iterable[str]) -> pd.DataFrame:
    """Note in a table that less of some metrics is better, as `COLUMN`.

    Parameters
    ----------
    table : DataFrame
        Left as it is.
    score : str
        Column of scores, whose name is the metric's where there is no column ``metric``.
    metrics : iterable of str
        Names of metrics, in any case.

    Raises
    ------
    AnalysisError
        If the table has no such metric, or says that more of it is better.
    """
    own = _metrics(table, score)
    result = table
    for metric in metrics:
        rows = own.str.casefold() == metric.strip().casefold()
        if not rows.any():
            there = ", ".join(dict.fromkeys(own))
            raise AnalysisError(f"--lower-is-better {metric}: no score is of that metric. There are: {there}")
        if lower_is_better(metric) is False:
            raise AnalysisError(
                f"--lower-is-better {metric}: by its name more of it is better; leave the option out, or give the"
                " metric its own name, e.g. --derive 'metric=\"error\"'"
            )
        said = result[COLUMN] if COLUMN in result.columns else pd.Series([None] * len(table), dtype=object)
        if any(_truth(value) is False for value in said[rows]):
            raise AnalysisError(
                f"--lower-is-better {metric}: column {COLUMN!r} says the other of it; leave one of them out"
            )
        result = result.assign(**{COLUMN: said.astype(object).where(~rows, True)})
    return result


def turned_rows(table: pd.DataFrame, score: str, values: NDArray[np.float64]) -> tuple[NDArray[np.bool_], list[str]]:
    """Find the rows whose scores have to be turned, so that more is better in all.

    Parameters
    ----------
    table : DataFrame
        One row a score; may have columns ``metric`` and `COLUMN`.
    score : str
        Column of scores; its name counts where there is no ``metric``.
    values : ndarray, shape [rows]
        The scores.

    Returns
    -------
    turned : ndarray of bool, shape [rows]
    notes : list of str
        Which metrics are turned, and which were not though they are errors, for all their scores are below zero.

    Raises
    ------
    AnalysisError
        If names and the column disagree, or an error is below zero in some rows and above it in others.
    """
    own = _metrics(table, score).to_numpy(dtype=object)
    said = [_truth(value) for value in table[COLUMN]] if COLUMN in table.columns else [None] * len(table)
    turned = np.zeros(len(table), dtype=np.bool_)
    less, negative, unclear = [], [], []
    for metric in dict.fromkeys(own):
        rows = np.flatnonzero(own == metric)
        flag = _direction(metric, score, [said[i] for i in rows])
        if flag is None and is_unclear(metric):
            unclear.append(metric)
        if not flag:
            continue
        if lower_is_better(metric) and not set(_words(metric)) & _ANY_SIGN and (values[rows] < 0).any():
            if (values[rows] > 0).any():
                raise AnalysisError(
                    f"{metric} cannot be below zero, but is so in row {int(rows[values[rows] < 0][0]) + 1} and above it"
                    " elsewhere: keep the rows of one sign with --where, or correct them"
                )
            negative.append(metric)
            continue
        less.append(metric)
        turned[rows] = True
    notes = []
    if less:
        notes.append(
            f"Of {', '.join(less)} less is better: such scores are turned, so that whatever is higher or better here"
            " has less of it."
        )
    if negative:
        notes.append(f"All scores of {', '.join(negative)} are below zero, so they were taken as turned already.")
    if unclear:
        notes.append(
            f"Whether more or less of {', '.join(unclear)} is better cannot be told from the name: more is taken as"
            " better; --lower-is-better says the other."
        )
    return turned, notes


def _direction(metric: str, score: str, said: Sequence[bool | None]) -> bool | None:
    """Of one metric, by its name, by the name of the scores' column and by what rows say."""
    names = {name: flag for name in dict.fromkeys([metric, score]) if (flag := lower_is_better(name)) is not None}
    if len(set(names.values())) > 1:
        raise AnalysisError(
            f"scores of {metric} stand in column {score!r}, and less is better of one name and more of the other: name"
            f" the column of {metric} with --score, or the metric by --derive 'metric=\"{score}\"'"
        )
    rows = {flag for flag in said if flag is not None}
    if len(rows) > 1:
        raise AnalysisError(f"column {COLUMN!r} is True in some rows of {metric} and False in others: correct it")
    for name, by_name in names.items():
        if rows and by_name not in rows:
            word, other = ("less", "more") if by_name else ("more", "less")
            raise AnalysisError(
                f"of {name} {word} is better by its name, but column {COLUMN!r} says that {other} is: correct one"
            )
    return rows.pop() if rows else next(iter(names.values()), None)


def _metrics(table: pd.DataFrame, score: str) -> pd.Series[str]:
    if "metric" in table.columns:
        return table["metric"].astype(str)
    return pd.Series([score] * len(table), index=table.index, dtype=object)


def _truth(value: Any) -> bool | None:
    text = "" if pd.isna(value) else str(value).strip().casefold()
    if text in {"", "none"}:
        return None
    if text in {"true", "1", "1.0", "yes"}:
        return True
    if text in {"false", "0", "0.0", "no"}:
        return False
    raise AnalysisError(f"column {COLUMN!r} must hold True or False, not {value!r}: correct the table")


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
