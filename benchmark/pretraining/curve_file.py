"""The curve of a training as a file in its artifact: written by the training, read by the report."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmark.plain_files import PlantedError, read_within

CURVE = "losses.csv"


def write_curve(
    folder: Path, rows: Sequence[tuple[int, Mapping[str, float]]], steps_per_epoch: int, extra: Mapping[int, float]
) -> None:
    """Write a curve as CSV: step (counted from 1), epoch, the values, and a probe's score at the steps that have one.

    A score at a step where no row of the curve ends has a row of its own, without values.

    Parameters
    ----------
    folder
        Where to write it.
    rows
        `Curve.table` of `benchmark.pretraining.curve`.
    steps_per_epoch
        Steps in which every item is visited once.
    extra
        Score of the validation probe by step; empty where there was none.
    """
    columns = list(rows[0][1]) if rows else []
    with (folder / CURVE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "epoch", *columns, *(["probe"] if extra else [])])
        curve = dict(rows)
        for step in sorted(curve.keys() | extra.keys()):
            values = [f"{curve[step][name]:.6g}" if step in curve else "" for name in columns]
            probe = [f"{extra[step]:.6g}" if step in extra else ""] if extra else []
            writer.writerow([step + 1, f"{(step + 1) / steps_per_epoch:.4f}", *values, *probe])


def read_probe_scores(folder: Path) -> list[tuple[float, float]]:
    """Epochs and scores of the validation probes of a training; none if it had none, or the file cannot be read."""
    try:
        text = read_within(folder, CURVE).decode()
        rows = [row for row in csv.DictReader(text.splitlines()) if row.get("probe")]
        points = [(float(row["epoch"]), float(row["probe"])) for row in rows]
    except (PlantedError, OSError, ValueError, KeyError, TypeError):
        return []
    return points if all(math.isfinite(value) for point in points for value in point) else []
