"""The commands that compute a set of runs again."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from benchmark.cell import Cell, options_of
from benchmark.factors import AS_GIVEN, COLUMNS, END_TO_END, FACTORS, UNTRAINED

#: Options that one command takes several levels of, each cell of whose product is a run.
_GRID = ("--encoder", "--task", "--seed")
#: What the planner says by itself, and no command can ask for.
_UNASKED = {("--recipe", UNTRAINED), ("--recipe", AS_GIVEN), ("--protocol", END_TO_END)}

C = TypeVar("C", bound=Cell)
_Options = tuple[tuple[str, str], ...]


def commands(
    cells: Sequence[C], real_data: bool, tested_on_labels: Callable[[C], bool] = lambda cell: False
) -> list[str]:
    """Fewest `bench run` commands that make the runs of `cells` again, each a full grid.

    Parameters
    ----------
    cells
        Their factors.
    real_data
        Whether to name the folder of data.
    tested_on_labels
        Whether a run is on clips whose labels were trained on, which a command must allow.

    Returns
    -------
    list of str
        Ready for a shell but for DIR.
    """
    trained = {_twin(cell) for cell in cells if cell.recipe_name != UNTRAINED}
    grids: dict[tuple[_Options, bool], dict[str, set[tuple[str, int]]]] = {}
    for cell in cells:
        if cell.recipe_name == UNTRAINED and _twin(cell) in trained:
            continue  # comes with its trained twin
        asked = [option for option in options_of(cell) if option not in _UNASKED]
        (encoder,) = (value for option, value in asked if option == FACTORS["encoders"].option)
        others = tuple(option for option in asked if option[0] not in _GRID)
        grids.setdefault((others, tested_on_labels(cell)), {}).setdefault(cell.task, set()).add((encoder, cell.seed))
    return [
        _command(others, tasks, encoders, seeds, ["--allow-overlap"] * allowed + ["--data", "DIR"] * real_data)
        for (others, allowed), by_task in grids.items()
        for tasks, encoders, seeds in _grids(by_task)
    ]


def _twin(cell: Cell) -> tuple[object, ...]:
    """What a trained run and its untrained twin have in common."""
    return tuple(getattr(cell, column) for column in COLUMNS if column not in ("corpus", "recipe"))


def _grids(by_task: Mapping[str, set[tuple[str, int]]]) -> Iterable[tuple[list[str], list[str], list[int]]]:
    """Tasks, encoders and seeds whose products are the cells."""
    shared: dict[tuple[tuple[str, ...], tuple[int, ...]], list[str]] = {}
    for task, cells in by_task.items():
        seeds_of: dict[str, list[int]] = {}
        for encoder, seed in sorted(cells):
            seeds_of.setdefault(encoder, []).append(seed)
        encoders_of: dict[tuple[int, ...], list[str]] = {}
        for encoder, seeds in seeds_of.items():
            encoders_of.setdefault(tuple(seeds), []).append(encoder)
        for chosen, encoders in encoders_of.items():
            shared.setdefault((tuple(encoders), chosen), []).append(task)
    for (names, numbers), tasks in shared.items():
        yield tasks, list(names), list(numbers)


def _command(
    options: _Options, tasks: Iterable[str], encoders: Iterable[str], seeds: Iterable[int], last: Sequence[str]
) -> str:
    words = ["bench", "run"]
    for option, values in zip(_GRID, (encoders, tasks, map(str, seeds)), strict=True):
        for level in values:
            words += [option, level]
    for option, value in options:
        words += [option, value]
    return shlex.join([*words, *last])
