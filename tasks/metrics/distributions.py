"""How near an estimated distribution over classes is to the true one, such as the votes of several listeners.

* `kl_divergence`: how much information [nat] is lost by the estimate, the sum of p ln(p / q). Less is better; 0 where
  the two are the same.
* `cross_entropy`: the sum of -p ln q [nat]. Less is better; what is left of it at best is the entropy of the labels.
* `intersection`: the share that both have in common, the sum of min(p, q), which is 1 less their total variation.

Each is the mean over clips. A share of an estimate counts as at least the resolution of the numbers in which
predictions are kept (1.2e-7), for one class that is wrongly held impossible would else cost infinitely much.

Sources
-------
Kullback and Leibler 1951. Measures of learning label distributions: Geng 2016, table 1 (Kullback-Leibler divergence and
intersection). The bound on shares is that of scikit-learn's `log_loss` for numbers in single precision.
"""

from __future__ import annotations

import numpy as np

from tasks.metrics.metric import Array, Compute, Counts, Labels, Metric, Predictions, mean_over_units

#: A share of an estimate counts as at least this.
SMALLEST = float(np.finfo(np.float32).eps)


def _cross_entropies(shares: Labels, estimates: Predictions) -> Array:
    return np.asarray(-(shares * np.log(np.maximum(estimates.astype(np.float64), SMALLEST))).sum(axis=1))


def _entropies(shares: Labels) -> Array:
    return np.asarray(-(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=1))


def _cross_entropy(shares: Labels, estimates: Predictions, counts: Counts | None) -> Array:
    return mean_over_units(_cross_entropies(shares, estimates), counts)


def _divergence(shares: Labels, estimates: Predictions, counts: Counts | None) -> Array:
    return mean_over_units(_cross_entropies(shares, estimates) - _entropies(shares), counts)


def _intersection(shares: Labels, estimates: Predictions, counts: Counts | None) -> Array:
    return mean_over_units(np.minimum(shares, estimates.astype(np.float64)).sum(axis=1), counts)


def _mean_shares(compute: Compute, shares: Labels, outputs: int) -> Array:
    """Mean of the training distributions [classes], the constant of least divergence and cross entropy."""
    del compute, outputs
    return np.asarray(shares.mean(axis=0, dtype=np.float64))


def _common_shares(compute: Compute, shares: Labels, outputs: int) -> Array:
    """The constant [classes] that has most in common with the training distributions.

    What a class adds to the mean grows with its share at the rate of the clips that have a larger one. These rates fall
    as the share grows, so the whole of 1 is best spent where they are highest.
    """
    del compute
    ordered = np.sort(shares.astype(np.float64), axis=0)
    lengths = np.diff(ordered, axis=0, prepend=0.0)
    # The piece below the k-th smallest share is gained by all but the k clips before it; lower pieces come first.
    clips, _ = np.indices(lengths.shape)
    order = np.argsort(clips.ravel(), kind="stable")
    spent = np.minimum(np.cumsum(lengths.ravel()[order]), 1.0)
    taken = np.empty(lengths.size)
    taken[order] = np.diff(spent, prepend=0.0)
    return np.asarray(taken.reshape(-1, outputs).sum(axis=0))


kl_divergence = Metric(
    name="kl_divergence",
    title="KL divergence",
    kind="distribution",
    compute=_divergence,
    fit_constant=_mean_shares,
    by_label=False,
    lowest=0.0,
    highest=np.inf,
    source="Kullback and Leibler 1951, of the estimate from the labels, in nat, mean over clips",
    lower_is_better=True,
)
cross_entropy = Metric(
    name="cross_entropy",
    title="cross entropy",
    kind="distribution",
    compute=_cross_entropy,
    fit_constant=_mean_shares,
    by_label=False,
    lowest=0.0,
    highest=np.inf,
    source="scikit-learn log_loss with a distribution in place of each class, in nat, mean over clips",
    lower_is_better=True,
)
intersection = Metric(
    graded=True,
    name="intersection",
    title="intersection",
    kind="distribution",
    compute=_intersection,
    fit_constant=_common_shares,
    by_label=False,
    lowest=0.0,
    highest=1.0,
    source="Geng 2016, table 1: the sum of the smaller of both shares, mean over clips",
)
