"""TUNe: U-Nets with an asymmetric tail that turn a raw waveform into one vector.

A contractive path halves nothing but divides time by three at every level, an expansive path climbs back with
skip connections, and a tail descends again to the representation. The variants of the TUNe paper differ only in
the numbers below, so there is one class.

Source: Vasquez and Burgoyne, "Tailed U-Net: multi-scale music representation learning", ISMIR 2022, section 3
and Table 1. Where paper and released code disagree (the bottleneck that the paper does not count, tail widths,
the pairing of TUNe+'s connections) this follows the code, which made the published numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from encoders import EncoderError
from encoders.base import Encoder

KERNEL = 3
POOL = 3
#: Tail blocks stop doubling at this multiple of the first block's filters.
WIDEST_TAIL = 32


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


class TUNe(Encoder):
    """The TUNe family.

    Parameters
    ----------
    filters
        Channels of the first block; doubled at each level down.
    contractive, expansive, tail
        Number of blocks of each path. The bottleneck between the first two is not counted.
    dim
        Representation size: channels of the last tail block.
    plus
        TUNe+: the first `expansive` tail blocks also take the output of the level they descend to, from the
        expansive path and, for the deepest, from the bottleneck.
    tail_widths
        Channels of the tail blocks; by default they double from the level where the expansive path ends, up to
        32 times `filters`, and the last one has `dim`.
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
        tail: int = 4,
        dim: int = 512,
        plus: bool = False,
        tail_widths: Sequence[int] | None = None,
        window: int = 59_049,
        sample_rate: int = 22_050,
    ) -> None:
        super().__init__()
        if not 1 <= expansive <= contractive:
            raise EncoderError(f"expansive must be from 1 to contractive ({contractive}), not {expansive}")
        end_level = contractive - expansive
        if tail < 1 or (plus and tail < expansive):
            raise EncoderError(f"tail must be at least {expansive if plus else 1}, not {tail}")
        if window % POOL**contractive or window < POOL ** (end_level + tail):
            raise EncoderError(
                f"a window of {window} samples does not fit {contractive} contractive and {tail} tail blocks"
            )
        widths = list(tail_widths) if tail_widths is not None else _tail_widths(filters, end_level, tail, dim)
        if len(widths) != tail or widths[-1] != dim:
            raise EncoderError(f"tail_widths must be {tail} numbers that end with dim ({dim}), not {widths}")

        self.sample_rate = sample_rate
        self.window = window
        self.max_window = window
        self.dim = dim
        self.plus = plus
        at_level = [filters * 2**level for level in range(contractive + 1)]
        self._ascent = tuple(range(contractive - 1, end_level - 1, -1))

        self.contractive = nn.ModuleList(
            Block(1 if level == 0 else at_level[level - 1], at_level[level]) for level in range(contractive)
        )
        self.bottleneck = Block(at_level[contractive - 1], at_level[contractive])
        self.up = nn.ModuleList(
            nn.ConvTranspose1d(at_level[level + 1], at_level[level], KERNEL, stride=POOL) for level in self._ascent
        )
        self.expansive = nn.ModuleList(Block(2 * at_level[level], at_level[level]) for level in self._ascent)
        widths_in = [at_level[end_level], *widths[:-1]]
        if plus:
            for j in range(expansive):
                widths_in[j] += at_level[end_level + j + 1]
        self.tail = nn.ModuleList(Block(i, o) for i, o in zip(widths_in, widths, strict=True))

    def layers(self) -> tuple[str, ...]:
        """Blocks in the order of computation; contractive and expansive ones are named by their level."""
        return (
            *(f"contractive_{level}" for level in range(len(self.contractive))),
            "bottleneck",
            *(f"expansive_{level}" for level in self._ascent),
            *(f"tail_{j}" for j in range(1, len(self.tail) + 1)),
        )

    def represent(self, waveform: Tensor, layers: Sequence[str] = ()) -> tuple[Tensor, Mapping[str, Tensor]]:
        """See `Encoder.represent`."""
        outputs: dict[str, Tensor] = {}

        def keep(name: str, x: Tensor) -> None:
            if name in layers:
                outputs[name] = x.mean(dim=-1)

        x = waveform
        skips: list[Tensor] = []
        for level, block in enumerate(self.contractive):
            x = block(x)
            keep(f"contractive_{level}", x)
            skips.append(x)
            x = F.max_pool1d(x, POOL)
        x = self.bottleneck(x)
        keep("bottleneck", x)

        sources = {len(skips): x}
        for level, up, block in zip(self._ascent, self.up, self.expansive, strict=True):
            x = block(torch.cat([up(x), skips[level]], dim=1))
            keep(f"expansive_{level}", x)
            sources[level] = x

        end_level = self._ascent[-1]
        for j, block in enumerate(self.tail, start=1):
            x = F.max_pool1d(x, POOL)
            if self.plus and j <= len(self.expansive):
                x = torch.cat([x, sources[end_level + j]], dim=1)
            x = block(x)
            keep(f"tail_{j}", x)
        return x.mean(dim=-1), outputs


def _tail_widths(filters: int, end_level: int, tail: int, dim: int) -> list[int]:
    doubling = [min(filters * 2 ** (end_level + j), WIDEST_TAIL * filters) for j in range(1, tail)]
    return [*doubling, dim]
