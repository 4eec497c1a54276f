"""Functions for `encoders.adapters.callable` around packages in which others publish their models.

Each imports its package when it is first called, loads the model once, and gives frames as its package documents them.
None fetches weights: entries of the registry name them, and say how to get them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.adapters.foreign import import_module

#: Length that PESTO's filters fill at least [s].
_PESTO_SECONDS = 2.5


def muq(
    audio: NDArray[np.float32], sample_rate: int, *, model: str, revision: str | None = None
) -> Mapping[str, torch.Tensor]:
    """MuQ (Zhu et al. 2025), by the package ``muq``: hidden states ``layer_0`` to the last one, 25 frames a second."""
    del sample_rate
    network = _muq(model, revision)
    with torch.inference_mode():
        states = network(_batch(audio, network), output_hidden_states=True).hidden_states
    return {f"layer_{number}": state[0] for number, state in enumerate(states)}


@cache
def _muq(model: str, revision: str | None) -> Any:
    return _placed(import_module("muq").MuQ.from_pretrained(model, revision=revision, local_files_only=True))


def omar_rq(
    audio: NDArray[np.float32], sample_rate: int, *, model: str, layers: Sequence[int]
) -> Mapping[str, torch.Tensor]:
    """OMAR-RQ (Alonso-Jiménez et al. 2025), by the package ``omar_rq``: the layers of these numbers, by ``layer_N``."""
    del sample_rate
    network = _omar_rq(model)
    with torch.inference_mode():
        found = network.extract_embeddings(_batch(audio, network), layers=list(layers))  # [layers, B, t, channels]
    return {f"layer_{number}": values[0] for number, values in zip(layers, found, strict=True)}


@cache
def _omar_rq(model: str) -> Any:
    where = "cuda" if torch.cuda.is_available() else "cpu"
    return import_module("omar_rq").get_model(model_id=model, device=where).eval()


def musicfm(
    audio: NDArray[np.float32], sample_rate: int, *, file: str, layers: Sequence[int]
) -> Mapping[str, torch.Tensor]:
    """MusicFM (Won et al. 2024), by its authors' repository: the layers of these numbers, 25 frames a second.

    `file` is the folder of ``pretrained_msd.pt`` and ``msd_stats.json``. In 32 bits, as its authors advise.
    """
    del sample_rate
    network = _musicfm(file)
    with torch.inference_mode():
        return {f"layer_{number}": network.get_latent(_batch(audio, network), layer_ix=number)[0] for number in layers}


@cache
def _musicfm(folder: str) -> Any:
    made = import_module("musicfm.model.musicfm_25hz").MusicFM25Hz
    files = {"stat_path": f"{folder}/msd_stats.json", "model_path": f"{folder}/pretrained_msd.pt"}
    return _placed(made(is_flash=False, **files))


def panns(audio: NDArray[np.float32], sample_rate: int, *, file: str) -> NDArray[np.float32]:
    """CNN14 (Kong et al. 2020), by the package ``panns_inference``: one embedding [1, 2048]."""
    del sample_rate
    _, embedding = _panns(file).inference(audio[None])
    return np.asarray(embedding, np.float32)


@cache
def _panns(file: str) -> Any:
    where = "cuda" if torch.cuda.is_available() else "cpu"
    return import_module("panns_inference").AudioTagging(checkpoint_path=file, device=where)


def openl3(
    audio: NDArray[np.float32], sample_rate: int, *, content: str = "music", input_repr: str = "mel256", size: int = 512
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """OpenL3 (Cramer et al. 2019), by the package ``openl3``: an embedding of every second, ten a second, and when."""
    network = _openl3(content, input_repr, size)
    found, seconds = import_module("openl3").get_audio_embedding(
        audio, sample_rate, model=network, center=True, hop_size=0.1, verbose=False
    )
    return found, seconds


@cache
def _openl3(content: str, input_repr: str, size: int) -> Any:
    models = import_module("openl3.models")
    return models.load_audio_embedding_model(input_repr=input_repr, content_type=content, embedding_size=size)


def pesto(
    audio: NDArray[np.float32], sample_rate: int, *, model: str = "mir-1k_g7", step: float = 0.01
) -> tuple[torch.Tensor, NDArray[np.float64]]:
    """PESTO (Riou et al. 2023), by the package ``pesto-pitch``: activations of 384 pitches every `step` [s], and when.

    Waveforms shorter than the filters of its constant-Q transform are filled up with silence.
    """
    network = _pesto(model, step, sample_rate)
    count = 1 + int(len(audio) / (step * sample_rate))
    least = _PESTO_SECONDS * sample_rate
    filled = np.pad(audio, (0, max(0, int(least) - len(audio))))
    with torch.inference_mode():
        *_, activations = network(_batch(filled, network), sr=sample_rate, return_activations=True)
    return activations[0, :count], np.arange(min(count, activations.shape[1])) * step


@cache
def _pesto(model: str, step: float, sample_rate: int) -> Any:
    return _placed(import_module("pesto").load_model(model, step_size=1000 * step, sampling_rate=sample_rate))


def _placed(network: Any) -> Any:
    return network.eval().to("cuda" if torch.cuda.is_available() else "cpu")


def _batch(audio: NDArray[np.float32], network: Any) -> torch.Tensor:
    """One waveform [1, T] where the network is."""
    parameter = next(iter(network.parameters()), None)
    return torch.from_numpy(audio)[None].to(parameter.device if parameter is not None else "cpu")
