"""`bench fetch-weights` and `bench tag`: weights that others trained, and the heads that come with them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypedDict

import typer

from benchmark.commands.common import JsonOption, RegistryOption, interruptible, open_registry, print_document
from benchmark.commands.factors import name_option


class FetchedWeights(TypedDict):
    """Weights that were fetched.

    Attributes
    ----------
    name, licence, source
        What was asked for, the licence of the weights, and who made them.
    files
        Files of weights.
    """

    name: str
    licence: str
    source: str
    files: list[str]


class TaggedFile(TypedDict):
    """What a published tagger says of a file.

    Attributes
    ----------
    file
        Its path.
    windows
        Number of windows that were tagged.
    tags
        Tag -> probability in [0, 1], the mean over the windows; the most probable first.
    """

    file: str
    windows: int
    tags: dict[str, float]


def fetch_weights(
    name: Annotated[list[str], typer.Argument(help="Models whose weights to fetch, as musicnn.", metavar="NAME...")],
    given: Annotated[
        Path | None,
        typer.Option("--from", help="The wheel, where it is on this machine already.", metavar="WHEEL"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch weights that others published, from the package registry that pip is set up with; interrupted, it goes on.

    They come into BENCH_WEIGHTS, or a folder beside the store in your home.

    Example: bench fetch-weights musicnn
    """
    from benchmark.console import Reporter
    from benchmark.data.weight_sources import SOURCES
    from benchmark.data.weights_fetch import fetch_weights as call
    from benchmark.errors import UserError

    if given is not None and len(name) > 1:
        raise UserError("--from is for the wheel of one model; name one")
    reporter = Reporter()
    rows: list[FetchedWeights] = []
    with interruptible(reporter):
        for each in name:
            files = call(each, given, reporter)
            source = SOURCES[each]
            rows.append(
                {
                    "name": each,
                    "licence": source.licence,
                    "source": source.source,
                    "files": [str(file) for file in files],
                }
            )
    print_document(rows if as_json else "\n".join(file for row in rows for file in row["files"]))


def tag(
    files: Annotated[list[Path], typer.Argument(help="Audio files, of any format and length.", metavar="FILE...")],
    encoder: Annotated[str, name_option("encoders", "Published tagger that tags them, as musicnn_mtt.")],
    top: Annotated[int, typer.Option(help="Number of tags to print of each file; --json has all.", min=1)] = 10,
    registry_files: RegistryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the tags that a published tagger hears in audio files, each with its probability.

    Example: bench tag song.mp3 --encoder musicnn_mtt
    """
    from benchmark.console import Reporter
    from benchmark.encoding.encode_files import open_files
    from benchmark.encoding.tag_files import check_tagger, tag_files
    from benchmark.encoding.windows import build_encoder
    from benchmark.plan.origins import announce
    from benchmark.registry.published import weights_file
    from benchmark.text import table

    registry = open_registry(registry_files)
    named = registry.encoder(encoder)
    reporter = Reporter()
    announce(registry, [named], reporter)
    built = build_encoder(named, 0, weights_file(named))
    check_tagger(built, encoder)
    with interruptible(reporter):
        found = tag_files(open_files(files, built, reporter), built, reporter)
    if as_json:
        rows: list[TaggedFile] = [{"file": str(one.path), "windows": one.windows, "tags": one.tags} for one in found]
        print_document(rows)
        return
    for one in found:
        lines = [[f"  {name}", f"{probability:.3f}"] for name, probability in list(one.tags.items())[:top]]
        print_document(f"{one.path}: mean of {one.windows:,} windows\n{table(lines)}")
