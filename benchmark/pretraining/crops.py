"""Random crops of a corpus, cut where the training happens.

A corpus that fits lives on the device as int16 and is gathered there; one that does not stays in its memory map,
and a thread cuts the crops of coming steps into pinned memory, from where they are copied while the device works.
What is cut depends on the seed and the number of the step alone, so training can stop and go on anywhere.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.errors import UserError
from benchmark.pretraining.items import Item
from benchmark.store.pcm import Pcm
from encoders.base import Encoder

Residence = Literal["device", "stream"]
#: Share of the free device memory that a resident corpus may take.
RESIDENT_SHARE = 0.5
#: Steps cut ahead of the one in training.
AHEAD = 3
VIEWS = 2


def training_window(encoder: Encoder, crop_seconds: float | None) -> int:
    """Length of the crops that an encoder is trained on [samples].

    Parameters
    ----------
    encoder
        What is trained.
    crop_seconds
        What the recipe says [s]; ``None`` for the encoder's window, or the most that it takes at once.

    Raises
    ------
    UserError
        If the encoder does not take crops of that length.
    """
    longest = encoder.view_samples()
    if crop_seconds is None:
        return longest
    samples, rate = round(crop_seconds * encoder.sample_rate), encoder.sample_rate
    if encoder.window is not None and samples != encoder.window:
        raise UserError(
            f"crop_seconds={crop_seconds:g}: the encoder takes windows of {encoder.window} samples at {rate} Hz and no "
            f"others; leave it out, or say {encoder.window / rate:.6g}"
        )
    if not 0 < samples <= longest:
        raise UserError(
            f"crop_seconds={crop_seconds:g}: the encoder takes at most {longest} samples at {rate} Hz, which is "
            f"{longest / rate:.6g} s; say a smaller one"
        )
    return samples


class CropSampler:
    """Which items, and where in them, every step of a training run is cut from.

    Every epoch visits each item once, in an order of its own; a last incomplete batch is dropped. With replacement
    every item of a batch is drawn from all.

    Parameters
    ----------
    samples : sequence of int
        Length of each item [samples]; none shorter than `window`.
    window
        Length of a crop [samples].
    batch
        Items in a step.
    seed
        Of all randomness.
    views
        Crops of each item.
    replacement
        Whether to draw from all items each time.
    within
        How far the others start from the first of them, at most [samples]; ``None`` for anywhere in the item.
    part
        Which of how many equal parts of every batch is wanted here: rank and number of processes.

    Attributes
    ----------
    steps_per_epoch
        Steps in which every item is visited once; with replacement, as many crops as there are items are cut in them.
    world, rows
        Number of parts, and the rows of a batch that make up this one.
    """

    def __init__(
        self,
        samples: Sequence[int],
        window: int,
        batch: int,
        seed: int,
        *,
        views: int = VIEWS,
        replacement: bool = False,
        within: int | None = None,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        self.steps_per_epoch = len(samples) // batch
        self._views = views
        self._replacement = replacement
        self._within = within
        rank, self.world = part
        self.rows = slice(batch * rank // self.world, batch * (rank + 1) // self.world)
        self._free = np.asarray(samples, dtype=np.int64) - window + 1
        self._batch = batch
        self._seed = seed
        self._order: tuple[int, NDArray[np.int64]] | None = None

    def step(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Items [n] and, for each, the starts [n, views] of its crops; `number` counts from 0.

        n is the batch, or this part's share of it.
        """
        if self._replacement:
            items = np.random.default_rng([self._seed, 0, number]).integers(0, len(self._free), self._batch)
        else:
            items = self._visited(number)
        starts = self.starts(items, np.random.default_rng([self._seed, 1, number]))
        return items[self.rows], starts[self.rows]

    def _visited(self, number: int) -> NDArray[np.int64]:
        epoch, position = divmod(number, self.steps_per_epoch)
        if self._order is None or self._order[0] != epoch:
            shuffled = np.random.default_rng([self._seed, 0, epoch]).permutation(len(self._free))
            self._order = epoch, shuffled.astype(np.int64)
        return self._order[1][position * self._batch : (position + 1) * self._batch]

    def starts(self, items: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Starts [items, views], uniform over all places where a crop fits, ends included, and that are near enough."""
        free = self._free[items][:, None]
        if self._within is None:
            return rng.integers(0, free, size=(len(items), self._views))
        first = rng.integers(0, free)
        low, high = np.maximum(first - self._within, 0), np.minimum(first + self._within + 1, free)
        return np.concatenate([first, rng.integers(low, high, size=(len(items), self._views - 1))], axis=1)


class Crops:
    """Cuts crops of a corpus and brings them to the device.

    Parameters
    ----------
    pcm, items
        The corpus.
    window
        Length of a crop [samples].
    device
        Where crops are wanted.
    residence
        Force the corpus onto the device or leave it in its file; by default whichever fits.

    Attributes
    ----------
    waited
        How long training has waited for crops so far [s].
    """

    def __init__(
        self, pcm: Pcm, items: Sequence[Item], window: int, device: torch.device, residence: Residence | None = None
    ) -> None:
        self.residence: Residence = residence or _fitting(items, device)
        self.waited = 0.0
        self._device = device
        self._window = window
        self._pcm = pcm
        self._items = items
        self._pool = ThreadPoolExecutor(1)
        self._pending: deque[tuple[int, Future[Tensor]]] = deque()
        self._resident: Tensor | None = None
        if self.residence == "device" and _has_memory_of_its_own(device):
            # The clips of an item lie side by side here, so that every crop is one run of samples.
            lengths = np.array([item.samples for item in items], dtype=np.int64)
            self._at = np.concatenate([[0], np.cumsum(lengths)])[:-1]
            self._resident = torch.empty(int(lengths.sum()), dtype=torch.int16, device=device)
            filled = 0
            for clip in (clip for item in items for clip in item.clips):
                samples = torch.from_numpy(np.array(pcm.waveform(clip)))  # a copy: the memory map is read-only
                self._resident[filled : filled + clip.samples] = samples.to(device)
                filled += clip.samples

    def close(self) -> None:
        """Give back memory and thread, when no more is to be cut."""
        self._resident = None
        self._pending.clear()
        self._pool.shutdown(cancel_futures=True)

    def cut(self, items: NDArray[np.int64], starts: NDArray[np.int64]) -> Tensor:
        """Crops [views, n, window] of int16 on the device, for `items` [n] and `starts` [n, views]."""
        if self._resident is not None:
            where = torch.from_numpy((self._at[items][:, None] + starts).T.copy()).to(self._device, non_blocking=True)
            return self._resident[where[:, :, None] + torch.arange(self._window, device=self._device)]
        return self._cut_on_host(items, starts).to(self._device, non_blocking=True)

    def cut_step(self, sampler: CropSampler, number: int, last: int) -> Tensor:
        """`cut` for a step of `sampler`; while it is trained on, the steps up to `last` behind it are cut ahead."""
        began = perf_counter()
        crops = self._cut_step(sampler, number, last)
        self.waited += perf_counter() - began
        return crops

    def _cut_step(self, sampler: CropSampler, number: int, last: int) -> Tensor:
        if self.residence == "device":
            return self.cut(*sampler.step(number))
        if not self._pending or self._pending[0][0] != number:
            self._pending.clear()
        ahead = self._pending[-1][0] + 1 if self._pending else number
        for step in range(ahead, min(number + AHEAD, last) + 1):
            self._pending.append((step, self._pool.submit(self._cut_on_host, *sampler.step(step))))
        return self._pending.popleft()[1].result().to(self._device, non_blocking=True)

    def _cut_on_host(self, items: NDArray[np.int64], starts: NDArray[np.int64]) -> Tensor:
        count, views = starts.shape
        out = torch.empty((views, count, self._window), dtype=torch.int16, pin_memory=self._device.type == "cuda")
        rows = out.numpy()
        for row, (item, places) in enumerate(zip(items.tolist(), starts.tolist(), strict=True)):
            for view, start in enumerate(places):
                self._copy(self._items[item], start, rows[view, row])
        return out

    def _copy(self, item: Item, start: int, out: NDArray[np.int16]) -> None:
        """Fill `out` with the samples of an item from `start` on, across the seams between its clips."""
        filled = 0
        for clip in item.clips:
            if filled < len(out) and start < clip.samples:
                part = self._pcm.samples[clip.start + start : clip.start + min(start + len(out) - filled, clip.samples)]
                out[filled : filled + len(part)] = part
                filled += len(part)
            start = max(start - clip.samples, 0)


def _has_memory_of_its_own(device: torch.device) -> bool:
    return device.type != "cpu"  # there the memory map is the device's memory


def _fitting(items: Sequence[Item], device: torch.device) -> Residence:
    if device.type != "cuda":
        return "device"
    needed = 2 * sum(item.samples for item in items)
    # What earlier work of this process has left, and what PyTorch keeps of it for later, is free as well.
    gc.collect()
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    return "device" if needed < RESIDENT_SHARE * free else "stream"
