"""SampleCNN as CLMR uses it: eleven small convolutions from the waveform to one vector.

Source: Spijkervet and Burgoyne, "Contrastive learning of musical representations", ISMIR 2021; after Lee et al.,
"Sample-level deep convolutional neural networks", 2017. Kernels, paddings and window lengths are those of CLMR's
released code (the thesis's Table 5.1 misprints some).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Literal, cast

from torch import Tensor, nn
from torch.nn import functional as F

from encoders import EncoderError
from encoders.convolutional import ConvolutionalEncoder
from encoders.time_grid import TimeGrid

STEM = 3
WIDTHS = (128, 128, 256, 256, 256, 256, 256, 256, 512)


class Block(nn.Module):
    """Convolution, batch norm, ReLU, and a max-pool unless `pool` is 1."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, pool: int = 1) -> None:
        super().__init__()
        # The released code pads every stride-1 convolution by one, also where the kernel is even or five.
        padding = 0 if stride > 1 else 1
        self.conv = nn.Conv1d(channels_in, channels_out, kernel, stride=stride, padding=padding)
        self.norm = nn.BatchNorm1d(channels_out)
        self.pool = pool
        self._shape = kernel, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels_in, T] -> [B, channels_out, about T / (stride * pool)]."""
        x = F.relu(self.norm(self.conv(x)), inplace=True)
        return x if self.pool == 1 else F.max_pool1d(x, self.pool)

    def times(self, grid: TimeGrid) -> TimeGrid:
        """When the values of its output are, for an input with its values at `grid`."""
        return grid.convolved(*self._shape).pooled(self.pool)


class SampleCNN(ConvolutionalEncoder):
    """SampleCNN at any of CLMR's sample rates.

    Parameters
    ----------
    pools
        Kernel and pooling factor of each of the nine blocks; three times their product is the window.
    sample_rate
        Rate of the waveform [Hz].
    initialisation
        ``"default"`` is PyTorch's (CLMR's released version 2, and the CLMR rows of the TUNe paper);
        ``"kaiming"`` is Kaiming-uniform on convolution weights (CLMR's version 1).
    """

    def __init__(
        self,
        *,
        pools: Sequence[int] = (3,) * 9,
        sample_rate: int = 22_050,
        initialisation: Literal["default", "kaiming"] = "default",
    ) -> None:
        super().__init__()
        if len(pools) != len(WIDTHS):
            raise EncoderError(f"pools must be {len(WIDTHS)} numbers, not {list(pools)}")
        if initialisation not in ("default", "kaiming"):
            raise EncoderError(f"initialisation must be default or kaiming, not {initialisation!r}")
        self.sample_rate = sample_rate
        self.window = STEM * prod(pools)
        self.max_window = self.window
        self.dim = WIDTHS[-1]
        widths_in = (WIDTHS[0], *WIDTHS[:-1])
        self.blocks = nn.ModuleList(
            [
                Block(1, WIDTHS[0], STEM, stride=STEM),
                *(Block(i, o, s, pool=s) for i, o, s in zip(widths_in, WIDTHS, pools, strict=True)),
                Block(WIDTHS[-1], WIDTHS[-1], 3),
            ]
        )
        if initialisation == "kaiming":
            for module in self.modules():
                if isinstance(module, nn.Conv1d):
                    nn.init.kaiming_uniform_(module.weight, mode="fan_in", nonlinearity="relu")

    def layers(self) -> tuple[str, ...]:
        """``block_1`` (the strided stem) to ``block_11``."""
        return tuple(f"block_{n}" for n in range(1, len(self.blocks) + 1))

    def block_outputs(self, waveform: Tensor) -> Iterator[tuple[str, Tensor, TimeGrid]]:
        """See `ConvolutionalEncoder.block_outputs`."""
        for name, (x, grid) in zip(self.layers(), self.through_blocks(waveform, TimeGrid()), strict=True):
            yield name, x, grid

    def through_blocks(self, x: Tensor, grid: TimeGrid) -> Iterator[tuple[Tensor, TimeGrid]]:
        """Output and times of every block for an input [B, 1, t] with its values at `grid`."""
        for module in self.blocks:
            block = cast(Block, module)
            x, grid = block(x), block.times(grid)
            yield x, grid

    def published_names(self) -> Mapping[str, str]:
        """Names of CLMR's released code, and of its oldest files, which number the convolutions from one."""
        return {
            f"{theirs}.{index}.": f"blocks.{n}.{part}."
            for newest in (True, False)
            for n in range(len(self.blocks))
            for theirs in [f"sequential.{n}" if newest else f"conv{n + 1}"]
            for index, part in enumerate(("conv", "norm"))
        }
