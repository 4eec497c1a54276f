"""Taking weights that others published into a user's registry."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from benchmark.console import Reporter, Silent
from benchmark.encoding.windows import build_encoder
from benchmark.errors import UserError
from benchmark.plan.origins import announce
from benchmark.registry.added_entries import add_entry, with_entry
from benchmark.registry.entries import EncoderEntry
from benchmark.registry.registry import Named, load_registry
from benchmark.store.store import digest_file
from encoders.base import Encoder
from encoders.weights import load_weights, save_weights


def import_weights(
    file: Path, encoder: str, name: str, own: Path, reporter: Reporter | None = None, *, named: bool = True
) -> tuple[Encoder, Path]:
    """Check published weights against an encoder and add them to a registry as an encoder of their own.

    Parameters
    ----------
    file
        Safetensors, state dict or Lightning checkpoint; see `encoders.weights.load_weights`.
    encoder
        Name of the encoder whose architecture they are for.
    name
        Name of the new encoder, and of its file of weights beside `own`.
    own
        The user's registry file, made or added to.
    reporter
        Told where the architecture comes from, if it is not built in, and which of several state dicts was taken.
    named
        Whether the user has named `own`, whose entries may then replace others.

    Returns
    -------
    filled, weights : Encoder, Path
        The encoder as it was filled, and the file of weights written.

    Raises
    ------
    UserError, EncoderError
        If the weights do not fit or cannot be read safely, or the name is taken; nothing is written then.
    """
    registry = load_registry([own] if named and own.exists() else [])
    architecture = registry.encoder(encoder)
    announce(registry, [architecture], reporter or Silent())
    if name in registry.sections["encoders"]:
        raise UserError(f"--as {name}: there is an encoder of that name; choose another one")
    if not name or Path(name).name != name or name.startswith("."):
        raise UserError(f"--as {name}: cannot name a file")
    weights = own.parent / f"{name}.safetensors"
    if weights.exists():
        raise UserError(f"{weights}: already there; choose another name with --as")
    entry = _entry(architecture, weights, file, own)
    with_entry(own, "encoders", name, entry)
    filled = build_encoder(architecture, 0)
    load_weights(filled, file, (reporter or Silent()).say)
    own.parent.mkdir(parents=True, exist_ok=True)
    about = {"encoder": architecture.name, "source": file.name, "source_sha256": digest_file(file)}
    part = weights.with_name(f".{weights.name}.part")
    part.unlink(missing_ok=True)  # what lies there may be a link
    try:
        save_weights(filled, part, about)
        part.replace(weights)
        add_entry(own, "encoders", name, entry)
    except BaseException:
        part.unlink(missing_ok=True)
        weights.unlink(missing_ok=True)
        raise
    return filled, weights


def _entry(named: Named[EncoderEntry], weights: Path, source: Path, own: Path) -> dict[str, Any]:
    """The architecture's entry, with weights; its files are named from where the new entry will stand."""
    given = named.entry.model_dump(by_alias=True, exclude_unset=True)
    kept = {key: given[key] for key in ("class", "args", "sample_rate") if given.get(key)}
    files = {
        key: os.path.relpath((named.file.parent / Path(path).expanduser()).resolve(), own.parent.resolve())
        for key, path in named.entry.files.items()
        if path is not None
    }
    return {
        **kept,
        **({"files": files} if files else {}),
        "weights": weights.name,
        "description": f"{named.name} with the weights of {source.name}",
    }
