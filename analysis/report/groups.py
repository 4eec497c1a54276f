"""Runs that may stand in one table: the same task, the same scored clips, the same kind of data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.report.document import RunRow
from analysis.tables.representations import representation_names


class Run(RunRow):
    """A run with what the page calls that which was probed.

    Attributes
    ----------
    representation
        The encoder, with what its pretraining differs in from its others'.
    """

    representation: str


@dataclass(frozen=True)
class Group:
    """Comparable runs.

    Attributes
    ----------
    label
        The task, and what tells this group from others of the same task.
    task, fingerprint, standin
        What its runs share.
    runs
        Those of the group.
    metrics
        Names, the leading one first.
    protocol
        The one that most representations were probed with; statistics over tasks keep to it.
    """

    label: str
    task: str
    fingerprint: str
    standin: bool
    runs: Sequence[Run]
    metrics: Sequence[str]
    protocol: str

    @property
    def plain(self) -> list[Run]:
        """Runs on the representation itself, with all labels, on the audio as it is."""
        return [run for run in self.runs if is_plain(run)]

    @property
    def lead(self) -> str:
        """The leading metric."""
        return self.metrics[0]

    @property
    def main(self) -> list[Run]:
        """Plain runs of the protocol that most representations share."""
        return [run for run in self.plain if run["protocol"] == self.protocol]


def is_plain(run: RunRow) -> bool:
    """Whether nothing but the grid's own factors was varied."""
    return not run["departs"]


def form_groups(runs: Sequence[RunRow]) -> list[Group]:
    """Divide runs into groups, real data first, in order of appearance."""
    named = [_named(run, name) for run, name in zip(runs, representation_names(runs), strict=True)]
    found: dict[tuple[bool, str, str], list[Run]] = {}
    for run in named:
        found.setdefault((bool(run["standin"]), run["task"], run["fingerprint"]), []).append(run)
    kinds = {standin for standin, _, _ in found}
    several = Counter((standin, task) for standin, task, _ in found)
    groups = []
    for (standin, task, fingerprint), members in sorted(found.items(), key=lambda item: item[0][0]):
        label = task
        if several[standin, task] > 1:
            label += f" [{fingerprint[:8]}]"
        if standin and len(kinds) > 1:
            label += " (stand-in)"
        groups.append(
            Group(label, task, fingerprint, standin, members, list(members[0]["metrics"]), _main_protocol(members))
        )
    return groups


def _named(run: RunRow, name: str) -> Run:
    return {**run, "representation": name}


def _main_protocol(runs: Sequence[Run]) -> str:
    plain = [run for run in runs if is_plain(run)] or list(runs)
    shared: dict[str, set[str]] = {}
    for run in plain:
        shared.setdefault(run["protocol"], set()).add(run["representation"])
    rows = Counter(run["protocol"] for run in plain)
    return max(shared, key=lambda name: (len(shared[name]), rows[name], name))


def pretraining(recipe: str, corpus: str | None) -> str:
    """E.g. ``tune on gtzan``, or ``as-given``."""
    return f"{recipe} on {corpus}" if corpus else recipe


@dataclass(frozen=True)
class Value:
    """A metric over the seeds of one row.

    Attributes
    ----------
    mean, lower, upper
        Mean over seeds of the score and of its interval's bounds over test clips.
    sd
        Between seeds, ddof 1; ``None`` with one seed.
    n
        Number of seeds.
    rough
        Why the interval is rough; empty if it is not.
    """

    mean: float
    lower: float
    upper: float
    sd: float | None
    n: int
    rough: str = ""

    @property
    def clips_se(self) -> float:
        """Standard error over test clips, which are the same for every seed."""
        return (self.upper - self.lower) / (2 * 1.959964)

    @property
    def seeds_se(self) -> float:
        """Standard error over seeds; zero where there is but one, whose luck is not known."""
        return 0.0 if self.sd is None else self.sd / float(np.sqrt(self.n))


def over_seeds(runs: Sequence[RunRow], metric: str) -> Value | None:
    """Average a metric over runs that differ in their seed only; ``None`` where none has it."""
    entries = [run["metrics"][metric] for run in runs if metric in run["metrics"]]
    if not entries:
        return None
    values = np.array([entry["value"] for entry in entries])
    return Value(
        mean=float(values.mean()),
        lower=float(np.mean([entry["lower"] for entry in entries])),
        upper=float(np.mean([entry["upper"] for entry in entries])),
        sd=float(values.std(ddof=1)) if len(values) > 1 else None,
        n=len(values),
        rough=next((entry["rough"] for entry in entries if entry["rough"]), ""),
    )


def trained_once(runs: Iterable[RunRow]) -> bool:
    """Whether one trained network is behind some runs; false also of what no seed of ours trained."""
    return len({run["network"] for run in runs if run["network"]}) == 1


def gather(runs: Iterable[Run], *keys: str) -> dict[tuple[Any, ...], list[Run]]:
    """Runs by the values of some factors, in order of appearance."""
    found: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        factors: Mapping[str, Any] = run
        found.setdefault(tuple(factors[key] for key in keys), []).append(run)
    return found
