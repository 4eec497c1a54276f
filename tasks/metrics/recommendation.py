"""How well scores of clips for each user rank those that the user plays above all others.

The clips that are ranked are the test clips, which no user's profile was learnt from: recommendation of what is new.

* `ndcg_500`: each played clip among the best 500 counts 1 / log2(rank + 1), and the sum is divided by the largest that
  there could be, with min(500, number played) clips in front. Whether a clip was played counts, not how often.
* `recall_100`: the share of a user's played clips that are among the best 100.

Both are means over users, which are also what intervals resample. A user who plays no test clip ranks nothing and is
left out. Clips of one score come in any order: what counts is the mean over all orders, so that a constant scores what
chance does, and the order of a table decides nothing.

Sources
-------
nDCG: Järvelin and Kekäläinen 2002, of binary relevance, as scikit-learn's `ndcg_score`; ties: McSherry and Najork 2008.
The first 500 ranks are those of Kim et al. 2020, who rank all items but those of the user's training set; here all
training clips are left out, other users' too.
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


def _chance(compute: Compute, plays: Any, outputs: int) -> Array:
    """One score for every clip [users]: no constant ranks one clip above another."""
    del compute, plays
    return np.zeros(outputs)


def ndcg(k: int) -> Metric:
    """The metric `ndcg_K`: discounted cumulative gain of the first `k` ranks, of the largest that there could be."""
    return Metric(
        name=f"ndcg_{k}",
        graded=True,
        title=f"nDCG@{k}",
        kind="interactions",
        compute=partial(_over_users, k=k, discounted=True),
        fit_constant=_chance,
        by_label=False,
        lowest=0.0,
        highest=1.0,
        source=f"scikit-learn ndcg_score with k={k}, binary, mean over users who play a test clip",
        unit="user",
    )


def recall(k: int) -> Metric:
    """The metric `recall_K`: the share of a user's test clips that are among the best `k`."""
    return Metric(
        name=f"recall_{k}",
        graded=True,
        title=f"recall@{k}",
        kind="interactions",
        compute=partial(_over_users, k=k, discounted=False),
        fit_constant=_chance,
        by_label=False,
        lowest=0.0,
        highest=1.0,
        source=f"share of a user's test clips among the best {k}, mean over users who play a test clip",
        unit="user",
    )


ndcg_500 = ndcg(500)
recall_100 = recall(100)
