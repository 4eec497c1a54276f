"""Computes the steps of a plan that the store does not hold yet, in this process; `submission` has workers do it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmark.console import LogReporter, Reporter
from benchmark.environment import measured, node_count, node_rank, versions
from benchmark.errors import USER_ERRORS, UserError
from benchmark.file_lock import Busy, FileLock
from benchmark.libraries import library_errors
from benchmark.plan.runs import Run, staged
from benchmark.store.claims import Claim
from benchmark.store.step import Step
from benchmark.store.storage_errors import storage_errors
from benchmark.store.store import Artifact, Store, lineage

#: Told a step before it is computed.
Watch = Callable[[Step], None]
#: Called after each stage of a plan.
AfterStage = Callable[[], None]

#: How long the other nodes wait for what the first one leaves [s].
JOINED_SECONDS = 600


def _unwatched(step: Step) -> None:
    del step


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Failure:
    """A step that could not be computed.

    Attributes
    ----------
    step
        Which one.
    cause
        Why, in one line.
    error
        What was raised.
    log
        File with all that the step said, and the traceback where the fault is in a program.
    """

    step: Step
    cause: str
    error: Exception
    log: Path


class Engine:
    """Computes steps in this process.

    Parameters
    ----------
    store
        Where artifacts are found and left.
    reporter
        Shows what is under way.
    disregarded
        Keys of artifacts that are taken not to be there.
    """

    def __init__(self, store: Store, reporter: Reporter, disregarded: Collection[str] = ()) -> None:
        self._store = store
        self._disregarded = disregarded
        self._reporter = reporter
        self._current: dict[str, Artifact | None] = {}
        self._failed: dict[str, Failure] = {}
        self._warned = False

    def current(self, step: Step) -> Artifact | None:
        """The artifact of `step`, if the store holds it whole and it was computed from the inputs that are there now.

        Inputs that were deleted are not missed.
        """
        if step.key not in self._current:
            self._current[step.key] = self._look(step)
        return self._current[step.key]

    def _look(self, step: Step) -> Artifact | None:
        if step.key in self._disregarded:
            return None
        artifact = self._store.find(step.kind, step.key)
        if artifact is None:
            if self._store.folder(step.kind, step.key).exists():
                self._reporter.warn(
                    f"{step.title}: damaged in the store, and not used: {self._store.damage(step.kind, step.key)}; "
                    "`bench store verify` checks all the rest"
                )
            return None
        for name, need in step.needs.items():
            found = self.current(need)
            if found is not None and found.digest != artifact.manifest["inputs"][name]:
                return None
        return artifact

    @property
    def failures(self) -> list[Failure]:
        """Each step that failed so far, once."""
        return list(self._failed.values())

    def wanted(self, runs: Iterable[Run]) -> set[str]:
        """Keys of the steps without which the missing scores of `runs` cannot be had."""
        wanted: set[str] = set()
        open_steps = [run.score for run in runs]
        while open_steps:
            step = open_steps.pop()
            if step.key not in wanted and self.current(step) is None:
                wanted.add(step.key)
                open_steps += step.needs.values()
        return wanted

    def refuse(self, step: Step, error: Exception) -> None:
        """Take a step for failed that is known to fail; nothing that rests on it is computed."""
        self._failed.setdefault(step.key, self._failure(step, error))

    def scores(
        self, runs: Sequence[Run], watch: Watch = _unwatched, after_stage: AfterStage = _nothing
    ) -> list[Failure]:
        """Compute what is missing of `runs`; a step that fails takes no run with it but those that need it.

        Encoders are built first, then come labels and splits, so that what cannot be had is known before anything is
        decoded or trained for it.

        Parameters
        ----------
        runs
            What is wanted.
        watch
            Told each step before it is computed.
        after_stage
            Called after each of `benchmark.store.step.Stage`.

        Returns
        -------
        list of Failure
            Each failed step once.
        """
        wanted = self.wanted(runs)
        for steps, _ in staged(runs, lambda step: self.failure(step) is not None):
            self.compute([step for step in steps if step.key in wanted], watch)
            after_stage()
        return self.failures

    def compute(self, steps: Iterable[Step], watch: Watch = _unwatched) -> list[Failure]:
        """Compute `steps` and what they rest on, and go on where one fails; returns each failed step once."""
        for step in steps:
            if self.failure(step) is not None:
                continue
            try:
                self.ensure(step, watch)
            except Exception:
                if self.failure(step) is None:
                    raise
        return self.failures

    def ensure(self, step: Step, watch: Watch = _unwatched) -> Artifact:
        """The artifact of `step`, computed now if need be, by this process or by another that is already at it.

        Raises
        ------
        Exception
            What the step, or one that it needs, raises, now or when it was tried before.
        """
        found = self.current(step)
        if found is not None:
            return found
        if step.key in self._failed:
            raise self._failed[step.key].error
        inputs = {name: self.ensure(need, watch) for name, need in step.needs.items()}
        try:
            with storage_errors(self._store.root), library_errors():
                if node_rank() > 0 and step.of.trains:
                    return self._join(step, inputs)
                with self._locked(step):
                    self._current.clear()
                    found = self.current(step)
                    if found is None:
                        watch(step)
                        found = self._compute(step, inputs)
                        self._current.clear()
        except Exception as error:
            lost = [need for need in step.needs.values() if self._store.find(need.kind, need.key) is None]
            if lost and not isinstance(error, USER_ERRORS):
                error = UserError(
                    f"{lost[0].title}: was damaged or deleted in the store while it was used; the same command "
                    "computes it again, and `bench store verify` checks all the rest"
                )
            self._failed[step.key] = self._failure(step, error)
            raise error
        return found

    def _join(self, step: Step, inputs: Mapping[str, Artifact]) -> Artifact:
        """Take part in a training that the first node has locked, and wait for the artifact that it leaves."""
        work = self._store.open_work_folder(step.kind, step.key)
        self.run_step(step, inputs, work, self._reporter)
        for _ in range(JOINED_SECONDS):
            found = self._store.find(step.kind, step.key)
            if found is not None:
                self._current.clear()
                return found
            time.sleep(1)
        raise UserError(f"{step.title}: trained with the first node, which left no artifact; see its log")

    @contextmanager
    def _locked(self, step: Step) -> Iterator[None]:
        """Let other processes wait that want the same step, where the file system has locks."""
        if self._store.no_locks:
            self._warn_of_locks()
            yield
            return
        self._store.make("unfinished")
        held = FileLock(self._store.lock_file(step.kind, step.key))
        try:
            held.acquire(timeout=0)
        except Busy:
            self._reporter.say(f"{step.title}: another process is at it; waiting")
            held.acquire()
        with held:
            yield

    def _warn_of_locks(self) -> None:
        if not self._warned:
            self._reporter.warn(
                f"{self._store.root}: locks do not work here, {self._store.no_locks}; two commands at once may do the "
                "same work, and the scores are right"
            )
        self._warned = True

    def failure(self, step: Step) -> Failure | None:
        """Why `step`, or a step that it rests on, could not be computed; ``None`` if it was not tried."""
        return next((self._failed[before.key] for before in step.lineage() if before.key in self._failed), None)

    def _failure(self, step: Step, error: Exception) -> Failure:
        log = self._store.log_file(step.kind, step.key)
        expected = isinstance(error, USER_ERRORS)
        cause = " ".join(str(error).split()) if expected else f"{type(error).__name__}: {' '.join(str(error).split())}"
        try:
            self._store.make("logs")
            reporter = LogReporter(log)
            reporter.say(f"failed: {cause}")
            if not expected:
                reporter.say("".join(traceback.format_exception(error)))
            self._store.share_log(step.kind, step.key)
        except (OSError, UserError):  # a full disk or a log that is none, perhaps the very cause
            pass
        return Failure(step, cause, error, log)

    def _compute(self, step: Step, inputs: Mapping[str, Artifact]) -> Artifact:
        with self._work_folder(step) as (work, claim):
            self._store.make("logs")
            reporter = self._reporter.logged(self._store.log_file(step.kind, step.key))
            with measured() as resources:
                facts = self.run_step(step, inputs, work, reporter)
            self._store.share_log(step.kind, step.key)
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
            artifact = self._store.finish(step.kind, step.key, manifest, claim)
        self._reporter.detail(computed_in_words(step, resources["seconds"]))
        return artifact

    @contextmanager
    def _work_folder(self, step: Step) -> Iterator[tuple[Path, Claim | None]]:
        """Where a step works, and this process's claim to it.

        Nodes that train together work in one folder, which they find by its name; so theirs is claimed by nobody, and
        what keeps others out is the lock.
        """
        if step.of.trains and node_count() > 1:
            yield self._store.open_work_folder(step.kind, step.key), None
            return
        with self._store.claim(step.kind, step.key, self._reporter.say, not self._store.no_locks) as claim:
            yield claim.work, claim

    def run_step(self, step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> Mapping[str, Any]:
        """Do a step's own work; see `benchmark.store.step.Compute`."""
        return step.of.compute(step, inputs, work, reporter)


def computed_in_words(step: Step, seconds: float, state: str = "computed") -> str:
    """How a step came about, for those who want to know: its title, key and cost [s]."""
    return f"{step.title}: {state}, {step.kind} {step.key[:12]}, {seconds:.1f} s"
