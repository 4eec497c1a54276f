"""`bench import` and `bench new`: encoders and tasks of your own."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal, TypedDict

import typer

from benchmark.commands.app import App, need_command
from benchmark.commands.common import JsonOption, print_document

new = App(help="Write something of your own to start from.")

OwnRegistryOption = Annotated[
    Path | None,
    typer.Option(
        "--registry",
        help="Your own registry file, made or added to.",
        show_default="./registry.yaml",
        metavar="FILE",
    ),
]


class ImportedEncoder(TypedDict):
    """An encoder with weights from elsewhere.

    Attributes
    ----------
    encoder, architecture
        Its name, and that of the encoder that the weights fill.
    parameters, dim
        How many, and size of the representation.
    weights, registry
        Files written.
    """

    encoder: str
    architecture: str
    parameters: int
    dim: int
    weights: str
    registry: str


def import_weights(
    file: Annotated[Path, typer.Argument(help="Weights: .safetensors, a PyTorch state dict or a Lightning .ckpt.")],
    encoder: Annotated[str, typer.Option(help="Encoder whose architecture they are for.", metavar="NAME")],
    name: Annotated[str, typer.Option("--as", help="Name of the new encoder.", metavar="NAME")],
    registry: OwnRegistryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take published weights into a registry of your own, checked tensor by tensor.

    Example: bench import clmr.ckpt --encoder sample_cnn --as clmr
    """
    from benchmark.console import Reporter
    from benchmark.data.published_weights import import_weights as call

    own = registry or Path("registry.yaml")
    filled, weights = call(file, encoder, name, own, Reporter(), named=registry is not None)
    facts: ImportedEncoder = {
        "encoder": name,
        "architecture": encoder,
        "parameters": filled.parameter_count(),
        "dim": filled.dim,
        "weights": str(weights),
        "registry": str(own),
    }
    elsewhere = [] if own == Path("registry.yaml") else ["--registry", str(own)]
    command = shlex.join(["bench", "run", "--encoder", name, "--task", "mtt", *elsewhere])
    print_document(
        facts
        if as_json
        else f"{name}: {filled.parameter_count():,} parameters of {encoder} in {weights}, entry in {own}\n"
        f"next: {command}"
    )


@new.callback(invoke_without_command=True)
def _new(context: typer.Context) -> None:
    need_command(context)


@new.command(name="encoder")
def new_encoder(
    name: Annotated[str, typer.Argument(help="Of the encoder and its module, e.g. my_encoder.")],
    into: Annotated[Path, typer.Option(help="Folder to write to.", metavar="DIR")] = Path(),
    as_json: JsonOption = False,
) -> None:
    """Write a class that works, its test and its registry entry.

    Example: bench new encoder my_encoder
    """
    from benchmark.registry.scaffold import write_encoder

    written = write_encoder(name, into, into / "registry.yaml")
    if as_json:
        print_document([str(file) for file in written])
        return
    there = "" if into == Path() else f"cd {shlex.quote(str(into))} && "
    print_document(
        "\n".join(f"wrote {file}" for file in written)
        + f"\nnext: {there}python -m pytest test_{name}.py && bench run --encoder {name} --task mtt"
    )


@new.command(name="task")
def new_task(
    folder: Annotated[Path, typer.Argument(help="Your music, with or without a table of labels.", metavar="FOLDER")],
    name: Annotated[
        str, typer.Option("--as", help="Name of the task.", show_default="the folder's", metavar="NAME")
    ] = "",
    classes: Annotated[
        Literal["folders", "genre", "names", "artist", "album"] | None,
        typer.Option(help="Where classes are from; by default, what tells them."),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Column of the folder's own table that is the label.", metavar="COLUMN")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Propose, and write nothing.")] = False,
    registry: OwnRegistryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose classes and a split of your own music, and write them as a task.

    A table of labels in the folder is taken as it is. Else classes are those of folders, tags or file names, and
    labels.csv is written into the folder.

    Example: bench new task ~/music
    """
    from benchmark.console import Reporter
    from benchmark.data.new_task import propose_task, write_task
    from benchmark.data.new_task_text import as_document, as_text

    own = registry or Path("registry.yaml")
    proposed = propose_task(folder.expanduser(), own, Reporter(), name, classes, label)
    written = [] if dry_run else write_task(proposed, own)
    if as_json:
        print_document(as_document(proposed, written))
        return
    lines = [as_text(proposed), ""]
    lines += [f"wrote {file}" for file in written]
    if not written:
        lines.append("nothing was written" if dry_run else f"nothing to write: {own} has the task already")
    elsewhere = [] if own == Path("registry.yaml") else ["--registry", str(own)]
    if not dry_run:
        lines.append(f"next: {shlex.join(['bench', 'run', '--encoder', 'mfcc', '--task', proposed.name, *elsewhere])}")
    print_document("\n".join(lines))
