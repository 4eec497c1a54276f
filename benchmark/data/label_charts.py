"""Charts of how many clips have each label, as files."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from analysis.pages.label_counts import LabelCounts
from benchmark.errors import UserError
from benchmark.store.store import write_atomically


def write_label_charts(folder: Path, counted: Sequence[LabelCounts]) -> list[Path]:
    """A chart `TASK-labels.svg` and its numbers, `TASK-labels.csv`, for each task; returns the charts.

    Raises
    ------
    UserError
        If there is nothing to draw.
    """
    from matplotlib import rc_context

    from analysis.pages.label_chart import label_chart

    if not counted:
        raise UserError(
            f"--plot {folder}: there are no labels to count; name datasets that are there, with tasks of tags, classes "
            "or events, and their folder by --data DIR"
        )
    folder.mkdir(parents=True, exist_ok=True)
    charts = []
    for one in counted:
        # A task of one's own may be called anything.
        name = re.sub(r"[^\w.+-]", "_", one["task"])
        table = io.StringIO()
        rows = csv.writer(table)
        rows.writerow(["label", *one["counts"]])
        rows.writerows(zip(one["labels"], *one["counts"].values(), strict=True))
        write_atomically(folder / f"{name}-labels.csv", table.getvalue().encode())
        chart = io.BytesIO()
        with rc_context({"svg.hashsalt": "bench", "text.parse_math": False}):
            label_chart(one).savefig(chart, format="svg", metadata={"Date": None}, facecolor="white")
        charts.append(folder / f"{name}-labels.svg")
        write_atomically(charts[-1], chart.getvalue())
    return charts
