"""Encoders that are a plain function of audio and sample rate, as openl3's ``get_audio_embedding``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from encoders import EncoderError
from encoders.adapters.foreign import attribute, import_module
from encoders.adapters.frames import MAX_SECONDS, FrameEncoder
from encoders.time_grid import TimeGrid


class CallableEncoder(FrameEncoder):
    """A function ``f(audio, sample_rate)`` that gives frames [t, dim], frames and their times [t], or a vector.

    It is called once for each waveform, with float32 NumPy samples in [-1, 1]. Its frames are averaged over time; a
    vector [dim] is the one frame of the whole waveform.

    Parameters
    ----------
    module
        ``package.module:function``, installed or beside the registry file.
    sample_rate
        Rate of the audio that it is given [Hz].
    dim
        Number of values in a frame.
    options
        Further keyword arguments of the function.
    max_seconds
        Longest waveform handed over at once [s]; longer clips are cut into equal parts.

    Raises
    ------
    EncoderError
        If the function cannot be imported, or gives frames of another size.
    """

    def __init__(
        self,
        *,
        module: str,
        sample_rate: int,
        dim: int,
        options: Mapping[str, Any] | None = None,
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        super().__init__(sample_rate=sample_rate, dim=dim, max_seconds=max_seconds)
        module_name, colon, name = module.partition(":")
        if not colon:
            raise EncoderError(f"module must be package.module:function, not {module!r}")
        self._function = attribute(import_module(module_name), name, f"module {module_name}")
        self._options = dict(options or {})
        self._provenance = {"interface": "function", "module": module}

    @property
    def provenance(self) -> Mapping[str, str]:
        """See `Encoder.provenance`."""
        return self._provenance

    def model_frames(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """See `FrameEncoder.model_frames`; times not given are taken to part the waveform equally."""
        seconds: Tensor | None = None
        found = []
        for one in audio.cpu().numpy():
            result = self._function(one, self.sample_rate, **self._options)
            if isinstance(result, tuple):
                result, times = result
                seconds = torch.as_tensor(np.array(times), dtype=torch.float64)
            frames = torch.as_tensor(np.array(result), dtype=torch.float32)
            found.append(frames[None] if frames.ndim == 1 else frames)
        if len({frames.shape for frames in found}) > 1:
            raise EncoderError(f"{self._provenance['module']} gave different numbers of frames for equal lengths")
        stack = torch.stack(found).to(audio.device)
        if seconds is None:
            count = max(stack.shape[1], 1)
            seconds = TimeGrid.equal_parts(audio.shape[1], count).seconds(stack.shape[1], self.sample_rate)
        return stack, seconds
