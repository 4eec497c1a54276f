"""SF-NFNet-F0 as MULE's released model has it: two normaliser-free paths over a spectrogram, a slow and a fast one.

McCallum et al., "Supervised and unsupervised learning of audio representations for music understanding", ISMIR 2022,
section 2.1, after Brock et al., "High-performance large-scale image recognition without normalization", 2021, and
Feichtenhofer et al., "SlowFast networks for video recognition", 2019. Where text and released model differ, it is the
model that is followed. Axes are [batch, channels, frequency, time]; kernels and strides are written (frequency, time).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from encoders import EncoderError
from encoders.time_grid import TimeGrid

DEPTHS = (1, 2, 6, 3)
#: Stages whose first block halves the frequency axis.
_HALVED = (False, True, True, True)
#: Share of a residual branch that is added, to hold the variance of a stack of blocks (alpha).
_RESIDUAL = 0.2
#: Probability that the last block of a path is left out for an example in training; the first never is.
_DROP = 0.1
#: What brings the variance of GELU of a standard normal number back to 1.
_GELU_GAIN = 1.7015043497085571


class _PathSizes(NamedTuple):
    """Channels of a path at full width, and its stem's kernels and strides."""

    stem: tuple[int, ...]
    kernels: tuple[tuple[int, int], ...]
    strides: tuple[tuple[int, int], ...]
    stages: tuple[int, ...]
    group: int


SLOW = _PathSizes(
    (16, 32, 64, 128), ((3, 1), (3, 1), (3, 1), (3, 3)), ((2, 8), (1, 1), (1, 1), (2, 2)), (256, 512, 1536, 1536), 128
)
FAST = _PathSizes((2, 4, 8, 16), ((3, 3),) * 4, ((2, 2), (1, 1), (1, 1), (2, 2)), (32, 64, 192, 192), 16)
#: Channels of the two convolutions that bring the fast path to the slow one, before each stage.
_FUSED = ((32, 128), (32, 256), (64, 512), (192, 3072))


def activate(x: Tensor) -> Tensor:
    """GELU, scaled so that it keeps the variance of standard normal input."""
    return _GELU_GAIN * F.gelu(x)


