"""How well scores of clips for each user rank those that the user plays above all others.

What is to be found are the test clips, which no user's profile was learnt from: recommendation of what is new.

* `ndcg_500`: each played clip among the best 500 counts 1 / log2(rank + 1), and the sum is divided by the largest that
  there could be, with min(500, number played) clips in front. Whether a clip was played counts, not how often.
* `recall_100`: the share of a user's played clips that are among the best 100.
* `ndcg_500_catalogue`, `recall_100_catalogue`: the same among all clips but those that the user is known to play, so
  that what others play competes with what is new. Predictions must be places there: -1 for the best clip.

All are means over users, which are also what intervals resample. A user who plays no test clip ranks nothing and is
left out. Clips of one score come in any order: what counts is the mean over all orders, so that a constant scores what
chance does, and the order of a table decides nothing. Of the catalogue, their places are the mean over all orders.

Sources
-------
nDCG: Järvelin and Kekäläinen 2002, of binary relevance, as scikit-learn's `ndcg_score`; ties: McSherry and Najork 2008.
The first 500 ranks are those of Kim et al. 2020, who rank all items but those of the user's training set, which is
`ndcg_500_catalogue`; for `ndcg_500` all training clips are left out, other users' too.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.metrics.metric import Array, Compute, Counts, Metric, Predictions, mean_over_units


def _discounts(clips: int, k: int) -> Array:
    """What a played clip counts at each rank of a ranking [clips]."""
    ranks = np.arange(1, clips + 1)
    return np.where(ranks <= k, 1 / np.log2(ranks + 1), 0.0)


def _first(clips: int, k: int) -> Array:
    """1 for the first k ranks [clips]."""
    return np.asarray((np.arange(clips) < k).astype(np.float64))


def _gains(played: NDArray[np.intp], scores: Predictions, worth: Array) -> float:
    """Sum of what the played clips are worth at their ranks, the mean over the orders of equal scores."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    tied = np.add.reduceat(worth, starts) / np.diff(np.append(starts, len(ordered)))
    rank = np.empty(len(order), dtype=np.intp)
    rank[order] = np.arange(len(order))
    return float(tied[np.searchsorted(starts, rank[played], side="right") - 1].sum())


def _over_users(plays: Any, scores: Predictions, counts: Counts | None, k: int, discounted: bool) -> Array:
    clips, users = plays.shape
    worth = _discounts(clips, k) if discounted else _first(clips, k)
    values = np.full(users, np.nan)
    of_user = plays.tocsc()
    of_user.eliminate_zeros()
    for user in range(users):
        played = of_user.indices[of_user.indptr[user] : of_user.indptr[user + 1]]
        if len(played):
            best = worth[: len(played)].sum() if discounted else len(played)
            values[user] = _gains(played, scores[:, user], worth) / best
    return mean_over_units(values, counts)


def _in_catalogue(plays: Any, predictions: Predictions, counts: Counts | None, k: int, discounted: bool) -> Array:
    if predictions.size and float(predictions.max()) > -1:
        raise ValueError("metrics of the catalogue take places, of which the best is -1, not scores")
    places = -np.asarray(predictions, dtype=np.float64)
    worth = np.where(places <= k, 1 / np.log2(places + 1) if discounted else 1.0, 0.0)
    counted = worth * (plays > 0).toarray()
    return mean_over_units(np.asarray(counted.sum(axis=0)) / _best(plays, k, discounted), counts)


def _best(plays: Any, k: int, discounted: bool) -> Array:
    """The largest that each user's sum can be [users]; NaN for those who play nothing."""
    number = np.asarray((plays > 0).sum(axis=0)).ravel()
    if not discounted:
        return np.where(number > 0, number, np.nan)
    ideal = np.cumsum(_discounts(max(1, int(number.max(initial=0))), k))
    return np.where(number > 0, ideal[np.maximum(number, 1) - 1], np.nan)


def _catalogue_chance(known: Any, plays: Any, k: int, discounted: bool) -> Array:
    """What any order of the catalogue reaches on average [1]; a constant prediction has no places."""
    others = known.shape[0] - np.asarray((known > 0).sum(axis=0)).ravel()
    clips = plays.shape[0] + others
    worth = np.cumsum(_discounts(int(clips.max()), k) if discounted else _first(int(clips.max()), k))
    number = np.asarray((plays > 0).sum(axis=0)).ravel()
    return mean_over_units(number * worth[clips - 1] / clips / _best(plays, k, discounted), None)


def _chance(compute: Compute, plays: Any, outputs: int) -> Array:
    """One score for every clip [users]: no constant ranks one clip above another."""
    del compute, plays
    return np.zeros(outputs)


def ndcg(k: int, catalogue: bool = False) -> Metric:
    """The metric `ndcg_K`: discounted cumulative gain of the first `k` ranks, of the largest that there could be.

    With `catalogue`, ranks are those among all clips that a user is not known to play.
    """
    return _metric(f"ndcg_{k}", f"nDCG@{k}", f"scikit-learn ndcg_score with k={k}, binary", k, True, catalogue)


def recall(k: int, catalogue: bool = False) -> Metric:
    """The metric `recall_K`: the share of a user's test clips that are among the best `k`; `catalogue` as of `ndcg`."""
    return _metric(
        f"recall_{k}", f"recall@{k}", f"share of a user's test clips among the best {k}", k, False, catalogue
    )


def _metric(name: str, title: str, source: str, k: int, discounted: bool, catalogue: bool) -> Metric:
    return Metric(
        name=name + "_catalogue" * catalogue,
        graded=True,
        title=title + " of all" * catalogue,
        kind="interactions",
        compute=partial(_in_catalogue if catalogue else _over_users, k=k, discounted=discounted),
        fit_constant=_chance,
        by_label=False,
        lowest=0.0,
        highest=1.0,
        source=f"{source}, mean over users who play a test clip",
        unit="user",
        chance=partial(_catalogue_chance, k=k, discounted=discounted) if catalogue else None,
    )


ndcg_500 = ndcg(500)
recall_100 = recall(100)
ndcg_500_catalogue = ndcg(500, catalogue=True)
recall_100_catalogue = recall(100, catalogue=True)
