"""Factors of a run as options: encoder, task, recipe, corpus, protocol, seed, and the numbers of a recipe.

A word that takes one of them by another sentence makes its option of `name_option`; all complete names of the registry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, make_dataclass
from textwrap import shorten
from typing import Annotated, Any

import typer

from benchmark.factors import FACTORS, Factor


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
ThenOption = Annotated[
    str | None,
    name_option(
        "recipes", "Recipe that goes on from the weights of --recipe, on the same corpus, or on the task's labels."
    ),
]
CorporaOption = Annotated[
    list[str] | None,
    name_option(
        "corpora",
        "Pretraining corpus, a folder of audio, or a task to learn the labels of; may be repeated.",
        _TASKS_OWN,
        "NAME|DIR",
    ),
]
ProtocolsOption = Annotated[
    list[str] | None, name_option("protocols", "Probing protocol; may be repeated.", _TASKS_OWN)
]
SeedsOption = Annotated[list[int] | None, typer.Option(help="Seed; may be repeated.", show_default="0", min=0)]
SampleRateOption = Annotated[
    int | None, typer.Option(help="Override the encoder's sample rate [Hz].", min=1000, metavar="HZ")
]
ArgumentsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--arg",
        help="Override any argument of the encoders, e.g. width=0.5 or front_end.bands=64; may be repeated.",
        metavar="KEY=VALUE",
    ),
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


def _departures() -> type[Any]:
    """An option for every factor in which a run may depart from a plain one."""
    options = []
    for factor in FACTORS.values():
        if factor.departs:
            many, default = (str, None) if factor.commas else (list[str], None)
            shown = factor.levels[0] if factor.commas and factor.levels[0] is not None else None
            option = typer.Option(
                factor.option,
                help=factor.help,
                metavar=factor.metavar,
                show_default=f"{shown:g}" if shown is not None else True,
            )
            options.append((factor.key, Annotated[many | None, option], field(default=default)))
    return make_dataclass("Departures", options, frozen=True)


#: Levels of the factors in which a run may depart from a plain one, as the command line has them.
Departures = _departures()


def levels_of(departures: Any) -> dict[str, Any]:
    """Levels of each of `Departures` that is given.

    Raises
    ------
    UserError
        If a text is none of a factor's levels.
    """
    found: dict[str, Any] = {}
    for factor in FACTORS.values():
        given = getattr(departures, factor.key, None) if factor.departs else None
        if given:
            found[factor.key] = _read(given.split(",") if factor.commas else given, factor)
    return found


def _read(texts: list[str], factor: Factor) -> list[Any]:
    """Texts as levels of a factor."""
    from pydantic import TypeAdapter, ValidationError

    from benchmark.errors import UserError

    try:
        return TypeAdapter(list[factor.level]).validate_python(texts)  # type: ignore[name-defined]
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        must = f"; must be {factor.commas}, separated by commas" if factor.commas else ""
        raise UserError(f"{factor.option} {','.join(texts)}: {reason}{must}") from None


def options_of(values: dict[str, Any]) -> dict[str, Any]:
    """Values by the option that each is given by."""
    return {f"--{name.replace('_', '-')}": value for name, value in values.items()}
