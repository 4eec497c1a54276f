"""Computes the steps of a plan that the store does not hold yet."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from filelock import FileLock, Timeout

from benchmark.console import Reporter
from benchmark.environment import measured, versions
from benchmark.plan import Run, Step
from benchmark.store import Artifact, Store, lineage

#: Computes a step: takes it, the artifacts it needs, an own folder to write into (with whatever an interrupted
#: attempt left there) and a reporter; returns facts for the manifest.
Compute = Callable[[Step, Mapping[str, Artifact], Path, Reporter], Mapping[str, Any]]


class Engine:
    """Computes steps in this process.

    Parameters
    ----------
    store
        Where artifacts are found and left.
    reporter
        Shows what is under way.
    """

    def __init__(self, store: Store, reporter: Reporter) -> None:
        self._store = store
        self._reporter = reporter
        self._current: dict[str, Artifact | None] = {}

    def current(self, step: Step) -> Artifact | None:
        """The artifact of `step`, if the store holds it whole and it was computed from the inputs that are there now.

        Inputs that were deleted are not missed.
        """
        if step.key not in self._current:
            self._current[step.key] = self._look(step)
        return self._current[step.key]

    def _look(self, step: Step) -> Artifact | None:
        artifact = self._store.find(step.kind, step.key)
        if artifact is None:
            if self._store.folder(step.kind, step.key).exists():
                self._reporter.say(f"{step.title}: its files are not what was written; they are not used")
            return None
        for name, need in step.needs.items():
            found = self.current(need)
            if found is not None and found.digest != artifact.manifest["inputs"][name]:
                return None
        return artifact

    def scores(self, runs: Sequence[Run]) -> list[Artifact]:
        """Artifacts of the probe steps of `runs`, in order, computing what is missing.

        Labels and splits come first, so that a missing test clip is found before anything is trained.
        """
        for run in runs:
            if self.current(run.probe) is None:
                self.ensure(run.probe.needs["labels"])
        return [self.ensure(run.probe) for run in runs]

    def ensure(self, step: Step) -> Artifact:
        """The artifact of `step`, computed now if need be, by this process or by another that is already at it."""
        found = self.current(step)
        if found is not None:
            return found
        inputs = {name: self.ensure(need) for name, need in step.needs.items()}
        lock_file = self._store.lock_file(step.kind, step.key)
        lock_file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(lock_file)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            self._reporter.say(f"{step.title}: another process is at it; waiting")
            lock.acquire()
        with lock:
            self._current.clear()
            found = self.current(step)
            if found is None:
                found = self._compute(step, inputs)
                self._current.clear()
        return found

    def _compute(self, step: Step, inputs: Mapping[str, Artifact]) -> Artifact:
        work = self._store.work_folder(step.kind, step.key)
        work.mkdir(parents=True, exist_ok=True)
        compute = cast(Compute, importlib.import_module(f"benchmark.steps.{step.kind}").compute)
        with measured() as resources:
            facts = compute(step, inputs, work, self._reporter)
        behind = lineage(inputs)
        behind[step.key] = {"kind": step.kind, "spec": step.spec, "resources": resources}
        manifest = {
            "lineage": behind,
            "title": step.title,
            "spec": step.spec,
            "needs": {name: {"kind": need.kind, "key": need.key} for name, need in step.needs.items()},
            "inputs": {name: artifact.digest for name, artifact in inputs.items()},
            "facts": facts,
            "versions": versions(),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        return self._store.finish(step.kind, step.key, manifest)


def empty_folder(folder: Path) -> None:
    """Remove what an earlier attempt left, for steps that start afresh."""
    for child in folder.iterdir():
        if child.is_dir():
            shutil.rmtree(child)
        else:
            child.unlink()


def workers() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))
