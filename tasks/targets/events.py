"""What happens when in a clip: beats, chords, notes, sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from tasks import DatasetError
from tasks.targets.base import Kind, Targets
from tasks.targets.draws import every_label
from tasks.targets.matrices import rarest


class Events(Targets):
    """Intervals and points in time, any number a clip.

    Parameters
    ----------
    names
        Of the sorts of events.
    first : ndarray of int, shape [clips + 1]
        Clip `c` has the events ``first[c]`` to ``first[c + 1]``.
    starts, ends : ndarray, shape [events]
        From the beginning of the clip [s]; both are the same for a point in time.
    sorts : ndarray of int, shape [events]
        Index of each event's name.

    Raises
    ------
    DatasetError
        If the shapes do not fit together, an event ends before it starts, or has no name.
    """

    kind: ClassVar[Kind] = "events"

    def __init__(
        self,
        names: Sequence[str],
        first: NDArray[Any],
        starts: NDArray[Any],
        ends: NDArray[Any],
        sorts: NDArray[Any],
    ) -> None:
        super().__init__(names)
        self.first = np.asarray(first, dtype=np.int64)
        self.starts, self.ends = np.asarray(starts, dtype=np.float64), np.asarray(ends, dtype=np.float64)
        self.sorts = np.asarray(sorts, dtype=np.int64)
        counts = {len(self.starts), len(self.ends), len(self.sorts), int(self.first[-1])}
        if len(counts) > 1 or self.first[0] != 0 or (np.diff(self.first) < 0).any():
            raise DatasetError("events must have a start, an end and a sort each, and all belong to clips")
        if not (self.starts <= self.ends).all():
            raise DatasetError("an event ends before it starts")
        if len(self.sorts) and not 0 <= self.sorts.min() <= self.sorts.max() < len(self.names):
            raise DatasetError(f"sorts of events must be indices of {len(self.names)} names")

    def __len__(self) -> int:
        return len(self.first) - 1

    @property
    def values(self) -> Self:
        """The events themselves: metrics compare them with events that are predicted."""
        return self

    def __getitem__(self, rows: NDArray[Any]) -> Self:
        return self.take(rows)

    @property
    def held(self) -> NDArray[np.bool_]:
        """Whether a clip has an event of each sort [clips, sorts]."""
        held = np.zeros((len(self), len(self.names)), dtype=np.bool_)
        held[np.repeat(np.arange(len(self)), np.diff(self.first)), self.sorts] = True
        return held

    def holders(self) -> NDArray[np.bool_]:
        """As `held`."""
        return self.held

    def at(self, seconds: NDArray[np.floating], first: NDArray[np.integer] | None = None) -> NDArray[np.int8]:
        """Targets of frames, 1 where an event goes on.

        An interval goes on from its start up to, not including, its end. A point in time is at the frame of its clip
        that is nearest to it, the earlier one of two.

        Parameters
        ----------
        seconds : ndarray, shape [frames]
            Centre of each frame from the beginning of its clip [s], ascending within a clip.
        first : ndarray of int, shape [clips + 1], optional
            Clip `c` has the frames ``first[c]`` to ``first[c + 1]``; may be left out of a single clip.

        Returns
        -------
        ndarray of int8, shape [frames, sorts]

        Raises
        ------
        ValueError
            If the frames are not those of as many clips.
        """
        bounds = np.array([0, len(seconds)]) if first is None else np.asarray(first)
        if len(bounds) != len(self.first) or bounds[-1] != len(seconds):
            raise ValueError(f"frames of {len(bounds) - 1} clips, and events of {len(self)}")
        found = np.zeros((len(seconds), len(self.names)), dtype=np.int8)
        for clip in range(len(self)):
            times = seconds[bounds[clip] : bounds[clip + 1]]
            rows = found[bounds[clip] : bounds[clip + 1]]
            if not len(times):
                continue
            for event in range(self.first[clip], self.first[clip + 1]):
                start, end = self.starts[event], self.ends[event]
                if start == end:
                    rows[np.abs(times - start).argmin(), self.sorts[event]] = 1
                else:
                    rows[np.searchsorted(times, start) : np.searchsorted(times, end), self.sorts[event]] = 1
        return found

    def take(self, rows: NDArray[Any]) -> Self:
        """Those of the clips at `rows`, in that order."""
        chosen = np.arange(len(self))[rows]
        sizes = np.diff(self.first)[chosen]
        first = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        events = np.arange(first[-1]) + np.repeat(self.first[:-1][chosen] - first[:-1], sizes)
        return type(self)(self.names, first, self.starts[events], self.ends[events], self.sorts[events])

    def strata(self, each: int = 1) -> NDArray[np.int64]:
        """The sort of each clip that the fewest clips have, -1 for a clip without events."""
        del each
        return rarest(self.held)

    def _shots(self, k: int, shuffled: NDArray[np.int64]) -> NDArray[np.int64]:
        return every_label(self.held, shuffled, k)

    def content(self) -> list[Any]:
        """Beginnings of clips, starts, ends and sorts."""
        return [part.tolist() for part in (self.first, self.starts, self.ends, self.sorts)]

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"first": self.first, "starts": self.starts, "ends": self.ends, "sorts": self.sorts}

    @classmethod
    def from_arrays(cls, names: Sequence[str], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """What `arrays` was made of."""
        return cls(names, arrays["first"], arrays["starts"], arrays["ends"], arrays["sorts"])
