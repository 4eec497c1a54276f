"""MULE's encoder: a log-mel spectrogram and the slow and fast network over it (McCallum et al. 2022, section 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from encoders import EncoderError
from encoders.base import Encoder
from encoders.slowfast import DEPTHS, SlowFast, activate
from encoders.spectrograms import LogMel
from encoders.time_grid import TimeGrid

_LAST = f"slow_stage_{len(DEPTHS)}", f"fast_stage_{len(DEPTHS)}"


class Mule(Encoder):
    """SF-NFNet-F0 on a log-mel spectrogram.

    The representation is the activation of what both paths' last stages have as their mean over frequency and time: it
    is no mean of values over time itself.

    Parameters
    ----------
    front_end
        Arguments of `encoders.spectrograms.LogMel`, without the sample rate.
    width, depths
        See `encoders.slowfast.SlowFast`.
    window
        Samples that are taken at once: 48,000 for tracks, 16,000 and 64,000 for the notes of NSynth (section 3).
    sample_rate
        Rate of the waveform [Hz].

    Raises
    ------
    EncoderError
        If the front end is given arguments that it does not have, or a window that is too short for it.
    """

    def __init__(
        self,
        *,
        front_end: Mapping[str, Any],
        width: float = 1.0,
        depths: Sequence[int] = DEPTHS,
        window: int = 48_000,
        sample_rate: int = 16_000,
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        try:
            self.front_end = LogMel(sample_rate=sample_rate, **front_end)
        except TypeError as error:
            raise EncoderError(f"front_end: {str(error).removeprefix('LogMel.__init__() ')}") from None
        self.take_windows(window)
        self.network = SlowFast(width, depths)
        self.dim = self.network.dim

    def take_windows(self, samples: int) -> None:
        """See `Encoder.take_windows`: the same weights do for any length that gives a frame."""
        if samples < self.front_end.spectrogram.least or self.front_end.frame_count(samples) < 1:
            raise EncoderError(f"window: {samples} samples are too few for a frame of {self.front_end.fft}")
        self.window = self.max_window = samples

    def layers(self) -> tuple[str, ...]:
        """Stems, fusions and stages of both paths; see `SlowFast.layers`."""
        return self.network.layers()

    def represent(self, waveform: Tensor, layers: Sequence[str] = ()) -> tuple[Tensor, Mapping[str, Tensor]]:
        """See `Encoder.represent`; outputs of layers are means over frequency and time."""
        return self.trunk(self.features(waveform), layers)

    def features(self, waveform: Tensor) -> Tensor:
        """Standardised log-mel spectrogram [B, bands, t] of waveforms [B, 1, T]; see `FrontEndAndTrunk`."""
        return self.front_end(waveform[:, 0])

    def trunk(self, features: Tensor, layers: Sequence[str] = ()) -> tuple[Tensor, Mapping[str, Tensor]]:
        """See `FrontEndAndTrunk.trunk`."""
        outputs: dict[str, Tensor] = {}
        pooled = []
        for name, x, _ in self.network.outputs(features.unsqueeze(1), self._grid()):
            if name in layers or name in _LAST:
                mean = x.mean(dim=(2, 3))
                if name in layers:
                    outputs[name] = mean
                if name in _LAST:
                    pooled.append(mean)
        return activate(torch.cat(pooled, dim=1)), outputs

    def frames(self, waveform: Tensor, layer: str | None = None) -> tuple[Tensor, Tensor]:
        """Output of a layer over time, as its mean over frequency; by default the representation, as one frame.

        See `Encoder.frames`.
        """
        if layer is None:
            return super().frames(waveform)
        self._check_input(waveform)
        self._check_layer(layer)
        outputs = self.network.outputs(self.features(waveform).unsqueeze(1), self._grid())
        x, grid = next((x, grid) for name, x, grid in outputs if name == layer)
        values = x.mean(dim=2).transpose(1, 2)
        if values.shape[1] == 1:
            grid = TimeGrid.equal_parts(waveform.shape[2], 1)
        return values, grid.seconds(values.shape[1], self.sample_rate)

    def _grid(self) -> TimeGrid:
        first = 0.0 if self.front_end.spectrogram.centred else self.front_end.fft / 2
        return TimeGrid(first, self.front_end.hop)
