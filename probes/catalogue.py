"""Where clips stand in each user's ranking of the catalogue: of all clips but those that the user is known to play."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def places(new: NDArray[np.floating], known: NDArray[np.floating], plays: Any) -> NDArray[np.float32]:
    """Place of each new clip among the new ones and those of the known that a user has not played, with a minus.

    The higher the better, as of scores, and in the same order: the best is -1. Equal scores share the mean of their
    places.

    Parameters
    ----------
    new : ndarray, shape [new clips, users]
        Scores of the clips that are ranked.
    known : ndarray, shape [known clips, users]
        Scores of the clips that users' profiles were learnt from.
    plays : scipy.sparse array, shape [known clips, users]
        Counts above 0 of what users play of those.

    Returns
    -------
    ndarray of float32, shape [new clips, users]
    """
    found = np.empty(new.shape, dtype=np.float32)
    by_user = plays.tocsc()
    for user in range(new.shape[1]):
        silent = np.ones(len(known), dtype=bool)
        silent[by_user.indices[by_user.indptr[user] : by_user.indptr[user + 1]]] = False
        own = new[:, user]
        ranked = np.sort(np.concatenate([own, known[silent, user]]))
        after = np.searchsorted(ranked, own, side="left")
        before = len(ranked) - np.searchsorted(ranked, own, side="right")
        found[:, user] = (after - before - len(ranked) - 1) / 2
    return found
