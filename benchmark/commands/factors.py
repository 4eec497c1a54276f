"""Factors of a run as options: encoder, task, recipe, corpus, protocol, seed, and the numbers of a recipe.

A word that takes one of them by another sentence makes its option of `name_option`; all complete names of the registry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from textwrap import shorten
from typing import Annotated, Any

import typer


def names_of(section: str) -> Callable[[typer.Context, str], list[tuple[str, str]]]:
    """Completes names of a section of the registry, and says what each is; imports no heavy library."""

    def complete(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
        from benchmark.console import printable
        from benchmark.errors import USER_ERRORS
        from benchmark.registry.registry import load_registry

        try:
            every = load_registry(context.params.get("registry_files") or []).sections[section]
        except USER_ERRORS:
            return []  # the command itself will say what is wrong
        chosen = {
            name: named.entry for name, named in every.items() if name.startswith(incomplete) and name.isprintable()
        }
        # What does not fit on a line of 80 letters would be broken, and each part taken for a name.
        return [
            (name, shorten(printable(getattr(entry, "description", "")), max(1, 76 - len(name)), placeholder="…"))
            for name, entry in chosen.items()
        ]

    return complete


def name_option(section: str, meaning: str, default: str | bool = True, metavar: str = "NAME") -> Any:
    """An option that takes names of a section of the registry."""
    return typer.Option(help=meaning, show_default=default, metavar=metavar, autocompletion=names_of(section))


def name_argument(section: str, meaning: str, metavar: str) -> Any:
    """An argument that is a name of a section of the registry."""
    return typer.Argument(help=meaning, metavar=metavar, autocompletion=names_of(section))


_TASKS_OWN = "the task's own"
_DEMO = "demo"

EncodersOption = Annotated[
    list[str] | None, name_option("encoders", "Encoder to compare, or several joined by +; may be repeated.")
]
TasksOption = Annotated[list[str] | None, name_option("tasks", "Task to score it on; may be repeated.")]
RecipesOption = Annotated[list[str] | None, name_option("recipes", "Pretraining recipe; may be repeated.", _DEMO)]
CorporaOption = Annotated[
    list[str] | None,
    name_option("corpora", "Pretraining corpus, or a folder of audio; may be repeated.", _TASKS_OWN, "NAME|DIR"),
]
ProtocolsOption = Annotated[
    list[str] | None, name_option("protocols", "Probing protocol; may be repeated.", _TASKS_OWN)
]
SeedsOption = Annotated[list[int] | None, typer.Option(help="Seed; may be repeated.", show_default="0", min=0)]
LayersOption = Annotated[
    list[str] | None,
    typer.Option(help="Layer to probe instead of the representation, or `all`; may be repeated.", metavar="NAME"),
]
LabelsOption = Annotated[
    str, typer.Option(help="Fractions of the training labels, separated by commas.", metavar="F,F,...")
]
DeformsOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Score on deformed test audio too: gain, noise, mp3, low_pass, reverb, pitch, tempo; may be repeated.",
        metavar="NAME=STRENGTH",
    ),
]
SampleRateOption = Annotated[
    int | None, typer.Option(help="Override the encoder's sample rate [Hz].", min=1000, metavar="HZ")
]


@dataclass(frozen=True)
class RecipeOptions:
    """Numbers of a recipe, by which `bench run` makes and `bench look` finds a pretraining."""

    epochs: Annotated[int | None, typer.Option(help="Override the recipe's length: visits to each clip.", min=1)] = None
    pairs: Annotated[int | None, typer.Option(help="Override the recipe's length: pairs of views.", min=1)] = None
    batch: Annotated[int | None, typer.Option(help="Override the recipe's pairs per step.", min=2)] = None
    learning_rate: Annotated[float | None, typer.Option(help="Override the recipe's learning rate.")] = None
    temperature: Annotated[float | None, typer.Option(help="Override the recipe's temperature.")] = None
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Override any number of the recipe, e.g. augmentation.pitch.probability=0.2; may be repeated.",
            metavar="KEY=VALUE",
        ),
    ] = None

    def numbers(self) -> dict[str, Any]:
        """Numbers that have an option of their own, by their keys in a recipe; ``None`` if not given."""
        return {name: value for name, value in asdict(self).items() if name != "setting"}

    def overrides(self) -> dict[str, Any]:
        """Numbers of the recipe that are replaced."""
        from benchmark.registry.overrides import parse_settings

        given = {name: value for name, value in self.numbers().items() if value is not None}
        return {**given, **parse_settings(self.setting or [])}

    def words(self) -> dict[str, Any]:
        """Values by option, as a command line has them."""
        return {**options_of(self.numbers()), "--set": self.setting}


def options_of(values: dict[str, Any]) -> dict[str, Any]:
    """Values by the option that each is given by."""
    return {f"--{name.replace('_', '-')}": value for name, value in values.items()}
