"""`bench look`: one page to look at, and listen to, one representation."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark.commands.common import (
    BatchOption,
    DataOption,
    EpochsOption,
    LearningRateOption,
    PairsOption,
    RegistryOption,
    SampleRateOption,
    SettingOption,
    StoreOption,
    TemperatureOption,
    names_of,
    open_registry,
    recipe_overrides,
    store_folder,
)

#: As `bench run` has it.
RECIPE = "demo"
#: Filters of a layer: on a CPU each takes seconds.
FILTERS = 8


def look(
    encoder: Annotated[
        str, typer.Argument(help="Encoder to look at.", metavar="ENCODER", autocompletion=names_of("encoders"))
    ],
    task: Annotated[
        list[str],
        typer.Option(
            help="Task whose clips it is shown with; may be repeated.", metavar="NAME", autocompletion=names_of("tasks")
        ),
    ],
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Recipe it was pretrained by; `untrained` for its random weights.",
            show_default=RECIPE,
            metavar="NAME",
            autocompletion=names_of("recipes"),
        ),
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(
            help="Corpus it was pretrained on, or a folder of audio.",
            show_default="the first task's own",
            metavar="NAME|DIR",
            autocompletion=names_of("corpora"),
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of its pretraining.", min=0)] = 0,
    data: DataOption = None,
    store: StoreOption = None,
    registry: RegistryOption = None,
    epochs: EpochsOption = None,
    pairs: PairsOption = None,
    batch: BatchOption = None,
    learning_rate: LearningRateOption = None,
    temperature: TemperatureOption = None,
    setting: SettingOption = None,
    sample_rate: SampleRateOption = None,
    feature: Annotated[
        list[int] | None,
        typer.Option(
            help="Feature of the representation to listen to, from 0; may be repeated.",
            show_default="those that vary most, or that labels separate best",
            metavar="N",
        ),
    ] = None,
    audio: Annotated[
        bool, typer.Option("--audio", help="Put short excerpts of the clips into the page, which then shares them.")
    ] = False,
    filters: Annotated[
        int, typer.Option(help="Filters of each layer shown, some seconds each on a CPU; 0 for none.", min=0)
    ] = FILTERS,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")] = Path("look.html"),
) -> None:
    """Write one page to look at, and listen to, one representation.

    Example: bench look tune_plus --task mtt --task gtzan -o look.html
    """
    from benchmark.console import Reporter
    from benchmark.engine.engine import Engine
    from benchmark.errors import UserError
    from benchmark.plan.origins import announce, in_use
    from benchmark.plan.planner import Planner
    from benchmark.plan.requests import Request, grid
    from benchmark.store.store import Store, storage_errors, write_atomically
    from benchmark.visualisation.shown import find

    folder = store_folder(store)
    given: dict[str, Any] = {
        "--recipe": recipe, "--corpus": corpus, "--seed": seed or None, "--data": data, "--store": store,
        "--registry": registry, "--epochs": epochs, "--pairs": pairs, "--batch": batch,
        "--learning-rate": learning_rate, "--temperature": temperature, "--set": setting, "--sample-rate": sample_rate,
    }  # fmt: skip
    entries = open_registry(registry)
    if corpus is None:
        own = [entries.task(name).entry.corpus for name in task]
        corpus = own[0]
        if len(set(own)) > 1:
            given["--corpus"] = corpus
    run = _command(["bench", "run", "--encoder", encoder], task, given)
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such store; make it with: {run}")
    if not output.parent.is_dir():
        raise UserError(f"{output}: there is no folder {output.parent}; make it, or name another file")
    request = Request(
        grid(
            encoder=encoder,
            task=list(dict.fromkeys(task)),
            recipe=recipe or RECIPE,
            corpus=corpus,
            seed=seed,
            sample_rate=sample_rate,
            settings=recipe_overrides(
                setting,
                epochs=epochs,
                pairs=pairs,
                batch=batch,
                learning_rate=learning_rate,
                temperature=temperature,
            ),
        )
    )
    reporter = Reporter()
    announce(entries, in_use(entries, [request]), reporter)
    place = Store(folder)
    with storage_errors(folder):
        engine = Engine(place, reporter)
        shown = find(Planner(entries, place, reporter, data), request, engine, run)
        from analysis.looking import render
        from benchmark.visualisation.document import MOST_BYTES, collect

        own_options = {"--feature": feature, "--filters": filters if filters != FILTERS else None}
        again = _command(["bench", "look", encoder], task, {**given, **own_options}, *(["--audio"] if audio else []))
        text = render(collect(shown, entries, engine, reporter, again, feature or [], audio, filters)).encode()
    if len(text) > MOST_BYTES:
        raise UserError(
            f"the page would have {len(text) / 1e6:.0f} MB, more than {MOST_BYTES // 10**6}; name fewer features with "
            "--feature N, or fewer tasks"
        )
    with storage_errors(output.parent):
        write_atomically(output, text)
    reporter.say(f"{output}: {len(text) / 1e6:.1f} MB" + (", with audio" if audio else ""))


def _command(words: list[str], tasks: list[str], options: dict[str, Any], *flags: str) -> str:
    """A command ready for a shell."""
    for name in tasks:
        words += ["--task", name]
    for option, value in options.items():
        for one in value if isinstance(value, list) else [] if value is None else [value]:
            words += [option, str(one)]
    return shlex.join([*words, *flags])
