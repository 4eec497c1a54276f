"""A step: a function from a spec and the artifacts before it to one artifact, and what its kind says of all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from benchmark.console import Reporter
from benchmark.store.store import Artifact, digest_of

T = TypeVar("T")

#: Computes a step: takes it, the artifacts it needs, an own folder to write into (with whatever an interrupted
#: attempt left there) and a reporter; returns facts for the manifest.
Compute = Callable[["Step", Mapping[str, Artifact], Path, Reporter], Mapping[str, Any]]


class Stage(IntEnum):
    """When a plan computes steps of a kind: what shows in seconds that something cannot be had comes first."""

    ENCODERS = 0
    TASKS = 1
    WORK = 2


@dataclass(frozen=True)
class Extent:
    """How much there is to do in a step, before it is computed.

    Attributes
    ----------
    work
        In words.
    bytes
        Size of the artifact.
    decoded
        Audio to decode [s].
    encoded, trained
        Samples of audio to encode, and to train on.
    amount
        How much there is to do in the unit that a kind's finished steps are counted in: seconds decoded, samples
        encoded, steps of an optimiser, clips; 0 where time is not worth telling.
    """

    work: str
    bytes: int
    decoded: float = 0.0
    encoded: float = 0.0
    trained: float = 0.0
    amount: float = 0.0


def _no_libraries(step: Step) -> Sequence[str]:
    del step
    return ()


@dataclass(frozen=True)
class StepKind:
    """What all steps of a kind have in common; stated beside the function that computes them.

    Attributes
    ----------
    name
        Of the kind, and of the module of `benchmark.steps` that states it.
    version
        Raised when what a step leaves, or how it computes it, changes; every key that rests on it changes too.
    stage
        When a plan computes it.
    compute
        Does the work.
    extent
        Tells how much work that is.
    libraries
        Tells which modules of other people it imports.
    on_gpu
        Whether a worker with a GPU computes it faster.
    trains
        Whether it trains an encoder, with all nodes and devices that are told to.
    """

    name: str
    version: int
    stage: Stage
    compute: Compute
    extent: Callable[[Step], Extent]
    libraries: Callable[[Step], Sequence[str]] = _no_libraries
    on_gpu: bool = False
    trains: bool = False

    def step(
        self, spec: Mapping[str, Any], needs: Mapping[str, Step], title: str, context: Mapping[str, Any] | None = None
    ) -> Step:
        """A step of this kind; see `Step`."""
        return Step(self, spec, needs, title, context or {})

    def key(self, spec: Mapping[str, Any], needs: Mapping[str, str]) -> str:
        """Hash of all that determines an artifact of this kind: its spec, and the keys of what it needs by name."""
        return digest_of({"kind": self.name, "version": self.version, "spec": spec, "needs": needs})[:40]

    def left(self, artifact: Artifact) -> bool:
        """Whether an artifact was left by this version of the kind, as its key tells."""
        manifest = artifact.manifest
        needs = {name: need["key"] for name, need in manifest["needs"].items()}
        return bool(self.key(manifest["spec"], needs) == manifest["key"])


@dataclass(frozen=True, eq=False)
class Step:
    """A function from a spec and the artifacts before it to one artifact.

    Attributes
    ----------
    of
        Which function, and what is to be known of it.
    spec
        Everything, apart from `needs`, that determines the artifact; JSON-able. What is as by default is left out, so
        that a default that is added later changes no key.
    needs
        The steps whose artifacts it takes; of several of one sort, see `numbered`.
    title
        How it is called on the terminal.
    context
        What is needed to compute it but does not determine the result: where files lie, entries to import.
    """

    of: StepKind
    spec: Mapping[str, Any]
    needs: Mapping[str, Step]
    title: str
    context: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Name of its kind."""
        return self.of.name

    @cached_property
    def key(self) -> str:
        """Hash of all that determines the artifact."""
        return self.of.key(self.spec, {name: step.key for name, step in self.needs.items()})

    def lineage(self) -> list[Step]:
        """The steps that this one rests on, itself last, each once, in an order in which they can be computed."""
        ordered: dict[str, Step] = {}
        for step in self.needs.values():
            ordered |= {before.key: before for before in step.lineage()}
        return [*(step for key, step in ordered.items() if key != self.key), self]


def numbered(name: str, number: int) -> str:
    """Name of the `number`-th need of one sort: as it is for the first."""
    return f"{name}.{number}" if number else name


def every(inputs: Mapping[str, T], name: str) -> list[T]:
    """The artifacts of one sort, or the steps that leave them, in order; see `numbered`."""
    return [inputs[one] for one in _numbers(inputs, name)]


def _numbers(inputs: Mapping[str, T], name: str) -> Iterator[str]:
    for number in range(len(inputs)):
        one = numbered(name, number)
        if one not in inputs:
            return
        yield one
