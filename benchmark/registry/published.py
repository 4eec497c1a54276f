"""Where the weights of models that others trained lie, and what an encoder's entry lacks to be used here.

Nothing is imported, loaded or fetched to tell.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

from benchmark.errors import UserError
from benchmark.registry.entries import EncoderEntry
from benchmark.registry.registry import Named

#: Where a file of an entry lies that begins so: below the folder of fetched weights.
FETCHED = "fetched:"
_HUB_ADAPTER = "encoders.adapters.huggingface:HuggingFaceEncoder"


def fetched_folder() -> Path:
    """Folder that `bench fetch-weights` fills: ``BENCH_WEIGHTS``, or one beside the user's store.

    Raises
    ------
    UserError
        If the user has no home folder.
    """
    try:
        if os.environ.get("BENCH_WEIGHTS"):
            return Path(os.environ["BENCH_WEIGHTS"]).expanduser().absolute()
        return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser().absolute() / "bench-weights"
    except RuntimeError:  # a user whom the system does not know, as in a container
        raise UserError("there is no home folder for weights; name a folder with BENCH_WEIGHTS, or set HOME") from None


def file_of(named: Named[EncoderEntry], name: str) -> Path:
    """A file that an entry names: relative to the registry file, or below the folder of fetched weights."""
    if name.startswith(FETCHED):
        return fetched_folder() / name.removeprefix(FETCHED)
    return (named.file.parent / Path(name).expanduser()).resolve()


def weights_file(named: Named[EncoderEntry]) -> Path | None:
    """File of weights that an encoder's entry names; ``None`` if it names none.

    Raises
    ------
    UserError
        If it is not there.
    """
    entry = named.entry
    if entry.published is not None and entry.published.weights is not None:
        require(named)
        return fetched_folder() / entry.published.weights
    if entry.weights is None:
        return None
    file = file_of(named, entry.weights)
    if not file.is_file():
        where = f"{named.file}:{named.line}: encoders.{named.name}.weights"
        raise UserError(f"{where}: there is no file {file}; correct the path")
    return file


def require(named: Named[EncoderEntry], *, weights: bool = True) -> None:
    """Raise `UserError`, with the commands that bring it, if something that an entry needs is not here.

    Parameters
    ----------
    named
        The entry.
    weights
        Whether the weights are needed too that a network built without them is filled with.
    """
    lacks = lacking(named, weights=weights)
    if lacks:
        raise UserError(f"encoder {named.name}: {'; '.join(lacks)}")


def lacking(named: Named[EncoderEntry], *, weights: bool = True) -> list[str]:
    """What an entry needs that is not here, each with the command that brings it; see `require`."""
    published = named.entry.published
    if published is None:
        return []
    found = []
    absent = [module for module in published.modules if not _is_installed(module)]
    if absent:
        said = "is not installed" if len(absent) == 1 else "are not installed"
        found.append(f"{' and '.join(absent)} {said}: run `{published.install}`")
    files = [name.removeprefix(FETCHED) for name in named.entry.files.values() if name and name.startswith(FETCHED)]
    if published.weights is not None and weights:
        files.append(published.weights)
    hub = _hub_model(named.entry)
    if not all((fetched_folder() / name).exists() for name in files) or (hub and not _in_cache(*hub)):
        command = published.get.replace("{weights}", str(fetched_folder()))
        found.append(f"its weights are not on this machine, and nothing is fetched unasked: run `{command}`")
    return found


def facts_of(named: Named[EncoderEntry], dataset: str) -> dict[str, Any] | None:
    """What a score record says of published weights that are tested on a dataset; ``None`` of other encoders."""
    published = named.entry.published
    if published is None:
        return None
    trained_on = "labels" if dataset in published.labels_of else "audio" if dataset in published.audio_of else ""
    return {
        "encoder": named.name,
        "source": published.source,
        "licence": published.licence,
        "context_seconds": published.context,
        "trained_on": trained_on,
    }


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _hub_model(entry: EncoderEntry) -> tuple[str, str | None] | None:
    """Name and revision of the model of the Hub that an entry needs on this machine."""
    assert entry.published is not None
    if entry.published.hub is not None:
        return entry.published.hub, entry.published.revision
    model = entry.args.get("model")
    if entry.class_path == _HUB_ADAPTER and isinstance(model, str) and not entry.args.get("download"):
        revision = entry.args.get("revision")
        return model, revision if isinstance(revision, str) else None
    return None


def _in_cache(model: str, revision: str | None) -> bool:
    """Whether the Hub's cache holds a snapshot of a model, by its layout (huggingface_hub, "Manage your cache")."""
    folder = _hub_cache() / f"models--{model.replace('/', '--')}"
    commit = revision
    reference = folder / "refs" / (revision or "main")
    if reference.is_file():
        commit = reference.read_text(encoding="utf-8").strip()
    return commit is not None and any((folder / "snapshots" / commit).glob("*"))


def _hub_cache() -> Path:
    """Where the Hub's library keeps models, by the variables that it reads."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(variable):
            return Path(os.environ[variable]).expanduser()
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(home).expanduser() / "hub"
