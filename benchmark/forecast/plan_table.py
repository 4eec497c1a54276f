"""The table that a dry run prints: every step, what of it is kept already, and what the rest will take."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.forecast.sizes import PlannedStep
from benchmark.text import readable_bytes, readable_time, table


def plan_table(steps: Sequence[PlannedStep]) -> str:
    """A line for each step and the bytes still to be written."""
    rows = [["state", "step", "work", "size", "time", "key"]]
    rows += [
        [
            step.state,
            step.title,
            step.work,
            readable_bytes(step.bytes),
            _range(step.fastest, step.slowest) if step.seconds else "",
            step.key[:12],
        ]
        for step in steps
    ]
    missing = [step for step in steps if step.state != "cached"]
    total = readable_bytes(sum(step.bytes for step in missing))
    hours = _range(sum(step.fastest for step in missing), sum(step.slowest for step in missing))
    return (
        f"{table(rows)}\n\n{len(missing)} of {len(steps)} steps to do, about {total} to write; "
        f"decoding, training and encoding take {hours} on this device, one step at a time"
    )


def _range(fastest: float, slowest: float) -> str:
    """E.g. ``8 to 15 s`` or ``90 s to 3 min``."""
    low, high = readable_time(fastest), readable_time(slowest)
    if low == high:
        return f"about {high}"
    (first, unit), (_, other) = low.split(" "), high.split(" ")
    return f"{first if unit == other else low} to {high}"
