"""Reading and writing encoder weights, never by unpickling code."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import safetensors.torch
from torch import Tensor

from encoders import EncoderError
from encoders.base import Encoder
from encoders.checkpoints import encoder_state, read_state, without_outer_prefix

#: How many keys an error names.
_NAMED = 3


def save_weights(encoder: Encoder, path: Path, about: Mapping[str, str] | None = None) -> None:
    """Write all parameters and buffers as safetensors; the same weights and `about` give the same bytes."""
    state: dict[str, Tensor] = {}
    storages: set[int] = set()
    for key, tensor in encoder.state_dict().items():
        # The format keeps no memory that two tensors share, as tied weights do.
        shared = tensor.untyped_storage().data_ptr() in storages
        state[key] = tensor.clone() if shared else tensor.contiguous()
        storages.add(tensor.untyped_storage().data_ptr())
    # One key, for the library writes several in random order; and never none, for a file without tensors and
    # metadata cannot be read again.
    save_tensors(state, path, {"about": json.dumps(dict(about or {}), sort_keys=True)})


def save_tensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file that whoever may read a new file here may read; the library makes it private."""
    path.touch()
    mode = path.stat().st_mode
    safetensors.torch.save_file(tensors, path, metadata)
    path.chmod(mode)


def load_weights(encoder: Encoder, path: Path, told: Callable[[str], object] = lambda _: None) -> None:
    """Fill `encoder` from a file of its own state, or of one that training code left, checked key by key.

    Whatever `encoders.checkpoints.read_state` reads will do, with our names or with those of `Encoder.published_names`,
    and with prefixes of what wrapped the network.

    Parameters
    ----------
    encoder
        Filled.
    path
        The file.
    told
        Given a line on which of several state dicts was taken.

    Raises
    ------
    EncoderError
        If the file cannot be read safely, holds numbers that are not finite, or keys or shapes differ; names the first.
    """
    own = encoder.state_dict()
    state = read_state(path, told)
    if set(state) != set(own):
        state = without_outer_prefix(state, own)
    if set(state) != set(own):
        state = _with_our_names(encoder, encoder_state(state, path))
        state = {key: own[key] for key in own if key.startswith(encoder.unpublished())} | state
    missing = [key for key in own if key not in state]
    strange = [key for key in state if key not in own]
    if missing or strange:
        lacks = f"lacks {_some(missing)}" if missing else ""
        holds = f"holds {_some(strange)}, which the encoder does not have" if strange else ""
        raise EncoderError(f"{path}: {' and '.join(filter(None, (lacks, holds)))}")
    other = [key for key, tensor in own.items() if state[key].shape != tensor.shape]
    if other:
        key = other[0]
        also = f"; other shapes differ too: {_some(other[1:])}" if other[1:] else ""
        raise EncoderError(
            f"{path}: {key} has shape {list(state[key].shape)}, the encoder {list(own[key].shape)}{also}"
        )
    encoder.load_state_dict(state)


def _with_our_names(encoder: Encoder, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` with published names replaced by ours; others stay."""
    ours = encoder.published_names()
    renamed = {}
    for key, tensor in state.items():
        stem, dot, leaf = key.rpartition(".")
        renamed[ours.get(stem + dot, stem + dot) + leaf] = tensor
    return renamed


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:_NAMED]) + (f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else "")
