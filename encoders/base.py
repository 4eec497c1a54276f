"""The contract between an encoder and the harness."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, cast

from torch import Tensor, nn

from encoders import EncoderError
from encoders.time_grid import TimeGrid


class Encoder(nn.Module, ABC):
    """Maps waveform windows to representations.

    The harness cuts clips into windows, batches them and keeps the results; an encoder only ever sees one batch
    of waveforms of the length it asked for. Heads and projectors are no part of it, so its parameters are those
    of the representation.

    Attributes
    ----------
    VERSION : int
        Raised when what the class computes changes; it is in the keys of what it made.
    sample_rate : int
        Sample rate of the waveforms it takes [Hz].
    window : int or None
        Number of samples it takes at once; ``None`` if any length will do, up to `max_window`.
    max_window : int
        Longest input [samples]; equal to `window` where that is fixed.
    dim : int
        Size of the representation.
    """

    VERSION: ClassVar[int] = 1

    sample_rate: int
    window: int | None
    max_window: int
    dim: int

    @abstractmethod
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that can be probed, from input to output."""

    @abstractmethod
    def represent(self, waveform: Tensor, layers: Sequence[str] = ()) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Representation, and the time-averaged outputs of `layers`, from one pass.

        Parameters
        ----------
        waveform : Tensor, shape [B, 1, T]
            Samples in [-1, 1] at `sample_rate`; T is `window`, or at most `max_window` if that is ``None``.
        layers
            Names from `layers()`.

        Returns
        -------
        representation : Tensor, shape [B, dim]
        outputs : mapping of name to Tensor, shape [B, channels of that layer]
        """

    def forward(self, waveform: Tensor, layer: str | None = None) -> Tensor:
        """Representation [B, dim] of `waveform` [B, 1, T], or the time-averaged output of one `layer`.

        Raises
        ------
        EncoderError
            If the waveform has another shape than the encoder takes, or the layer is not known.
        """
        self._check_input(waveform)
        if layer is None:
            return self.represent(waveform)[0]
        self._check_layer(layer)
        return self.represent(waveform, (layer,))[1][layer]

    def frames(self, waveform: Tensor, layer: str | None = None) -> tuple[Tensor, Tensor]:
        """Values over time, and when they are.

        Parameters
        ----------
        waveform : Tensor, shape [B, 1, T]
            As for `represent`.
        layer
            Name from `layers()`; by default what the representation is made of.

        Returns
        -------
        values : Tensor, shape [B, t, channels]
            Of a layer, values whose mean over time is its output. By default the output of `forward` as the one
            value of the whole window, for layers without time.
        seconds : Tensor, shape [t], float64, on the CPU
            Centre of the stretch that each value describes, rising, from the beginning of the waveform [s].

        Raises
        ------
        EncoderError
            If the waveform has another shape than the encoder takes, or the layer is not known.
        """
        values = self(waveform, layer).unsqueeze(1)
        return values, TimeGrid.equal_parts(waveform.shape[2], 1).seconds(1, self.sample_rate)

    def view_samples(self, seconds: float | None = None) -> int:
        """Length of what is taken at once where any length will do [samples]: `seconds`, or the most that it takes.

        Where the window is fixed it is that.
        """
        if self.window is not None:
            return self.window
        return self.max_window if seconds is None else min(self.max_window, round(seconds * self.sample_rate))

    def take_windows(self, samples: int) -> None:
        """From now on take windows of so many samples, where other ones will do.

        Raises
        ------
        EncoderError
            If the encoder takes windows of one length alone, or none so long.
        """
        if self.window is None and samples > self.max_window:
            raise EncoderError(f"takes at most {self.max_window} samples, not windows of {samples}")
        if self.window is not None and samples != self.window:
            raise EncoderError(f"takes windows of {self.window} samples and no others, not of {samples}")

    @property
    def provenance(self) -> Mapping[str, str]:
        """Where weights that came from elsewhere came from, for the score record; empty if all is ours."""
        return {}

    def published_names(self) -> Mapping[str, str]:
        """Names in weights that others published -> ours for the same: prefixes that end with a dot.

        Of several that ours had in the course of time, the newest comes first.
        """
        return {}

    def unpublished(self) -> tuple[str, ...]:
        """Prefixes of tensors that files of others leave out, for nothing changes them: the encoder's own stay."""
        return ()

    def __call__(self, waveform: Tensor, layer: str | None = None) -> Tensor:
        """Call `forward`; typed, which `Module.__call__` is not."""
        return cast(Tensor, super().__call__(waveform, layer))

    def _check_input(self, waveform: Tensor) -> None:
        shape = tuple(waveform.shape)
        if len(shape) != 3 or shape[1] != 1:
            raise EncoderError(f"waveform must have shape [batch, 1, samples], not {list(shape)}")
        if self.window is not None and shape[2] != self.window:
            raise EncoderError(f"waveform must have {self.window} samples, not {shape[2]}")
        if self.window is None and shape[2] > self.max_window:
            raise EncoderError(f"waveform must have at most {self.max_window} samples, not {shape[2]}")

    def _check_layer(self, layer: str | None) -> None:
        if layer is not None and layer not in self.layers():
            raise EncoderError(f"no layer {layer!r}; there are: {', '.join(self.layers()) or 'none'}")

    def parameter_count(self) -> int:
        """Learned numbers, frozen ones included, without any head."""
        return sum(parameter.numel() for parameter in self.parameters())
