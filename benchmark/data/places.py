"""Where a dataset's files lie, or would lie."""

from __future__ import annotations

import os
from pathlib import Path

from benchmark.entries import DatasetEntry
from benchmark.registry import Named
from benchmark.sources import dataset_at, load_class
from tasks.base import Dataset


def dataset_in(named: Named[DatasetEntry], data: Path | None) -> Dataset | None:
    """The dataset of an entry in the folder it names or below the data folder, there or not.

    ``None`` if the entry names no folder and there is no data folder.

    Raises
    ------
    UserError
        If its class cannot be imported or does not take the entry's arguments.
    """
    if named.entry.root is not None:
        return dataset_at(named, (named.file.parent / Path(named.entry.root).expanduser()).resolve())
    return None if data is None else dataset_at(named, data / load_class(named).NAME)


def relative(dataset: Dataset, file: Path) -> str:
    """Path of a file from the dataset's folder, which a table of the user's own may lie outside of."""
    return Path(os.path.relpath(file, dataset.root)).as_posix()
