"""Encoders that are a plain function of audio and sample rate, as openl3's ``get_audio_embedding``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from encoders import EncoderError
from encoders.adapters.foreign import attribute, import_module
from encoders.adapters.frames import MAX_SECONDS, LayeredFrameEncoder, Timed
from encoders.time_grid import TimeGrid


class CallableEncoder(LayeredFrameEncoder):
    """A function ``f(audio, sample_rate)`` that gives frames [t, dim], frames and their times [t], or a vector.

    It is called once for each waveform, with float32 NumPy samples in [-1, 1]. Its frames are averaged over time; a
    vector [dim] is the one frame of the whole waveform. With `layers`, it gives a mapping from the name of each layer
    to one of the three.

    Parameters
    ----------
    module
        ``package.module:function``, installed or beside the registry file.
    sample_rate
        Rate of the audio that it is given [Hz].
    dim
        Number of values in a frame of the representation.
    options
        Further keyword arguments of the function.
    max_seconds
        Longest waveform handed over at once [s]; longer clips are cut into equal parts.
    layers
        Names of the layers that it gives, from input to output.
    layer
        The layer that is the representation; by default the last one.
    file
        File of weights, named under `files` in the registry; the function is given it as ``file``.

    Raises
    ------
    EncoderError
        If the function cannot be imported, or gives frames of another size or not the layers that it is to give.
    """

    def __init__(
        self,
        *,
        module: str,
        sample_rate: int,
        dim: int,
        options: Mapping[str, Any] | None = None,
        max_seconds: float = MAX_SECONDS,
        layers: Sequence[str] = (),
        layer: str | None = None,
        file: str | Path | None = None,
    ) -> None:
        super().__init__(sample_rate=sample_rate, dim=dim, max_seconds=max_seconds)
        module_name, colon, name = module.partition(":")
        if not colon:
            raise EncoderError(f"module must be package.module:function, not {module!r}")
        if layer is not None and layer not in layers:
            raise EncoderError(
                f"layer must be one of layers, {', '.join(layers) or 'of which there are none'}: {layer!r}"
            )
        self._function = attribute(import_module(module_name), name, f"module {module_name}")
        self._options = {**(options or {}), **({} if file is None else {"file": str(file)})}
        self._layers = tuple(layers)
        self._layer = layer or (self._layers[-1] if self._layers else "")
        self._provenance = {"interface": "function", "module": module}

    @property
    def provenance(self) -> Mapping[str, str]:
        """See `Encoder.provenance`."""
        return self._provenance

    def layers(self) -> tuple[str, ...]:
        """Those that the entry names."""
        return self._layers

    def outputs(self, audio: Tensor, layers: Sequence[str]) -> tuple[Timed, Mapping[str, Timed]]:
        """See `LayeredFrameEncoder.outputs`; times not given are taken to part the waveform equally."""
        results = [self._given(one) for one in audio.cpu().numpy()]
        of = {name: self._joined([result[name] for result in results], audio) for name in {self._layer, *layers}}
        return of[self._layer], {name: of[name] for name in layers}

    def _given(self, samples: Any) -> Mapping[str, Any]:
        """What the function gives, by layer."""
        result = self._function(samples, self.sample_rate, **self._options)
        if not self._layers:
            return {"": result}
        if not isinstance(result, Mapping) or any(name not in result for name in self._layers):
            gave = ", ".join(map(str, result)) if isinstance(result, Mapping) else type(result).__name__
            raise EncoderError(
                f"{self._provenance['module']} is to give the layers {', '.join(self._layers)} by name, and gave {gave}"
            )
        return result

    def _joined(self, results: Sequence[Any], audio: Tensor) -> Timed:
        """Frames [B, t, channels] of one layer from what the function gave for each waveform."""
        seconds: Tensor | None = None
        found = []
        for result in results:
            values = result
            if isinstance(result, tuple):
                values, times = result
                seconds = torch.as_tensor(np.array(times), dtype=torch.float64)
            values = values.detach().cpu() if isinstance(values, Tensor) else np.array(values)
            frames = torch.as_tensor(values, dtype=torch.float32)
            found.append(frames[None] if frames.ndim == 1 else frames)
        if len({frames.shape for frames in found}) > 1:
            raise EncoderError(f"{self._provenance['module']} gave different numbers of frames for equal lengths")
        stack = torch.stack(found).to(audio.device)
        if seconds is None:
            count = max(stack.shape[1], 1)
            seconds = TimeGrid.equal_parts(audio.shape[1], count).seconds(stack.shape[1], self.sample_rate)
        return stack, seconds
