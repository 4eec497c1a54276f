"""Encoders whose model gives a frame of values every few milliseconds; their mean represents the waveform."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from torch import Tensor

from encoders import EncoderError
from encoders.base import Encoder

#: Longest waveform handed to a foreign model at once, unless its entry says otherwise [s].
MAX_SECONDS = 30.0


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
    def frames(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Frames [B, t, dim] of waveforms [B, T], and the centres of what they describe [t, seconds]."""

    def layers(self) -> tuple[str, ...]:
        """None are known of a foreign model."""
        return ()

    def represent(self, waveform: Tensor, layers: Sequence[str] = ()) -> tuple[Tensor, Mapping[str, Tensor]]:
        """See `Encoder.represent`."""
        del layers
        return self._checked(self.frames(waveform[:, 0])[0], len(waveform)).mean(dim=1), {}

    def timeline(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """The model's frames; see `Encoder.timeline`."""
        self._check_input(waveform)
        frames, seconds = self.frames(waveform[:, 0])
        return self._checked(frames, len(waveform)), seconds

    def _checked(self, frames: Tensor, batch: int) -> Tensor:
        shape = tuple(frames.shape)
        if len(shape) != 3 or shape[0] != batch or shape[1] == 0 or shape[2] != self.dim:
            raise EncoderError(
                f"the model gave frames of shape {list(shape)} for {batch} waveforms; expected [{batch}, frames, "
                f"{self.dim}]"
            )
        return frames
