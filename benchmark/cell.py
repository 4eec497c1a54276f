"""A cell of the grid: the value of every factor of a run, by which records, tables, studies and commands name it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, computed_field, model_validator

from benchmark.factors import COLUMNS, DRAWN_CLIPS, FACTORS
from benchmark.registry.overrides import changes_in_words, in_words, replaced_in_words
from benchmark.registry.registry import JOINT


class Cell(BaseModel):
    """One cell of the grid.

    A further factor is a field here and its entry in `benchmark.factors.FACTORS`, and whatever uses it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoders: tuple[str, ...] = Field(min_length=1, description="encoders; of several, the joined representation")
    sample_rate: int | None = Field(
        default=None, description="rate that the encoders were given audio at [Hz]; null for their own"
    )
    arguments: dict[str, Any] = Field(default_factory=dict, description="arguments of the encoders that were replaced")
    corpus: str | None = Field(description="what was pretrained on; null where nothing was")
    recipe_name: str = Field(description="recipe of the pretraining, by its name in the registry")
    settings: dict[str, Any] = Field(default_factory=dict, description="numbers of the recipe that were replaced")
    protocol: str = Field(description="how it was probed")
    task: str = Field(description="what it was scored on")
    seed: int = Field(description="of training and probing")
    layer: str | None = Field(default=None, description="the layer probed; null for the representation")
    labels: float = Field(default=1.0, description="fraction of the training labels used")
    draw: str = Field(default=DRAWN_CLIPS, description="how that fraction was drawn")
    shots: int | None = Field(default=None, description="training clips of each class; null for all")
    deform: str | None = Field(default=None, description="deformation of the test audio, NAME=STRENGTH; null for none")
    limit: int | None = Field(
        default=None, description="clips that were used alone, to try whether all works; null for all"
    )

    @computed_field  # type: ignore[prop-decorator]
    @property
    def encoder(self) -> str:
        """Names of the encoders for people, joined, with the rate and the arguments that are not their own."""
        own = replaced_in_words(self.arguments, self.sample_rate)
        return JOINT.join(name + own for name in self.encoders)

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
        return [FACTORS[name].words(value) for name, value in self.departures().items()]

    def title(self) -> str:
        """The run in one line."""
        named = f"{self.task} on {self.encoder} ({self.recipe}), {self.protocol}, seed {self.seed}"
        return ", ".join([named, *self.departures_in_words()])


def options_of(cell: Cell) -> Iterator[tuple[str, str]]:
    """Options of ``bench run`` and their values that ask for a cell; without those that say what is the case anyway."""
    for name, factor in FACTORS.items():
        value = getattr(cell, name)
        if name == "encoders":
            yield factor.option, JOINT.join(value)
        elif name in ("settings", "arguments"):
            for key, change in sorted(value.items()):
                yield factor.option, f"{key}={in_words(change)}"
        elif value is not None and not (factor.departs and value == factor.plain):
            yield factor.option, in_words(value) if isinstance(value, float) else str(value)
