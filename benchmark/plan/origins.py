"""Where the entries that a command uses come from, and what is imported for them: said before anything is."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from benchmark.console import Reporter
from benchmark.errors import UserError
from benchmark.factors import AS_GIVEN, END_TO_END, UNTRAINED
from benchmark.plan.requests import Request
from benchmark.registry.augmentation_plugins import augmentation_modules
from benchmark.registry.entries import DatasetEntry, EncoderEntry
from benchmark.registry.plugins import modules_from_outside
from benchmark.registry.recipes import RecipeEntry, StartFrom
from benchmark.registry.registry import Named, Registry, built_in_registry


def announce(registry: Registry, used: Iterable[Named[Any]], reporter: Reporter) -> None:
    """Say which entries in use are not built in, what is imported for them, and which entries are left out.

    Parameters
    ----------
    registry
        All entries.
    used
        Those that the command uses.
    reporter
        Told one line of each kind, if there is anything to say.
    """
    entries = list({id(named.entry): named for named in used}.values())
    modules: dict[str, str] = {}
    for named in entries:
        if isinstance(named.entry, EncoderEntry | DatasetEntry | RecipeEntry):
            with suppress(UserError):  # what cannot be imported is told by who needs it
                modules |= modules_from_outside(named)
        if isinstance(named.entry, RecipeEntry):
            with suppress(UserError):
                modules |= augmentation_modules(named)
    announce_unimported(registry, entries, reporter)
    if modules:
        listed = ", ".join(f"{module} from {_shown(file)}" for module, file in modules.items())
        reporter.warn(f"imported from outside bench: {listed}")


def announce_unimported(registry: Registry, used: Iterable[Named[Any]], reporter: Reporter) -> None:
    """As `announce`, for a command that only speaks of these entries and imports nothing for them."""
    # A folder of audio that the user names a corpus stands in no file.
    foreign = [named for named in used if named.file != built_in_registry() and named.line]
    if foreign:
        listed = ", ".join(f"{_kind(named)} {named.name} ({_place(named)})" for named in foreign)
        reporter.warn(f"not built in: {listed}")
    if left_out := registry.said_of_left_out():
        reporter.warn(left_out)


def in_use(registry: Registry, requests: Sequence[Request]) -> Iterator[Named[Any]]:
    """Entries that runs of `requests` rest on, but for those that are broken.

    Raises
    ------
    UserError
        If there is none of a name, or it is one of an entry that was left out.
    """
    for request in requests:
        parts = [part for name in request.levels("encoders") for part in registry.encoder_names(name)]
        encoders = [named for part in parts for named in _usable(registry, "encoders", part)]
        yield from encoders
        learns = any(named.entry.learns for named in encoders)
        settings = request.levels("settings")
        recipes = [
            named
            for name in request.levels("recipe_name")
            if learns and name not in (UNTRAINED, AS_GIVEN)
            for changes in settings
            for named in _trainings(registry, name, changes)
        ]
        yield from recipes
        starts = [start for changes in settings for start in _starts(recipes, changes)]
        corpora = [*request.levels("corpus"), *(start.corpus for start in starts if start.corpus)]
        pretrains = any(not named.entry.LABELLED for named in recipes)
        for name in request.levels("task"):
            for task in _usable(registry, "tasks", name):
                yield task
                yield from _usable(registry, "datasets", task.entry.dataset)
                for protocol in request.levels("protocol") or (task.entry.protocol,):
                    if protocol != END_TO_END:
                        yield from _usable(registry, "protocols", protocol)
                if recipes and (pretrains or corpora):
                    yield from _corpora(registry, corpora or (task.entry.corpus,))


def _trainings(
    registry: Registry, name: str, changes: Mapping[str, Any], behind: tuple[str, ...] = ()
) -> Iterator[Named[Any]]:
    """A recipe, and those that it starts from."""
    if name in behind:
        return  # the planner complains
    for named in _usable(registry, "recipes", name):
        yield named
        for start in _starts([named], changes):
            yield from _trainings(registry, start.recipe, {}, (*behind, name))


def _starts(recipes: Iterable[Named[Any]], changes: Mapping[str, Any]) -> Iterator[StartFrom]:
    """What recipes start from, by themselves or as the command says."""
    for named in recipes:
        if isinstance(changes.get("start_from"), Mapping):
            with suppress(ValidationError):  # the planner complains
                yield StartFrom.model_validate(changes["start_from"])
        elif named.entry.start_from is not None:
            yield named.entry.start_from


def _usable(registry: Registry, section: str, name: str) -> list[Named[Any]]:
    return [] if name in registry.broken[section] else [registry.find(section, name)]


def _corpora(registry: Registry, names: Iterable[str]) -> Iterator[Named[Any]]:
    """Corpora, or tasks whose labels are learnt from; a folder of audio has no entry."""
    for name in names:
        if name in registry.sections["corpora"]:
            corpus = registry.corpus(name)
            yield corpus
            yield from _usable(registry, "datasets", corpus.entry.dataset)
            if corpus.entry.labels is not None:
                yield from _usable(registry, "tasks", corpus.entry.labels)
        elif name in registry.sections["tasks"]:
            task = registry.task(name)
            yield task
            yield from _usable(registry, "datasets", task.entry.dataset)


def _kind(named: Named[Any]) -> str:
    kind = RecipeEntry if isinstance(named.entry, RecipeEntry) else type(named.entry)
    return kind.__name__.removesuffix("Entry").lower()


def _place(named: Named[Any]) -> str:
    return f"{_shown(str(named.file))}:{named.line}"


def _shown(file: str) -> str:
    """A path, from the working directory if it lies there."""
    return os.path.relpath(file) if Path(file).is_absolute() and Path(file).is_relative_to(Path.cwd()) else file
