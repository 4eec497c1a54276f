"""`bench import` and `bench new`: encoders of your own, from published weights or from scratch."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, TypedDict

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
