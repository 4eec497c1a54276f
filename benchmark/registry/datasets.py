"""Datasets in the user's folders or made up: opened, and what of their files determines what is made of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.audio.headers import headers_seconds
from benchmark.audio.one_shots import one_shot_seconds
from benchmark.console import Reporter
from benchmark.errors import USER_ERRORS, UserError
from benchmark.registry.entries import DatasetEntry
from benchmark.registry.plugins import load_class, load_standin
from benchmark.registry.registry import Named
from benchmark.store.digests import DigestCache, Unread
from benchmark.store.store import Store, digest_file, digest_of
from tasks import DatasetError
from tasks.base import Clip, Dataset


def dataset_at(named: Named[DatasetEntry], root: Path) -> Dataset:
    """The dataset of an entry in the folder `root`, not looked at yet.

    Raises
    ------
    UserError
        If the class does not take the entry's arguments.
    """
    found = load_class(named)
    try:
        dataset: Dataset = found(root, **named.entry.args)
    except TypeError as error:
        raise UserError(f"{named.file}:{named.line}: datasets.{named.name}.args: {error}") from None
    return dataset


@contextmanager
def reading(named: Named[DatasetEntry]) -> Iterator[None]:
    """Lay to an entry's charge what its class raises inside the block and does not explain itself, as a `UserError`."""
    try:
        yield
    except (*USER_ERRORS, OSError):
        raise
    except Exception as error:
        raise UserError(
            f"{named.file}:{named.line}: datasets.{named.name}: {named.entry.class_path} raises "
            f"{type(error).__name__}: {error}"
        ) from error


def dataset_in(named: Named[DatasetEntry], data: Path | None) -> Dataset | None:
    """The dataset of an entry in the folder it names or below the data folder, there or not.

    ``None`` if the entry names no folder and there is no data folder.

    Raises
    ------
    UserError
        If its class cannot be imported or does not take the entry's arguments.
    """
    if named.entry.root is not None:
        return dataset_at(named, (named.file.parent / Path(named.entry.root).expanduser()).resolve())
    return None if data is None else dataset_at(named, data / load_class(named).NAME)


def open_dataset(named: Named[DatasetEntry], data: Path | None) -> Dataset:
    """The dataset of an entry, in the folder it names or below the data folder, looked at but not read through.

    Raises
    ------
    DatasetError
        If the folder does not hold it; the message says what is missing and how to get it.
    """
    dataset = dataset_in(named, data)
    assert dataset is not None
    dataset.check()
    return dataset


@dataclass(frozen=True)
class Contents:
    """What of a dataset's files determines what is made of them.

    Attributes
    ----------
    tables
        Hash over the content of the annotation files and their paths in the dataset.
    clips
        Hash over all that is known of the clips: their rows in the tables, and the content of their audio.
    rows
        The clips themselves.
    audio
        Hash of the content of each clip's file, by its path; those that are not there are missing.
    unread
        Why files that are there cannot be read, by path.
    """

    tables: str
    clips: str
    rows: Sequence[Clip]
    audio: Mapping[str, str]
    unread: Mapping[str, str]


def contents(dataset: Dataset, store: Store, reporter: Reporter) -> Contents:
    """Hash a dataset's tables, and the audio that its clips name.

    Other files in its folders, such as those that a file manager leaves, determine nothing. Where a table cannot be
    parsed there are no clips; the step that reads it says so, and fails alone.

    Raises
    ------
    UserError
        If a table cannot be read.
    """
    tables = list(dataset.tables())
    try:
        clips = list(dataset.clips())
    except DatasetError:
        clips = []
    there = {os.path.normpath(file): file for file in dataset.audio_files()}
    named = {clip.path: there.get(os.path.normpath(dataset.root / clip.path)) for clip in clips}
    files = list(dict.fromkeys(file for file in named.values() if file is not None))
    hashed = DigestCache(store).digests(
        [*tables, *files], lambda n: reporter.progress(f"see whether files of {dataset.NAME} have changed", n, "files")
    )
    of_file = dict(zip(files, hashed[len(tables) :], strict=True))
    found = {path: of_file[file] for path, file in named.items() if file is not None}
    audio = {path: digest for path, digest in found.items() if isinstance(digest, str)}
    unread = {path: digest.reason for path, digest in found.items() if isinstance(digest, Unread) and digest.reason}
    return Contents(
        tables=_tables_digest(dataset, dict(zip(tables, hashed, strict=False))),
        clips=_clips_digest(clips, {**audio, **{path: f"unread: {why}" for path, why in unread.items()}}, dataset),
        rows=clips,
        audio=audio,
        unread=unread,
    )


