"""Published checksums beside the user's files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmark.console import Reporter
from benchmark.errors import UserError
from benchmark.registry.datasets import relative
from tasks.base import Dataset

#: Lengths of hexadecimal digests by their name.
ALGORITHMS = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}


@dataclass(frozen=True)
class Verdict:
    """What comparing a dataset's files with published checksums brought.

    Attributes
    ----------
    matching
        Number of files whose checksum is the published one.
    differing
        Path below the dataset's folder -> what was published and what was found.
    missing
        Files with a published checksum that are not there.
    unpublished
        Number of files that are there and of which no checksum is published.
    """

    matching: int
    differing: Mapping[str, str]
    missing: tuple[str, ...]
    unpublished: int

    @property
    def sound(self) -> bool:
        """Whether all published checksums are those of the files."""
        return not self.differing and not self.missing


def verify(dataset: Dataset, reporter: Reporter) -> Verdict:
    """Hash every file of `dataset` that a checksum is published for.

    Raises
    ------
    DatasetError
        If its layout is not there, or a table that holds checksums cannot be parsed.
    UserError
        If a folder of it may not be read.
    """
    try:
        dataset.check()
        return _compare(dataset, reporter)
    except PermissionError as error:
        raise UserError(f"{error.filename}: {error.strerror}") from None


def _compare(dataset: Dataset, reporter: Reporter) -> Verdict:
    published = dict(published_checksums(dataset))
    present = {name: sum_ for name, sum_ in published.items() if (dataset.root / name).is_file()}
    others = {relative(dataset, file) for file in (*dataset.tables(), *dataset.audio_files())}
    differing = {}
    with (
        reporter.progress(f"verify {dataset.NAME}", len(present), "files") as advance,
        ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool,
    ):
        found = pool.map(lambda item: _found(dataset.root / item[0], item[1]), present.items())
        for (name, expected), actual in zip(present.items(), found, strict=True):
            if actual != expected.lower():
                differing[name] = f"{actual}, published {expected}"
            advance(1)
    return Verdict(
        matching=len(present) - len(differing),
        differing=differing,
        missing=tuple(name for name in published if name not in present),
        unpublished=len({name for name in others if (dataset.root / name).is_file()} - set(published)),
    )


def published_checksums(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """Path below the dataset's folder and published checksum, of files in it and of archives that still lie there."""
    for remote in dataset.REMOTES:
        if remote.checksum and not remote.archive:
            yield remote.to, remote.checksum
        elif remote.checksum and (dataset.root / remote.name).is_file():
            yield remote.name, remote.checksum
    yield from dataset.checksums().items()


def _found(path: Path, like: str) -> str:
    """Checksum of a file, or why it cannot be read."""
    try:
        return checksum(path, like)
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def checksum(path: Path, like: str) -> str:
    """Checksum of a file, of the kind of `like`, written as that is: ``"md5:..."``.

    Raises
    ------
    ValueError
        If `like` does not look like a checksum.
    """
    algorithm, colon, digest = like.partition(":")
    if not colon or ALGORITHMS.get(algorithm) != len(digest):
        raise ValueError(f"{like!r} is no checksum such as 'md5:...'")
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"
