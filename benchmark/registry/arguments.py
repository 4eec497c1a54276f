"""What the class of an encoder's entry is called with: its arguments, and the files that stand for some of them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from benchmark.errors import UserError
from benchmark.registry.entries import EncoderEntry
from benchmark.registry.published import file_of, require
from benchmark.registry.registry import Named
from benchmark.store.store import digest_file


def keyword_arguments(named: Named[EncoderEntry]) -> dict[str, Any]:
    """Arguments of the entry's class, with files as absolute paths.

    Raises
    ------
    UserError
        If an argument is given twice, or a file is left to the user or is not there.
    """
    entry = named.entry
    twice = sorted(entry.args.keys() & entry.files.keys())
    if twice:
        raise UserError(f"{_where(named)}: {twice[0]} stands in args and in files; leave one")
    return {**entry.args, **{name: str(_resolved(named, name)) for name in entry.files}}


def file_digests(named: Named[EncoderEntry]) -> dict[str, str]:
    """Hash of the content of every file or folder among the arguments, by argument.

    Raises
    ------
    UserError
        If one is left to the user or is not there.
    """
    return {name: _digest(_resolved(named, name)) for name in sorted(named.entry.files)}


def _resolved(named: Named[EncoderEntry], name: str) -> Path:
    given = named.entry.files[name]
    if given is None:
        raise UserError(
            f"{_where(named)}: needs a file of yours; repeat the entry with `files: {{{name}: FILE}}` in a registry "
            "of your own, under another name or under this one with --registry FILE"
        )
    require(named, weights=False)
    path = file_of(named, given)
    if not path.exists():
        raise UserError(f"{_where(named)}: files.{name}: there is no {path}; correct the path")
    return path


def _digest(path: Path) -> str:
    if path.is_file():
        return digest_file(path)
    hashes = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        hashes.update(f"{file.relative_to(path).as_posix()}\0{digest_file(file)}\0".encode())
    return hashes.hexdigest()


def _where(named: Named[EncoderEntry]) -> str:
    return f"{named.file}:{named.line}: encoders.{named.name}"
