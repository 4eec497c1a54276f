"""How long steps of a plan will take, by how long steps like them took on this machine.

A step takes some seconds whatever it does, to load libraries and a network, and then so many for each unit of work.
Both are fitted to the records of a store's finished steps, in relative error, for short and long steps tell as much.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.plain_files import PlantedError, read_within
from benchmark.pretraining.continuation import LENGTH
from benchmark.steps import initialise
from benchmark.store.step import Step
from benchmark.store.store import UNREADABLE, Store, digest_of

#: Newest records of a kind that are read.
READ = 300
#: Records that took longer or shorter than fitted by this factor are odd: they were interrupted, or not alone.
ODD = 3.0
#: A range is at least so wide to both sides: by rates that were measured just now, by up to two records, by more.
WIDTHS = (2.0, 1.6, 1.25)
#: Share of records outside a range, on each side.
OUTSIDE = 0.05
#: Newest records of a sort that are fitted, and how much the work of two must differ to tell start and pace apart.
FITTED = 60
APART = 1.3


@dataclass(frozen=True)
class Duration:
    """What a step will take [s]: as expected, and between which bounds most will lie."""

    seconds: float
    fastest: float
    slowest: float

    def __add__(self, other: Duration) -> Duration:
        return Duration(self.seconds + other.seconds, self.fastest + other.fastest, self.slowest + other.slowest)


#: Of what takes no time worth telling.
NOTHING = Duration(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Past:
    """A finished step: how much it did, in the unit of `Extent.amount`, and how long that took [s]."""

    amount: float
    seconds: float


def measured(seconds: float) -> Duration:
    """The duration that follows from rates that were measured just now."""
    return Duration(seconds, seconds / WIDTHS[0], seconds * WIDTHS[0])


def learnt(past: Sequence[Past], amount: float) -> Duration | None:
    """The duration of a step that does so much, by finished ones of its sort; ``None`` without any."""
    known = [one for one in past if one.amount > 0 and one.seconds > 0]
    if not known:
        return None
    known = known[:FITTED]
    fixed, each = _fitted(known)
    ratios = np.array([one.seconds / (fixed + each * one.amount) for one in known])
    sound = ratios[(ratios <= ODD) & (ratios >= 1 / ODD)]
    seconds = fixed + each * amount
    width = WIDTHS[1] if len(sound) < 3 else WIDTHS[2]
    low, high = np.quantile(sound, [OUTSIDE, 1 - OUTSIDE])
    return Duration(seconds, seconds * min(float(low), 1 / width), seconds * max(float(high), width))


def _fitted(past: Sequence[Past]) -> tuple[float, float]:
    """Seconds that a step takes anyway, and for each unit of work: neither below 0, of least relative error.

    Of the lines through any two records, and through none and one, the one from which the records depart least, in the
    mean of absolute logarithms: as a median, it minds no records that are odd, unless they are half of all.
    """
    amounts = np.array([one.amount for one in past])
    seconds = np.array([one.seconds for one in past])
    first, second = np.triu_indices(len(past), 1)
    apart = np.abs(np.log(amounts[first] / amounts[second])) > np.log(APART)
    first, second = first[apart], second[apart]
    slopes = (seconds[first] - seconds[second]) / (amounts[first] - amounts[second])
    starts = seconds[first] - slopes * amounts[first]
    possible = (slopes >= 0) & (starts >= 0)
    each = np.concatenate([seconds / amounts, slopes[possible]])
    fixed = np.concatenate([np.zeros(len(past)), starts[possible]])
    error = np.abs(np.log(seconds / (fixed[:, None] + each[:, None] * amounts))).mean(axis=1)
    best = int(error.argmin())
    return float(fixed[best]), float(each[best])


class History:
    """Finished steps of a store that ran on a device like this machine's.

    Parameters
    ----------
    store
        Whose manifests are read.
    gpu
        Name of the GPU that steps which can use one run on; empty without one.
    """

    def __init__(self, store: Store, gpu: str = "") -> None:
        self._folder = store.root / "artifacts"
        self._gpu = gpu

    def duration(self, step: Step, amount: float) -> Duration | None:
        """What a step that does so much will take; ``None`` if none of its sort has been computed here."""
        if amount <= 0:
            return None
        kept = self._past.get((step.kind, _sort(step.kind, step.spec, _encoder(step))), [])
        return learnt(kept, amount)

    @cached_property
    def _past(self) -> dict[tuple[str, str], list[Past]]:
        found: dict[tuple[str, str], list[Past]] = {}
        for kind in ("prepare", "embed", "pretrain", "supervise", "probe"):
            for folder in self._newest(kind):
                try:
                    manifest = json.loads(read_within(folder, "manifest.json"))
                    past = self._read(manifest)
                    if past is not None:
                        found.setdefault((kind, _sort(kind, manifest["spec"], _initial(manifest))), []).append(past)
                except (PlantedError, *UNREADABLE):
                    continue
        return found

    def _newest(self, kind: str) -> list[Path]:
        try:
            folders = sorted(os.scandir(self._folder / kind), key=lambda one: -one.stat(follow_symlinks=False).st_mtime)
        except OSError:
            return []
        return [Path(one.path) for one in folders[:READ]]

    def _read(self, manifest: Mapping[str, Any]) -> Past | None:
        """How much a finished step did, and how long it took; ``None`` if it cannot be told, or ran elsewhere."""
        kind, facts = manifest["kind"], manifest["facts"]
        resources = manifest["lineage"][manifest["key"]]["resources"]
        here = self._gpu if self._gpu and resources.get("peak_gpu_memory_bytes") else _processor()
        if resources["device"] != here:
            return None
        seconds = float(resources["seconds"])
        if kind in ("pretrain", "supervise"):
            if pace := facts.get("clips_per_second"):  # which knows of no interruption
                seconds = facts["steps"] * manifest["spec"]["recipe"]["batch"] / pace
            return Past(float(facts["steps"]), seconds)
        amount = facts.get("worked")
        return None if amount is None else Past(float(amount), seconds)


def _processor() -> str:
    """As `benchmark.environment.measured` names it."""
    return platform.processor() or platform.machine()


def _sort(kind: str, spec: Mapping[str, Any], encoder: Mapping[str, Any]) -> str:
    """What steps of one kind share whose times are proportional to the work."""
    if kind == "prepare":
        return ""
    if kind == "embed":
        return digest_of([encoder, bool(spec["layers"])])
    if kind in ("pretrain", "supervise"):
        return digest_of([encoder, {key: value for key, value in spec["recipe"].items() if key not in LENGTH}])
    return digest_of([spec["protocol"], spec.get("layer") is not None])


def _encoder(step: Step) -> Mapping[str, Any]:
    return next((_identity(one.spec) for one in step.lineage() if one.kind == initialise.KIND.name), {})


def _initial(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    entries = manifest["lineage"].values()
    return next((_identity(entry["spec"]) for entry in entries if entry["kind"] == initialise.KIND.name), {})


def _identity(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"class": spec["class"], "args": spec["args"]}
