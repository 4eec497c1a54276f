"""Predictions in score artifacts as sides of a comparison; nobody vouches for them, a store may be a stranger's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.console import Reporter
from benchmark.errors import UserError
from benchmark.factors import UNTRAINED
from benchmark.scores.records import NO_RECORD, PREDICTIONS, ScoreRecord
from benchmark.store.plain_arrays import read_arrays
from tasks.targets import targets_from


@dataclass(frozen=True)
class Side:
    """Predictions of one side, and what they are of.

    Attributes
    ----------
    name
        Encoder, and recipe where one trained it.
    predictions : ndarray of float32, shape [trainings, clips, L]
    labels
        As `Targets.values` of the task.
    groups : ndarray of str, shape [clips]
        Clips that are no independent draws.
    names
        Of the labels.
    fold : ndarray of int, shape [clips]
        Where each clip was tested.
    """

    name: str
    predictions: NDArray[np.float32]
    labels: Any
    groups: NDArray[np.str_]
    names: tuple[str, ...]
    fold: NDArray[np.intp]

    def of_the_same(self, other: Side) -> bool:
        """Whether both are predictions of the same labels of the same clips."""
        alike = self.names == other.names and self.predictions.shape[1:] == other.predictions.shape[1:]
        pairs = [(self.labels, other.labels), (self.groups, other.groups), (self.fold, other.fold)]
        return alike and all(np.array_equal(a, b, equal_nan=a.dtype.kind == b.dtype.kind == "f") for a, b in pairs)


def side_of(cell: Sequence[tuple[Path, ScoreRecord]], reporter: Reporter) -> Side | None:
    """One side of a comparison.

    Parameters
    ----------
    cell
        Folders of score artifacts, and their records: seeds of one representation.
    reporter
        Told which predictions cannot be read, or are not of the clips of those before them, and are left out.

    Returns
    -------
    Side or None
        ``None`` if nothing is left.
    """
    found: list[Side] = []
    for path, record in cell:
        try:
            trained = f" ({record.recipe})" if record.corpus or record.recipe == UNTRAINED else ""
            found.append(_predicted(record.encoder + trained, read_arrays(path, PREDICTIONS)))
            if not found[-1].of_the_same(found[0]):
                found.pop()
                raise UserError(f"{path / PREDICTIONS}: is of other clips than those beside it")
        except UserError as error:
            reporter.leave_out(str(error))
        except NO_RECORD:
            reporter.leave_out(f"{path / PREDICTIONS}: holds no predictions that belong together")
    return replace(found[0], predictions=np.concatenate([one.predictions for one in found])) if found else None


def _predicted(name: str, arrays: Mapping[str, NDArray[Any]]) -> Side:
    """What a file of predictions says; raises what `NO_RECORD` names if its arrays do not belong together."""
    predictions = arrays["repeats"] if "repeats" in arrays else arrays["predictions"][None]
    labels = targets_from(arrays).values if "kind" in arrays else arrays["labels"]
    groups, names = arrays["groups"], tuple(map(str, arrays["label_names"].tolist()))
    fold = arrays["folds"] if "folds" in arrays else np.zeros(len(groups), dtype=np.intp)
    clips = len(groups)
    if predictions.ndim != 3 or predictions.shape[1:2] != (clips,) or not len(predictions) or not clips:
        raise ValueError("predictions of other clips")
    if len(labels) != clips or len(fold) != clips or not np.isfinite(predictions).all():
        raise ValueError("labels of other clips, or no numbers")
    return Side(name, predictions, labels, groups, names, fold)
