"""Statistics of a corpus that an encoder standardises by: taken before it is trained, and part of its weights after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from benchmark.console import Reporter
from benchmark.encoding.windows import cut_windows, exact_float32, to_waveform
from benchmark.pretraining.items import Item
from benchmark.store.pcm import Pcm
from encoders.base import Encoder
from encoders.capabilities import CorpusStatistics

#: Windows of a length that are looked at together.
BATCH = 64


def standardise(encoder: Encoder, pcm: Pcm, items: Sequence[Item], reporter: Reporter) -> None:
    """Give an encoder, where it is, the statistics of every window of the clips that it will be trained on.

    Windows stand side by side, as when clips are encoded.
    """
    assert isinstance(encoder, CorpusStatistics)
    clips = [clip for item in items for clip in item.clips]
    where = next(encoder.parameters()).device
    with reporter.progress("statistics of the corpus", len(clips), "clips") as advance:

        def windows() -> Iterator[Tensor]:
            waiting: list[np.ndarray] = []
            for clip in clips:
                for window in cut_windows(pcm.waveform(clip), encoder):
                    if len(waiting) == BATCH or (waiting and len(waiting[0]) != len(window)):
                        yield _waveforms(waiting, where)
                        waiting = []
                    waiting.append(window)
                advance(1)
            if waiting:
                yield _waveforms(waiting, where)

        with torch.no_grad(), exact_float32():
            encoder.fit_statistics(windows())


def _waveforms(windows: Sequence[np.ndarray], where: torch.device) -> Tensor:
    return to_waveform(torch.from_numpy(np.stack(windows)).to(where)).unsqueeze(1)
