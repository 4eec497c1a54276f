"""What papers report, beside our scores of the same task on real data."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from analysis.report.groups import Group, Run, Value, gather, over_seeds

#: Numbers of a recipe that say how long is trained, and those that change no more than the memory that it takes.
_LENGTHS = ("epochs", "pairs")
_MEMORY = ("chunk",)
#: A private corpus -> the one that studies which ship with bench train on in its place.
IN_PLACE_OF = {"musicset": "magnatagatune"}


@dataclass(frozen=True)
class Published:
    """One number of one paper, as `published.csv` has it; empty fields are ``None``.

    Attributes
    ----------
    encoder, corpus, recipe, protocol, task
        Our names for what the paper describes, where there are any; of a private corpus the paper's.
    settings
        Numbers of the recipe that the paper changed, ``;`` between them; ``name=?`` for one that it does not tell.
    epochs, pairs
        Length of the training, where it is told so.
    split
        Clips for training, validation and testing, or the name of a dataset that has no task here.
    value
        As a fraction.
    """

    source: str
    table: str
    model: str
    encoder: str | None
    corpus: str | None
    recipe: str | None
    settings: str | None
    epochs: int | None
    pairs: int | None
    protocol: str | None
    task: str | None
    split: str
    metric: str
    value: float


@dataclass(frozen=True)
class Comparison:
    """A published number and ours.

    Attributes
    ----------
    ours
        ``None`` where no run here is of that encoder and corpus.
    representation, protocol
        Of ours.
    differs
        How our runs were made otherwise, in words; empty if as published.
    """

    published: Published
    ours: Value | None = None
    representation: str = ""
    protocol: str = ""
    differs: Sequence[str] = ()

    @property
    def difference(self) -> tuple[float, float, float] | None:
        """Ours less theirs, and its interval over our test clips; theirs counts as exact."""
        if self.ours is None:
            return None
        value = self.published.value
        return self.ours.mean - value, self.ours.lower - value, self.ours.upper - value


def published_numbers() -> list[Published]:
    """All rows of the shipped table."""
    text = files("analysis.report").joinpath("published.csv").read_text(encoding="utf-8")
    return [_published(row) for row in csv.DictReader(text.splitlines())]


def _published(row: Mapping[str, str]) -> Published:
    known: dict[str, Any] = {
        name: row[name] or None for name in ("encoder", "corpus", "recipe", "settings", "protocol")
    }
    return Published(
        source=row["source"],
        table=row["table"],
        model=row["model"],
        epochs=int(row["epochs"]) if row["epochs"] else None,
        pairs=int(row["pairs"]) if row["pairs"] else None,
        task=row["task"] or None,
        split=row["split"],
        metric=row["metric"],
        value=float(row["value"]) / (100.0 if row["unit"] == "percent" else 1.0),
        **known,
    )


def compare(group: Group, numbers: Sequence[Published]) -> list[Comparison]:
    """Published numbers on a group's task, each beside the run here that is most like it.

    Returns
    -------
    list of Comparison
        Those with a run of ours first. Empty for stand-ins, whose scores have nothing to do with the papers'.
    """
    if group.standin:
        return []
    found = []
    for number in numbers:
        if number.task == group.task and number.metric in group.metrics:
            candidates = [run for run in group.plain if _same(run, number)]
            cells = gather(candidates, "representation", "recipe", "protocol", "corpus").values()
            options = [
                Comparison(number, value, cell[0]["representation"], cell[0]["protocol"], _differences(cell[0], number))
                for cell in cells
                if (value := over_seeds(cell, number.metric)) is not None
            ]
            found.append(min(options, key=_distance) if options else Comparison(number))
    return sorted(found, key=lambda comparison: comparison.ours is None)


def _distance(option: Comparison) -> tuple[bool, int]:
    """How far a run is from a published number: another recipe is further than anything else."""
    return any(words.startswith("recipe ") for words in option.differs), len(option.differs)


def _same(run: Run, number: Published) -> bool:
    """Whether a run is of the encoder and corpus that a number is of, or what stands for it, with the same settings."""
    if number.encoder is None or run["encoder"] != number.encoder:
        return False
    if run["corpus"] not in (number.corpus, IN_PLACE_OF.get(number.corpus or "", number.corpus)):
        return False
    open_ = _not_told(number)
    told = {key: value for key, value in run["overrides"].items() if key not in open_}
    return _settings(told) == set((number.settings or "").split("; ")) - {"", *(f"{name}=?" for name in open_)}


def _not_told(number: Published) -> list[str]:
    """Numbers of the recipe that the paper leaves open."""
    texts = (number.settings or "").split("; ")
    return [text.removesuffix("=?") for text in texts if text.endswith("=?")]


def _settings(overrides: Mapping[str, str]) -> set[str]:
    """Changed numbers of a recipe but for its length; where all augmentations are given, those that are on."""
    changed = {key: value for key, value in overrides.items() if key not in (*_LENGTHS, *_MEMORY)}
    chances = {key for key in changed if key.startswith("augmentation.") and key.endswith(".probability")}
    found = {f"{key}={value}" for key, value in changed.items() if key not in chances}
    if len(chances) < 7:  # not all that there are
        return found | {f"{key}={changed[key]}" for key in chances}
    left = [f"{key.split('.')[1]} {changed[key]}" for key in sorted(chances) if float(changed[key])]
    return found | {f"crops and {', '.join(left)}" if left else "crops only"}


def _length(epochs: int | None, pairs: int | None) -> str:
    if epochs:
        return f"{epochs:,} epochs"
    return f"{pairs:,} pairs" if pairs else ""


def _differences(run: Run, number: Published) -> list[str]:
    found = []
    if number.corpus != run["corpus"]:
        found.append(f"corpus {run['corpus']} in place of {number.corpus}, which is private")
    if number.recipe and run["recipe_name"] != number.recipe:
        found.append(f"recipe {run['recipe_name']} instead of {number.recipe}")
    theirs, ours = _length(number.epochs, number.pairs), _length(run["epochs"], run["pairs"])
    if theirs != ours and ours:
        found.append(f"{ours} instead of {theirs}" if theirs else f"{ours}, theirs not told")
    found += [f"{name} {run['overrides'][name]}" for name in _MEMORY if name in run["overrides"]]
    for name in _not_told(number):
        ours = f"{name} {run['overrides'][name]}" if name in run["overrides"] else f"the recipe's {name}"
        found.append(f"{ours}, theirs not told")
    if run["n_test"] != run["n_expected"]:
        found.append(f"{run['n_test']:,} of {run['n_expected']:,} test clips")
    if number.protocol and run["protocol"] != number.protocol:
        found.append(f"protocol {run['protocol']} instead of {number.protocol}")
    return found
