"""TUNe: U-Nets with an asymmetric tail that turn a raw waveform into one vector.

A contractive path halves nothing but divides time by three at every level, an expansive path climbs back with
skip connections, and a tail descends again to the representation. The variants of the TUNe paper differ only in
the numbers below, so there is one class.

Source: Vasquez and Burgoyne, "Tailed U-Net: multi-scale music representation learning", ISMIR 2022, section 3
and Table 1. Where paper and released code disagree (the bottleneck that the paper does not count, tail widths,
the pairing of TUNe+'s connections) this follows the code, which made the published numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from encoders import EncoderError
from encoders.convolutional import ConvolutionalEncoder
from encoders.sample_cnn import SampleCNN
from encoders.time_grid import TimeGrid
from encoders.weights import load_weights

KERNEL = 3
POOL = 3
#: Tail blocks stop doubling at this multiple of the first block's filters.
WIDEST_TAIL = 32
#: The tail that is a complete SampleCNN, which reads the expansive path as if it were a waveform.
CLMR_TAIL = "sample_cnn"
#: Deepest level that the released classes number plainly; below it they say "deeper".
_NUMBERED_LEVELS = 4


class Block(nn.Module):
    """Convolution that keeps the length, batch norm, ReLU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels_in, channels_out, KERNEL, padding=KERNEL // 2)
        self.norm = nn.BatchNorm1d(channels_out)
        nn.init.kaiming_uniform_(self.conv.weight, mode="fan_in", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels_in, T] -> [B, channels_out, T]."""
        return F.relu(self.norm(self.conv(x)), inplace=True)


class TUNe(ConvolutionalEncoder):
    """The TUNe family.

    Parameters
    ----------
    filters
        Channels of the first block; doubled at each level down.
    contractive, expansive, tail
        Number of blocks of each path. The bottleneck between the first two is not counted. ``tail="sample_cnn"``
        is the CLMR-tail: the expansive path ends in one channel at full resolution, which a SampleCNN takes.
    dim
        Representation size: channels of the last tail block.
    plus
        TUNe+: the first `expansive` tail blocks also take the output of the level they descend to, from the
        expansive path and, for the deepest, from the bottleneck.
    tail_widths
        Channels of the tail blocks; by default they double from the level where the expansive path ends, up to
        32 times `filters`, and the last one has `dim`.
    tail_weights
        File of SampleCNN weights for a CLMR-tail, in any layout that `encoders.weights` reads.
    freeze_tail
        Whether the CLMR-tail's parameters stay as `tail_weights` has them. Its batch norms follow the training
        mode all the same, as in the released code.
    window, sample_rate
        Samples taken at once, and their rate [Hz]. The window must be divisible by three to the power of
        `contractive` and hold at least one position at the end of the tail.
    """

    def __init__(
        self,
        *,
        filters: int,
        contractive: int = 4,
        expansive: int = 4,
        tail: int | Literal["sample_cnn"] = 4,
        dim: int = 512,
        plus: bool = False,
        tail_widths: Sequence[int] | None = None,
        tail_weights: str | Path | None = None,
        freeze_tail: bool = False,
        window: int = 59_049,
        sample_rate: int = 22_050,
    ) -> None:
        super().__init__()
        if not 1 <= expansive <= contractive:
            raise EncoderError(f"expansive must be from 1 to contractive ({contractive}), not {expansive}")
        if window % POOL**contractive:
            raise EncoderError(f"a window of {window} samples does not fit {contractive} contractive blocks")
        end_level = contractive - expansive
        self.sample_rate = sample_rate
        self.window = window
        self.max_window = window
        self.dim = dim
        self.plus = plus
        self._ascent = tuple(range(contractive - 1, end_level - 1, -1))
        clmr_tail = tail == CLMR_TAIL
        at_level = [filters * 2**level for level in range(contractive + 1)]
        ascent_widths = [1 if clmr_tail and level == 0 else at_level[level] for level in self._ascent]

        self.contractive = nn.ModuleList(
            Block(1 if level == 0 else at_level[level - 1], at_level[level]) for level in range(contractive)
        )
        self.bottleneck = Block(at_level[contractive - 1], at_level[contractive])
        self.up = nn.ModuleList(
            nn.ConvTranspose1d(at_level[level + 1], at_level[level], KERNEL, stride=POOL) for level in self._ascent
        )
        self.expansive = nn.ModuleList(
            Block(2 * at_level[level], width) for level, width in zip(self._ascent, ascent_widths, strict=True)
        )
        self.tail: nn.ModuleList | SampleCNN
        if isinstance(tail, int):
            if tail_weights is not None or freeze_tail:
                raise EncoderError(f"tail_weights and freeze_tail are for tail: {CLMR_TAIL}, not for {tail} blocks")
            sources = at_level[end_level + 1 :] if plus else []
            self.tail = _pooling_tail(at_level[end_level], tail, dim, tail_widths, sources, WIDEST_TAIL * filters)
            if window < POOL ** (end_level + tail):
                raise EncoderError(f"a window of {window} samples does not fit {tail} tail blocks")
        elif clmr_tail:
            if end_level or plus or tail_widths is not None:
                raise EncoderError(f"tail: {CLMR_TAIL} needs expansive = contractive, without plus or tail_widths")
            self.tail = _clmr_tail(tail_weights, freeze_tail)
            if (window, sample_rate, dim) != (self.tail.window, self.tail.sample_rate, self.tail.dim):
                raise EncoderError(
                    f"tail: {CLMR_TAIL} takes {self.tail.window} samples at {self.tail.sample_rate} Hz and gives "
                    f"dim {self.tail.dim}, not {window}, {sample_rate} Hz and {dim}"
                )
        else:
            raise EncoderError(f"tail must be a number of blocks or {CLMR_TAIL}, not {tail!r}")

    def layers(self) -> tuple[str, ...]:
        """Blocks in the order of computation; contractive and expansive ones are named by their level."""
        return (
            *(f"contractive_{level}" for level in range(len(self.contractive))),
            "bottleneck",
            *(f"expansive_{level}" for level in self._ascent),
            *(f"tail_{j}" for j in range(1, len(self._tail_blocks) + 1)),
        )

    @property
    def _tail_blocks(self) -> nn.ModuleList:
        return self.tail if isinstance(self.tail, nn.ModuleList) else self.tail.blocks

    def block_outputs(self, waveform: Tensor) -> Iterator[tuple[str, Tensor, TimeGrid]]:
        """See `ConvolutionalEncoder.block_outputs`."""
        # A block keeps its input's times.
        x, grid = waveform, TimeGrid()
        skips: list[Tensor] = []
        for level, block in enumerate(self.contractive):
            x = block(x)
            yield f"contractive_{level}", x, grid
            skips.append(x)
            x, grid = F.max_pool1d(x, POOL), grid.pooled(POOL)
        x = self.bottleneck(x)
        yield "bottleneck", x, grid

        sources = {len(skips): x}
        for level, up, block in zip(self._ascent, self.up, self.expansive, strict=True):
            grid = grid.upsampled(KERNEL, POOL)
            x = block(torch.cat([up(x), skips[level]], dim=1))
            yield f"expansive_{level}", x, grid
            sources[level] = x

        end_level = self._ascent[-1]
        if not isinstance(self.tail, nn.ModuleList):
            for j, (y, times) in enumerate(self.tail.through_blocks(x, grid), start=1):
                yield f"tail_{j}", y, times
            return
        for j, block in enumerate(self.tail, start=1):
            x, grid = F.max_pool1d(x, POOL), grid.pooled(POOL)
            if self.plus and j <= len(self.expansive):
                x = torch.cat([x, sources[end_level + j]], dim=1)
            x = block(x)
            yield f"tail_{j}", x, grid

    def published_names(self) -> Mapping[str, str]:
        """Names of TUNe's released code."""
        blocks: dict[str, str] = {}
        names: dict[str, str] = {}
        bottom, end_level = len(self.contractive), self._ascent[-1]
        for level in range(bottom + 1):
            deeper = level - _NUMBERED_LEVELS
            theirs = f"deeperDown{deeper}" if deeper > 0 else f"conv{level + 1}"
            blocks[theirs] = "bottleneck" if level == bottom else f"contractive.{level}"
        for e, level in enumerate(self._ascent):
            deeper = level - _NUMBERED_LEVELS + 1
            blocks[f"deeperUp{deeper}" if deeper > 0 else f"conv{9 - level}"] = f"expansive.{e}"
            names[f"transposedDeeper{deeper}." if deeper > 0 else f"transposedConv{9 - level}."] = f"up.{e}."
        if isinstance(self.tail, nn.ModuleList):
            # Variants with a shorter expansive path skip the numbers of the tail blocks that they lack.
            blocks |= {f"convDown{j + 1 + end_level}": f"tail.{j}" for j in range(len(self.tail))}
        else:
            names |= {f"model_down.{theirs}": f"tail.{ours}" for theirs, ours in self.tail.published_names().items()}
        for theirs, ours in blocks.items():
            names |= {f"{theirs}.layers.0.": f"{ours}.conv.", f"{theirs}.layers.1.": f"{ours}.norm."}
        return names


def _pooling_tail(
    width_in: int, blocks: int, dim: int, widths: Sequence[int] | None, sources: Sequence[int], widest: int
) -> nn.ModuleList:
    """Blocks that follow a pool each; the first ones also take what `sources` are the widths of."""
    if blocks < max(1, len(sources)):
        raise EncoderError(f"tail must be at least {max(1, len(sources))}, not {blocks}")
    if widths is None:
        widths = [*(min(width_in * 2**j, widest) for j in range(1, blocks)), dim]
    if len(widths) != blocks or widths[-1] != dim:
        raise EncoderError(f"tail_widths must be {blocks} numbers that end with dim ({dim}), not {list(widths)}")
    added = [*sources, *[0] * (blocks - len(sources))]
    return nn.ModuleList(
        Block(before + more, width) for before, more, width in zip((width_in, *widths), added, widths, strict=False)
    )


def _clmr_tail(weights: str | Path | None, freeze: bool) -> SampleCNN:
    if freeze and weights is None:
        raise EncoderError("a frozen CLMR-tail needs pretrained SampleCNN weights: tail_weights")
    tail = SampleCNN()
    if weights is not None:
        load_weights(tail, Path(weights))
    return tail.requires_grad_(not freeze)
