"""Going on from a shorter training of the same recipe, instead of starting over.

With a constant learning rate, the first steps of a long training are those of a short one, bit for bit on one device,
so the state that the short one left is a place to go on from. A falling learning rate depends on the length, so there
is none.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmark.pretraining.methods.planned import planned_method
from benchmark.pretraining.saved_state import keep, part_of
from benchmark.pretraining.training import CHECKPOINT, kept_weights, steps_done
from benchmark.registry.recipes import RecipeEntry
from benchmark.store.step import Step
from benchmark.store.store import Artifact

#: Keys of a recipe in which a shorter training may differ.
LENGTH = ("epochs", "pairs", "keep_epochs")


def adopt(step: Step, inputs: Mapping[str, Artifact], work: Path, finished: Iterable[Artifact], steps: int) -> int:
    """Copy the state of the longest fitting training into `work`, if that is further than what is there.

    Parameters
    ----------
    step, inputs
        The training that is asked for.
    work
        Its folder.
    finished
        Whole artifacts of pretraining, of any spec.
    steps
        Optimiser steps that are asked for.

    Returns
    -------
    int
        Steps that need not be trained again; 0 if nothing was copied.
    """
    method = planned_method(step)
    recipe = method.recipe
    if not method.goes_on():
        return 0
    best: tuple[int, Artifact] | None = None
    there = steps_done(work / CHECKPOINT)
    for artifact in finished:
        done = _steps_of(artifact)
        further = there < done < steps and (best is None or done > best[0])
        if further and _same_training(step, inputs, artifact) and _keeps(artifact, recipe):
            best = done, artifact
    if best is None:
        return 0
    done, artifact = best
    for epoch in _passed(artifact, recipe):
        _copy(artifact, kept_weights(epoch), work)
    _copy(artifact, CHECKPOINT, work)
    return done


def _copy(artifact: Artifact, name: str, work: Path) -> None:
    shutil.copyfile(artifact / name, part_of(work / name))
    keep(work / name)


def _steps_of(artifact: Artifact) -> int:
    return int(artifact.manifest["facts"].get("steps", 0)) if CHECKPOINT in artifact.manifest["files"] else 0


def _same_training(step: Step, inputs: Mapping[str, Artifact], artifact: Artifact) -> bool:
    manifest = artifact.manifest
    if not step.of.left(artifact):
        return False
    if manifest["needs"]["start"]["key"] != inputs["start"].manifest["key"]:
        return False  # weights may be the same where what is trained with them, as sources of labels, is not
    digests = {name: needed.digest for name, needed in inputs.items()}
    return _without_length(manifest["spec"]) == _without_length(step.spec) and manifest["inputs"] == digests


def _without_length(spec: Mapping[str, Any]) -> dict[str, Any]:
    recipe = {key: value for key, value in spec["recipe"].items() if key not in LENGTH}
    return {**spec, "recipe": recipe}


def _passed(artifact: Artifact, recipe: RecipeEntry) -> list[int]:
    """Epochs to keep that the shorter training has behind it."""
    facts = artifact.manifest["facts"]
    return [epoch for epoch in recipe.keep_epochs if epoch * facts["steps_per_epoch"] <= facts["steps"]]


def _keeps(artifact: Artifact, recipe: RecipeEntry) -> bool:
    return all(kept_weights(epoch) in artifact.manifest["files"] for epoch in _passed(artifact, recipe))
