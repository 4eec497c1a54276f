"""Encoders with the interface of the HEAR benchmark (Turian et al. 2022, https://hearbenchmark.com/hear-api.html).

Such a module has ``load_model``, which gives a model that states its sample rate and sizes, and two functions of
audio [n, samples] and that model: ``get_scene_embeddings`` and ``get_timestamp_embeddings``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from encoders import EncoderError
from encoders.adapters.foreign import attribute, import_module
from encoders.adapters.frames import MAX_SECONDS
from encoders.base import Encoder


class HearEncoder(Encoder):
    """A HEAR model, of PyTorch or TensorFlow: scene embeddings represent, timestamp embeddings are the frames.

    A module without the latter has no frames.

    Parameters
    ----------
    module
        Name of the module, installed or beside the registry file.
    model_file
        File of weights, for modules that want one; named under `files` in the registry.
    options
        Further keyword arguments of ``load_model``.
    max_seconds
        Longest waveform handed over at once [s]; longer clips are cut into equal parts.

    Raises
    ------
    EncoderError
        If the module cannot be imported, does not have the interface, or its model cannot be loaded.
    """

    def __init__(
        self,
        *,
        module: str,
        model_file: str | Path | None = None,
        options: Mapping[str, Any] | None = None,
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        super().__init__()
        code = import_module(module)
        load = attribute(code, "load_model", f"HEAR module {module}")
        self._scenes = attribute(code, "get_scene_embeddings", f"HEAR module {module}")
        self._timestamps = getattr(code, "get_timestamp_embeddings", None)
        arguments = [] if model_file is None else [str(model_file)]
        # A PyTorch model becomes a part of this one, and moves to the device with it.
        self.model = load(*arguments, **(options or {}))
        owner = f"the model of HEAR module {module}"
        self.sample_rate = int(attribute(self.model, "sample_rate", owner))
        self.dim = int(attribute(self.model, "scene_embedding_size", owner))
        self.window = None
        self.max_window = round(max_seconds * self.sample_rate)
        self._provenance = {"interface": "HEAR", "module": module}

    @property
    def provenance(self) -> Mapping[str, str]:
        """See `Encoder.provenance`."""
        return self._provenance

    def layers(self) -> tuple[str, ...]:
        """HEAR knows no layers."""
        return ()

    def represent(self, waveform: Tensor, layers: Sequence[str] = ()) -> tuple[Tensor, Mapping[str, Tensor]]:
        """See `Encoder.represent`."""
        del layers
        found = _tensor(self._scenes(self._audio(waveform), self.model), waveform)
        if found.shape != (len(waveform), self.dim):
            raise EncoderError(f"scene embeddings have shape {list(found.shape)}, not {[len(waveform), self.dim]}")
        return found, {}

    def frames(self, waveform: Tensor, layer: str | None = None) -> tuple[Tensor, Tensor]:
        """Timestamp embeddings, which may have more or fewer values than `dim`; see `Encoder.frames`."""
        if self._timestamps is None:
            return super().frames(waveform, layer)
        self._check_input(waveform)
        self._check_layer(layer)
        values, milliseconds = self._timestamps(self._audio(waveform), self.model)
        # All waveforms of a batch are of one length, and so are their timestamps.
        times = _tensor(milliseconds, waveform).to("cpu", torch.float64)
        return _tensor(values, waveform), times.reshape(-1, times.shape[-1])[0] / 1000

    def _audio(self, waveform: Tensor) -> Any:
        tensorflow = sys.modules.get("tensorflow")
        if isinstance(self.model, nn.Module) or tensorflow is None:
            return waveform[:, 0]
        return tensorflow.convert_to_tensor(waveform[:, 0].cpu().numpy())


def _tensor(values: Any, like: Tensor) -> Tensor:
    found = values if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
    return found.to(like.device)
