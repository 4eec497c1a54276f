"""Models of the Hugging Face Hub: those that take a waveform, as wav2vec 2.0, HuBERT and MERT, and those that do not.

The frames of the former follow from their convolutions; of the latter, as AST, CLAP and Whisper, they are counted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from encoders import EncoderError
from encoders.adapters.foreign import attribute, import_module
from encoders.adapters.frames import MAX_SECONDS, FrameEncoder
from encoders.adapters.huggingface_features import FeatureModel, audio_part
from encoders.base import Encoder
from encoders.time_grid import TimeGrid

#: Said of weights that may be others tomorrow.
UNPINNED = "unpinned"
#: What the feature extractors of these models add to a waveform's variance before they divide by its root.
_VARIANCE_FLOOR = 1e-7
#: Parameters that only training uses, and that published files often lack.
_UNUSED = "masked_spec_embed"
_COMMIT = re.compile(r"[0-9a-f]{40}")


class HuggingFaceEncoder(FrameEncoder):
    """A model of the Hugging Face Hub, averaged over time.

    Models with convolutions over the waveform are called with it; all others with what their own processor makes of it,
    and what they give is counted on silence of two lengths. Where a longer waveform gives no more, as of AST, its
    tokens are averaged, and there are no frames in time.

    Needs the extra ``huggingface``. Nothing is fetched unless `download` says so.

    Parameters
    ----------
    model
        Name on the Hub, ``owner/name``, or a folder, named under `files` in the registry.
    revision
        Commit hash of the model on the Hub. A branch or tag, or none, is accepted and recorded as unpinned.
    layer
        Hidden state that is the representation: 0 is what enters the transformer, 1 the output of its first layer.
        By default the model's own last output.
    download
        Fetch the model if it is not on this machine.
    trust_remote_code
        Run code that lies beside the model on the Hub.
    max_seconds
        Longest waveform handed over at once [s]; longer clips are cut into equal parts. Never more than the model's
        processor keeps.
    part
        The part of the model that is called, such as ``encoder`` of EnCodec; by default all of it, its audio tower, or
        its encoder if there is a decoder.
    channels_first
        Whether that part gives [B, channels, t].

    Raises
    ------
    EncoderError
        If the model is not on this machine, takes no audio, or its file lacks weights.
    """

    def __init__(
        self,
        *,
        model: str | Path,
        revision: str | None = None,
        layer: int | None = None,
        download: bool = False,
        trust_remote_code: bool = False,
        max_seconds: float = MAX_SECONDS,
        part: str | None = None,
        channels_first: bool = False,
    ) -> None:
        if isinstance(model, str) and not Path(model).is_absolute() and Path(model).exists():
            raise EncoderError(
                f"{model}: is a folder here that would hide the model of that name; name it under files, or rename it"
            )
        library = _transformers()
        # What these load is not to be taken for what the model's files lack.
        config_of, extractor_of, network_of = library.AutoConfig, library.AutoFeatureExtractor, library.AutoModel
        common = {"revision": revision, "local_files_only": not download, "trust_remote_code": trust_remote_code}
        try:
            config = config_of.from_pretrained(str(model), **common)
            _refuse_what_hears_nothing(library, config, model)
            extractor = extractor_of.from_pretrained(str(model), **common)
            network, loading = network_of.from_pretrained(str(model), output_loading_info=True, **common)
        except (OSError, ValueError) as error:
            raise EncoderError(_unavailable(model, revision, download, error)) from error
        missing = sorted(key for key in loading["missing_keys"] if _UNUSED not in key)
        if missing:
            raise EncoderError(f"{model}: its file lacks {len(missing)} weights of the model, {missing[0]} the first")
        rate = int(extractor.sampling_rate)
        self._features: FeatureModel | None = None
        if hasattr(config, "conv_stride") and part is None:
            super().__init__(sample_rate=rate, dim=int(config.hidden_size), max_seconds=max_seconds)
            self.model = network
            self._states = 1 + int(attribute(config, "num_hidden_layers", f"the configuration of {model}"))
            self._normalise = bool(getattr(extractor, "do_normalize", False))
            self._grid, self._span = _first_frames(config.conv_kernel, config.conv_stride)
        else:
            hearing = audio_part(network, part, str(model))
            found = FeatureModel(extractor, hearing, rate, channels_first=channels_first, name=str(model))
            super().__init__(sample_rate=rate, dim=found.dim, max_seconds=max_seconds)
            self.model = hearing
            self._features, self._states = found, found.states
            self.max_window = min(self.max_window, found.longest() or self.max_window)
        if layer is not None and not 0 <= layer < self._states:
            raise EncoderError(f"{model}: layer must be from 0 to {self._states - 1}, not {layer}")
        self._layer = layer
        if self._features is not None and layer is not None:
            with torch.inference_mode():
                self.dim = int(self._run(torch.zeros(1, rate), False)[0].shape[2])
        pinned = revision is not None and _COMMIT.fullmatch(revision) is not None
        where = "local folder" if Path(model).is_dir() else revision if pinned else UNPINNED
        self._provenance = {
            "interface": "Hugging Face",
            "model": Path(model).name if Path(model).is_dir() else str(model),
            "revision": str(where),
            "commit": _commit(library, model, common),
            "transformers": str(library.__version__),
        }

    @property
    def provenance(self) -> Mapping[str, str]:
        """Model, its revision or ``unpinned``, and the commit that was found."""
        return self._provenance

    def layers(self) -> tuple[str, ...]:
        """``layer_0``, what enters the transformer, and the output of each of its layers from ``layer_1`` on."""
        return tuple(f"layer_{n}" for n in range(self._states))

    def represent(self, waveform: Tensor, layers: Sequence[str] = ()) -> tuple[Tensor, Mapping[str, Tensor]]:
        """See `Encoder.represent`."""
        audio = waveform[:, 0]
        frames, states = self._run(audio, bool(layers))
        outputs = {name: states[n].mean(dim=1) for n, name in enumerate(self.layers()) if name in layers}
        return self._timed(frames, audio)[0].mean(dim=1), outputs

    def frames(self, waveform: Tensor, layer: str | None = None) -> tuple[Tensor, Tensor]:
        """A hidden state, by default the representation's; one frame of a model without time; see `Encoder.frames`."""
        if self._features is not None and not self._features.timed:
            return Encoder.frames(self, waveform, layer)
        if layer is None:
            return super().frames(waveform)
        self._check_input(waveform)
        self._check_layer(layer)
        audio = waveform[:, 0]
        return self._timed(self._run(audio, True)[1][self.layers().index(layer)], audio)

    def model_frames(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """See `FrameEncoder.model_frames`."""
        return self._timed(self._run(audio, False)[0], audio)

    def _timed(self, frames: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
        samples, count = audio.shape[1], frames.shape[1]
        if self._features is not None:
            return self._checked_any(frames, self._features.grid(samples, count).seconds(count, self.sample_rate))
        grid = self._grid
        if count != 1 + (samples - self._span) // round(grid.hop):
            # Of audio shorter than a frame, or of a model that thins its frames out behind the transformer.
            grid = TimeGrid.equal_parts(samples, max(count, 1))
        return self._checked(frames, grid.seconds(count, self.sample_rate), len(audio))

    def _checked_any(self, frames: Tensor, seconds: Tensor) -> tuple[Tensor, Tensor]:
        """Frames of a hidden state, which may have another number of values than the representation."""
        if not frames.shape[1]:
            raise EncoderError("the model gave no frame")
        return frames, seconds

    def _run(self, waveform: Tensor, all_states: bool) -> tuple[Tensor, Sequence[Tensor]]:
        if self._features is not None:
            last, given = self._features(waveform, all_states or self._layer is not None)
            return last if self._layer is None else given[self._layer], given
        if waveform.shape[1] < self._span:
            waveform = torch.nn.functional.pad(waveform, (0, self._span - waveform.shape[1]))
        if self._normalise:
            centred = waveform - waveform.mean(dim=1, keepdim=True)
            variance = centred.square().mean(dim=1, keepdim=True)
            waveform = centred / (variance + _VARIANCE_FLOOR).sqrt()
        wanted = all_states or self._layer is not None
        output: Any = self.model(waveform, output_hidden_states=wanted)
        states = output.hidden_states if wanted else ()
        return output.last_hidden_state if self._layer is None else states[self._layer], states


def _refuse_what_hears_nothing(library: Any, config: Any, model: str | Path) -> None:
    """Raise `EncoderError` for a model that the library knows and that takes no audio."""
    if hasattr(config, "conv_stride") or hasattr(config, "audio_config") or type(config) not in library.MODEL_MAPPING:
        return
    known = library.MODEL_MAPPING[type(config)]
    taken = str(getattr(known[0] if isinstance(known, tuple) else known, "main_input_name", ""))
    if taken not in ("input_features", "input_values"):
        raise EncoderError(f"{model}: a {config.model_type} model takes {taken}, and no audio")


def _transformers() -> Any:
    library = import_module("transformers")
    library.utils.logging.disable_progress_bar()
    return library


def _commit(library: Any, model: str | Path, options: Mapping[str, Any]) -> str:
    """Commit whose snapshot the model was loaded from; empty for a folder outside the Hub's cache."""
    file = library.utils.cached_file(str(model), "config.json", **options)
    parts = Path(file).parts
    return parts[-2] if _COMMIT.fullmatch(parts[-2]) else ""


def _unavailable(model: str | Path, revision: str | None, download: bool, error: Exception) -> str:
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    if download or Path(model).is_dir():
        return f"{model}: cannot be loaded: {reason}"
    pin = f" --revision {revision}" if revision else ""
    return (
        f"{model}: not on this machine, and nothing is fetched unasked: run `hf download {model}{pin}`, or put "
        f"`download: true` into the args of its entry ({reason})"
    )


def _first_frames(kernels: Sequence[int], strides: Sequence[int]) -> tuple[TimeGrid, int]:
    """When the frames are that the convolutions give, and how many samples each depends on."""
    grid, span = TimeGrid(), 1
    for kernel, stride in zip(kernels, strides, strict=True):
        span += (kernel - 1) * round(grid.hop)
        grid = grid.convolved(kernel, stride)
    return grid, span
