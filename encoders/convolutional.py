"""Encoders whose layers are convolutional blocks, each with an output over time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor

from encoders.base import Encoder
from encoders.time_grid import TimeGrid


class ConvolutionalEncoder(Encoder):
    """An encoder that is the mean over time of its last block's output, and whose layers are its blocks."""

    @abstractmethod
    def block_outputs(self, waveform: Tensor) -> Iterator[tuple[str, Tensor, TimeGrid]]:
        """Name, output [B, channels, t] and times of every block, in the order of `layers()`.

        Parameters
        ----------
        waveform : Tensor, shape [B, 1, T]
            As for `represent`.
        """

    def represent(self, waveform: Tensor, layers: Sequence[str] = ()) -> tuple[Tensor, Mapping[str, Tensor]]:
        """See `Encoder.represent`."""
        outputs: dict[str, Tensor] = {}
        for name, x, _ in self.block_outputs(waveform):
            if name in layers:
                outputs[name] = x.mean(dim=-1)
        return x.mean(dim=-1), outputs

    def frames(self, waveform: Tensor, layer: str | None = None) -> tuple[Tensor, Tensor]:
        """Output of a block over time, by default of the last; a single frame is in the middle of the window.

        See `Encoder.frames`.
        """
        self._check_input(waveform)
        self._check_layer(layer)
        wanted = layer or self.layers()[-1]
        x, grid = next((x, grid) for name, x, grid in self.block_outputs(waveform) if name == wanted)
        count = x.shape[2]
        if count == 1:
            # What it depends on reaches beyond the window, as a rule on both sides, and not by the same.
            grid = TimeGrid.equal_parts(waveform.shape[2], 1)
        return x.transpose(1, 2), grid.seconds(count, self.sample_rate)
