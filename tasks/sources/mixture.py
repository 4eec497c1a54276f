"""A mixture of Gaussians over one number, and how likely each of them is to have made it (Kim et al. 2020, 2.3)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

#: Added to every variance in every step, as scikit-learn's default, which the study took.
VARIANCE_FLOOR = 1e-6


@dataclass(frozen=True)
class Mixture:
    """Weights, means and variances of the components, each [K]."""

    weights: Numbers
    means: Numbers
    variances: Numbers

    def responsibilities(self, values: Numbers) -> Numbers:
        """Probability of each component given a value [values, K]; each row sums to 1, however far out a value lies."""
        from scipy.special import logsumexp

        distance = (values[:, None] - self.means) ** 2 / self.variances
        joint = np.log(self.weights) - 0.5 * (np.log(2 * np.pi * self.variances) + distance)
        return np.exp(joint - logsumexp(joint, axis=1, keepdims=True))


def fit(values: Numbers, k: int, seed: int, steps: int = 100, start: Mixture | None = None) -> Mixture:
    """Fit `k` components to values [values] by expectation maximisation.

    Parameters
    ----------
    values
        At least `k` of them.
    k, seed
        Number of components, and of the k-means clustering that they start from.
    steps
        At most; fewer where the likelihood no longer rises by a thousandth, unless a `start` is given.
    start
        Components to start from.
    """
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(k, max_iter=steps, reg_covar=VARIANCE_FLOOR, random_state=seed)
    if start is not None:
        model.set_params(
            tol=0.0,
            weights_init=start.weights,
            means_init=start.means[:, None],
            precisions_init=1 / start.variances[:, None, None],
        )
    with warnings.catch_warnings():
        # That it has not converged, or that there are fewer different values than components: neither is a mistake.
        warnings.simplefilter("ignore")
        model.fit(values[:, None])
    return Mixture(model.weights_, model.means_.ravel(), model.covariances_.ravel())
