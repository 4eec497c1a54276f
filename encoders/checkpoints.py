"""Files of weights as others publish them: read without running what is in them, and the encoder's tensors found."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, cast

import safetensors.torch
import torch
from torch import Tensor

from encoders import EncoderError

#: Where training code keeps an encoder, the longest prefix first.
_ENCODER_PREFIXES = ("model.encoder.", "encoder.")
#: What training code keeps beside it: projectors, and the layers of linear or shallow heads.
_BESIDE = re.compile(r"(model\.)?(projector\.|fc\.|branches_infer\.|\d+\.(weight|bias)$)")
#: What wraps a whole network: several GPUs or nodes, compilation, averaged weights.
_WRAPPERS = ("module.", "_orig_mod.", "_forward_module.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
#: Further prefixes that all names of a file may have, and the encoder's own do not.
_OUTER = ("model.", "net.", "network.", "backbone.", "student.", "teacher.")
#: Where files keep a state dict, the one that is taken first; averaged weights are what was published to be used.
_STATES = (
    *("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema", "best_state"),
    *("state_dict", "model_state_dict", "model", "module", "encoder", "net"),
)
#: Counts of averaging that lie among averaged weights.
_COUNTS = frozenset({"n_averaged"})
#: How PyTorch names what it refuses to import while it reads a file.
_FOREIGN = re.compile(r"GLOBAL ([\w.]+)")
#: Bytes of the index of weights in several files, at most.
_LARGEST_INDEX = 2**26


def read_state(path: Path, told: Callable[[str], object] = lambda _: None) -> dict[str, Tensor]:
    """Tensors of a file of weights, under the names they have there but for what wraps all of them.

    A safetensors file, the index of several (``model.safetensors.index.json``), a PyTorch state dict, or a file that
    holds one under a name such as ``model`` or ``state_dict_ema``, as a Lightning checkpoint does. What a file is, its
    content says and not its name.

    Parameters
    ----------
    path
        The file.
    told
        Given a line on which of several state dicts was taken.

    Raises
    ------
    EncoderError
        If the file is none of these, holds objects whose loading would run code, or numbers that are not finite.
    """
    start = _start_of(path)
    try:
        if _is_safetensors(start):
            state: Any = safetensors.torch.load_file(path)
        elif start.lstrip().startswith(b"{"):
            state = _read_shards(path)
        else:
            with path.open("rb") as file:  # by its name, the library would take it for what it is not
                state = torch.load(file, map_location="cpu", weights_only=True)
    except EncoderError:
        raise
    except Exception as error:
        raise EncoderError(f"{path}: not readable as weights: {_reason(error)}") from None
    found = unwrapped(_state_within(state, path, told))
    broken = next((key for key, tensor in found.items() if not _is_finite(tensor)), None)
    if broken is not None:
        raise EncoderError(f"{path}: {broken} holds values that are not finite; the training that left it had failed")
    return found


def unwrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` without prefixes of what wraps a whole network, wherever they stand at the beginning of every name."""
    found = {key: tensor for key, tensor in state.items() if key not in _COUNTS}
    while found:
        prefix = next((each for each in _WRAPPERS if all(key.startswith(each) for key in found)), None)
        if prefix is None:
            break
        found = {key.removeprefix(prefix): tensor for key, tensor in found.items()}
    # Within what Lightning or a head wraps, and around modules that were compiled one by one.
    return {_without_wrappers(key): tensor for key, tensor in found.items()}


def without_outer_prefix(state: Mapping[str, Tensor], own: Collection[str]) -> dict[str, Tensor]:
    """`state` without prefixes that all its names have and those of `own` lack, such as ``model.``."""
    found = dict(state)
    while found:
        prefix = next((each for each in (*_OUTER, *_WRAPPERS) if all(key.startswith(each) for key in found)), None)
        if prefix is None or any(key.startswith(prefix) for key in own):
            break
        found = {key.removeprefix(prefix): tensor for key, tensor in found.items()}
    return found


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


def _start_of(path: Path) -> bytes:
    """The first bytes of a file, which must not be those of what is no file of weights."""
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
    return start


def _is_safetensors(start: bytes) -> bool:
    """Whether a file begins as the format has it: the length of a header in eight bytes, and the header, in JSON."""
    return len(start) > 8 and start[8:9] == b"{" and 2 <= int.from_bytes(start[:8], "little") <= 100_000_000


def _read_shards(index: Path) -> dict[str, Tensor]:
    """Tensors of several safetensors files, of which an index says what lies where."""
    if index.stat().st_size > _LARGEST_INDEX:
        raise EncoderError(f"{index}: is larger than the {_LARGEST_INDEX:,} bytes that are read of an index")
    places = json.loads(index.read_text(encoding="utf-8")).get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
        raise EncoderError(f"{index}: not readable as weights: it has no weight_map, as the index of several files has")
    found: dict[str, Tensor] = {}
    for name in dict.fromkeys(places.values()):
        if Path(name).name != name:
            raise EncoderError(f"{index}: names {name}, which does not lie beside it")
        shard = index.parent / name
        if not _is_safetensors(_start_of(shard)):
            raise EncoderError(f"{shard}: named by {index.name}, is no safetensors file")
        found |= safetensors.torch.load_file(shard)
    lacking = [key for key in places if key not in found]
    if lacking:
        raise EncoderError(f"{index}: its files lack {lacking[0]}")
    return found


def _state_within(content: Any, path: Path, told: Callable[[str], object]) -> Mapping[str, Tensor]:
    """The state dict that a file is, or holds."""
    if isinstance(content, Mapping) and all(isinstance(value, Tensor) for value in content.values()):
        return cast("Mapping[str, Tensor]", content)
    held = [name for name in _STATES if isinstance(content, Mapping) and isinstance(content.get(name), Mapping)]
    held = [name for name in held if content[name]]
    if not held:
        raise EncoderError(f"{path}: holds something else than a state dict of tensors")
    if len(held) > 1:
        told(f"{path}: took {held[0]} and left {', '.join(held[1:])}")
    return _state_within(content[held[0]], path, told)


def _without_wrappers(key: str) -> str:
    return ".".join(part for part in key.split(".") if f"{part}." not in _WRAPPERS[1:])


def _is_finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(tensor.isfinite().all())


def _reason(error: Exception) -> str:
    foreign = _FOREIGN.search(str(error)) if isinstance(error, pickle.UnpicklingError) else None
    if foreign is not None:
        return f"holds Python objects beside its tensors ({foreign[1]}), and loading those would run code of the file"
    first = next(iter(str(error).splitlines()), type(error).__name__)
    return f"neither a safetensors file nor one that PyTorch wrote, or damaged ({first})"
