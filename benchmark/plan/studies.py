"""Studies as files: a grid of runs in YAML, with what to leave out and what to add.

A study says what to compare; ``bench run --study`` computes what is missing of it, on any machine, as often as needed::

    name: tails
    description: does a longer tail help?
    grid:
      encoder: [tune_vanilla, tune_tail_5]
      task: [mtt, gtzan]
      seed: [0, 1, 2]
    exclude:
      - {encoder: tune_vanilla, task: gtzan}
    include:
      - {encoder: [mfcc], task: [mtt]}
    matched_parameters: 0.15
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from benchmark.cell import Cell
from benchmark.errors import UserError, unknown_name
from benchmark.factors import AS_GIVEN, COLUMNS, UNTRAINED
from benchmark.plan.planner import Planner
from benchmark.plan.requests import Grid, Request
from benchmark.plan.run_tables import TabledRun, read_runs
from benchmark.plan.runs import Plan, Run
from benchmark.registry.yaml_dialect import read_document, tuples
from benchmark.store.store import Store

SHIPPED = Path(__file__).parent / "study_files"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Study(_Model):
    """A study file."""

    name: str = Field(description="how the study is called on the terminal")
    description: str = Field(default="", description="what it asks")
    source: str = Field(default="", description="the paper whose table it is")
    grid: Grid | None = Field(default=None, description="levels of every factor; each combination is a run")
    include: tuple[Grid, ...] = Field(default=(), description="further grids")
    runs: str | None = Field(
        default=None,
        description="a CSV file beside this one with a run on each line, instead of the grid's combinations: columns "
        "that are called like factors hold a level each, for all else `grid`, or each of a list of grids, says the "
        "levels; the other columns are carried into tables of scores",
    )
    exclude: tuple[dict[str, Any], ...] = Field(
        default=(), description="runs to leave out: those that agree in all the factors named"
    )
    untrained: bool = Field(default=True, description="whether every trained encoder has its untrained twin")
    allow_overlap: bool = Field(
        default=False, description="whether encoders may be tested on clips whose labels they were trained on"
    )
    matched_parameters: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="largest relative difference of an encoder's parameters from the median encoder's"
    )

    _tabled: tuple[TabledRun, ...] = PrivateAttr(default=())

    @property
    def tabled(self) -> tuple[TabledRun, ...]:
        """Every run or grid, with what is carried into tables of its scores."""
        grids = [*([self.grid] if self.grid else []), *self.include]
        return (*(TabledRun(grid, {}) for grid in grids), *self._tabled)

    def requests(
        self, allow_missing: bool, training: Mapping[str, Any] | None = None, allow_overlap: bool = False
    ) -> list[Request]:
        """What the study asks a planner for, with the allowances of the command; `training` as in `Request`."""
        allowed = allow_overlap or self.allow_overlap
        return [Request(run.grid, allow_missing, training=training or {}, allow_overlap=allowed) for run in self.tabled]

    def chosen(self, plan: Plan) -> Plan:
        """`plan` without what the study leaves out.

        Raises
        ------
        UserError
            If nothing is left, or something to leave out is not in the plan.
        """
        for number, pattern in enumerate(self.exclude, 1):
            self._check_exclusion(number, pattern, plan.cells)
        plan = plan if self.untrained else plan.without_twins()
        kept = plan.only(lambda cell: not any(_agrees(cell, pattern) for pattern in self.exclude))
        if not kept.runs and not kept.lost:
            raise UserError(f"study {self.name}: its exclusions leave no run")
        return kept

    def planned(self, planner: Planner, allow_missing: bool, training: Mapping[str, Any] | None = None) -> Plan:
        """The study's runs, with `allow_missing` as `bench run` was or will be told; `training` as in `Request`.

        Runs on clips whose labels were trained on are among them: `bench run` alone refuses these, for they have the
        same keys whether they are allowed or not.
        """
        return self.chosen(planner.plan(self.requests(allow_missing, training, allow_overlap=True)))

    def scored(self, planner: Planner, store: Store) -> Plan:
        """The study's runs as the store has them scored, without missing test clips or with some."""
        whole, partial = self.planned(planner, False), self.planned(planner, True)
        pairs = zip(whole.runs, partial.runs, strict=True)
        runs = [run if _is_there(store, run) or not _is_there(store, other) else other for run, other in pairs]
        return Plan(runs, whole.lost)

    def _check_exclusion(self, number: int, pattern: dict[str, Any], cells: Sequence[Cell]) -> None:
        """Raise `UserError` if a pattern leaves out nothing, which is a slip in it."""
        where = f"study {self.name}: exclusion {number}"
        for key, wanted in pattern.items():
            levels = sorted({getattr(cell, key) for cell in cells}, key=str)
            unknown = [level for level in _levels(wanted) if level not in levels]
            if unknown:
                raise UserError(
                    f"{where}: no run has the {key} {unknown[0]!r}; there are: {', '.join(map(repr, levels))}"
                )
        if not any(_agrees(cell, pattern) for cell in cells):
            raise UserError(f"{where}: no run agrees in all of {', '.join(pattern)}; correct it or leave it out")


