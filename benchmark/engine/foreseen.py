"""What is known to fail before anything is computed: for want of libraries, of devices, or of an encoder that fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmark.engine.engine import Engine
from benchmark.errors import UserError
from benchmark.libraries import load
from benchmark.plan.runs import Run, unique_steps
from benchmark.store.step import Step


def foreseen(runs: Sequence[Run], engine: Engine, jobs: int | None) -> Iterator[tuple[Step, UserError]]:
    """Steps missing in the store that cannot be computed here, and why.

    Parameters
    ----------
    runs
        What is wanted.
    engine
        Knows what the store holds.
    jobs
        Processes on this machine that do the work; ``None`` if other machines do it, of which nothing is known.
    """
    if jobs is None:
        return
    wanted = engine.wanted(runs)
    tried: dict[str, UserError | None] = {}
    for step in unique_steps(runs):
        if step.key in wanted and (error := _unmet(step, jobs, tried)) is not None:
            yield step, error


def _unmet(step: Step, jobs: int, tried: dict[str, UserError | None]) -> UserError | None:
    for module in step.of.libraries(step):
        if module not in tried:
            try:
                load(module)
                tried[module] = None
            except UserError as error:
                tried[module] = error
        if (found := tried[module]) is not None:
            return found
    if step.of.trains:
        from benchmark.encoding.planned import planned_encoder
        from benchmark.pretraining.methods.planned import planned_method
        from benchmark.pretraining.processes import devices_of, visible_to_each

        try:
            devices_of(step, visible_to_each(jobs))
            planned_method(step).check_encoder(lambda: planned_encoder(step))
        except UserError as error:
            return error
    return None
