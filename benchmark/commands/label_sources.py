"""`bench data sources`: what a corpus can be learnt from, and what the factors stand for that labels are reduced to."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmark.commands.common import (
    DataOption,
    JsonOption,
    RegistryOption,
    StoreOption,
    interruptible,
    open_registry,
    print_document,
    store_folder,
)


def sources(
    corpus: Annotated[str, typer.Argument(help="Corpus of the registry, or a folder of audio.", metavar="NAME|DIR")],
    source: Annotated[
        list[str] | None,
        typer.Option(help="Source whose factors are shown; may be repeated.", metavar="NAME"),
    ] = None,
    factors: Annotated[int, typer.Option(help="Factors that labels are reduced to.", min=2)] = 10,
    sample_rate: Annotated[int, typer.Option(help="Rate that clips are decoded to [Hz].", min=1000)] = 22_050,
    data: DataOption = None,
    store_path: StoreOption = None,
    registry_files: RegistryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a corpus can be learnt from, and reduce its labels to factors, as pretraining by many sources does.

    Example: bench data sources multisource --source tag --factors 50
    """
    from benchmark.console import Reporter
    from benchmark.data.label_sources import as_text, labelled_source, unusable_source
    from benchmark.engine.engine import Engine
    from benchmark.errors import USER_ERRORS, unknown_name
    from benchmark.plan.origins import announce
    from benchmark.plan.planner import Planner
    from benchmark.store.storage_errors import storage_errors
    from benchmark.store.store import Store

    reporter = Reporter()
    store = Store(store_folder(store_path))
    rows = []
    with interruptible(reporter), storage_errors(store.root):
        registry = open_registry(registry_files)
        planner = Planner(registry, store, reporter, data)
        described = planner.sources(corpus)
        for name in source or []:
            if name not in described:
                raise unknown_name(f"source of corpus {corpus}", name, described)
        dataset = registry.corpus(corpus).entry.dataset
        announce(registry, [registry.corpus(corpus), registry.dataset(dataset)], reporter)
        pcm = planner.prepare_step(dataset, sample_rate)
        if "standin" in pcm.needs:
            reporter.warn("No --data given: using the STAND-IN, synthetic music")
        engine = Engine(store, reporter)
        engine.ensure(pcm)
        for name in source or described:
            step = planner.source_step(corpus, name, factors, pcm)
            try:
                rows.append(labelled_source(name, described[name], engine.ensure(step)))
            except USER_ERRORS as error:
                rows.append(unusable_source(name, described[name], step.key, " ".join(str(error).split())))
    print_document(rows if as_json else as_text(rows, bool(source)))
    if any(row["trouble"] for row in rows):
        raise typer.Exit(1)
