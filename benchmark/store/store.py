"""The content-addressed store: artifacts that are whole or absent, believed for what they hold, not for their name.

Layout::

    STORE/format                  the store's format version
    STORE/artifacts/KIND/KEY/     manifest.json and the files of one artifact
    STORE/unfinished/KIND-KEY/    what an unfinished step has so far; safe to delete, and to go on from
    STORE/unfinished/KIND-KEY@.../ of the process that computes the step, see `claims`
    STORE/unfinished/KIND-KEY.lock held by the process that computes the step
    STORE/logs/KIND-KEY.log       what a step said, and why it failed if it did
    STORE/running/HOST-PID.json   what a `bench run` is at
    STORE/digests.json            SHA-256 of files outside the store, by path, size and time of change
    STORE/scores.jsonl            cache of the rows of all score records
    STORE/rates.json              how fast devices train, encode and decode

A key is a hash of all that determines an artifact. A manifest names each file's size, SHA-256 and time of writing
and the digests of the artifacts that this one was computed from, so an artifact that was tampered with or cut short,
or whose input was replaced, is recognised and computed again. Only `artifacts/` is of value: everything else may be
deleted when nothing runs.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmark.errors import UserError
from benchmark.file_lock import no_locks
from benchmark.plain_files import (
    PlantedError,
    check_artifact,
    check_folder,
    check_work,
    make_folder,
    odd_ones,
    open_regular,
    read_plain,
    read_within,
)
from benchmark.store.claims import Claim, claimed
from benchmark.store.modes import new_file_mode, share

FORMAT = 2
#: Files up to this size whose time of change is not that of the manifest (copied, or tampered with) are hashed when
#: their artifact is used; larger ones are then believed for their length. `bench store verify` hashes all.
HASHED_ON_USE = 64 * 2**20
#: What a store's folder may hold beside its format marker.
CONTENT = frozenset({"artifacts", "unfinished", "logs", "running", "digests.json", "scores.jsonl", "rates.json"})
#: What a step may keep of its progress in its work folder; it is no part of the artifact.
JOURNAL = "journal.jsonl"
MANIFEST = "manifest.json"
#: What reading a manifest that is damaged, or made to do damage, can raise.
UNREADABLE = (
    PlantedError, OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError,
)  # fmt: skip


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON-able value, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 of a regular file's content; `OSError` if it cannot be read, or is a pipe or a device."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Artifact:
    """A finished artifact: its folder and what its manifest says of it."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Hash of the content of all files."""
        return str(self.manifest["digest"])

    @property
    def bytes(self) -> int:
        """Size of all files [bytes]."""
        return sum(int(file["bytes"]) for file in self.manifest["files"].values())

    def __truediv__(self, name: str) -> Path:
        return self.path / name


def lineage(inputs: Mapping[str, Artifact]) -> dict[str, Any]:
    """Spec and cost of every step behind `inputs`, theirs included, by key."""
    return {key: entry for artifact in inputs.values() for key, entry in artifact.manifest["lineage"].items()}


def stays_inside(name: str) -> bool:
    """Whether a relative path, as a stranger's manifest may name it, stays in the folder that it is relative to."""
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts


def refuse_other_format(root: Path, found: str) -> None:
    """Raise `UserError` unless a store's marker says that it is of the format read here."""
    if found != str(FORMAT):
        way = "; `bench store migrate` brings its scores along" if found == str(FORMAT - 1) else ""
        raise UserError(f"{root}: is a store of format {found}; this version of bench reads {FORMAT}{way}")


def check_layout(root: Path) -> None:
    """Raise `PlantedError` if a folder of a store is a link to another place, or no folder."""
    for name in ("unfinished", "logs", "running", "artifacts"):
        check_folder(root / name)
    artifacts = root / "artifacts"
    if artifacts.is_dir():
        for kind in [entry.name for entry in os.scandir(artifacts) if entry.is_symlink()]:
            check_folder(artifacts / kind)


def check_store(root: Path) -> None:
    """Refuse a store that is to be read alone: one of another format, or with links; raises `UserError`."""
    check_layout(root)
    marker = root / "format"
    if marker.exists():
        refuse_other_format(root, read_plain(marker).decode(errors="replace").strip())


