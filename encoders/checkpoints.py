"""Files of weights as others publish them: read without running what is in them, and the encoder's tensors found."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from encoders import EncoderError

#: Where training code keeps an encoder, the longest prefix first.
_ENCODER_PREFIXES = ("model.encoder.", "encoder.")
#: What training code keeps beside it: projectors, and the layers of linear or shallow heads.
_BESIDE = re.compile(r"(model\.)?(projector\.|fc\.|branches_infer\.|\d+\.(weight|bias)$)")
#: How PyTorch names what it refuses to import while it reads a file.
_FOREIGN = re.compile(r"GLOBAL ([\w.]+)")


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file, a PyTorch state dict or a Lightning checkpoint, under the names they have there.

    Raises
    ------
    EncoderError
        If the file is none of these, or holds objects whose loading would run code.
    """
    _refuse_what_is_no_file_of_weights(path)
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise EncoderError(f"{path}: not readable as weights: {_reason(error)}") from None
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise EncoderError(f"{path}: holds something else than a state dict of tensors")
    return state


def encoder_state(state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The encoder's part of `state`, without the prefixes of training code and without projectors and heads.

    Lightning files of the released CLMR and TUNe code hold the encoder twice, as ``encoder.*`` and as
    ``model.encoder.*``; its plain files once, beside a projector.

    Raises
    ------
    EncoderError
        If a tensor stands twice with different values, or there is no encoder in it; `path` is named.
    """
    found: dict[str, Tensor] = {}
    came_from: dict[str, str] = {}
    for key, tensor in state.items():
        prefix = next((prefix for prefix in _ENCODER_PREFIXES if key.startswith(prefix)), "")
        name = key.removeprefix(prefix)
        if _BESIDE.match(name):
            continue
        if name in found and not _equal(found[name], tensor):
            raise EncoderError(f"{path}: holds {name} twice, as {came_from[name]} and as {key}, and they differ")
        found[name] = tensor
        came_from[name] = key
    if state and not found:
        raise EncoderError(f"{path}: holds a head or projector ({', '.join(list(state)[:3])}) and no encoder")
    return found


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(((one == other) | ((one != one) & (other != other))).all())


def _refuse_what_is_no_file_of_weights(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(256)
    except FileNotFoundError:
        raise EncoderError(f"{path}: there is no such file; name a file of weights") from None
    except OSError as error:
        raise EncoderError(f"{path}: cannot be read: {error.strerror}") from None
    if not start:
        raise EncoderError(f"{path}: not readable as weights: the file is empty")
    if start.startswith(b"version https://git-lfs.github.com/"):
        raise EncoderError(
            f"{path}: not readable as weights: a Git LFS pointer stands in their place; run `git lfs pull` there"
        )
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise EncoderError(
            f"{path}: not readable as weights: a web page was saved in their place; download the file behind it"
        )


def _reason(error: Exception) -> str:
    foreign = _FOREIGN.search(str(error)) if isinstance(error, pickle.UnpicklingError) else None
    if foreign is not None:
        return f"holds Python objects beside its tensors ({foreign[1]}), and loading those would run code of the file"
    first = next(iter(str(error).splitlines()), type(error).__name__)
    return f"neither a safetensors file nor one that PyTorch wrote, or damaged ({first})"
