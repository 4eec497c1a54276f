"""The steps of a training: of one that starts from initial weights, or of each that leads to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmark.errors import UserError
from benchmark.factors import DRAWN_CLIPS
from benchmark.plan.requests import Request
from benchmark.plan.shared_steps import Steps
from benchmark.registry.entries import EncoderEntry
from benchmark.registry.methods import UnreadRecipe
from benchmark.registry.plugins import read_recipe
from benchmark.registry.recipes import RecipeEntry
from benchmark.registry.registry import Named, Registry
from benchmark.steps import pretrain, supervise
from benchmark.store.step import Step, numbered


@dataclass(frozen=True)
class Asked:
    """A training that is asked for.

    Attributes
    ----------
    encoder
        What is trained.
    recipe, overrides
        Name of the recipe, and its numbers that are replaced.
    corpus
        What is trained on; ``None`` for the task itself.
    task
        What the encoder is scored on afterwards.
    labels
        Fraction of the task's training labels that may be used, if it is trained on itself.
    seed, allow_missing, sample_rate
        Of the run.
    probe_every
        Epochs between looks at the task's validation clips; ``None`` for no look.
    context
        How to train, without changing what comes out.
    names
        Factors of the run, for the card of the weights.
    limit
        Clips of each dataset that are used alone; ``None`` for all.
    draw
        How the fraction of the labels is drawn.
    """

    encoder: Named[EncoderEntry]
    recipe: str
    overrides: Mapping[str, Any]
    corpus: str | None
    task: str
    labels: float
    seed: int
    allow_missing: bool
    sample_rate: int
    probe_every: int | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, Any] = field(default_factory=dict)
    limit: int | None = None
    draw: str = DRAWN_CLIPS


def training_step(planner: Steps, asked: Asked, behind: tuple[str, ...] = ()) -> Step:
    """The last step of a training, which needs those before it.

    Parameters
    ----------
    planner
        Knows the registry, and makes the steps that a training needs.
    asked
        The training.
    behind
        Recipes that are to go on from it.

    Raises
    ------
    UserError
        If a name is not known, a recipe starts from itself, or one that learns from labels finds none.
    """
    registry = planner.registry
    named = registry.recipe(asked.recipe)
    recipe, numbers = planner.recipe(asked.recipe, asked.overrides)
    entry = recipe.entry
    if asked.recipe in behind:
        raise UserError(
            f"{named.file}:{named.line}: recipes.{named.name}.start_from: {' starts from '.join([*behind, named.name])}"
        )
    spec: dict[str, Any] = {"recipe": numbers, "seed": asked.seed}
    context = {**asked.context, "encoder": asked.encoder, "recipe": recipe, "names": asked.names}
    if isinstance(named.entry, UnreadRecipe):
        spec["code"] = planner.code(named)
        context["method"] = named
    if code := planner.augmentation_code(recipe, asked.sample_rate):
        spec["augmentation_code"] = code
    start, after = planner.initialise_step(asked.encoder, asked.seed), ""
    if entry.start_from is not None:
        start = training_step(planner, _start(registry, asked, entry), (*behind, asked.recipe))
        after = f" after {entry.start_from.recipe}"
    if entry.LABELLED:
        return _supervise(planner, asked, spec, start, context, after)
    assert asked.corpus is not None
    corpus = registry.corpus(asked.corpus).entry
    spec["splits"] = list(corpus.splits) if corpus.splits else None
    limit = planner.limit_of(asked.task, asked.limit)
    if limit is not None and registry.task(asked.task).entry.dataset != corpus.dataset:
        limit = {"clips": limit["clips"]}
    needs = {"start": start, "pcm": planner.prepare_step(corpus.dataset, asked.sample_rate, limit)}
    # Keys of a recipe whose method learns from sources of labels.
    for number, source in enumerate(getattr(entry, "sources", ())):
        step = planner.source_step(asked.corpus, source, entry.factors, needs["pcm"])  # type: ignore[attr-defined]
        needs[numbered("source", number)] = step
    if asked.probe_every is not None:
        spec["probe_every"] = asked.probe_every
        needs["labels"] = _labelled(planner, asked, asked.task)
        if needs["labels"].needs["pcm"].key != needs["pcm"].key:
            needs["labels_pcm"] = needs["labels"].needs["pcm"]
    title = (
        f"pretrain {asked.encoder.name} on {asked.corpus}, recipe {asked.recipe}{after} ({entry.length}), "
        f"seed {asked.seed}"
    )
    return pretrain.KIND.step(spec, needs, title, {**context, "finished": planner.earlier(pretrain.KIND.name)})


def _supervise(
    planner: Steps, asked: Asked, spec: dict[str, Any], start: Step, context: dict[str, Any], after: str
) -> Step:
    if asked.corpus is None:
        source, how = asked.task, f"end to end on {asked.task}"
        if asked.labels != 1:
            spec["labels"] = asked.labels
            how += f" with {100 * asked.labels:g}% of the labels"
            if asked.draw != DRAWN_CLIPS:
                spec["draw"] = asked.draw
    else:
        source = labels_of(planner.registry, asked.corpus, asked.recipe)
        how = f"on the labels of {source}"
    if planner.registry.task(source).entry.folds is not None:
        raise UserError(f"task {source} has folds, and recipe {asked.recipe} needs a single split")
    labelled = _labelled(planner, asked, source)
    title = f"train {asked.encoder.name} {how}, recipe {asked.recipe}{after}, seed {asked.seed}"
    needs = {"start": start, "pcm": labelled.needs["pcm"], "labels": labelled}
    return supervise.KIND.step(spec, needs, title, context)


def _labelled(planner: Steps, asked: Asked, task: str) -> Step:
    limit = planner.limit_of(task, asked.limit)
    pcm = planner.prepare_step(planner.registry.task(task).entry.dataset, asked.sample_rate, limit)
    labelled = planner.label_step(task, pcm, asked.allow_missing)
    planner.check_fit(task, None, labelled)
    return labelled


def _start(registry: Registry, asked: Asked, entry: RecipeEntry) -> Asked:
    """The training that a recipe starts from; of its own numbers, and watched by nobody."""
    assert entry.start_from is not None
    recipe, corpus = entry.start_from.recipe, entry.start_from.corpus
    if corpus is None:
        corpus = asked.corpus
    if corpus is None and not read_recipe(registry.recipe(recipe)).entry.LABELLED:
        corpus = registry.task(asked.task).entry.corpus
    names = {**asked.names, "recipe": recipe, "corpus": corpus}
    return replace(asked, recipe=recipe, overrides={}, corpus=corpus, probe_every=None, names=names)


def trained_then(request: Request, recipe: str, registry: Registry) -> Request:
    """What a request asks for if the weights of each of its recipes are gone on from by another one.

    That trains on the same corpora, or, if it learns from labels, on those of the task: the corpora are then of the
    first training alone.
    """
    labelled = read_recipe(registry.recipe(recipe)).entry.LABELLED
    corpora: Sequence[str | None] = (request.levels("corpus") if labelled else ()) or (None,)
    starts = [
        {"recipe": first} | ({"corpus": corpus} if corpus else {})
        for first in request.levels("recipe_name")
        for corpus in corpora
    ]
    settings = [{**changes, "start_from": start} for changes in request.levels("settings") for start in starts]
    changed = {"recipe": (recipe,), "settings": tuple(settings)} | ({"corpus": ()} if labelled else {})
    return replace(request, grid=request.grid.model_copy(update=changed))


def labels_of(registry: Registry, corpus: str, recipe: str) -> str:
    """The task whose labels a recipe learns from when it trains on a corpus, or on a task itself.

    Raises
    ------
    UserError
        If there are none.
    """
    entry = registry.corpus(corpus).entry if corpus in registry.sections["corpora"] else None
    if entry is None or entry.labels is None:
        if corpus in registry.sections["tasks"]:
            return corpus
        raise UserError(
            f"--corpus {corpus}: recipe {recipe} learns from labels, and it has none; name a task, or say `labels: "
            "TASK` in the corpus's entry"
        )
    if registry.task(entry.labels).entry.dataset != entry.dataset:
        named = registry.corpus(corpus)
        raise UserError(
            f"{named.file}:{named.line}: corpora.{corpus}.labels: task {entry.labels} is of another dataset than "
            f"{entry.dataset}; name one of its own"
        )
    return entry.labels
