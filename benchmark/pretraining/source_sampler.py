"""Which source of labels every step is of, and which clips it is cut from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmark.pretraining.crops import CropSampler


class SourceSampler(CropSampler):
    """A batch of one source for every step, all drawn from the seed and the number of the step alone.

    A source is drawn, each as often as any other; then a batch of clips that have it, without replacement, and a crop
    of each (Kim et al. 2020, Algorithm 1). Of a source of pairs, a batch is that of the left crops and behind it that
    of their partners: in odd rows another crop of the clip, in even ones a crop of a clip drawn from all others.

    Parameters
    ----------
    samples : sequence of int
        Length of each item [samples]; none shorter than `window`.
    window
        Length of a crop [samples].
    batch
        Items, or pairs, in a step.
    seed
        Of all randomness.
    labelled : sequence of ndarray of int
        The items of each source, as many as a batch at least.
    pairs
        Whether a source is one of pairs, for each.
    steps_per_epoch
        As the recipe says.
    part
        As of `CropSampler`.
    """

    def __init__(
        self,
        samples: Sequence[int],
        window: int,
        batch: int,
        seed: int,
        *,
        labelled: Sequence[NDArray[np.int64]],
        pairs: Sequence[bool],
        steps_per_epoch: int,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        super().__init__(samples, window, batch, seed, views=1, part=part)
        self.steps_per_epoch = steps_per_epoch
        self._labelled = labelled
        self._pairs = pairs

    def source(self, number: int) -> int:
        """Place of the source that step `number` is of."""
        return int(np.random.default_rng([self._seed, 2, number]).integers(len(self._labelled)))

    def step(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Items [n] and the starts [n, 1] of their crops; for pairs [2 n] and [2 n, 1]."""
        return self.of_source(self.source(number), number)

    def of_source(self, place: int, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """`step`, were it one of the source at a place."""
        own = self._labelled[place]
        rng = np.random.default_rng([self._seed, 0, number])
        drawn = rng.choice(len(own), self._batch, replace=False)
        sides = [drawn]
        if self._pairs[place]:
            others = (drawn + rng.integers(1, len(own), self._batch)) % len(own)
            sides.append(np.where(same_clip(self._batch), drawn, others))
        starts = np.random.default_rng([self._seed, 1, number])
        items = [own[side] for side in sides]
        cut = [self.starts(side, starts) for side in items]
        return np.concatenate([side[self.rows] for side in items]), np.concatenate([side[self.rows] for side in cut])


def same_clip(pairs: int) -> NDArray[np.bool_]:
    """Which pairs of a batch are of one clip: every second one, so that each part of the batch has as many."""
    return np.asarray(np.arange(pairs) % 2, dtype=np.bool_)
