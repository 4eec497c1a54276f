"""The score record: what one run scored, and all that is needed to know what the score means."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from benchmark.cell import Cell
from benchmark.errors import UserError
from benchmark.factors import AS_GIVEN, COLUMNS
from benchmark.plain_files import PlantedError, read_within

SCHEMA_VERSION = 2
#: Kind of the steps whose artifacts hold records.
SCORE = "score"
RECORD = "record.json"
PREDICTIONS = "predictions.npz"

Item = TypeVar("Item")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _of_test(counts: dict[str, int]) -> dict[str, int]:
    if "test" not in counts or min(counts.values()) < 0:
        raise ValueError("must count the test clips")
    return counts


def _read_here(version: int) -> int:
    if version != SCHEMA_VERSION:
        raise ValueError(f"is {version}, and this version of bench reads {SCHEMA_VERSION}")
    return version


#: Version of a record's format.
Version = Annotated[int, AfterValidator(_read_here)]
#: What a metric may reach: the squares of greater numbers are none.
Reached = Annotated[float, Field(ge=-1e100, le=1e100)]
#: Clips of each split.
Counts = Annotated[dict[str, int], AfterValidator(_of_test)]


class Score(_Model):
    """One metric, macro-averaged over its parts: tags, classes or targets, or a single one."""

    value: Reached
    lower: Reached = Field(description="of the interval over test clips")
    upper: Reached
    level: float = Field(description="probability that the interval is made for")
    standard_error: float | None = Field(
        default=None,
        description="over test clips; null where they cannot tell, and in records before version 2 of scores",
    )
    replicates: int = Field(
        description="in which a part of the test clips is left out; in older records bootstrap ones"
    )
    units: int | None = Field(
        default=None, description="clips, groups or users that the interval draws; see `replicates`"
    )
    rough: str = Field(default="", description="why the interval may hold the truth less often than its level says")
    floor: Reached = Field(description="what the constant prediction that is best on the training labels reaches")
    n_labels: int = Field(
        description="parts in the mean: labels, fewer than the task has if some cannot be scored, or 1 where the "
        "metric is not taken label by label"
    )
    n_clips: int = Field(description="test clips that the metric speaks of; clip-wise metrics leave out untagged ones")
    per_label: dict[str, Reached] = Field(description="value of each part in the mean, by its name")
    folds: list[float | None] | None = Field(
        default=None, description="value in each fold, null where a fold scores no part; null for a task with a split"
    )
    lower_is_better: bool = Field(default=False, description="whether the metric is an error or a loss")


class Overlap(_Model):
    """Test clips, and clips of recordings and artists, that the encoder was pretrained on."""

    clips: int
    recordings: int
    artists: int
    labelled: int = Field(
        default=0, description="of the clips, those whose labels it was trained on, by another task than this one"
    )


class PublishedWeights(_Model):
    """Weights that others trained and published."""

    encoder: str
    source: str
    licence: str
    context_seconds: float | None = Field(
        description="length of the excerpts that they were trained on [s]; null where nobody says"
    )
    trained_on: Literal["", "audio", "labels"] = Field(
        description="what of the task's dataset they were trained on: its audio, or its labels too; on which clips is "
        "not known here"
    )


class LabelCoverage(_Model):
    """Classes or tags that the division of a task cannot speak of."""

    kind: Literal["multiclass", "multilabel"]
    labels: int = Field(description="how many the task has")
    untested: list[str] = Field(
        description="classes without a test clip; tags without a test clip that has them or one that has not"
    )
    untrained: list[str] = Field(description="those without a training clip, or without one in a fold that tests them")
    folds: bool = Field(description="whether the task is divided into folds")


class StepCost(_Model):
    """What a step of the run cost, when it was computed."""

    kind: str
    key: str
    seconds: float
    peak_memory_bytes: int
    device: str
    peak_gpu_memory_bytes: int | None = None


class ScoreRecord(Cell):
    """Scores of one run, under its factors; per-clip predictions lie beside it in `predictions.npz`."""

    schema_version: Version = SCHEMA_VERSION
    data: Literal["stand-in", "real"]
    metrics: dict[str, Score] = Field(min_length=1)
    unscored_labels: list[str] = Field(
        description="labels without a positive or without a negative test clip; users who play no test clip"
    )
    coverage: LabelCoverage | None = Field(
        default=None, description="of classes or tags; null for other labels, and where it was not looked for"
    )
    copies: int | None = Field(
        default=None, description="test clips whose audio is a training clip's; null where it was not looked for"
    )
    silent: int | None = Field(
        default=None, description="test clips in which nothing sounds; null where it was not looked for"
    )
    n_expected: Counts = Field(description="clips of each split in the task's definition")
    n_scored: Counts = Field(description="clips of each split that could be used")
    test_clips_lost: dict[str, str] = Field(description="test clips that could not be scored, and why")
    fingerprint: str = Field(description="hash of the scored clips, their labels and the label names")
    overlap: Overlap
    published: list[PublishedWeights] = Field(
        default=[], description="where the weights are from, of encoders whose weights others published"
    )
    heard_seconds: float | None = Field(
        default=None,
        description="longest stretch of a clip that was encoded at once [s]; null in records of older embeddings, and "
        "of an encoder's own head",
    )
    selection: dict[str, Any] = Field(
        description="what was chosen on the validation clips, and the value of every configuration there"
    )
    pretraining: dict[str, Any] | None = Field(description="what the pretraining reported of itself")
    spec: dict[str, Any] = Field(description="the whole of what determines the score, with the keys of all steps")
    weights_sha256: str
    parameters: int
    dim: int
    provenance: dict[str, str] = Field(
        default_factory=dict, description="what an encoder from elsewhere says of itself, e.g. model and revision"
    )
    steps: list[StepCost]
    versions: dict[str, str]
    finished: str

    def lacking_in_words(self) -> str:
        """Clips that were used and those that the task has, of each split that lacks some; empty if none does."""
        found = [(split, self.n_scored.get(split, 0), expected) for split, expected in self.n_expected.items()]
        return ", ".join(f"{split} {used:,} of {expected:,}" for split, used, expected in found if used < expected)


def read_record(folder: Path) -> ScoreRecord:
    """The record in the artifact folder of a score step."""
    return ScoreRecord.model_validate_json(read_within(folder, RECORD))


#: What reading a record that is damaged, or made to do damage, can raise.
NO_RECORD = (UserError, OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


def no_record(folder: Path, error: Exception) -> str:
    """What is said of a folder whose record cannot be used."""
    if isinstance(error, PlantedError):
        return str(error)
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        reason = f"{where and f'{where[:80]}: '}{first['msg'][:200]}"
    return (
        f"{folder / RECORD}: not a score record of this version: {reason}; "
        "`bench store verify` finds damaged artifacts, and deleting one is safe"
    )


def trained_network(recipe_name: str, weights_sha256: str) -> str:
    """Name of the network behind a score, whose luck goes with it from task to task; empty where a seed made none.

    Weights that came with an encoder, and hand-made features, are the same whatever the seed. Random weights are drawn
    as trained ones are.
    """
    return "" if recipe_name == AS_GIVEN else "+".join(part[:16] for part in weights_sha256.split("+"))


#: What a record's run is called.
run_name = attrgetter(*COLUMNS, "data")


def newest(items: Iterable[Item], run: Callable[[Item], Hashable], folder: Callable[[Item], Path]) -> list[Item]:
    """Of the scores of each run only those that were made or asked for last, in the order given.

    A run is scored again under the same name where its encoder, its labels or a number of the registry were changed;
    what it scored before is no second seed. Where the change is undone, the older scores count again as soon as
    `bench run` shows them.

    Parameters
    ----------
    items
        Scores, in any form.
    run
        What an item's run is called, as `run_name` says of a record.
    folder
        The folder of an item's artifact, whose time tells; see `mark_used`.
    """
    items = list(items)
    last: dict[Hashable, tuple[int, int]] = {}
    for position, item in enumerate(items):
        used = folder(item).stat().st_mtime_ns
        last[run(item)] = max(last.get(run(item), (0, 0)), (used, position))
    return [items[position] for position in sorted(position for _, position in last.values())]


def mark_used(folder: Path) -> None:
    """Note that the scores in an artifact's folder are those that are wanted now; a store may be read-only."""
    with suppress(OSError):
        os.utime(folder)


def step_costs(lineage: Mapping[str, Mapping[str, Any]]) -> list[StepCost]:
    """Costs of the steps in a manifest's lineage."""
    return [StepCost(kind=entry["kind"], key=key, **entry["resources"]) for key, entry in lineage.items()]
