"""From the checkpoints in musicnn's wheel to weights of our networks, tensor by tensor."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.data.tensorflow_checkpoint import read_variables
from benchmark.data.weight_sources import read_member
from benchmark.errors import UserError
from encoders.musicnn import Musicnn, MusicnnVgg, PatchTagger

#: Name of a released model -> its architecture, and whose tags it tells.
MODELS: dict[str, tuple[type[Musicnn | MusicnnVgg], Literal["magnatagatune", "million_song"]]] = {
    "MTT_musicnn": (Musicnn, "magnatagatune"),
    "MSD_musicnn": (Musicnn, "million_song"),
    "MTT_vgg": (MusicnnVgg, "magnatagatune"),
    "MSD_vgg": (MusicnnVgg, "million_song"),
}


def read_model(wheel: zipfile.ZipFile, name: str) -> PatchTagger:
    """One of `MODELS`, with the weights that lie in musicnn's wheel.

    Raises
    ------
    UserError
        If its checkpoint is not there, or holds other variables than the network has.
    """
    architecture, tags = MODELS[name]
    variables = read_variables(
        read_member(wheel, f"musicnn/{name}/.index"), read_member(wheel, f"musicnn/{name}/.data-00000-of-00001")
    )
    return filled(architecture(tags), variables, name)


def filled(encoder: Musicnn | MusicnnVgg, variables: dict[str, NDArray[np.float32]], name: str) -> Musicnn | MusicnnVgg:
    """The network with the variables of a checkpoint in the place of its parameters.

    Raises
    ------
    UserError
        If one is missing, of another shape, or left over; `name` is the checkpoint's.
    """
    left = dict(variables)
    with torch.no_grad():
        for released, ours in _pairs(encoder):
            if released not in left:
                raise UserError(f"{name}: its checkpoint lacks {released}")
            value = _turned(torch.from_numpy(left.pop(released)))
            if value.shape != ours.shape:
                raise UserError(f"{name}: {released} has shape {list(value.shape)}, the network {list(ours.shape)}")
            ours.copy_(value)
    if left:
        raise UserError(f"{name}: its checkpoint holds {next(iter(left))}, which the network does not have")
    return encoder


def _pairs(encoder: Musicnn | MusicnnVgg) -> Iterator[tuple[str, Tensor]]:
    """Name of every released variable, and our tensor for it.

    TensorFlow counts layers of a kind in the order in which they were made.
    """
    network: Any = encoder
    norms = [network.norm]
    if isinstance(encoder, Musicnn):
        blocks = [*network.timbral, *network.temporal, *network.middle]
        layers = {_numbered("conv2d", number): block.conv for number, block in enumerate(blocks)}
        layers |= {"dense": network.head[1], "dense_1": network.head[4]}
        norms += [*(block.norm for block in blocks), network.head[0], network.head[3]]
    else:
        layers = {f"{number}CNN": block.conv for number, block in enumerate(network.blocks, 1)} | {
            "dense": network.head
        }
        norms += [block.norm for block in network.blocks]
    for name, layer in layers.items():
        yield f"{name}/kernel", layer.weight
        yield f"{name}/bias", layer.bias
    for number, norm in enumerate(norms):
        name = _numbered("batch_normalization", number)
        yield f"{name}/gamma", norm.weight
        yield f"{name}/beta", norm.bias
        yield f"{name}/moving_mean", norm.running_mean
        yield f"{name}/moving_variance", norm.running_var


def _turned(value: Tensor) -> Tensor:
    """[time, bands, in, out] -> [out, in, time, bands], and [in, out] -> [out, in]."""
    return value.permute(3, 2, 0, 1) if value.ndim == 4 else value.T if value.ndim == 2 else value


def _numbered(name: str, number: int) -> str:
    return f"{name}_{number}" if number else name