def padding_before(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after so many values, for ceil(size / stride) outputs; the odd one comes after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class StandardisedConv2d(nn.Module):
    """Convolution whose weights are standardised for each output channel, and scaled by a learned gain.

    Parameters
    ----------
    channels_in, channels_out
        Numbers of channels.
    kernel, stride
        (frequency, time).
    groups
        Parts that the channels are divided into.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: tuple[int, int] = (1, 1),
        stride: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> None:
        super().__init__()
        shape = channels_out, channels_in // groups, *kernel
        self.fan_in = math.prod(shape[1:])
        self.weight = nn.Parameter(torch.randn(shape) / math.sqrt(self.fan_in))
        self.gain = nn.Parameter(torch.ones(channels_out))
        self.bias = nn.Parameter(torch.zeros(channels_out))
        self.kernel, self.stride, self.groups = kernel, stride, groups

    def standardised(self) -> Tensor:
        """Weights [out, in / groups, frequency, time] that the convolution uses."""
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), correction=0, keepdim=True)
        scale = torch.rsqrt((variance * self.fan_in).clamp_min(1e-4)) * self.gain.view(-1, 1, 1, 1)
        return (self.weight - mean) * scale

    def forward(self, x: Tensor) -> Tensor:
        """[B, in, f, t] -> [B, out, ceil(f / stride), ceil(t / stride)]."""
        below, above = padding_before(x.shape[2], self.kernel[0], self.stride[0])
        before, after = padding_before(x.shape[3], self.kernel[1], self.stride[1])
        even = below == above and before == after
        if not even:
            x = F.pad(x, (before, after, below, above))
        return F.conv2d(
            x, self.standardised(), self.bias, self.stride, (below, before) if even else 0, groups=self.groups
        )

    def times(self, grid: TimeGrid, count: int) -> TimeGrid:
        """When its outputs are, for `count` inputs at `grid`."""
        kernel, stride = self.kernel[1], self.stride[1]
        return grid.convolved(kernel, stride, padding_before(count, kernel, stride)[0])


class Block(nn.Module):
    """A residual block without normalisation, with squeeze-and-excite and stochastic depth.

    Parameters
    ----------
    channels_in, channels_out
        Numbers of channels.
    groups
        Parts of the channels in the grouped convolutions.
    beta
        Inverse of the standard deviation that the input is expected to have.
    first
        Whether it is its stage's first, whose shortcut is a convolution of the activated input.
    halve
        Whether it halves the frequency axis.
    drop
        Probability that its residual is left out for an example, in training.
    """

    def __init__(
        self, channels_in: int, channels_out: int, *, groups: int, beta: float, first: bool, halve: bool, drop: float
    ) -> None:
        super().__init__()
        half, stride = channels_out // 2, 2 if halve else 1
        self.shortcut = StandardisedConv2d(channels_in, channels_out) if first else None
        self.conv0 = StandardisedConv2d(channels_in, half)
        self.conv1 = StandardisedConv2d(half, half, (1, 3), (stride, 1), groups)
        self.conv2 = StandardisedConv2d(half, half, (3, 1), groups=groups)
        self.conv3 = StandardisedConv2d(half, channels_out)
        self.se = nn.ModuleList([nn.Linear(channels_out, half), nn.Linear(half, channels_out)])
        for linear in self.se:
            nn.init.xavier_uniform_(cast(nn.Linear, linear).weight)
            nn.init.zeros_(cast(nn.Linear, linear).bias)
        self.skip_gain = nn.Parameter(torch.zeros(()))
        self.beta, self.halve, self.drop = beta, halve, drop

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels_in, f, t] -> [B, channels_out, f or ceil(f / 2), t]."""
        activated = activate(x) * self.beta
        if self.shortcut is not None:
            x = activated
            if self.halve:
                x = F.avg_pool2d(x, (2, 1), ceil_mode=True, count_include_pad=False)
            x = self.shortcut(x)
        residual = activated
        for conv in (self.conv0, self.conv1, self.conv2):
            residual = activate(conv(residual))
        residual = cast(Tensor, self.conv3(residual))
        squeezed = F.relu(self.se[0](residual.mean(dim=(2, 3))))
        excited = 2 * torch.sigmoid(self.se[1](squeezed))[:, :, None, None]
        gain = _RESIDUAL * self.skip_gain
        if self.training and self.drop:
            gain = gain * (torch.rand(len(x), 1, 1, 1, device=x.device) >= self.drop)
        return x + gain * excited * residual


class Path(nn.Module):
    """One of the two paths: a stem of four convolutions, and stages of blocks.

    Parameters
    ----------
    sizes
        Its channels, kernels and strides at full width.
    width
        Share of the channels that it has.
    depths
        Blocks of each stage.
    fused
        Channels that come from the other path before each stage.
    """

    def __init__(self, sizes: _PathSizes, width: float, depths: Sequence[int], fused: Sequence[int]) -> None:
        super().__init__()
        stem = [scaled(count, width) for count in sizes.stem]
        self.stem = nn.ModuleList(
            StandardisedConv2d(i, o, kernel, stride)
            for i, o, kernel, stride in zip([1, *stem[:-1]], stem, sizes.kernels, sizes.strides, strict=True)
        )
        widths = [scaled(count, width) for count in sizes.stages]
        group = scaled(sizes.group, width)
        self.stages = nn.ModuleList()
        before, number, last = stem[-1], 0, max(1, sum(depths) - 1)
        for stage, (channels, depth) in enumerate(zip(widths, depths, strict=True)):
            blocks = nn.ModuleList()
            for index in range(depth):
                expected = (1 + _RESIDUAL**2 if stage else 1) + index * _RESIDUAL**2
                blocks.append(
                    Block(
                        before + fused[stage] if index == 0 else channels,
                        channels,
                        groups=channels // 2 // group,
                        beta=expected**-0.5,
                        first=index == 0,
                        halve=_HALVED[stage] and index == 0,
                        drop=_DROP * number / last,
                    )
                )
                number += 1
            self.stages.append(blocks)
            before = channels
        self.dim = widths[-1]

    def through_stem(self, x: Tensor, grid: TimeGrid) -> tuple[Tensor, TimeGrid]:
        """Output of the stem, and its times, for spectrograms [B, 1, bands, t] with frames at `grid`."""
        for number, module in enumerate(self.stem):
            conv = cast(StandardisedConv2d, module)
            grid = conv.times(grid, x.shape[3])
            x = conv(activate(x) if number else x)
        return x, grid

    def through_stage(self, stage: int, x: Tensor) -> Tensor:
        """Output of a stage; the time axis stays."""
        for block in cast(nn.ModuleList, self.stages[stage]):
            x = block(x)
        return x


class Fusion(nn.Module):
    """Brings the fast path to the rate of the slow one: a convolution over time and one over channels."""

    def __init__(self, channels_in: int, channels_mid: int, channels_out: int) -> None:
        super().__init__()
        self.time = StandardisedConv2d(channels_in, channels_mid, (1, 7), (1, 4))
        self.point = StandardisedConv2d(channels_mid, channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in, f, t] -> [B, out, f, ceil(t / 4)]."""
        return cast(Tensor, self.point(self.time(x)))


class SlowFast(nn.Module):
    """Both paths and their fusions: spectrograms [B, 1, bands, t] to one vector each.

    Parameters
    ----------
    width
        Share of the channels of SF-NFNet-F0 that it has; 1/8 at least, so that no convolution stands on one value.
    depths
        Blocks of the four stages.

    Raises
    ------
    EncoderError
        If the width is less than 1/8 or more than 1, or there are not four depths from 1 on.
    """

    def __init__(self, width: float = 1.0, depths: Sequence[int] = DEPTHS) -> None:
        super().__init__()
        if not 1 / 8 <= width <= 1:
            raise EncoderError(f"width must be from 1/8 to 1, not {width!r}")
        if len(depths) != len(DEPTHS) or any(not isinstance(depth, int) or depth < 1 for depth in depths):
            raise EncoderError(f"depths must be {len(DEPTHS)} positive whole numbers, not {list(depths)}")
        fused = [(scaled(mid, width), scaled(out, width)) for mid, out in _FUSED]
        self.slow = Path(SLOW, width, depths, [out for _, out in fused])
        self.fast = Path(FAST, width, depths, [0] * len(fused))
        sources = [FAST.stem[-1], *FAST.stages[:-1]]
        self.fusion = nn.ModuleList(
            Fusion(scaled(source, width), mid, out) for source, (mid, out) in zip(sources, fused, strict=True)
        )
        self.dim = self.slow.dim + self.fast.dim

    @staticmethod
    def layers() -> tuple[str, ...]:
        """Stems, fusions and stages, in the order in which they are computed."""
        stages = range(1, len(DEPTHS) + 1)
        names = [[f"fusion_{n}", f"slow_stage_{n}", f"fast_stage_{n}"] for n in stages]
        return ("slow_stem", "fast_stem", *(name for three in names for name in three))

    def outputs(self, x: Tensor, grid: TimeGrid) -> Iterator[tuple[str, Tensor, TimeGrid]]:
        """Name, output [B, C, f, t'] and times of every layer for spectrograms [B, 1, bands, t] with frames at `grid`.

        The output of a fusion is what it adds to the slow path.
        """
        slow, slow_grid = self.slow.through_stem(x, grid)
        yield "slow_stem", slow, slow_grid
        fast, fast_grid = self.fast.through_stem(x, grid)
        yield "fast_stem", fast, fast_grid
        for stage, module in enumerate(self.fusion):
            fusion = cast(Fusion, module)
            fused = fusion(fast)
            yield f"fusion_{stage + 1}", fused, fusion.time.times(fast_grid, fast.shape[3])
            slow = self.slow.through_stage(stage, torch.cat([slow, fused], dim=1))
            yield f"slow_stage_{stage + 1}", slow, slow_grid
            fast = self.fast.through_stage(stage, fast)
            yield f"fast_stage_{stage + 1}", fast, fast_grid


def scaled(channels: int, width: float) -> int:
    """Channels at a width, one at least."""
    return max(1, round(channels * width))
