"""How large the steps of a plan are, before any of them is computed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from benchmark.encoding.planned import planned_encoder
from benchmark.engine.engine import Engine
from benchmark.engine.foreseen import foreseen
from benchmark.errors import USER_ERRORS
from benchmark.forecast.history import NOTHING, Duration, History, measured
from benchmark.forecast.rates import Rates
from benchmark.plan.runs import Run, unique_steps
from benchmark.plan.studies import trained_encoders
from benchmark.store.step import Extent, Step


@dataclass(frozen=True)
class PlannedStep:
    """A line of a dry run.

    Attributes
    ----------
    kind, key, title
        The step.
    state
        ``"cached"`` or ``"to do"``.
    work
        What there is to do, in words; empty if cached.
    bytes
        Size of the artifact, estimated where `state` is ``"to do"``.
    seconds, fastest, slowest
        What computing it takes on this device [s], as expected, and within which bounds most will lie: by finished
        steps of its sort in this store, or else by rates measured here; 0 if cached, or for steps that take little.
    """

    kind: str
    key: str
    title: str
    state: str
    work: str
    bytes: int
    seconds: float
    fastest: float = 0.0
    slowest: float = 0.0


def planned_steps(
    runs: Sequence[Run], engine: Engine, rates: Rates, history: History, jobs: int | None = 1
) -> tuple[list[PlannedStep], list[str]]:
    """Every step of the runs that can be had, once, in order, with its state, size and duration.

    Parameters
    ----------
    runs, engine
        What is wanted, and what knows what the store holds of it.
    rates, history
        Of this device, and of finished steps.
    jobs
        As for `benchmark.engine.foreseen.foreseen`.

    Returns
    -------
    steps
        Without those that only runs need which are known to fail.
    causes
        Why these will fail, each cause once.
    """
    causes = {step.key: str(error) for step, error in foreseen(runs, engine, jobs)}
    lines = {}
    for step in unique_steps(runs):
        artifact = engine.current(step)
        if artifact is not None:
            lines[step.key] = PlannedStep(step.kind, step.key, step.title, "cached", "", artifact.bytes, 0.0)
            continue
        try:
            extent = step.of.extent(step)
            found = history.duration(step, extent.amount) or _measured(step, extent, rates)
        except Exception as error:  # of someone's encoder or dataset
            expected = isinstance(error, USER_ERRORS)
            causes.setdefault(step.key, str(error) if expected else f"{step.title}: {type(error).__name__}: {error}")
        else:
            times = (found.seconds, found.fastest, found.slowest)
            lines[step.key] = PlannedStep(step.kind, step.key, step.title, "to do", extent.work, extent.bytes, *times)
    wanted = engine.wanted(runs)
    fatal = {key: " ".join(cause.split()) for key, cause in causes.items() if key in wanted}
    hopeful = [
        run
        for run in runs
        if engine.current(run.score) is not None or not any(step.key in fatal for step in run.score.lineage())
    ]
    steps = [lines[step.key] for step in unique_steps(hopeful) if step.key in lines]
    return steps, list(dict.fromkeys(fatal.values()))


def _measured(step: Step, extent: Extent, rates: Rates) -> Duration:
    """By rates that are measured now, where no finished step tells."""
    seconds = extent.decoded / rates.decode() if extent.decoded else 0.0
    if extent.encoded:
        seconds += extent.encoded / rates.encode(step.context["encoder"])
    if extent.trained:
        rate = rates.train(step.context["encoder"])
        seconds += extent.trained / rate if rate else 0.0
    return measured(seconds) if seconds else NOTHING


def parameter_counts(runs: Sequence[Run]) -> dict[str, int]:
    """Parameters of every encoder that a recipe trains; one that cannot be built is left to the step that does."""
    counts = {}
    for name, run in trained_encoders(runs).items():
        with suppress(*USER_ERRORS):
            counts[name] = planned_encoder(run.score.needs["weights"].needs["start"]).parameter_count()
    return counts
