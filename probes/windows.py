"""From windows to examples and back from examples to clips.

`first` [clips + 1] says which rows belong to a clip: ``first[c]`` up to ``first[c + 1]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probes.protocol import Unit

#: Part of a segment by which times may miss its bounds.
_ROUNDING = 1e-5


@dataclass(frozen=True)
class Windows:
    """Representations of the windows of some clips.

    Attributes
    ----------
    rows : ndarray of float32, shape [windows, D]
        Windows of a clip are neighbours, in order of time.
    first : ndarray of int64, shape [clips + 1]
        Clip `c` has the rows ``first[c]`` to ``first[c + 1]``.
    seconds : ndarray, shape [windows]
        Where in its clip each window starts [s].
    durations : ndarray, shape [clips]
        Of the clips' audio [s], which may end after the last window.
    """

    rows: NDArray[np.float32]
    first: NDArray[np.int64]
    seconds: NDArray[np.floating]
    durations: NDArray[np.floating]

    def take(self, clips: NDArray[np.integer]) -> Windows:
        """Windows of the chosen `clips`, in their order."""
        rows, first = take_clips(self.rows, self.first, clips)
        seconds = take_clips(self.seconds[:, None], self.first, clips)[0][:, 0]
        return Windows(rows, first, seconds, self.durations[clips])

    def only(self, kept: NDArray[np.bool_]) -> Windows:
        """The windows that are `kept` [windows], of the clips that have any of them."""
        sizes = np.add.reduceat(kept, self.first[:-1], dtype=np.int64)
        there = sizes > 0
        first = np.concatenate([[0], np.cumsum(sizes[there])]).astype(np.int64)
        return Windows(self.rows[kept], first, self.seconds[kept], self.durations[there])


def make_examples(
    encoders: Sequence[Windows], unit: Unit, segment_seconds: float | None, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features of the examples that clips are cut into, and which examples belong to a clip.

    Parameters
    ----------
    encoders
        Windows of the same clips by one encoder or several, whose features are put side by side.
    unit
        ``windows``: each is an example; ``random_window``: one of each clip, drawn with `seed`; ``segments``: means
        over stretches of `segment_seconds`; ``clip_mean``: one mean a clip; ``clip_mean_std``: mean and standard
        deviation side by side.
    segment_seconds
        Length of a segment [s]. A window belongs to the segment in which it starts. What is left of a clip after its
        last whole segment is dropped, as in jukemir; a clip shorter than a segment is one.
    seed
        Of ``random_window``.

    Returns
    -------
    features : ndarray of float32, shape [examples, D of all encoders]
    first : ndarray of int64, shape [clips + 1]

    Raises
    ------
    ValueError
        If several encoders' windows are to be examples and do not start at the same times, or windows are longer than
        a segment.
    """
    if unit == "clip_mean":
        means = np.hstack([clip_means(one.rows, one.first) for one in encoders])
        return means, np.arange(len(means) + 1)
    if unit == "clip_mean_std":
        both = [part for one in encoders for part in clip_means_and_deviations(one.rows, one.first)]
        return np.hstack(both), np.arange(len(both[0]) + 1)
    lead = encoders[0]
    for other in encoders[1:]:
        if not (np.array_equal(other.first, lead.first) and np.allclose(other.seconds, lead.seconds, atol=1e-3)):
            raise ValueError(
                f"protocols whose examples are {unit} need encoders whose windows start at the same times; "
                "take one that averages over clips"
            )
    rows = lead.rows if len(encoders) == 1 else np.hstack([one.rows for one in encoders])
    if unit == "windows":
        return np.ascontiguousarray(rows), lead.first
    if unit == "random_window":
        sizes = np.diff(lead.first)
        chosen = lead.first[:-1] + np.random.default_rng(seed).integers(0, sizes)
        return np.ascontiguousarray(rows[chosen]), np.arange(len(chosen) + 1)
    assert segment_seconds is not None
    return _segments(rows, lead, segment_seconds)


def _segments(
    rows: NDArray[np.float32], windows: Windows, length: float
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    first, seconds = windows.first, windows.seconds
    clips = len(first) - 1
    clip = np.repeat(np.arange(clips), np.diff(first))
    # The last window of a clip and what is left after it are together shorter than two windows.
    rest = windows.durations - seconds[first[1:] - 1]
    longest = max(float(np.diff(seconds)[np.diff(clip) == 0].max(initial=0.0)), float(rest.max()) / 2)
    if longest > length + _ROUNDING:
        raise ValueError(
            f"this protocol's examples are segments of {length:g} s, and the encoder takes {longest:.1f} s at a time; "
            "take a protocol that averages over clips"
        )
    number = (seconds / length + _ROUNDING).astype(np.int64)
    starts = np.flatnonzero(np.append(True, (np.diff(clip) != 0) | (np.diff(number) != 0)))
    whole = np.maximum((windows.durations / length + _ROUNDING).astype(np.int64), 1)
    kept = number[starts] < whole[clip[starts]]
    means = clip_means(rows, np.append(starts, len(rows)))
    counts = np.bincount(clip[starts][kept], minlength=clips)
    return means[kept], np.concatenate([[0], np.cumsum(counts)])


def clip_means(rows: NDArray[np.floating], first: NDArray[np.integer]) -> NDArray[np.float32]:
    """Mean of each clip's rows [windows, D]; shape [clips, D], summed in float64."""
    sizes = np.diff(first)
    if (sizes <= 0).any():
        raise ValueError("every clip must have at least one window")
    sums = np.add.reduceat(rows, first[:-1], axis=0, dtype=np.float64)
    return np.asarray(sums / sizes[:, None], dtype=np.float32)


def clip_means_and_deviations(
    rows: NDArray[np.floating], first: NDArray[np.integer]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation (divisor: number of windows) of each clip's rows; shapes [clips, D]."""
    means = clip_means(rows, first)
    centred = (rows - np.repeat(means, np.diff(first), axis=0)) ** 2
    return means, np.sqrt(clip_means(centred, first))


def take_clips(
    rows: NDArray[np.float32], first: NDArray[np.integer], clips: NDArray[np.integer]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Rows of the chosen `clips`, in their order, and the `first` that goes with them."""
    sizes = np.diff(first)[clips]
    chosen = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    index = np.arange(chosen[-1]) + np.repeat(first[:-1][clips] - chosen[:-1], sizes)
    return np.asarray(rows[index]), chosen


def per_window(labels: NDArray[np.generic], first: NDArray[np.integer]) -> NDArray[np.generic]:
    """Each clip's labels [clips, L] once for each of its windows; shape [windows, L]."""
    return np.repeat(labels, np.diff(first), axis=0)
