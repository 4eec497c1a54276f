"""Encoders with the interface of X-ARES (Zhang et al. 2025, arXiv 2505.16369).

Such a file holds one PyTorch module whose class name ends with ``Encoder``, which states ``sampling_rate`` [Hz],
``output_dim`` and ``hop_size_in_ms`` and maps audio [B, samples] to frames [B, t, output_dim].
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from encoders import EncoderError
from encoders.adapters.foreign import attribute, import_module
from encoders.adapters.frames import MAX_SECONDS, FrameEncoder
from encoders.time_grid import TimeGrid

_SUFFIX = "Encoder"


class XaresEncoder(FrameEncoder):
    """An X-ARES encoder; frames are averaged over time.

    Parameters
    ----------
    module
        Name of the module that holds it, installed or beside the registry file; ``module:Name`` where it holds
        several encoders.
    options
        Keyword arguments of its class; X-ARES itself gives none.
    max_seconds
        Longest waveform handed over at once [s]; longer clips are cut into equal parts.

    Raises
    ------
    EncoderError
        If the module cannot be imported, holds no or several encoders, or lacks a part of the interface.
    """

    def __init__(
        self, *, module: str, options: Mapping[str, Any] | None = None, max_seconds: float = MAX_SECONDS
    ) -> None:
        module_name, _, class_name = module.partition(":")
        code = import_module(module_name)
        found = attribute(code, class_name, f"module {module_name}") if class_name else _only_encoder(code)
        model = found(**(options or {}))
        owner = f"X-ARES encoder {module_name}:{found.__name__}"
        if not isinstance(model, nn.Module):
            raise EncoderError(f"{owner} is no torch.nn.Module")
        super().__init__(
            sample_rate=int(attribute(model, "sampling_rate", owner)),
            dim=int(attribute(model, "output_dim", owner)),
            max_seconds=max_seconds,
        )
        self._hop = float(attribute(model, "hop_size_in_ms", owner)) / 1000 * self.sample_rate  # [samples]
        self.model = model
        self._provenance = {"interface": "X-ARES", "module": f"{module_name}:{found.__name__}"}

    @property
    def provenance(self) -> Mapping[str, str]:
        """See `Encoder.provenance`."""
        return self._provenance

    def model_frames(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """See `FrameEncoder.model_frames`.

        The interface does not say how a model fills up the ends, so what its hops leave over, or lack, is taken to
        be so on both sides alike: half a hop off at most, whether it pads or not.
        """
        found: Tensor = self.model(audio)
        grid = TimeGrid.centred(audio.shape[1], found.shape[1], self._hop)
        return found, grid.seconds(found.shape[1], self.sample_rate)


def _only_encoder(code: ModuleType) -> Any:
    """The one encoder that a module defines; classes that it imports from elsewhere do not count."""
    defined = [
        value
        for name, value in vars(code).items()
        if name.endswith(_SUFFIX) and isinstance(value, type) and value.__module__ == code.__name__
    ]
    if len(defined) != 1:
        names = ", ".join(found.__name__ for found in defined) or "none"
        raise EncoderError(f"module {code.__name__} must define one class named *{_SUFFIX}; it defines {names}")
    return defined[0]