def source_tables(dataset: Dataset, store: Store, reporter: Reporter) -> str:
    """Hash over the content of the files that decide what a dataset's sources say, and their paths in the dataset."""
    tables = [table for table in dataset.source_tables() if table.is_file()]
    hashed = DigestCache(store).digests(
        tables, lambda n: reporter.progress(f"see whether tables of {dataset.NAME} have changed", n, "files")
    )
    return _tables_digest(dataset, dict(zip(tables, hashed, strict=True)))


def check_tables(dataset: Dataset, digest: str) -> None:
    """Raise `UserError` if a dataset's tables are not those with this hash, as `Contents` has it; reads them."""
    found: dict[Path, str | Unread] = {}
    for file in dataset.tables():
        try:
            found[file] = digest_file(file)
        except OSError as error:
            found[file] = Unread(error.strerror or "cannot be read")
    if _tables_digest(dataset, found) != digest:
        raise UserError(f"{dataset.root}: its tables were changed while this command ran; run it again")


def _tables_digest(dataset: Dataset, found: Mapping[Path, str | Unread]) -> str:
    for file, digest in found.items():
        if isinstance(digest, Unread):
            raise UserError(f"{file}: cannot be read: {digest.reason or 'there is no such file'}")
    return digest_of({relative(dataset, file): digest for file, digest in found.items()})


def _clips_digest(clips: Sequence[Clip], audio: Mapping[str, str], dataset: Dataset) -> str:
    """Hash over what tables say of clips, in their order, and the content of their files.

    Labels are no part of it, so that a corrected one costs nothing but what is trained on it. What a clip does not say
    is left out, so that a further attribute of clips changes nothing of those that have none.
    """
    rows = []
    for clip in clips:
        said = {field.name: getattr(clip, field.name) for field in fields(clip)}
        row = {name: value for name, value in said.items() if value not in (None, "")}
        if clip.promised is None and clip.path in audio and one_shot_seconds(dataset.root / clip.path) is not None:
            row["whole"] = True  # before, such files were taken for stubs
        rows.append([row, audio.get(clip.path), clip.path in dataset.KNOWN_BAD])
    return digest_of(rows)


def relative(dataset: Dataset, file: Path) -> str:
    """Path of a file from the dataset's folder, which a table of the user's own may lie outside of."""
    return Path(os.path.relpath(file, dataset.root)).as_posix()


def clip_lengths(dataset: Dataset) -> NDArray[np.float64]:
    """Duration of every clip whose file is there [s]: as its table promises, or as the header of its file says."""
    present = set(dataset.audio_files())
    clips = [clip for clip in dataset.clips() if dataset.root / clip.path in present]
    lengths = np.array([clip.promised or np.nan for clip in clips], np.float64)
    unsaid = np.flatnonzero(np.isnan(lengths))
    if len(unsaid):
        lengths[unsaid] = headers_seconds([dataset.root / clips[row].path for row in unsaid], dataset.TYPICAL_SECONDS)
    return lengths


def standin_lengths(named: Named[DatasetEntry]) -> NDArray[np.float64]:
    """Duration of every clip of a dataset's stand-in [s], on average."""
    clips, seconds = standin_extent(named)
    return np.full(clips, seconds / clips if clips else 0.0)


def standin_extent(named: Named[DatasetEntry]) -> tuple[int, float]:
    """Number of clips of a dataset's stand-in and their duration [s]."""
    clips, seconds = load_standin(named).extent()
    return int(clips), float(seconds)
