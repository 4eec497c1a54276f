"""What a run varies: its factors, each stated once, with all that tables, options, studies and titles say of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, computed_field, model_validator

from benchmark.registry.overrides import changes_in_words, in_words
from benchmark.registry.registry import JOINT

#: The recipe column of an encoder that a recipe could have trained and did not.
UNTRAINED = "untrained"
#: The recipe column of an encoder that needs none: hand-made features, or weights that came with it.
AS_GIVEN = "as-given"
#: The protocol column of a supervised encoder, whose own head makes the predictions.
END_TO_END = "end-to-end"
#: Asks for every layer of an encoder.
ALL_LAYERS = "all"

_NOTHING_PLAIN = object()


@dataclass(frozen=True)
class Factor:
    """What is to be known of a factor beside its value in a cell.

    Attributes
    ----------
    key
        How options, studies and tables call it.
    level
        Type of one of its levels in a request.
    levels
        Its levels where a request names none; none at all for what must be named, or for what a task's entry says.
    always
        Levels that are there beside those that are named.
    plain
        Its value in a run on the representation, all training labels and the audio as it is; factors without one are
        the grid itself.
    words
        What a title adds to the names of the grid for a value that is not plain.
    probed
        Whether the value goes to the probe as it is, under its key.
    column
        Whether it is a column of tables; otherwise it stands in the text of another one.
    commas
        Whether its option takes all levels in one text, separated by commas, instead of one at a time.
    """

    key: str
    level: Any
    levels: tuple[Any, ...] = ()
    always: tuple[Any, ...] = ()
    plain: Any = _NOTHING_PLAIN
    words: Callable[[Any], str] | None = None
    probed: bool = False
    column: bool = True
    commas: bool = False

    @property
    def option(self) -> str:
        """Option of ``bench run`` that takes its levels."""
        return "--set" if self.key == "settings" else f"--{self.key.replace('_', '-')}"

    @property
    def departs(self) -> bool:
        """Whether it has a plain value from which runs may depart."""
        return self.plain is not _NOTHING_PLAIN


_Fraction = Annotated[float, Field(gt=0, le=1)]
_Seed = Annotated[int, Field(ge=0)]
_Rate = Annotated[int, Field(ge=1000)]
_Shots = Annotated[int, Field(ge=1)]


class Cell(BaseModel):
    """One cell of the grid: the factors of a run, by which records, tables, studies and commands name it.

    A further factor is a field here, and whatever uses it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoders: Annotated[tuple[str, ...], Factor("encoder", str)] = Field(
        min_length=1, description="encoders, or several joined by + and probed as one"
    )
    sample_rate: Annotated[int | None, Factor("sample_rate", _Rate, levels=(None,), column=False)] = Field(
        default=None, description="rates that encoders are given audio at [Hz]; their own if empty"
    )
    corpus: Annotated[str | None, Factor("corpus", str)] = Field(
        description="pretraining corpora; the task's own if empty"
    )
    recipe_name: Annotated[str, Factor("recipe", str, levels=("demo",))] = Field(description="pretraining recipes")
    settings: Annotated[dict[str, Any], Factor("settings", dict[str, Any], levels=({},), column=False)] = Field(
        default_factory=dict, description="numbers of the recipe replaced, one mapping of keys to values for each level"
    )
    protocol: Annotated[str, Factor("protocol", str)] = Field(description="probing protocols; the task's own if empty")
    task: Annotated[str, Factor("task", str)] = Field(description="what encoders are scored on")
    seed: Annotated[int, Factor("seed", _Seed, levels=(0,))] = Field(description="seeds of training and probing")
    layer: Annotated[
        str | None,
        Factor("layer", str, levels=(None,), plain=None, probed=True, words=lambda layer: f"layer {layer}"),
    ] = Field(default=None, description="layers to probe, or `all`; the representation alone if empty")
    labels: Annotated[
        float,
        Factor(
            "labels", _Fraction, levels=(1.0,), plain=1.0, probed=True, commas=True,
            words=lambda labels: f"{100 * labels:g}% of labels",
        ),
    ] = Field(default=1.0, description="fractions of the training labels that are used")  # fmt: skip
    deform: Annotated[
        str | None,
        Factor("deform", str, always=(None,), plain=None, words=lambda deform: f"test audio with {deform}"),
    ] = Field(
        default=None,
        description="deformations of the test audio as NAME=STRENGTH, scored beside the audio as it is",
    )

    @computed_field  # type: ignore[prop-decorator]
    @property
    def encoder(self) -> str:
        """Names of the encoders for people, joined, with the rate that they are given audio at if it is not theirs."""
        rate = "" if self.sample_rate is None else f"(sample_rate={self.sample_rate})"
        return JOINT.join(name + rate for name in self.encoders)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def recipe(self) -> str:
        """Name of the recipe for people, with the numbers that were replaced."""
        return f"{self.recipe_name}({changes_in_words(self.settings)})" if self.settings else self.recipe_name

    @model_validator(mode="before")
    @classmethod
    def _texts_are_for_people(cls, document: Any) -> Any:
        if not isinstance(document, Mapping):
            return document
        return {key: value for key, value in document.items() if key not in ("encoder", "recipe")}

    def __hash__(self) -> int:
        return hash(tuple(self.columns().values()))

    def determining(self) -> dict[str, Any]:
        """The cell in a key: what is as by default is left out, so that a further factor changes none."""
        return self.model_dump(mode="json", exclude_defaults=True, include=set(FACTORS))

    def columns(self) -> dict[str, Any]:
        """What tables say of it, by column."""
        return {key: getattr(self, key) for key in COLUMNS}

    def departures(self) -> dict[str, Any]:
        """Factors in which it departs from a plain run, and their values."""
        return {
            name: getattr(self, name)
            for name, factor in FACTORS.items()
            if factor.departs and getattr(self, name) != factor.plain
        }

    def departures_in_words(self) -> list[str]:
        """As `departures`, as titles put it."""
        return [factor_of(name).words(value) for name, value in self.departures().items()]  # type: ignore[misc]

    def title(self) -> str:
        """The run in one line."""
        named = f"{self.task} on {self.encoder} ({self.recipe}), {self.protocol}, seed {self.seed}"
        return ", ".join([named, *self.departures_in_words()])


#: Every factor, by the field of `Cell` that holds it.
FACTORS: Mapping[str, Factor] = {
    name: next(found for found in field.metadata if isinstance(found, Factor))
    for name, field in Cell.model_fields.items()
}
#: What tables call the factors that have a column.
COLUMNS = tuple(factor.key for factor in FACTORS.values() if factor.column)
#: What the factors from which a run may depart are called, and the value of a plain run.
PLAIN: Mapping[str, Any] = {factor.key: factor.plain for factor in FACTORS.values() if factor.departs}


def factor_of(name: str) -> Factor:
    """The factor that a field of `Cell` holds."""
    return FACTORS[name]


def options_of(cell: Cell) -> Iterator[tuple[str, str]]:
    """Options of ``bench run`` and their values that ask for a cell; without those that say what is the case anyway."""
    for name, factor in FACTORS.items():
        value = getattr(cell, name)
        if name == "encoders":
            yield factor.option, JOINT.join(value)
        elif name == "settings":
            for key, change in sorted(value.items()):
                yield factor.option, f"{key}={in_words(change)}"
        elif value is not None and not (factor.departs and value == factor.plain):
            yield factor.option, in_words(value) if isinstance(value, float) else str(value)


def in_cells(value: Any) -> Any:
    """A factor's value as tables of text have it: ``none`` where there is none."""
    return "none" if value is None else value
