"""The commands that compute a set of runs again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmark.plan.steps_and_runs import AS_GIVEN, END_TO_END, UNTRAINED
from benchmark.registry.overrides import in_words

_OVERRIDDEN = re.compile(r"(?P<name>[^()]*)\((?P<changes>.*)\)")
#: One replaced value; a comma within quotes does not end it.
_CHANGE = re.compile(r'(?:"(?:\\.|[^"\\])*"|[^,"]|,(?! ))+')
#: What the planner adds to the name of each encoder that works at another rate.
_AT_RATE = re.compile(r"\(sample_rate=(\d+)\)(?=\+|$)")


def split_overrides(name: str) -> tuple[str, dict[str, str]]:
    """Name of a recipe, or of encoders, as a run has it, apart: the registry's name, and the numbers replaced.

    Examples
    --------
    >>> split_overrides("tune(batch=8, epochs=300)")
    ('tune', {'batch': '8', 'epochs': '300'})
    >>> split_overrides("mfcc(sample_rate=16000)+chroma(sample_rate=16000)")
    ('mfcc+chroma', {'sample_rate': '16000'})
    """
    rates = set(_AT_RATE.findall(name))
    if len(rates) == 1:
        return _AT_RATE.sub("", name), {"sample_rate": rates.pop()}
    match = _OVERRIDDEN.fullmatch(name)
    if match is None:
        return name, {}
    changes = (change.strip().partition("=") for change in _CHANGE.findall(match["changes"]))
    return match["name"], {key: value for key, _, value in changes}


def commands(runs: Sequence[Mapping[str, Any]], real_data: bool) -> list[str]:
    """Fewest `bench run` commands that make `runs` again, each a full grid.

    Parameters
    ----------
    runs
        Have the factors of a run by name.
    real_data
        Whether to name the folder of data.

    Returns
    -------
    list of str
        Ready for a shell but for DIR.
    """
    cells: dict[tuple[Any, ...], dict[str, set[tuple[str, int]]]] = {}
    trained = {_cell(run) for run in runs if run["recipe"] != UNTRAINED}
    for run in runs:
        if run["recipe"] == UNTRAINED and _cell(run) in trained:
            continue  # comes with its trained twin
        name, changes = split_overrides(run["recipe"])
        encoder, extra = split_overrides(run["encoder"])
        recipe = None if name in (UNTRAINED, AS_GIVEN) else name
        protocol = None if run["protocol"] == END_TO_END else run["protocol"]
        options = (run["corpus"], recipe, tuple(sorted(changes.items())), protocol, extra.get("sample_rate"),
                   run["layer"], run["deform"], run["labels"])  # fmt: skip
        cells.setdefault(options, {}).setdefault(run["task"], set()).add((encoder, run["seed"]))
    found = []
    for options, by_task in cells.items():
        for tasks, encoders, seeds in _grids(by_task):
            found.append(_command(options, tasks, encoders, seeds, real_data))
    return found


def _cell(run: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(run[name] for name in ("encoder", "task", "protocol", "seed", "layer", "labels", "deform"))


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
    options: tuple[Any, ...], tasks: Iterable[str], encoders: Iterable[str], seeds: Iterable[int], real_data: bool
) -> str:
    corpus, recipe, changes, protocol, rate, layer, deform, labels = options
    words = ["bench", "run"]
    for option, values in (("--encoder", encoders), ("--task", tasks), ("--seed", seeds)):
        for level in values:
            words += [option, str(level)]
    for option, value in (
        ("--corpus", corpus), ("--recipe", recipe), ("--protocol", protocol), ("--sample-rate", rate),
        ("--layer", layer), ("--deform", deform), ("--labels", None if labels == 1 else in_words(labels)),
    ):  # fmt: skip
        if value is not None:
            words += [option, str(value)]
    for key, text in changes:
        words += ["--set", f"{key}={text}"]
    if real_data:
        words += ["--data", "DIR"]
    return shlex.join(words)
