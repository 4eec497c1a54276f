"""Models in ONNX files, as basic-pitch and essentia publish theirs, behind a front end that the entry declares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from encoders import EncoderError
from encoders.adapters.foreign import import_module
from encoders.adapters.frames import MAX_SECONDS, LayeredFrameEncoder, Timed
from encoders.spectrograms import LogMel
from encoders.time_grid import TimeGrid

#: What an axis of the input may be.
_AXES = frozenset({"batch", "time", "band", "channel"})


class OnnxEncoder(LayeredFrameEncoder):
    """A model in an ONNX file, on the CPU; its outputs are frames or, without an axis of time, one for each patch.

    Needs the extra ``onnx``. The model's weights stay in its file, so they are not counted as parameters.

    Parameters
    ----------
    model
        The file, named under `files` in the registry.
    sample_rate
        Rate of the waveform [Hz].
    outputs
        Name of a layer -> name of the model's output that it is, from input to output.
    representation
        Layers that are joined to the representation; by default the last one.
    axes
        What the axes of the model's input are, of ``batch``, ``time``, ``band`` and ``channel`` (of size one).
    front_end
        Arguments of `encoders.spectrograms.LogMel` without the sample rate, if the model takes a spectrogram; else it
        is given the waveform.
    patch
        Length of what the model takes at once, in frames of the spectrogram or in samples; by default all.
    overlap
        By how much patches overlap, in the same unit: half of it lies before the beginning, and as much is cut off
        either end of what the model gives over time.
    max_seconds
        Longest waveform taken at once [s].

    Raises
    ------
    EncoderError
        If the file is no ONNX model, lacks an output, or takes another input than the entry says.
    """

    def __init__(
        self,
        *,
        model: str | Path,
        sample_rate: int,
        outputs: Mapping[str, str],
        representation: Sequence[str] = (),
        axes: Sequence[str] = ("batch", "time"),
        front_end: Mapping[str, Any] | None = None,
        patch: int | None = None,
        overlap: int = 0,
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        if not outputs or not set(representation) <= set(outputs):
            raise EncoderError(f"representation names layers that outputs lacks; it has {', '.join(outputs) or 'none'}")
        wanted = {"batch", "time"} | ({"band"} if front_end is not None else set())
        if len(set(axes)) < len(axes) or not wanted <= set(axes) <= wanted | {"channel"}:
            raise EncoderError(f"axes must be {', '.join(sorted(wanted))} and perhaps channel, not {', '.join(axes)}")
        if not 0 <= overlap < (patch or 1):
            raise EncoderError(f"overlap must be from 0 to less than patch, {patch}: {overlap}")
        self._session = _opened(Path(model))
        self._input = self._session.get_inputs()[0]
        if len(self._session.get_inputs()) != 1 or len(self._input.shape) != len(axes):
            raise EncoderError(
                f"{model}: takes {len(self._session.get_inputs())} inputs, the first of shape "
                f"{self._input.shape}; axes has {len(axes)}"
            )
        known = [output.name for output in self._session.get_outputs()]
        for layer, name in outputs.items():
            if name not in known:
                raise EncoderError(f"{model}: layer {layer}: has no output {name!r}; it has {', '.join(known)}")
        super().__init__(sample_rate=sample_rate, dim=1, max_seconds=max_seconds)
        self._outputs = dict(outputs)
        self._representation = tuple(representation) or (list(outputs)[-1],)
        self._axes = tuple(axes)
        self._patch, self._overlap = patch, overlap
        self.front_end = None if front_end is None else LogMel(sample_rate=sample_rate, **front_end)
        self._provenance = {"interface": "ONNX", "model": Path(model).name}
        with torch.no_grad():
            self.dim = int(self.outputs(torch.zeros(1, sample_rate), ())[0][0].shape[2])

    @property
    def provenance(self) -> Mapping[str, str]:
        """See `Encoder.provenance`."""
        return self._provenance

    def layers(self) -> tuple[str, ...]:
        """Those that the entry names."""
        return tuple(self._outputs)

    def outputs(self, audio: Tensor, layers: Sequence[str]) -> tuple[Timed, Mapping[str, Timed]]:
        """See `LayeredFrameEncoder.outputs`."""
        features = self._features(audio)
        count = features.shape[2]
        patch = self._patch or count
        step = patch - self._overlap
        before = self._overlap // 2
        # As many patches as begin within what there is; the last one is filled up with what silence gives.
        number = max(1, -(-count // step))
        padded = F.pad(features, (before, max(0, (number - 1) * step + patch - before - count)))
        patches = padded.unfold(2, patch, step)[:, :, :number].permute(0, 2, 1, 3)  # [B, number, bands, patch]
        names = list(dict.fromkeys((*self._representation, *layers)))
        found = dict(zip(names, self._run(patches.flatten(0, 1), names), strict=True))
        of = {name: self._timed(found[name], len(audio), count, step) for name in names}
        parts = [of[name][0] for name in self._representation]
        if len({part.shape[1] for part in parts}) > 1:
            raise EncoderError(
                f"layers {', '.join(self._representation)} have different numbers of frames to be joined"
            )
        joined = torch.cat(parts, dim=2)
        return (joined, of[self._representation[0]][1]), {name: of[name] for name in layers}

    def _features(self, audio: Tensor) -> Tensor:
        """What the model is given, [B, bands, t]; of a waveform, one band."""
        if self.front_end is None:
            return audio.unsqueeze(1)
        least = self.front_end.spectrogram.least
        return self.front_end(F.pad(audio, (0, max(0, least - audio.shape[1]))))

    def _run(self, patches: Tensor, names: Sequence[str]) -> list[Tensor]:
        """Outputs of the model for patches [n, bands, t], in batches of the size that it takes."""
        size = self._input.shape[self._axes.index("batch")]
        size = size if isinstance(size, int) and size > 0 else len(patches)
        parts = []
        for batch in patches.split(size):
            full = F.pad(batch, (0, 0, 0, 0, 0, size - len(batch)))  # models of one size of batch take no other
            given = np.ascontiguousarray(self._arranged(full).cpu().numpy(), np.float32)
            found = self._session.run([self._outputs[name] for name in names], {self._input.name: given})
            parts.append([torch.from_numpy(np.asarray(value)[: len(batch)]).float() for value in found])
        return [torch.cat(one).to(patches.device) for one in zip(*parts, strict=True)]

    def _arranged(self, patches: Tensor) -> Tensor:
        """Patches [n, bands, t] with the axes that the model's input has."""
        places = {"batch": 0, "band": 1, "time": 2, "channel": 3}
        if self.front_end is None:
            patches, places = patches.squeeze(1), {"batch": 0, "time": 1, "channel": 2}
        if "channel" in self._axes:
            patches = patches.unsqueeze(-1)
        return patches.permute([places[axis] for axis in self._axes])

    def _timed(self, values: Tensor, batch: int, count: int, step: int) -> Timed:
        """Frames in the order of time, from what the model gave for each patch."""
        frames = values.unsqueeze(1) if values.ndim == 2 else values
        if frames.ndim != 3:
            raise EncoderError(f"the model gave an output of shape {list(values.shape)}; frames have two or three axes")
        hop = self.front_end.hop if self.front_end is not None else 1
        patch = step + self._overlap
        of_patch = frames.shape[1]
        cut = round(of_patch * (self._overlap // 2) / patch) if of_patch > 1 else 0
        kept = frames[:, cut : of_patch - cut].reshape(batch, -1, frames.shape[2])
        own = of_patch - 2 * cut
        length = step * hop / own  # samples that a frame stands for
        whole = max(1, min(kept.shape[1], -(-count * hop // max(1, round(length)))))
        return kept[:, :whole], TimeGrid(length / 2, length).seconds(whole, self.sample_rate)


def _opened(model: Path) -> Any:
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library raises classes of its own for each fault
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise EncoderError(f"{model}: cannot be loaded as an ONNX model: {reason}") from None
