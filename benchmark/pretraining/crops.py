"""Random crops of a corpus, cut where the training happens.

A corpus that fits lives on the device as int16 and is gathered there; one that does not stays in its memory map,
and a thread cuts the crops of coming steps into pinned memory, from where they are copied while the device works.
What is cut depends on the seed and the number of the step alone, so training can stop and go on anywhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.pcm import Pcm, PcmClip

Residence = Literal["device", "stream"]
#: Share of the free device memory that a resident corpus may take.
RESIDENT_SHARE = 0.5
#: Steps cut ahead of the one in training.
AHEAD = 3
VIEWS = 2


class CropSampler:
    """Which clips, and where in them, every step of a training run is cut from.

    Every epoch visits each clip once, in an order of its own; a last incomplete batch is dropped.

    Parameters
    ----------
    samples : sequence of int
        Length of each clip [samples]; none shorter than `window`.
    window
        Length of a crop [samples].
    batch
        Pairs of crops in a step.
    seed
        Of all randomness.
    """

    def __init__(self, samples: Sequence[int], window: int, batch: int, seed: int) -> None:
        self.steps_per_epoch = len(samples) // batch
        self._free = np.asarray(samples, dtype=np.int64) - window + 1
        self._batch = batch
        self._seed = seed

    def step(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Clips [batch] and, for each, the starts [batch, 2] of two independent crops; `number` counts from 0."""
        epoch, position = divmod(number, self.steps_per_epoch)
        order = np.random.default_rng([self._seed, 0, epoch]).permutation(len(self._free))
        clips = order[position * self._batch : (position + 1) * self._batch].astype(np.int64)
        return clips, self.starts(clips, np.random.default_rng([self._seed, 1, number]))

    def starts(self, clips: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Starts [clips, 2], uniform over all places where a crop fits, ends included."""
        return rng.integers(0, self._free[clips][:, None], size=(len(clips), VIEWS))


class Crops:
    """Cuts crops of a corpus and brings them to the device.

    Parameters
    ----------
    pcm, clips
        The corpus.
    window
        Length of a crop [samples].
    device
        Where crops are wanted.
    residence
        Force the corpus onto the device or leave it in its file; by default whichever fits.
    """

    def __init__(
        self, pcm: Pcm, clips: Sequence[PcmClip], window: int, device: torch.device, residence: Residence | None = None
    ) -> None:
        self.residence: Residence = residence or _fitting(clips, device)
        self._device = device
        self._window = window
        self._pcm = pcm
        self._at = np.array([clip.start for clip in clips], dtype=np.int64)
        self._pool = ThreadPoolExecutor(1)
        self._pending: deque[tuple[int, Future[Tensor]]] = deque()
        if self.residence == "device" and device.type != "cpu":
            parts = [torch.from_numpy(np.ascontiguousarray(pcm.waveform(clip))) for clip in clips]
            lengths = np.array([clip.samples for clip in clips], dtype=np.int64)
            self._at = np.concatenate([[0], np.cumsum(lengths)])[:-1]
            self._resident = torch.empty(int(lengths.sum()), dtype=torch.int16, device=device)
            for part, start in zip(parts, self._at.tolist(), strict=True):
                self._resident[start : start + len(part)] = part.to(device)

    def cut(self, clips: NDArray[np.int64], starts: NDArray[np.int64]) -> Tensor:
        """Crops [2, batch, window] of int16 on the device, for `clips` [batch] and `starts` [batch, 2]."""
        if self.residence == "device" and self._device.type != "cpu":
            where = torch.from_numpy((self._at[clips][:, None] + starts).T.copy()).to(self._device, non_blocking=True)
            return self._resident[where[:, :, None] + torch.arange(self._window, device=self._device)]
        return self._cut_on_host(clips, starts).to(self._device, non_blocking=True)

    def cut_step(self, sampler: CropSampler, number: int, last: int) -> Tensor:
        """`cut` for a step of `sampler`; while it is trained on, the steps up to `last` behind it are cut ahead."""
        if self.residence == "device":
            return self.cut(*sampler.step(number))
        if not self._pending or self._pending[0][0] != number:
            self._pending.clear()
        ahead = self._pending[-1][0] + 1 if self._pending else number
        for step in range(ahead, min(number + AHEAD, last) + 1):
            self._pending.append((step, self._pool.submit(self._cut_on_host, *sampler.step(step))))
        return self._pending.popleft()[1].result().to(self._device, non_blocking=True)

    def _cut_on_host(self, clips: NDArray[np.int64], starts: NDArray[np.int64]) -> Tensor:
        out = torch.empty((VIEWS, len(clips), self._window), dtype=torch.int16, pin_memory=self._device.type == "cuda")
        rows = out.numpy()
        for row, (clip, pair) in enumerate(zip(self._at[clips].tolist(), starts.tolist(), strict=True)):
            for view, start in enumerate(pair):
                rows[view, row] = self._pcm.samples[clip + start : clip + start + self._window]
        return out


def _fitting(clips: Sequence[PcmClip], device: torch.device) -> Residence:
    if device.type != "cuda":
        return "device"  # the memory map is the device's memory
    needed = 2 * sum(clip.samples for clip in clips)
    free, _ = torch.cuda.mem_get_info(device)
    return "device" if needed < RESIDENT_SHARE * free else "stream"
