"""What is known to fail before anything is computed: libraries that do not load, devices that are not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from benchmark.engine.engine import Engine
from benchmark.errors import UserError
from benchmark.libraries import load
from benchmark.plan.steps_and_runs import Run, Step, unique_steps

#: Other people's modules that each kind of step imports.
LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "standin": ("soundfile",),
    "prepare": ("soundfile",),  # soxr too, where rates differ, which headers of files alone tell
    "deform": ("soundfile", "soxr", "scipy.signal"),
    "initialise": ("torch",),
    "pretrain": ("torch", "lightning.pytorch"),
    "supervise": ("torch", "lightning.pytorch"),
    "embed": ("torch",),
    "probe": ("torch",),
}
_ESTIMATORS = "sklearn"


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
    for module in _libraries(step):
        if module not in tried:
            try:
                load(module)
                tried[module] = None
            except UserError as error:
                tried[module] = error
        if (found := tried[module]) is not None:
            return found
    if step.kind in ("pretrain", "supervise"):
        from benchmark.pretraining.processes import devices_of, visible_to_each

        try:
            devices_of(step, visible_to_each(jobs))
        except UserError as error:
            return error
    return None


def _libraries(step: Step) -> tuple[str, ...]:
    own = LIBRARIES.get(step.kind, ())
    protocol = step.spec.get("protocol")
    if step.kind == "probe" and isinstance(protocol, Mapping) and protocol["estimator"] is not None:
        own = (*own, _ESTIMATORS)
    return (*own, "torch.utils.tensorboard") if step.context.get("tensorboard") else own
