"""`bench look`: one page to look at, and listen to, one representation."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.commands.common import DataOption, RegistryOption, StoreOption, open_registry, store_folder
from benchmark.commands.factors import ArgumentsOption, RecipeOptions, SampleRateOption, name_argument, name_option
from benchmark.commands.weights import UntrainedOption
from benchmark.factors import UNTRAINED

if TYPE_CHECKING:
    from benchmark.console import Reporter
    from benchmark.plan.requests import Request
    from benchmark.registry.registry import Registry

#: As `bench run` has it.
RECIPE = "demo"
#: Filters of a layer: on a CPU each takes seconds.
FILTERS = 8
#: As many windows as Figure 6.1 of the CLMR thesis has of each track.
ITEM_WINDOWS = 60


@dataclass(frozen=True)
class LookOptions:
    """Argument and options of `bench look`, in the order of its help."""

    encoder: Annotated[str, name_argument("encoders", "Encoder to look at.", "ENCODER")]
    task: Annotated[list[str], name_option("tasks", "Task whose clips it is shown with; may be repeated.")]
    recipe: Annotated[
        str | None,
        name_option("recipes", "Recipe it was pretrained by.", RECIPE),
    ] = None
    corpus: Annotated[
        str | None,
        name_option(
            "corpora", "Corpus it was pretrained on, or a folder of audio.", "the first task's own", "NAME|DIR"
        ),
    ] = None
    seed: Annotated[int, typer.Option(help="Seed of its pretraining, or of random weights.", min=0)] = 0
    untrained: UntrainedOption = False
    data: DataOption = None
    store_path: StoreOption = None
    registry_files: RegistryOption = None
    changes: RecipeOptions = field(default_factory=RecipeOptions)
    sample_rate: SampleRateOption = None
    argument: ArgumentsOption = None
    feature: Annotated[
        list[int] | None,
        typer.Option(
            help="Feature of the representation to listen to, from 0; may be repeated.",
            show_default="those that vary most, or that labels separate best",
            metavar="N",
        ),
    ] = None
    audio: Annotated[
        bool, typer.Option("--audio", help="Put short excerpts of the clips into the page, which then shares them.")
    ] = False
    filters: Annotated[
        int, typer.Option(help="Filters of each layer shown, some seconds each on a CPU; 0 for none.", min=0)
    ] = FILTERS
    filter_layer: Annotated[
        list[str] | None,
        typer.Option(
            help="Layer whose filters are shown; may be repeated.",
            show_default="the first and two evenly deeper",
            metavar="NAME",
        ),
    ] = None
    factors: Annotated[
        int, typer.Option(help="Factors of the features, turned by varimax; 0 for none.", min=0, metavar="N")
    ] = 0
    labels_of: Annotated[
        str | None,
        name_option("tasks", "Task on the same dataset whose labels colour the maps.", "the task's own"),
    ] = None
    items: Annotated[
        int, typer.Option(help="Songs, or clips, whose windows are laid out, each a colour; 0 for none.", min=0)
    ] = 0
    item_windows: Annotated[int, typer.Option(help="Windows of each of them at most.", min=1)] = ITEM_WINDOWS
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")] = Path("look.html")

    def own_corpora(self, registry: Registry) -> list[str]:
        """The corpus of each task, by its entry."""
        return [registry.task(name).entry.corpus for name in self.task]

    def request(self, registry: Registry) -> Request:
        """What is asked of a planner: one encoder, recipe, corpus and seed."""
        from benchmark.plan.requests import Request, grid
        from benchmark.registry.overrides import parse_settings

        return Request(
            grid(
                encoder=self.encoder,
                task=list(dict.fromkeys(self.task)),
                recipe=UNTRAINED if self.untrained else self.recipe or RECIPE,
                corpus=self.corpus or self.own_corpora(registry)[0],
                seed=self.seed,
                sample_rate=self.sample_rate,
                arguments=parse_settings(self.argument or [], "--arg"),
                settings=self.changes.overrides(),
            ),
            allow_overlap=True,  # nothing is scored
        )

    def chosen(self, registry: Registry, folder: Path, reporter: Reporter) -> LookOptions:
        """These options with the only training of the encoder that the store holds, where none of them names one.

        Raises
        ------
        UserError
            If options contradict one another.
        """
        from benchmark.errors import UserError
        from benchmark.plan.trained_weights import Wanted, only_training
        from benchmark.registry.overrides import parse_settings, with_arguments

        if self.untrained and self.recipe not in (None, UNTRAINED):
            raise UserError("--recipe and --untrained name different weights; leave out one")
        if self.untrained or self.recipe or self.corpus or self.changes.overrides():
            return self
        named = registry.encoder(self.encoder)
        if not named.entry.learns:
            return self
        named = with_arguments(named, parse_settings(self.argument or [], "--arg"), self.sample_rate)
        found = only_training(folder, named, Wanted(seed=self.seed))
        if found is None:
            return self
        reporter.say(f"weights of {named.name}: {found.in_words()}")
        changes = replace(self.changes, setting=found.settings)
        return replace(self, recipe=found.recipe_name, corpus=found.corpus, changes=changes)

    def run_command(self, registry: Registry) -> str:
        """The command that computes what is shown."""
        return _command(["bench", "run", "--encoder", self.encoder], self.task, self._shared(registry))

    def look_command(self, registry: Registry) -> str:
        """The command that writes the same page again."""
        own = {
            "--feature": self.feature,
            "--filters": self.filters if self.filters != FILTERS else None,
            "--filter-layer": self.filter_layer,
            "--factors": self.factors or None,
            "--labels-of": self.labels_of,
            "--items": self.items or None,
            "--item-windows": self.item_windows if self.item_windows != ITEM_WINDOWS else None,
        }
        flags = [*(["--untrained"] if self.untrained else []), *(["--audio"] if self.audio else [])]
        return _command(["bench", "look", self.encoder], self.task, {**self._shared(registry), **own}, flags)

    def _shared(self, registry: Registry) -> dict[str, Any]:
        """Values of the options that `bench run` has too."""
        corpus = self.corpus
        if corpus is None:
            own = self.own_corpora(registry)
            corpus = own[0] if len(set(own)) > 1 else None
        return {
            "--recipe": self.recipe,
            "--corpus": corpus,
            "--seed": self.seed or None,
            "--data": self.data,
            "--store": self.store_path,
            "--registry": self.registry_files,
            **self.changes.words(),
            "--sample-rate": self.sample_rate,
            "--arg": self.argument,
        }


def look(options: LookOptions) -> None:
    """Write one page to look at, and listen to, one representation.

    Example: bench look tune_plus --task mtt --task gtzan -o look.html
    """
    from benchmark.console import Reporter
    from benchmark.errors import UserError
    from benchmark.plan.origins import announce, in_use
    from benchmark.store.storage_errors import storage_errors
    from benchmark.store.store import write_atomically

    folder, output = store_folder(options.store_path), options.output
    registry = open_registry(options.registry_files)
    if not folder.is_dir():
        run = options.run_command(registry)
        raise UserError(f"{folder}: there is no such store; make it with: {run}")
    if not output.parent.is_dir():
        raise UserError(f"{output}: there is no folder {output.parent}; make it, or name another file")
    reporter = Reporter()
    options = options.chosen(registry, folder, reporter)
    request = options.request(registry)
    announce(registry, in_use(registry, [request]), reporter)
    text = _page(options, request, registry, folder, reporter)
    with storage_errors(output.parent):
        write_atomically(output, text)
    reporter.say(f"{output}: {len(text) / 1e6:.1f} MB" + (", with audio" if options.audio else ""))


def _page(options: LookOptions, request: Request, registry: Registry, folder: Path, reporter: Reporter) -> bytes:
    """The page, as it is written."""
    from benchmark.engine.engine import Engine
    from benchmark.errors import UserError
    from benchmark.plan.planner import Planner
    from benchmark.store.storage_errors import storage_errors
    from benchmark.store.store import Store
    from benchmark.visualisation.stored_embeddings import find_embeddings

    store = Store(folder)
    with storage_errors(folder):
        engine = Engine(store, reporter)
        planner = Planner(registry, store, reporter, options.data)
        stored = find_embeddings(planner, request, engine, options.run_command(registry))
        from analysis.visualisation import render
        from benchmark.visualisation.document import MOST_BYTES, Wanted, collect
        from benchmark.visualisation.stored_embeddings import coloured_by

        if options.labels_of is not None:
            registry.check_name("tasks", options.labels_of)
            stored = [coloured_by(options.labels_of, one, planner, engine) for one in stored]

        wanted = Wanted(
            features=options.feature or [],
            audio=options.audio,
            filters=options.filters,
            layers=options.filter_layer or [],
            factors=options.factors,
            items=options.items,
            item_windows=options.item_windows,
        )
        document = collect(stored, registry, engine, reporter, options.look_command(registry), wanted)
        text = render(document).encode()
    if len(text) > MOST_BYTES:
        raise UserError(
            f"the page would have {len(text) / 1e6:.0f} MB, more than {MOST_BYTES // 10**6}; name fewer features with "
            "--feature N, or fewer tasks"
        )
    return text


def _command(words: list[str], tasks: Sequence[str], options: Mapping[str, Any], flags: Sequence[str] = ()) -> str:
    """A command ready for a shell."""
    for name in tasks:
        words += ["--task", name]
    for option, value in options.items():
        for one in value if isinstance(value, list) else [] if value is None else [value]:
            words += [option, str(one)]
    return shlex.join([*words, *flags])
