"""Reading the variables of a TensorFlow checkpoint of version 2 with NumPy alone.

Its ``.index`` is a sorted string table as LevelDB writes them: blocks of entries whose keys are cut short by what they
share with the key before, and a footer that says where the block of blocks lies. A value is a protobuf message
``BundleEntryProto`` (tensorflow/core/protobuf/tensor_bundle.proto), which says where the variable stands in
``.data-00000-of-00001``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import UserError

_MAGIC = bytes.fromhex("57fb808b247547db")
_FOOTER = 48
#: Behind each block: how it is compressed, and a checksum.
_TRAILER = 5
#: What training alone needs.
_OPTIMISER = ("beta1_power", "beta2_power", "Adam", "global_step")
_FLOAT32 = 1
#: Wire types of protobuf.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read_variables(index: bytes, data: bytes) -> dict[str, NDArray[np.float32]]:
    """Variables of float32 by their names, without those of the optimiser.

    Parameters
    ----------
    index, data
        Content of ``.index`` and of ``.data-00000-of-00001``.

    Raises
    ------
    UserError
        If these are no such files, or parts of them are missing.
    """
    try:
        found = {}
        for key, value in _entries(index):
            name = key.decode()
            if name and not any(part.startswith(_OPTIMISER) for part in name.split("/")):
                variable = _variable(value, data)
                if variable is not None:
                    found[name] = variable
    except (IndexError, ValueError, struct.error, UnicodeDecodeError) as error:
        raise UserError(f"not a checkpoint of TensorFlow, or damaged: {error}") from None
    return found


def _entries(index: bytes) -> Iterator[tuple[bytes, bytes]]:
    if len(index) < _FOOTER or index[-8:] != _MAGIC:
        raise ValueError("no table of variables")
    footer = index[-_FOOTER:]
    _, place = _handle(footer, 0)
    directory, _ = _handle(footer, place)
    for _, value in _block(index, *directory):
        block, _ = _handle(value, 0)
        yield from _block(index, *block)


def _handle(content: bytes, place: int) -> tuple[tuple[int, int], int]:
    """Offset and size of a block, and where what follows begins."""
    offset, place = _varint(content, place)
    size, place = _varint(content, place)
    return (offset, size), place


def _block(index: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    if offset + size + _TRAILER > len(index):
        raise ValueError("a block lies beyond the end")
    if index[offset + size] != 0:
        raise ValueError("a compressed block")
    content = index[offset : offset + size]
    restarts = struct.unpack_from("<I", content, size - 4)[0]
    end = size - 4 - 4 * restarts
    place, key = 0, b""
    while place < end:
        shared, place = _varint(content, place)
        fresh, place = _varint(content, place)
        length, place = _varint(content, place)
        if shared > len(key) or place + fresh + length > end:
            raise ValueError("an entry lies beyond its block")
        key = key[:shared] + content[place : place + fresh]
        yield key, content[place + fresh : place + fresh + length]
        place += fresh + length


def _variable(value: bytes, data: bytes) -> NDArray[np.float32] | None:
    """What an entry describes; ``None`` if it is of no float32."""
    kind, offset, size = 0, 0, 0
    shape: list[int] = []
    for field, content in _fields(value):
        if field == 1:
            kind = _number(content)
        elif field == 2:
            shape = [_size(part) for number, part in _fields(_text(content)) if number == 2]
        elif field == 4:
            offset = _number(content)
        elif field == 5:
            size = _number(content)
    if kind != _FLOAT32:
        return None
    if size != 4 * _product(shape) or offset + size > len(data):
        raise ValueError(f"a variable of shape {shape} has {size} bytes at {offset} of {len(data)}")
    return np.frombuffer(data, "<f4", size // 4, offset).reshape(shape).astype(np.float32)


def _size(dimension: int | bytes) -> int:
    return next((_number(content) for field, content in _fields(_text(dimension)) if field == 1), 0)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and content of each field of a protobuf message, but for fields of fixed size, of which none is wanted."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            content, place = _varint(message, place)
            yield number, content
        elif kind == _BYTES:
            length, place = _varint(message, place)
            if place + length > len(message):
                raise ValueError("a field lies beyond its message")
            yield number, message[place : place + length]
            place += length
        elif kind in (_FIXED32, _FIXED64):
            place += 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"a field of the unknown kind {kind}")


def _varint(content: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where what follows begins."""
    number = shift = 0
    while shift < 64:
        byte = content[place]
        number |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return number, place
    raise ValueError("a number of more than 64 bits")


def _number(content: int | bytes) -> int:
    if isinstance(content, bytes):
        raise ValueError("bytes where a number is to be")
    return content


def _text(content: int | bytes) -> bytes:
    if isinstance(content, int):
        raise ValueError("a number where bytes are to be")
    return content


def _product(shape: Sequence[int]) -> int:
    found = 1
    for size in shape:
        found *= size
    return found
