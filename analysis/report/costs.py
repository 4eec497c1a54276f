"""What scores cost: parameters, throughput, memory, time; and which representations are worth it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from analysis.report.document import StepRow
from analysis.report.groups import Group, gather, over_seeds
from analysis.report.over_tasks import HeatMap
from analysis.tables.direction import better

AXES = {
    "parameters": ("parameters", -1),
    "windows_per_second": ("windows embedded a second", 1),
    "peak_bytes": ("peak memory while embedding", -1),
}
"""What scores are set against: fields of `Price`, each with its title and 1 where more is better, -1 where less is."""


@dataclass(frozen=True)
class Price:
    """A representation's score and cost.

    Attributes
    ----------
    score
        Mean standardised score over tasks, or the leading metric where there is one task.
    tasks
        How many tasks the score is a mean over.
    parameters, dim
        Of the encoder.
    windows_per_second
        When the tasks' audio was embedded; ``None`` if not known.
    peak_bytes
        Highest memory of its embed steps, of the GPU where one was used.
    pretrain_seconds
        Median over its pretrainings.
    fronts
        Of `AXES`, those in which no other is as good in cost and score and better in one of them.
    """

    representation: str
    score: float
    tasks: int
    parameters: int
    dim: int
    windows_per_second: float | None
    peak_bytes: int | None
    pretrain_seconds: float | None
    device: str
    fronts: frozenset[str] = frozenset()


def prices(groups: Sequence[Group], heat: HeatMap | None, steps: Mapping[str, StepRow]) -> tuple[list[Price], str]:
    """Representations by falling score, with their costs, and what the score is.

    Parameters
    ----------
    groups
        Of one kind of data.
    heat
        Their standardised scores.
    steps
        Costs of steps by key.
    """
    runs = [run for group in groups for run in group.main]
    if heat is not None and len(heat.tasks) > 1:
        scores = dict(zip(heat.representations, heat.means.tolist(), strict=True))
        counts = dict(zip(heat.representations, heat.counts, strict=True))
        title, sign = "mean standardised score", 1
    else:
        # Of several groups the one that the statistics over tasks took.
        only = next((group for group in groups if heat is not None and group.label in heat.tasks), groups[0])
        lead = only.lead
        cells = gather(only.main, "representation")
        scores = {name: value.mean for (name,), cell in cells.items() if (value := over_seeds(cell, lead)) is not None}
        counts = dict.fromkeys(scores, 1)
        title, sign = lead, better(lead)
    found = []
    for (name,), own in gather(runs, "representation").items():
        if name not in scores:
            continue
        mine = {key: steps[key] for run in own for key in run["steps"] if key in steps}
        embeds = [step for step in mine.values() if step["kind"] == "embed"]
        timed = [step for step in embeds if step.get("windows") and step["seconds"] > 0]
        seconds = sum(step["seconds"] for step in timed)
        trained = [step["seconds"] for step in mine.values() if step["kind"] in ("pretrain", "supervise")]
        found.append(
            Price(
                representation=name,
                score=scores[name],
                tasks=counts[name],
                parameters=own[0]["parameters"],
                dim=own[0]["dim"],
                windows_per_second=sum(step["windows"] for step in timed) / seconds if seconds else None,
                peak_bytes=max((_peak(step) for step in embeds), default=None),
                pretrain_seconds=median(trained) if trained else None,
                device=", ".join(sorted({step["device"] for step in embeds})),
            )
        )
    fronts = {axis: _front(found, axis, sign) for axis in AXES}
    marked = [
        replace(price, fronts=frozenset(axis for axis in AXES if price.representation in fronts[axis]))
        for price in found
    ]
    return sorted(marked, key=lambda price: (-price.tasks, -sign * price.score)), title


def comparable(prices: Sequence[Price], axis: str) -> list[Price]:
    """Those with a score over all tasks and a known cost; none where speed or memory come from different devices."""
    whole = max((price.tasks for price in prices), default=0)
    known = [price for price in prices if price.tasks == whole and getattr(price, axis) is not None]
    return known if axis == "parameters" or len({price.device for price in known}) == 1 else []


def _front(prices: Sequence[Price], axis: str, sign: int) -> set[str]:
    own = comparable(prices, axis)
    places = pareto([(AXES[axis][1] * getattr(price, axis), sign * price.score) for price in own])
    return {own[i].representation for i in places}


def pareto(points: Sequence[tuple[float, float]]) -> set[int]:
    """Places of the points that no other point equals or exceeds in both coordinates and exceeds in one.

    Examples
    --------
    >>> sorted(pareto([(1, 1), (2, 2), (3, 0), (3, 0), (0, 2)]))
    [1, 2, 3]
    """
    return {i for i, (x, y) in enumerate(points) if not any(a >= x and b >= y and (a > x or b > y) for a, b in points)}


def _peak(step: StepRow) -> int:
    return int(step["peak_gpu_memory_bytes"] or step["peak_memory_bytes"])


@dataclass(frozen=True)
class KindCost:
    """All steps of one kind."""

    kind: str
    steps: int
    seconds: float
    median_seconds: float
    peak_memory_bytes: int
    peak_gpu_memory_bytes: int | None
    devices: list[str]


def kind_costs(steps: Mapping[str, StepRow]) -> list[KindCost]:
    """Costs by kind of step, the dearest first; each step counts once, however many runs share it."""
    kinds: dict[str, list[StepRow]] = {}
    for step in steps.values():
        kinds.setdefault(step["kind"], []).append(step)
    found = [
        KindCost(
            kind=kind,
            steps=len(own),
            seconds=sum(step["seconds"] for step in own),
            median_seconds=median(step["seconds"] for step in own),
            peak_memory_bytes=max(step["peak_memory_bytes"] for step in own),
            peak_gpu_memory_bytes=max((peak for step in own if (peak := step["peak_gpu_memory_bytes"])), default=None),
            devices=sorted({step["device"] for step in own}),
        )
        for kind, own in kinds.items()
    ]
    return sorted(found, key=lambda cost: -cost.seconds)
