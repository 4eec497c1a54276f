"""Where the entries that a command uses come from, and what is imported for them: said before anything is."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmark.console import Reporter
from benchmark.errors import UserError
from benchmark.plan.steps_and_runs import AS_GIVEN, UNTRAINED, Request
from benchmark.registry.entries import DatasetEntry, EncoderEntry
from benchmark.registry.plugins import modules_from_outside
from benchmark.registry.recipes import RecipeEntry
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
        parts = [part for name in request.encoders for part in registry.encoder_names(name)]
        encoders = [named for part in parts for named in _usable(registry, "encoders", part)]
        yield from encoders
        learns = any(named.entry.learns for named in encoders)
        recipes = [
            named
            for name in request.recipes
            if learns and name not in (UNTRAINED, AS_GIVEN)
            for named in _usable(registry, "recipes", name)
        ]
        yield from recipes
        pretrains = any(not named.entry.LABELLED for named in recipes)
        for name in request.tasks:
            for task in _usable(registry, "tasks", name):
                yield task
                yield from _usable(registry, "datasets", task.entry.dataset)
                for protocol in request.protocols or (task.entry.protocol,):
                    yield from _usable(registry, "protocols", protocol)
                if pretrains:
                    yield from _corpora(registry, request.corpora or (task.entry.corpus,))


def _usable(registry: Registry, section: str, name: str) -> list[Named[Any]]:
    return [] if name in registry.broken[section] else [registry.find(section, name)]


def _corpora(registry: Registry, names: Iterable[str]) -> Iterator[Named[Any]]:
    for name in names:
        if name in registry.sections["corpora"]:  # or it is a folder of audio
            corpus = registry.corpus(name)
            yield corpus
            yield from _usable(registry, "datasets", corpus.entry.dataset)


def _kind(named: Named[Any]) -> str:
    kind = RecipeEntry if isinstance(named.entry, RecipeEntry) else type(named.entry)
    return kind.__name__.removesuffix("Entry").lower()


def _place(named: Named[Any]) -> str:
    return f"{_shown(str(named.file))}:{named.line}"


def _shown(file: str) -> str:
    """A path, from the working directory if it lies there."""
    return os.path.relpath(file) if Path(file).is_absolute() and Path(file).is_relative_to(Path.cwd()) else file
