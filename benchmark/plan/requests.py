"""What a user may ask for: levels of every factor, of which each combination becomes a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator

from benchmark.factors import FACTORS


class _Levels(BaseModel):
    """Levels of every factor; each combination is a run. An empty factor takes what the task's entry says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, value: Any) -> Any:
        if isinstance(value, list):
            return tuple(value)
        return (value,) if isinstance(value, str | int | float | dict) and not isinstance(value, bool) else value

    def of(self, name: str) -> tuple[Any, ...]:
        """Levels of the factor that a field of `Cell` holds, and those that are always there."""
        factor = FACTORS[name]
        given = getattr(self, factor.key)
        return (*factor.always, *(given or factor.levels))


def _grid() -> type[_Levels]:
    """A field for every factor of a cell, called as options and studies call it."""
    fields: dict[str, Any] = {}
    for name, factor in FACTORS.items():
        needed = name in ("encoders", "task")
        levels = tuple[factor.level, ...]  # type: ignore[name-defined]
        default = ... if needed else tuple(level for level in factor.levels if level is not None)
        described = Field(default, description=factor.meaning, min_length=1 if needed else None)
        fields[factor.key] = (levels, described)
    return create_model("Grid", __base__=_Levels, __doc__=_Levels.__doc__, **fields)


if TYPE_CHECKING:
    Grid = _Levels
else:
    Grid = _grid()


def grid(**levels: Any) -> _Levels:
    """Levels of factors, called as options and studies call them; ``None`` for what is not given."""
    given = {key: value for key, value in levels.items() if value is not None}
    return Grid(**given)


@dataclass(frozen=True)
class Request:
    """What a command asks for: every combination of the levels becomes a run.

    Attributes
    ----------
    grid
        Levels of every factor.
    allow_missing
        Whether test clips that cannot be decoded may be left out.
    allow_overlap
        Whether an encoder may be tested on clips whose labels it was trained on.
    probe_every
        Epochs between scores of the task's validation clips in pretraining; ``None`` for none.
    training
        How to train without changing what comes out: ``devices``, ``precision``, ``residence`` of the corpus,
        ``tensorboard``.
    """

    grid: _Levels
    allow_missing: bool = False
    probe_every: int | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    allow_overlap: bool = False

    def levels(self, name: str) -> tuple[Any, ...]:
        """Levels of the factor that a field of `Cell` holds; empty where the task's entry says them."""
        return self.grid.of(name)
