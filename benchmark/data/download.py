"""Downloading a dataset: fetched into a staging folder, checked, unpacked there, and only then put in its place.

Staging is ``.bench-download/NAME`` beside the dataset's folder. It keeps halves of files for the next attempt, and in
``unpacked.json`` the names of archives that have been unpacked.
"""

from __future__ import annotations

import errno
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.console import Reporter
from benchmark.data.fetch import Fetcher, Unavailable, counted_in_megabytes
from benchmark.data.unpack import safe_path, unpack
from benchmark.data.verify import checksum
from benchmark.errors import UserError
from benchmark.file_lock import Busy, FileLock
from benchmark.plain_files import check_folder, make_folder, read_plain, write_anew
from benchmark.store.storage_errors import storage_errors
from benchmark.store.store import write_atomically
from tasks import DatasetError
from tasks.base import Dataset, Remote

STAGING = ".bench-download"
UNPACKED = "unpacked.json"
UNPACKING = "unpacking-"
#: Up to this many files each has its own progress, and their sizes are asked for beforehand.
FEW = 16
#: After so many failures in a row nothing more is tried.
HOPELESS = 3


@dataclass
class _Outcome:
    """What became of a dataset's files."""

    fetched: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    failures: list[tuple[Remote, str]] = field(default_factory=list)


def download(dataset: Dataset, reporter: Reporter) -> None:
    """Fetch all that is offered of `dataset` and is not there yet.

    Raises
    ------
    UserError
        If nothing is offered, something cannot be fetched (what, and where to put it by hand), an archive is damaged
        or refused, or the disk is too small.
    """
    if not dataset.REMOTES:
        raise UserError(f"{dataset.NAME}: nothing is offered for download; {dataset.HOW_TO_GET}, into {dataset.root}")
    reporter.say(f"{dataset.NAME}: licence: {dataset.LICENCE}")
    staging = dataset.root.parent / STAGING / dataset.root.name
    with storage_errors(dataset.root.parent):
        make_folder(staging.parent)
        make_folder(staging)
        dataset.root.mkdir(parents=True, exist_ok=True)
        try:
            held = FileLock(staging / "lock").acquire(timeout=0)
        except Busy:
            raise UserError(f"{dataset.root}: another process is downloading into it") from None
        with held:
            for left in staging.glob(f"{UNPACKING}*"):  # by an attempt that was killed
                check_folder(left)
                shutil.rmtree(left)
            outcome = _Download(dataset, staging, reporter).all()
    _report(dataset, outcome, reporter)