def load_study(name: str) -> Study:
    """A study from a file, or one of those that ship with the project by its name.

    Raises
    ------
    UserError
        If there is none, or the file is wrong: file, line, key and reason.
    """
    path = Path(name)
    shipped = {file.stem: file for file in sorted(SHIPPED.glob("*.yaml"))}
    if name in shipped:
        if path.is_file():
            raise UserError(f"{name} ships with bench and is a file here too; name the file ./{name}, or rename it")
        path = shipped[name]
    elif not path.is_file() and (path.suffix or len(path.parts) > 1):
        raise UserError(f"{path}: there is no such study file; `bench list studies` lists those that ship")
    elif not path.is_file():
        raise unknown_name("study", name, shipped, "bench list studies")
    read = read_document(path)
    document = tuples(read.value)
    if not isinstance(document, dict):
        raise UserError(f"{path}:1: a study is a mapping with the keys {', '.join(Study.model_fields)}")
    common = document.pop("grid", {}) if document.get("runs") else {}
    try:
        study = Study.model_validate(document)
    except ValidationError as error:
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        where = tuple(first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            model = Study if len(where) == 1 else Grid
            message = str(unknown_name("key", str(where[-1]), model.model_fields))
        raise UserError(f"{path}:{read.line(where)}: {'.'.join(map(str, where))}: {message}") from None
    if study.runs is not None:
        commons = common if isinstance(common, tuple) else (common,)
        if not all(isinstance(each, Mapping) for each in commons):
            raise UserError(f"{path}:{read.line(('grid',))}: grid is a mapping of factors to levels, or a list of such")
        study._tabled = tuple(read_runs(path.parent / study.runs, commons))
    elif study.grid is None and not study.include:
        raise UserError(f"{path}:1: says neither grid nor include nor runs, so there is nothing to run")
    for number, pattern in enumerate(study.exclude):
        for key in pattern:
            if key not in COLUMNS:
                raise UserError(f"{path}:{read.line(('exclude', number, key))}: {unknown_name('factor', key, COLUMNS)}")
    return study


def check_matched(study: Study, parameters: dict[str, int]) -> None:
    """Raise `UserError` if the study wants equal budgets and an encoder's parameter count is too far from the median.

    Parameters
    ----------
    study
        Says how far is too far.
    parameters
        Count of each encoder that a recipe trains.
    """
    if study.matched_parameters is None or not parameters:
        return
    ordered = sorted(parameters.values())
    median = ordered[len(ordered) // 2]
    for name, count in parameters.items():
        if abs(count / median - 1) > study.matched_parameters:
            raise UserError(
                f"study {study.name}: {name} has {count:,} parameters, {count / median - 1:+.0%} beside the median "
                f"{median:,}; matched_parameters allows {study.matched_parameters:.0%}"
            )


def trained_encoders(runs: Sequence[Run]) -> dict[str, Run]:
    """One run of every encoder that a recipe trains."""
    return {run.cell.encoder: run for run in runs if run.cell.recipe_name not in (UNTRAINED, AS_GIVEN)}


def _is_there(store: Store, run: Run) -> bool:
    return store.find(run.score.kind, run.score.key) is not None


def _agrees(cell: Cell, pattern: dict[str, Any]) -> bool:
    return all(getattr(cell, key) in _levels(wanted) for key, wanted in pattern.items())


def _levels(wanted: Any) -> Sequence[Any]:
    return wanted if isinstance(wanted, tuple | list) else (wanted,)
