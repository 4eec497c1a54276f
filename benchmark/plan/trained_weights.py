"""Finds in a store the weights that a training left, by what people call it: encoder, recipe, corpus and seed.

What the store says of itself is enough: neither the corpus nor its tables need be there any more.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmark.console import Reporter
from benchmark.errors import UserError
from benchmark.plan.encoder_spec import encoder_spec
from benchmark.pretraining.card import CARD
from benchmark.registry.entries import EncoderEntry
from benchmark.registry.overrides import parse_settings
from benchmark.registry.registry import Named
from benchmark.steps import initialise, pretrain, standin, supervise
from benchmark.store.file_names import WEIGHTS
from benchmark.store.store import Artifact, Store, check_store

#: Trainings that an error lists.
LISTED = 6
#: What stands between the numbers of a recipe that were replaced, as its text names them.
_SETTING = re.compile(r", (?=[A-Za-z_][\w.]*=)")


@dataclass(frozen=True)
class Wanted:
    """What is said of the training whose weights are wanted; ``None`` for what is not said.

    Attributes
    ----------
    recipe
        Its name.
    changes
        Numbers of it that were replaced.
    corpus
        Corpus, folder of audio, or task, as the command that trained named it.
    seed
        Of the training.
    """

    recipe: str | None = None
    changes: Mapping[str, Any] | None = None
    corpus: str | None = None
    seed: int | None = None

    def agrees(self, trained: Trained) -> bool:
        """Whether a training is one that is meant."""
        if self.recipe is not None and self.recipe not in (trained.recipe_name, trained.recipe):
            return False
        if self.changes and self.changes != parse_settings(trained.settings):
            return False
        return self.corpus in (None, trained.corpus) and self.seed in (None, trained.seed)


@dataclass(frozen=True)
class Trained:
    """A training in the store.

    Attributes
    ----------
    artifact
        What it left.
    """

    artifact: Artifact

    @cached_property
    def card(self) -> dict[str, Any]:
        """What is said of it; see `benchmark.pretraining.card`."""
        card: dict[str, Any] = json.loads((self.artifact / CARD).read_text(encoding="utf-8"))
        return card

    @property
    def file(self) -> Path:
        """Its weights."""
        return self.artifact / WEIGHTS

    @property
    def recipe(self) -> str:
        """Name of its recipe, with the numbers that were replaced."""
        return str(self.card["recipe"])

    @property
    def recipe_name(self) -> str:
        """Name of its recipe alone."""
        return self.recipe.partition("(")[0]

    @property
    def settings(self) -> list[str]:
        """Numbers of the recipe that were replaced, as ``--set`` takes them."""
        replaced = self.recipe.removeprefix(self.recipe_name).removeprefix("(").removesuffix(")")
        return _SETTING.split(replaced) if replaced else []

    @property
    def corpus(self) -> str:
        """What it was trained on: a corpus, or the task whose labels it learnt."""
        return str(self.card.get("corpus") or self.card["task"])

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return int(self.card["spec"]["seed"])

    @property
    def on_standin(self) -> bool:
        """Whether the corpus was a stand-in."""
        return any(entry["kind"] == standin.KIND.name for entry in self.artifact.manifest["lineage"].values())

    @property
    def limit(self) -> int | None:
        """Clips that it was tried on alone; ``None`` for all."""
        limit: int | None = self.card.get("limit")
        return limit

    @property
    def finished(self) -> str:
        """When it ended, UTC."""
        return str(self.artifact.manifest["finished"])

    def options(self) -> str:
        """Options that name it."""
        words = ["--recipe", self.recipe_name]
        for setting in self.settings:
            words += ["--set", setting]
        return shlex.join([*words, "--corpus", self.corpus, "--seed", str(self.seed)])

    def in_words(self) -> str:
        """E.g. ``recipe demo on mtt (stand-in), seed 0``."""
        labels = self.card["spec"].get("labels", 1)
        return f"recipe {self.recipe} on {self.corpus}{' (stand-in)' if self.on_standin else ''}, seed {self.seed}" + (
            f", {100 * labels:g}% of the labels" if labels != 1 else ""
        )


def trainings(folder: Path, named: Named[EncoderEntry]) -> list[Trained]:
    """Every training of an encoder in a store that can be used, the newest first; none where there is no store."""
    if not folder.is_dir():
        return []
    check_store(folder)
    store, spec = Store(folder), encoder_spec(named)
    every = [
        Trained(artifact)
        for kind in (pretrain.KIND, supervise.KIND)
        for artifact in store.whole(kind.name)
        if kind.left(artifact) and _started_as(artifact, spec)
    ]
    # What was tried on a few clips counts where there is nothing else.
    found = [one for one in every if one.limit is None] or every
    return sorted(found, key=lambda one: one.finished, reverse=True)


def _started_as(artifact: Artifact, spec: Mapping[str, Any]) -> bool:
    """Whether a training began with the initial weights of an encoder of this spec, of any seed."""
    return any(
        entry["kind"] == initialise.KIND.name and all(entry["spec"].get(key) == value for key, value in spec.items())
        for entry in artifact.manifest["lineage"].values()
    )


def only_training(folder: Path, named: Named[EncoderEntry], wanted: Wanted) -> Trained | None:
    """The training that is meant, where all that are meant are of one recipe and one corpus."""
    meant = [one for one in trainings(folder, named) if wanted.agrees(one)]
    return meant[0] if len({(one.recipe, one.corpus) for one in meant}) == 1 else None


def find_trained(folder: Path, named: Named[EncoderEntry], wanted: Wanted, reporter: Reporter) -> Trained:
    """The training that is meant.

    Of several seeds the first is taken where none is said, and of several trainings of the same names, as of a corpus
    that has changed since, the newest; `reporter` is told which.

    Raises
    ------
    UserError
        If there is none, or several recipes or corpora are meant: which there are, and how to name one.
    """
    every = trainings(folder, named)
    meant = [one for one in every if wanted.agrees(one)]
    if not meant:
        raise UserError(_none(folder, named, wanted, every))
    if wanted.seed is None:
        first = min(one.seed for one in meant)
        meant = [one for one in meant if one.seed == first]
    kinds = {(one.recipe, one.corpus): one for one in meant}
    if len(kinds) > 1:
        raise UserError(
            f"{folder}: holds weights of {named.name} by {len(kinds)} trainings; name one: {_listed([*kinds.values()])}"
        )
    found, *older = meant
    reporter.warn(f"weights of {named.name}: {found.in_words()}, from {found.artifact.path}")
    if older:
        others = ", ".join(f"{one.artifact.manifest['key'][:12]} of {one.finished}" for one in older[:LISTED])
        reporter.warn(f"  that is the newest of {len(meant)} of these names, of {found.finished}; others: {others}")
    return found


def _none(folder: Path, named: Named[EncoderEntry], wanted: Wanted, every: Sequence[Trained]) -> str:
    others = "name a file of weights by --weights, or pass --untrained for random ones"
    if every:
        return f"{folder}: holds no such weights of {named.name}, only {_listed(every)}; name one of these, or {others}"
    recipe = f" --recipe {wanted.recipe}" if wanted.recipe is not None else ""
    return (
        f"{folder}: holds no trained weights of {named.name}; train it with: bench run --encoder {named.name} "
        f"--task TASK{recipe}, or {others}"
    )


def _listed(found: Sequence[Trained]) -> str:
    lines = list(dict.fromkeys(one.options() for one in found))
    return "; ".join(lines[:LISTED]) + (f"; and {len(lines) - LISTED} more" if len(lines) > LISTED else "")
