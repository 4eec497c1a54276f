"""When the values of a network's output are: where the stretches of audio that they describe have their centres.

Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks", Distill, 2019, derive the same
from kernels, strides and paddings.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TimeGrid:
    """Equally spaced centres, in samples of the waveform; the first sample fills the time from 0 to 1.

    Attributes
    ----------
    first
        Centre of what the first value depends on, padding included.
    hop
        Distance of neighbouring values.
    """

    first: float = 0.5
    hop: float = 1.0

    @classmethod
    def equal_parts(cls, samples: int, count: int) -> TimeGrid:
        """Centres of `count` equal parts of a waveform of so many samples."""
        return cls(samples / count / 2, samples / count)

    @classmethod
    def centred(cls, samples: int, count: int, hop: float) -> TimeGrid:
        """`count` values `hop` samples apart, as much of the waveform before the first as after the last."""
        return cls((samples - (count - 1) * hop) / 2, hop)

    def convolved(self, kernel: int, stride: int = 1, padding: int = 0) -> TimeGrid:
        """After a convolution or a pooling; `padding` is what is added at the beginning."""
        return TimeGrid(self.first + ((kernel - 1) / 2 - padding) * self.hop, self.hop * stride)

    def pooled(self, size: int) -> TimeGrid:
        """After pooling of `size` values that do not overlap."""
        return self.convolved(size, stride=size)

    def upsampled(self, kernel: int, stride: int) -> TimeGrid:
        """After a transposed convolution without padding."""
        hop = self.hop / stride
        return TimeGrid(self.first - (kernel - 1) / 2 * hop, hop)

    def seconds(self, count: int, sample_rate: int) -> Tensor:
        """The first `count` centres, float64 [count], on the CPU [s]."""
        return (self.first + self.hop * torch.arange(count, dtype=torch.float64)) / sample_rate