class _Download:
    def __init__(self, dataset: Dataset, staging: Path, reporter: Reporter) -> None:
        self._dataset = dataset
        self._staging = staging
        self._reporter = reporter
        for remote in dataset.REMOTES:
            safe_path(dataset.NAME, remote.to)
            if Path(remote.name).name != remote.name:
                raise UserError(f"{dataset.NAME}: {remote.name!r} is no name of a file")
        self._units = [unit for unit in _units(dataset.REMOTES) if not self._is_there(unit)]
        count = sum(map(len, self._units))
        self._quiet = count > FEW
        self._fetcher = Fetcher(staging, reporter, quiet=self._quiet)

    def all(self) -> _Outcome:
        """Fetch, unpack and place everything that is not there yet."""
        outcome = _Outcome()
        if not self._quiet:
            self._check_room()
        many = [unit for unit in self._units if self._quiet and not unit[0].archive]
        for unit in self._units:
            if unit not in many:
                self._one(unit, outcome)
        if many:
            self._many(many, outcome)
        return outcome

    def _many(self, units: Sequence[Sequence[Remote]], outcome: _Outcome) -> None:
        in_a_row = 0
        with self._reporter.progress(f"fetch {self._dataset.NAME}", len(units), "files") as advance:
            for unit in units:
                failed = len(outcome.failures)
                self._one(unit, outcome)
                in_a_row = in_a_row + 1 if len(outcome.failures) > failed else 0
                if in_a_row == HOPELESS:
                    return
                advance(1)

    def _one(self, unit: Sequence[Remote], outcome: _Outcome) -> None:
        parts = []
        for remote in unit:
            try:
                parts.append(self._fetch(remote))
            except Unavailable as error:
                outcome.failures.append((remote, str(error)))
        if len(parts) < len(unit):
            return
        if unit[0].archive:
            outcome.kept += self._unpack(unit, parts)
        else:
            _place(parts[0], self._dataset.root, unit[0].to)
        outcome.fetched.append(unit[0].joined or unit[0].name)

    def _fetch(self, remote: Remote) -> Path:
        by_hand = self._dataset.root / (remote.name if remote.archive else remote.to)
        if not by_hand.is_file():
            return self._fetcher.fetch(remote)
        if remote.checksum and checksum(by_hand, remote.checksum) != remote.checksum.lower():
            raise Unavailable(f"{by_hand} is there already and is not the published file; move it away")
        return by_hand

    def _unpack(self, unit: Sequence[Remote], parts: Sequence[Path]) -> list[str]:
        name = unit[0].joined or unit[0].name
        size = sum(part.stat().st_size for part in parts)
        kept = []
        with tempfile.TemporaryDirectory(prefix=UNPACKING, dir=self._staging) as folder:
            with counted_in_megabytes(self._reporter, f"unpack {name}", size) as advance:
                unpack(parts, name, Path(folder), advance)
            for file in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
                target = self._dataset.root / unit[0].to / file.relative_to(folder)
                if not target.exists():
                    _place(file, self._dataset.root, target.relative_to(self._dataset.root))
                elif target.stat().st_size != file.stat().st_size:
                    kept.append(target.relative_to(self._dataset.root).as_posix())
        known = _read_unpacked(self._staging)
        known[name] = [remote.checksum for remote in unit]
        write_atomically(self._staging / UNPACKED, json.dumps(known, indent=1).encode())
        for part in parts:
            if part.parent == self._staging:
                part.unlink()
        return kept

    def _is_there(self, unit: Sequence[Remote]) -> bool:
        first = unit[0]
        if first.archive:
            name = first.joined or first.name
            return _read_unpacked(self._staging).get(name) == [remote.checksum for remote in unit] or _all_clips_there(
                self._dataset
            )
        file = self._dataset.root / first.to
        return file.is_file() and (not first.checksum or checksum(file, first.checksum) == first.checksum.lower())

    def _check_room(self) -> None:
        need = 0
        for unit in self._units:
            for remote in unit:
                if not (self._dataset.root / remote.name).is_file():
                    size = self._fetcher.size(remote)
                    # What an archive unpacks to is at least as large.
                    need += 2 * size if remote.archive else size
        free = shutil.disk_usage(self._staging).free
        if need > free:
            raise UserError(
                f"{self._staging}: {self._dataset.NAME} takes {need / 1e9:.1f} GB while it is unpacked and "
                f"{free / 1e9:.1f} GB are free; make room or name another folder"
            )


def _units(remotes: Sequence[Remote]) -> list[list[Remote]]:
    """Files, and archives with all their parts."""
    units: dict[str, list[Remote]] = {}
    for remote in remotes:
        units.setdefault(remote.joined or remote.name, []).append(remote)
    return list(units.values())


def _read_unpacked(staging: Path) -> dict[str, list[str]]:
    try:
        known: dict[str, list[str]] = json.loads(read_plain(staging / UNPACKED))
    except (OSError, ValueError, RecursionError):
        return {}
    return known


def _all_clips_there(dataset: Dataset) -> bool:
    try:
        dataset.check()
        return all((dataset.root / clip.path).is_file() for clip in dataset.clips())
    except DatasetError:
        return False


def _place(file: Path, root: Path, place: str | Path) -> None:
    """Move a whole file to its place below `root`, through no link; there is never half of it there."""
    target = root / place
    for folder in target.parents[: len(Path(place).parts) - 1]:
        if folder.is_symlink():
            check_folder(folder)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise UserError(f"{error.filename}: is in the way of {target}; move it away and try again") from None
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        beside = target.with_name(f".{target.name}.part")
        with file.open("rb") as content, write_anew(beside) as copy:
            shutil.copyfileobj(content, copy)
        beside.replace(target)


def _report(dataset: Dataset, outcome: _Outcome, reporter: Reporter, named: int = 3) -> None:
    for path in outcome.kept:
        reporter.warn(f"{dataset.root / path}: was there before with another size and is kept; delete it to replace it")
    if outcome.fetched:
        reporter.say(f"{dataset.NAME}: fetched {len(outcome.fetched)} into {dataset.root}")
    if not outcome.failures:
        if not outcome.fetched:
            reporter.say(f"{dataset.NAME}: all that is offered is there")
        return
    places = [
        f"{dataset.root / (remote.name if remote.archive else remote.to)} ({reason})"
        for remote, reason in outcome.failures[:named]
    ]
    more = f" and {len(outcome.failures) - named} more" if len(outcome.failures) > named else ""
    raise UserError(
        f"{dataset.NAME}: could not fetch {len(outcome.failures)} of {len(dataset.REMOTES)} files; get by hand, and "
        f"run the same command again: {', '.join(places)}{more}"
    )
