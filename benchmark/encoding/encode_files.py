"""Embeddings of anyone's audio files, of any length, in the memory of a few windows."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from benchmark.audio.audio_source import Undecodable
from benchmark.audio.decoding import decode_blocks, decoded_length
from benchmark.audio.one_shots import MIN_SECONDS
from benchmark.console import Reporter
from benchmark.encoding.windows import PLAIN_CUTTING, BatchEncoder, Cutting, window_spans
from benchmark.errors import UserError, unknown_name
from benchmark.freed_memory import freed_memory_kept
from benchmark.store.embeddings import REPRESENTATION
from benchmark.store.storage_errors import storage_errors
from encoders.base import Encoder


@dataclass(frozen=True)
class AudioFile:
    """A file that has been read to its end once.

    Attributes
    ----------
    path
        Where it lies.
    samples
        Its length at the encoder's sample rate.
    """

    path: Path
    samples: int


@dataclass(frozen=True)
class Window:
    """A window of a file.

    Attributes
    ----------
    file
        Place of the file among those that are encoded.
    start
        Where in the file it begins [samples at the encoder's rate].
    pcm
        Its samples.
    """

    file: int
    start: int
    pcm: NDArray[np.int16]


def open_files(paths: Sequence[Path], encoder: Encoder, reporter: Reporter) -> list[AudioFile]:
    """Read every file once, so that a broken one is known before anything is encoded.

    Raises
    ------
    UserError
        If a file cannot be decoded to its end: its path and why.
    """
    files = []
    with reporter.progress("look through the files", len(paths), "files") as advance:
        for path in paths:
            try:
                files.append(AudioFile(path, decoded_length(path, encoder.sample_rate)))
            except Undecodable as error:
                reason = error if path.exists() else "there is no such file; name files of audio"
                raise UserError(f"{path}: {reason}") from None
            advance(1)
    return files


def encode_files(
    files: Sequence[AudioFile],
    encoder: Encoder,
    output: Path,
    reporter: Reporter,
    *,
    layer: str | None = None,
    frames: bool = False,
    cutting: Cutting = PLAIN_CUTTING,
) -> tuple[int, int]:
    """Encode files and write an npz, which is there as a whole or not at all.

    The file holds ``embeddings`` (float32, [rows, dim]); ``clip`` (int64, [rows]), the place of each row's file in
    ``files`` (text); and ``seconds`` (float64, [rows]), where the row's window begins, or with `frames` the time
    of its frame, both from the start of the file.

    Parameters
    ----------
    files
        From `open_files`.
    encoder
        Put into evaluation mode and onto the device.
    output
        The npz to write or replace.
    layer
        Encode with the output of this layer, averaged over time unless `frames`, instead of the representation.
    frames
        A row for every frame that the encoder or the layer tells apart in a window, instead of one for the window.
    cutting
        How files are cut into windows.

    Returns
    -------
    rows, dim : int

    Raises
    ------
    UserError
        If the encoder yields values that are not finite, or `output` cannot be written.
    """
    encode = BatchEncoder(encoder)
    # Windows of any length are long: one at a time fills a device well enough, and keeps memory small.
    size = encode.batch if encoder.window is not None else 1
    total = sum(len(window_spans(_span(file, encoder), encoder, cutting)) for file in files)
    clips: list[NDArray[np.int64]] = []
    seconds: list[NDArray[np.float64]] = []
    with (
        storage_errors(output.parent),
        tempfile.TemporaryFile(dir=output.parent) as rows,
        freed_memory_kept(),
        reporter.progress(f"encode {len(files)} {'file' if len(files) == 1 else 'files'}", total, "windows") as advance,
    ):
        dim = 0
        for batch in batches_of_one_length(_windows(files, encoder, cutting), size):
            offsets = np.zeros(1)
            windows = [window.pcm for window in batch]
            if frames:
                found, offsets = encode.frames(windows, layer)
            else:
                found = encode.layers(windows, [layer or REPRESENTATION])[layer or REPRESENTATION][:, None]
            if not np.isfinite(found).all():
                first = batch[0]
                where = f"{files[first.file].path}, at or after {first.start / encoder.sample_rate:.1f} s"
                raise UserError(f"{where}: the encoder yields values that are not finite; see bench check")
            dim = found.shape[2]
            rows.write(np.ascontiguousarray(found, "<f4").tobytes())
            clips.append(np.repeat([window.file for window in batch], len(offsets)))
            starts = np.array([window.start for window in batch]) / encoder.sample_rate
            seconds.append((starts[:, None] + offsets).ravel())
            advance(len(batch))
        index = {
            "clip": np.concatenate(clips),
            "seconds": np.concatenate(seconds),
            "files": np.array([str(file.path) for file in files], dtype=np.str_),
        }
        _write_npz(output, rows, (len(index["clip"]), dim), index)
    return len(index["clip"]), dim


def check_output(output: Path) -> None:
    """Raise `UserError` if `output` cannot become a file; better known before hours of work."""
    if output.is_dir():
        raise UserError(f"{output}: is a folder; name the npz file to write")
    if not output.parent.is_dir():
        raise UserError(f"{output}: there is no folder {output.parent}; make it, or name another file")
    if not os.access(output.parent, os.W_OK):
        raise UserError(f"{output}: the folder {output.parent} cannot be written to")


def check_layer(encoder: Encoder, name: str, layer: str | None) -> None:
    """Raise `UserError` if the encoder of this name has no such layer."""
    if layer is not None and layer not in encoder.layers():
        raise unknown_name(f"layer of {name}", layer, encoder.layers())


def stream_windows(
    blocks: Iterable[NDArray[np.int16]],
    samples: int,
    encoder: Encoder,
    file: int = 0,
    cutting: Cutting = PLAIN_CUTTING,
) -> Iterator[Window]:
    """Windows of a file as `benchmark.encoding.windows.cut_windows` cuts them, from blocks.

    Parameters
    ----------
    blocks
        The file from its start, in pieces of any length.
    samples
        Length of the file; where `blocks` end before it, silence follows.
    encoder
        Says how long windows are.
    file
        Place of the file among those that are encoded.
    cutting
        How the file is cut into windows.
    """
    source = iter(blocks)
    held = np.empty(0, np.int16)
    position = 0
    for start, end in window_spans(samples, encoder, cutting):
        parts = [held]
        missing = end - position - len(held)
        while missing > 0:
            parts.append(next(source, np.zeros(missing, np.int16)))
            missing -= len(parts[-1])
        held, position = np.concatenate(parts)[start - position :], start
        yield Window(file, start, held[: end - start])


def batches_of_one_length(windows: Iterable[Window], size: int) -> Iterator[list[Window]]:
    """Up to `size` successive windows of one length at a time."""
    batch: list[Window] = []
    for window in windows:
        if batch and (len(batch) == size or len(window.pcm) != len(batch[0].pcm)):
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


def _windows(files: Sequence[AudioFile], encoder: Encoder, cutting: Cutting) -> Iterator[Window]:
    for number, file in enumerate(files):
        try:
            yield from stream_windows(
                decode_blocks(file.path, encoder.sample_rate), _span(file, encoder), encoder, number, cutting
            )
        except Undecodable as error:
            raise UserError(f"{file.path}: {error}; it has changed since it was looked through") from None


def _span(file: AudioFile, encoder: Encoder) -> int:
    """Samples to encode: encoders of any length are not asked for less than the shortest clip of a dataset."""
    return file.samples if encoder.window is not None else max(file.samples, int(MIN_SECONDS * encoder.sample_rate))


def _write_npz(output: Path, rows: IO[bytes], shape: tuple[int, int], index: dict[str, NDArray[Any]]) -> None:
    """As `numpy.savez`, but from rows in a file, and renamed into place when all is written."""
    unfinished = output.with_name(f".{output.name}-{os.getpid()}")
    try:
        with zipfile.ZipFile(unfinished, "x", allowZip64=True) as archive:
            with archive.open("embeddings.npy", "w", force_zip64=True) as member:
                npy.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": shape})
                rows.seek(0)
                shutil.copyfileobj(rows, member)
            for name, array in index.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    npy.write_array(member, array, allow_pickle=False)
        unfinished.replace(output)
    except BaseException:
        with suppress(FileNotFoundError):
            unfinished.unlink()
        raise
