r"""The runs of a plan, and the stages in which their steps are computed.

standin -> prepare -> label --------------------------+
             |  |-> label_source                      |
             |  |      v                              |
             |  \-> pretrain, supervise or            +-> probe -> score
             |      initialise ---+                   |
             +--------------------+--> embed ---------+

Nothing is computed here, and nothing that learns is imported. `benchmark.plan.planner` makes runs of requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchmark.cell import Cell
from benchmark.factors import AS_GIVEN, UNTRAINED
from benchmark.store.step import Stage, Step


@dataclass(frozen=True)
class Run:
    """A cell of the grid, and the step that ends in its score record."""

    cell: Cell
    score: Step

    @property
    def probe(self) -> Step:
        """The step that trains its probe and predicts."""
        return self.score.needs["probe"]

    @property
    def labels(self) -> Step:
        """The step that reads labels and split."""
        return self.score.needs["labels"]

    @property
    def embeddings(self) -> Step:
        """The step that embeds the task's audio, by the first encoder if there are several."""
        return self.probe.needs["embeddings"]


@dataclass(frozen=True)
class Lost:
    """A cell of the grid that cannot be planned, and why, in one line."""

    cell: Cell
    cause: str


@dataclass(frozen=True)
class Plan:
    """What can be computed of what is asked for, and what cannot."""

    runs: Sequence[Run]
    lost: Sequence[Lost] = ()

    @property
    def causes(self) -> list[str]:
        """Why cells are lost, each cause once."""
        return list(dict.fromkeys(lost.cause for lost in self.lost))

    @property
    def cells(self) -> list[Cell]:
        """Every cell, also those that cannot be planned."""
        return [*(run.cell for run in self.runs), *(lost.cell for lost in self.lost)]

    def only(self, stays: Callable[[Cell], bool]) -> Plan:
        """The plan for some of its cells."""
        return Plan([run for run in self.runs if stays(run.cell)], [lost for lost in self.lost if stays(lost.cell)])

    def without_twins(self) -> Plan:
        """Without the untrained twins of trained encoders; one that is never trained, as `random`, is nobody's twin."""
        trained = {cell.encoder for cell in self.cells if cell.recipe_name not in (UNTRAINED, AS_GIVEN)}
        return self.only(lambda cell: cell.recipe_name != UNTRAINED or cell.encoder not in trained)


def unique_steps(runs: Iterable[Run]) -> list[Step]:
    """Every step of `runs` once, in an order in which they can be computed: cheap checks before long training."""
    ordered: dict[str, Step] = {}
    lineages = [run.score.lineage() for run in runs]
    for stage in Stage:
        for lineage in lineages:
            for step in lineage:
                if step.of.stage == stage:
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
    for stage in Stage:
        needed = {step.key for run in runs if not failed(run.score) for step in run.score.lineage()}
        own = [step for step in every if step.of.stage == stage]
        yield [step for step in own if step.key in needed], [step for step in own if step.key not in needed]
