"""How much of a target's variance estimates explain: the coefficient of determination."""

from __future__ import annotations

import numpy as np

from tasks.metrics.metric import Array, Compute, Counts, Labels, Metric, Predictions


def _training_mean(compute: Compute, labels: Labels, outputs: int) -> Array:
    """Mean of each target [targets], the constant of least squared error."""
    del compute, outputs
    return np.asarray(labels.mean(axis=0, dtype=np.float64))


def _r2(labels: Labels, estimates: Predictions, counts: Counts | None) -> Array:
    y = labels.astype(np.float64)
    weights = np.ones((len(y), 1)) if counts is None else counts.astype(np.float64)
    squared_errors = weights.T @ (y - estimates) ** 2
    # About the mean of the clips that are scored. Centring first keeps the difference of large sums exact.
    centred = y - y.mean(axis=0)
    total = weights.sum(axis=0)[:, None]
    squared_deviations = weights.T @ centred**2 - (weights.T @ centred) ** 2 / total
    # What rounding leaves of a target that does not vary is far below this.
    varies = squared_deviations > 1e-24 * (weights.T @ y**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = np.where(varies, 1 - squared_errors / squared_deviations, np.nan)
    return values[0] if counts is None else values


r2 = Metric(
    name="r2",
    title="R2",
    kind="regression",
    compute=_r2,
    fit_constant=_training_mean,
    by_label=True,
    lowest=-np.inf,
    highest=1.0,
    source=(
        "scikit-learn r2_score, uniform average over targets; undefined for a target that does not vary. "
        "It does not change when target and estimate are shifted and scaled together"
    ),
    settled=125,
)