class Store:
    """Artifacts in a folder that any number of processes and users may share.

    Parameters
    ----------
    root
        The folder; made if it does not exist.

    Raises
    ------
    UserError
        If it cannot be made or written, holds a store of another format, or a link lies where a folder of it should.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            root.mkdir(parents=True, exist_ok=True)
            check_layout(root)
            self._check_format()
        except OSError as error:
            raise UserError(f"{root}: cannot use this folder as the store: {error.strerror}") from None

    def _check_format(self) -> None:
        marker = self.root / "format"
        try:
            found = read_plain(marker).decode(errors="replace").strip()
        except FileNotFoundError:
            strangers = [p.name for p in self.root.iterdir() if not p.name.startswith(".")]
            if set(strangers) - CONTENT:
                raise UserError(
                    f"{self.root}: is neither empty nor a store (it holds {min(strangers)!r}); name another folder"
                ) from None
            write_atomically(marker, f"{FORMAT}\n".encode())
            return
        refuse_other_format(self.root, found)

    def make(self, name: str) -> Path:
        """A folder of the store, made if it is not there, for all who may use the store."""
        there = (self.root / name).exists()
        folder = make_folder(self.root / name)
        if not there:  # whoever has made it may have closed it since
            share(self.root, [folder])
        return folder

    def folder(self, kind: str, key: str) -> Path:
        """Where the artifact of a step lies once it is finished."""
        return self.root / "artifacts" / kind / key

    def work_folder(self, kind: str, key: str) -> Path:
        """Where a step keeps what it has so far."""
        return self.root / "unfinished" / f"{kind}-{key}"

    @contextmanager
    def claim(self, kind: str, key: str, say: Callable[[str], None], locked: bool) -> Iterator[Claim]:
        """A work folder of a step that this process alone writes in; see `benchmark.store.claims.claimed`."""
        self.make("unfinished")
        with claimed(self.work_folder(kind, key), self.root, say, locked) as claim:
            try:
                yield claim
            finally:
                share(self.root, [claim.work, *claim.work.rglob("*")])

    @cached_property
    def no_locks(self) -> str:
        """Why two processes cannot be told to wait for one another on this file system; empty if they can."""
        return no_locks(self.make("unfinished"))

    def open_work_folder(self, kind: str, key: str) -> Path:
        """Folder of a step, made if it is not there.

        Raises
        ------
        PlantedError
            If what lies there cannot be gone on from: links, devices, or the files of another user.
        """
        self.make("unfinished")
        work = make_folder(self.work_folder(kind, key))
        check_work(work, self.root)
        return work

    def lock_file(self, kind: str, key: str) -> Path:
        """File that a process locks while it computes a step."""
        return self.root / "unfinished" / f"{kind}-{key}.lock"

    def share_log(self, kind: str, key: str) -> None:
        """Let all who may use the store add to what a step has said, if it has said anything."""
        share(self.root, [self.log_file(kind, key)])

    def log_file(self, kind: str, key: str) -> Path:
        """Where a step's remarks, and the cause of its failure, are written."""
        return self.root / "logs" / f"{kind}-{key}.log"

    def find(self, kind: str, key: str) -> Artifact | None:
        """The artifact if it is there and whole, else ``None``."""
        folder = self.folder(kind, key)
        try:
            check_artifact(folder)
            manifest = json.loads(read_plain(folder / "manifest.json"))
            files = manifest["files"]
            whole = all(stays_inside(name) and self._file_is_whole(folder / name, files[name]) for name in files)
        except UNREADABLE:
            return None
        return Artifact(folder, manifest) if whole and manifest.get("key") == key else None

    def damage(self, kind: str, key: str) -> str:
        """Why `find` does not believe an artifact whose folder is there, as far as can be told without hashing."""
        folder = self.folder(kind, key)
        try:
            for path, what in odd_ones(folder):
                return f"{path.relative_to(folder.parent)} is {what}"
            files = json.loads(read_within(folder, "manifest.json"))["files"]
            for name, facts in files.items():
                found = (folder / name).stat().st_size if stays_inside(name) else -1
                if found != facts["bytes"]:
                    return f"{name} has {found:,} bytes instead of {facts['bytes']:,}"
        except FileNotFoundError as error:
            return f"{Path(error.filename).name} is missing"
        except UNREADABLE:
            return "its manifest cannot be read"
        return "its files are not what was written"

    def whole(self, kind: str) -> Iterator[Artifact]:
        """Every artifact of a kind that is whole, by key."""
        for folder in sorted((self.root / "artifacts" / kind).glob("*")):
            artifact = self.find(kind, folder.name)
            if artifact is not None:
                yield artifact

    @staticmethod
    def _file_is_whole(path: Path, facts: Mapping[str, Any]) -> bool:
        found = path.stat()
        if found.st_size != facts["bytes"]:
            return False
        unchanged = found.st_mtime_ns == facts["modified"] or facts["bytes"] > HASHED_ON_USE
        return bool(unchanged or digest_file(path) == facts["sha256"])

    def finish(self, kind: str, key: str, manifest: Mapping[str, Any], claim: Claim | None = None) -> Artifact:
        """Turn a step's work folder into its artifact, in one rename.

        Where another process has computed the same of the same inputs meanwhile, its artifact stays: others may have
        begun to use it.

        Parameters
        ----------
        kind, key
            The step.
        manifest
            What to record beside the files' sizes and hashes.
        claim
            The work folder; by default the one that nobody claims.

        Raises
        ------
        UserError
            If the work folder is no longer this process's.
        """
        work = self.work_folder(kind, key) if claim is None else claim.work
        check_artifact(work)
        for left in (work / MANIFEST, *work.glob(f".{MANIFEST}-*")):  # by an attempt that was killed right here
            left.unlink(missing_ok=True)
        share(self.root, [work, *work.rglob("*")])
        files = {
            path.relative_to(work).as_posix(): {
                "bytes": path.stat().st_size,
                "sha256": digest_file(path),
                "modified": path.stat().st_mtime_ns,
            }
            for path in sorted(work.rglob("*"))
            if path.is_file() and path != work / JOURNAL
        }
        digest = digest_of({name: facts["sha256"] for name, facts in files.items()})
        whole = {**manifest, "kind": kind, "key": key, "files": files, "digest": digest}
        for path in work.rglob("*"):
            sync(path)
        write_atomically(work / MANIFEST, json.dumps(whole, indent=1).encode())
        # The last thing to go: killed while all is hashed, the step has not to begin anew.
        (work / JOURNAL).unlink(missing_ok=True)
        sync(work)
        if claim is not None:
            claim.check()
        mine = Artifact(self.folder(kind, key), whole)
        first = self.adopt(kind, key, work, whole["inputs"] if claim is not None else None)
        return first or mine

    def adopt(self, kind: str, key: str, work: Path, inputs: Mapping[str, str] | None = None) -> Artifact | None:
        """Turn a folder of this store that holds a whole artifact, manifest and all, into that artifact.

        Parameters
        ----------
        kind, key
            The step.
        work
            The folder; it is gone afterwards.
        inputs
            Digests of what it was computed from. A whole artifact of the same that is there already, or that another
            process puts there meanwhile, stays and is returned. By default what is there is replaced.
        """
        folder = self.folder(kind, key)
        self.make("artifacts")
        self.make(f"artifacts/{kind}")
        while True:
            first = self.find(kind, key) if inputs is not None else None
            if first is not None and first.manifest["inputs"] == inputs:
                shutil.rmtree(work)
                return first
            self.delete(kind, key)
            try:
                work.rename(folder)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                continue
            sync(folder.parent)
            return None

    def delete(self, kind: str, key: str) -> None:
        """Remove an artifact, or a link in its place. It vanishes in one rename, so a reader never sees half of it."""
        folder = self.folder(kind, key)
        if os.path.lexists(folder):
            self.make("unfinished")
            grave = Path(tempfile.mkdtemp(prefix="deleted-", dir=self.root / "unfinished"))
            with suppress(FileNotFoundError):  # which another process deletes, too
                folder.rename(grave / key)
            shutil.rmtree(grave, ignore_errors=True)


def reserve(path: Path, size: int) -> None:
    """Claim the disk space of a file [bytes] that will be written through a memory map.

    A map of a sparse file on a full disk kills the process instead of raising.
    """
    with path.open("ab") as file:
        if size:
            os.posix_fallocate(file.fileno(), 0, size)


def empty_folder(folder: Path) -> None:
    """Remove what an earlier attempt left, for steps that start afresh."""
    for child in folder.iterdir():
        if child.is_dir():
            shutil.rmtree(child)
        else:
            child.unlink()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is never seen half-written."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            # Temporary files are private; a store is for all whom the user's umask admits.
            os.fchmod(handle, new_file_mode(path.parent))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Have the disk hold what was written to a file, or which names a folder has."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
