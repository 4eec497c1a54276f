"""How many events are found, and how many of those found are there: F-measures of points in time and of intervals.

An event that is estimated is a hit if it can be matched with one of the labels, each with one other at most, so that
there are as many hits as possible. A clip's F-measure is 2 hits / (labels + estimates), and the score is the mean over
clips: of each sort of events, averaged over sorts, but for `boundary_f1`, which asks for no sort. A clip that neither
has nor is said to have such events is left out; one of the two alone scores 0.

* `onset_f1`, `beat_f1`: the beginnings of both lie within 50 ms, or 70 ms, of one another.
* `boundary_f1`: beginnings and ends of both are boundaries, once each, and lie within 0.5 s of one another.
* `interval_f1`: beginnings lie within 50 ms, and ends within 50 ms or a fifth of the label's length if that is more.

The floor is the events of one training clip, given for every clip: that clip, of up to 20 taken evenly from the table,
whose events score best on all training clips.

Sources
-------
mir_eval 0.8 (Raffel et al. 2014): `onset.f_measure`, `beat.f_measure`, `segment.detection` without trimming, and
`transcription.precision_recall_f1_overlap` with the sort in place of the pitch. A clip without any event of either side
scores 0 there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tasks.metrics.metric import Array, Compute, Counts, Metric, macro, mean_over_units
from tasks.targets import Events

ONSET_SECONDS = 0.05
BEAT_SECONDS = 0.07
BOUNDARY_SECONDS = 0.5
#: Share of an interval's length that its end may be off.
OFFSET_SHARE = 0.2
#: Training clips whose events are tried as the constant prediction.
CANDIDATES = 20

#: Of one clip and sort: start and end [events, 2] of labels and of estimates -> number of labels, estimates, hits
_Matcher = Callable[[Array, Array], tuple[int, int, int]]


def matched_points(labels: Array, estimates: Array, tolerance: float) -> int:
    """Largest number of pairs of points within `tolerance` of one another, each point in one pair at most.

    Parameters
    ----------
    labels, estimates : ndarray, shapes [n] and [m]
        Ascending [s].
    tolerance
        Largest distance [s], inclusive.
    """
    hits = label = estimate = 0
    # The first points of both either match, or the earlier one matches nothing that is left.
    while label < len(labels) and estimate < len(estimates):
        ahead = estimates[estimate] - labels[label]
        hits += int(abs(ahead) <= tolerance)
        label, estimate = label + int(ahead >= -tolerance), estimate + int(ahead <= tolerance)
    return hits


def matched_intervals(labels: Array, estimates: Array) -> int:
    """Largest number of pairs of intervals [n, 2] and [m, 2] whose beginnings and ends are near one another [s]."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    # Rounded as mir_eval does, lest a distance of exactly the tolerance depend on its last bit.
    away = np.round(np.abs(labels[:, None] - estimates[None]), 4)
    allowed = np.maximum(ONSET_SECONDS, OFFSET_SHARE * (labels[:, 1] - labels[:, 0]))
    near = (away[..., 0] <= ONSET_SECONDS) & (away[..., 1] <= allowed[:, None])
    return int((maximum_bipartite_matching(csr_array(near)) >= 0).sum()) if near.any() else 0


def _points(labels: Array, estimates: Array, tolerance: float) -> tuple[int, int, int]:
    hits = matched_points(np.sort(labels[:, 0]), np.sort(estimates[:, 0]), tolerance)
    return len(labels), len(estimates), hits


def _boundaries(labels: Array, estimates: Array) -> tuple[int, int, int]:
    own, found = (np.unique(np.round(both, 5)) for both in (labels, estimates))
    return len(own), len(found), matched_points(own, found, BOUNDARY_SECONDS)


def _intervals(labels: Array, estimates: Array) -> tuple[int, int, int]:
    return len(labels), len(estimates), matched_intervals(labels, estimates)


def _of_clips(labels: Events, estimates: Events, matcher: _Matcher, by_sort: bool) -> Array:
    """F-measure of each clip [clips, sorts], or [clips, 1] of all sorts as one; NaN where there is nothing."""
    found = np.full((len(labels), len(labels.names) if by_sort else 1), np.nan)
    for clip in range(len(labels)):
        (own, own_sorts), (guess, guess_sorts) = (_clip(events, clip) for events in (labels, estimates))
        for part in range(found.shape[1]):
            chosen = (own[own_sorts == part], guess[guess_sorts == part]) if by_sort else (own, guess)
            there, said, hits = matcher(*chosen)
            if there + said:
                found[clip, part] = 2 * hits / (there + said)
    return found


def _clip(events: Events, clip: int) -> tuple[Array, NDArray[np.int64]]:
    """Start and end [events, 2], and sort [events], of a clip's events."""
    own = slice(events.first[clip], events.first[clip + 1])
    return np.stack([events.starts[own], events.ends[own]], axis=1), events.sorts[own]


def _f_measure(
    labels: Events, estimates: Events, counts: Counts | None, *, matcher: _Matcher, by_sort: bool = True
) -> Array:
    return mean_over_units(_of_clips(labels, estimates, matcher, by_sort), counts)


def _best_clip(compute: Compute, labels: Events, outputs: int) -> Events:
    """Events of the training clip that score best when they are said of all of them."""
    del outputs
    rows = np.unique(np.linspace(0, len(labels) - 1, min(len(labels), CANDIDATES)).round().astype(np.int64))
    candidates = [labels.take(np.array([row])) for row in rows]
    everywhere = np.zeros(len(labels), dtype=np.int64)
    scores = [macro(compute(labels, one.take(everywhere), None)) for one in candidates]
    return candidates[int(np.argmax(np.nan_to_num(scores, nan=-1.0)))]


def _every_clip(labels: Events) -> NDArray[np.bool_]:
    return np.ones(len(labels), dtype=np.bool_)


onset_f1 = Metric(
    name="onset_f1",
    graded=True,
    title="onset F1",
    kind="events",
    compute=partial(_f_measure, matcher=partial(_points, tolerance=ONSET_SECONDS)),
    fit_constant=_best_clip,
    by_label=True,
    lowest=0.0,
    highest=1.0,
    source="mir_eval 0.8 onset.f_measure (50 ms), mean over clips",
    clips=_every_clip,
)
beat_f1 = Metric(
    name="beat_f1",
    graded=True,
    title="beat F1",
    kind="events",
    compute=partial(_f_measure, matcher=partial(_points, tolerance=BEAT_SECONDS)),
    fit_constant=_best_clip,
    by_label=True,
    lowest=0.0,
    highest=1.0,
    source="mir_eval 0.8 beat.f_measure (70 ms), nothing trimmed, mean over clips",
    clips=_every_clip,
)
boundary_f1 = Metric(
    name="boundary_f1",
    graded=True,
    title="boundary F1",
    kind="events",
    compute=partial(_f_measure, matcher=_boundaries, by_sort=False),
    fit_constant=_best_clip,
    by_label=False,
    lowest=0.0,
    highest=1.0,
    source="mir_eval 0.8 segment.detection (0.5 s, trim=False), mean over clips",
    clips=_every_clip,
)
interval_f1 = Metric(
    name="interval_f1",
    graded=True,
    title="interval F1",
    kind="events",
    compute=partial(_f_measure, matcher=_intervals),
    fit_constant=_best_clip,
    by_label=True,
    lowest=0.0,
    highest=1.0,
    source="mir_eval 0.8 transcription.precision_recall_f1_overlap (50 ms, 20 %), mean over clips",
    clips=_every_clip,
)
