"""How near an estimated musical key is to the true one.

The same key scores 1; the same mode a fifth higher 0.5; the relative major or minor 0.3; the parallel major or minor
0.2; anything else 0. The score is the mean over songs. Two definitions are in use:

* `key_weighted`, which the papers report: only an estimate a fifth *above* the true key earns the 0.5.
* `key_weighted_mirex`: an estimate a fifth below earns it too, as in the MIREX evaluation since 2017.

Sources
-------
`mir_eval.key.weighted_score` of mir_eval 0.8 for the first; later versions of mir_eval have both, the second as
``allow_descending_fifths=True``. MIREX Audio Key Detection.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from tasks.metrics.classification import best_class
from tasks.metrics.metric import Array, Counts, Labels, Metric, Predictions, mean_over_units

_TONICS = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")

#: The 24 keys, majors first, by semitones above C, spelt with flats as mir_eval and jukemir spell them.
KEYS: tuple[str, ...] = tuple(f"{tonic} {mode}" for mode in ("major", "minor") for tonic in _TONICS)


def key_weights(descending_fifths: bool) -> NDArray[np.float64]:
    """Score of each estimate for each true key, shape [24 true, 24 estimated], in the order of `KEYS`.

    Parameters
    ----------
    descending_fifths
        Whether an estimate a fifth below the true key scores 0.5 as well.
    """
    weights = np.zeros((24, 24))
    for tonic in range(12):
        major, minor = tonic, 12 + tonic
        for key, mode in ((major, 0), (minor, 12)):
            weights[key, key] = 1.0
            weights[key, mode + (tonic + 7) % 12] = 0.5
            if descending_fifths:
                weights[key, mode + (tonic + 5) % 12] = 0.5
        weights[major, 12 + (tonic + 9) % 12] = weights[minor, (tonic + 3) % 12] = 0.3
        weights[major, minor] = weights[minor, major] = 0.2
    return weights


def _weighted(weights: NDArray[np.float64], labels: Labels, probabilities: Predictions, counts: Counts | None) -> Array:
    return mean_over_units(weights[labels[:, 0].astype(np.intp), probabilities.argmax(axis=1)], counts)


key_weighted = Metric(
    name="key_weighted",
    title="weighted key score",
    kind="multiclass",
    compute=partial(_weighted, key_weights(descending_fifths=False)),
    fit_constant=best_class,
    by_label=False,
    lowest=0.0,
    highest=1.0,
    source="mir_eval 0.8 key.weighted_score, mean over songs",
    label_names=KEYS,
)
key_weighted_mirex = Metric(
    name="key_weighted_mirex",
    title="weighted key score, MIREX",
    kind="multiclass",
    compute=partial(_weighted, key_weights(descending_fifths=True)),
    fit_constant=best_class,
    by_label=False,
    lowest=0.0,
    highest=1.0,
    source="MIREX Audio Key Detection since 2017, mean over songs",
    label_names=KEYS,
)
