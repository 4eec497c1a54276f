"""What a store holds, whether it is whole, what of it is still wanted, and copies to and from other stores."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.console import printable
from benchmark.engine.progress import keys_in_use
from benchmark.errors import UserError
from benchmark.file_lock import Busy, FileLock
from benchmark.plain_files import check_artifact, odd_ones, read_within
from benchmark.plan.runs import Run
from benchmark.steps import KINDS
from benchmark.store.claims import NOTE, OWNED, is_abandoned, time_there
from benchmark.store.modes import share
from benchmark.store.store import UNREADABLE, Store, digest_file, digest_of, stays_inside

#: Shortest beginning of a key that is taken for it.
SHORTEST_KEY = 6
#: Manifests that a thread reads at a time.
_SHARE = 64
#: What a lock's name ends in.
LOCK = ".lock"
#: Notes of commands, which these renew every few seconds, and halves of files are nobody's after so long [s].
FORGOTTEN = 3600.0


@dataclass(frozen=True)
class Holding:
    """An artifact, as its manifest describes it.

    Attributes
    ----------
    kind, key, title, finished
        Of the step.
    bytes
        Size of all files.
    seconds
        What computing it took [s].
    """

    kind: str
    key: str
    title: str
    bytes: int
    finished: str
    seconds: float


def folders(store: Store) -> Iterator[Path]:
    """Folders of all artifacts, and links in their places, by kind and key."""
    for kind in KINDS:
        place = store.root / "artifacts" / kind
        if place.is_dir():
            entries = os.scandir(place)
            names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False) or entry.is_symlink())
            yield from (place / name for name in names)


def holdings(store: Store) -> list[Holding]:
    """Every artifact whose manifest can be read; `problems` finds the others."""
    every = list(folders(store))
    # Threads hide the delays of a shared file system; a task for each artifact would cost more than reading it.
    shares = [every[start : start + _SHARE] for start in range(0, len(every), _SHARE)]
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda share: [_holding(folder) for folder in share], shares)
        return [holding for share in found for holding in share if holding is not None]


def _holding(folder: Path) -> Holding | None:
    try:
        manifest = _manifest(folder)
        own = manifest["lineage"][manifest["key"]]
        return Holding(
            kind=folder.parent.name,
            key=folder.name,
            title=printable(manifest["title"]),
            bytes=sum(int(file["bytes"]) for file in manifest["files"].values()),
            finished=printable(manifest["finished"]),
            seconds=float(own["resources"]["seconds"]),
        )
    except UNREADABLE:
        return None


def _manifest(folder: Path) -> dict[str, Any]:
    found = json.loads(read_within(folder, "manifest.json"))
    if not isinstance(found, dict):
        raise TypeError("not a mapping")
    return found


def show(store: Store, key: str) -> dict[str, Any]:
    """The manifest of the artifact whose key begins with `key`, and its folder.

    Raises
    ------
    UserError
        If there is none, or several.
    """
    if len(key) < SHORTEST_KEY:
        raise UserError(f"{key}: name at least the first {SHORTEST_KEY} characters of a key")
    found = [folder for folder in folders(store) if folder.name.startswith(key)]
    if len(found) != 1:
        many = f"{len(found)} artifacts whose keys begin" if found else "no artifact whose key begins"
        raise UserError(f"{store.root}: {many} with {key!r}; `bench store ls` lists them")
    try:
        return {"folder": str(found[0]), **_manifest(found[0])}
    except UNREADABLE as error:
        raise UserError(f"{found[0]}: its manifest cannot be read: {error}") from None


class UnreadableError(UserError):
    """An artifact of which nothing can be told, for this user may not read it, or the disk does not let anybody."""


def problems(folder: Path) -> list[str]:
    """What is wrong with an artifact, every byte of it read; empty if nothing is.

    Parameters
    ----------
    folder
        The artifact's.

    Raises
    ------
    UnreadableError
        If that cannot be told.
    """
    try:
        odd = sorted((path.relative_to(folder.parent).as_posix(), what) for path, what in odd_ones(folder))
        if odd:
            return [f"{name.removeprefix(f'{folder.name}/')!r} is {what}; artifacts hold none" for name, what in odd]
        manifest = _manifest(folder)
        if manifest["key"] != folder.name or manifest["kind"] != folder.parent.name:
            return [f"is the artifact {manifest['kind']}/{manifest['key']}, moved"]
        return _wrong_files(folder, manifest)
    except FileNotFoundError as error:
        return [f"its manifest cannot be read: {type(error).__name__}: {error}"]
    except OSError as error:
        name = Path(error.filename or folder).name
        raise UnreadableError(f"{folder}: {name} cannot be read: {error.strerror}") from None
    except UNREADABLE as error:
        return [f"its manifest cannot be read: {type(error).__name__}: {error}"]


def _wrong_files(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """What of an artifact without links is not as its manifest says."""
    files: Mapping[str, Mapping[str, Any]] = manifest["files"]
    found = []
    for name, facts in files.items():
        if not stays_inside(name):
            found.append(f"its manifest names {name!r}, a path outside")
            continue
        path = folder / name
        if not path.is_file():
            found.append(f"{name} is missing")
        elif path.stat().st_size != facts["bytes"]:
            found.append(f"{name} has {path.stat().st_size:,} bytes instead of {facts['bytes']:,}")
        elif digest_file(path) != facts["sha256"]:
            found.append(f"{name} has another content than was written")
    if not found and manifest["digest"] != digest_of({name: facts["sha256"] for name, facts in files.items()}):
        found.append("its manifest was changed")
    strangers = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    found += [f"{name} does not belong to it" for name in sorted(strangers - files.keys() - {"manifest.json"})]
    return found


def unwanted(store: Store, runs: Sequence[Run], recent: float = 0.0) -> list[Path]:
    """Artifacts that neither a run of `runs` rests on nor a command under way, and that are not recent.

    Parameters
    ----------
    store
        Which one.
    runs
        What is kept.
    recent
        Artifacts that are no older than this are kept [s], by the clock of the store's file system.

    Raises
    ------
    UserError
        If the store holds links to folders, which may be anybody's.
    """
    _refuse_links(store)
    kept = {step.key for run in runs for step in run.score.lineage()} | keys_in_use(store)
    now = time_there(store.root)
    return [
        folder
        for folder in folders(store)
        if folder.name not in kept and (folder.is_symlink() or now - folder.lstat().st_mtime >= recent)
    ]


def abandoned(store: Store) -> list[Path]:
    """What processes have left that died or were interrupted; raises as `unwanted` does.

    Work folders that no process is at now, and the locks and notes of the dead.
    """
    _refuse_links(store)
    found = []
    for path in sorted((store.root / "unfinished").glob("*")):
        if path.suffix == LOCK:
            with suppress(Busy), FileLock(path).acquire(timeout=0):
                pass  # it goes when it is released
        elif not _is_at_work(store, path):
            found.append(path)
    return [*found, *_notes_of_the_dead(store)]


def _is_at_work(store: Store, path: Path) -> bool:
    """Whether a process is at something in `unfinished`, as far as can be told."""
    if OWNED in path.name:
        return not is_abandoned(path.with_name(path.name.removesuffix(NOTE)))
    if store.no_locks:
        return True
    try:
        with _lock_of(path).acquire(timeout=0):
            return False
    except Busy:
        return True


def _notes_of_the_dead(store: Store) -> list[Path]:
    """What commands said of themselves that ended without taking it back, and files that were never renamed."""
    now = time_there(store.root)
    running = [path for path in (store.root / "running").glob("*.json") if now - path.lstat().st_mtime > FORGOTTEN]
    parts = [path for path in store.root.glob(".*-*") if path.is_file() and now - path.lstat().st_mtime > FORGOTTEN]
    return sorted([*running, *parts])


def _lock_of(work: Path) -> FileLock:
    """What a process holds while it fills a folder of `unfinished`."""
    return FileLock(work.with_name(f"{work.name.partition(OWNED)[0]}{LOCK}"))


def stood_in_for(paths: Sequence[Path], runs: Sequence[Run]) -> list[str]:
    """Datasets whose genuine files artifacts of `paths` were made from, while `runs` rest on their stand-ins."""
    steps = [step for run in runs for step in run.score.lineage()]
    standins = {str(step.spec["dataset"]) for step in steps if step.kind == "standin"}
    found: set[str] = set()
    for path in paths:
        try:
            behind = [key for key, step in _manifest(path)["lineage"].items() if "clips" in step["spec"]]
            prepared = [path if path.name == key else path.parent.parent / "prepare" / key for key in behind]
            found |= {str(_manifest(folder)["facts"]["dataset"]) for folder in prepared}
        except UNREADABLE:
            continue
    return sorted(found & standins)


def _refuse_links(store: Store) -> None:
    places = [store.root / "unfinished", store.root / "artifacts"]
    places += [store.root / "artifacts" / kind for kind in KINDS]
    for place in places:
        if place.is_symlink():
            raise UserError(f"{place}: is a link to another folder; nothing is deleted through links")


def size_of(folder: Path) -> int:
    """Size of all files below a folder [bytes]."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def remove(store: Store, paths: Sequence[Path]) -> list[Path]:
    """Delete artifacts and leftovers; an artifact vanishes in one rename, so a reader never sees half of it.

    Returns
    -------
    list of Path
        What is gone; a leftover that a process is at again stays.
    """
    gone = []
    for path in paths:
        if path.parent.parent.name == "artifacts":
            store.delete(path.parent.name, path.name)
            gone.append(path)
            continue
        if path.parent.name != "unfinished":
            path.unlink(missing_ok=True)
            gone.append(path)
        elif not _is_at_work(store, path):
            if path.is_dir() and not path.is_symlink():
                with suppress(FileNotFoundError):  # what another process is deleting, too
                    shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            gone.append(path)
    return gone


def copy_missing(source: Store, target: Store, advance: Callable[[int], None]) -> tuple[int, list[str]]:
    """Copy artifacts that `target` lacks; each is checked as it is read and appears whole or not at all.

    Parameters
    ----------
    source, target
        Two stores.
    advance
        Told 1 for every artifact looked at.

    Returns
    -------
    copied : int
        Number of artifacts.
    refused : list of str
        What was not copied because it is damaged, and why.
    """
    copied, refused = 0, []
    for folder in folders(source):
        kind, key = folder.parent.name, folder.name
        advance(1)
        if target.find(kind, key) is not None:
            continue
        try:
            wrong = problems(folder)
        except UnreadableError as error:
            wrong = [str(error)]
        if wrong:
            refused.append(f"{kind}/{key}: {wrong[0]}")
            continue
        with target.claim("copy", f"{kind}-{key}", lambda _: None, locked=False) as claim:
            shutil.rmtree(claim.work)  # what an earlier attempt has left
            shutil.copytree(folder, claim.work, symlinks=True)
            check_artifact(claim.work)  # a link that came in since is no more followed than one that was there
            share(target.root, [claim.work, *claim.work.rglob("*")])
            target.adopt(kind, key, claim.work)
        copied += 1
    return copied, refused
