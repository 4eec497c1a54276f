"""A stand-in in a folder of the user's own."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmark.console import Reporter
from benchmark.errors import UserError
from benchmark.registry.entries import DatasetEntry
from benchmark.registry.plugins import load_class, load_standin
from benchmark.registry.registry import Named
from benchmark.store.storage_errors import storage_errors

#: Says of the folder what its layout hides.
NOTICE = "STAND-IN.txt"


def write_standin(named: Named[DatasetEntry], folder: Path, seed: int, reporter: Reporter) -> None:
    """Write the stand-in of a dataset into `folder`, which then holds all of it or is as it was.

    Raises
    ------
    UserError
        If the folder is not empty, or cannot be written.
    """
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise UserError(f"{folder}: is there already and is no empty folder; name another one")
    standin = load_standin(named)
    clips, _ = standin.extent()
    with storage_errors(folder), reporter.counted(f"make the stand-in of {named.name}", clips, "clips") as progress:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
            whole = Path(beside) / "standin"
            whole.mkdir()
            standin.write(whole, seed, progress)
            (whole / NOTICE).write_text(
                f"Synthetic music made by bench in the layout of {load_class(named).NAME} (seed {seed}). It is not the "
                "dataset; scores on it mean nothing outside bench.\n"
            )
            whole.replace(folder)
    reporter.say(f"{folder}: a stand-in of {named.name}, {clips} clips, seed {seed}")
