"""How often the most probable class is the right one: accuracy, and F1 macro-averaged over classes.

The prediction is the class of highest probability, the first one where several share it.

A class's F1 is 2 TP / (2 TP + FP + FN). As in scikit-learn's `f1_score`, the macro average is over the classes that
the test clips or the predictions hold: a class that has no test clip but is predicted scores 0 and lowers the mean,
and one that is neither there nor predicted is left out of it, and named. The same holds in each bootstrap replicate.
"""

from __future__ import annotations

import numpy as np

from tasks.metrics.metric import Array, Compute, Counts, Labels, Metric, Predictions, macro, mean_over_clips


def best_class(compute: Compute, labels: Labels, outputs: int) -> Array:
    """Certainty of the one class [outputs] that scores best on the labels [clips, 1] when given for every clip."""
    rows = np.eye(outputs)
    scores = [macro(compute(labels, np.broadcast_to(row, (len(labels), outputs)), None)) for row in rows]
    return np.asarray(rows[int(np.nanargmax(scores))])


def _accuracy(labels: Labels, probabilities: Predictions, counts: Counts | None) -> Array:
    return mean_over_clips((probabilities.argmax(axis=1) == labels[:, 0]).astype(np.float64), counts)


def _f1(labels: Labels, probabilities: Predictions, counts: Counts | None) -> Array:
    classes = np.arange(probabilities.shape[1])
    truth = (labels == classes).astype(np.float64)
    guess = (probabilities.argmax(axis=1)[:, None] == classes).astype(np.float64)
    weights = np.ones((len(labels), 1)) if counts is None else counts.astype(np.float64)
    hits = weights.T @ (truth * guess)
    # TP + FN and TP + FP: zero together where the class is neither there nor predicted.
    with np.errstate(invalid="ignore"):
        values = 2 * hits / (weights.T @ truth + weights.T @ guess)
    return np.asarray(values[0] if counts is None else values)


accuracy = Metric(
    name="accuracy",
    title="accuracy",
    kind="multiclass",
    compute=_accuracy,
    fit_constant=best_class,
    by_label=False,
    lowest=0.0,
    highest=1.0,
    source="scikit-learn accuracy_score",
)
macro_f1 = Metric(
    name="macro_f1",
    title="macro-F1",
    kind="multiclass",
    compute=_f1,
    fit_constant=best_class,
    by_label=True,
    lowest=0.0,
    highest=1.0,
    source="scikit-learn f1_score, average='macro'",
    settled=290,
)
