"""DeLong's variance of areas under ROC curves, for the mean over labels and for clips that come in groups.

Every clip's *influence* on a label's area is what its rank among the other class differs from the area, over the size
of its own class; the variance of any linear combination of areas is the sum of the squared combined influences. For one
label and single clips that is the estimator of DeLong, DeLong and Clarke-Pearson (1988), here by ranks as Sun and Xu
(2014) do; clips of one group are added before squaring (Obuchowski 1997); and since a clip has one influence on every
label, the mean over labels gets the covariances between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata


@dataclass(frozen=True)
class AreaTest:
    """A difference of mean areas.

    Attributes
    ----------
    difference, standard_error
        Estimate, and its standard error.
    z, p
        Test statistic, and two-sided p-value.
    lower, upper
        95 % interval.
    """

    difference: float
    standard_error: float
    z: float
    p: float
    lower: float
    upper: float


def areas_and_influences(
    labels: NDArray[np.generic], scores: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Area under the ROC curve of each label, and what each clip adds to its error.

    Parameters
    ----------
    labels : ndarray of 0/1, shape [clips, L]
        Every label with at least two positive and two negative clips.
    scores : ndarray, shape [clips, L]

    Returns
    -------
    areas : ndarray, shape [L]
    influences : ndarray, shape [clips, L]
        Sum to zero over clips; their squares sum to DeLong's variance.

    Raises
    ------
    ValueError
        If a label has fewer than two positive or two negative clips.
    """
    positive = labels.astype(bool)
    n, counts = len(labels), positive.sum(axis=0)
    if ((counts < 2) | (n - counts < 2)).any():
        raise ValueError("DeLong's variance needs two positive and two negative clips of every label")
    areas = np.empty(labels.shape[1])
    influences = np.empty(labels.shape)
    ranks = rankdata(scores, axis=0)
    for label, (own, p) in enumerate(zip(positive.T, counts, strict=True)):
        q = n - p
        above = (ranks[own, label] - rankdata(scores[own, label])) / q
        below = 1 - (ranks[~own, label] - rankdata(scores[~own, label])) / p
        areas[label] = above.mean()
        # The divisor is that of a sample variance.
        influences[own, label] = (above - areas[label]) / np.sqrt(p * (p - 1))
        influences[~own, label] = (below - areas[label]) / np.sqrt(q * (q - 1))
    return areas, influences


def compare_areas(
    labels: NDArray[np.generic],
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    groups: NDArray[np.generic],
    fold: NDArray[np.integer] | None = None,
) -> AreaTest:
    """Test whether two predictors have the same macro-averaged area under the ROC curve on the same clips.

    Parameters
    ----------
    labels : ndarray of 0/1, shape [clips, L]
    first, second : ndarray, shape [seeds, clips, L]
        Scores; areas are averaged over seeds, of which there may be different numbers.
    groups : ndarray, shape [clips]
        Clips with the same value belong together.
    fold : ndarray of int, shape [clips], optional
        Where each clip was tested, if by cross-validation: areas are those within folds, averaged.

    Raises
    ------
    ValueError
        If a label has fewer than two positive or two negative clips, in a fold if there are any.
    """
    parts = [np.ones(len(labels), bool)] if fold is None else [fold == number for number in np.unique(fold)]
    means, influences = [], []
    for scores in (first, second):
        areas, influence = np.zeros(len(parts)), np.zeros(len(labels))
        for i, own in enumerate(parts):
            found = [areas_and_influences(labels[own], one[own]) for one in scores]
            areas[i] = np.mean([area.mean() for area, _ in found])
            influence[own] = np.mean([each.mean(axis=1) for _, each in found], axis=0) / len(parts)
        means.append(areas.mean())
        influences.append(influence)
    _, group = np.unique(groups, return_inverse=True)
    error = float(np.sqrt((np.bincount(group, weights=influences[0] - influences[1]) ** 2).sum()))
    difference = float(means[0] - means[1])
    z = difference / error if error > 0 else float(np.sign(difference) * np.inf) if difference else 0.0
    half = float(norm.ppf(0.975)) * error
    return AreaTest(difference, error, z, float(2 * norm.sf(abs(z))), difference - half, difference + half)
