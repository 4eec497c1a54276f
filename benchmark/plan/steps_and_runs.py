r"""What there is to do: steps with keys, the runs that they end in, and what a user may ask for.

standin -> prepare -> label ----------------------+
             |  \-> pretrain, supervise or        +-> probe -> score record
             |      initialise ---+               |
             +--------------------+--> embed -----+

Nothing is computed here, and nothing that learns is imported. `benchmark.plan.planner` makes runs of requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from benchmark.store.store import digest_of

#: Raised when what a step leaves, or how it computes it, changes; every key that rests on it changes too.
STEP_VERSIONS = {
    "standin": 1,
    "prepare": 2,
    "label": 1,
    "deform": 1,
    "initialise": 1,
    "pretrain": 2,
    "supervise": 1,
    "embed": 2,
    "probe": 4,
}
#: Kinds of steps in the order in which a plan computes them: first what shows in seconds whether an encoder can be had,
#: then what shows whether a task can, last what is long.
STAGES = (
    frozenset({"initialise"}),
    frozenset({"standin", "prepare", "label"}),
    frozenset({"deform", "pretrain", "supervise", "embed", "probe"}),
)
#: The recipe column of an encoder that a recipe could have trained and did not.
UNTRAINED = "untrained"
#: The recipe column of an encoder that needs none: hand-made features, or weights that came with it.
AS_GIVEN = "as-given"
#: The protocol column of a supervised encoder, whose own head makes the predictions.
END_TO_END = "end-to-end"
#: Asks for every layer of an encoder.
ALL_LAYERS = "all"


@dataclass(frozen=True, eq=False)
class Step:
    """A function from a spec and the artifacts before it to one artifact.

    Attributes
    ----------
    kind
        Which function.
    spec
        Everything, apart from `needs`, that determines the artifact; JSON-able.
    needs
        The steps whose artifacts it takes.
    title
        How it is called on the terminal.
    context
        What is needed to compute it but does not determine the result: where files lie, entries to import.
    """

    kind: str
    spec: Mapping[str, Any]
    needs: Mapping[str, Step]
    title: str
    context: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """Hash of all that determines the artifact."""
        return digest_of(
            {
                "kind": self.kind,
                "version": STEP_VERSIONS[self.kind],
                "spec": self.spec,
                "needs": {name: step.key for name, step in self.needs.items()},
            }
        )[:40]

    def lineage(self) -> list[Step]:
        """The steps that this one rests on, itself last, each once, in an order in which they can be computed."""
        ordered: dict[str, Step] = {}
        for step in self.needs.values():
            ordered |= {before.key: before for before in step.lineage()}
        return [*(step for key, step in ordered.items() if key != self.key), self]


@dataclass(frozen=True)
class Run:
    """One cell of the grid.

    Attributes
    ----------
    encoder
        Name of the encoder, or several joined by ``+`` whose representations are probed as one.
    corpus, recipe
        What it was pretrained on and how; `corpus` is ``None`` where nothing is pretrained. A recipe with numbers
        overridden has them in its name, for it is another recipe.
    task, protocol, seed
        What it is scored on, and how.
    layer
        Layer that is probed; ``None`` for the representation.
    labels
        Fraction of the training labels that is used.
    deform
        Deformation of the test audio, as ``NAME=STRENGTH``; ``None`` for the audio as it is.
    probe
        The step that ends in its score record.
    """

    encoder: str
    corpus: str | None
    recipe: str
    task: str
    protocol: str
    seed: int
    layer: str | None
    labels: float
    deform: str | None
    probe: Step


@dataclass(frozen=True)
class Lost:
    """A cell of the grid that cannot be planned: its factors, as of a `Run`, and why, in one line."""

    encoder: str
    corpus: str | None
    recipe: str
    task: str
    protocol: str
    seed: int
    layer: str | None
    labels: float
    deform: str | None
    cause: str


@dataclass(frozen=True)
class Plan:
    """What can be computed of what is asked for, and what cannot."""

    runs: Sequence[Run]
    lost: Sequence[Lost] = ()

    @property
    def causes(self) -> list[str]:
        """Why cells are lost, each cause once."""
        return list(dict.fromkeys(cell.cause for cell in self.lost))

    def without_twins(self) -> Plan:
        """Without the untrained twins of trained encoders; one that is never trained, as `random`, is nobody's twin."""
        every: list[Run | Lost] = [*self.runs, *self.lost]
        trained = {cell.encoder for cell in every if cell.recipe not in (UNTRAINED, AS_GIVEN)}

        def stays(cell: Run | Lost) -> bool:
            return cell.recipe != UNTRAINED or cell.encoder not in trained

        return Plan([run for run in self.runs if stays(run)], [cell for cell in self.lost if stays(cell)])


@dataclass(frozen=True)
class Request:
    """What a command asks for: every combination of these becomes a run.

    `corpora` and `protocols` may be empty: then the task's own are used. `layers` may be empty, for the
    representation, and may hold `ALL_LAYERS`. With `probe_every`, pretraining scores the task's validation clips after
    so many epochs. `training` says how to train without changing what comes out: ``devices``, ``precision``,
    ``residence`` of the corpus, ``tensorboard``.
    """

    encoders: Sequence[str]
    tasks: Sequence[str]
    recipes: Sequence[str]
    corpora: Sequence[str] = ()
    protocols: Sequence[str] = ()
    seeds: Sequence[int] = (0,)
    layers: Sequence[str] = ()
    labels: Sequence[float] = (1.0,)
    deforms: Sequence[str | None] = (None,)
    allow_missing: bool = False
    sample_rate: int | None = None
    probe_every: int | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)


def unique_steps(runs: Iterable[Run]) -> list[Step]:
    """Every step of `runs` once, in an order in which they can be computed: cheap checks before long training."""
    ordered: dict[str, Step] = {}
    lineages = [run.probe.lineage() for run in runs]
    for stage in STAGES:
        for lineage in lineages:
            for step in lineage:
                if step.kind in stage:
                    ordered.setdefault(step.key, step)
    return list(ordered.values())


def staged(runs: Sequence[Run], failed: Callable[[Step], bool]) -> Iterator[tuple[list[Step], list[Step]]]:
    """The steps of each stage, once the one before is done.

    Parameters
    ----------
    runs
        What is wanted.
    failed
        Whether a step, or one that it rests on, is known to have failed by now.

    Yields
    ------
    steps, hopeless
        What to compute, and what only runs rest on that can no longer be had.
    """
    every = unique_steps(runs)
    for stage in STAGES:
        needed = {step.key for run in runs if not failed(run.probe) for step in run.probe.lineage()}
        own = [step for step in every if step.kind in stage]
        yield [step for step in own if step.key in needed], [step for step in own if step.key not in needed]
