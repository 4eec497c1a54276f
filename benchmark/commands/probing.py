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
    from benchmark.compare import compare as call
    from benchmark.compare import documents
    from benchmark.console import printable

    found = call(store_folder(store), first, second, task or [], recipe, corpus)
    print_document(documents(found) if as_json else "\n".join(printable(one.text) for one in found))
