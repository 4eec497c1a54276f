"""Models of the Hugging Face Hub that take a waveform: wav2vec 2.0, HuBERT, WavLM, data2vec, MERT and their kin."""

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
from encoders.time_grid import TimeGrid

#: Said of weights that may be others tomorrow.
UNPINNED = "unpinned"
#: What the feature extractors of these models add to a waveform's variance before they divide by its root.
_VARIANCE_FLOOR = 1e-7
#: Parameters that only training uses, and that published files often lack.
_UNUSED = "masked_spec_embed"
_COMMIT = re.compile(r"[0-9a-f]{40}")


class HuggingFaceEncoder(FrameEncoder):
    """A waveform model of the Hugging Face Hub, averaged over time.

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
        Longest waveform handed over at once [s]; longer clips are cut into equal parts.

    Raises
    ------
    EncoderError
        If the model is not on this machine, takes something else than a waveform, or its file lacks weights.
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
            if not hasattr(config, "conv_stride"):
                raise EncoderError(
                    f"{model}: a {config.model_type} model does not take a waveform; write a function around it for "
                    "encoders.adapters.callable"
                )
            extractor = extractor_of.from_pretrained(str(model), **common)
            network, loading = network_of.from_pretrained(str(model), output_loading_info=True, **common)
        except (OSError, ValueError) as error:
            raise EncoderError(_unavailable(model, revision, download, error)) from error
        missing = sorted(key for key in loading["missing_keys"] if _UNUSED not in key)
        if missing:
            raise EncoderError(f"{model}: its file lacks {len(missing)} weights of the model, {missing[0]} the first")
        super().__init__(sample_rate=int(extractor.sampling_rate), dim=int(config.hidden_size), max_seconds=max_seconds)
        depth = int(attribute(config, "num_hidden_layers", f"the configuration of {model}"))
        if layer is not None and not 0 <= layer <= depth:
            raise EncoderError(f"{model}: layer must be from 0 to {depth}, not {layer}")
        self.model = network
        self._depth = depth
        self._layer = layer
        self._normalise = bool(getattr(extractor, "do_normalize", False))
        self._grid, self._span = _first_frames(config.conv_kernel, config.conv_stride)
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
        return tuple(f"layer_{n}" for n in range(self._depth + 1))

    def represent(self, waveform: Tensor, layers: Sequence[str] = ()) -> tuple[Tensor, Mapping[str, Tensor]]:
        """See `Encoder.represent`."""
        audio = waveform[:, 0]
        frames, states = self._run(audio, bool(layers))
        outputs = {name: states[n].mean(dim=1) for n, name in enumerate(self.layers()) if name in layers}
        return self._timed(frames, audio)[0].mean(dim=1), outputs

    def frames(self, waveform: Tensor, layer: str | None = None) -> tuple[Tensor, Tensor]:
        """A hidden state, by default the representation's; see `Encoder.frames`."""
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
        grid = self._grid
        if count != 1 + (samples - self._span) // round(grid.hop):
            # Of audio shorter than a frame, or of a model that thins its frames out behind the transformer.
            grid = TimeGrid.equal_parts(samples, max(count, 1))
        return self._checked(frames, grid.seconds(count, self.sample_rate), len(audio))

    def _run(self, waveform: Tensor, all_states: bool) -> tuple[Tensor, Sequence[Tensor]]:
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
