"""Brings the scores of a store of the last release along: format 1, whose probe steps wrote the score records."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmark.errors import UserError
from benchmark.plain_files import check_artifact, check_folder, make_folder, read_plain, read_within
from benchmark.registry.overrides import parse_settings
from benchmark.registry.registry import JOINT
from benchmark.scores.records import RECORD, SCORE, ScoreRecord
from benchmark.store.claims import claimed
from benchmark.store.store import FORMAT, UNREADABLE, Store, check_layout, digest_file, digest_of, write_atomically

#: The format that is read here.
OLD = "1"
_OVERRIDDEN = re.compile(r"(?P<name>[^()]*)\((?P<changes>.*)\)")
#: One replaced value; a comma within quotes does not end it.
_CHANGE = re.compile(r'(?:"(?:\\.|[^"\\])*"|[^,"]|,(?! ))+')
_AT_RATE = re.compile(r"\(sample_rate=(\d+)\)(?=\+|$)")


def migrate(root: Path, advance: Callable[[int], None]) -> tuple[int, list[str]]:
    """Turn the score records of a store of format 1 into those of this format; killed, it goes on when run again.

    What the older steps computed stays where it is, and is not used: their keys held every number, also those that
    were as by default, so that no key of theirs is one of this version.

    Parameters
    ----------
    root
        The store's folder.
    advance
        Told 1 for every record.

    Returns
    -------
    migrated : int
        Records that are there now.
    refused : list of str
        Records that cannot be read, and why.

    Raises
    ------
    UserError
        If the folder is no store of format 1.
    """
    check_layout(root)
    marker = root / "format"
    found = read_plain(marker).decode(errors="replace").strip() if marker.exists() else ""
    if found != OLD:
        what = f"a store of format {found}" if found else "no store"
        raise UserError(f"{root}: is {what}; only stores of format {OLD} are to be migrated")
    migrated, refused = 0, []
    for folder in old_records(root):
        advance(1)
        try:
            check_artifact(folder)
            _migrate(root, folder)
            migrated += 1
        except (*UNREADABLE, UserError, shutil.Error) as error:
            if (root / "artifacts" / SCORE / folder.name / RECORD).exists():  # by another command, or one that died
                shutil.rmtree(folder, ignore_errors=True)
                migrated += 1
                continue
            refused.append(f"probe/{folder.name}: {str(error).splitlines()[0]}")
    write_atomically(marker, f"{FORMAT}\n".encode())
    Store(root)
    return migrated, refused


def old_records(root: Path) -> list[Path]:
    """Folders of the score records of a store of format 1."""
    folder = root / "artifacts" / "probe"
    check_folder(folder)
    return sorted(file.parent for file in folder.glob(f"*/{RECORD}"))


def _migrate(root: Path, folder: Path) -> None:
    """Leave a record's artifact under its new kind, whole or not at all, and then only there."""
    key = folder.name
    manifest = json.loads(read_within(folder, "manifest.json"))
    for name, facts in manifest["files"].items():
        if digest_file(folder / name) != facts["sha256"]:
            raise UserError(f"{name} is not what was written")
    record = _record(json.loads(read_within(folder, RECORD)))
    with claimed(root / "unfinished" / f"migrate-{key}", root, lambda _: None, locked=False) as claim:
        try:
            _move(root, folder, claim.work, manifest, record)
        finally:
            shutil.rmtree(claim.work, ignore_errors=True)  # where another has been faster, or there was no room


def _move(root: Path, folder: Path, work: Path, manifest: dict[str, Any], record: ScoreRecord) -> None:
    """Make the new artifact in a work folder of this process's own, and move it to its place, if nobody else has."""
    key = folder.name
    used = folder.stat()
    shutil.rmtree(work)  # what an earlier attempt has left
    shutil.copytree(folder, work, symlinks=True)
    check_artifact(work)
    (work / RECORD).write_text(record.model_dump_json(indent=1), encoding="utf-8")
    for name in manifest["files"]:
        state = (work / name).stat()
        manifest["files"][name] = {
            "bytes": state.st_size,
            "sha256": digest_file(work / name),
            "modified": state.st_mtime_ns,
        }
    manifest |= {"kind": SCORE, "digest": digest_of({n: f["sha256"] for n, f in manifest["files"].items()})}
    write_atomically(work / "manifest.json", json.dumps(manifest, indent=1).encode())
    os.utime(work, ns=(used.st_atime_ns, used.st_mtime_ns))  # which decides which of two scores of a run counts
    new = make_folder(root / "artifacts" / SCORE) / key
    try:
        work.rename(new)
    except OSError as error:  # by an attempt that was killed right here, or another that goes on beside this one
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    shutil.rmtree(folder, ignore_errors=True)


def _record(old: dict[str, Any]) -> ScoreRecord:
    """A record of the last release, whose names said what its factors were."""
    name, changes = _apart(old.pop("recipe"))
    encoder = old.pop("encoder")
    rates = set(_AT_RATE.findall(encoder))
    joined = _AT_RATE.sub("", encoder) if len(rates) == 1 else encoder
    alone = JOINT not in str(old["weights_sha256"])
    return ScoreRecord.model_validate(
        {
            **old,
            "schema_version": ScoreRecord.model_fields["schema_version"].default,
            "encoders": (joined,) if alone else tuple(joined.split(JOINT)),
            "sample_rate": int(rates.pop()) if len(rates) == 1 else None,
            "recipe_name": name,
            "settings": parse_settings(changes),
        }
    )


def _apart(name: str) -> tuple[str, Iterator[str]]:
    """A recipe's name in the registry, and the numbers replaced as ``KEY=VALUE``."""
    match = _OVERRIDDEN.fullmatch(name)
    if match is None:
        return name, iter(())
    return match["name"], (change.strip() for change in _CHANGE.findall(match["changes"]))
