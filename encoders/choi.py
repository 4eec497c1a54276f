"""The tagger of Choi et al.: five small convolutions, each of which is heard through its mean.

Source: Choi, Fazekas, Sandler and Cho, "Transfer learning for music classification and regression tasks", ISMIR 2017,
section 3, and the released code (commit e1f83c3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from encoders.base import Encoder
from encoders.spectrograms import LogMel
from encoders.time_grid import TimeGrid

#: Max-pooling over mel bands and time behind each convolution.
POOLS = ((2, 4), (3, 4), (2, 5), (2, 4), (4, 4))
CHANNELS = 32
FFT, HOP = 512, 256
#: Zeros on either side, so that 348,000 samples give 1,360 frames.
PADDING = 208
#: As Keras's batch norm has it by default.
EPSILON = 1e-3


class Choi(Encoder):
    """Means of the five blocks' outputs over mel bands and time: 160 values for the first 29 s of a clip.

    Its batch norm has no running statistics: also what is encoded is normalised by its batch (Keras's mode 2), so that
    the values of a clip would depend on what is encoded with it. Here every clip is normalised by itself, which is what
    the released code does, for it encodes one at a time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sample_rate = 12_000
        self.window = self.max_window = 348_000
        self.front_end = LogMel(
            sample_rate=self.sample_rate,
            fft=FFT,
            hop=HOP,
            bands=96,
            padding="none",
            compression="decibels",
            depth=80.0,
        )
        self.blocks = nn.ModuleList(
            Block(before, pool) for before, pool in zip([1, *[CHANNELS] * 4], POOLS, strict=True)
        )
        self.dim = len(POOLS) * CHANNELS

    def layers(self) -> tuple[str, ...]:
        """``block_1`` to ``block_5``, of which the representation is made."""
        return tuple(f"block_{number}" for number in range(1, len(self.blocks) + 1))

    def represent(self, waveform: Tensor, layers: Sequence[str] = ()) -> tuple[Tensor, Mapping[str, Tensor]]:
        """See `Encoder.represent`; outputs of layers are means over mel bands and time."""
        return self.trunk(self.features(waveform), layers)

    def features(self, waveform: Tensor) -> Tensor:
        """Levels [B, 96, t] of waveforms [B, 1, T], in decibels below the loudest; see `FrontEndAndTrunk`."""
        with torch.autocast(waveform.device.type, enabled=False):
            levels = self.front_end(F.pad(waveform[:, 0], (PADDING, PADDING)))
            return levels - levels.amax(dim=(1, 2), keepdim=True)

    def trunk(self, features: Tensor, layers: Sequence[str] = ()) -> tuple[Tensor, Mapping[str, Tensor]]:
        """See `FrontEndAndTrunk.trunk`."""
        means = dict(zip(self.layers(), (x.mean(dim=(2, 3)) for x in self._outputs(features)), strict=True))
        return torch.cat(list(means.values()), dim=1), {name: means[name] for name in layers}

    def unpublished(self) -> tuple[str, ...]:
        """The window and the mel filters."""
        return ("front_end.",)

    def frames(self, waveform: Tensor, layer: str | None = None) -> tuple[Tensor, Tensor]:
        """Output of a block over time, as its mean over mel bands; by default the representation, as one frame.

        See `Encoder.frames`.
        """
        if layer is None:
            return super().frames(waveform)
        self._check_input(waveform)
        self._check_layer(layer)
        number = self.layers().index(layer)
        x = self._outputs(self.features(waveform))[number]
        grid = TimeGrid(FFT / 2 - PADDING, HOP)
        for _, pool in POOLS[: number + 1]:
            grid = grid.pooled(pool)
        if x.shape[3] == 1:
            grid = TimeGrid.equal_parts(waveform.shape[2], 1)
        return x.mean(dim=2).transpose(1, 2), grid.seconds(x.shape[3], self.sample_rate)

    def _outputs(self, features: Tensor) -> list[Tensor]:
        x = features.unsqueeze(1)
        found = []
        for block in self.blocks:
            x = cast(Tensor, block(x))
            found.append(x)
        return found


class Block(nn.Module):
    """Convolution, normalisation of each clip's maps, exponential linear unit, max-pool."""

    def __init__(self, channels_in: int, pool: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, CHANNELS, 3, padding=1)
        nn.init.kaiming_normal_(self.conv.weight)
        nn.init.zeros_(cast(Tensor, self.conv.bias))
        self.norm = nn.InstanceNorm2d(CHANNELS, eps=EPSILON, affine=True)
        self._pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels_in, bands, t] -> [B, 32, bands / pool, t / pool]."""
        return F.max_pool2d(F.elu(self.norm(self.conv(x))), self._pool)
