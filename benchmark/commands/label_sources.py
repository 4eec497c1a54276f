"""`bench data sources`: what a corpus can be learnt from, and what the factors stand for that labels are reduced to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from analysis.report.document import FactorRow
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

if TYPE_CHECKING:
    from benchmark.engine.engine import Engine
    from benchmark.store.step import Step


class LabelledSource(TypedDict):
    """A source of labels of a corpus.

    Attributes
    ----------
    source, description
        Its name, and what it is.
    clips, labelled, fitted
        Clips of the dataset, those that it says anything of, and those of them that are trained on.
    trouble
        Why nothing can be learnt from it; empty if it can.
    key
        Of the artifact.
    factors
        What its labels are reduced to; none of `self`.
    """

    source: str
    description: str
    clips: int
    labelled: int
    fitted: int
    trouble: str
    key: str
    factors: Sequence[FactorRow]


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
    from benchmark.engine.engine import Engine
    from benchmark.errors import USER_ERRORS, unknown_name
    from benchmark.plan.origins import announce
    from benchmark.plan.planner import Planner
    from benchmark.store.storage_errors import storage_errors
    from benchmark.store.store import Store

    reporter = Reporter()
    store = Store(store_folder(store_path))
    rows: list[LabelledSource] = []
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
                rows.append(_row(name, described[name], step, engine))
            except USER_ERRORS as error:
                trouble = " ".join(str(error).split())
                rows.append(LabelledSource(
                    source=name, description=described[name], clips=0, labelled=0, fitted=0, trouble=trouble,
                    key=step.key, factors=[],
                ))  # fmt: skip
    print_document(rows if as_json else _text(rows, bool(source)))
    if any(row["trouble"] for row in rows):
        raise typer.Exit(1)


def _row(name: str, description: str, step: Step, engine: Engine) -> LabelledSource:
    from benchmark.store.file_names import FACTORS

    artifact = engine.ensure(step)
    facts, listed = artifact.manifest["facts"], artifact / FACTORS
    return {
        "source": name,
        "description": description,
        "clips": facts["clips"],
        "labelled": facts["labelled"],
        "fitted": facts.get("fitted", facts["labelled"]),
        "trouble": "",
        "key": step.key,
        "factors": json.loads(listed.read_text(encoding="utf-8")) if listed.exists() else [],
    }


def _text(rows: Sequence[LabelledSource], with_factors: bool) -> str:
    from benchmark.text import fitted

    table = [["source", "labelled", "trained on", "what"]]
    for row in rows:
        counts = [f"{row['labelled']:,}", f"{row['fitted']:,}"] if not row["trouble"] else ["none", "none"]
        table.append([row["source"], *counts, row["trouble"] or row["description"]])
    parts = [fitted(table, None)]
    for row in rows if with_factors else ():
        lines = [["share", "strongest terms" if row["factors"] and row["factors"][0]["terms"] else "mean, deviation"]]
        lines += [[f"{factor['share']:.3f}", _meaning(factor)] for factor in row["factors"]]
        parts.append(f"{row['source']}\n{fitted(lines, None)}")
    return "\n\n".join(parts)


def _meaning(factor: FactorRow) -> str:
    if factor["mean"] is not None:
        return f"{factor['mean']:.4g}, {factor['deviation']:.3g}"
    return ", ".join(str(term) for term, _ in factor["terms"])
