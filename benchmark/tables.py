"""Tables for the terminal: scores, plans and the registry."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from benchmark.console import printable

if TYPE_CHECKING:
    from benchmark.records import Score, ScoreRecord
    from benchmark.sizes import PlannedStep


#: What a run may vary beside the grid; shown only where a run does.
_EXTRAS = ("layer", "labels", "deform")
#: Letters that a column of descriptions needs to be readable.
NARROWEST = 24


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns of text, as wide as their widest cell; each cell on one line, control characters as escapes."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def fitted(rows: Sequence[Sequence[str]], width: int | None) -> str:
    """As `aligned`, with the last column broken at spaces so that no line has more than `width` letters, if it can be.

    Where names alone leave little room, what does not fit beside them comes below.
    """
    if width is None or not rows:
        return aligned(rows) if rows else ""
    margin = sum(max(len(row[column]) for row in rows) + 2 for column in range(len(rows[0]) - 1))
    beside = width - margin >= NARROWEST
    indent = " " * (margin if beside else 6)
    lines = []
    heads = aligned([[*row[:-1], "|"] for row in rows]).split("\n")
    for head, row in zip(heads, rows, strict=True):
        parts = wrap(row[-1], max(width - len(indent), NARROWEST), break_on_hyphens=False)
        first = head[:-1] + parts.pop(0) if beside and parts else head[:-1].rstrip()
        lines += [first, *(indent + part for part in parts)]
    return "\n".join(lines)


def score_tables(records: Sequence[ScoreRecord]) -> str:
    """One table for each task, and never one for two sets of test clips."""
    groups: dict[tuple[str, str, str], list[ScoreRecord]] = {}
    for record in records:
        groups.setdefault((record.task, record.data, record.fingerprint), []).append(record)
    return "\n\n".join(_score_table(group) for group in groups.values())


def _score_table(records: Sequence[ScoreRecord]) -> str:
    first = records[0]
    metrics = list(first.metrics)
    lead = first.metrics[metrics[0]]
    labels = lead.n_labels + len(first.unscored_labels)
    data = "the STAND-IN: synthetic audio, not comparable with published scores"
    title = (
        f"{printable(first.task)} on {data if first.data == 'stand-in' else 'real data'}\n"
        f"{first.n_scored['test']:,} of {first.n_expected['test']:,} test clips, "
        + (f"{lead.n_labels} of {labels} labels, macro average, " if labels > 1 else "")
        + f"{lead.level:.0%} bootstrap intervals over test clips"
    )
    extras = [name for name in _EXTRAS if any(_extra(record, name) for record in records)]
    rows = [["encoder", "pretraining", "protocol", "seed", *extras, *map(_title, metrics)]]
    for record in records:
        pretraining = f"{record.recipe} on {record.corpus}" if record.corpus else record.recipe
        rows.append(
            [
                record.encoder,
                pretraining,
                record.protocol,
                str(record.seed),
                *(_extra(record, name) for name in extras),
                *(_with_interval(record.metrics[metric]) for metric in metrics),
            ]
        )
    rows.append(
        ["constant", "", "", "", *("" for _ in extras), *(f"{first.metrics[metric].floor:.3f}" for metric in metrics)]
    )
    notes = [
        printable(f"{record.encoder} ({record.recipe}) was pretrained on {record.overlap.clips} of the test clips")
        for record in records
        if record.overlap.clips
    ]
    return "\n".join([title, "", aligned(rows), *notes])


def _title(metric: str) -> str:
    """How people call a metric, and its part if it is one."""
    from tasks.metrics import METRICS, split_name

    name, part = split_name(metric)
    title = METRICS[name].title if name in METRICS else name
    return f"{title}, {part}" if part else title


def _extra(record: ScoreRecord, name: str) -> str:
    """How a run departs from the plain one in `name`; empty if it does not."""
    value = getattr(record, name)
    return "" if value in (None, 1.0) else f"{value:g}" if isinstance(value, float) else str(value)


def _with_interval(score: Score) -> str:
    return f"{score.value:.3f} [{score.lower:.3f}, {score.upper:.3f}]"


def plan_table(steps: Sequence[PlannedStep]) -> str:
    """A line for each step and the bytes still to be written."""
    rows = [["state", "step", "work", "size", "time", "key"]]
    rows += [
        [
            step.state,
            step.title,
            step.work,
            readable_bytes(step.bytes),
            readable_time(step.seconds) if step.seconds else "",
            step.key[:12],
        ]
        for step in steps
    ]
    missing = [step for step in steps if step.state != "cached"]
    total = readable_bytes(sum(step.bytes for step in missing))
    hours = readable_time(sum(step.seconds for step in missing))
    return (
        f"{aligned(rows)}\n\n{len(missing)} of {len(steps)} steps to do, about {total} to write; "
        f"decoding, training and encoding take about {hours} on this device, one step at a time"
    )


def readable_time(seconds: float) -> str:
    """E.g. ``57.3 h``, ``12 min`` or ``8 s``."""
    if seconds >= 7200:
        return f"{seconds / 3600:,.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def readable_bytes(count: float) -> str:
    """E.g. ``33.1 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
