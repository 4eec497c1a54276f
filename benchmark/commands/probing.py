"""`bench compare`: which of two encoders is better, as far as the test clips can tell."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmark.commands.common import JsonOption, StoreOption, names_of, print_document, store_folder


def compare(
    first: Annotated[
        str, typer.Argument(help="Encoder, or encoder:recipe.", metavar="A", autocompletion=names_of("encoders"))
    ],
    second: Annotated[
        str, typer.Argument(help="Encoder, or encoder:recipe.", metavar="B", autocompletion=names_of("encoders"))
    ],
    task: Annotated[
        list[str] | None,
        typer.Option(
            help="Task; may be repeated.",
            show_default="all scored for both",
            metavar="NAME",
            autocompletion=names_of("tasks"),
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Recipe of trained encoders, where there are several.", metavar="NAME")
    ] = None,
    corpus: Annotated[
        str | None, typer.Option(help="Pretraining corpus, where there are several.", metavar="NAME")
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Test the stored scores of two encoders: paired bootstrap over test clips, DeLong's test for ROC-AUC.

    Example: bench compare tune_plus mfcc --task mtt
    """
    from benchmark.comparison.compare import SEPARATOR, documents
    from benchmark.comparison.compare import compare as call
    from benchmark.console import Reporter, printable
    from benchmark.plan.origins import announce_unimported
    from benchmark.registry.registry import load_registry

    entries = load_registry([])
    encoders, tasks = entries.sections["encoders"], entries.sections["tasks"]
    spoken_of = [encoders.get(name) or encoders.get(name.partition(SEPARATOR)[0]) for name in (first, second)]
    spoken_of += [tasks.get(name) for name in task or []]
    announce_unimported(entries, [named for named in spoken_of if named is not None], Reporter())
    found = call(store_folder(store), first, second, task or [], recipe, corpus)
    print_document(documents(found) if as_json else "\n".join(printable(one.text) for one in found))
