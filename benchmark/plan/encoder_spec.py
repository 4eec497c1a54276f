"""What of an encoder's entry stands in keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmark.registry.arguments import file_digests
from benchmark.registry.entries import EncoderEntry
from benchmark.registry.foreign_packages import foreign_packages
from benchmark.registry.plugins import code_identity
from benchmark.registry.registry import Named
from benchmark.store.store import digest_file


def encoder_spec(
    named: Named[EncoderEntry], code: str | None = None, digest: Callable[[Path], str] = digest_file
) -> dict[str, Any]:
    """What of an encoder's entry stands in the keys of all that it is initialised, trained and encodes to.

    Parameters
    ----------
    named
        The entry.
    code
        Its `code_identity`, where that is known already.
    digest
        Hash of a file's content.
    """
    entry = named.entry
    spec = {"class": entry.class_path, "args": entry.args, "code": code_identity(named) if code is None else code}
    if packages := foreign_packages(named, digest):
        spec["packages"] = packages
    if entry.files:
        spec["files"] = file_digests(named)
    return spec
