"""Finds in the store what `bench look` shows: one set of weights, and what it made of each task's clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmark.engine.engine import Engine
from benchmark.errors import UserError
from benchmark.plan.planner import Planner
from benchmark.plan.requests import Request
from benchmark.plan.runs import Run
from benchmark.store.embeddings import Embeddings, open_embeddings
from benchmark.store.file_names import LABELS
from benchmark.store.labels import read_labels
from benchmark.store.step import Step
from benchmark.store.store import Artifact
from tasks.base import Task


@dataclass(frozen=True)
class TaskEmbeddings:
    """A task's clips as the representation has them.

    Attributes
    ----------
    run
        The run that the embeddings were computed for.
    task
        Labels and split, for the clips that can be decoded.
    embeddings
        Of all clips of the task's dataset.
    artifact
        Where the embeddings are from.
    coloured
        The clips with the labels that maps are coloured by, where these are another task's.
    """

    run: Run
    task: Task
    embeddings: Embeddings
    artifact: Artifact
    coloured: Task | None = None

    @property
    def pcm(self) -> Step:
        """The step that decoded the dataset."""
        return self.run.embeddings.needs["pcm"]

    @property
    def weights(self) -> Step:
        """The step that left the encoder's weights."""
        return self.run.embeddings.needs["weights"]

    @property
    def standin(self) -> bool:
        """Whether the clips are a stand-in's."""
        return "standin" in self.pcm.needs


def find_embeddings(planner: Planner, request: Request, engine: Engine, command: str) -> list[TaskEmbeddings]:
    """What the store holds of one encoder, one pretraining and one seed for each task of `request`.

    Parameters
    ----------
    request
        With one encoder, recipe, corpus and seed.
    command
        Computes what is missing; for the message.

    Raises
    ------
    UserError
        If several encoders are joined, the tasks' encoders have different weights, or something is not in the store.
    """
    (encoder,) = request.levels("encoders")
    if len(planner.registry.encoder_names(encoder)) > 1:
        raise UserError(f"{encoder}: name one encoder; of several joined, each has features of its own")
    # Whether missing test clips were allowed changes the labels' key, not what is seen here.
    plans = [_one_a_task(planner.runs(replace(request, allow_missing=allowed))) for allowed in (False, True)]
    if len({run.embeddings.needs["weights"].key for run in plans[0].values()}) > 1:
        raise UserError(
            f"{encoder} ({next(iter(plans[0].values())).cell.recipe}) has other weights for each of the tasks "
            f"{', '.join(plans[0])}; name one task"
        )
    found = {task: _stored([plan[task] for plan in plans], engine) for task in plans[0]}
    missing = [task for task, stored in found.items() if stored is None]
    if missing:
        (*_, run) = plans[0].values()
        raise UserError(
            f"the store holds no embeddings of {run.cell.encoder} ({run.cell.recipe}), seed {run.cell.seed}, for "
            f"{', '.join(missing)}; compute them with: {command}"
        )
    return [stored for stored in found.values() if stored is not None]


def coloured_by(task: str, stored: TaskEmbeddings, planner: Planner, engine: Engine) -> TaskEmbeddings:
    """The same clips, to be coloured by the labels of another task on their dataset.

    Raises
    ------
    UserError
        If that task is of another dataset, shares no clips, or its labels are not in the store.
    """
    own = stored.run.cell.task
    datasets = [planner.registry.task(name).entry.dataset for name in (own, task)]
    if datasets[0] != datasets[1]:
        raise UserError(
            f"--labels-of {task}: it is of dataset {datasets[1]}, and {own} of {datasets[0]}; name one of the same"
        )
    steps = [planner.label_step(task, stored.pcm, allowed) for allowed in (False, True)]
    artifact = next((found for step in steps if (found := engine.current(step)) is not None), None)
    if artifact is None:
        raise UserError(
            f"--labels-of {task}: the store holds no labels of it; compute them with: bench run --encoder "
            f"{stored.run.cell.encoders[0]} --task {task}, with the same options"
        )
    other = read_labels(artifact / LABELS)
    place = {clip: row for row, clip in enumerate(other.clip_ids)}
    rows = np.array([row for row, clip in enumerate(stored.task.clip_ids) if clip in place], dtype=np.int64)
    if not len(rows):
        raise UserError(f"--labels-of {task}: it has no clip of {own}")
    clips = tuple(stored.task.clip_ids[row] for row in rows)
    targets = other.targets.take(np.array([place[clip] for clip in clips], dtype=np.int64))
    return replace(stored, coloured=Task(clips, stored.task.splits[rows], targets, stored.task.groups[rows]))


def _one_a_task(runs: Sequence[Run]) -> dict[str, Run]:
    """The first run of each task: trained ones come before their untrained twins."""
    found: dict[str, Run] = {}
    for run in runs:
        found.setdefault(run.cell.task, run)
    return found


def _stored(runs: Sequence[Run], engine: Engine) -> TaskEmbeddings | None:
    for run in runs:
        embeddings = engine.current(run.embeddings)
        labels = engine.current(run.labels)
        if embeddings is not None and labels is not None:
            return TaskEmbeddings(run, read_labels(labels / LABELS), open_embeddings(embeddings.path), embeddings)
    return None
