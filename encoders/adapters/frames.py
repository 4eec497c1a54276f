"""Encoders whose model gives a frame of values every few milliseconds; their mean represents the waveform."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from torch import Tensor

from encoders import EncoderError
from encoders.base import Encoder

#: Longest waveform handed to a foreign model at once, unless its entry says otherwise [s].
MAX_SECONDS = 30.0
#: Frames [B, t, channels], and the centres of what they describe, float64 [t] [s].
Timed: TypeAlias = tuple[Tensor, Tensor]


class FrameEncoder(Encoder):
    """An encoder of any length that averages frames over time.

    Parameters
    ----------
    sample_rate
        Rate of the waveforms that the model takes [Hz].
    dim
        Number of values in a frame.
    max_seconds
        Longest waveform that the model takes at once [s]; longer clips are cut into equal parts.
    """

    def __init__(self, *, sample_rate: int, dim: int, max_seconds: float) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.window = None
        self.max_window = round(max_seconds * sample_rate)
        self.dim = dim

    @abstractmethod
    def model_frames(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Frames [B, t, dim] of `audio` [B, T], and the centres of what they describe, float64 [t] [s]."""

    def layers(self) -> tuple[str, ...]:
        """None are known of a foreign model."""
        return ()

    def represent(self, waveform: Tensor, layers: Sequence[str] = ()) -> tuple[Tensor, Mapping[str, Tensor]]:
        """See `Encoder.represent`."""
        del layers
        return self._checked(*self.model_frames(waveform[:, 0]), len(waveform))[0].mean(dim=1), {}

    def frames(self, waveform: Tensor, layer: str | None = None) -> tuple[Tensor, Tensor]:
        """The model's frames; see `Encoder.frames`."""
        self._check_input(waveform)
        self._check_layer(layer)
        return self._checked(*self.model_frames(waveform[:, 0]), len(waveform))

    def _checked(self, frames: Tensor, seconds: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        shape = tuple(frames.shape)
        if len(shape) != 3 or shape[0] != batch or shape[1] == 0 or shape[2] != self.dim:
            raise EncoderError(
                f"the model gave frames of shape {list(shape)} for {batch} waveforms; expected [{batch}, frames, "
                f"{self.dim}]"
            )
        if tuple(seconds.shape) != (shape[1],):
            raise EncoderError(f"the model gave times of shape {list(seconds.shape)} for {shape[1]} frames")
        return frames, seconds


class LayeredFrameEncoder(FrameEncoder):
    """A `FrameEncoder` whose model gives frames of several layers from one pass."""

    @abstractmethod
    def outputs(self, audio: Tensor, layers: Sequence[str]) -> tuple[Timed, Mapping[str, Timed]]:
        """Frames of the representation, and those of each of `layers`, for `audio` [B, T]."""

    def model_frames(self, audio: Tensor) -> Timed:
        """See `FrameEncoder.model_frames`."""
        return self.outputs(audio, ())[0]

    def represent(self, waveform: Tensor, layers: Sequence[str] = ()) -> tuple[Tensor, Mapping[str, Tensor]]:
        """See `Encoder.represent`."""
        frames, others = self.outputs(waveform[:, 0], layers)
        found = self._checked(*frames, len(waveform))[0].mean(dim=1)
        return found, {name: self._checked_layer(name, *others[name], len(waveform))[0].mean(dim=1) for name in layers}

    def frames(self, waveform: Tensor, layer: str | None = None) -> tuple[Tensor, Tensor]:
        """Frames of a layer, by default of the representation; see `Encoder.frames`."""
        if layer is None:
            return super().frames(waveform)
        self._check_input(waveform)
        self._check_layer(layer)
        return self._checked_layer(layer, *self.outputs(waveform[:, 0], (layer,))[1][layer], len(waveform))

    def _checked_layer(self, layer: str, frames: Tensor, seconds: Tensor, batch: int) -> Timed:
        shape = tuple(frames.shape)
        if len(shape) != 3 or shape[0] != batch or shape[1] == 0 or tuple(seconds.shape) != (shape[1],):
            raise EncoderError(
                f"layer {layer}: the model gave frames of shape {list(shape)} and times of shape {list(seconds.shape)} "
                f"for {batch} waveforms; expected [{batch}, frames, channels] and [frames]"
            )
        return frames, seconds
