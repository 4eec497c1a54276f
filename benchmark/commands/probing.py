"""`bench compare`: which of two encoders is better, as far as the test clips can tell."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmark.commands.common import JsonOption, StoreOption, print_document, store_folder
from benchmark.commands.factors import name_argument, name_option


def compare(
    first: Annotated[str, name_argument("encoders", "Encoder, or encoder:recipe.", "A")],
    second: Annotated[str, name_argument("encoders", "Encoder, or encoder:recipe.", "B")],
    task: Annotated[list[str] | None, name_option("tasks", "Task; may be repeated.", "all scored for both")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Recipe of trained encoders, where there are several.", metavar="NAME")
    ] = None,
    corpus: Annotated[
        str | None, typer.Option(help="Pretraining corpus, where there are several.", metavar="NAME")
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            help="Difference too small to matter, in the metric's unit.",
            metavar="X",
            show_default="0.02; 0.01 of ROC-AUC",
        ),
    ] = None,
    store_path: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Test the stored scores of two encoders on the same clips: better, equivalent, or cannot tell.

    Example: bench compare tune_plus mfcc --task mtt
    """
    from benchmark.comparison.compare import SEPARATOR, documents
    from benchmark.comparison.compare import compare as call
    from benchmark.console import Reporter, printable
    from benchmark.plan.origins import announce_unimported
    from benchmark.registry.registry import load_registry

    registry = load_registry([])
    encoders, tasks = registry.sections["encoders"], registry.sections["tasks"]
    spoken_of = [encoders.get(name) or encoders.get(name.partition(SEPARATOR)[0]) for name in (first, second)]
    spoken_of += [tasks.get(name) for name in task or []]
    announce_unimported(registry, [each for each in spoken_of if each is not None], Reporter())
    found = call(store_folder(store_path), first, second, task or [], recipe, corpus, margin, Reporter())
    print_document(documents(found) if as_json else "\n".join(printable(one.text) for one in found))
