"""Reading and writing encoder weights, never by unpickling code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from encoders import EncoderError
from encoders.base import Encoder
from encoders.published import from_published

#: How many keys an error names.
_NAMED = 3


def save_weights(encoder: Encoder, path: Path, about: Mapping[str, str] | None = None) -> None:
    """Write all parameters and buffers as safetensors; the same weights and `about` give the same bytes."""
    state = {key: tensor.contiguous() for key, tensor in encoder.state_dict().items()}
    # One key, for the library writes several in random order; and never none, for a file without tensors and
    # metadata cannot be read again.
    safetensors.torch.save_file(state, path, {"about": json.dumps(dict(about or {}), sort_keys=True)})


def load_weights(encoder: Encoder, path: Path) -> None:
    """Fill `encoder` from a safetensors file or a PyTorch state dict, in our names or the released code's.

    Raises
    ------
    EncoderError
        If the file cannot be read safely, or keys or shapes differ; names the first of them.
    """
    state = from_published(encoder, read_state(path))
    own = encoder.state_dict()
    missing = [key for key in own if key not in state]
    strange = [key for key in state if key not in own]
    if missing or strange:
        lacks = f"lacks {_some(missing)}" if missing else ""
        holds = f"holds {_some(strange)}, which the encoder does not have" if strange else ""
        raise EncoderError(f"{path}: {' and '.join(filter(None, (lacks, holds)))}")
    for key, tensor in own.items():
        if state[key].shape != tensor.shape:
            raise EncoderError(f"{path}: {key} has shape {list(state[key].shape)}, the encoder {list(tensor.shape)}")
    encoder.load_state_dict(state)


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file or of a PyTorch state dict, by name.

    Raises
    ------
    EncoderError
        If the file is neither, or holds more than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise EncoderError(f"{path}: there is no such file") from None
    except Exception as error:
        raise EncoderError(f"{path}: not readable as weights: {str(error).splitlines()[0]}") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise EncoderError(f"{path}: holds something else than a state dict of tensors")
    return state


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:_NAMED]) + (f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else "")
